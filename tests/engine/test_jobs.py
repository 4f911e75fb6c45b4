"""What a worker is told of a training, what it adds to the epochs, and what becomes of a record."""

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from orchestrator.engine.checkpoint import Checkpoint, Rows
from orchestrator.engine.records import Record, Records, Trial
from orchestrator.engine.results import Run
from orchestrator.engine.stage import Model, Worker
from orchestrator.engine.stage_run import StageRun
from orchestrator.engine.worker import unwatch
from tests.engine.toy import Nothing, Toy, begun
from trainables.epoch import Epoch

TRIAL = Trial("only", Nothing(), seed=1, epochs=4, keep_weights=True)


class Telling(Toy):
    """Tells what it was given; its losses are those that it is made with."""

    losses = (4.0, 3.0, 2.0, 1.0)

    def made_of(self, context: Any) -> tuple[str, ...]:
        return ("something",)

    def inputs(self, context: Any) -> dict[str, Any]:
        return {"scale": np.array([7.0])}

    def train(self, trial: Trial[Any], data: Any, worker: Worker) -> Iterator[Epoch]:
        first = 1 if worker.resume is None else worker.resume["epoch"] + 1
        for number in range(first, trial.epochs + 1):
            time.sleep(0.05)
            given = {f"of epoch {number}": np.array([number]), **worker.inputs}
            state = {"epoch": number, "model": {"weight": torch.full((2,), float(number))}}
            yield Epoch(number, {"loss": self.losses[number - 1]}, lambda state=state: state, given)


def train(folder: Path, so_far: Checkpoint, **facts: Any) -> tuple[StageRun, list[str | None]]:
    """The only trial of a stage, begun in a run folder and trained on from what there is so far; why each epoch has
    diverged, if it has."""
    stage_run, _ = begun(folder, Telling([TRIAL], **facts))
    job = stage_run.start()
    found = []
    try:
        for epoch, diverged in job.epochs(None, stage_run.records, so_far, Worker()):
            so_far.state = epoch.state()
            found.append(diverged)
    finally:
        unwatch()
    return stage_run, found


def test_epochs_have_their_numbers_metrics_and_own_seconds_and_their_arrays_are_kept(tmp_path: Path) -> None:
    so_far, started = Checkpoint(), time.perf_counter()
    _, diverged = train(tmp_path, so_far)
    spent = time.perf_counter() - started
    assert diverged == [None] * 4
    assert [row["epoch"] for row in so_far.rows] == [1, 2, 3, 4]
    assert [row["loss"] for row in so_far.rows] == [4.0, 3.0, 2.0, 1.0]
    assert all(row["seconds"] >= 0.05 for row in so_far.rows)
    assert sum(row["seconds"] for row in so_far.rows) <= spent, "each has its own, not all before it"
    assert set(so_far.arrays) == {"scale", *(f"of epoch {number}" for number in (1, 2, 3, 4))}
    assert so_far.arrays["scale"].tolist() == [7.0]


def test_worker_s_log_has_a_line_for_every_epoch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(tmp_path, Checkpoint([{"epoch": 1, "loss": 4.0, "seconds": 9.0}], {"epoch": 1}))
    assert capsys.readouterr().out.splitlines() == [
        "toy only: begins: epochs 2 to 4, on the cpu",
        "toy only: epoch 2 of 4, loss 3.00000",
        "toy only: epoch 3 of 4, loss 2.00000",
        "toy only: epoch 4 of 4, loss 1.00000",
    ]


def test_a_training_goes_on_from_its_checkpoint_to_which_its_epochs_are_added(tmp_path: Path) -> None:
    before: Rows = [{"epoch": 1, "loss": 4.0, "seconds": 9.0}, {"epoch": 2, "loss": 3.0, "seconds": 9.0}]
    records = Records(Run(tmp_path), "toy")
    records.save_checkpoint("only", Checkpoint(before, {"epoch": 2}, {"of epoch 2": np.array([2])}))
    so_far = records.load_checkpoint("only")
    train(tmp_path, so_far)
    assert [row["epoch"] for row in so_far.rows] == [1, 2, 3, 4]
    assert [row["seconds"] for row in so_far.rows][:2] == [9.0, 9.0]
    assert set(so_far.arrays) == {"of epoch 2", "of epoch 3", "of epoch 4", "scale"}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_metric_that_is_no_number_is_divergence(tmp_path: Path, value: float) -> None:
    _, found = train(tmp_path, Checkpoint(), losses=(4.0, value, 2.0, 1.0))
    assert found == [None, f"diverged: loss is {value} after epoch 2", None, None]


def test_a_training_is_complete_with_all_its_epochs_pruned_with_fewer_and_failed_with_an_error(
    tmp_path: Path,
) -> None:
    trials = [Trial(key, Nothing(), seed=1, epochs=2) for key in ("whole", "short", "ill", "shared")]
    stage_run, records = begun(tmp_path, Telling(trials))
    rows: Rows = [{"epoch": number, "loss": 1.0, "seconds": 1.0} for number in (1, 2)]
    for _ in trials:
        stage_run.start()
    stage_run.over("whole", rows, None)
    stage_run.over("short", rows[:1], None)
    stage_run.over("ill", rows, "out of paint")
    stage_run.over("shared", rows, None, num_workers=3)
    states = {key: record.state for key, record in records.items()}
    assert states == {"whole": "complete", "short": "pruned", "ill": "failed", "shared": "complete"}
    assert records["short"].last == records["ill"].last == {}
    assert [records[trial.key].num_workers for trial in trials] == [1, 1, 1, 3]
    found = Records(Run(tmp_path), "toy")
    for trial in stage_run.study.trials:
        assert found.find(trial, set_aside=False) == records[trial.key]


def test_a_model_s_file_has_the_weights_of_its_training_and_says_what_it_is(tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.torch import load

    so_far = Checkpoint()
    stage_run, _ = train(tmp_path, so_far)
    stage_run.records.save_results(stage_run.study.running["only"], so_far)
    stage_run.over("only", so_far.rows, None)
    (record,) = stage_run.study.in_order()
    told = {"class": "toy.Toy", "settings": {"sizes": [1, 2]}, "seed": 1}
    stage_run.stage.results = lambda context, records: iter([Model("mine", record, told)])  # type: ignore[method-assign]
    stage_run.finish()
    weights = load(Run(tmp_path).read("models/mine.safetensors"))
    assert {name: tensor.tolist() for name, tensor in weights.items()} == {"weight": [4.0, 4.0]}
    with safe_open(tmp_path / "models" / "mine.safetensors", "pt") as file:
        assert json.loads(file.metadata()["description"]) == told
    written = Run(tmp_path).read("models/mine.safetensors")
    stage_run.finish()
    assert Run(tmp_path).read("models/mine.safetensors") == written


def test_weights_are_kept_where_they_are_wanted_and_nowhere_else(tmp_path: Path) -> None:
    records, state = Records(Run(tmp_path), "toy"), {"model": {"weight": torch.ones(2)}}
    for keep in (True, False):
        trial = Trial(f"{keep}", Nothing(), seed=1, epochs=1, keep_weights=keep, address=f"{keep}")
        records.save_results(trial, Checkpoint([], state))
    assert [path.name for path in (tmp_path / "records" / "toy").iterdir()] == ["True.safetensors"]


def test_a_training_s_seconds_are_those_of_its_epochs_together() -> None:
    rows: Rows = [{"epoch": number, "seconds": seconds} for number, seconds in ((1, 2.0), (2, 0.5))]
    assert Record("only", Nothing(), 1, "complete", rows).seconds == 2.5
