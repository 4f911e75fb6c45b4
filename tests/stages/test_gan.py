"""The games are tuned each by itself, tell their intervals, and can be scored in Inception's features."""

import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import torch

from orchestrator.contracts.in_process import done
from orchestrator.engine.book import Book
from orchestrator.engine.checkpoint import Rows
from orchestrator.engine.records import Record, Trial
from orchestrator.engine.settings import UserError, changed, merged
from orchestrator.engine.stage import Worker
from orchestrator.engine.study import Suggested
from orchestrator.paper import suite
from orchestrator.stages.gan import Gan, ScoredGan
from orchestrator.stages.gan.measure import intervals
from orchestrator.stages.gan.recipes import deviations, told
from orchestrator.stages.gan_inception import Inception
from orchestrator.stages.gan_search import Tuning
from tests.stages.games import NUM_TEST, NUM_TRAIN, book, book_with_a_classifier, images
from tests.stages.made_up import recorded
from trainables.dataset import Dataset
from trainables.gan import Generator, build
from trainables.gan_settings import AUTHOR, GanSettings

LOSSES = ("minimax", "non_saturating")
TUNED = ("learning_rate", "beta1", "batch_size", "r1_penalty")


def rows(distance: float) -> Rows:
    """Of a trial's only epoch."""
    names = ("d_loss", "g_loss", "d_real", "d_fake", "g_weight_grad", "g_weight_grad_start", "class_entropy")
    return [dict.fromkeys(names, 1.0) | {"epoch": 1, "seconds": 1.0, Tuning.metric: distance}]


def played(made: Book, distances: Mapping[int, float], number: int) -> list[GanSettings]:
    """The GANs of the first trials; trial n comes to distances[n], or to 50."""
    suggested = Tuning().trials(made.context("gan_search"))
    assert isinstance(suggested, Suggested)
    records: list[Record[ScoredGan]] = []
    for n in range(number):
        trial = suggested.suggest(n, records[: max(0, n - suggested.window + 1)])
        records.append(Record(trial.key, trial.config, trial.seed, "complete", rows(distances.get(n, 50.0))))
    return [record.config.gan for record in records]


def searched(made: Book, *distances: float | None) -> Any:
    """gan_search with trials that come to these distances; None fails. Its entry in the manifest."""

    def how(trial: Trial[Any]) -> tuple[Rows, str | None]:
        distance = distances[int(trial.key.removeprefix("trial-"))]
        return ([], "Traceback ...") if distance is None else (rows(distance), None)

    return done(made, "gan_search", how)


def test_each_game_is_tuned_by_what_it_came_to_itself(tmp_path: Path) -> None:
    made = book_with_a_classifier(tmp_path)
    found = played(made, {0: 3.0}, 12)
    params = [{name: getattr(game, name) for name in TUNED} for game in found]
    assert [game.loss for game in found] == ["minimax", "non_saturating"] * 6
    assert params[:6:2] == params[1:6:2], "drawn from the same seed"
    other = played(made, {0: 70.0}, 12)
    assert other[1::2] == found[1::2], "minimax came to something else"
    assert other[::2] != found[::2]
    assert {game.epochs for game in found} == {made.settings.gan.search.epochs}


def test_a_trial_has_a_seed_of_its_own_and_its_loss_s_recipe_but_for_what_is_searched(tmp_path: Path) -> None:
    tuned = {"minimax": {"latent_dim": 2}, "non_saturating": {"latent_dim": 3}}
    made = book_with_a_classifier(tmp_path, tuned=tuned, num_seeds=5)
    trials = made.study("gan_search").trials
    assert {trial.config.arm for trial in trials} == {"tuned"}
    assert {(trial.config.gan.loss, trial.config.gan.latent_dim) for trial in trials} == {
        ("minimax", 2),
        ("non_saturating", 3),
    }
    own = {trial.seed for trial in book(tmp_path / "other", search={"on": False}).study("gan").trials}
    assert not own & {trial.seed for trial in trials}


