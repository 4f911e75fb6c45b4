"""capacity: PCA is of the training images and measured on the test images; what noise passes is held to the clean."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from orchestrator.engine.book import Book
from orchestrator.engine.checkpoint import Checkpoint
from orchestrator.engine.records import Record, Trial
from orchestrator.engine.settings import changed
from orchestrator.engine.stage import Context, Stage
from orchestrator.stages.architectures import plane_model
from orchestrator.stages.capacity.models import Reconstructor
from orchestrator.stages.sections import Autoencoders, Data
from tests.stages.known import KNOWN, at, given, grey, known_answer, known_weights, last_epochs
from tests.stages.made_up import book_of
from trainables.autoencoder_settings import PAPER_TABLE1, LinearSettings
from trainables.linear_autoencoder import LinearAutoencoder
from trainables.noise import add_noise

SEED = 11
WIDE = Reconstructor(method="wide_autoencoder", model=KNOWN)


def book(folder: Path, images: Any = None, **changes: Any) -> Book:
    return book_of(folder, images, seed=SEED, **changes)


def record(of: Book, key: str, config: Reconstructor, weights: dict[str, Any], seed: int = SEED) -> Record[Any]:
    """A complete training of one epoch, whose train_mse is .5, then evaluated .375, and whose test_mse is .25."""
    trial = Trial(key, config, seed, 1, keep_weights=True, address=key)
    of.records("capacity").save_results(trial, Checkpoint([], {"model": weights}))
    rows = last_epochs(train_mse=0.5, train_mse_evaluated=0.375, test_mse=0.25)
    return Record(key, config, seed, "complete", rows, address=key)


def linear_weights(*pixels: int) -> dict[str, Any]:
    """A linear autoencoder that decodes to these pixels, as many as there are latent numbers."""
    weights = {
        name: 0 * tensor
        for name, tensor in LinearAutoencoder(LinearSettings(latent_dim=len(pixels))).state_dict().items()
    }
    for number, pixel in enumerate(pixels):
        weights["decoder.weight"][pixel, number] = -2.0
    return weights


def two_directions(first: int, second: int) -> Any:
    """Images of grey 100 in which pixel 0 goes up and down by `first` and pixel 1, which knows nothing of it, by
    `second`; in the test images pixels 2 and 0 are brighter by 20 and 10, so that their mean is another."""
    images = np.full((8, 28, 28), 100, np.uint8)
    images[:, 0, 0], images[:, 0, 1] = (
        100 + first * np.array([1, 1, -1, -1] * 2),
        100 + second * np.array([1, -1] * 4),
    )
    test = images.copy()
    test[:, 0, 2] += 20
    test[:, 0, 0] += 10
    return replace(grey(8, 8), train_images=images, test_images=test)


DIRECTIONS: dict[tuple[int, ...], float] = {(0,): 0, (1,): 90, (0, 1): 0, (1, 0): 0, (0, 700): 90}
"""What linear autoencoders decode to, and how many degrees away from as many of PCA's components that is."""


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    """Of linear autoencoders, and of trainings that failed, on images of two directions."""
    of = book(tmp_path_factory.mktemp("capacity"), two_directions(40, 30))
    models = {
        pixels: Reconstructor(method="linear_autoencoder", model=LinearSettings(latent_dim=len(pixels)))
        for pixels in DIRECTIONS
    }
    records = [record(of, f"linear-{pixels}", model, linear_weights(*pixels)) for pixels, model in models.items()]
    untuned = Reconstructor(method="linear_untuned", model=LinearSettings(latent_dim=1, learning_rate=0.125))
    records.append(record(of, "untuned", untuned, linear_weights(1)))
    records += [
        Record("wide", WIDE, SEED, "failed", error="out of paint"),
        Record("linear", models[0, 1], SEED, "failed", error="likewise"),
    ]
    return given(of, "capacity", records)


