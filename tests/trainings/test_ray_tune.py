"""Trainings through real Ray Tune: all recorded, once each, whatever becomes of their workers."""

import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from ray.tune.experiment import Trial as TuneTrial

from orchestrator.engine.cluster import Cluster
from orchestrator.engine.ray_tune import _Scheduler, run_trials
from orchestrator.engine.records import Outcome, Record, Trial
from orchestrator.engine.results import Run
from orchestrator.engine.settings import Resources, Section
from orchestrator.engine.stage import Worker
from orchestrator.engine.study import Suggested
from orchestrator.engine.suggestions import OptunaSuggestions
from orchestrator.engine.underway import COMPARED
from tests.command import NO_IMAGES
from tests.engine.toy import Nothing, OneStage, Toy, begun
from trainables.dataset import Dataset
from trainables.epoch import Epoch

EPOCHS = 4


class Told(Section):
    """What a trial is told."""

    value: float
    fault: str = ""
    marker: Path = Path()


class Counting(Toy):
    """Counts; what else happens to it is in its config."""

    config, metric = Told, "val_mse"

    def train(self, trial: Trial[Told], data: Dataset, worker: Worker) -> Iterator[Epoch]:
        config, resume = trial.config, worker.resume
        assert data.checksum == "none"
        assert worker.device == "cpu"
        first = 1 if resume is None else resume["epoch"] + 1
        if config.fault == "dies when over":
            with config.marker.open("a") as begun_again:
                begun_again.write("x")
        for number in range(first, EPOCHS + 1):
            value = config.value / number
            if number == 3 and config.fault == "raises":
                raise ValueError("out of paint")
            if number == 3 and config.fault == "diverges":
                value = float("nan")
            if number == 2 and config.fault == "slow":
                time.sleep(10.5)  # past the time of a checkpoint
            if number == 4 and config.fault == "slow" and not config.marker.exists():
                config.marker.write_text(str(number))
                os.kill(os.getpid(), signal.SIGKILL)
            if config.fault == "no memory" and not config.marker.exists():
                config.marker.touch()
                raise torch.OutOfMemoryError("CUDA out of memory")
            if config.fault == "lacks a library" and not config.marker.exists():
                raise ModuleNotFoundError("No module named 'paint'")
            if config.fault == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            weights = {"weight": torch.full((2,), float(number))}
            state = {"epoch": number, "model": weights}
            try:
                yield Epoch(number, {"val_mse": value, "resumed_after": float(first - 1)}, lambda state=state: state)
            finally:
                if number == EPOCHS and config.fault == "dies when over":
                    os.kill(os.getpid(), signal.SIGKILL)


class Pruned(Counting):
    """Stops weak trials."""

    def stops_weak_trials(self, own: Nothing) -> bool:
        return True


def run_all(
    cluster: Cluster, folder: Path, stage: Toy, resources: Resources | None = None
) -> dict[str, Record[Told]]:
    stage_run, records = begun(folder, stage, resources)
    if stage_run.study.num_missing:
        run_trials(OneStage(stage_run), cluster, NO_IMAGES, Run(folder))
    return records


def test_every_trial_is_recorded_once_whatever_becomes_of_its_worker(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TuneTrial, "get_json_state", lambda trial: pytest.fail("Tune keeps what nobody reads"))
    marker = tmp_path / "was-killed"
    configs = {
        "killed": Told(value=1.0, fault="slow", marker=marker),
        "well": Told(value=2.0),
        "raises": Told(value=3.0, fault="raises"),
        "diverges": Told(value=4.0, fault="diverges"),
        "no memory": Told(value=6.0, fault="no memory", marker=tmp_path / "had-no-memory"),
        "dies": Told(value=5.0, fault="dies"),
        "dies when over": Told(value=7.0, fault="dies when over", marker=tmp_path / "begun"),
    }
    trials = [Trial(key, config, 1, EPOCHS, cost=1.0, keep_weights=True) for key, config in configs.items()]
    records = run_all(cluster, tmp_path, Counting(trials))

    assert {key: record.state for key, record in records.items()} == {
        "killed": "complete", "well": "complete", "raises": "failed", "diverges": "failed", "dies": "failed",
        "no memory": "complete", "dies when over": "complete",
    }  # fmt: skip
    assert (tmp_path / "begun").read_text() == "x", "what was told of a training is its record"
    assert (tmp_path / "had-no-memory").exists()
    assert 'raise ValueError("out of paint")' in (records["raises"].error or "")
    assert records["diverges"].error == "diverged: val_mse is nan after epoch 3"
    assert "worker was lost" in (records["dies"].error or "")
    assert marker.read_text() == "4"
    killed = records["killed"].epochs
    assert [epoch["epoch"] for epoch in killed] == [1, 2, 3, 4]
    assert killed[-1]["resumed_after"] == 2, "it went on from its checkpoint"
    folder = tmp_path / "records" / "toy"
    kept = {path.name for path in folder.iterdir()}
    address = {key: record.address for key, record in records.items()}
    assert all(re.fullmatch(f"{key}-[0-9a-f]{{12}}", address[key]) for key in configs)
    complete = ("killed", "well", "no memory", "dies when over")
    assert kept == {
        *(f"{address[key]}.json" for key in configs), *(f"{address[key]}.safetensors" for key in complete)
    }  # fmt: skip

    written = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = Counting([trial for trial in trials if trial.key in {"killed", "well"}])
    assert run_all(cluster, tmp_path, again) == {key: records[key] for key in ("killed", "well")}
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == written, "nothing ran again"


