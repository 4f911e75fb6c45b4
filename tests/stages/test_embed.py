"""embed: where images lie in the plane, and what lies near them there."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn import config_context, manifold

from orchestrator.engine.settings import UserError, changed
from orchestrator.engine.stage import Stage
from orchestrator.paper import suite
from orchestrator.stages.classify import Classify
from orchestrator.stages.embed import Embed
from orchestrator.stages.embed.measure import METHODS, trustworthiness
from tests.stages.known import SEEN, KnownRefit, at, given, grey, known_latent, with_models
from tests.stages.places import FIRST, SECOND, counted, lopsided, near
from trainables.dataset import Dataset

SEED = 11


def own_places() -> Dataset:
    """Of the test images eight of class 3 and, apart, two of class 5 lie at the first place, ten of class 8 at the
    second; the training images as in `lopsided`."""
    images = lopsided()
    places, labels = [*near(FIRST, 10), *near(SECOND, 10)], [3, 5, 3, 3, 3, 3, 5, 3, 3, 3] + [8] * 10
    return replace(images, test_images=at(places), test_labels=np.array(labels, np.uint8))


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    own = {"num_fitted": 100, "num_measured": 20, "num_neighbors": 3, "perplexity": 3}
    folder, seeds = tmp_path_factory.mktemp("embed"), {"num_seeds": 2}
    return given(with_models(folder, own_places(), Embed(), embed=own, seed=SEED, refit=seeds), "embed")


def test_places_in_the_plane_are_the_test_images_in_their_order(laid_out: dict[str, pd.DataFrame]) -> None:
    points, images = laid_out["embedding_points"], own_places()
    assert list(points["method"].unique()) == ["autoencoder", "pca", "tsne"]
    for _, rows in points.groupby("method", observed=True):
        assert list(rows["index"]) == list(range(20))
        assert list(rows["label"]) == list(images.test_labels)
    mine = points[points["method"] == "autoencoder"][["x", "y"]].to_numpy()
    np.testing.assert_allclose(mine, known_latent(images.test_images, KnownRefit.biases["two_dim"]), atol=1e-6)

    # PCA's first axis goes along the line on which the training images' places lie, its second across.
    train, test = (known_latent(it, 0) for it in (images.train_images, images.test_images))
    along = np.array([1, 1]) / 2**0.5
    x, y = points[points["method"] == "pca"][["x", "y"]].to_numpy().T
    expected = (test - train.mean(axis=0)) @ along
    np.testing.assert_allclose(np.abs(x), np.abs(expected), atol=0.01)
    assert np.abs(y).max() < np.abs(x).max()


def test_test_images_are_taken_for_their_neighbours_classes_and_new_ones_for_those_of_fitted_images(
    laid_out: dict[str, pd.DataFrame],
) -> None:
    table = laid_out["embeddings"].drop_duplicates("method").set_index("method")
    for method in ("autoencoder", "pca"):
        rows = laid_out["embedding_confusion"]
        assert counted(rows[rows["method"] == method]) == {(3, 3): 8, (5, 3): 2, (8, 8): 10}
        assert table.loc[method, "knn_accuracy"] == 18 / 20
        # Training images at the second place are of class 5, at the first of class 3.
        assert table.loc[method, "new_knn_accuracy"] == 8 / 20
    assert set(table["num_points"]) == {20}
    assert set(table["num_fitted"]) == {100}
    assert table.loc["tsne", "knn_accuracy"] > 0.5


def test_autoencoder_and_t_sne_are_laid_out_from_every_seed_and_pca_once(laid_out: dict[str, pd.DataFrame]) -> None:
    table, predictions = laid_out["embeddings"], laid_out["embedding_predictions"]
    told = [("autoencoder", SEED), ("autoencoder", SEED + 1), ("pca", None), ("tsne", SEED), ("tsne", SEED + 1)]
    assert [(row.method, None if pd.isna(row.seed) else row.seed) for row in table.itertuples()] == told
    assert predictions["method"].tolist() == [method for method, _ in told for _ in range(20)]
    assert predictions["index"].tolist() == list(range(20)) * 5
    assert predictions["label"].tolist() == own_places().test_labels.tolist() * 5
    right = (predictions["label"] == predictions["predicted"]).to_numpy().reshape(5, 20).mean(axis=1)
    assert right.tolist() == table["knn_accuracy"].tolist()
    assert table["new_knn_accuracy"].isna().tolist() == [False, False, False, False, True]
    points = laid_out["embedding_points"]
    assert points.groupby("method", observed=True).size().to_dict() == {"autoencoder": 20, "pca": 20, "tsne": 20}


def test_a_seed_s_plane_is_its_own_model_s_and_t_sne_s_hangs_on_it(tmp_path: Path) -> None:
    own, images = {"num_fitted": 100, "num_measured": 20, "perplexity": 3}, own_places()
    book = with_models(tmp_path, images, Embed(), embed=own, seed=SEED, refit={"num_seeds": 2})
    context, fitted = book.context("embed"), images.train_images[:100]
    plane, of_fitted, added = METHODS["autoencoder"](context, SEED + 1, fitted)
    bias = KnownRefit.bias("two_dim", 1)
    for found, given_images in ((plane, images.test_images), (of_fitted, fitted), (added, images.test_images)):
        np.testing.assert_allclose(found, known_latent(given_images, bias), atol=1e-6)
    one, other, again = (METHODS["tsne"](context, seed, fitted)[0] for seed in (SEED + 1, SEED + 2, SEED + 1))
    assert (one == again).all()
    assert not np.allclose(one, other)


def kept_near(here: NDArray[Any], there: NDArray[Any], k: int) -> float:
    """How far the k neighbours there are near here: 1 - 2 / (nk (2n - 3k - 1)) times the sum, over those that are not
    among the k nearest here, of by how many places they miss that (Venna and Kaski 2001)."""

    def order(points: NDArray[Any]) -> NDArray[Any]:
        apart = np.square(points[:, None] - points[None]).sum(axis=2).astype(float)
        np.fill_diagonal(apart, -1)
        return apart.argsort(axis=1, kind="stable")

    place, nearest = order(here).argsort(axis=1), order(there)[:, 1 : k + 1]
    number = len(here)
    missed = sum(max(0, place[i, j] - k) for i in range(number) for j in nearest[i])
    return 1 - 2 / (number * k * (2 * number - 3 * k - 1)) * missed


def apart(points: NDArray[Any], labels: NDArray[Any]) -> float:
    """The silhouette: of a, the mean distance to a point's class, and b, that to the next, (b - a) / max(a, b)."""
    values = []
    for point, label in zip(points, labels, strict=True):
        distances = np.sqrt(np.square(points - point).sum(axis=1))
        own = distances[labels == label].sum() / ((labels == label).sum() - 1)
        other = min(distances[labels == it].mean() for it in set(labels.tolist()) - {label})
        values.append((other - own) / max(other, own))
    return float(np.mean(values))


