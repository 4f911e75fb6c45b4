"""gan: how its games went, in rows, and what its scores are worth."""

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from orchestrator.engine.book import Book
from orchestrator.engine.checkpoint import Checkpoint, Rows
from orchestrator.engine.records import Record
from orchestrator.engine.stage import Worker
from orchestrator.stages.gan import Gan
from orchestrator.stages.gan.layers import gan_layer_table
from orchestrator.stages.gan.measure import vanished_epoch
from orchestrator.stages.gan.references import grey_noise, section_rows
from orchestrator.stages.gan.score_columns import SCORES as SCORE_COLUMNS
from tests.stages.games import NO_SEARCH, NUM_TEST, NUM_TRAIN, book_with_a_classifier, images
from tests.stages.known import given, models_of
from trainables import classifier
from trainables.classifier_settings import ClassifierSettings
from trainables.gan import build
from trainables.gan_scores import SCORES, Vectors, frechet_distance, scores
from trainables.gan_settings import GanRecipe, GanSettings
from trainables.gan_training import generate, random_vectors

GAMES: dict[str, tuple[float, float, float, bool | None]] = {
    "paper-minimax-seed-1": (5.0, math.log(5) + 0.01, 0.011, False),
    "paper-non_saturating-seed-1": (3.0, math.log(5) - 0.01, 0.5, True),
    "tuned-minimax-seed-1": (2.0, 2.2, 0.4, False),
    "tuned-non_saturating-seed-1": (1.5, 2.2, 0.4, False),
    "paper-minimax-seed-2": (4.0, 2.0, 0.009, True),
    "paper-non_saturating-seed-2": (2.5, 2.2, 0.4, False),
    "tuned-minimax-seed-2": (1.0, 2.2, 0.4, False),
    "tuned-non_saturating-seed-2": (1.7, 2.2, 0.4, False),
    "paper-minimax-seed-3": (9.0, 2.2, 0.4, False),
    "paper-non_saturating-seed-3": (1.0, 2.2, 0.4, None),
    "tuned-minimax-seed-3": (1.1, 2.2, 0.4, False),
    "tuned-non_saturating-seed-3": (1.8, 2.2, 0.4, False),
}
"""Of each game its distance, class entropy and recall, and whether it has collapsed; one failed."""
MEANS = {"d_loss": 1.1, "g_loss": 1.2, "d_real": 0.6, "d_fake": 0.4, "g_logit_grad": 0.3, "g_weight_grad": 0.02}


def epochs(distance: float, entropy: float, recall: float) -> Rows:
    """Two, in which every metric has values of its own; the validation images rank the games the other way round."""
    last = {name: value + distance for name, value in MEANS.items()} | {"epoch": 2, "seconds": 3.0}
    first = {name: value - 0.3 for name, value in MEANS.items()} | {"epoch": 1, "seconds": 2.0}
    first |= {"val_frechet_distance": 99.0, "class_entropy": 0.0, "num_classes": 1.0}
    first["g_weight_grad_start"] = 210.0 + 100 * distance  # over a hundred times what is left after the last epoch
    last |= {"val_frechet_distance": 10 - distance, "class_entropy": entropy, "num_classes": 7.0}
    scores = {name: number + distance for number, name in enumerate(SCORES)}
    return [first | {"g_weight_grad": 50.0}, last | scores | {"recall": recall}]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Book, dict[str, Any]]:
    """Three seeds of each game in both arms, and what the stage makes of them."""
    made = book_with_a_classifier(tmp_path_factory.mktemp("played"), num_seeds=3, **NO_SEARCH)
    records = []
    for trial in made.study("gan").trials:
        *scores, collapsed = GAMES[trial.key]
        rows = epochs(*scores)
        failed = {"state": "failed", "error": "out of paint"} if collapsed is None else {"state": "complete"}
        made.records("gan").save_results(
            trial, Checkpoint(rows, {"model": build(trial.config.gan, seed=0)[0].state_dict()})
        )
        records.append(
            Record(trial.key, trial.config, trial.seed, **failed, epochs=rows, num_workers=2, address=trial.address)  # type: ignore[arg-type]
        )
    return made, given(made, "gan", records)


def key_of(row: Any) -> str:
    return f"{row.arm}-{row.loss}-seed-{row.seed}"


def features_of(pixels: NDArray[np.uint8]) -> Tensor:
    """By the classifier that knows nothing."""
    model = classifier.build(ClassifierSettings(input="raw", num_features=784, architecture="cnn"), seed=0).eval()
    with torch.inference_mode():
        return model.features(torch.from_numpy(pixels / 255).float().unsqueeze(1))


