"""What every source of images gives: images to learn from and images to test on, with or without labels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


class DataError(ValueError):
    """The images cannot be had: one line that names the file, what is wrong and what to do."""


@dataclass(frozen=True)
class Dataset:
    """Images in two parts, read-only.

    Images are bytes, from 0 to 255: of shape (n, rows, columns) where they are grey, (n, channels, rows, columns)
    where they have colours. Labels, shape (n,), are indices into `class_names`; there are none of both parts, or of
    neither. `checksum` identifies all of it: a SHA-256 in hex.
    """

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.uint8] | None
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.uint8] | None
    checksum: str
    name: str = ""
    """What people call it."""
    class_names: tuple[str, ...] = ()
    """In the order of the labels; empty without labels."""
