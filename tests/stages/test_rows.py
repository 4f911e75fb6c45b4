"""What stages make of records that are not all well, and of each other's failures."""

import time
from pathlib import Path
from typing import Any

import pytest
from orchestrator.cluster import Cluster
from orchestrator.config import Resources, smoke
from orchestrator.execute import execute
from orchestrator.ledger import Ledger
from orchestrator.manifest import Manifest
from orchestrator.plan import Plan
from orchestrator.results import Run
from orchestrator.stage import Context, Record, Stage, StageFailed, Trainings, Trial
from orchestrator.trials import Source

from orchestrator.command_line import CommandLine
from orchestrator.stages import kfold, report, search
from tests.command import NO_IMAGES
from trainables.autoencoder_settings import PAPER_TABLE1

NO_CLUSTER = Cluster(2, 1.0, 0.0, None, {}, Resources(), {})


def _context(stage: Stage, folder: Path) -> Context:
    settings = smoke()
    manifest = Manifest.empty("made-up", "none")
    manifest.settings = settings.model_dump(mode="json")
    return Context(stage, settings, Run(folder), manifest, "fingerprint")


def _record(state: str, config: dict[str, Any], epochs: int = 2, value: float = 0.1) -> Record:
    model = PAPER_TABLE1.model_dump(mode="json")
    rows = [
        {
            "epoch": number,
            "train_mse": value,
            "last_batch_mse": value,
            "val_mse": value / number,
            "test_mse": value,
            "seconds": 1.5,
        }
        for number in range(1, epochs + 1)
    ]
    error = "Traceback ...\nValueError: out of paint" if state == "failed" else None
    return {
        "config": {"model": model, "seed": 1} | config,
        "state": state,
        "error": error,
        "seconds": 1.5 * epochs,
        "epochs": rows,
    }


def test_failed_and_pruned_trials_are_rows_with_state_and_error(tmp_path: Path) -> None:
    context = _context(search.STAGE, tmp_path)
    states = ["complete", "failed", "pruned", "complete", "failed", "complete"]
    records = {
        f"trial-{number:03d}": _record(state, {}, epochs={"failed": 0, "pruned": 1}.get(state, 2), value=0.1 + number)
        for number, state in enumerate(states)
    }
    search.finish(context, records)
    trials = context.run.table("trials")
    assert list(trials["state"]) == states
    assert trials["error"].notna().tolist() == [state == "failed" for state in states]
    assert trials["val_mse"].isna().tolist() == [state == "failed" for state in states]
    assert list(trials["epochs"]) == [2, 0, 1, 2, 0, 2]
    assert len(context.run.table("trial_epochs")) == 7
    assert search.best_model(context, epochs=9) == PAPER_TABLE1.model_copy(update={"epochs": 9})


def test_search_without_a_complete_trial_fails_but_has_its_tables_and_figures(tmp_path: Path) -> None:
    context = _context(search.STAGE, tmp_path)
    with pytest.raises(StageFailed, match="no trial came to its end"):
        search.finish(context, {f"trial-{number:03d}": _record("failed", {}, epochs=0) for number in range(6)})
    assert len(context.run.table("trials")) == 6
    assert context.run.table("importances").empty
    assert context.run.exists("figures/search_history.png")


def test_kfold_with_a_failed_fold_fails_but_has_the_others_in_its_tables(tmp_path: Path) -> None:
    context = _context(kfold.STAGE, tmp_path)
    records = {
        f"{order}-{fold}-seed-{seed}": _record(
            "failed" if (order, fold) == ("sequential", 2) else "complete",
            {"order": order, "fold": fold, "seed": seed, "num_folds": 6},
        )
        for order, fold, seed in kfold.arms(smoke())
    }
    with pytest.raises(StageFailed, match="of 13 trainings failed: sequential-2-seed-1"):
        kfold.finish(context, records)
    folds = context.run.table("folds").query("order == 'sequential' and seed == 1")
    assert folds["test_mse"].isna().tolist() == [fold == 2 for fold in range(6)]
    assert folds.loc[2, "error"].endswith("out of paint")
    assert folds["num_val"].sum() == smoke().data.num_train


