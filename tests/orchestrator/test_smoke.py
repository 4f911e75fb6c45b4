"""What a whole run leaves behind, and what the next command makes of it."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from benchmarks.commands import bare_torch
from orchestrator.engine.compare import differences
from orchestrator.engine.results import Run
from orchestrator.engine.tables import STAGES as STAGES_SCHEMA
from orchestrator.paper import suite
from orchestrator.report.schemas import ANCHORS, CLAIMS, KEY_NUMBERS
from tests.command import REPOSITORY, Smoke, loaded_after, orchestrate
from tests.orchestrator.copies import copy_of

PRESET = suite().preset("smoke")
STAGES = suite().wanted(PRESET)
TABLES = {name: schema for stage in STAGES for name, schema in stage.schemas.items()}
OPTIONAL = {name for stage in STAGES for name in stage.optional}
TABLES |= {"stages": STAGES_SCHEMA, "claims": CLAIMS, "anchors": ANCHORS, "key_numbers": KEY_NUMBERS}
GAMES = ("paper_minimax", "paper_non_saturating", "tuned_minimax", "tuned_non_saturating")
FIGURES = {
    *("search_history", "search_importances", "search_parallel", "search_epochs"),
    *("kfold_epochs", "kfold_epochs_paper_table1", "kfold_test", "kfold_orders"),
    *("refit_best", "refit_paper_table1", "refit_two_dim"),
    *("refit_traversals", "refit_interpolations", "refit_samples"),
    *("denoise_boot", "denoise_classes", "denoise_gain"),
    *("capacity_latent", "capacity_ablations", "capacity_identity"),
    *("classify_epochs", "classify_seconds", "classify_confusion"),
    *("embed_planes", "embed_confusion"),
    *("gan_trial_losses", "gan_distance", "gan_probabilities", "gan_gradients", "gan_weight_gradients"),
    *(f"gan_{what}_{game}" for what in ("samples", "neighbours") for game in GAMES),
}
ANIMATIONS = {f"gan_animation_{game}" for game in GAMES}
MOVED = {
    "search_curves",
    "kfold_curves",
    "denoise_levels",
    "classify_curves",
    "embed_plane",
    "gan_drawn",
    "gan_curves",
}
"""Names that notebooks know: they stay."""


def test_every_stage_is_done_and_its_training_time_fits_into_its_slots(smoke: Smoke) -> None:
    stages = smoke.run.table("stages").set_index("stage")
    assert list(stages.index) == [stage.name for stage in STAGES]
    assert set(stages["state"]) == {"done"}
    wall = (stages["started"] + pd.to_timedelta(stages["seconds"], unit="s")).max() - stages["started"].min()
    assert 0 < stages["training_seconds"].sum() <= 2 * wall.total_seconds()


@pytest.mark.parametrize("name", sorted(TABLES.keys() - OPTIONAL))
def test_table_has_its_schema_and_the_runs_metadata(smoke: Smoke, name: str) -> None:
    path = smoke.runs_dir / "smoke" / "tables" / f"{name}.parquet"
    schema = pq.read_schema(path)
    assert schema.remove_metadata() == TABLES[name].remove_metadata()
    table = pd.read_parquet(path)
    assert len(table)
    assert table.attrs["run"] == table.attrs["preset"] == "smoke"
    assert table.attrs["seed"] == PRESET.seed


def test_no_row_is_missing_and_none_is_doubled(smoke: Smoke) -> None:
    settings, run = PRESET, smoke.run
    assert list(run.table("trials")["trial"]) == list(range(settings.search.num_trials))
    folds = run.table("folds")
    assert list(folds["fold"]) == [*range(3)] * 4
    assert not folds.duplicated(["model", "order", "fold", "seed"]).any()
    assert not run.table("reconstruction").duplicated(["method", "latent_dim", "seed"]).any()
    assert not run.table("identity").duplicated(["method", "latent_dim", "noise", "level"]).any()
    assert not run.table("classifiers").duplicated(["input", "architecture", "seed"]).any()
    assert len(run.table("classifiers")) == 8
    assert not run.table("embedding_points").duplicated(["method", "index"]).any()
    assert len(run.table("embedding_points")) == 3 * settings.data.num_test
    gans = run.table("gans")
    assert list(gans["arm"].astype(str) + "_" + gans["loss"].astype(str)) == list(GAMES)
    assert list(run.table("gan_trials")["trial"]) == list(range(2 * settings.gan.search.trials))
    assert list(run.table("models")["model"]) == [
        "best", "paper_table1", "two_dim", "denoise_zeroed", "denoise_gaussian", "denoise_gaussian_unclipped",
    ]  # fmt: skip
    assert not run.table("denoising").duplicated(["model", "noise", "level"]).any()
    assert not run.table("denoising_images").duplicated(["model", "noise", "level", "index"]).any()
    for table, unit, epochs in (
        ("trial_epochs", ["trial"], settings.search.epochs),
        ("fold_epochs", ["model", "order", "fold", "seed"], settings.kfold.epochs),
        ("classifier_epochs", ["input", "architecture", "seed"], settings.classify.epochs),
        ("gan_epochs", ["arm", "loss", "seed"], settings.gan.paper.epochs),
    ):
        rows = run.table(table)
        assert not rows.duplicated([*unit, "epoch"]).any()
        assert set(rows.groupby(unit, observed=True)["epoch"].max()) == {epochs}
        assert (rows.groupby(unit, observed=True)["epoch"].count() == epochs).all()


def test_tables_agree_with_each_other(smoke: Smoke) -> None:
    run = smoke.run
    trials, epochs = run.table("trials"), run.table("trial_epochs")
    last = epochs[epochs["epoch"] == PRESET.search.epochs].set_index("trial")["val_mse"]
    np.testing.assert_array_equal(trials["val_mse"], last)
    best = trials.loc[trials["val_mse"].idxmin()]
    models = run.table("models").set_index("model")
    params = [name for name in trials.columns if name.startswith("params_")]
    assert list(models.loc["best", params]) == list(best[params])
    assert models.loc["two_dim", "params_latent_dim"] == 2
    assert models.loc["paper_table1", "num_parameters"] == 14_068
    layers = run.table("layers").groupby("model", observed=True)["num_parameters"].sum()
    assert (layers == models["num_parameters"].loc[layers.index]).all()


def test_importances_are_shares_of_one(smoke: Smoke) -> None:
    importances = smoke.run.table("importances")["importance"]
    assert len(importances) == 7
    assert importances.between(0, 1).all()
    assert importances.sum() == pytest.approx(1)


def test_saved_models_give_the_test_error_in_the_table(smoke: Smoke) -> None:
    from safetensors.torch import load

    from trainables.autoencoder import Autoencoder, as_tensor, reconstruction_mse
    from trainables.autoencoder_settings import AutoencoderSettings
    from trainables.fashion_mnist import load as load_images

    images = as_tensor(load_images().test_images[: PRESET.data.num_test])
    for row in smoke.run.table("models").itertuples():
        description = json.loads(smoke.run.read(f"models/{row.model}.json"))
        model = Autoencoder(AutoencoderSettings.model_validate(description["settings"]))
        model.load_state_dict(load(smoke.run.read(f"models/{row.model}.safetensors")))
        assert reconstruction_mse(model, images) == pytest.approx(row.test_mse, rel=1e-6)


def test_confusions_are_of_every_test_image_and_agree_with_the_accuracies(smoke: Smoke) -> None:
    num_test = PRESET.data.num_test
    for counts, key, table, column in (
        ("confusion", ["input", "architecture"], "classifiers", "test_accuracy"),
        ("embedding_confusion", ["method"], "embeddings", "knn_accuracy"),
    ):
        confusion = smoke.run.table(counts)
        assert set(confusion.groupby(key, observed=True)["count"].sum()) == {num_test}
        right = confusion[confusion["label"] == confusion["predicted"]]
        accuracy = right.groupby(key, observed=True)["count"].sum() / num_test
        expected = smoke.run.table(table).groupby(key, observed=True)[column].first()
        np.testing.assert_allclose(accuracy, expected.loc[accuracy.index])


def test_games_are_scored_against_the_floor_and_minimax_is_minimax(smoke: Smoke) -> None:
    gans, epochs = smoke.run.table("gans"), smoke.run.table("gan_epochs")
    assert (gans["frechet_distance"] > gans["floor_distance"]).all()
    assert gans["floor_distance"].nunique() == gans["features"].nunique() == 1
    assert gans["precision"].between(0, 1).all()
    assert gans["recall"].between(0, 1).all()
    assert set(gans["num_workers"]) == {1}, "there are as many games as slots, or more"
    which = ["arm", "loss"]
    last = epochs[epochs["epoch"] == PRESET.gan.paper.epochs].set_index(which)["val_frechet_distance"]
    np.testing.assert_array_equal(gans.set_index(which)["val_frechet_distance"], last)
    by_loss = epochs.set_index("loss")
    assert (by_loss.loc["minimax", "g_loss"] < 0).all(), "the logarithm of a probability"
    assert (by_loss.loc["non_saturating", "g_loss"] > 0).all(), "minus that"


def test_games_are_played_as_their_best_trials_were(smoke: Smoke) -> None:
    trials = smoke.run.table("gan_trials")
    assert set(trials["state"]) == {"complete"}
    for loss, rows in trials.groupby("loss", observed=True):
        best = rows.loc[rows["val_frechet_distance"].idxmin()]
        game = json.loads(smoke.run.read(f"models/generator_tuned_{loss}.json"))["settings"]
        for name in ("learning_rate", "beta1", "batch_size", "r1_penalty"):
            assert game[name] == best[f"params_{name}"]
        assert rows["params_learning_rate"].nunique() > 1


def test_saved_classifier_has_the_accuracy_in_the_table(smoke: Smoke) -> None:
    import torch
    from safetensors.torch import load

    from trainables.classifier import ClassifierSettings, build, predict
    from trainables.fashion_mnist import load as load_images

    data, num_test = load_images(), PRESET.data.num_test
    description = json.loads(smoke.run.read("models/classifier.json"))
    model = build(ClassifierSettings.model_validate(description["settings"]), seed=0)
    model.load_state_dict(load(smoke.run.read("models/classifier.safetensors")))
    guesses = predict(model, torch.from_numpy(data.test_images[:num_test])).argmax(1).numpy()
    row = smoke.run.table("classifiers").query("input == 'raw' and architecture == 'cnn'").iloc[0]
    assert (guesses == data.test_labels[:num_test]).mean() == pytest.approx(row["test_accuracy"])


def test_time_to_an_accuracy_is_that_of_the_first_epoch_that_has_it(smoke: Smoke) -> None:
    epochs, classifiers = smoke.run.table("classifier_epochs"), smoke.run.table("classifiers")
    reached = 0
    for row in smoke.run.table("classifier_targets").itertuples():
        own = epochs.query("input == @row.input and architecture == @row.architecture and seed == @row.seed")
        good = own[own["test_accuracy"] >= row.accuracy]
        assert pd.isna(row.epoch) == good.empty
        if len(good):
            reached += 1
            assert row.epoch == good["epoch"].min()
            (encoding,) = classifiers.loc[classifiers["input"] == row.input, "encode_seconds"].unique()
            assert row.seconds == pytest.approx(encoding + own[own["epoch"] <= row.epoch]["seconds"].sum())
    assert reached


def test_denoising_summaries_are_those_of_the_images(smoke: Smoke) -> None:
    summary = smoke.run.table("denoising").set_index(["model", "noise", "level"]).sort_index()
    images = smoke.run.table("denoising_images")
    images["gain"] = images["noisy_mse"] - images["reconstructed_mse"]
    grouped = images.groupby(["model", "noise", "level"], observed=True)
    means = grouped[["noisy_mse", "reconstructed_mse", "gain"]].mean()
    own = summary.loc[means.index]
    np.testing.assert_allclose(means, own[["noisy_mse", "reconstructed_mse", "gain"]], rtol=1e-9)
    improved = grouped["gain"].apply(lambda gain: (gain > 0).mean())
    np.testing.assert_allclose(improved, own["fraction_improved"])
    assert (own["gain_low"] < own["gain"]).all()
    assert (own["gain"] < own["gain_high"]).all()
    assert set(own["num_images"]) == {PRESET.data.num_test}


def test_all_models_see_the_same_noise_and_matched_noise_costs_what_zeroing_costs(smoke: Smoke) -> None:
    costs = smoke.run.table("denoising").groupby(["noise", "level"], observed=True)["noisy_mse"]
    assert (costs.nunique() == 1).all()
    cost = costs.first()
    np.testing.assert_allclose(cost["gaussian_matched"], cost["zeroed"], rtol=0.05)
    np.testing.assert_allclose(cost["gaussian_unclipped"], np.square(cost["gaussian_unclipped"].index), rtol=0.05)
    assert (cost["gaussian"] < cost["gaussian_unclipped"]).all()


def test_figures_have_the_names_that_they_have_always_had(smoke: Smoke) -> None:
    """That each is a picture with a caption is in the contract of stages."""
    folder = smoke.runs_dir / "smoke" / "figures"
    assert {path.stem for path in folder.glob("*.gif")} == ANIMATIONS
    for suffix in ("png", "svg", "pdf"):
        assert {path.stem for path in folder.glob(f"*.{suffix}")} == FIGURES
    assert {path.stem for path in folder.glob("*.json")} == MOVED
    assert len(list(folder.iterdir())) == len(ANIMATIONS) + len(MOVED) + 3 * len(FIGURES)


def test_optuna_opens_the_journal_with_every_trial_and_its_value(smoke: Smoke) -> None:
    import optuna
    from optuna.storages.journal import JournalFileBackend

    storage = optuna.storages.JournalStorage(JournalFileBackend(str(smoke.runs_dir / "smoke" / "optuna.journal")))
    study = optuna.load_study(study_name="smoke", storage=storage)
    trials = smoke.run.table("trials")
    assert [trial.value for trial in study.trials] == list(trials["val_mse"])
    assert study.best_params["filters1"] == trials.loc[trials["val_mse"].idxmin(), "params_filters1"]


def test_ray_says_nothing_on_the_terminal_but_the_dashboards_address_is_there(smoke: Smoke) -> None:
    lines = smoke.finished.err.splitlines()
    assert any("dashboard http://127.0.0.1:" in line for line in lines)
    waiting = r"waiting for workers, \d+ s"  # where the machine is so busy that a group takes a minute to start
    ours = "|".join(("Ray", "all", waiting, *(stage.name for stage in STAGES)))
    assert not [line for line in lines if not re.match(rf"\d\d:\d\d:\d\d ({ours}): ", line)]
    assert (smoke.runs_dir / "smoke" / "ray" / "driver.log").stat().st_size


def test_a_run_ends_with_what_it_took_what_it_found_and_what_is_next(smoke: Smoke) -> None:
    first, *found, where, following = smoke.finished.out.splitlines()
    number = sum(len(smoke.run.list(f"records/{stage.name}", ".json")) for stage in STAGES)
    assert re.fullmatch(rf"\d+ (s|min): {number} trainings done; failed ones: 0", first)
    best = smoke.run.table("models").query("model == 'best'")["test_mse"].mean()
    assert found[0].startswith(f"test MSE of the best architecture: {best:.4g}")
    assert "inconclusive" in found[-2]
    assert re.match(r"of its protocol: .*\d+ protocol followed", found[-1])
    assert where.startswith(f"report: {smoke.run.location}/report.html")
    assert following.startswith(f"next: {shlex.quote(sys.executable)} -m orchestrator.run all --preset paper")


def test_logs_of_workers_say_which_training_they_are_at_and_the_terminal_does_not(smoke: Smoke) -> None:
    logs = (smoke.runs_dir / "smoke" / "ray" / "logs").rglob("worker-*.out")
    said = "".join(log.read_text(errors="replace") for log in logs)
    value = smoke.run.table("trials").set_index("trial")["val_mse"][0]
    assert "\nsearch trial-000: begins: epochs 1 to 2, on the cpu" in said
    assert f"\nsearch trial-000: epoch 2 of 2, val_mse {value:.5f}" in said
    assert "gan paper-minimax-seed-1: epoch 2 of 2, val_frechet_distance" in said
    assert "epoch 2 of 2" not in smoke.finished.err


def test_no_more_games_are_said_to_run_than_do(smoke: Smoke) -> None:
    (slots,) = re.findall(r"Ray: (\d+) trainings at once", smoke.finished.err)
    running = [int(number) for number in re.findall(r" gan: .*, (\d+) running", smoke.finished.err)]
    assert running
    assert max(running) <= int(slots)


def test_next_plan_knows_the_pace_of_this_run(smoke: Smoke) -> None:
    manifest = smoke.run.manifest()
    assert manifest is not None
    assert manifest.stages["gan"].pace > 0
    assert not manifest.stages["denoise"].pace


def _records(runs_dir: Path) -> dict[str, int]:
    folder = runs_dir / "smoke" / "records"
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*.json")}


def test_second_run_finds_everything_done_and_starts_nothing(smoke: Smoke) -> None:
    before = _records(smoke.runs_dir)
    again = orchestrate("all", "--preset", "smoke", "--runs-dir", smoke.runs_dir)
    assert again.status == 0
    assert "everything is done" in again.out
    assert "Ray" not in again.err
    assert again.seconds < 15
    assert _records(smoke.runs_dir) == before


@pytest.fixture(scope="module")
def other_epochs(smoke: Smoke, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of runs of a copy of the smoke run in which kfold was done again, with other epochs."""
    runs_dir = tmp_path_factory.mktemp("other_epochs")
    copy_of(smoke, runs_dir)
    done = orchestrate("kfold", "--kfold.epochs", "1", "--preset", "smoke", "--runs-dir", runs_dir)
    assert done.status == 0, done.err
    return runs_dir


