"""What images of every source have to be: small, enough of them, with classes that all parts share."""

import hashlib
from typing import Any, NamedTuple

import numpy as np
import psutil
from numpy.typing import NDArray

from trainables.dataset import DataError, Dataset
from trainables.images import MAX_SIDE, MIN_SIDE

MIN_TRAIN, MIN_TEST = 120, 20
"""How many images there have to be."""
MAX_CLASSES = 256
MAX_NAME = 100
"""Characters of a class's name."""


class Part(NamedTuple):
    """Images of shape (n, rows, columns) or (n, 3, rows, columns), uint8, and a label each, shape (n,), or none."""

    images: NDArray[np.uint8]
    labels: NDArray[Any] | None


class Given(NamedTuple):
    """What a file or folder of the user's has: images and labels as they are in there."""

    train: Part
    test: Part | None = None
    ordered: bool = True
    """Whether the images' order is the user's. That of files in a folder is not."""


def free_bytes() -> int:
    """Memory that is free."""
    return int(psutil.virtual_memory().available)


def check_memory(what: str, num_bytes: int) -> None:
    """Refuse, with DataError, what would take more than half of the memory that is free."""
    free = free_bytes()
    if num_bytes > free / 2:
        raise DataError(
            f"{what} would take {num_bytes / 1e6:,.0f} MB unpacked, more than half of the {free / 1e6:,.0f} MB "
            "of memory that are free; give fewer images, as uint8"
        )


def check_sides(what: str, rows: int, columns: int) -> None:
    """Refuse, with DataError, images that are too small or too large."""
    if not (MIN_SIDE <= rows <= MAX_SIDE and MIN_SIDE <= columns <= MAX_SIDE):
        raise DataError(
            f"{what} is {rows} pixels high and {columns} wide; resize to {MIN_SIDE} to {MAX_SIDE} pixels a side"
        )


def assembled(where: str, name: str, train: Part, test: Part, class_names: tuple[str, ...]) -> Dataset:
    """The data set of two parts whose labels are indices into `class_names`; its arrays can be read only.

    Raises:
        DataError: there are too few images, or the parts' images differ in shape; `where` is named.
    """
    check_shapes(where, train, test)
    check_numbers(where, len(train.images), len(test.images))
    train_images, test_images = _frozen(train.images), _frozen(test.images)
    train_labels, test_labels = (None if part.labels is None else _frozen(part.labels) for part in (train, test))
    arrays: dict[str, NDArray[np.uint8] | None] = {"train_images": train_images, "train_labels": train_labels}
    arrays |= {"test_images": test_images, "test_labels": test_labels}
    checksum = _checksum(arrays, class_names)
    return Dataset(train_images, train_labels, test_images, test_labels, checksum, name, class_names)


def check_shapes(where: str, train: Part, test: Part) -> None:
    """Refuse, with DataError, parts whose images have not one shape."""
    if train.images.shape[1:] != test.images.shape[1:]:
        shapes = (f"({', '.join(map(str, part.images.shape[1:]))})" for part in (train, test))
        raise DataError("{} has training images of shape {} and test images of shape {}".format(where, *shapes))


def check_numbers(where: str, num_train: int, num_test: int) -> None:
    """Refuse, with DataError, fewer images than anything can be learnt from or tested on."""
    for part, number, least in (("training", num_train, MIN_TRAIN), ("test", num_test, MIN_TEST)):
        if number < least:
            raise DataError(f"{where} gives {number} {part} images; at least {least} are needed")


def _frozen(array: NDArray[Any]) -> NDArray[np.uint8]:
    own: NDArray[np.uint8] = np.ascontiguousarray(array, np.uint8).view()
    own.flags.writeable = False
    return own


def _checksum(arrays: dict[str, NDArray[np.uint8] | None], class_names: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for key, array in arrays.items():
        digest.update(f"{key} {None if array is None else array.shape}\n".encode())
        if array is not None:
            digest.update(array.reshape(-1).data)
    digest.update(repr(class_names).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
