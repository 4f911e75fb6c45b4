"""Which images a training learns from, is validated on and is tested on (the paper's Methods)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Images, and the indices of those that train and of those that validate.

    `images` and `test_images` have shape (n, 28, 28), uint8; neither is ever copied or written to.
    """

    images: Images
    train: Index
    validation: Index | None = None
    test_images: Images | None = None


def all_images(images: Images, test_images: Images | None = None) -> Split:
    """Train on every image."""
    return Split(images, np.arange(len(images)), test_images=test_images)


def hold_out_last(images: Images, test_images: Images | None = None) -> Split:
    """Train on the first five sixths, validate on the rest: 50,000 and 10,000 of the full training set."""
    return sequential_fold(images, fold=5, num_folds=6, test_images=test_images)


def sequential_fold(images: Images, *, fold: int, num_folds: int = 6, test_images: Images | None = None) -> Split:
    """Validate on one of `num_folds` contiguous blocks in the files' order, train on the others.

    Args:
        images: shape (n, 28, 28), uint8.
        fold: from 0; which block validates. Blocks differ by at most one image in size.
        num_folds: at least 2 and at most n.
        test_images: measured after the last epoch, where given.

    Raises:
        ValueError: `fold` or `num_folds` is out of range.
    """
    if not 2 <= num_folds <= len(images):
        raise ValueError(f"num_folds {num_folds} must lie between 2 and the {len(images)} images")
    if not 0 <= fold < num_folds:
        raise ValueError(f"fold {fold} must lie between 0 and {num_folds - 1}")
    start, stop = (len(images) * n // num_folds for n in (fold, fold + 1))
    index = np.arange(len(images))
    return Split(images, np.concatenate([index[:start], index[stop:]]), index[start:stop], test_images)
