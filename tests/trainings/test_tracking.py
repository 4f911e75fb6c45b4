"""Trackers are told of every training's epochs, once each, also of those that lost a worker; and cost no training."""

import importlib.util
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Run
from orchestrator.command_line import parse
from orchestrator.engine.cluster import Cluster
from orchestrator.engine.manifest import told
from orchestrator.engine.ray_tune import run_trials
from orchestrator.engine.records import Trial
from orchestrator.engine.settings import Section, Tracker, UserError
from orchestrator.engine.stage import Worker
from orchestrator.engine.tracking import PACKAGES, Tracking
from orchestrator.paper import suite
from tests.command import NO_IMAGES
from tests.engine.toy import OneStage, Toy, begun
from trainables.epoch import Epoch

ROWS = [{"epoch": 1, "val_mse": 0.5, "seconds": 1.0}, {"epoch": 2, "val_mse": 0.25, "seconds": 1.0}]
CURVE = [(1, 0.5), (2, 0.25)]


class Told(Section):
    """In which epoch a training fails, if it does."""

    fails: int = 0


class Halving(Toy):
    """An error that is halved each epoch."""

    config, metric = Told, "val_mse"

    def train(self, trial: Trial[Told], data: Any, worker: Worker) -> Iterator[Epoch]:
        for number in range(1, trial.epochs + 1):
            if number == trial.config.fails:
                raise ValueError("out of paint")
            yield Epoch(number, {"val_mse": 1 / 2**number}, dict)


def needs(tracker: Tracker) -> Any:
    missing = importlib.util.find_spec(PACKAGES[tracker]) is None
    return pytest.mark.skipif(missing, reason=f"the extra {tracker} is not installed")


def curve(folder: Path, tag: str = "ray/tune/val_mse") -> list[tuple[int, float]]:
    """A curve of the event files in a folder: steps and values."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        content = path.read_bytes()
        while content:  # length, its checksum, the event, its checksum
            (length,) = struct.unpack("<Q", content[:8])
            event = Event.FromString(content[12 : 12 + length])
            found += [(event.step, value.simple_value) for value in event.summary.value if value.tag == tag]
            content = content[16 + length :]
    return found


def track(tracking: Tracking) -> None:
    """Tell of two trainings; the first loses its worker, and is taken up again."""
    with tracking.open():
        tracking.started("toy/lost", {"rate": 0.1, "sizes": [1, 2]})
        tracking.reported("toy/lost", ROWS[:1])
        tracking.started("toy/lost", {"rate": 0.1, "sizes": [1, 2]})
        tracking.reported("toy/lost", ROWS[:1])
        tracking.ended("toy/lost", ROWS, failed=False)
        tracking.started("toy/failed", {"rate": 0.2})
        tracking.ended("toy/failed", ROWS[:1], failed=True)


def test_event_files_have_each_epoch_once(tmp_path: Path) -> None:
    track(Tracking(("tensorboard",), "mine", str(tmp_path)))
    assert curve(tmp_path / "toy" / "lost") == CURVE
    assert curve(tmp_path / "toy" / "failed") == CURVE[:1]


@needs("mlflow")
def test_mlflow_has_each_training_with_its_parameters_and_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    address = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.chdir(tmp_path)
    track(Tracking(("mlflow",), "mine", str(tmp_path)))
    client = MlflowClient(address)
    runs = client.search_runs([client.get_experiment_by_name("mine").experiment_id])
    found = {run.info.run_name: run for run in runs}
    assert {name: run.info.status for name, run in found.items()} == {"toy/lost": "FINISHED", "toy/failed": "FAILED"}
    assert found["toy/lost"].data.params == {"rate": "0.1", "sizes": "[1, 2]"}
    history = client.get_metric_history(found["toy/lost"].info.run_id, "val_mse")
    assert [(metric.step, metric.value) for metric in history] == CURVE


@needs("wandb")
def test_wandb_has_a_run_for_each_training(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    track(Tracking(("wandb",), "mine", str(tmp_path)))
    files = {path.relative_to(tmp_path).parts[1]: path.read_bytes() for path in tmp_path.rglob("run-*.wandb")}
    assert files.keys() == {"lost", "failed"}
    assert b"val_mse" in files["lost"]


def test_trainings_of_a_run_are_tracked_as_they_are_recorded(cluster: Cluster, tmp_path: Path) -> None:
    stage = Halving([Trial("well", Told(), 1, 2), Trial("raises", Told(fails=2), 1, 2)])
    tracking = Tracking(("tensorboard",), "toy", str(tmp_path / "tracking"))
    stage_run, records = begun(tmp_path / "run", stage, tracking=tracking)
    with tracking.open():
        run_trials(OneStage(stage_run), cluster, NO_IMAGES, Run(tmp_path / "run"))
    assert {key: record.state for key, record in records.items()} == {"well": "complete", "raises": "failed"}
    stage_run.enter("done")
    Run(tmp_path / "run").track("tensorboard", to=tmp_path / "later")
    for files in ("tracking", "later"):
        assert curve(tmp_path / files / "toy" / "well") == CURVE
        assert curve(tmp_path / files / "toy" / "raises") == CURVE[:1]


def test_a_tracker_that_takes_no_more_costs_no_training_and_is_told_of(tmp_path: Path) -> None:
    said: list[str] = []
    tracking = Tracking(("tensorboard",), "mine", str(tmp_path), said.append)
    with tracking.open():
        (tmp_path / "toy").write_text("in the way of a folder")
        tracking.started("toy/one", {})
        tracking.ended("toy/one", ROWS, failed=False)
        tracking.started("toy/two", {})
    assert len(said) == 2
    assert "tensorboard is told no more: " in said[1]


def test_a_package_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACKAGES, "wandb", "no_such_package")
    with pytest.raises(UserError, match=r"--track wandb: .* not installed \(pip install '.*\[wandb\]'\)"):
        Tracking(("wandb",))


def test_tracking_changes_no_fingerprint_and_no_manifest() -> None:
    usual, tracked = (parse(words, suite())[0] for words in ([], ["--track", "tensorboard", "mlflow"]))
    assert tracked.track == ("tensorboard", "mlflow")
    assert suite().fingerprints(usual) == suite().fingerprints(tracked)
    assert told(usual) == told(tracked)
    assert suite().reduced(usual) == suite().reduced(tracked)
