"""Images as the files have them, bytes, and as models see them, pixels from 0 to 1; loads torch where it must."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

if TYPE_CHECKING:
    from torch import Tensor, nn

IMAGE_SIZE = 28
"""Height and width of each of the paper's images."""
NUM_PIXELS = IMAGE_SIZE * IMAGE_SIZE
Shape = tuple[int, int, int]
"""Of an image as models see it: channels, rows, columns."""
Size = tuple[int, int]
"""Rows and columns."""
Geometry = tuple[int, int, int]
"""Kernel size, stride and padding of a convolution, the same along rows and columns."""
PAPER_SHAPE: Shape = (1, IMAGE_SIZE, IMAGE_SIZE)
CHANNELS = (1, 3)
"""Of grey images and of coloured ones."""
MIN_SIDE, MAX_SIDE = 16, 64
"""Fewest and most rows, or columns, that every model here takes."""
Images = NDArray[np.uint8]
"""Of shape (n, rows, columns) where they are grey, (n, channels, rows, columns) where they have colours; from 0, the
background of the paper's, to 255."""


def checked_shape(shape: Shape) -> Shape:
    """The shape, where models can be made for it; else ValueError."""
    channels, *sides = shape
    if channels not in CHANNELS or not all(MIN_SIDE <= side <= MAX_SIDE for side in sides):
        raise ValueError(
            f"image_shape {shape} must have 1 or 3 channels and from {MIN_SIDE} to {MAX_SIDE} rows and columns"
        )
    return shape


ImageShape = Annotated[Shape, AfterValidator(checked_shape), Field(exclude_if=lambda shape: shape == PAPER_SHAPE)]
"""A setting whose JSON leaves out the paper's shape: records are found by that JSON, and older ones know no shape."""


def shape_of(images: Images | Tensor) -> Shape:
    """Channels, rows and columns of uint8 images, of shape (n, rows, columns) or (n, channels, rows, columns)."""
    *_, rows, columns = images.shape
    return images.shape[1] if images.ndim == 4 else 1, rows, columns


def part_size(shape: Shape) -> int:
    """How many images are evaluated at a time: four hundred, of much larger ones fewer hundreds.

    A thousand are no quicker (docs/LOG.md), and layers give more than twice as much for them.
    """
    return 100 * max(1, min(4, 10 * NUM_PIXELS // math.prod(shape)))


def unit_pixels(images: Images) -> NDArray[np.float32]:
    """Pixels in [0, 1] of uint8 images, of the same shape."""
    return np.divide(images, 255, dtype=np.float32, order="C")


def flat_pixels(images: Images) -> NDArray[np.float32]:
    """The same pixels as rows, shape (n, channels * rows * columns)."""
    return unit_pixels(images).reshape(len(images), -1)


def as_tensor(array: NDArray[Any]) -> Tensor:
    """A tensor over a read-only array (one from a shared object store, say) without a copy; never write to it."""
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given (NumPy array|buffer) is not writable")
        return torch.from_numpy(array)


def as_rows(images: Tensor) -> Tensor:
    """uint8 images as floats in [0, 1] of shape (n, channels * rows * columns)."""
    return images.flatten(1).float().div_(255)


def as_pixels(images: Tensor) -> Tensor:
    """uint8 images as floats in [0, 1] of shape (n, channels, rows, columns).

    The batch is the last axis in memory, as `trainables.batch_last` computes.
    """
    columns = images.flatten(1).t().contiguous().float().div_(255)
    return columns.view(*shape_of(images), -1).permute(3, 0, 1, 2)


def check_inputs(network: nn.Module, inputs: Tensor, *shape: int) -> None:
    """See that a network is given floats of this shape, the batch aside; else ValueError."""
    if inputs.shape[1:] != shape or not inputs.is_floating_point():
        wanted, got = ("(" + ", ".join(map(str, it)) + ")" for it in (("batch", *shape), tuple(inputs.shape)))
        raise ValueError(
            f"{type(network).__name__} takes floats of shape {wanted}, got {inputs.dtype} of shape {got}"
        )
