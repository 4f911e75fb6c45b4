"""Trainings that workers share, through real Ray Train: all recorded, once each, whatever becomes of a worker."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from ray._private import state

from orchestrator.engine.cluster import Cluster
from orchestrator.engine.ray_train import train_together
from orchestrator.engine.records import Trial
from orchestrator.engine.results import Run
from orchestrator.engine.settings import Resources, Section
from orchestrator.engine.stage import Worker
from tests.command import NO_IMAGES
from tests.engine.toy import Nothing, Toy, begun
from trainables.dataset import Dataset
from trainables.epoch import Epoch

EPOCHS = 3


class Told(Section):
    """What a trial is told."""

    value: float
    fault: str = ""
    marker: Path = Path()


class Adding(Toy):
    """Adds the workers' numbers, the same as the others do; what else happens to it is in its config."""

    config, metric, shared = Told, "mean_rank", True

    def num_workers(self, own: Nothing, room: int) -> int:
        return 2

    def train(self, trial: Trial[Told], data: Dataset, worker: Worker) -> Iterator[Epoch]:
        config, resume = trial.config, worker.resume
        assert data.checksum == "none"
        assert (worker.device, worker.num_workers) == ("cpu", 2)
        model = torch.nn.Linear(1, 1, bias=False)
        if resume is not None:
            model.load_state_dict(resume["model"])
        else:
            torch.nn.init.constant_(model.weight, config.value)
        wrapped = worker.prepare_model(model)
        first = 1 if resume is None else resume["epoch"] + 1
        for number in range(first, EPOCHS + 1):
            if number == 2 and config.fault == "killed" and worker.rank == 1 and not config.marker.exists():
                config.marker.write_text(str(number))
                os.kill(os.getpid(), signal.SIGKILL)
            model.zero_grad()
            wrapped(torch.tensor([[float(worker.rank + 1)]])).sum().backward()
            assert model.weight.grad is not None
            value = model.weight.grad.item()  # the mean of 1 and 2
            if number == 2 and config.fault == "diverges" and not config.marker.exists():
                value = float("nan")
            with torch.no_grad():
                model.weight += 1
            state = {"epoch": number, "model": {name: part.clone() for name, part in model.state_dict().items()}}
            metrics = {"mean_rank": value, "weight": model.weight.item(), "resumed_after": float(first - 1)}
            arrays = {f"epoch-{number}.weight": model.weight.detach().numpy().copy()}
            yield Epoch(number, metrics, lambda state=state: state, arrays)


@pytest.mark.parametrize("more", [False, pytest.param(True, marks=pytest.mark.long)])
def test_every_shared_training_is_recorded_once_whatever_becomes_of_a_worker(
    cluster: Cluster, tmp_path: Path, more: bool
) -> None:
    """With `more`, a second one loses a worker, and what has failed is trained again: each starts a group anew."""
    marker, healed = tmp_path / "was-killed", tmp_path / "healed"
    configs = {
        "well": Told(value=2.0),
        "killed": Told(value=1.0, fault="killed", marker=marker),
        "diverges": Told(value=4.0, fault="diverges", marker=healed),
    }
    if more:
        configs["killed too"] = Told(value=5.0, fault="killed", marker=tmp_path / "was-killed-too")
    stage = Adding([Trial(key, config, 1, EPOCHS, cost=1.0, keep_weights=True) for key, config in configs.items()])
    once = Resources(slots=2, retries=1)
    stage_run, records = begun(tmp_path, stage, once)
    train_together(stage_run, cluster, NO_IMAGES, Run(tmp_path))

    assert {key: record.state for key, record in records.items()} == {
        key: "failed" if key == "diverges" else "complete" for key in configs
    }
    assert records["diverges"].error == "diverged: mean_rank is nan after epoch 2"
    assert marker.read_text() == "2"
    for key, start in (("well", 2.0), ("killed", 1.0)):
        epochs = records[key].epochs
        assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3], "no gap and no double"
        assert [epoch["weight"] for epoch in epochs] == [start + 1, start + 2, start + 3]
        assert {epoch["mean_rank"] for epoch in epochs} == {1.5}, "gradients are averaged over the workers"
    assert [epoch["resumed_after"] for epoch in records["killed"].epochs] == [0.0, 1.0, 1.0]
    assert [epoch["resumed_after"] for epoch in records["well"].epochs] == [0.0, 0.0, 0.0]
    address = {key: record.address for key, record in records.items()}
    names = {path.name for path in (tmp_path / "records" / "toy").iterdir()}
    assert not any(name.endswith(".checkpoint") for name in names - {f"{address['diverges']}.checkpoint"})
    assert {f"{address['well']}.safetensors", f"{address['killed']}.safetensors"} <= names
    for key, start in (("well", 2.0), ("killed", 1.0)):
        kept = stage_run.context.arrays(records[key])
        assert {name: array.item() for name, array in kept.items()} == {
            f"epoch-{number}.weight": start + number for number in (1, 2, 3)
        }, "also what it kept before it was killed"

    if not more:
        return
    healed.touch()
    stage_run, records = begun(tmp_path, stage, once)
    assert [trial.key for trial in stage_run.study.waiting] == ["diverges"]
    train_together(stage_run, cluster, NO_IMAGES, Run(tmp_path))
    assert {record.state for record in records.values()} == {"complete"}


def test_a_group_has_no_needless_process_and_leaves_no_thread_in_ray_when_it_is_interrupted(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray is left next, and one that waits in its C++ then ends the process with a segmentation fault."""
    processes: set[str] = set()
    stage_run, _ = begun(tmp_path, Adding([Trial("well", Told(value=2.0), 1, EPOCHS, cost=1.0)]), Resources(slots=2))

    def interrupted(*_: Any) -> None:
        assert "worker group" in [thread.name for thread in threading.enumerate()]
        processes.update(actor["ActorClassName"] for actor in state.actors().values())
        raise KeyboardInterrupt

    monkeypatch.setattr(stage_run, "report", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_together(stage_run, cluster, NO_IMAGES, Run(tmp_path))
    assert "worker group" not in [thread.name for thread in threading.enumerate()]
    assert "RayTrainWorker" in processes
    assert not processes & {"DatasetManager", "PreemptionWatcher", "_AutoscalingCoordinatorActor"}
