"""classify and embed: who is taken for whom, by which images, and where they lie in the plane."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from orchestrator.engine.book import Book
from orchestrator.engine.records import Checkpoint, Record
from orchestrator.stages.classify import Classify
from orchestrator.stages.classify.measure import examples
from orchestrator.stages.embed import Embed
from tests.stages.known import SEEN, KnownRefit, at, given, grey, known_latent, models_of, with_models
from trainables.classifier import Classifier
from trainables.fashion_mnist import FashionMnist

SEED = 11
BEST = KnownRefit.biases["best"]
FIRST, SECOND, THIRD = (20, 20), (120, 120), (220, 220)
"""Places in the plane, by the values of the two pixels that the models see."""


def near(place: tuple[int, int], number: int) -> list[tuple[int, int]]:
    """So many places there, none of them the same."""
    return [(place[0] + n // 7, place[1] + n % 7) for n in range(number)]


def lopsided() -> FashionMnist:
    """Training images of class 3 lie at the first place, of class 5 at the second, of class 8 at the third; of the
    test images class 5 lies at the first place as well, class 8 at the second and the third."""
    train, labels = at([*near(FIRST, 40), *near(SECOND, 40), *near(THIRD, 40)]), np.repeat([3, 5, 8], 40)
    labels[0] = 8  # the nearest one to a test image whose two next are of class 3
    places = [*near(FIRST, 14), *near(SECOND, 4), *near(THIRD, 2)]
    test_labels = [3] * 8 + [5] * 6 + [8] * 6
    mixed = np.random.default_rng(0).permutation(120)
    return FashionMnist(
        train[mixed], labels[mixed].astype(np.uint8), at(places), np.array(test_labels, np.uint8), "made up"
    )


LOPSIDED = {(3, 3): 8, (5, 3): 6, (8, 5): 4, (8, 8): 2}
"""Of each true class and the one that the training images around would have it take for: how many test images."""


def counted(table: pd.DataFrame) -> dict[tuple[int, int], int]:
    """How many of each true class are taken for each class, where any are."""
    assert len(table) == 100
    assert list(zip(table["label"], table["predicted"], strict=True)) == [
        (i, j) for i in range(10) for j in range(10)
    ]
    rows = table[table["count"] > 0]
    return {(row.label, row.predicted): row.count_ for row in rows.rename(columns={"count": "count_"}).itertuples()}


# classify


def predicted_by(number: int) -> NDArray[np.uint8]:
    """What a training takes the test images for: the first ones, as many as its number, for class 9, others right."""
    return np.where(np.arange(20) < number, 9, lopsided().test_labels).astype(np.uint8)


@pytest.fixture(scope="module")
def classified(tmp_path_factory: pytest.TempPathFactory) -> tuple[Book, dict[str, Any]]:
    """With two seeds, of which each training has predictions, accuracies and seconds of its own, and two encoders."""
    book = with_models(
        tmp_path_factory.mktemp("classified"),
        lopsided(),
        Classify(),
        seed=SEED,
        refit={"num_seeds": 2},
        classify={"num_seeds": 2, "accuracies": (0.6, 0.3, 0.99), "num_neighbors": 3},
    )
    records, context = [], book.context("classify")
    latent = {
        "train": known_latent(lopsided().train_images, BEST),
        "test": known_latent(lopsided().test_images, BEST),
    }
    given_ = {name: array.astype(np.float32) for name, array in latent.items()}
    given_ |= {"seconds": np.array([100.0]), "cpu_seconds": np.array([50.0])}
    book.records("classify").save_arrays(context.inputs_address, given_)
    for n, trial in enumerate(book.study("classify").trials):
        accuracies = [0.25, 0.5, 0.75 + n / 100]
        rows = [
            {"epoch": epoch, "train_loss": 1.0 + n, "test_loss": 2.0 + n, "test_accuracy": accuracy, "seconds": 10.0}
            | {"cpu_seconds": 4.0}
            for epoch, accuracy in enumerate(accuracies, start=1)
        ]
        weights = {"model": Classifier(trial.config).state_dict()}
        book.records("classify").save_results(trial, Checkpoint(rows, weights, {"predicted": predicted_by(n)}))
        records.append(Record(trial.key, trial.config, trial.seed, "complete", rows, address=trial.address))
    return book, given(book, "classify", records)


PAIRS = [(input_, architecture) for input_ in ("latent", "raw") for architecture in ("cnn", "mlp", "linear")]


def test_classifiers_are_trained_in_pairs_from_each_seed_and_the_one_that_others_measure_with_is_kept(
    classified: tuple[Book, dict[str, Any]],
) -> None:
    trials = classified[0].study("classify").trials
    told = [(trial.config.input, trial.config.architecture, trial.seed) for trial in trials]
    assert told == [(*pair, seed) for pair in PAIRS for seed in (SEED, SEED + 1)]
    assert [trial.key for trial in trials if trial.keep_weights] == [f"raw-cnn-seed-{SEED}"]
    assert {(trial.config.input, trial.config.num_features) for trial in trials} == {("latent", 2), ("raw", 784)}
    alike = [trial.config.model_copy(update={"input": "", "num_features": 0}) for trial in trials]
    assert alike[:6] == alike[6:]
    rates = {trial.config.architecture: (trial.config.learning_rate, trial.config.schedule) for trial in trials}
    assert rates == {"cnn": (1e-3, "cosine"), "mlp": (1e-4, "constant"), "linear": (1e-2, "cosine")}


def test_a_classifier_is_a_row_with_what_it_came_to_at_last(classified: tuple[Book, dict[str, Any]]) -> None:
    table = classified[1]["classifiers"]
    rows = table[table["architecture"] != "knn"].reset_index(drop=True)
    told = list(zip(rows["input"], rows["architecture"], rows["seed"], strict=True))
    assert told == [(*pair, seed) for pair in PAIRS for seed in (SEED, SEED + 1)]
    assert rows["test_accuracy"].tolist() == [0.75 + n / 100 for n in range(12)]
    assert rows["test_loss"].tolist() == [2.0 + n for n in range(12)]
    assert rows["train_loss"].tolist() == [1.0 + n for n in range(12)]
    assert (set(rows["epochs"]), set(rows["seconds"]), set(rows["cpu_seconds"])) == ({3}, {30.0}, {12.0})
    assert rows["encode_seconds"].tolist() == [100.0] * 6 + [0.0] * 6
    # 64 channels of 2 numbers or 7 x 7 pixels go into 128; the MLP's widths are 20, 120, 100; the probe has ten rows.
    convolutions = {"latent": (3 * 1 + 1) * 32 + (3 * 32 + 1) * 64, "raw": (9 + 1) * 32 + (9 * 32 + 1) * 64}
    sizes = {
        (kind, "cnn"): convolutions[kind] + 2 * (32 + 64) + (64 * positions + 1) * 128 + 129 * 10
        for kind, positions in (("latent", 2), ("raw", 49))
    }
    for kind, features in (("latent", 2), ("raw", 784)):
        sizes[kind, "mlp"] = (features + 1) * 20 + 21 * 120 + 121 * 100 + 101 * 10
        sizes[kind, "linear"] = (features + 1) * 10
    assert rows["num_parameters"].tolist() == [sizes[pair] for pair in PAIRS for _ in range(2)]


def test_learning_curves_and_times_to_an_accuracy_are_each_classifier_s_own(
    classified: tuple[Book, dict[str, Any]],
) -> None:
    curves, targets = classified[1]["classifier_epochs"], classified[1]["classifier_targets"]
    assert curves["epoch"].tolist() == [1, 2, 3] * 12
    assert curves["test_accuracy"].tolist() == [it for n in range(12) for it in (0.25, 0.5, 0.75 + n / 100)]
    assert curves["test_loss"].tolist() == [2.0 + n for n in range(12) for _ in range(3)]
    assert curves["train_loss"].tolist() == [1.0 + n for n in range(12) for _ in range(3)]
    for (given_, seed), rows in targets.groupby(["input", "seed"], observed=True):
        assert seed in (SEED, SEED + 1)
        encoding = {"latent": 100.0, "raw": 0.0}[str(given_)]
        for _, of_one in rows.groupby("architecture", observed=True):
            assert of_one["accuracy"].tolist() == [0.3, 0.6, 0.99]
            assert of_one["epoch"].iloc[:2].tolist() == [2, 3]
            assert of_one["seconds"].iloc[:2].tolist() == [20 + encoding, 30 + encoding]
            assert of_one["cpu_seconds"].iloc[:2].tolist() == [8 + encoding / 2, 12 + encoding / 2]
            assert of_one[["epoch", "seconds", "cpu_seconds"]].iloc[2].isna().all()
    assert len(targets) == 12 * 3


def test_confusions_have_the_true_class_before_that_which_it_is_taken_for(
    classified: tuple[Book, dict[str, Any]],
) -> None:
    table = classified[1]["confusion"]
    for n, (kind, architecture) in enumerate(PAIRS):
        rows = table[(table["input"] == kind) & (table["architecture"] == architecture)]
        taken_for_nine, labels = 2 * n, lopsided().test_labels  # of the first seed
        right = {(label, label): int((labels[taken_for_nine:] == label).sum()) for label in (3, 5, 8)}
        wrong = {(label, 9): int((labels[:taken_for_nine] == label).sum()) for label in (3, 5, 8)}
        assert counted(rows) == {pair: count for pair, count in (right | wrong).items() if count}
    for kind in ("latent", "raw"):
        rows = table[(table["input"] == kind) & (table["architecture"] == "knn")]
        assert counted(rows) == LOPSIDED, kind
    knn = classified[1]["classifiers"].query("architecture == 'knn'")
    assert knn["input"].tolist() == ["latent", "latent", "raw"]
    assert knn["seed"].tolist()[:2] == [SEED, SEED + 1]
    assert knn["test_accuracy"].tolist() == [(8 + 2) / 20] * 3
    assert knn["encode_seconds"].tolist() == [100.0, 100.0, 0.0]
    assert knn[["test_loss", "train_loss", "epochs"]].isna().all(axis=None)
    assert pd.isna(knn["seed"].iloc[2])


def test_every_test_image_is_told_of_with_what_each_classifier_takes_it_for(
    classified: tuple[Book, dict[str, Any]],
) -> None:
    table, labels = classified[1]["classifier_predictions"], lopsided().test_labels
    assert len(table) == (12 + 3) * 20
    assert table["index"].tolist() == list(range(20)) * 15
    assert table["label"].tolist() == labels.tolist() * 15
    trained = table[table["architecture"] != "knn"]
    told = [(*pair, seed) for pair in PAIRS for seed in (SEED, SEED + 1)]
    for n, (which, rows) in enumerate(trained.groupby(["input", "architecture", "seed"], observed=True, sort=False)):
        assert which == told[n]
        assert rows["predicted"].tolist() == predicted_by(n).tolist()
    knn = table[(table["architecture"] == "knn")].groupby("input", observed=True)
    assert {str(name): len(rows) for name, rows in knn} == {"latent": 40, "raw": 20}
    assert {(rows["label"] == rows["predicted"]).mean() for _, rows in knn} == {0.5}


def test_the_classifier_that_others_measure_with_is_the_first_seed_s_of_raw_images(
    classified: tuple[Book, dict[str, Any]],
) -> None:
    (model,) = models_of(classified[1]).values()
    assert (model.name, model.record.key) == ("classifier", f"raw-cnn-seed-{SEED}")
    assert model.description["test_accuracy"] == 0.75 + 6 / 100


def test_latent_vectors_are_the_best_model_s_of_the_training_and_of_the_test_images(tmp_path: Path) -> None:
    images = grey(120, 20)
    book = with_models(tmp_path, images, Classify())
    found = book.context("classify").inputs
    np.testing.assert_allclose(found["train"], known_latent(images.train_images, BEST), atol=1e-6)
    np.testing.assert_allclose(found["test"], known_latent(images.test_images, BEST), atol=1e-6)
    assert found["seconds"].shape == found["cpu_seconds"].shape == (1,)
    for kind, train, test in (
        ("raw", images.train_images, images.test_images),
        ("latent", found["train"], found["test"]),
    ):
        of_kind = examples(kind, images, found)  # type: ignore[arg-type]
        assert (of_kind.train is train, of_kind.test is test) == (True, True)
        assert (of_kind.train_labels is images.train_labels, of_kind.test_labels is images.test_labels) == (
            True,
            True,
        )


def test_classifiers_of_another_encoder_s_vectors_are_other_trainings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def addresses(folder: str) -> set[str]:
        book = with_models(tmp_path / folder, grey(120, 20), Classify())
        return {trial.address for trial in book.study("classify").trials}

    first = addresses("first")
    monkeypatch.setitem(KnownRefit.biases, "two_dim", 3.0)
    assert addresses("another model of another kind") == first
    monkeypatch.setitem(KnownRefit.biases, "best", 3.0)
    assert not addresses("another encoder") & first


# embed


def own_places() -> FashionMnist:
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