def test_pca_is_of_the_training_images_and_its_error_that_of_the_test_images(tables: dict[str, pd.DataFrame]) -> None:
    table = tables["reconstruction"]
    pca = table[table["method"] == "pca"].set_index("latent_dim")
    # In shares of 255, squared: the first component takes pixel 0 away, the second pixel 1, none pixel 2.
    assert pca.loc[1, "test_mse"] == pytest.approx((30**2 + 20**2) / 255**2 / 784)
    assert pca.loc[2, "test_mse"] == pytest.approx(20**2 / 255**2 / 784)
    assert set(pca["pca_ratio"]) == {1.0}
    missing = ["seed", "learning_rate", "train_mse", "train_mse_evaluated", "epochs", "state", "num_parameters"]
    assert pca[missing].isna().all(axis=None)
    linear = table[(table["method"] == "linear_autoencoder") & (table["state"] == "complete")]
    for pixels, row in zip(DIRECTIONS, linear.to_dict("records"), strict=True):
        size = len(pixels)
        assert row["pca_ratio"] == pytest.approx(0.25 / pca.loc[size, "test_mse"])
        assert (row["test_mse"], row["train_mse"], row["train_mse_evaluated"]) == (0.25, 0.5, 0.375)
        assert (row["seed"], row["epochs"], row["learning_rate"]) == (SEED, 1, 4e-3)
        assert (row["latent_dim"], row["num_parameters"]) == (size, 2 * 784 * size)
        assert row["largest_angle_degrees"] == pytest.approx(DIRECTIONS[pixels], abs=1e-3), pixels
    (untuned,) = table[table["method"] == "linear_untuned"].to_dict("records")
    assert (untuned["largest_angle_degrees"], untuned["learning_rate"]) == (pytest.approx(90, abs=1e-3), 0.125)


def test_every_epoch_of_a_training_is_a_row(tables: dict[str, pd.DataFrame]) -> None:
    epochs = tables["reconstruction_epochs"]
    assert set(epochs["method"]) == {"linear_autoencoder", "linear_untuned"}
    assert list(epochs["latent_dim"]) == [*map(len, DIRECTIONS), 1]
    assert (set(epochs["seed"]), set(epochs["epoch"]), set(epochs["train_mse"])) == ({SEED}, {1}, {0.5})


def test_codes_are_judged_by_the_classes_of_the_five_training_images_nearest(tmp_path: Path) -> None:
    # Of six training images a class by two pixels, the test images in the middle of three of the first class, and of
    # one of the second that is called the first.
    dark, bright = [(10 + n, 20) for n in range(6)], [(200 + n, 220) for n in range(6)]
    images = replace(
        grey(12, 4),
        train_images=at(dark + bright, background=50),
        train_labels=np.repeat([0, 1], 6).astype(np.uint8),
        test_images=at([(12, 20), (13, 20), (11, 20), (202, 220)], background=50),
        test_labels=np.zeros(4, np.uint8),
    )
    of = book(tmp_path, images, capacity={"latent_dims": (1, 2)})
    kept = Reconstructor(method="autoencoder", model=KNOWN)
    entropy = Reconstructor(method="cross_entropy", model=KNOWN)
    records = [record(of, model.method, model, known_weights(0.0)) for model in (kept, WIDE, entropy)]
    table = given(of, "capacity", records)["reconstruction"].dropna(subset="knn_accuracy")
    assert [tuple(row) for row in table[["method", "latent_dim", "knn_accuracy"]].to_numpy()] == [
        ("pca", 1, 0.75),
        ("pca", 2, 0.75),
        ("autoencoder", 2, 0.75),
        ("cross_entropy", 2, 0.75),
    ]


def test_a_failed_training_is_a_row_without_error_ratio_and_angle_and_has_no_identity(
    tables: dict[str, pd.DataFrame],
) -> None:
    rows = tables["reconstruction"].iloc[-2:]
    missing = ["test_mse", "train_mse", "train_mse_evaluated", "pca_ratio", "largest_angle_degrees", "knn_accuracy"]
    assert rows[missing].isna().all(axis=None)
    assert list(rows["error"]) == ["out of paint", "likewise"]
    assert tables["identity"].empty


