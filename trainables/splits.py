"""Which images a training learns from, is validated on and is tested on (the paper's Methods)."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trainables.images import Images

Index = NDArray[np.int64]
Order = Literal["sequential", "shuffled", "stratified", "class_sorted"]
"""What order the images are in before they are cut into blocks. sequential: the files' order, as in the paper.
shuffled: any. stratified: every block has the classes in the same numbers, as near as may be. class_sorted: by class,
so that a block of six holds two or three of ten equal classes. One or two of them are whole, and no other block has
an image of these; of a class that is cut, the other blocks keep a third or two thirds."""


@dataclass(frozen=True)
class Split:
    """Images, and the indices of those that train and of those that validate.

    `images` and `test_images` are uint8 (`trainables.images`); neither is ever copied or written to. `labels`, shape
    (n,), are the classes of `images`, where they are to be validated class by class.
    """

    images: Images
    train: Index
    validation: Index | None = None
    test_images: Images | None = None
    labels: NDArray[np.uint8] | None = None

    def validation_by_class(self) -> dict[int, Index]:
        """Indices of the validation images of each class that they have; empty without labels."""
        if self.labels is None or self.validation is None:
            return {}
        classes = self.labels[self.validation]
        return {int(label): self.validation[classes == label] for label in np.unique(classes)}


def all_images(images: Images, test_images: Images | None = None) -> Split:
    """Train on every image."""
    return Split(images, np.arange(len(images)), test_images=test_images)


def hold_out_last(images: Images, test_images: Images | None = None) -> Split:
    """Train on the first five sixths, validate on the rest: 50,000 and 10,000 of the full training set."""
    return fold_split(images, np.arange(len(images)), fold=5, num_folds=6, test_images=test_images)


def fold_split(
    images: Images, order: Index, *, fold: int, num_folds: int, test_images: Images | None = None
) -> Split:
    """Validate on one of `num_folds` contiguous blocks of the images in some order, train on the others.

    Args:
        images: uint8 (`trainables.images`).
        order: shape (n,), the images' indices in the order that is cut into blocks.
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
    return Split(images, np.concatenate([order[:start], order[stop:]]), order[start:stop], test_images)


def ordered(labels: NDArray[np.uint8], order: Order, *, num_folds: int, seed: int) -> Index:
    """Indices, shape (n,), of the images in an order, to be cut into `num_folds` blocks.

    `labels`, shape (n,), are the images' classes; the seed decides the shuffled and the stratified order.
    """
    index = np.arange(len(labels))
    if order == "sequential":
        return index
    shuffled = np.random.default_rng(seed).permutation(index)
    if order == "shuffled":
        return shuffled
    if order == "class_sorted":
        return np.argsort(labels, kind="stable")
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    return np.concatenate([by_class[fold::num_folds] for fold in range(num_folds)])