def test_a_trial_neither_learns_from_the_last_sixth_nor_looks_at_the_test_images(tmp_path: Path) -> None:
    made = book_with_a_classifier(tmp_path)
    trial = made.study("gan_search").trials[0]
    trial = replace(trial, config=changed(trial.config, gan={"batch_size": 64}))
    inputs = made.context("gan_search").inputs
    assert len(inputs["val_features"]) == NUM_TRAIN // 6
    assert "test_features" not in inputs

    def metrics(data: Dataset) -> dict[str, float]:
        (epoch,) = Tuning().train(trial, data, Worker(inputs=inputs))
        return dict(epoch.metrics)

    mine, other = images(0), images(1)
    cut = NUM_TRAIN * 5 // 6
    spoilt = np.concatenate([mine.train_images[:cut], other.train_images[cut:]])
    same = metrics(Dataset(spoilt, mine.train_labels, other.test_images, mine.test_labels, "spoilt"))
    assert same == metrics(mine)
    assert same[Tuning.metric] > 0
    assert metrics(other) != same


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": {"num_train": 306}}, "--gan.paper.batch-size: a batch of 256 is above the 255 images"),
        (
            {"gan": {"arms": ("tuned",), "search": {"on": False}, "tuned": {"minimax": {"batch_size": 2501}}}},
            "--gan.tuned.minimax.batch-size: a batch of 2501",
        ),
        ({"gan": {"search": {"batch_sizes": (64, 2501)}}}, "--gan.search.batch-sizes: a batch of 2501"),
    ],
)
def test_a_batch_of_more_images_than_there_are_is_refused_before_anything_starts(
    changes: dict[str, Any], said: str
) -> None:
    smoke = suite().preset("smoke")
    for well in (smoke, changed(smoke, data={"num_train": 308})):
        Gan().check(well)
    with pytest.raises(UserError, match=re.escape(said)):
        Gan().check(changed(smoke, **changes))


def test_trials_have_no_batch_of_more_images_than_there_are(tmp_path: Path) -> None:
    few = changed(suite().preset("smoke"), data={"num_train": 306}, gan={"paper": {"batch_size": 128}})
    with pytest.raises(UserError, match=r"^--gan.search.batch-sizes: a batch of 256 is above the 255 images"):
        Tuning().check(few)
    Tuning().check(changed(few, gan={"search": {"batch_sizes": (64, 255)}}))


def test_nothing_is_tuned_for_an_arm_that_is_not_played() -> None:
    smoke = changed(suite().preset("smoke"), gan={"arms": ("paper",)})
    assert Tuning().absent(smoke) == "--gan.arms lacks tuned"
    assert Gan().needs(Gan().own(smoke)) == ("classify",)
    assert Tuning().absent(suite().preset("smoke")) == ""


def test_each_study_begins_with_the_recipe_that_was_found_by_hand(tmp_path: Path) -> None:
    first, second, third = played(book_with_a_classifier(tmp_path), {}, 3)
    assert {first.loss, second.loss} == {"minimax", "non_saturating"}
    for gan in (first, second):
        assert (gan.learning_rate, gan.beta1, gan.batch_size, gan.r1_penalty) == (3e-3, 0.1, 64, 0.2)
    assert third.learning_rate != 3e-3
    search = {"learning_rate": (1e-4, 1e-3), "batch_sizes": (32, 128)}
    narrow, _ = played(book_with_a_classifier(tmp_path / "narrow", search=search), {}, 2)
    assert (narrow.beta1, narrow.r1_penalty) == (0.1, 0.2)
    assert narrow.learning_rate < 1e-3
    assert narrow.batch_size in {32, 128}


def test_the_games_are_played_with_what_was_best_in_trials_that_came_to_their_end(tmp_path: Path) -> None:
    made = book_with_a_classifier(tmp_path)
    distances = [30, 9, None, 8, 7, 40, 50, 60, 6, None, 50, 70]
    assert searched(made, *distances).state == "done"
    trials = made.run.table("gan_trials")
    assert trials["val_frechet_distance"].isna().tolist() == [value is None for value in distances]
    assert made.run.exists("figures/gan_trial_losses.png")
    games = [trial.config.gan for trial in made.study("gan_search").trials]
    configs = [trial.config.gan for trial in Gan().trials(made.context("gan"))]
    own = made.settings.gan
    for config, best in zip(configs[2:], (games[8], games[3]), strict=True):
        assert config == changed(best, epochs=own.tuned.minimax.epochs)
    assert configs[2].learning_rate != own.tuned.minimax.learning_rate
    for config in configs[:2]:
        assert config == GanSettings(loss=config.loss, **own.paper.model_dump())


def test_a_game_without_a_complete_trial_fails_the_search(tmp_path: Path) -> None:
    made = book_with_a_classifier(tmp_path, search={"trials": 2})
    entry = searched(made, 4.0, None, 4.0, None)
    assert entry.state == "failed"
    assert "no trial of non_saturating came to its end" in entry.error
    assert len(made.run.table("gan_trials")) == 4