def test_games_are_rows_with_their_last_scores_and_the_floor(played: tuple[Book, dict[str, Any]]) -> None:
    made, parts = played
    table = parts["gans"]
    assert [key_of(row) for row in table.itertuples()] == list(GAMES)
    complete = table[table["state"] == "complete"]
    scores = [game for game in GAMES.values() if game[3] is not None]
    assert list(zip(complete["frechet_distance"], complete["class_entropy"], complete["recall"], strict=True)) == [
        game[:3] for game in scores
    ]
    for number, name in enumerate(SCORES):
        if name != "recall":
            assert complete[name].tolist() == [number + distance for distance, *_ in scores]
    assert complete["val_frechet_distance"].tolist() == [10 - distance for distance, *_ in scores]
    assert complete["collapsed"].tolist() == [collapsed for *_, collapsed in scores]
    assert (set(complete["num_classes"]), set(complete["num_workers"])) == ({7}, {2})
    failed = table[table["state"] == "failed"].iloc[0]
    assert failed[[*SCORES, "val_frechet_distance", "collapsed", "num_workers", "vanished_epoch"]].isna().all()
    assert failed["error"] == "out of paint"
    assert (set(table["epochs"]), set(table["seconds"])) == ({2}, {5.0})
    settings = made.settings.gan  # type: ignore[attr-defined]
    for (arm, loss), rows in table.groupby(["arm", "loss"], observed=True):
        recipe = settings.recipe(arm, loss)
        for name in ("learning_rate", "beta1", "beta2", "batch_size", "r1_penalty", "latent_dim", "schedule"):
            assert set(rows[name]) == {getattr(recipe, name)}

    record = made.context("gan").records("classify")["raw-cnn-seed-1"]
    weights = made.context("gan").weights(record, "classify")
    assert set(table["features"]) == {hashlib.sha256(weights).hexdigest()[:16]}
    intervals = parts["gan_intervals"].set_index(["arm", "loss"])
    paper, tuned = intervals.loc["paper"], intervals.loc["tuned"]
    assert paper["num_seeds"].to_dict() == {"minimax": 3, "non_saturating": 2, "difference": 2}
    assert paper["frechet_distance"].to_dict() == {"minimax": 6.0, "non_saturating": 2.75, "difference": 1.75}
    assert tuned["frechet_distance"].round(9).to_dict() == {
        "minimax": round(4.1 / 3, 9),
        "non_saturating": round(5 / 3, 9),
        "difference": -0.3,
    }


def test_a_gradient_has_vanished_in_the_first_epoch_that_is_below_a_hundredth_of_its_start() -> None:
    def vanished(*gradients: float) -> int | None:
        rows = [{"epoch": number, "g_weight_grad": it} for number, it in enumerate(gradients, 1)]
        return vanished_epoch([rows[0] | {"g_weight_grad_start": 2.0}, *rows[1:]])

    assert vanished(1.0, 0.021, 0.019, 0.5, 0.01) == 3
    assert vanished(1.0, 0.02, 0.5) is None
    assert vanished(0.019) == 1


def test_vanished_epochs_are_those_of_complete_games(played: tuple[Book, dict[str, Any]]) -> None:
    table = played[1]["gans"].set_index(["arm", "loss", "seed"])["vanished_epoch"]
    assert set(table.drop(("paper", "non_saturating", 3))) == {2}


def test_scores_are_shown_beside_those_of_training_images_noise_and_images_upside_down(
    played: tuple[Book, dict[str, Any]],
) -> None:
    made, parts = played
    table, data = parts["gan_references"].set_index("images"), images(0)
    assert list(table.index) == ["train", "grey_noise", "upside_down"]
    assert set(table["num_images"]) == {NUM_TEST}
    components = made.context("gan").inputs["components"]

    def vectors(pixels: NDArray[np.uint8]) -> Vectors:
        flat = pixels.reshape(len(pixels), 784) / 255
        return Vectors(features_of(pixels), torch.from_numpy((flat @ components).astype(np.float32)))

    real = vectors(data.test_images)
    upside_down = data.test_images[:, ::-1].copy()
    shown = {"train": data.train_images[:NUM_TEST], "grey_noise": grey_noise((NUM_TEST, 28, 28))}
    shown["upside_down"] = upside_down
    for name, pixels in shown.items():
        expected = scores(vectors(pixels), real)
        assert table.loc[name, list(SCORES)].to_dict() == pytest.approx(expected, rel=2e-2, abs=1e-6)
    assert set(parts["gans"]["floor_distance"]) == {table["frechet_distance"]["train"]}


