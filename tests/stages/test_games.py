"""gan and gan_search: which trainings they are, what they learn from, and the rows of trials."""

from pathlib import Path

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from orchestrator.engine.records import Record
from orchestrator.engine.stage import Worker
from orchestrator.stages.gan import Gan
from orchestrator.stages.gan.pictures import _nearest
from tests.stages.games import NO_SEARCH, NUM_TRAIN, book_with_a_classifier, images
from tests.stages.known import given


def test_each_game_is_a_training_of_its_own_seed(tmp_path: Path) -> None:
    trials = book_with_a_classifier(tmp_path, num_seeds=3, **NO_SEARCH).study("gan").trials
    for trial in trials:
        game, _, seed = trial.key.rpartition("-seed-")
        assert f"{trial.config.arm}-{trial.config.gan.loss}" == game
        assert (trial.seed, trial.keep_weights) == (int(seed), True)
    assert len({trial.address for trial in trials}) == len({trial.key for trial in trials}) == 12


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
    parts = given(made, "gan_search", records)
    table = parts["gan_trials"]
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
    path = tmp_path / "optuna-gan.journal"
    path.write_bytes(parts[path.name].content)
    for first, loss in enumerate(("minimax", "non_saturating")):
        storage = JournalStorage(JournalFileBackend(str(path)))
        study = optuna.load_study(study_name=f"{made.settings.run_name}-{loss}", storage=storage)
        assert study.metric_names == ["val_frechet_distance"]
        assert [trial.value for trial in study.trials] == [10.0 + first, 12.0 + first]
        assert study.trials[1].params["beta1"] == records[first + 2].config.gan.beta1


def test_the_training_image_beside_a_generated_one_is_the_nearest_in_pixels() -> None:
    among = images(0).train_images
    wanted = [17, 3, 200]
    near = among[wanted] / 255
    near[:, 0, 0] = 1 - near[:, 0, 0]
    np.testing.assert_array_equal(_nearest(near, among), among[wanted] / 255)
