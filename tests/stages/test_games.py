"""gan and gan_search: what is a row, which generator is the best, and by which images they are scored."""

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
from orchestrator.engine.records import Checkpoint, Record, Rows
from orchestrator.engine.stage import Worker
from orchestrator.stages.gan import Gan
from orchestrator.stages.gan.pictures import _nearest
from orchestrator.stages.gan.scoring import scoring_inputs
from tests.stages.games import NUM_TEST, NUM_TRAIN, book_with_a_classifier, images
from tests.stages.known import given, models_of
from trainables import classifier
from trainables.classifier_settings import ClassifierSettings
from trainables.gan import build
from trainables.gan_scores import frechet_distance, precision_recall
from trainables.gan_settings import GanSettings
from trainables.gan_training import generate, random_vectors

NO_SEARCH = {"search": {"on": False}}
ONE_ARM = NO_SEARCH | {"arms": ("paper",)}
GAMES: dict[str, tuple[float, float, float, bool | None]] = {
    "paper-minimax-seed-1": (5.0, math.log(5) + 0.01, 0.011, False),
    "paper-non_saturating-seed-1": (3.0, math.log(5) - 0.01, 0.5, True),
    "paper-minimax-seed-2": (4.0, 2.0, 0.009, True),
    "paper-non_saturating-seed-2": (2.5, 2.2, 0.4, False),
    "paper-minimax-seed-3": (9.0, 2.2, 0.4, False),
    "paper-non_saturating-seed-3": (1.0, 2.2, 0.4, None),
}
"""Of each game its distance, class entropy and recall, and whether it has collapsed; the last failed."""
MEANS = {"d_loss": 1.1, "g_loss": 1.2, "d_real": 0.6, "d_fake": 0.4, "g_logit_grad": 0.3, "g_weight_grad": 1.5}


def epochs(distance: float, entropy: float, recall: float) -> Rows:
    """Two, in which every metric has values of its own."""
    last = {name: value + distance for name, value in MEANS.items()}
    first = {name: value - 1 for name, value in MEANS.items()}
    first |= {"epoch": 1, "val_frechet_distance": 99.0, "class_entropy": 0.0, "num_classes": 1.0, "seconds": 2.0}
    first["g_weight_grad_start"] = 100 * (MEANS["g_weight_grad"] + 4.5)
    last |= {"epoch": 2, "val_frechet_distance": distance + 7, "class_entropy": entropy, "num_classes": 7.0}
    return [first, last | {"frechet_distance": distance, "precision": recall + 0.1, "recall": recall, "seconds": 3.0}]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Book, dict[str, Any]]:
    """Three seeds of each game, and what the stage makes of them."""
    made = book_with_a_classifier(tmp_path_factory.mktemp("played"), num_seeds=3, **ONE_ARM)
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


def features_of(pixels: NDArray[np.uint8]) -> Tensor:
    """By the classifier that knows nothing."""
    model = classifier.build(ClassifierSettings(input="raw", num_features=784, architecture="cnn"), seed=0).eval()
    with torch.inference_mode():
        return model.features(torch.from_numpy(pixels / 255).float().unsqueeze(1))


def test_each_game_is_a_training_of_its_own_seed(played: tuple[Book, dict[str, Any]]) -> None:
    trials = played[0].study("gan").trials
    assert [trial.key for trial in trials] == list(GAMES)
    for trial in trials:
        game, _, seed = trial.key.rpartition("-seed-")
        assert f"{trial.config.arm}-{trial.config.gan.loss}" == game
        assert (trial.seed, trial.keep_weights) == (int(seed), True)
    assert len({trial.address for trial in trials}) == 6


def test_each_arm_and_loss_is_played_by_its_own_recipe(tmp_path: Path) -> None:
    tuned = {"minimax": {"latent_dim": 2}, "non_saturating": {"latent_dim": 3}}
    made = book_with_a_classifier(tmp_path, paper={"latent_dim": 1}, tuned=tuned, num_seeds=2, **NO_SEARCH)
    trials = made.study("gan").trials
    assert [(trial.key, trial.config.gan.latent_dim) for trial in trials] == [
        (f"{arm}-{loss}-seed-{seed}", size)
        for seed in (1, 2)
        for arm, loss, size in (
            ("paper", "minimax", 1),
            ("paper", "non_saturating", 1),
            ("tuned", "minimax", 2),
            ("tuned", "non_saturating", 3),
        )
    ]