def test_noise_that_passes_is_what_noise_changes_in_the_output_over_what_went_in(tmp_path: Path) -> None:
    images = grey(120, 30)
    of = book(tmp_path, images, denoise={"zeroed": (0.4,), "gaussian": (0.25,)})
    bias, clean = 0.4, images.test_images / 255
    other = record(of, "other", Reconstructor(method="autoencoder", model=KNOWN), known_weights(0.0))
    tables = given(of, "capacity", [other, record(of, "wide", WIDE, known_weights(bias), seed=SEED + 3)])
    rows = tables["identity"].to_dict("records")
    assert [(row["noise"], row["level"]) for row in rows] == [
        ("none", 0),
        ("zeroed", 0.4),
        ("gaussian_unclipped", 0.25),
    ]
    assert {(row["method"], row["latent_dim"], row["seed"]) for row in rows} == {("wide_autoencoder", 2, SEED + 3)}
    of_clean = known_answer(clean, bias)
    nothing, *noisy_rows = rows
    assert (nothing["noisy_mse"], math.isnan(nothing["noise_passed"])) == (0, True)
    for name in ("reconstructed_mse", "copy_mse"):
        assert nothing[name] == pytest.approx(np.square(of_clean - clean).mean(), rel=1e-5)
    for row in noisy_rows:
        noisy = add_noise(images.test_images, row["noise"], row["level"], seed=SEED)
        of_noisy = known_answer(noisy, bias)
        went_in = np.square(noisy - clean).mean()
        assert row["noisy_mse"] == pytest.approx(went_in, rel=1e-5)
        assert row["reconstructed_mse"] == pytest.approx(np.square(of_noisy - clean).mean(), rel=1e-5)
        assert row["copy_mse"] == pytest.approx(np.square(of_noisy - noisy).mean(), rel=1e-5)
        assert row["noise_passed"] == pytest.approx(np.square(of_noisy - of_clean).mean() / went_in, rel=1e-3)


def test_no_noise_at_all_has_no_share_that_passes(tmp_path: Path) -> None:
    of = book(tmp_path, grey(120, 30), denoise={"zeroed": (0.0,), "gaussian": (0.0,)})
    rows = given(of, "capacity", [record(of, "wide", WIDE, known_weights(0.4))])["identity"]
    assert (rows["noisy_mse"] == 0).all()
    assert rows["noise_passed"].isna().tolist() == [True] * 3


def test_a_subspace_of_more_dimensions_than_pca_has_components_has_no_angle_to_it(tmp_path: Path) -> None:
    of = book(tmp_path, two_directions(40, 30))  # eight images
    wide = Reconstructor(method="linear_autoencoder", model=LinearSettings(latent_dim=9))
    table = given(of, "capacity", [record(of, "wide", wide, linear_weights(*range(9)))])["reconstruction"]
    assert table[table["method"] == "linear_autoencoder"]["largest_angle_degrees"].isna().tolist() == [True]


def test_a_linear_identity_lets_all_noise_through(tmp_path: Path) -> None:
    of = book(tmp_path, grey(120, 30), denoise={"zeroed": (0.4,), "gaussian": (0.25,)})
    whole = Reconstructor(method="linear_overcomplete", model=LinearSettings(latent_dim=784))
    weights = LinearAutoencoder(LinearSettings(latent_dim=784)).state_dict()
    for name in ("encoder.weight", "decoder.weight"):
        weights[name][:] = 2 * torch.eye(784) if name == "encoder.weight" else torch.eye(784) / 2
    rows = given(of, "capacity", [record(of, "whole", whole, weights)])["identity"]
    assert set(rows["method"]) == {"linear_overcomplete"}
    assert rows["noise_passed"].tolist() == [pytest.approx(value, nan_ok=True) for value in (math.nan, 1, 1)]
    assert rows["copy_mse"].tolist() == pytest.approx([0, 0, 0], abs=1e-12)


