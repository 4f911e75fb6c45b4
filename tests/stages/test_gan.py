"""The games are tuned each by itself, tell their intervals, and can be scored in Inception's features."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from orchestrator.config import Data, Settings, smoke
from orchestrator.findings import FINDINGS
from orchestrator.manifest import Manifest, StageState
from orchestrator.results import Run
from orchestrator.stage import Context, Record, Stage, StageFailed, Trial
from safetensors.torch import save

from orchestrator.command_line import CommandLine
from orchestrator.stages import gan, gan_inception, gan_search
from trainables import classifier
from trainables.classifier import ClassifierSettings
from trainables.fashion_mnist import FashionMnist
from trainables.gan import Generator, build
from trainables.gan_settings import GanSettings

NUM_TRAIN, NUM_TEST = 240, 8
LOSSES = ("minimax", "non_saturating")


def images(seed: int) -> FashionMnist:
    draw = np.random.default_rng(seed)
    pixels = [draw.integers(0, 256, (number, 28, 28), dtype=np.uint8) for number in (NUM_TRAIN, NUM_TEST)]
    labels = [draw.integers(0, 10, number, dtype=np.uint8) for number in (NUM_TRAIN, NUM_TEST)]
    return FashionMnist(pixels[0], labels[0], pixels[1], labels[1], "made up")


def context_of(stage: Stage, folder: Path, **changes: object) -> Context:
    """In a run folder with a classifier that knows nothing."""
    section = smoke().gan.model_copy(update={"generator_filters": (8, 8, 8), "search_trials": 6} | changes)
    settings = smoke().model_copy(
        update={"data": Data.model_construct(num_train=NUM_TRAIN, num_test=NUM_TEST), "gan": section}
    )
    run = Run(folder)
    known = ClassifierSettings(input="raw", num_features=784, architecture="cnn")
    run.write("models/classifier.safetensors", save(classifier.build(known, seed=0).state_dict()))
    run.write("models/classifier.json", json.dumps({"settings": known.model_dump()}).encode())
    return Context(stage, settings, run, Manifest.empty("made-up", "none"), "fingerprint", images(0))


def record(config: dict[str, Any], distance: float | None) -> Record:
    names = ("d_loss", "g_loss", "d_real", "d_fake", "class_entropy")
    epochs = [] if distance is None else [dict.fromkeys(names, 1.0) | {"epoch": 1, gan_search.METRIC: distance}]
    state = "failed" if distance is None else "complete"
    return {"config": config, "state": state, "error": None, "seconds": 1.0, "epochs": epochs}


def played(context: Context, distances: dict[int, float], number: int) -> list[dict[str, Any]]:
    """The games that the first trials play; trial n comes to distances[n], or to 50."""
    trainings, records, found = gan_search.trainings(context), [], []
    for n in range(number):
        trial = trainings.suggest(n, records[: max(0, n - trainings.window + 1)])
        records.append(record(trial.config, distances.get(n, 50.0)))
        found.append(trial.config["gan"])
    return found


def test_each_game_is_tuned_by_what_it_came_to_itself(tmp_path: Path) -> None:
    context = context_of(gan_search.STAGE, tmp_path)
    found = played(context, {0: 3.0}, 12)
    params = [{name: game[name] for name in ("learning_rate", "beta1", "batch_size")} for game in found]
    assert [game["loss"] for game in found] == ["minimax", "non_saturating"] * 6
    assert params[:6:2] == params[1:6:2], "drawn from the same seed"
    other = played(context, {0: 70.0}, 12)
    assert other[1::2] == found[1::2], "minimax came to something else"
    assert other[::2] != found[::2]
    assert {game["epochs"] for game in found} == {context.settings.gan.search_epochs}


def test_a_trial_neither_learns_from_the_last_sixth_nor_looks_at_the_test_images(tmp_path: Path) -> None:
    context = context_of(gan_search.STAGE, tmp_path)
    trial = gan_search.trainings(context).suggest(0, [])
    config = trial.config | {"gan": trial.config["gan"] | {"batch_size": 64}}
    inputs = context.inputs()
    assert inputs is not None
    assert len(inputs["real_features"]) == NUM_TRAIN // 6

    def metrics(data: FashionMnist) -> dict[str, float]:
        (epoch,) = gan_search.training(config, data, device="cpu", resume=None, inputs=inputs)
        return dict(epoch.metrics)

    mine, other = images(0), images(1)
    cut = NUM_TRAIN * 5 // 6
    spoilt = np.concatenate([mine.train_images[:cut], other.train_images[cut:]])
    same = metrics(FashionMnist(spoilt, mine.train_labels, other.test_images, mine.test_labels, "spoilt"))
    assert same == metrics(mine)
    assert same[gan_search.METRIC] > 0
    assert metrics(other) != same


def test_the_games_are_played_with_what_was_best_in_trials_that_came_to_their_end(tmp_path: Path) -> None:
    context = context_of(gan_search.STAGE, tmp_path)
    games = played(context, {}, 12)
    distances = [30, 9, None, 8, 7, 40, 50, 60, 6, None, 50, 70]
    records = {
        f"trial-{n:03d}": record({"gan": game, "seed": 1}, None if value is None else float(value))
        for n, (game, value) in enumerate(zip(games, distances, strict=True))
    }
    gan_search.finish(context, records)
    trials = context.run.table("gan_trials")
    assert trials["val_frechet_distance"].isna().tolist() == [value is None for value in distances]
    assert context.run.exists("figures/gan_trial_losses.png")
    configs = [trial.config["gan"] for trial in gan.games(context.settings, None, gan.tuned(context))]
    for config, best in zip(configs, (games[8], games[3]), strict=True):
        assert config == best | {"epochs": context.settings.gan.epochs}
    assert configs[0]["learning_rate"] != context.settings.gan.learning_rate


def test_a_game_without_a_complete_trial_fails_the_search(tmp_path: Path) -> None:
    context = context_of(gan_search.STAGE, tmp_path)
    games = played(context, {}, 4)
    records = {f"trial-{n}": record({"gan": game, "seed": 1}, (4.0, None)[n % 2]) for n, game in enumerate(games)}
    with pytest.raises(StageFailed, match="no trial of non_saturating came to its end"):
        gan_search.finish(context, records)
    assert len(context.run.table("gan_trials")) == 4


def test_findings_tell_whether_a_loss_orders_the_trials_as_the_distance_does() -> None:
    rows = [
        {"loss": "minimax", "trial": n, "val_frechet_distance": value, "d_loss": value**2, "g_loss": -value}
        | {"params_learning_rate": 1e-3, "params_beta1": 0.5, "params_batch_size": 64}
        for n, value in enumerate((4.0, 2.0, 9.0, 7.0))
    ]
    best, order = FINDINGS["gan_search"]({"gan_trials": pd.DataFrame(rows)})
    assert "4 complete trials: the best is 1, distance 2.00" in best
    assert "discriminator's loss 1.00, with the generator's -1.00; of the two losses -1.00" in order
    assert "discriminator has a loss of 4.00" in order


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({"r1_penalty": 0.0}, True),
        ({"schedule": "constant"}, True),
        ({"latent_dim": 8}, True),
        ({"search_epochs": 3}, True),
        ({"learning_rate": 1e-4, "beta1": 0.5, "batch_size": 32, "epochs": 7, "num_seeds": 2}, False),
    ],
    ids=str,
)
def test_what_trials_are_played_with_decides_them(change: dict[str, object], again: bool) -> None:
    settings = smoke()
    changed = settings.model_copy(update={"gan": settings.gan.model_copy(update=change)})
    assert (gan_search.STAGE.decides(changed) != gan_search.STAGE.decides(settings)) == again


def gans(*distances: tuple[str, int, float | None]) -> pd.DataFrame:
    rows = [{"loss": loss, "seed": seed, "frechet_distance": value} for loss, seed, value in distances]
    return pd.DataFrame(rows).assign(floor_distance=0.5)


def test_intervals_are_student_s_and_the_difference_is_paired_by_seed() -> None:
    found = gan.intervals(
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


def test_findings_tell_intervals_and_the_paired_difference() -> None:
    games = gans(
        *((loss, seed, 1.0 * seed + (9.5 + seed / 4) * (loss == "minimax")) for loss in LOSSES for seed in (1, 2, 3))
    )
    tables = {"gans": games.assign(precision=0.7, recall=0.4, collapsed=False, r1_penalty=0.2)}
    tables["gan_intervals"] = pd.DataFrame(gan.intervals(games))
    minimax, _, difference, penalty = FINDINGS["gan"](tables)
    assert "R1 penalty of weight 0.2, which the paper's have not" in penalty
    assert len(FINDINGS["gan"](tables | {"gans": tables["gans"].assign(r1_penalty=0.0)})) == 3
    assert "3 seed(s): Frechet distance 12.00 (95 % t interval 8.89 to 15.11), 24.0 times the floor" in minimax
    assert difference.endswith("seed by seed: 10.00 (95 % t interval 9.38 to 10.62).")
    scored = games.rename(columns={"frechet_distance": "inception_fid"}).assign(features="c0ffee", floor_fid=1.5)
    *_, inception = FINDINGS["gan"](tables | {"gan_inception": scored})
    assert "weights c0ffee): FID 2.00, the floor 1.50" in inception


def test_one_seed_has_no_interval_and_a_failed_game_no_distance() -> None:
    one, none, difference = gan.intervals(gans(("minimax", 1, 11.0), ("non_saturating", 1, None)))
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
    from orchestrator.config import UserError

    def refused(path: Path) -> str:
        section = smoke().gan.model_copy(update={"inception_weights": path})
        with pytest.raises(UserError) as error:
            gan_inception.STAGE.check(smoke().model_copy(update={"gan": section}))
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


def untrained(game: Trial) -> Generator:
    """With weights large enough for its images to differ."""
    generator, _ = build(GanSettings.model_validate(game.config["gan"]), seed=len(game.key))
    for parameter in generator.parameters():
        parameter.data *= 10
    return generator


def test_inception_distances_are_those_of_each_game_s_own_images(
    inception_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With eight of the 2048 features: the distance takes their number's third power."""
    from trainables import gan_scores, inception
    from trainables.gan_training import generate, random_vectors

    whole = inception.inception_features
    monkeypatch.setattr(inception, "inception_features", lambda network, images: whole(network, images)[:, ::256])
    context = context_of(gan_inception.STAGE, tmp_path, inception_weights=inception_weights)
    assert gan_inception.STAGE.wanted(context.settings)
    context.manifest.stages["gan"] = StageState(state="done", fingerprint="played", started="2026-01-01T00:00:00")
    for game in gan.games(context.settings):
        generator = untrained(game)
        weights = f"records/gan/played/{game.key}.safetensors"
        context.run.write_sealed(weights, save(generator.state_dict()))
        context.run.write_json(f"records/gan/played/{game.key}.json", {"config": game.config, "files": [weights]})
    trainings = gan_inception.trainings(context)
    inputs = context.inputs()
    assert inputs is not None
    records = {}
    for number in range(trainings.num_trials):
        trial = trainings.suggest(number, [])
        (epoch,) = gan_inception.training(trial.config, context.data, device="cpu", resume=None, inputs=inputs)
        context.run.write_sealed(f"{context.records}/{trial.key}.safetensors", save(epoch.state()["model"]))
        records[trial.key] = {
            "config": trial.config, "state": "complete", "error": None, "seconds": 1.0, "epochs": [epoch.metrics]
        }  # fmt: skip
    gan_inception.finish(context, records)
    table = context.run.table("gan_inception")
    assert list(table["loss"]) == ["minimax", "non_saturating"]
    network = inception.inception(torch.load(inception_weights, weights_only=True))
    real = inception.inception_features(network, torch.from_numpy(context.data.test_images))
    for row, game in zip(table.itertuples(), gan.games(context.settings), strict=True):
        settings = GanSettings.model_validate(game.config["gan"])
        generator = untrained(game)
        drawn = generate(generator, random_vectors(NUM_TEST, settings, game.config["seed"], 0, 2))
        expected = gan_scores.frechet_distance(inception.inception_features(network, drawn), real)
        assert row.inception_fid == pytest.approx(expected, rel=1e-3)
    train = inception.inception_features(network, torch.from_numpy(context.data.train_images[:NUM_TEST]))
    assert table["floor_fid"].iloc[0] == pytest.approx(gan_scores.frechet_distance(train, real), rel=1e-3)
    assert (table["num_images"] == NUM_TEST).all()
    changed = gan_inception.trainings(context)
    assert changed.suggest(0, []).config["weights"] == table["features"].iloc[0]


def test_weights_given_later_play_no_game_again() -> None:
    from orchestrator.plan import Plan

    from orchestrator.run import STAGES

    def fingerprints(settings: Settings) -> dict[str, str]:
        plan = Plan(STAGES, STAGES, (), None, CommandLine.model_validate(settings.model_dump()))
        return {stage.name: plan.fingerprint(stage, None) for stage in STAGES}

    section = smoke().gan.model_copy(update={"inception_weights": Path("weights.pth")})
    before, after = fingerprints(smoke()), fingerprints(smoke().model_copy(update={"gan": section}))
    assert {name for name in before if before[name] != after[name]} == {"gan_inception"}
