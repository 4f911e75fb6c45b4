"""What stages measure has the published values, and the known ones where there are such."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from torch import nn

from orchestrator.stages.capacity import Settings as Capacity
from orchestrator.stages.capacity.measure import largest_angle, pca_mse
from orchestrator.stages.classify import Settings as Classify
from orchestrator.stages.classify.measure import examples, first_epochs, nearest_neighbours
from orchestrator.stages.components import Components, fit_pca
from orchestrator.stages.embed.measure import own_neighbours
from orchestrator.stages.measures import AT_ONCE, mse, mse_of_each
from orchestrator.stages.neighbours import most_frequent, nearest
from trainables.autoencoder import build
from trainables.dataset import Dataset
from trainables.fashion_mnist import load
from trainables.images import CHANNELS, MAX_SIDE, MIN_SIDE, flat_pixels, part_size


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load()


def test_pca_has_the_published_test_error(data: Dataset) -> None:
    """.0461 with 2 components and .0104 with 64."""
    pca = fit_pca(data.train_images)
    errors = pca_mse(pca, data.test_images)
    assert round(errors[2], 4) == 0.0461
    assert round(errors[64], 4) == 0.0104
    assert sorted(errors.values(), reverse=True) == list(errors.values())

    # Every one of them is what going to the components and back gives.
    test = flat_pixels(data.test_images[:500])
    there = pca.of(data.test_images[:500])
    errors = pca_mse(pca, data.test_images[:500])
    for k in (1, 5, 64):
        back = there[:, :k] @ pca.axes[:k] + pca.mean
        assert errors[k] == pytest.approx(np.square(back - test).mean(), rel=1e-4)


def test_principal_components_are_scikit_learns_and_the_images_are_not_held_as_floats(data: Dataset) -> None:
    tracemalloc.start()
    found = fit_pca(data.train_images, 8)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 64e6, "the images as floats would be 188 MB"
    in_another_order = np.random.default_rng(0).permutation(data.train_images)
    assert (fit_pca(in_another_order, 8).axes == found.axes).all(), "sums of whole numbers are exact"

    train, test = data.train_images[:5000], data.test_images
    found, expected = fit_pca(train, 8), PCA(8, svd_solver="full").fit(flat_pixels(train).astype(np.float64))
    assert found.mean == pytest.approx(expected.mean_, abs=1e-6)
    assert found.axes == pytest.approx(expected.components_, abs=1e-5)
    assert found.of(test, 5) == pytest.approx(expected.transform(flat_pixels(test))[:, :5], abs=1e-4)


@pytest.mark.parametrize("as_bytes", [True, False])
def test_nearest_of_parts_are_nearest_of_all(monkeypatch: pytest.MonkeyPatch, as_bytes: bool) -> None:
    for module in ("measures", "neighbours"):
        monkeypatch.setattr(f"orchestrator.stages.{module}.AT_ONCE", 70)
    draws = np.random.default_rng(0)
    among = draws.integers(0, 256, (300, 4, 5)).astype(np.uint8)
    points = draws.random((40, 20)).astype(np.float32)
    given = among if as_bytes else flat_pixels(among)
    for k in (1, 5, 300):
        expected = np.square(points[:, None] - flat_pixels(among)).sum(axis=-1).argsort(axis=1)[:, :k]
        assert (nearest(points, given, k) == expected).all()


def test_votes_that_are_even_go_to_the_first_class() -> None:
    labels = np.array([[2, 2, 1], [4, 0, 4], [3, 1, 2], [4, 1, 4]], np.uint8)
    assert list(most_frequent(labels)) == [2, 4, 1, 4]
    assert list(most_frequent(np.array([[255, 255, 254]], np.uint8))) == [255]


def test_errors_of_parts_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = np.random.default_rng(0).random((2, 50, 3, 4)).astype(np.float32)
    each, whole = mse_of_each(one, other), mse(one, other)
    monkeypatch.setattr("orchestrator.stages.measures.AT_ONCE", 7)
    assert (mse_of_each(one, other) == each).all()
    assert mse(one, other) == pytest.approx(whole, rel=1e-12)
    assert len(mse_of_each(one[:0], other[:0])) == 0


def test_images_that_are_compared_at_once_are_whole_parts_of_those_that_models_evaluate() -> None:
    sizes = {part_size((channels, side, side)) for channels in CHANNELS for side in range(MIN_SIDE, MAX_SIDE + 1)}
    assert not [size for size in sizes if AT_ONCE % size]


@pytest.mark.long
def test_nearest_neighbours_of_raw_pixels_have_the_published_accuracy(data: Dataset) -> None:
    row, predicted = nearest_neighbours(examples("raw", data, {}), Classify().num_neighbors)
    assert row["test_accuracy"] == pytest.approx(0.853, abs=0.005)
    assert predicted.shape == (10_000,)
    assert (predicted == data.test_labels).mean() == row["test_accuracy"]


@given(latent_dim=st.integers(1, 1024))
@settings(max_examples=10, deadline=None)
def test_no_layer_of_a_wide_autoencoder_is_narrower_than_its_input_but_the_latent_one(latent_dim: int) -> None:
    model = build(Capacity().wide_autoencoder(latent_dim, weight_decay=1e-5), seed=0).eval()
    x = torch.rand(1, 1, 28, 28)
    widths = []
    for layer in (*model.encoder, *model.decoder):
        x = layer(x)
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.ConvTranspose2d):
            widths.append(x.numel())
    assert widths[4] == latent_dim
    assert min(widths[:4] + widths[5:]) >= max(784, min(latent_dim, 784))
    assert min(widths[:4] + widths[5:-1]) >= latent_dim


@pytest.mark.parametrize(("turned", "angle"), [(False, 0.0), (True, 90.0)])
def test_the_angle_to_pca_s_subspace_is_none_for_other_axes_of_it_and_right_for_what_lies_across(
    turned: bool, angle: float
) -> None:
    pca = Components(np.zeros(784, np.float32), np.eye(784, dtype=np.float32))
    axes = pca.axes[:, :2]
    decoder = axes @ np.array([[1.0, 2.0], [0.5, -3.0]], np.float32)
    if turned:
        decoder = np.roll(decoder, 1, axis=0)  # shares one axis of the two
    assert largest_angle(decoder, pca) == pytest.approx(angle, abs=1e-3)


def test_a_point_s_class_is_that_of_its_neighbours_without_itself() -> None:
    plane = np.array([[0.0, 0], [0.1, 0], [0, 0.1], [9, 9], [9.1, 9], [9, 9.1], [0.05, 0.05]])
    labels = np.array([3, 3, 3, 7, 7, 7, 7], np.uint8)
    assert list(own_neighbours(plane, labels, k=3)) == [3, 3, 3, 7, 7, 7, 3]
    assert list(own_neighbours(plane, labels, k=1)) == [7, 7, 7, 7, 7, 7, 3], "with itself it would be its own"


def test_time_to_an_accuracy_counts_the_encoding_and_is_missing_where_it_was_not_reached() -> None:
    epochs = [
        {"epoch": n, "test_accuracy": a, "seconds": 2.0, "cpu_seconds": 1.0}
        for n, a in enumerate((0.5, 0.8, 0.7), start=1)
    ]
    rows = list(first_epochs(epochs, (0.6, 0.4, 0.9), {"seconds": 10.0, "cpu_seconds": 5.0}))
    assert rows == [
        {"accuracy": 0.4, "epoch": 1, "seconds": 12.0, "cpu_seconds": 6.0},
        {"accuracy": 0.6, "epoch": 2, "seconds": 14.0, "cpu_seconds": 7.0},
        {"accuracy": 0.9, "epoch": None, "seconds": None, "cpu_seconds": None},
    ]