def test_every_method_and_size_is_trained_from_each_seed_and_what_is_looked_into_keeps_its_weights(
    tmp_path: Path,
) -> None:
    own = {"latent_dims": (2, 14), "wide_dims": (14, 784, 1024), "linear_dims": (2, 8), "num_seeds": 3}
    own |= {"cross_entropy_dims": (9,)}
    own |= {"control_epochs": 4, "control_seeds": 2, "wide_epochs": 3, "linear_epochs": 6, "epochs": 5}
    of = book(tmp_path, capacity=own, autoencoder={"weight_decay": 0.125})
    trials = of.study("capacity").trials
    assert len({trial.key for trial in trials}) == len({trial.address for trial in trials}) == len(trials)
    told: dict[tuple[str, int], list[int]] = {}
    for trial in trials:
        method = trial.config.method
        told.setdefault((method, trial.config.model.latent_dim), []).append(trial.seed)
        assert trial.keep_weights == (not method.startswith("table1")), method
        assert trial.epochs == trial.config.model.epochs
    table1 = changed(PAPER_TABLE1, weight_decay=0.125, batch_size=of.settings.autoencoder.batch_size, epochs=4)
    ablations = {
        "table1": table1,
        "table1_no_batch_norm": changed(table1, batch_norm=False),
        "table1_step_0.002": changed(table1, learning_rate=2e-3),
        "table1_no_batch_norm_step_0.002": changed(table1, batch_norm=False, learning_rate=2e-3),
        "table1_no_relu": changed(table1, relu=False),
        "table1_kernel_5": changed(table1, kernel_size=5),
        "table1_adam_l2_0": changed(table1, optimizer="adam", weight_decay=0.0),
        "table1_adam_l2_1e-05": changed(table1, optimizer="adam", weight_decay=1e-5),
        "table1_adam_l2_0.0001": changed(table1, optimizer="adam", weight_decay=1e-4),
        "table1_adam_l2_0.001": changed(table1, optimizer="adam", weight_decay=1e-3),
    }
    seeds = [SEED, SEED + 1, SEED + 2]
    several = [("autoencoder", 2), ("autoencoder", 14), ("cross_entropy", 9)]
    several += [(method, k) for method in ("linear_autoencoder", "linear_untuned") for k in (2, 8)]
    single = [("wide_autoencoder", k) for k in (14, 784, 1024)] + [("wide_no_batch_norm", 784)]
    single += [("linear_overcomplete", k) for k in (784, 1024)]
    expected = dict.fromkeys(several, seeds) | dict.fromkeys(single, seeds[:1])
    assert told == expected | dict.fromkeys([(method, 3) for method in ablations], seeds[:2])
    models = {trial.config.method: trial.config.model for trial in trials}
    assert {method: models[method] for method in ablations} == ablations
    assert (models["autoencoder"].weight_decay, models["wide_autoencoder"].weight_decay) == (0.125, 0.125)
    assert (models["autoencoder"].schedule, models["autoencoder"].epochs) == ("cosine", 5)
    linear = [models[f"linear_{it}"] for it in ("autoencoder", "untuned", "overcomplete")]
    assert [(model.learning_rate, model.epochs) for model in linear] == [(4e-3, 6), (1e-3, 6), (1e-3, 6)]
    trained_on = changed(of.settings.capacity.autoencoder(9, weight_decay=0.125), loss="cross_entropy")
    assert (models["cross_entropy"], models["autoencoder"].loss) == (trained_on, "mse")
    wide, wider = models["wide_autoencoder"], models["wide_no_batch_norm"]
    assert (wide.filters, wide.neurons, wide.epochs) == ((6, 21, 114), 1024, 3)
    assert (wider.filters, wider.neurons, wider.batch_norm) == ((8, 32, 176), 784, False)


class Asks(Stage[Any, Any]):
    """A stage that trains a plane."""

    name, title, reads = "asks", "", (Data, Autoencoders)


def test_plane_has_the_recipe_of_capacity_at_latent_size_2_and_cross_entropy_for_its_loss(tmp_path: Path) -> None:
    of = book(tmp_path, autoencoder={"weight_decay": 0.125})
    expected = changed(of.settings.capacity.autoencoder(2, weight_decay=0.125), epochs=9, loss="cross_entropy")
    assert plane_model(Context(Asks(), of), 9) == expected
