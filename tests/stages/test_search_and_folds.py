"""search, kfold and refit: which trial is the best, which images train and measure, and what the tables say of it."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from numpy.typing import NDArray
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from orchestrator.contracts.in_process import trained
from orchestrator.engine.book import Book
from orchestrator.engine.checkpoint import Checkpoint, Rows
from orchestrator.engine.records import Record, Trial
from orchestrator.engine.settings import changed
from orchestrator.engine.stage import Stage, Worker
from orchestrator.paper import suite
from orchestrator.stages.architectures import best
from orchestrator.stages.capacity import Capacity, Reconstructor
from orchestrator.stages.kfold import Fold, Kfold
from orchestrator.stages.refit import Refit
from orchestrator.stages.search import Search
from orchestrator.stages.studies import Studies, Tried
from tests.stages.known import given, grey, last_epochs, models_of
from tests.stages.made_up import book_of, recorded
from trainables.autoencoder import Autoencoder, reconstruct
from trainables.autoencoder_settings import AUTHOR_BEST, PAPER_TABLE1, AutoencoderSettings
from trainables.dataset import Dataset

CURVES: list[tuple[str, list[float]]] = [
    ("complete", [0.50, 0.30]),
    ("complete", [0.10, 0.25]),  # the least of any epoch, but not at the end
    ("pruned", [0.05]),
    ("complete", [0.40, 0.20]),  # the best
    ("failed", [0.01, 0.01]),
    ("complete", [0.60, 0.22]),
]
"""How the trials of a search went, and their validation errors epoch by epoch."""
MODELS = [
    *("best", "paper_table1", "two_dim"),
    *("denoise_zeroed", "denoise_gaussian", "denoise_gaussian_unclipped"),
]
PRESET: Any = suite().preset("smoke")
TINY = AutoencoderSettings(filters=(2, 2, 2), neurons=4, latent_dim=2, batch_size=16, epochs=1, learning_rate=0.01)


def epochs(val_mse: list[float]) -> Rows:
    return [
        {"epoch": n, "train_mse": 10 + n + value, "last_batch_mse": 20 + value, "val_mse": value, "seconds": n + 0.5}
        for n, value in enumerate(val_mse, start=1)
    ]


def how(trial: Trial[Any]) -> tuple[Rows, str | None]:
    state, curve = CURVES[int(trial.key.removeprefix("trial-"))]
    return epochs(curve), "Traceback ...\nValueError: out of paint" if state == "failed" else None


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Book:
    """With a search that went as CURVES has it, from seed 5."""
    book = book_of(tmp_path_factory.mktemp("searched"), seed=5, autoencoder={"weight_decay": 0.125, "batch_size": 99})
    trained(book, "search", how)
    return book


def test_the_best_is_the_complete_trial_whose_error_is_least_after_its_last_epoch(searched: Book) -> None:
    trials = searched.study("search").trials
    assert best(searched.context("refit"), epochs=7) == changed(trials[3].config, epochs=7)
    assert len({trial.config for trial in trials}) == len(CURVES)


def test_trials_are_made_from_the_validation_errors_of_those_before_the_window(tmp_path: Path) -> None:
    def tried(name: str, val_mse: Any, train_mse: float = 1.0) -> list[Any]:
        own = {"num_trials": 8, "num_startup_trials": 2, "max_concurrent_trials": 3}
        book = book_of(tmp_path / name, search=own)
        trained(
            book, "search", lambda trial: ([row | {"train_mse": train_mse} for row in epochs(val_mse(trial))], None)
        )
        return [trial.config for trial in book.study("search").trials]

    def by_size(trial: Trial[AutoencoderSettings]) -> list[float]:
        return [0.5, 0.01 * trial.config.latent_dim]

    def by_rate(trial: Trial[AutoencoderSettings]) -> list[float]:
        return [0.5, 0.4 - 10 * trial.config.learning_rate]

    one = tried("one", by_size)
    assert tried("same", by_size, train_mse=0.1) == one
    other = tried("other", by_rate)
    assert (other[:3] == one[:3], other[3:] != one[3:]) == (True, True)


def test_trials_are_rows_with_what_they_were_told_and_came_to_at_last(searched: Book) -> None:
    table = given(searched, "search")["trials"]
    assert list(table["trial"]) == list(range(6))
    assert list(table["state"]) == [state for state, _ in CURVES]
    assert list(table["val_mse"]) == [curve[-1] for _, curve in CURVES]
    assert list(table["epochs"]) == [len(curve) for _, curve in CURVES]
    assert list(table["seconds"]) == [1.5 if len(curve) == 1 else 1.5 + 2.5 for _, curve in CURVES]
    assert table["error"].notna().tolist() == [state == "failed" for state, _ in CURVES]
    assert set(table["seed"]) == {5}
    for row, trial in zip(table.to_dict("records"), searched.study("search").trials, strict=True):
        model = trial.config
        assert tuple(row[f"params_filters{number}"] for number in (1, 2, 3)) == model.filters
        assert (row["params_neurons"], row["params_latent_dim"]) == (model.neurons, model.latent_dim)
        assert (row["params_optimizer"], row["params_learning_rate"]) == (model.optimizer, model.learning_rate)
        assert row["num_parameters"] == sum(weights.numel() for weights in Autoencoder(model).parameters())
        assert (model.weight_decay, model.batch_size) == (0.125, 99)


def test_learning_curves_of_trials_have_every_epoch_in_its_column(searched: Book) -> None:
    table = given(searched, "search")["trial_epochs"]
    assert list(table["trial"]) == [0, 0, 1, 1, 2, 3, 3, 4, 4, 5, 5]
    assert list(table["epoch"]) == [1, 2, 1, 2, 1, 1, 2, 1, 2, 1, 2]
    assert list(table["val_mse"]) == [value for _, curve in CURVES for value in curve]
    assert (table["train_mse"] == 10 + table["epoch"] + table["val_mse"]).all()
    assert (table["seconds"] == table["epoch"] + 0.5).all()


def test_the_journal_is_of_a_study_that_minimises_with_the_trials_as_they_were(
    searched: Book, tmp_path: Path
) -> None:
    path = tmp_path / "optuna.journal"
    path.write_bytes(given(searched, "search")["optuna.journal"].content)
    study = optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(str(path))))
    assert study.direction == optuna.study.StudyDirection.MINIMIZE
    assert (study.best_trial.number, study.best_value) == (3, 0.20)
    assert [trial.state.name for trial in study.trials] == [
        "COMPLETE",
        "COMPLETE",
        "PRUNED",
        "COMPLETE",
        "FAIL",
        "COMPLETE",
    ]
    assert study.trials[1].intermediate_values == {1: 0.10, 2: 0.25}
    assert study.metric_names == ["val_mse"]
    assert study.user_attrs == {"preset": "smoke", "seed": 5, "commit": ""}
    for trial, (_, curve) in zip(study.trials, CURVES, strict=True):
        assert trial.duration == timedelta(seconds=1.5 if len(curve) == 1 else 4.0)
    model = searched.study("search").trials[1].config
    assert study.trials[1].params["filters2"] == model.filters[1]
    assert study.trials[1].params["learning_rate"] == model.learning_rate


def test_importances_are_shares_and_greatest_of_what_the_error_hangs_on(tmp_path: Path) -> None:
    book = book_of(tmp_path, search={"num_trials": 40, "num_startup_trials": 40})
    trained(book, "search", lambda trial: (epochs([0.5, 0.01 * trial.config.latent_dim]), None))
    table = given(book, "search")["importances"].set_index("param")["importance"]
    rates = [trial.config.learning_rate for trial in book.study("search").trials]
    assert 5e-4 < np.median(rates) < 2e-3, "drawn on a logarithmic scale from 1e-4 to 1e-2"
    assert table.sum() == pytest.approx(1)
    assert table.idxmax() == "latent_dim"
    assert table["latent_dim"] > 0.8
    assert set(table.index) == {
        "filters1",
        "filters2",
        "filters3",
        "neurons",
        "latent_dim",
        "optimizer",
        "learning_rate",
    }


def test_final_models_are_the_best_one_and_table_1_and_the_best_one_with_one_thing_changed(searched: Book) -> None:
    found = changed(searched.study("search").trials[3].config, epochs=2)
    trials = searched.study("refit").trials
    table1 = changed(PAPER_TABLE1, weight_decay=0.125, batch_size=99, epochs=2)
    assert {trial.key: trial.config for trial in trials} == {
        "best-seed-5": found,
        "paper_table1-seed-5": table1,
        "two_dim-seed-5": changed(PRESET.capacity.autoencoder(2, weight_decay=0.125), epochs=2, loss="cross_entropy"),
        "denoise_zeroed-seed-5": changed(found, noise="zeroed"),
        "denoise_gaussian-seed-5": changed(found, noise="gaussian"),
        "denoise_gaussian_unclipped-seed-5": changed(found, noise="gaussian_unclipped"),
    }
    assert found.learning_rate == searched.study("search").trials[3].config.learning_rate
    assert {(trial.seed, trial.epochs, trial.keep_weights) for trial in trials} == {(5, 2, True)}
    assert len({trial.address for trial in trials}) == 6


def test_final_models_are_trained_from_so_many_seeds_and_the_first_seed_s_is_the_file(tmp_path: Path) -> None:
    book = book_of(tmp_path, seed=5, refit={"num_seeds": 2}, search={"num_trials": 1, "num_startup_trials": 1})
    trained(book, "search", lambda trial: (epochs([0.5, 0.4]), None))
    trials = book.study("refit").trials
    assert [trial.seed for trial in trials] == [5] * 6 + [6] * 6
    assert {trial.key for trial in trials} == {f"{name}-seed-{seed}" for name in MODELS for seed in (5, 6)}
    assert [trial.config for trial in trials[:6]] == [trial.config for trial in trials[6:]]
    assert len({trial.address for trial in trials}) == 12

    def how(trial: Trial[Any]) -> tuple[Rows, dict[str, Any]]:
        return last_epochs(train_mse=0.1, test_mse=trial.seed), dict(Autoencoder(trial.config).state_dict())

    recorded(book, "refit", how)
    parts = given(book, "refit")
    assert list(parts["models"]["model"]) == MODELS * 2
    assert list(parts["models"]["seed"]) == list(parts["models"]["test_mse"]) == [5] * 6 + [6] * 6
    assert {name: file.record.seed for name, file in models_of(parts).items()} == dict.fromkeys(MODELS, 5)
    of_models = parts["layers"].groupby("model", observed=True)["num_parameters"].sum()
    assert of_models.to_dict() == parts["models"][:6].set_index("model")["num_parameters"].to_dict()


def test_folds_are_of_every_model_and_the_first_one_has_every_order_and_every_fold_from_more_seeds(
    searched: Book,
) -> None:
    trials = searched.study("kfold").trials
    found = changed(searched.study("search").trials[3].config, epochs=2)
    table1 = changed(PAPER_TABLE1, weight_decay=0.125, batch_size=99, epochs=2)
    told = [(trial.config.model, trial.config.order, trial.config.fold, trial.seed) for trial in trials]
    assert told == [
        *((found, "sequential", fold, 5) for fold in range(3)),
        *((table1, "sequential", fold, 5) for fold in range(3)),
        *((found, "class_sorted", fold, 5) for fold in range(3)),
        *((found, "sequential", fold, 6) for fold in range(3)),
    ]
    assert {(trial.config.order_seed, trial.config.num_folds) for trial in trials} == {(5, 3)}
    assert len({trial.key for trial in trials}) == len({trial.address for trial in trials}) == 12
    keys = [trial.key for trial in trials]
    assert keys[:1] + keys[5:7] + keys[-1:] == [
        *("best-sequential-0-seed-5", "paper_table1-sequential-2-seed-5"),
        *("best-class_sorted-0-seed-5", "best-sequential-2-seed-6"),
    ]


def test_a_cross_validation_at_the_paper_s_scale_has_42_trainings_of_three_models(tmp_path: Path) -> None:
    book = book_of(tmp_path, seed=5, kfold=Kfold.settings().model_dump())
    trials = book.study("kfold").trials
    arms = [trial.key.rpartition("-seed-")[0].rpartition("-")[0] for trial in trials]
    assert {arm: arms.count(arm) for arm in arms} == {
        "best-sequential": 24,
        "best-class_sorted": 6,
        "paper_table1-sequential": 6,
        "author_best-sequential": 6,
    }
    sizes = {trial.key.partition("-")[0]: trial.config.model for trial in trials}
    assert sizes["author_best"] == changed(AUTHOR_BEST, epochs=20)
    assert sizes["paper_table1"] == changed(PAPER_TABLE1, epochs=20)


def test_folds_are_rows_with_their_images_and_each_error_in_its_column(tmp_path: Path) -> None:
    kfold = {"models": ("paper_table1", "author_best"), "num_folds": 6}
    book = book_of(tmp_path, grey(125, 30), seed=5, kfold=kfold, data={"num_train": 125, "num_test": 30})
    by_class = {f"val_mse_class_{label}": label / 100 for label in range(1, 10)}
    records = [
        Record(
            trial.key,
            trial.config,
            trial.seed,
            "complete",
            [
                {"epoch": 1, "train_mse": 9, "last_batch_mse": 9, "val_mse": 9, "seconds": 2.0},
                {"epoch": 2, "train_mse": n + 0.1, "last_batch_mse": n + 0.2, "val_mse": n + 0.3, "test_mse": n + 0.4}
                | {"train_mse_evaluated": n + 0.5, "seconds": 3.0, **by_class},
            ],
        )
        for n, trial in enumerate(book.study("kfold").trials)
    ]
    tables = given(book, "kfold", records)
    folds, number = tables["folds"], 24
    for column, part in (("train_mse", 0.1), ("val_mse", 0.3), ("test_mse", 0.4), ("train_mse_evaluated", 0.5)):
        assert list(folds[column]) == [n + part for n in range(number)]
    assert folds["val_mse_class_0"].isna().all(), "a block without this class"
    assert {name: set(folds[name]) for name in by_class} == {name: {value} for name, value in by_class.items()}
    assert list(folds["num_val"]) == [20, 21, 21, 21, 21, 21] * 4
    assert (folds["num_train"] + folds["num_val"] == 125).all()
    assert list(folds["fold"]) == [*range(6)] * 4
    assert list(folds["model"]) == ["paper_table1"] * 6 + ["author_best"] * 6 + ["paper_table1"] * 12
    assert list(folds["order"]) == ["sequential"] * 12 + ["class_sorted"] * 6 + ["sequential"] * 6
    assert list(folds["seed"]) == [5] * 18 + [6] * 6
    assert set(folds["seconds"]) == {5.0}
    curves = tables["fold_epochs"]
    assert list(curves["epoch"]) == [1, 2] * number
    last = curves[curves["epoch"] == 2]
    for column, part in (("train_mse", 0.1), ("last_batch_mse", 0.2), ("val_mse", 0.3)):
        assert list(last[column]) == [n + part for n in range(number)]
    for column in ("model", "order", "fold", "seed"):
        assert list(last[column]) == list(folds[column])
    assert list(curves["seconds"]) == [2.0, 3.0] * number


def test_the_balance_of_classes_is_that_of_the_images_and_of_each_fold_s_block(tmp_path: Path) -> None:
    images = grey(125, 30)
    kfold = {"models": ("paper_table1",), "num_folds": 5}
    book = book_of(tmp_path, images, seed=5, kfold=kfold, data={"num_train": 125, "num_test": 30})
    table = given(book, "kfold", [])["class_balance"]
    whole = table[table["images"] != "validation"]
    assert list(whole["images"]) == ["train"] * 10 + ["test"] * 10
    assert list(whole["num_images"]) == [
        int((labels == label).sum()) for labels in (images.train_labels, images.test_labels) for label in range(10)
    ]
    assert whole[["order", "fold"]].isna().all(axis=None)
    blocks = table[table["images"] == "validation"]
    assert list(blocks["label"]) == [*range(10)] * 10
    for order, labels in (("sequential", images.train_labels), ("class_sorted", np.sort(images.train_labels))):
        for fold in range(5):
            counts = np.bincount(labels[25 * fold : 25 * fold + 25], minlength=10)
            of_fold = blocks[(blocks["order"] == order) & (blocks["fold"] == fold)]
            assert list(of_fold["num_images"]) == list(counts)


def test_final_models_are_rows_and_files_with_what_they_came_to(searched: Book) -> None:
    book, tiny = searched, changed(TINY, epochs=2)
    records, weights = [], Autoencoder(tiny).state_dict()
    for n, trial in enumerate(book.study("refit").trials):
        small = replace(trial, config=changed(tiny, noise=trial.config.noise))
        book.records("refit").save_results(small, Checkpoint([], {"model": weights}))
        errors = {"train_mse": n + 0.1, "train_mse_evaluated": n + 0.3, "last_batch_mse": 9.0, "test_mse": n + 0.2}
        errors["seconds"] = 1.0
        rows = [{"epoch": 1, "train_mse": 9.0, "seconds": 1.0}, {"epoch": 2, **errors}]
        state: Any = "failed" if trial.key == "two_dim-seed-5" else "complete"
        records.append(Record(trial.key, small.config, 5, state, rows, address=trial.address))
    parts = given(book, "refit", records)
    models = parts["models"].set_index("model")
    assert list(models.index) == MODELS
    assert list(models["noise"]) == ["none", "none", "none", "zeroed", "gaussian", "gaussian_unclipped"]
    complete = models.drop(index="two_dim")
    assert list(complete["test_mse"]) == [n + 0.2 for n in (0, 1, 3, 4, 5)]
    assert list(complete["train_mse"]) == [n + 0.1 for n in (0, 1, 3, 4, 5)]
    assert list(complete["train_mse_evaluated"]) == [n + 0.3 for n in (0, 1, 3, 4, 5)]
    assert models.loc["two_dim", ["test_mse", "train_mse"]].isna().all()
    assert set(models["num_parameters"]) == {sum(it.numel() for it in Autoencoder(tiny).parameters())}
    assert set(models["seconds"]) == {2.0}
    files = models_of(parts)
    assert list(files) == [name for name in MODELS if name != "two_dim"]
    for name, file in files.items():
        assert (file.record.key, file.description["test_mse"]) == (f"{name}-seed-5", complete.loc[name, "test_mse"])
        assert file.description["settings"] == file.record.config.model_dump(mode="json")
        assert file.description["seed"] == 5
    of_models = parts["layers"].groupby("model", observed=True)["num_parameters"].sum()
    assert of_models.to_dict() == complete["num_parameters"].to_dict()


# Which images a training learns from, is validated on and is tested on.

IMAGES = grey(120, 30)
ALL = np.arange(120)


def fold(order: Any, number: int) -> Fold:
    return Fold(model=TINY, order=order, order_seed=3, fold=number, num_folds=6)


def shuffled(number: int) -> NDArray[np.int64]:
    return np.random.default_rng(3).permutation(120)[20 * number : 20 * number + 20]


def by_class(number: int) -> NDArray[np.int64]:
    found = [index for label in range(10) for index in ALL if IMAGES.train_labels[index] == label]
    return np.array(found[20 * number : 20 * number + 20])


@pytest.mark.parametrize(
    ("stage", "config", "held_out", "tested"),
    [
        (Search(), TINY, ALL[100:], False),
        (Studies(), Tried(study="tpe-2", number=0, model=TINY), ALL[100:], False),
        (Kfold(), fold("sequential", 0), ALL[:20], True),
        (Kfold(), fold("sequential", 4), ALL[80:100], True),
        (Kfold(), fold("shuffled", 1), shuffled(1), True),
        (Kfold(), fold("class_sorted", 5), by_class(5), True),
        (Refit(), TINY, ALL[:0], True),
        (Capacity(), Reconstructor(method="autoencoder", model=TINY), ALL[:0], True),
    ],
    ids=lambda it: it.name if isinstance(it, Stage) else it.order if isinstance(it, Fold) else "",
)
def test_a_training_learns_from_all_images_but_those_held_out_and_is_measured_on_these_and_the_test_images(
    stage: Stage[Any, Any], config: Any, held_out: NDArray[np.int64], tested: bool
) -> None:
    def after(data: Dataset) -> tuple[Any, Autoencoder]:
        (epoch,) = stage.train(Trial("one", config, seed=2, epochs=1), data, Worker())
        model = Autoencoder(TINY)
        model.load_state_dict(epoch.state()["model"])
        return epoch, model

    def spoilt(which: NDArray[np.int64]) -> Dataset:
        images = IMAGES.train_images.copy()
        images[which] = 255 - images[which]
        return replace(IMAGES, train_images=images, test_images=255 - IMAGES.test_images)

    def reconstructed(model: Autoencoder) -> bytes:
        return reconstruct(model, IMAGES.test_images[:3]).tobytes()

    def error(model: Autoencoder, images: NDArray[np.uint8]) -> float:
        return float(np.square(reconstruct(model, images) - images / 255).mean())

    epoch, model = after(IMAGES)
    by_class = {name for name in epoch.metrics if name.startswith("val_mse_class_")}
    classes = set(IMAGES.train_labels[held_out]) if isinstance(stage, Kfold) else set()
    assert by_class == {f"val_mse_class_{label}" for label in classes}
    errors = {"val_mse": IMAGES.train_images[held_out]} if len(held_out) else {}
    errors |= {"test_mse": IMAGES.test_images} if tested else {}
    for name, images in errors.items():
        assert epoch.metrics[name] == pytest.approx(error(model, images), rel=1e-5)
    assert {"val_mse", "test_mse"} & set(epoch.metrics) == set(errors)

    # Whatever is held out, and the test images, decide no weight; every other image does.
    _, same = after(spoilt(held_out))
    assert reconstructed(same) == reconstructed(model)
    for index in {0, 19, 20, 79, 80, 99, 100, 119} - set(held_out.tolist()):
        _, other = after(spoilt(np.array([index])))
        assert reconstructed(other) != reconstructed(model), index