def test_findings_tell_whether_a_loss_orders_the_trials_as_the_distance_does() -> None:
    rows = [
        {"loss": "minimax", "trial": n, "val_frechet_distance": value, "d_loss": value**2, "g_loss": -value}
        | {"params_learning_rate": 1e-3, "params_beta1": 0.5, "params_batch_size": 64, "params_r1_penalty": 0.05}
        for n, value in enumerate((4.0, 2.0, 9.0, 7.0))
    ]
    best, order = Tuning().findings({"gan_trials": pd.DataFrame(rows)})
    assert "4 complete trials: the best is 1, distance 2.00" in best
    assert "discriminator's loss 1.00, with the generator's -1.00; of the two losses -1.00" in order
    assert "discriminator has a loss of 4.00" in order


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({"recipe": {"ema_decay": 0.5}}, True),
        ({"recipe": {"schedule": "constant"}}, True),
        ({"recipe": {"latent_dim": 8}}, True),
        ({"search": {"trials": 6, "epochs": 3}}, True),
        ({"num_seeds": 2, "paper": {"latent_dim": 8}}, False),
        ({"recipe": {"learning_rate": 1e-4, "beta1": 0.5, "batch_size": 32, "epochs": 7, "r1_penalty": 3.0}}, False),
    ],
    ids=str,
)
def test_what_trials_are_played_with_decides_them(tmp_path: Path, change: dict[str, Any], again: bool) -> None:
    """The same address is the same training, which is not done again."""
    first = book_with_a_classifier(tmp_path)
    assert searched(first, *[50.0] * 12).state == "done"
    before, after = (it.study("gan_search") for it in (first, book(tmp_path, **change)))
    assert after.num_missing == (12 if again else 0)
    addresses = {trial.address for trial in before.trials}
    assert len(addresses) == 12
    assert {trial.address for trial in after.trials} & addresses == (set() if again else addresses)


@pytest.mark.parametrize(
    ("room", "changes", "number"),
    [
        (1, {}, 1),
        (2, {}, 2),
        (3, {}, 2),
        (100, {}, 8),
        (4, {"paper": {"batch_size": 6}}, 2),
        (4, {"paper": {"batch_size": 6}, "arms": ("tuned",)}, 4),
        (4, {"tuned": {"minimax": {"batch_size": 3}}}, 1),
        (4, {"tuned": {"minimax": {"batch_size": 3}}, "losses": ("non_saturating",)}, 4),
        (4, {"search": {"on": True, "batch_sizes": (2,)}}, 2),
        (4, {"arms": ("paper",), "paper": {"batch_size": 6}, "search": {"on": True, "batch_sizes": (4,)}}, 3),
        (4, {"num_workers": 1}, 1),
        (1, {"num_workers": 2}, 2),
    ],
    ids=str,
)
def test_a_game_has_as_many_workers_as_there_is_room_for_and_share_its_batches_evenly(
    room: int, changes: dict[str, Any], number: int
) -> None:
    every = {"batch_size": 64}
    recipes = {"paper": every, "tuned": {"minimax": every, "non_saturating": every}}
    own = changed(suite().preset("paper"), gan=merged(recipes, changes)).gan  # type: ignore[attr-defined]
    assert Gan().num_workers(own, room) == number


def gans(*distances: tuple[str, int, float | None]) -> pd.DataFrame:
    rows = [
        {"arm": "paper", "loss": loss, "seed": seed, "frechet_distance": value} for loss, seed, value in distances
    ]
    return pd.DataFrame(rows).assign(floor_distance=0.5)


def test_intervals_are_student_s_and_the_difference_is_paired_by_seed() -> None:
    found = intervals(
        gans(
            *(("minimax", seed, value) for seed, value in ((1, 11.0), (2, 12.0), (3, 13.0))),
            *(("non_saturating", seed, value) for seed, value in ((3, 3.0), (1, 1.0), (2, 2.5), (4, None))),
        )
    )
    rows = {row["loss"]: row for row in found}
    assert list(rows) == ["minimax", "non_saturating", "difference"]
    assert rows["minimax"]["frechet_distance"] == 12
    half = 4.302652729911275 / 3**0.5  # the t distribution's .975 quantile, two degrees of freedom
    assert (rows["minimax"]["low"], rows["minimax"]["high"]) == pytest.approx((12 - half, 12 + half))
    assert rows["minimax"]["floor_ratio"] == 24
    differences = np.array([10.0, 9.5, 10.0])
    spread = 4.302652729911275 * differences.std(ddof=1) / 3**0.5
    assert rows["difference"]["high"] - rows["difference"]["frechet_distance"] == pytest.approx(spread)
    assert [row["num_seeds"] for row in found] == [3, 3, 3]