def test_training_that_its_machine_cannot_do_is_none_that_failed_by_itself(cluster: Cluster, tmp_path: Path) -> None:
    told = Told(value=1.0, fault="lacks a library", marker=tmp_path / "has-it")
    stage = Counting([Trial("only", told, 1, EPOCHS)], retries_failed=False)
    record = run_all(cluster, tmp_path, stage, Resources(retries=0))["only"]
    assert (record.state, record.lost) == ("failed", True)
    where = f"{socket.gethostname()} (cpu)"
    assert record.error == f"its worker was lost 1 times; {where}: ModuleNotFoundError: No module named 'paint'"
    told.marker.touch()
    assert run_all(cluster, tmp_path, stage)["only"].state == "complete", "the next command trains it again"


def test_asha_prunes_weak_trials_and_records_how_far_they_came(cluster: Cluster, tmp_path: Path) -> None:
    trials = [Trial(f"trial-{number}", Told(value=1.0 + number), 1, EPOCHS, cost=8.0 - number) for number in range(8)]
    suggested = Suggested(8, 8, lambda number, records: trials[number])
    records = run_all(cluster, tmp_path, Pruned(suggested))
    assert len(records) == 8
    assert records["trial-0"].state == "complete"
    pruned = [record for record in records.values() if record.state == "pruned"]
    assert pruned
    assert all(0 < len(record.epochs) < EPOCHS for record in pruned)


def _suggested(order: list[int], window: int) -> list[dict[str, Any]]:
    """What the search suggests when the running trials end in this order of preference."""
    from optuna.distributions import FloatDistribution
    from optuna.samplers import TPESampler

    suggestions = OptunaSuggestions(
        {"x": FloatDistribution(0, 1)}, TPESampler(seed=1, n_startup_trials=3, multivariate=False), "loss"
    )
    params: list[dict[str, Any]] = []
    records: dict[int, Record[Any]] = {}
    while len(params) < len(order):
        needed = range(max(0, len(params) - window + 1))
        while not all(number in records for number in needed):
            number = min((n for n in range(len(params)) if n not in records), key=order.__getitem__)
            state: Outcome = "failed" if number == 4 else "complete"
            rows = [{"loss": (params[number]["x"] - 0.3) ** 2}]
            records[number] = Record(f"trial-{number}", Nothing(), 1, state, rows)
        params.append(suggestions(len(params), [records[number] for number in needed]))
    return params


def test_suggestions_do_not_depend_on_what_finishes_first() -> None:
    orders = [list(range(12)), list(range(12))[::-1], [3, 0, 7, 1, 9, 2, 11, 4, 10, 5, 8, 6]]
    first, second, third = (_suggested(order, window=4) for order in orders)
    assert first == second == third
    assert len({params["x"] for params in first}) == 12
    assert _suggested(orders[0], window=1) != first, "but on how far they run ahead"


def test_tune_s_next_trial_is_found_without_looking_at_those_that_have_ended() -> None:
    class Counts:
        """A trial that counts how often it is looked at."""

        def __init__(self, number: int) -> None:
            self.trial_id, self.state, self.looks = f"{number}", TuneTrial.PENDING, 0

        @property
        def status(self) -> str:
            self.looks += 1
            return self.state

        def is_finished(self) -> bool:
            return self.status == TuneTrial.TERMINATED

    scheduler = _Scheduler("epoch", COMPARED, "min", max_t=10**9)
    trials: list[Any] = [Counts(number) for number in range(200)]
    for trial in trials:
        scheduler.on_trial_add(None, trial)
        assert scheduler.choose_trial_to_run(None) is trial
        trial.state = TuneTrial.RUNNING
        assert scheduler.choose_trial_to_run(None) is None
        trial.state = TuneTrial.TERMINATED
    assert max(trial.looks for trial in trials) <= 8
    paused, waiting = trials[:2]
    for trial, trial.state in ((paused, TuneTrial.PAUSED), (waiting, TuneTrial.PENDING)):
        scheduler.on_trial_add(None, trial)
    assert scheduler.choose_trial_to_run(None) is waiting
    waiting.state = TuneTrial.RUNNING
    assert scheduler.choose_trial_to_run(None) is paused
