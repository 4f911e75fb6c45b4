"""Reads a user's own images: how labels become classes, and what is the test part."""

import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.dataset import DataError, Dataset
from trainables.sources import arrays as own_arrays
from trainables.sources import folders as own_folders
from trainables.sources import tables as own_tables
from trainables.sources.assembly import MAX_CLASSES, MAX_NAME, Given, Part, assembled, check_numbers

_SEED = 0
_FEWEST = 8
"""Changes of class from an image to the next; where no more are expected, their number tells of nothing."""


def load(path: Path, *, test_share: float = 1 / 7) -> Dataset:
    """Images of a .npz, a .parquet or a folder; the modules `own_arrays`, `own_tables`, `own_folders` say which.

    Classes are the labels' distinct values, sorted. Where the images have no test part, `test_share` of them become
    it, drawn class by class with a fixed seed; the others keep their order. Images of a folder, which have no order
    of their own, and images that stand class by class, of which a first part lacks classes, are shuffled with a fixed
    seed.

    Raises:
        DataError: in one line, what is wrong with which file, array or column, and what to do.
    """
    if not 0 < test_share < 1:
        raise DataError(f"the test images' share is {test_share}; give one between 0 and 1")
    given = _given(path)
    classes = _classes(path, given)
    train = given.train._replace(labels=_indices(given.train.labels, classes))
    test = given.test and given.test._replace(labels=_indices(given.test.labels, classes))
    if test is None:
        train, test = _parted(path, train, test_share)
    if not given.ordered or by_class(train.labels) or by_class(test.labels):
        train, test = _shuffled(train), _shuffled(test)
    name = os.path.basename(os.path.abspath(path))
    names = tuple(str(value) for value in classes.tolist())
    return assembled(str(path), name if os.path.isdir(path) else Path(name).stem, train, test, names)


def _given(path: Path) -> Given:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    if stat.S_ISDIR(mode):
        return own_folders.read(path)
    if not stat.S_ISREG(mode):
        raise DataError(f"{path} is no file but a pipe, a socket or a device; give a .npz, a .parquet or a folder")
    if path.suffix.lower() == ".npz":
        return own_arrays.read(path)
    if path.suffix.lower() == ".parquet":
        return own_tables.read(path)
    raise DataError(f"{path} has an ending that is not known; give a .npz, a .parquet or a folder of image files")


def _classes(path: Path, given: Given) -> NDArray[Any]:
    """Distinct labels of the training images, sorted; none without labels."""
    parts = [part for part in (given.train, given.test) if part is not None]
    labels = [_checked(path, part) for part in parts if part.labels is not None]
    if not labels:
        return np.empty(0, np.uint8)
    if len(labels) < len(parts):
        lacking = "test" if given.train.labels is not None else "training"
        raise DataError(f"{path} has no labels for its {lacking} images; give both parts labels, or neither")
    if len({_family(array.dtype) for array in labels}) > 1:
        raise DataError(f"{path} has labels of type {labels[0].dtype} to learn from and {labels[1].dtype} to test on")
    classes: NDArray[Any] = np.unique(labels[0])
    for strange in np.setdiff1d(labels[-1], classes)[:1].tolist():
        raise DataError(f"{path} has test images of the class {strange!r}, of which there are no training images")
    _check_classes(path, classes)
    return classes


def _check_classes(path: Path, classes: NDArray[Any]) -> None:
    if len(classes) == 1:
        raise DataError(f"{path} has one class only, {classes.tolist()[0]!r}; give at least two, or no labels")
    if len(classes) > MAX_CLASSES:
        raise DataError(f"{path} has {len(classes)} different labels; there can be {MAX_CLASSES} classes at most")
    for name in map(str, classes.tolist()):
        if not 0 < len(name) <= MAX_NAME:
            raise DataError(f"{path} has the label {name[:20]!r} of {len(name)} characters; give 1 to {MAX_NAME}")


def _family(dtype: np.dtype[Any]) -> str:
    return "integers" if dtype.kind in "iu" else dtype.kind


def _checked(path: Path, part: Part) -> NDArray[Any]:
    labels = part.labels
    assert labels is not None
    if len(labels) != len(part.images):
        raise DataError(f"{path} has {len(labels)} labels for {len(part.images)} images; give one for each")
    return labels


def _indices(labels: NDArray[Any] | None, classes: NDArray[Any]) -> NDArray[np.uint8] | None:
    return None if labels is None else np.searchsorted(classes, labels).astype(np.uint8)


def _parted(path: Path, whole: Part, share: float) -> tuple[Part, Part]:
    num = len(whole.images)
    classes = np.zeros(num, np.uint8) if whole.labels is None else whole.labels
    test = drawn(classes, max(1, round(share * num)), keep=int(whole.labels is not None))
    check_numbers(f"{path}, of whose {num} images {share:.3g} are to test on,", num - test.sum(), test.sum())
    return _selected(whole, ~test), _selected(whole, test)


def drawn(classes: NDArray[np.uint8], num_drawn: int, *, keep: int) -> NDArray[np.bool_]:
    """Which images are drawn, class by class: of each as near as may be to its share, always the same.

    Args:
        classes: shape (n,).
        num_drawn: of all classes together; fewer where classes are too small.
        keep: how many images of each class are not drawn.
    """
    dice, sizes = np.random.default_rng(_SEED), np.bincount(classes)
    quotas = sizes * (num_drawn / len(classes))
    counts = np.minimum(quotas.astype(np.int64), np.maximum(sizes - keep, 0))
    for largest in np.argsort(counts - quotas, kind="stable"):
        if counts.sum() < num_drawn and counts[largest] + keep < sizes[largest]:
            counts[largest] += 1
    mask = np.zeros(len(classes), bool)
    for number, count in enumerate(counts):
        mask[dice.permutation(np.flatnonzero(classes == number))[:count]] = True
    return mask


def by_class(labels: NDArray[np.uint8] | None) -> bool:
    """Whether images stand class by class, so that no part of them is like the whole.

    `labels`, shape (n,), are their classes: from an image to the next they change less than a quarter as often as in
    an order of chance.
    """
    if labels is None:
        return False
    expected = (len(labels) - 1) * (1 - np.square(np.bincount(labels) / len(labels)).sum())
    return bool(expected >= _FEWEST and np.count_nonzero(np.diff(labels)) < expected / 4)


def _shuffled(part: Part) -> Part:
    return _selected(part, np.random.default_rng(_SEED).permutation(len(part.images)))


def _selected(part: Part, which: NDArray[Any]) -> Part:
    return Part(part.images[which], None if part.labels is None else part.labels[which])