def test_changed_setting_redoes_its_stage_and_nothing_else(smoke: Smoke, other_epochs: Path) -> None:
    before, stages = _records(smoke.runs_dir), smoke.run.table("stages").set_index("stage")
    run = Run(other_epochs / "smoke")
    assert set(run.table("fold_epochs")["epoch"]) == {1}
    assert len(run.table("folds")) == 12
    new = _records(other_epochs)
    assert {name: new[name] for name in before} == before
    assert len(new) == len(before) + 12
    redone = run.table("stages").set_index("stage")["started"] > stages["started"]
    assert {name for name, again in redone.items() if again} == {"kfold"}
    assert run.read("report.html") != smoke.run.read("report.html")


def test_status_counts_records_that_nothing_uses_and_clean_removes_just_these(
    smoke: Smoke, other_epochs: Path, tmp_path: Path
) -> None:
    shutil.copytree(other_epochs, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("ray"))
    common = ("--preset", "smoke", "--runs-dir", tmp_path)
    first, both = _records(smoke.runs_dir), _records(tmp_path)
    assert "nothing uses" not in orchestrate("status", *common).out, "the tables use some, these settings the others"
    assert orchestrate("clean", *common).out.startswith("0 records that nothing used are removed")
    assert _records(tmp_path) == both

    again = orchestrate("kfold", *common)
    assert again.status == 0, again.err
    assert "Ray" not in again.err
    assert "12 records that nothing uses" in orchestrate("status", *common).out
    assert orchestrate("clean", *common).out.startswith("12 records that nothing used are removed")
    assert _records(tmp_path) == first
    assert "nothing uses" not in orchestrate("status", *common).out

    assert list(differences(Run(tmp_path / "smoke"), smoke.run)) == []
    last = orchestrate("all", *common)
    assert "everything is done" in last.out
    assert "Ray" not in last.err
    assert _records(tmp_path) == first