def test_findings_tell_what_is_other_than_in_the_author_s_code() -> None:
    recipe = told(GanSettings(loss="minimax", **AUTHOR.model_dump()))
    games = pd.DataFrame([recipe | {"arm": arm, "epochs": 30, "num_images": 60_000} for arm in ("paper", "tuned")])
    other = games.assign(r1_penalty=[0.0, 0.2], ema_decay=[None, 0.5], generator_filters="8-8-8")
    paper, tuned = deviations(other)
    assert paper == (
        "Minimax GAN, the paper's recipe, differs from the author's code in generator filters 8-8-8 "
        "(his 512-256-128)."
    )
    assert tuned.endswith("8-8-8 (his 512-256-128), r1 penalty 0.2 (his 0), ema decay 0.5 (his none).")
    fewer, _ = deviations(games.assign(num_images=50_000, epochs=10))
    assert fewer.endswith("code in epochs 10 (his 30), num images 50000 (his 60000).")
    assert list(deviations(games)) == [
        f"Minimax GAN, {recipe}, is the author's code's." for recipe in ("the paper's recipe", "tuned recipe")
    ]


def test_distances_in_inception_s_features_are_told_of_by_arm_and_loss() -> None:
    games = gans(("minimax", 1, 1.5), ("minimax", 2, 2.5), ("non_saturating", 1, 9.0))
    scored = games.rename(columns={"frechet_distance": "inception_fid"}).assign(features="c0ffee", floor_fid=1.5)
    first, _ = Inception().findings({"gan_inception": scored})
    assert first.startswith("Minimax GAN, the paper's recipe, in the features")
    assert "weights c0ffee): FID 2.00, the floor 1.50" in first


def test_one_seed_has_no_interval_and_a_failed_game_no_distance() -> None:
    one, none, difference = intervals(gans(("minimax", 1, 11.0), ("non_saturating", 1, None)))
    assert (one["frechet_distance"], one["low"], one["high"]) == (11, None, None)
    assert (none["num_seeds"], none["frechet_distance"], difference["num_seeds"]) == (0, None, 0)


@pytest.fixture(scope="module")
def inception_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of the right shapes: the published ones are not at hand."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Untold(FeatureExtractorInceptionV3):  # type: ignore[misc]  # its base has no types
        def load_state_dict(self, *args: Any, **options: Any) -> None:
            pass

    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    weights = Untold("inception", ["2048"], feature_extractor_weights_path=nothing).state_dict()
    draws = torch.Generator().manual_seed(0)
    for name, tensor in weights.items():
        if name.endswith("conv.weight"):
            tensor.copy_(torch.randn(tensor.shape, generator=draws) * (2 / tensor[0].numel()) ** 0.5)
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(weights, path)
    return path


def test_inception_sees_grey_images_and_each_by_itself(inception_weights: Path) -> None:
    from trainables.inception import inception, inception_features

    network = inception(torch.load(inception_weights, weights_only=True))
    pixels = torch.from_numpy(images(0).test_images[:3])
    found = inception_features(network, pixels)
    assert found.shape == (3, 2048)
    torch.testing.assert_close(inception_features(network, pixels[1:2])[0], found[1], rtol=1e-4, atol=1e-5)
    (direct,) = network(torch.stack([pixels] * 3, dim=1))
    torch.testing.assert_close(found, direct)
    assert (found[0] - found[1]).abs().max() > 0.01


def test_weights_of_another_network_are_refused_and_a_stranger_s_file_runs_no_code(
    inception_weights: Path, tmp_path: Path
) -> None:

    def refused(path: Path) -> str:
        with pytest.raises(UserError) as error:
            Inception().check(changed(suite().preset("smoke"), gan={"inception_weights": path}))
        return str(error.value)

    weights = torch.load(inception_weights, weights_only=True)
    del weights["fc.bias"]
    torch.save(weights, tmp_path / "one_missing.pth")
    assert "are not the weights" in refused(tmp_path / "one_missing.pth")
    torch.save(Trap(tmp_path / "sprung"), tmp_path / "trap.pth")
    assert "are not the weights" in refused(tmp_path / "trap.pth")
    assert not (tmp_path / "sprung").exists()


class Trap:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.path,)


def untrained(game: Trial[ScoredGan]) -> Generator:
    """With weights large enough for its images to differ."""
    generator, _ = build(game.config.gan, seed=len(game.key))
    for parameter in generator.parameters():
        parameter.data *= 10
    return generator


