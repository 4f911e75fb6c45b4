"""capacity: PCA is of the training images and measured on the test images; what noise passes is held to the clean."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from orchestrator.engine.book import Book
from orchestrator.engine.records import Checkpoint, Record, Trial
from orchestrator.engine.settings import changed
from orchestrator.stages.capacity import Reconstructor
from tests.stages.known import KNOWN, given, grey, known_answer, known_weights, last_epochs
from tests.stages.made_up import book_of
from trainables.autoencoder_settings import PAPER_TABLE1, LinearSettings
from trainables.linear_autoencoder import LinearAutoencoder
from trainables.noise import add_noise

SEED = 11
WIDE = Reconstructor(method="wide_autoencoder", model=KNOWN)


def book(folder: Path, images: Any = None, **changes: Any) -> Book:
    return book_of(folder, images, seed=SEED, **changes)


def record(of: Book, key: str, config: Reconstructor, weights: dict[str, Any], seed: int = SEED) -> Record[Any]:
    """A complete training, whose train_mse is .5 and whose test_mse is .25."""
    trial = Trial(key, config, seed, 1, keep_weights=True, address=key)
    of.records("capacity").save_results(trial, Checkpoint([], {"model": weights}))
    rows = last_epochs(train_mse=0.5, test_mse=0.25)
    return Record(key, config, seed, "complete", rows, address=key)


def linear_weights(*pixels: int) -> dict[str, Any]:
    """A linear autoencoder that decodes to these pixels, as many as there are latent numbers."""
    weights = {name: 0 * tensor for name, tensor in LinearAutoencoder(len(pixels)).state_dict().items()}
    for number, pixel in enumerate(pixels):
        weights["decoder.weight"][pixel, number] = -2.0
    return weights


def two_directions(first: int, second: int) -> Any:
    """Images of grey 100 in which pixel 0 goes up and down by `first` and pixel 1, which knows nothing of it, by
    `second`; in the test images pixels 2 and 0 are brighter by 20 and 10, so that their mean is another."""
    images = np.full((4, 28, 28), 100, np.uint8)
    images[:, 0, 0], images[:, 0, 1] = 100 + first * np.array([1, 1, -1, -1]), 100 + second * np.array([1, -1, 1, -1])
    test = images.copy()
    test[:, 0, 2] += 20
    test[:, 0, 0] += 10
    return replace(grey(4, 4), train_images=images, test_images=test)


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
    assert pca[["seed", "train_mse", "epochs", "state", "num_parameters"]].isna().all(axis=None)
    linear = table[(table["method"] == "linear_autoencoder") & (table["state"] == "complete")]
    for pixels, row in zip(DIRECTIONS, linear.to_dict("records"), strict=True):
        size = len(pixels)
        assert row["pca_ratio"] == pytest.approx(0.25 / pca.loc[size, "test_mse"])
        assert (row["test_mse"], row["train_mse"], row["seed"], row["epochs"]) == (0.25, 0.5, SEED, 1)
        assert (row["latent_dim"], row["num_parameters"]) == (size, 2 * 784 * size)
        assert row["largest_angle_degrees"] == pytest.approx(DIRECTIONS[pixels], abs=1e-3), pixels


def test_a_failed_training_is_a_row_without_error_ratio_and_angle_and_has_no_identity(
    tables: dict[str, pd.DataFrame],
) -> None:
    rows = tables["reconstruction"].iloc[-2:]
    assert rows[["test_mse", "train_mse", "pca_ratio", "largest_angle_degrees"]].isna().all(axis=None)
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
    assert {(row["latent_dim"], row["seed"]) for row in rows} == {(2, SEED + 3)}
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


def test_every_method_and_size_is_trained_from_each_seed_and_what_is_looked_into_keeps_its_weights(
    tmp_path: Path,
) -> None:
    own = {"latent_dims": (2, 14), "wide_dims": (784,), "linear_dims": (2, 8), "num_seeds": 3, "control_epochs": 4}
    of = book(tmp_path, capacity=own, autoencoder={"weight_decay": 0.125})
    trials = of.study("capacity").trials
    assert len({trial.key for trial in trials}) == len({trial.address for trial in trials}) == len(trials)
    told: dict[tuple[str, int], list[int]] = {}
    for trial in trials:
        told.setdefault((trial.config.method, trial.config.model.latent_dim), []).append(trial.seed)
        assert trial.keep_weights == (trial.config.method in {"wide_autoencoder", "linear_autoencoder"})
        assert trial.epochs == trial.config.model.epochs
    ablations = [
        *("table1", "table1_no_batch_norm", "table1_no_relu", "table1_weight_decay_0", "table1_weight_decay_0.01"),
        "table1_kernel_5",
    ]
    seeds = [SEED, SEED + 1, SEED + 2]
    several = [("autoencoder", 2), ("autoencoder", 14), ("linear_autoencoder", 2), ("linear_autoencoder", 8)]
    assert told == {("wide_autoencoder", 784): [SEED]} | dict.fromkeys(
        [*several, *((it, 3) for it in ablations)], seeds
    )
    models = {trial.config.method: trial.config.model for trial in trials}
    table1 = changed(PAPER_TABLE1, weight_decay=0.125, batch_size=of.settings.autoencoder.batch_size, epochs=4)
    assert [models[name] for name in ablations] == [
        table1,
        changed(table1, batch_norm=False),
        changed(table1, relu=False),
        changed(table1, weight_decay=0.0),
        changed(table1, weight_decay=0.01),
        changed(table1, kernel_size=5),
    ]
    assert (models["autoencoder"].weight_decay, models["wide_autoencoder"].weight_decay) == (0.125, 0.125)
    assert models["autoencoder"].schedule == "cosine"
