"""What the final models make of images, and of latent vectors that no image was encoded to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from orchestrator.engine.stage import Picture
from orchestrator.figures.images import image_grid
from orchestrator.stages.refit import figures
from trainables.autoencoder import Autoencoder, decode, encode, reconstruct
from trainables.fashion_mnist import CLASS_NAMES
from trainables.images import IMAGE_SIZE

NUM_SHOWN = 16
"""Test images that interpolations go between."""


def of_reconstructions(name: str, caption: str, model: Autoencoder, data: Any) -> Picture:
    """The best and the worst reconstruction of each class."""
    images, labels = data.test_images, data.test_labels
    return Picture(name, caption, figures.reconstructions, images, reconstruct(model, images), labels, CLASS_NAMES)


def of_decoder(model: Autoencoder, data: Any, seed: int) -> Iterator[Picture]:
    """Traversals, interpolations and samples of the latent space."""
    latent = encode(model, data.train_images)
    of_test = encode(model, data.test_images[:NUM_SHOWN])
    size = latent.shape[1]

    # Traversals: one number of an image's latent vector goes from its lowest to its highest hundredth.
    levels = np.linspace(0.01, 0.99, 9)
    walks = np.tile(of_test[0], (size, len(levels), 1))
    for number in range(size):
        walks[number, :, number] = np.quantile(latent[:, number], levels)
    yield Picture(
        "refit_traversals",
        "best: what each number of the latent vector does.",
        image_grid,
        decode(model, walks.reshape(-1, size)).reshape(size, len(levels), IMAGE_SIZE, IMAGE_SIZE),
        [f"z{number}" for number in range(1, size + 1)],
        [f"{level:.2f}" for level in levels],
        "Test image 0, one latent number changed at a time",
        horizontal="quantile of that number over the training images",
    )

    # Interpolations between test images 2n and 2n + 1.
    steps = np.linspace(0, 1, 9)[None, :, None]
    first, second = of_test[0::2, None], of_test[1::2, None]
    between = ((1 - steps) * first + steps * second).reshape(-1, size)
    classes = [CLASS_NAMES[label] for label in data.test_labels[:NUM_SHOWN]]
    pairs = [f"{one} \N{RIGHTWARDS ARROW} {other}" for one, other in zip(classes[0::2], classes[1::2], strict=True)]
    yield Picture(
        "refit_interpolations",
        "best: from one image to another through the latent space.",
        image_grid,
        decode(model, between).reshape(-1, 9, IMAGE_SIZE, IMAGE_SIZE),
        pairs,
        [f"{step:.2f}" for step in steps.ravel()],
        "Between pairs of test images, on the straight line between their latent vectors",
        horizontal="share of the second image",
    )

    # Samples: from the Gaussian that fits the training images' latent vectors, and from the one that was hoped for.
    draws = np.random.default_rng(seed)
    fitted = draws.multivariate_normal(latent.mean(axis=0), np.atleast_2d(np.cov(latent.T)), 40)
    standard = draws.standard_normal((40, size))
    yield Picture(
        "refit_samples",
        "best: images decoded from random latent vectors.",
        image_grid,
        decode(model, np.concatenate([fitted, standard])).reshape(8, 10, IMAGE_SIZE, IMAGE_SIZE),
        ["fitted"] * 4 + ["N(0, I)"] * 4,
        [],
        "Decoded from random vectors: of the Gaussian that fits the training images, and of N(0, I)",
    )