def book_with_generators(folder: Path, **changes: Any) -> Book:
    """A run folder with generators that know nothing."""
    made = book_with_a_classifier(folder, search={"on": False}, **changes)
    recorded(made, "gan", lambda trial: ([], untrained(trial).state_dict()))
    return made


def test_inception_distances_are_those_of_each_game_s_own_images(
    inception_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With eight of the 2048 features: the distance takes their number's third power."""
    from trainables import gan_scores, inception
    from trainables.gan_training import generate, random_vectors

    whole = inception.inception_features
    monkeypatch.setattr(inception, "inception_features", lambda network, images: whole(network, images)[:, ::256])
    made = book_with_generators(tmp_path, inception_weights=inception_weights)
    assert not Inception().absent(made.settings)
    entry = done(made, "gan_inception")
    assert entry.state == "done", entry.error
    table = made.run.table("gan_inception")
    assert list(table["loss"]) == ["minimax", "non_saturating"] * 2
    assert list(table["arm"]) == ["paper"] * 2 + ["tuned"] * 2
    network = inception.inception(torch.load(inception_weights, weights_only=True))
    data = made.data
    real = inception.inception_features(network, torch.from_numpy(data.test_images))
    for row, game in zip(table.itertuples(), made.study("gan").trials, strict=True):
        drawn = generate(untrained(game), random_vectors(NUM_TEST, game.config.gan, game.seed, 0, 2))
        expected = gan_scores.frechet_distance(inception.inception_features(network, drawn), real)
        assert row.inception_fid == pytest.approx(expected, rel=1e-3)
    train = inception.inception_features(network, torch.from_numpy(data.train_images[:NUM_TEST]))
    assert table["floor_fid"].iloc[0] == pytest.approx(gan_scores.frechet_distance(train, real), rel=1e-3)
    assert (table["num_images"] == NUM_TEST).all()

    given = {name: array for name, array in made.context("gan_inception").inputs.items() if "inception." in name}
    assert set(table["features"]) == {hashlib.sha256(safetensors.numpy.save(given)).hexdigest()[:16]}


def test_features_are_taken_some_hundred_images_at_a_time_and_the_gaussian_is_that_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from orchestrator.stages.gan_inception import ImageSet, measure

    monkeypatch.setattr(measure.inception, "inception", lambda weights: torch.nn.Identity())
    monkeypatch.setattr(
        measure.inception, "inception_features", lambda network, part: part.flatten(1)[:, :9].double()
    )
    whole, trial = images(0), Trial("test", ImageSet(images="test"), seed=1, epochs=3)
    (all_at_once,) = measure.gaussian_of(trial, whole, Worker())
    monkeypatch.setattr(measure, "IMAGES_AN_EPOCH", 3)
    epochs = [(epoch.number, epoch.state(), epoch.arrays) for epoch in measure.gaussian_of(trial, whole, Worker())]
    assert [(number, len(state["features"])) for number, state, _ in epochs] == [(1, 3), (2, 6), (3, 8)]
    assert not epochs[0][2]
    for _, state, _ in epochs[:2]:
        *_, last = measure.gaussian_of(trial, whole, Worker(resume=state))
        for name, array in all_at_once.arrays.items():
            np.testing.assert_array_equal(epochs[-1][2][name], array)
            np.testing.assert_array_equal(last.arrays[name], array, err_msg="resumed")


def test_weights_given_later_play_no_game_again_and_other_weights_are_other_trainings(
    inception_weights: Path, tmp_path: Path
) -> None:
    def missing(path: Path) -> dict[str, int]:
        later = book(tmp_path, search={"on": False}, inception_weights=path)
        return {name: later.study(name).num_missing for name in later.stages}

    first = book_with_generators(tmp_path)
    assert {name: first.study(name).num_missing for name in first.stages} == {"classify": 0, "gan": 0}
    assert missing(inception_weights) == {"classify": 0, "gan": 0, "gan_inception": 6}
    later = book(tmp_path, search={"on": False}, inception_weights=inception_weights)
    recorded(later, "gan_inception", lambda trial: ([], {}))
    same, other = tmp_path / "same.pth", tmp_path / "other.pth"
    same.write_bytes(inception_weights.read_bytes())
    other.write_bytes(inception_weights.read_bytes() + b"other")
    assert missing(same) == {"classify": 0, "gan": 0, "gan_inception": 0}
    assert missing(other) == {"classify": 0, "gan": 0, "gan_inception": 6}
