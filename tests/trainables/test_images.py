"""Pixels are bytes as shares of 255, whatever the layout, and exact."""

import warnings

import numpy as np
import pytest
import torch

from tests.command import loaded_after
from trainables.images import IMAGE_SIZE, NUM_PIXELS, Images, as_pixels, as_rows, as_tensor, flat_pixels, unit_pixels


@pytest.fixture
def images() -> Images:
    """Every byte, in no order that a mixed-up axis would keep."""
    return np.random.default_rng(0).permutation(np.arange(3 * NUM_PIXELS) % 256).astype(np.uint8).reshape(3, 28, 28)


def test_an_image_has_28_by_28_pixels() -> None:
    assert (IMAGE_SIZE, NUM_PIXELS) == (28, 784)


def test_pixels_are_the_nearest_floats_to_shares_of_255(images: Images) -> None:
    pixels = unit_pixels(images)
    assert (pixels.shape, pixels.dtype) == ((3, 28, 28), np.dtype(np.float32))
    np.testing.assert_array_equal(pixels, (images / 255).astype(np.float32))
    assert (pixels.min(), pixels.max()) == (0, 1)


def test_flat_pixels_are_the_same_as_rows_in_the_images_order(images: Images) -> None:
    rows = flat_pixels(images)
    assert (rows.shape, rows.dtype) == ((3, 784), np.dtype(np.float32))
    for row, image in zip(rows, unit_pixels(images), strict=True):
        np.testing.assert_array_equal(row, np.concatenate(list(image)))


def test_tensors_have_the_values_of_the_arrays(images: Images) -> None:
    rows, pixels = (of(torch.from_numpy(images)) for of in (as_rows, as_pixels))
    assert (rows.shape, pixels.shape) == ((3, 784), (3, 1, 28, 28))
    np.testing.assert_array_equal(rows.numpy(), flat_pixels(images))
    np.testing.assert_array_equal(pixels.squeeze(1).numpy(), unit_pixels(images))


def test_on_a_cpu_the_batch_is_the_last_axis_in_memory(images: Images) -> None:
    assert as_pixels(torch.from_numpy(images)).movedim(0, -1).is_contiguous()


def test_making_pixels_leaves_the_images_alone(images: Images) -> None:
    before = images.copy()
    flat_pixels(images)[:] = unit_pixels(images)[:] = 0
    for pixels in (as_rows(as_tensor(images)), as_pixels(as_tensor(images))):
        pixels.zero_()
    np.testing.assert_array_equal(images, before)


def test_a_tensor_over_a_read_only_array_shares_its_memory_without_a_warning(images: Images) -> None:
    images.flags.writeable = False
    torch.set_warn_always(True)  # torch gives this warning once in a process, and another test may have had it
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            tensor = as_tensor(images)
    finally:
        torch.set_warn_always(False)
    assert told == []
    assert tensor.data_ptr() == images.ctypes.data
    np.testing.assert_array_equal(tensor.numpy(), images)


@pytest.mark.parametrize("module", ["images", "splits", "noise", "epoch", "gan_settings", "autoencoder_settings"])
def test_what_planning_needs_loads_no_torch(module: str) -> None:
    loaded = loaded_after(f"import trainables.{module}")
    assert f"trainables.{module}" in loaded
    assert not loaded & {"ray", "torch", "torchvision"}