def test_games_that_another_classifier_scores_are_other_trainings(tmp_path: Path) -> None:
    for name, changes in (("gan", NO_SEARCH), ("gan_search", {})):
        one, same, other = (
            {
                it.address
                for it in book_with_a_classifier(tmp_path / f"{name}-{n}", which=which, **changes).study(name).trials
            }
            for n, which in enumerate((0, 0, 1))
        )
        assert one == same
        assert not one & other


def test_games_are_rows_with_their_last_scores_and_the_floor(played: tuple[Book, dict[str, Any]]) -> None:
    made, parts = played
    table = parts["gans"]
    assert [f"{row.arm}-{row.loss}-seed-{row.seed}" for row in table.itertuples()] == list(GAMES)
    complete = table[table["state"] == "complete"]
    scores = [game for game in GAMES.values() if game[3] is not None]
    assert list(zip(complete["frechet_distance"], complete["class_entropy"], complete["recall"], strict=True)) == [
        game[:3] for game in scores
    ]
    assert complete["precision"].tolist() == pytest.approx([recall + 0.1 for _, _, recall, _ in scores])
    assert complete["collapsed"].tolist() == [collapsed for *_, collapsed in scores]
    assert (set(complete["num_classes"]), set(complete["num_workers"])) == ({7}, {2})
    failed = table.iloc[-1]
    assert failed[["frechet_distance", "precision", "recall", "collapsed", "num_workers"]].isna().all()
    assert failed["error"] == "out of paint"
    assert (set(table["epochs"]), set(table["seconds"])) == ({2}, {5.0})
    assert complete["val_frechet_distance"].tolist() == [distance + 7 for distance, *_ in scores]
    # Its gradient starts from 600 in the first epoch, whose mean is .5, and has vanished below 6.
    assert complete["vanished_epoch"].tolist() == [1] * 5
    recipe = made.settings.gan.paper  # type: ignore[attr-defined]
    for name in ("learning_rate", "beta1", "beta2", "batch_size", "r1_penalty", "latent_dim", "schedule"):
        assert set(table[name]) == {getattr(recipe, name)}
    assert set(table["generator_filters"]) == {"8-8-8"}
    assert table["ema_decay"].isna().all()

    data = images(0)
    floor = frechet_distance(features_of(data.train_images[:NUM_TEST]), features_of(data.test_images))
    assert table["floor_distance"].tolist() == pytest.approx([floor] * 6, rel=1e-2)
    assert floor > 1e-3
    record = made.context("gan").records("classify")["raw-cnn-seed-1"]
    weights = made.context("gan").weights(record, "classify")
    assert set(table["features"]) == {hashlib.sha256(weights).hexdigest()[:16]}
    intervals = parts["gan_intervals"].set_index("loss")
    assert set(intervals["arm"]) == {"paper"}
    assert intervals["num_seeds"].to_dict() == {"minimax": 3, "non_saturating": 2, "difference": 2}
    assert intervals["frechet_distance"].to_dict() == {"minimax": 6.0, "non_saturating": 2.75, "difference": 1.75}


def test_epochs_of_games_have_each_metric_in_its_column(played: tuple[Book, dict[str, Any]]) -> None:
    table = played[1]["gan_epochs"]
    keys = [f"{row.arm}-{row.loss}-seed-{row.seed}" for row in table.itertuples()]
    assert keys == [key for key in GAMES for _ in range(2)]
    assert table["epoch"].tolist() == [1, 2] * 6
    last = table[table["epoch"] == 2]
    distances = [distance for distance, *_ in GAMES.values()]
    assert last["val_frechet_distance"].tolist() == [distance + 7 for distance in distances]
    for name, value in MEANS.items():
        assert last[name].tolist() == [value + distance for distance in distances]
    assert set(table["seconds"]) == {2.0, 3.0}


def test_each_game_s_generator_is_that_of_its_own_nearest_complete_training(
    played: tuple[Book, dict[str, Any]],
) -> None:
    models = models_of(played[1])
    assert {name: model.record.key for name, model in models.items()} == {
        "generator_paper_minimax": "paper-minimax-seed-2",
        "generator_paper_non_saturating": "paper-non_saturating-seed-2",
    }
    assert models["generator_paper_minimax"].description["val_frechet_distance"] == 11.0
    assert models["generator_paper_minimax"].description["settings"]["loss"] == "minimax"


