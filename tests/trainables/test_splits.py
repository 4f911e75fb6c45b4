"""The folds partition the images in the files' order, and the last sixth of them validates the search."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.images import Images
from trainables.splits import Order, Split, all_images, fold_split, hold_out_last, ordered


def blank(num_images: int) -> Images:
    """Images that take no memory; the splits never look at them."""
    return np.broadcast_to(np.uint8(0), (num_images, 28, 28))


def sequential_fold(images: Images, *, fold: int, num_folds: int = 6, test_images: Images | None = None) -> Split:
    """A fold of the paper's: the blocks are cut from the files' order."""
    return fold_split(images, np.arange(len(images)), fold=fold, num_folds=num_folds, test_images=test_images)


def validation(split: Split) -> list[int]:
    assert split.validation is not None
    return [int(index) for index in split.validation]


@st.composite
def sizes(draw: st.DrawFn) -> tuple[int, int]:
    """Numbers of images and of folds that go together."""
    num_images = draw(st.integers(2, 400))
    return num_images, draw(st.integers(2, num_images))


@given(sizes())
def test_validation_blocks_partition_the_images_in_order(size: tuple[int, int]) -> None:
    num_images, num_folds = size
    blocks = [validation(sequential_fold(blank(num_images), fold=n, num_folds=num_folds)) for n in range(num_folds)]
    assert [index for block in blocks for index in block] == list(range(num_images))


@given(sizes())
def test_validation_blocks_differ_by_at_most_one_image_and_none_is_empty(size: tuple[int, int]) -> None:
    num_images, num_folds = size
    counts = [
        len(validation(sequential_fold(blank(num_images), fold=n, num_folds=num_folds))) for n in range(num_folds)
    ]
    assert max(counts) - min(counts) <= 1
    assert min(counts) >= 1


@given(sizes(), st.data())
def test_training_and_validation_are_disjoint_and_cover_the_images(
    size: tuple[int, int], data: st.DataObject
) -> None:
    num_images, num_folds = size
    fold = data.draw(st.integers(0, num_folds - 1))
    split = sequential_fold(blank(num_images), fold=fold, num_folds=num_folds)
    train = [int(index) for index in split.train]
    assert train == sorted(set(range(num_images)) - set(validation(split)))
    assert len(train) + len(validation(split)) == num_images


def test_six_folds_of_the_training_images_are_blocks_of_ten_thousand() -> None:
    for fold in range(6):
        split = sequential_fold(blank(60_000), fold=fold)
        assert validation(split) == list(range(10_000 * fold, 10_000 * (fold + 1)))
        assert len(split.train) == 50_000


def test_the_last_ten_thousand_of_the_training_images_validate_the_search() -> None:
    split = hold_out_last(blank(60_000))
    assert np.array_equal(split.train, np.arange(50_000))
    assert validation(split) == list(range(50_000, 60_000))


def test_all_images_train_and_none_validates() -> None:
    split = all_images(blank(17))
    assert np.array_equal(split.train, np.arange(17))
    assert split.validation is None


@pytest.mark.parametrize(
    "splitting",
    [all_images, hold_out_last, lambda i, test_images: sequential_fold(i, fold=0, test_images=test_images)],
)
def test_images_are_handed_on_without_a_copy(splitting: object) -> None:
    images, test_images = blank(12), blank(5)
    assert callable(splitting)
    split = splitting(images, test_images=test_images)
    assert split.images is images
    assert split.test_images is test_images
    assert splitting(images, test_images=None).test_images is None


@pytest.mark.parametrize("fold", [-1, 6, 100])
def test_a_fold_out_of_range_is_refused_with_its_number_and_the_rule(fold: int) -> None:
    with pytest.raises(ValueError, match=f"^fold {fold} must lie between 0 and 5$"):
        sequential_fold(blank(60), fold=fold, num_folds=6)


@pytest.mark.parametrize("num_folds", [-1, 0, 1, 13])
def test_a_number_of_folds_out_of_range_is_refused_with_the_rule(num_folds: int) -> None:
    with pytest.raises(ValueError, match=f"^num_folds {num_folds} must lie between 2 and the 12 images$"):
        sequential_fold(blank(12), fold=0, num_folds=num_folds)


ORDERS: tuple[Order, ...] = get_args(Order)


def labels(num_images: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 10, num_images).astype(np.uint8)


@pytest.mark.parametrize("order", ORDERS)
def test_an_order_has_every_image_once_and_hangs_on_the_seed_where_chance_is_in_it(order: Order) -> None:
    one, same, other = (ordered(labels(120), order, num_folds=6, seed=seed) for seed in (1, 1, 2))
    assert sorted(one) == list(range(120))
    assert np.array_equal(one, same)
    assert np.array_equal(one, other) == (order in {"sequential", "class_sorted"})


@pytest.mark.parametrize("order", ORDERS)
def test_folds_of_any_order_partition_the_images(order: Order) -> None:
    index = ordered(labels(100), order, num_folds=7, seed=1)
    splits = [fold_split(blank(100), index, fold=fold, num_folds=7) for fold in range(7)]
    assert sorted(image for split in splits for image in validation(split)) == list(range(100))
    assert all(sorted([*split.train, *validation(split)]) == list(range(100)) for split in splits)


def test_stratified_folds_have_every_class_in_equal_numbers_and_class_sorted_ones_few_classes() -> None:
    equal = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 600)).astype(np.uint8)
    for fold in range(6):
        index = ordered(equal, "stratified", num_folds=6, seed=1)
        block = validation(fold_split(blank(6000), index, fold=fold, num_folds=6))
        assert set(np.bincount(equal[block], minlength=10)) == {100}
        index = ordered(equal, "class_sorted", num_folds=6, seed=1)
        block = validation(fold_split(blank(6000), index, fold=fold, num_folds=6))
        assert len(set(equal[block])) <= 3
        assert (np.bincount(equal[block], minlength=10) == 600).any(), "a class that no training image has"
