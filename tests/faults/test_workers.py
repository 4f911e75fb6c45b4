"""Workers that are stuck, and a thousand trials that fail at random, through real Ray."""

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from orchestrator.cluster import Cluster
from orchestrator.config import Resources
from orchestrator.ddp import train_together
from orchestrator.results import Run, Unusable
from orchestrator.stage import Trainings, Trial
from orchestrator.trials import run_trials

from tests.orchestrator.command import NO_IMAGES
from tests.orchestrator.toy import OneStage, toy
from trainables.epoch import Epoch
from trainables.fashion_mnist import FashionMnist


def stuck_once(
    config: dict[str, Any], data: FashionMnist, *, device: str, resume: dict[str, Any] | None, **of_a_group: Any
) -> Iterator[Epoch]:
    """Three epochs; where the marker is not there yet, the second never comes."""
    marker = Path(config["marker"])
    for number in range(1 if resume is None else resume["epoch"] + 1, 4):
        if number == 2 and of_a_group.get("rank", 1) == 1 and not marker.exists():
            marker.touch()
            if config["how"] == "stopped":
                os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(3600)
        state = {"epoch": number, "model": {"weight": torch.ones(1)}}
        yield Epoch(number, {"loss": 1.0 / number}, lambda state=state: state)


@pytest.mark.parametrize("how", ["sleeps", "stopped"])
def test_stuck_trial_is_ended_and_taken_up_again(cluster: Cluster, tmp_path: Path, how: str) -> None:
    resources = Resources(stuck_minutes=0.1)
    trials = [
        Trial("stuck", {"marker": str(tmp_path / "stuck"), "how": how}, 3, cost=2),
        Trial("well", {"marker": str(tmp_path), "how": how}, 3, cost=1),
    ]
    ledger, records = toy(tmp_path, stuck_once, Trainings.of(trials, metric="loss"), resources)
    run_trials(OneStage(ledger), {"toy": stuck_once}, cluster, NO_IMAGES, Run(tmp_path))
    assert {key: record["state"] for key, record in records.items()} == {"stuck": "complete", "well": "complete"}
    assert [epoch["epoch"] for epoch in records["stuck"]["epochs"]] == [1, 2, 3]
    assert (tmp_path / "stuck").exists()


def test_stuck_trial_that_stays_stuck_is_recorded_as_lost_and_tried_again_by_the_next_command(
    cluster: Cluster, tmp_path: Path
) -> None:
    def stuck(
        config: dict[str, Any], data: FashionMnist, *, device: str, resume: dict[str, Any] | None
    ) -> Iterator[Epoch]:
        if not Path(config["marker"]).exists():
            time.sleep(3600)
        yield Epoch(1, {"loss": 0.0}, lambda: {"epoch": 1, "model": {}})

    resources = Resources(stuck_minutes=0.05, retries=0)
    trials = [Trial("stuck", {"marker": str(tmp_path / "mended")}, 1, cost=1)]
    for expected in ("failed", "complete"):
        ledger, records = toy(tmp_path, stuck, Trainings.of(trials, metric="loss"), resources)
        run_trials(OneStage(ledger), {"toy": stuck}, cluster, NO_IMAGES, Run(tmp_path))
        assert records["stuck"]["state"] == expected
        assert records["stuck"]["lost"] == (expected == "failed")
        assert (records["stuck"]["error"] or "its worker was lost 1 times").startswith("its worker was lost 1 times")
        (tmp_path / "mended").touch()


@pytest.mark.parametrize("how", ["sleeps", "stopped"])
def test_stuck_worker_of_a_group_is_ended_and_the_group_goes_on(cluster: Cluster, tmp_path: Path, how: str) -> None:
    resources = Resources(stuck_minutes=0.2)
    trials = [Trial("stuck", {"marker": str(tmp_path / "stuck"), "how": how}, 3, cost=1)]
    ledger, records = toy(tmp_path, stuck_once, Trainings.of(trials, metric="loss", num_workers=2), resources)
    train_together(ledger, stuck_once, cluster, NO_IMAGES, Run(tmp_path))
    assert records["stuck"]["state"] == "complete"
    assert [epoch["epoch"] for epoch in records["stuck"]["epochs"]] == [1, 2, 3]
    assert (tmp_path / "stuck").exists()


def cannot_write(config: dict[str, Any], data: FashionMnist, **others: Any) -> Iterator[Epoch]:
    """As where a node's disk is full, or is not the driver's."""
    raise Unusable("there is no room here")
    yield


class Halting(OneStage):
    """Keeps why it is halted."""

    why: Exception | None = None

    @property
    def halted(self) -> bool:
        return self.why is not None

    @property
    def exhausted(self) -> bool:
        return self.halted

    def halt(self, error: Exception) -> None:
        self.why = error


@pytest.mark.parametrize(
    ("folder", "said"), [(".", "there is no room here"), ("elsewhere", "does not see the run folder")]
)
def test_worker_that_cannot_write_ends_the_run_and_is_no_failed_training(
    cluster: Cluster, tmp_path: Path, folder: str, said: str
) -> None:
    workers_run = Run(tmp_path / folder)
    trials = [Trial(f"trial-{number}", {}, 1, cost=1) for number in range(3)]
    ledger, records = toy(tmp_path, cannot_write, Trainings.of(trials, metric="loss"))
    source = Halting(ledger)
    run_trials(source, {"toy": cannot_write}, cluster, NO_IMAGES, workers_run)
    assert isinstance(source.why, Unusable)
    assert said in str(source.why)
    ledger, records = toy(tmp_path, cannot_write, Trainings.of(trials[:1], metric="loss", num_workers=2))
    with pytest.raises(Unusable, match=said):
        train_together(ledger, cannot_write, cluster, NO_IMAGES, workers_run)
    assert not records
    assert not list(tmp_path.glob("records/**/*.json")), "the next command trains them"


def fails_at_random(
    config: dict[str, Any], data: FashionMnist, *, device: str, resume: dict[str, Any] | None
) -> Iterator[Epoch]:
    """One epoch that takes no time; one trial in ten fails, one in two hundred loses its worker the first time."""
    dice = random.Random(config["number"])
    if dice.random() < 0.1:
        raise RuntimeError("as simulated")
    marker = Path(config["folder"], f"killed-{config['number']}")
    if dice.random() < 0.005 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    yield Epoch(1, {"loss": dice.random()}, lambda: {"epoch": 1, "model": {}})


def test_a_thousand_trials_that_fail_at_random_give_a_thousand_records(cluster: Cluster, tmp_path: Path) -> None:
    trials = [
        Trial(f"trial-{number:04d}", {"number": number, "folder": str(tmp_path)}, 1, cost=1) for number in range(1000)
    ]
    started = time.monotonic()
    ledger, records = toy(tmp_path, fails_at_random, Trainings.of(trials, metric="loss"))
    run_trials(OneStage(ledger), {"toy": fails_at_random}, cluster, NO_IMAGES, Run(tmp_path))
    print(f"1,000 trials in {time.monotonic() - started:.0f} s")
    on_disk = sorted(path.stem for path in (tmp_path / "records" / "toy" / "fingerprint").glob("*.json"))
    assert on_disk == sorted(records) == [trial.key for trial in trials]
    failed = {key for key, record in records.items() if record["state"] == "failed"}
    expected = {trial.key for trial in trials if random.Random(trial.config["number"]).random() < 0.1}
    assert failed == expected
    assert 50 < len(failed) < 150
    assert list(tmp_path.glob("killed-*")), "some workers were lost"
    assert all(len(record["epochs"]) == 1 for key, record in records.items() if key not in failed)
