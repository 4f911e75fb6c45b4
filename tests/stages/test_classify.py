"""classify: who is taken for whom, by whom, and how long that took."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from orchestrator.engine.book import Book
from orchestrator.engine.checkpoint import Checkpoint
from orchestrator.engine.records import Record, digest_of
from orchestrator.stages.classify import Classify
from orchestrator.stages.classify.measure import examples, seen_by_neighbours, with_cpu_seconds
from tests.stages.known import KnownRefit, given, grey, known_latent, models_of, with_models
from tests.stages.places import LOPSIDED, counted, lopsided
from trainables.classifier import Classifier
from trainables.epoch import Epoch

SEED = 11
BEST = KnownRefit.biases["best"]


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


def test_neighbours_are_sought_among_the_latent_vectors_of_every_seed_s_encoder(
    classified: tuple[Book, dict[str, Any]],
) -> None:
    seen, images = list(seen_by_neighbours(classified[0].context("classify"))), lopsided()
    assert [which for which, _ in seen] == [
        {"input": "latent", "seed": SEED},
        {"input": "latent", "seed": SEED + 1},
        {"input": "raw", "seed": None},
    ]
    for further, (_, data) in enumerate(seen[:2]):
        bias = KnownRefit.bias("best", further)
        np.testing.assert_allclose(data.train, known_latent(images.train_images, bias), atol=1e-6)
        np.testing.assert_allclose(data.test, known_latent(images.test_images, bias), atol=1e-6)
    np.testing.assert_array_equal(seen[2][1].test, images.test_images)


def test_processor_time_is_told_of_each_epoch_and_is_no_part_of_the_outcome() -> None:
    def training() -> Iterator[Epoch]:
        for number in (1, 2):
            until = time.process_time() + 0.1 * (number - 1)
            while time.process_time() < until:
                pass
            yield Epoch(number, {"test_loss": 0.5 / number}, dict)

    first, second = with_cpu_seconds(training())
    assert [epoch.metrics["test_loss"] for epoch in (first, second)] == [0.5, 0.25]
    assert first.metrics["cpu_seconds"] < 0.1 <= second.metrics["cpu_seconds"]
    rows = [{"epoch": 1, "test_loss": 0.5, "seconds": seconds, "cpu_seconds": 2 * seconds} for seconds in (1.0, 3.0)]
    assert digest_of(rows[:1], ()) == digest_of(rows[1:], ()) != digest_of([rows[0] | {"test_loss": 0.6}], ())


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