def _interrupt(arguments: list[str], after: str) -> tuple[int, float, str]:
    """Ctrl-C, as a terminal sends it to the whole group, once a line says `after`: status, seconds, last words."""
    command = [sys.executable, "-m", "orchestrator.run", *arguments]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        assert any(after in line for line in process.stderr)
        os.killpg(process.pid, signal.SIGINT)
        started = time.monotonic()
        last_words = process.stderr.read()
        return process.wait(timeout=60), time.monotonic() - started, last_words


@pytest.mark.long
def test_interrupted_run_goes_on_where_it_stopped_and_one_slot_gives_the_tables_of_two(
    smoke: Smoke, tmp_path: Path
) -> None:
    arguments = ["all", "--preset", "smoke", "--runs-dir", str(tmp_path), "--resources.slots", "1"]
    status, seconds, last_words = _interrupt(arguments, after="trial-001 complete")
    assert status == 130
    assert seconds < 10
    assert f"To go on: {shlex.quote(sys.executable)} -m orchestrator.run {' '.join(arguments)}" in last_words
    finished = {name for name in _records(tmp_path) if "trial" in name}
    assert 2 <= len(finished) < PRESET.search.num_trials
    before = _records(tmp_path)
    assert orchestrate(*arguments).status == 0
    after = _records(tmp_path)
    assert {name: after[name] for name in before} == before, "a finished training was repeated"
    run = Run(tmp_path / "smoke")
    assert list(differences(run, smoke.run)) == []