def test_what_needs_a_stage_that_workers_share_is_trained_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray is not here: whoever trains takes what it is given, and nothing while there is nothing."""
    trained: list[str] = []

    def train_one(ledger: Ledger) -> None:
        trained.append(ledger.context.stage.name)
        trial = ledger.start("now")
        ledger.finish("now", {"rows": [{"epoch": 1, "seconds": 0.1}]})
        assert trial.key == "only"

    def with_tune(source: Source, *others: object) -> None:
        until = time.monotonic() + 20
        while not source.exhausted:
            assert time.monotonic() < until, "it waits for what is trained after it"
            ledger = source.next()
            if ledger is not None:
                train_one(ledger)
            time.sleep(0.01)

    monkeypatch.setattr("orchestrator.trials.run_trials", with_tune)
    monkeypatch.setattr("orchestrator.ddp.train_together", lambda ledger, *others: train_one(ledger))
    monkeypatch.setattr("orchestrator.execute.connected", lambda *arguments: NO_CLUSTER)
    monkeypatch.setattr("orchestrator.execute._load_images", lambda settings: NO_IMAGES)

    def stage(name: str, *needs: str, shared: bool = False) -> Stage:
        return Stage(
            name,
            decides=lambda settings: [],
            finish=lambda context, records: None,
            training=lambda *arguments, **options: iter(()),
            trainings=lambda context: Trainings.of([Trial("only", {}, epochs=1, cost=1.0)], metric="epoch"),
            needs=lambda settings: needs,
            shared=shared,
        )

    stages = (stage("first"), stage("games", "first", shared=True), stage("scores", "games"), stage("last", "scores"))
    settings = CommandLine.model_validate(smoke().model_dump())
    manifest = execute(Plan.make(stages, ["last"], settings, None), settings, Run(tmp_path))
    assert trained == ["first", "games", "scores", "last"]
    assert {entry.state for entry in manifest.stages.values()} == {"done"}


def test_stage_whose_workers_were_lost_has_failed_and_the_next_command_trains_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray is not here: the machine loses every worker of one training, and the next time none."""
    started: list[str] = []
    lost = {"ill"}

    def with_tune(source: Source, *others: object) -> None:
        while not source.exhausted:
            ledger = source.next()
            if ledger is not None:
                key = ledger.start("now").key
                started.append(key)
                ledger.finish("now", None if key in lost else {"rows": [{"epoch": 1, "seconds": 0.1}]})

    monkeypatch.setattr("orchestrator.trials.run_trials", with_tune)
    monkeypatch.setattr("orchestrator.execute.connected", lambda *arguments: NO_CLUSTER)
    monkeypatch.setattr("orchestrator.execute._load_images", lambda settings: NO_IMAGES)
    trials = [Trial(key, {}, epochs=1, cost=1.0) for key in ("well", "ill")]
    suggested = Trainings(2, lambda number, records: trials[number], 2, "epoch", retry_failed=False)
    stage = Stage(
        "only",
        decides=lambda settings: [],
        finish=lambda context, records: None,
        training=lambda *arguments, **options: iter(()),
        trainings=lambda context: suggested,
    )
    settings = CommandLine.model_validate(smoke().model_dump())
    run = Run(tmp_path)
    entry = execute(Plan.make((stage,), ["only"], settings, None), settings, run).stages["only"]
    assert (entry.state, entry.error) == ("failed", "their workers were lost: ill")
    assert started == ["well", "ill", "ill", "ill"], "it is taken up again twice"
    lost.clear()
    started.clear()
    plan = Plan.make((stage,), ["only"], settings, run.manifest())
    assert execute(plan, settings, run).stages["only"].state == "done"
    assert started == ["ill"]


def test_report_of_a_run_with_nothing_in_it_is_a_page(tmp_path: Path) -> None:
    context = _context(report.STAGE, tmp_path)
    report.finish(context, {})
    assert "made-up" in context.run.read("report.html").decode()


def test_report_of_a_failed_run_says_what_failed_and_escapes_it(tmp_path: Path) -> None:
    def fail(context: Context, records: dict[str, Record]) -> None:
        raise ValueError("<script>alert(1)</script>")

    broken = Stage("broken", decides=lambda settings: [], finish=fail)
    after = Stage("after", decides=lambda settings: [], finish=fail, needs=lambda settings: ("broken",))
    settings = CommandLine.model_validate(smoke().model_dump())
    run = Run(tmp_path)
    stages = (broken, after, report.STAGE)
    execute(Plan.make(stages, ["after", "report"], settings, None), settings, run)
    manifest = run.manifest()
    assert manifest is not None
    assert {name: entry.state for name, entry in manifest.stages.items()} == {
        "broken": "failed", "after": "blocked", "report": "done",
    }  # fmt: skip
    page = run.read("report.html").decode()
    assert "after blocked:" in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>" not in page
    again = Plan.make(stages, ["after", "report"], settings, manifest)
    assert [stage.name for stage in again.to_do] == ["broken", "after", "report"]
