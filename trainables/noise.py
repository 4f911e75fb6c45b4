"""Noise on images, to be taken away by an autoencoder (the paper's Denoising and Figure 2)."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from trainables.images import Images, unit_pixels

Noise = Literal["zeroed", "zeroed_foreground", "gaussian", "gaussian_unclipped", "gaussian_matched"]
"""zeroed: each pixel, of a coloured image in each channel by itself, is set to zero with probability p, the level.
zeroed_foreground: p of an image's pixels, rounded, are set to zero, none of which was zero already; all that are
left, where there are fewer. So every image loses as many, however black it is.
gaussian: N(0, sigma^2) is added to each pixel, sigma being the level, and the sum clipped to [0, 1].
gaussian_unclipped: the same, not clipped.
gaussian_matched: not clipped either, with the sigma that costs what zeroing with p costs on these images."""
NOISES: tuple[Noise, ...] = get_args(Noise)


def add_noise(images: Images, noise: Noise, level: float, *, seed: int) -> NDArray[np.float32]:
    """Noisy copies of images, drawn once from the seed, the kind and the level.

    On average zeroing costs mean((y - x)^2) = p mean(x^2), and unclipped Gaussian noise sigma^2; so matched noise has
    sigma = sqrt(p mean(x^2)).

    Args:
        images: uint8 (`trainables.images`).
        noise: the kind.
        level: probability or share p in [0, 1], or standard deviation sigma >= 0, where the pixels' range is 1.
        seed: the same seed, kind and level give the same noise.

    Returns:
        The images' shape; pixels in [0, 1], but for the unclipped kinds.

    Raises:
        ValueError: the level is out of range.
    """
    highest = np.inf if noise in {"gaussian", "gaussian_unclipped"} else 1
    if not 0 <= level <= highest:
        raise ValueError(f"level {level} is out of range for {noise} noise: 0 to {highest}")
    draws = np.random.default_rng([seed, NOISES.index(noise), round(level * 1e6)])
    pixels = unit_pixels(images)
    if noise == "zeroed":
        pixels[draws.random(pixels.shape, dtype=np.float32) < level] = 0
    elif noise == "zeroed_foreground":
        flat = pixels.reshape(len(pixels), -1)
        drawn, number = draws.random(flat.shape, dtype=np.float32), round(level * flat.shape[1])
        for image, places in zip(flat, drawn, strict=True):
            image[np.where(image > 0, places, 2).argsort()[:number]] = 0
    else:
        sigma = float(np.sqrt(level * np.square(pixels).mean())) if noise == "gaussian_matched" else level
        added = draws.standard_normal(pixels.shape, dtype=np.float32)
        added *= np.float32(sigma)
        pixels += added
    return pixels.clip(0, 1, out=pixels) if noise == "gaussian" else pixels
