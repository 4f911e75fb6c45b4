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

from orchestrator.engine.cluster import Cluster
from orchestrator.engine.folder import Unusable
from orchestrator.engine.ray_train import train_together
from orchestrator.engine.ray_tune import run_trials
from orchestrator.engine.records import Trial
from orchestrator.engine.results import Run
from orchestrator.engine.settings import Resources, Section
from orchestrator.engine.stage import Worker
from tests.command import NO_IMAGES
from tests.engine.toy import Nothing, OneStage, Toy, begun
from trainables.epoch import Epoch

NUM_TRIALS = int(os.environ.get("FAULTS_TRIALS", "150"))
"""`make test-all` has 1,000."""


class Told(Section):
    """What a trial is told."""

    marker: Path
    how: str = ""


class StuckOnce(Toy):
    """Three epochs; where the marker is not there yet, the second never comes."""

    config = Told

    def train(self, trial: Trial[Told], data: Any, worker: Worker) -> Iterator[Epoch]:
        marker, resume = trial.config.marker, worker.resume
        for number in range(1 if resume is None else resume["epoch"] + 1, 4):
            last = worker.rank == worker.num_workers - 1
            if number == 2 and last and not marker.exists():
                marker.touch()
                if trial.config.how == "stopped":
                    os.kill(os.getpid(), signal.SIGSTOP)
                time.sleep(3600)
            state = {"epoch": number, "model": {"weight": torch.ones(1)}}
            yield Epoch(number, {"loss": 1.0 / number}, lambda state=state: state)


class OfTwo(StuckOnce):
    """Two workers share each."""

    shared = True

    def num_workers(self, own: Nothing, room: int) -> int:
        return 2


@pytest.mark.parametrize("how", ["sleeps", "stopped"])
def test_stuck_trial_is_ended_and_taken_up_again(cluster: Cluster, tmp_path: Path, how: str) -> None:
    resources = Resources(stuck_minutes=0.1)
    trials = [
        Trial("stuck", Told(marker=tmp_path / "stuck", how=how), 1, 3, cost=2),
        Trial("well", Told(marker=tmp_path, how=how), 1, 3, cost=1),
    ]
    stage_run, records = begun(tmp_path, StuckOnce(trials), resources)
    run_trials(OneStage(stage_run), cluster, NO_IMAGES, Run(tmp_path))
    assert {key: record.state for key, record in records.items()} == {"stuck": "complete", "well": "complete"}
    assert [epoch["epoch"] for epoch in records["stuck"].epochs] == [1, 2, 3]
    assert (tmp_path / "stuck").exists()


class Stuck(StuckOnce):
    """No epoch comes while the marker is not there."""

    def train(self, trial: Trial[Told], data: Any, worker: Worker) -> Iterator[Epoch]:
        if not trial.config.marker.exists():
            time.sleep(3600)
        yield Epoch(1, {"loss": 0.0}, lambda: {"epoch": 1, "model": {}})


def test_stuck_trial_that_stays_stuck_is_recorded_as_lost_and_tried_again_by_the_next_command(
    cluster: Cluster, tmp_path: Path
) -> None:
    resources = Resources(stuck_minutes=0.05, retries=0)
    trials = [Trial("stuck", Told(marker=tmp_path / "mended"), 1, 1, cost=1)]
    for expected in ("failed", "complete"):
        stage_run, records = begun(tmp_path, Stuck(trials), resources)
        run_trials(OneStage(stage_run), cluster, NO_IMAGES, Run(tmp_path))
        assert records["stuck"].state == expected
        assert records["stuck"].lost == (expected == "failed")
        assert (records["stuck"].error or "its worker was lost 1 times").startswith("its worker was lost 1 times")
        (tmp_path / "mended").touch()


@pytest.mark.long
@pytest.mark.parametrize("how", ["sleeps", "stopped"])
def test_stuck_worker_of_a_group_is_ended_and_the_group_goes_on(cluster: Cluster, tmp_path: Path, how: str) -> None:
    resources = Resources(stuck_minutes=0.2)
    trials = [Trial("stuck", Told(marker=tmp_path / "stuck", how=how), 1, 3, cost=1)]
    stage_run, records = begun(tmp_path, OfTwo(trials), resources)
    train_together(stage_run, cluster, NO_IMAGES, Run(tmp_path))
    assert records["stuck"].state == "complete"
    assert [epoch["epoch"] for epoch in records["stuck"].epochs] == [1, 2, 3]
    assert (tmp_path / "stuck").exists()