def test_report_is_one_file_that_states_its_scale(smoke: Smoke) -> None:
    page = smoke.run.read("report.html").decode()
    assert "Reduced scale" in page
    assert "3,000 instead of 60,000 training images" in page
    manifest = smoke.run.manifest()
    assert manifest is not None
    captions = {name for entry in manifest.stages.values() for name in entry.captions}
    assert page.count('<img src="data:image/png;base64,') == len(FIGURES & captions) == len(FIGURES)
    assert captions >= ANIMATIONS
    assert page.count('<script type="application/json">') == len(MOVED)
    assert page.count("<script>") == 1
    for address in ("http://", "https://", 'src="h', "<link"):
        assert address not in page
    shown = (
        "trials",
        "folds",
        "models",
        "layers",
        "denoising",
        "reconstruction",
        "classifiers",
        "embeddings",
        "gans",
    )
    for name in shown:
        assert f"Table {name}" in page
    for sentence in (
        "The search&#39;s best, sequential, 3 folds, 2 seed(s) of each: validation MSE",
        "The search&#39;s best, pixels zeroed, MSE before and after",
        "The linear autoencoder with 2 numbers",
        "CNN: accuracy",
        "t-SNE: accuracy of the nearest neighbours",
        "Minimax GAN, 2 complete trials: the best is",
        "Minimax GAN, the paper&#39;s recipe, 1 seed(s): Fréchet distance",
        "code in generator filters 128-64-32 (his 512-256-128)",
    ):
        assert sentence in page


def test_a_worker_holds_no_more_than_300_megabytes_beside_torch(smoke: Smoke) -> None:
    beyond = smoke.memory.workers - bare_torch()
    assert 20 < beyond <= 300  # Ray, at least; without MALLOC_ARENA_MAX it is 1,460
    assert smoke.memory.driver <= 900


def test_what_workers_train_and_score_with_loads_nothing_that_only_tables_and_figures_need() -> None:
    """Each is a second or more of every worker's start, and some forty megabytes."""
    loaded = loaded_after(
        "import orchestrator.engine.ray_tune, orchestrator.engine.ray_train\n"
        "import orchestrator.paper, orchestrator.stages.classify.measure, orchestrator.stages.gan.scoring\n"
        "import trainables.autoencoder, trainables.gan_scores, trainables.linear_autoencoder\n"
        "orchestrator.paper.suite()"
    )
    heavy = {"matplotlib", "optuna", "scipy.stats", "sklearn", "sympy", "torch_fidelity", "torchvision"}
    assert "torch" in loaded
    assert not heavy.intersection(loaded)