def test_a_generator_is_scored_by_its_own_vectors_images_and_the_first_ten_are_kept(tmp_path: Path) -> None:
    """Against held-out images after every epoch, against test images after the last."""
    recipe = {"latent_dim": 4, "learning_rate": 0.05, "batch_size": 16, "epochs": 2}
    made = book_with_a_classifier(tmp_path, num_seeds=2, recipe=recipe, **ONE_ARM)
    context, data = made.context("gan"), images(0)
    held_out = data.train_images[NUM_TRAIN * 5 // 6 :]
    for name, real in (("val", held_out), ("test", data.test_images)):
        of_real = torch.from_numpy(context.inputs[f"{name}_features"])
        torch.testing.assert_close(of_real, features_of(real), rtol=1e-4, atol=1e-4)

    real = {"val": data.train_images[:14], "test": data.train_images[20:33]}
    inputs, trial = scoring_inputs(context, **real), made.study("gan").trials[2]
    assert trial.seed == 2
    settings: GanSettings = trial.config.gan
    for epoch in Gan().train(trial, data, Worker(inputs=inputs)):
        generator, _ = build(settings, seed=0)
        generator.load_state_dict(epoch.state()["model"])
        drawn = generate(generator, random_vectors(14, settings, 2, 0, 2))
        assert len({image.numpy().tobytes() for image in drawn}) == 14
        np.testing.assert_array_equal(epoch.arrays[f"epoch-{epoch.number:03d}.images"], drawn[:10])
        expected = frechet_distance(features_of(drawn.numpy()), features_of(real["val"]))
        assert epoch.metrics["val_frechet_distance"] == pytest.approx(expected, rel=1e-2)
        assert ("frechet_distance" in epoch.metrics) == ("precision" in epoch.metrics) == (epoch.number == 2)
    drawn = generate(generator, random_vectors(13, settings, 2, 0, 2))
    of_drawn, of_test = (features_of(it) for it in (drawn.numpy(), real["test"]))
    assert epoch.metrics["frechet_distance"] == pytest.approx(frechet_distance(of_drawn, of_test), rel=1e-2)
    shares = (epoch.metrics["precision"], epoch.metrics["recall"])
    assert shares == precision_recall(of_drawn, of_test)


def test_a_game_learns_from_the_first_five_sixths_of_the_training_images_and_from_no_other(tmp_path: Path) -> None:
    """As many as a batch holds: each is learned from in every step."""
    num_learned = NUM_TRAIN * 5 // 6
    recipe = {"batch_size": num_learned, "epochs": 1}
    made = book_with_a_classifier(tmp_path, num_seeds=1, recipe=recipe, **NO_SEARCH)
    trial, inputs = made.study("gan").trials[0], made.context("gan").inputs

    def after(*spoilt: int, test: bool = False) -> list[float]:
        data = images(0)
        for index in spoilt:
            data.train_images[index] = 255 - data.train_images[index]
        if test:
            data.test_images[:] = 255 - data.test_images
        (epoch,) = Gan().train(trial, data, Worker(inputs=inputs))
        return [epoch.metrics["d_real"], epoch.metrics["d_loss"]]

    whole = after()
    assert after(*range(num_learned, NUM_TRAIN), test=True) == whole
    for index in (0, num_learned - 1):
        assert after(index) != whole


def test_trials_are_rows_with_what_they_were_told_and_their_distance_from_validation_images(tmp_path: Path) -> None:
    made = book_with_a_classifier(tmp_path, search={"trials": 2})
    records = []
    for n, trial in enumerate(made.study("gan_search").trials):
        means = {name: n + value for value, name in enumerate(("d_loss", "g_loss", "d_real", "d_fake"))}
        rows = [{"epoch": 1, "val_frechet_distance": 10.0 + n, "class_entropy": 20.0 + n, "seconds": 4.0} | means]
        records.append(Record(trial.key, trial.config, trial.seed, "complete", rows))
    table = given(made, "gan_search", records)["gan_trials"]
    assert table["trial"].tolist() == [0, 1, 2, 3]
    assert table["loss"].tolist() == ["minimax", "non_saturating"] * 2
    assert table["val_frechet_distance"].tolist() == [10.0, 11.0, 12.0, 13.0]
    assert table["class_entropy"].tolist() == [20.0, 21.0, 22.0, 23.0]
    for value, name in enumerate(("d_loss", "g_loss", "d_real", "d_fake")):
        assert table[name].tolist() == [n + value for n in range(4)]
    assert set(table["arm"]) == {"tuned"}
    for row, record in zip(table.to_dict("records"), records, strict=True):
        for name in ("learning_rate", "beta1", "batch_size", "r1_penalty"):
            assert row[f"params_{name}"] == getattr(record.config.gan, name)


def test_the_training_image_beside_a_generated_one_is_the_nearest_in_pixels() -> None:
    among = images(0).train_images
    wanted = [17, 3, 200]
    near = among[wanted] / 255
    near[:, 0, 0] = 1 - near[:, 0, 0]
    np.testing.assert_array_equal(_nearest(near, among), among[wanted] / 255)