class Unwritten(OfTwo):
    """As where a node's disk is full, or is not the driver's."""

    config = Nothing

    def train(self, trial: Trial[Nothing], data: Any, worker: Worker) -> Iterator[Epoch]:
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


CANNOT_WRITE = pytest.mark.parametrize(
    ("folder", "said"), [(".", "there is no room here"), ("elsewhere", "does not see the run folder")]
)


@CANNOT_WRITE
def test_worker_that_cannot_write_ends_the_run_and_is_no_failed_training(
    cluster: Cluster, tmp_path: Path, folder: str, said: str
) -> None:
    trials = [Trial(f"trial-{number}", Nothing(), 1, 1, cost=1) for number in range(3)]
    stage_run, records = begun(tmp_path, Unwritten(trials))
    source = Halting(stage_run)
    run_trials(source, cluster, NO_IMAGES, Run(tmp_path / folder))
    assert isinstance(source.why, Unusable)
    assert said in str(source.why)
    assert not records
    assert not list(tmp_path.glob("records/**/*.json")), "the next command trains them"


@pytest.mark.long
@CANNOT_WRITE
def test_group_that_cannot_write_ends_the_run_and_is_no_failed_training(
    cluster: Cluster, tmp_path: Path, folder: str, said: str
) -> None:
    stage_run, records = begun(tmp_path, Unwritten([Trial("trial-0", Nothing(), 1, 1, cost=1)]))
    with pytest.raises(Unusable, match=said):
        train_together(stage_run, cluster, NO_IMAGES, Run(tmp_path / folder))
    assert not records
    assert not list(tmp_path.glob("records/**/*.json")), "the next command trains it"


class Numbered(Section):
    """What a trial is told."""

    number: int
    folder: Path


class FailingAtRandom(Toy):
    """One epoch that takes no time; one trial in ten fails, one in fifty loses its worker the first time."""

    config = Numbered

    def train(self, trial: Trial[Numbered], data: Any, worker: Worker) -> Iterator[Epoch]:
        config = trial.config
        dice = random.Random(config.number)
        if dice.random() < 0.1:
            raise RuntimeError("as simulated")
        marker = config.folder / f"killed-{config.number}"
        if dice.random() < 0.02 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield Epoch(1, {"loss": dice.random()}, lambda: {"epoch": 1, "model": {}})


def test_workers_stand_back_as_far_as_the_settings_say(cluster: Cluster) -> None:
    import ray

    assert ray.get(ray.remote(lambda: os.nice(0)).remote()) == 3


def test_trials_that_fail_at_random_all_give_a_record(cluster: Cluster, tmp_path: Path) -> None:
    numbers = range(NUM_TRIALS)
    trials = [Trial(f"trial-{it:04d}", Numbered(number=it, folder=tmp_path), 1, 1, cost=1) for it in numbers]
    started = time.monotonic()
    stage_run, records = begun(tmp_path, FailingAtRandom(trials))
    run_trials(OneStage(stage_run), cluster, NO_IMAGES, Run(tmp_path))
    print(f"{NUM_TRIALS} trials in {time.monotonic() - started:.0f} s")
    on_disk = sorted(path.stem for path in (tmp_path / "records" / "toy").glob("*.json"))
    assert on_disk == [trial.address for trial in stage_run.study.trials]
    assert sorted(records) == [trial.key for trial in trials]
    failed = {key for key, record in records.items() if record.state == "failed"}
    expected = {trial.key for trial in trials if random.Random(trial.config.number).random() < 0.1}
    assert failed == expected
    assert NUM_TRIALS / 20 < len(failed) < NUM_TRIALS * 3 / 20
    assert list(tmp_path.glob("killed-*")), "some workers were lost"
    assert all(len(record.epochs) == 1 for key, record in records.items() if key not in failed)
