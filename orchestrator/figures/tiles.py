"""Images put beside each other, as arrays."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.floating[Any]]


def tiled(pixels: NDArray[Any]) -> NDArray[Any]:
    """Images in rows and columns as one picture.

    From shape (rows, columns, height, width), or (rows, columns, 3, height, width), to (rows * height,
    columns * width), or the same with the colours last.
    """
    if pixels.ndim == 5:
        pixels = np.moveaxis(pixels, 2, -1)
    rows, columns, height, width, *colours = pixels.shape
    return pixels.swapaxes(1, 2).reshape(rows * height, columns * width, *colours)


def framed(pixels: Pixels) -> Pixels:
    """Images, shape (..., rows, columns), each with a grey line around it."""
    return np.pad(pixels, (*[(0, 0)] * (pixels.ndim - 2), (1, 1), (1, 1)), constant_values=0.35)


def plain(text: str) -> str:
    """A text of others as it stands: dollars would have matplotlib read it as a formula."""
    return text.replace("$", r"\$")


def broken(names: Sequence[str]) -> list[str]:
    """Names over columns, in several lines where they are of several words."""
    return [name.replace(" ", "\n").replace("/", "/\n") for name in names]
