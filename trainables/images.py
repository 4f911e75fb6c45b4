"""Images as the files have them, bytes, and as models see them, pixels from 0 to 1; loads torch where it must."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, nn

IMAGE_SIZE = 28
"""Height and width of every image."""
NUM_PIXELS = IMAGE_SIZE * IMAGE_SIZE
IMAGE_SHAPE = (1, IMAGE_SIZE, IMAGE_SIZE)
"""Of an image as models see it: channels, rows, columns."""
Images = NDArray[np.uint8]
"""Images of shape (n, 28, 28), from 0 (background) to 255."""


def unit_pixels(images: Images) -> NDArray[np.float32]:
    """Pixels in [0, 1], shape (n, 28, 28), of uint8 images of the same shape."""
    return np.divide(images, 255, dtype=np.float32)


def flat_pixels(images: Images) -> NDArray[np.float32]:
    """The same pixels as rows, shape (n, 784)."""
    return unit_pixels(images).reshape(len(images), -1)


def as_tensor(array: NDArray[Any]) -> Tensor:
    """A tensor over a read-only array (one from a shared object store, say) without a copy; never write to it."""
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given (NumPy array|buffer) is not writable")
        return torch.from_numpy(array)


def as_rows(images: Tensor) -> Tensor:
    """uint8 images of shape (n, 28, 28) or (n, 784) as floats in [0, 1] of shape (n, 784)."""
    return images.reshape(-1, NUM_PIXELS).float().div_(255)


def as_pixels(images: Tensor) -> Tensor:
    """uint8 images of shape (n, 28, 28) or (n, 784) as floats in [0, 1] of shape (n, 1, 28, 28).

    On a CPU the batch is the last axis in memory, as `trainables.batch_last` computes there.
    """
    if images.device.type != "cpu":
        return as_rows(images).view(-1, 1, IMAGE_SIZE, IMAGE_SIZE)
    columns = images.reshape(-1, NUM_PIXELS).t().contiguous().float().div_(255)
    return columns.view(1, IMAGE_SIZE, IMAGE_SIZE, -1).permute(3, 0, 1, 2)


def check_inputs(network: nn.Module, inputs: Tensor, *shape: int) -> None:
    """See that a network is given floats of this shape, the batch aside; else ValueError."""
    if inputs.shape[1:] != shape or not inputs.is_floating_point():
        wanted, got = ("(" + ", ".join(map(str, it)) + ")" for it in (("batch", *shape), tuple(inputs.shape)))
        raise ValueError(
            f"{type(network).__name__} takes floats of shape {wanted}, got {inputs.dtype} of shape {got}"
        )