def test_grey_noise_is_the_same_in_every_run_and_grey(played: tuple[Book, dict[str, Any]]) -> None:
    one, other = grey_noise((50, 28, 28)), grey_noise((50, 28, 28))
    np.testing.assert_array_equal(one, other)
    assert (one.shape, one.dtype) == ((50, 28, 28), np.uint8)
    assert one.mean() == pytest.approx(126.5, abs=0.5)
    assert one.std() == pytest.approx(10, abs=0.5)


def test_sections_are_blocks_in_the_files_order_and_blocks_at_random(played: tuple[Book, dict[str, Any]]) -> None:
    table, data = played[1]["gan_sections"], images(0)
    sequential, random = (table[table["blocks"] == blocks] for blocks in ("sequential", "random"))
    assert sequential["number"].tolist() == [0, 1, 2, 3, 4, 5]
    assert len(random) == 6 * 20
    assert random.groupby("partition")["number"].apply(list).tolist() == [[0, 1, 2, 3, 4, 5]] * 20
    assert set(table["num_images"]) == {NUM_TRAIN // 6}
    of_test = features_of(data.test_images)
    for number in range(6):
        block = data.train_images[number * NUM_TRAIN // 6 : (number + 1) * NUM_TRAIN // 6]
        distance = frechet_distance(features_of(block), of_test)
        assert sequential["frechet_distance"].iloc[number] == pytest.approx(distance, rel=1e-2)
    assert random["frechet_distance"].nunique() > 100
    assert table["frechet_distance_pixels"].nunique() > 100


def test_a_section_of_other_images_is_farther_than_any_at_random() -> None:
    draws = np.random.default_rng(0)
    train, test = (draws.normal(size=(count, 4)).astype(np.float32) for count in (600, 100))
    train[100:200] += 3
    train[:, 2:] = 0.5 * train[:, 2:]
    of_train, of_test = (Vectors(torch.from_numpy(it), torch.from_numpy(it[:, :3])) for it in (train, test))
    rows = list(section_rows(of_train, of_test, seed=1))
    distances = [row["frechet_distance"] for row in rows]
    assert max(distances) == distances[1] > 2 * max(distances[6:])
    assert rows == list(section_rows(of_train, of_test, seed=1)) != list(section_rows(of_train, of_test, seed=2))


def test_layers_are_those_of_the_networks_of_each_arm(played: tuple[Book, dict[str, Any]]) -> None:
    made, parts = played
    table = parts["gan_layers"]
    assert list(table.groupby(["arm", "network"], observed=True, sort=False).size().index) == [
        (arm, network) for arm in ("paper", "tuned") for network in ("generator", "discriminator")
    ]
    for (arm, network), rows in table.groupby(["arm", "network"], observed=True):
        recipe = made.settings.gan.recipe(arm, "minimax")  # type: ignore[attr-defined]
        built = dict(zip(("generator", "discriminator"), build(recipe, seed=0), strict=True))[network]
        assert rows["num_parameters"].sum() == sum(it.numel() for it in built.parameters())
        assert rows["layer"].tolist() == list(range(1, len(rows) + 1))
        convolutions = rows.dropna(subset=["kernel"])
        inputs = [recipe.latent_dim, *recipe.generator_filters], [1, *recipe.discriminator_filters]
        outputs = [*recipe.generator_filters, 1], [*recipe.discriminator_filters, 1]
        of_network = int(network == "discriminator")
        assert convolutions["in_channels"].tolist() == inputs[of_network]
        assert convolutions["out_channels"].tolist() == outputs[of_network]
    paper = table[table["arm"] == "paper"].dropna(subset=["kernel"])
    shapes = paper["output_shape"].str.partition("x")[2].tolist()
    assert shapes == ["3x3", "7x7", "15x15", "28x28", "14x14", "7x7", "3x3", "1x1"]
    assert paper["kernel"].tolist() == [3] * 4 + [4] * 4
    assert paper["stride"].tolist() == [2] * 8
    assert paper["padding"].tolist() == [0, 0, 0, 2] + [1] * 4
    assert paper["kind"].tolist() == ["ConvTranspose2d"] * 4 + ["Conv2d"] * 4


def test_a_convolution_with_spectral_norm_is_a_convolution() -> None:
    rows = gan_layer_table(GanRecipe(architecture="stable", generator_filters=(8, 8, 8)))
    assert [row["kind"] for row in rows if row["kernel"]] == ["ConvTranspose2d"] * 3 + ["Conv2d"] * 5


def test_the_scores_columns_are_those_that_are_measured() -> None:
    names = tuple(column.name for column in SCORE_COLUMNS)
    assert names == SCORES


def test_epochs_of_games_have_each_metric_in_its_column(played: tuple[Book, dict[str, Any]]) -> None:
    table = played[1]["gan_epochs"]
    assert [key_of(row) for row in table.itertuples()] == [key for key in GAMES for _ in range(2)]
    assert table["epoch"].tolist() == [1, 2] * 12
    last = table[table["epoch"] == 2]
    distances = [distance for distance, *_ in GAMES.values()]
    assert last["val_frechet_distance"].tolist() == [10 - distance for distance in distances]
    for name, value in MEANS.items():
        assert last[name].tolist() == [value + distance for distance in distances]
    assert set(table["seconds"]) == {2.0, 3.0}


def test_each_game_s_generator_is_that_nearest_to_validation_images_of_its_own_complete_trainings(
    played: tuple[Book, dict[str, Any]],
) -> None:
    models = models_of(played[1])
    assert {name: model.record.key for name, model in models.items()} == {
        "generator_paper_minimax": "paper-minimax-seed-3",
        "generator_paper_non_saturating": "paper-non_saturating-seed-1",
        "generator_tuned_minimax": "tuned-minimax-seed-1",
        "generator_tuned_non_saturating": "tuned-non_saturating-seed-3",
    }
    description = models["generator_paper_minimax"].description
    assert (description["val_frechet_distance"], description["settings"]["loss"]) == (1.0, "minimax")


def test_a_generator_is_scored_by_its_own_vectors_images_and_the_first_ten_are_kept(tmp_path: Path) -> None:
    """Of images as many as there are in the block that is held out, and at the end as many as test images."""
    recipe = {"latent_dim": 4, "learning_rate": 0.05, "batch_size": 16, "epochs": 2, "generator_filters": (8, 8, 8)}
    made = book_with_a_classifier(tmp_path, num_seeds=2, arms=("paper",), paper=recipe, **NO_SEARCH)
    context, data = made.context("gan"), images(0)
    of_test = torch.from_numpy(context.inputs["test_features"])
    torch.testing.assert_close(of_test, features_of(data.test_images), rtol=1e-4, atol=1e-4)
    of_val = torch.from_numpy(context.inputs["val_features"])
    torch.testing.assert_close(of_val, features_of(data.train_images[-40:]), rtol=1e-4, atol=1e-4)
    components = context.inputs["components"]
    rows = data.train_images.reshape(NUM_TRAIN, 784) / 255
    first = np.linalg.svd(rows - rows.mean(0))[2][0]
    assert components.shape == (784, 64)
    assert abs(first @ components[:, 0]) == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(components.T @ components, np.eye(64), atol=1e-4)

    trial = made.study("gan").trials[2]
    assert trial.seed == 2
    settings: GanSettings = trial.config.gan
    for epoch in Gan().train(trial, data, Worker(inputs=context.inputs)):
        generator, _ = build(settings, seed=0)
        generator.load_state_dict(epoch.state()["model"])
        drawn = generate(generator, random_vectors(40, settings, 2, 0, 2))
        assert len({image.numpy().tobytes() for image in drawn}) == 40
        np.testing.assert_array_equal(epoch.arrays[f"epoch-{epoch.number:03d}.images"], drawn[:10])
        of_drawn = features_of(drawn.numpy())
        assert epoch.metrics["val_frechet_distance"] == pytest.approx(frechet_distance(of_drawn, of_val), rel=1e-2)
        assert (set(SCORES) <= epoch.metrics.keys()) == (SCORES[0] in epoch.metrics) == (epoch.number == 2)
        if epoch.number == 2:
            pixels = drawn[:NUM_TEST].reshape(-1, 784).float() / 255 @ torch.from_numpy(components)
            real = Vectors(of_test, torch.from_numpy(context.inputs["test_pixels"]))
            expected = scores(Vectors(of_drawn[:NUM_TEST], pixels), real)
            assert {name: epoch.metrics[name] for name in SCORES} == pytest.approx(expected, rel=1e-2, abs=1e-6)