def test_neighbours_in_the_plane_are_held_against_those_in_the_images_and_the_other_way_round(tmp_path: Path) -> None:
    images, draws = replace(grey(120, 40), test_labels=np.arange(40, dtype=np.uint8) % 4), np.random.default_rng(0)
    for row, column in SEEN:  # no two at the same place
        images.test_images[:, row, column] = draws.choice(256, 40, replace=False)
    own = {"num_fitted": 100, "num_measured": 25, "num_neighbors": 4, "perplexity": 3}
    tables = given(with_models(tmp_path, images, Embed(), embed=own, seed=SEED), "embed")
    pixels = images.test_images[:25].reshape(25, -1) / 255
    for row in tables["embeddings"].itertuples():
        points = tables["embedding_points"]
        plane = points[points["method"] == row.method][["x", "y"]].to_numpy()[:25]
        assert row.trustworthiness == pytest.approx(kept_near(pixels, plane, 4), abs=0.01)
        assert row.continuity == pytest.approx(kept_near(plane, pixels, 4), abs=0.01)
        assert row.silhouette == pytest.approx(apart(plane, images.test_labels[:25]), abs=1e-4)
        assert abs(row.trustworthiness - row.continuity) > 0.01, "which are told apart"


@pytest.mark.parametrize(("number", "k"), [(20, 3), (501, 5), (900, 20)])
def test_trustworthiness_is_scikit_learn_s_however_little_is_held_at_once(number: int, k: int) -> None:
    draws = np.random.default_rng(number)
    points = draws.normal(size=(number, 30))
    plane = points[:, :2] + draws.normal(0, 0.5, (number, 2))
    for here, there in ((points, plane), (plane, points)):
        expected = manifold.trustworthiness(here, there, n_neighbors=k)
        with config_context(working_memory=0.1):
            assert trustworthiness(here, there, k) == pytest.approx(expected, abs=1e-12)
        assert 0.4 < expected < 0.99


def test_where_all_that_is_measured_is_of_one_class_nothing_lies_apart(tmp_path: Path) -> None:
    images = replace(own_places(), test_labels=np.full(20, 3, np.uint8))
    own = {"num_fitted": 100, "num_measured": 20, "num_neighbors": 3, "perplexity": 3}
    tables = given(with_models(tmp_path, images, Embed(), embed=own, seed=SEED), "embed")
    assert tables["embeddings"]["silhouette"].isna().all()
    assert tables["embeddings"]["trustworthiness"].notna().all()


@pytest.mark.parametrize(
    ("stage", "changes", "said"),
    [
        (Embed(), {"embed": {"num_neighbors": 250}}, "--embed.num-neighbors: 250 are too many"),
        (Embed(), {"embed": {"num_neighbors": 240, "num_fitted": 239}}, "fitted to 239"),
        (Embed(), {"embed": {"num_neighbors": 60}, "data": {"num_test": 120}}, "measured on 120 test images"),
        (Classify(), {"classify": {"num_neighbors": 3001}}, "3001 is above the 3000 training images"),
    ],
)
def test_more_neighbours_than_there_are_images_are_refused_before_anything_starts(
    stage: Stage[Any, Any], changes: dict[str, Any], said: str
) -> None:
    smoke = suite().preset("smoke")
    for well in (smoke, changed(smoke, embed={"num_neighbors": 249}, classify={"num_neighbors": 3000})):
        stage.check(well)
    with pytest.raises(UserError, match=re.escape(said)):
        stage.check(changed(smoke, **changes))
