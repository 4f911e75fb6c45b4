"""Trainings that workers share, through real Ray Train: all recorded, once each, whatever becomes of a worker."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from orchestrator.cluster import Cluster
from orchestrator.config import Resources
from orchestrator.ddp import train_together
from orchestrator.results import Run
from orchestrator.stage import Trainings, Trial

from tests.orchestrator.command import NO_IMAGES
from tests.orchestrator.toy import toy
from trainables.epoch import Epoch
from trainables.fashion_mnist import FashionMnist

EPOCHS = 3


def training(
    config: dict[str, Any],
    data: FashionMnist,
    *,
    device: str,
    resume: dict[str, Any] | None,
    prepare_model: Callable[[torch.nn.Module], torch.nn.Module],
    rank: int,
    world_size: int,
    keep: Callable[[str, Any], None],
) -> Iterator[Epoch]:
    """Adds the workers' numbers, the same as the others do; what else happens to it is in its config."""
    assert data.checksum == "none"
    assert (device, world_size) == ("cpu", 2)
    model = torch.nn.Linear(1, 1, bias=False)
    if resume is not None:
        model.load_state_dict(resume["model"])
    else:
        torch.nn.init.constant_(model.weight, config["value"])
    wrapped = prepare_model(model)
    first = 1 if resume is None else resume["epoch"] + 1
    for number in range(first, EPOCHS + 1):
        if number == 2 and config.get("fault") == "killed" and rank == 1 and not Path(config["marker"]).exists():
            Path(config["marker"]).write_text(str(number))
            os.kill(os.getpid(), signal.SIGKILL)
        model.zero_grad()
        wrapped(torch.tensor([[float(rank + 1)]])).sum().backward()
        assert model.weight.grad is not None
        value = model.weight.grad.item()  # the mean of 1 and 2
        if number == 2 and config.get("fault") == "diverges" and not Path(config["marker"]).exists():
            value = float("nan")
        with torch.no_grad():
            model.weight += 1
        state = {"epoch": number, "model": {name: part.clone() for name, part in model.state_dict().items()}}
        if rank == 0:
            keep(f"epoch-{number}.weight", model.weight.detach().numpy().copy())
        metrics = {"mean_rank": value, "weight": model.weight.item(), "resumed_after": float(first - 1)}
        yield Epoch(number, metrics, lambda state=state: state)


def test_every_shared_training_is_recorded_once_whatever_becomes_of_a_worker(
    cluster: Cluster, tmp_path: Path
) -> None:
    marker, healed = tmp_path / "was-killed", tmp_path / "healed"
    configs: dict[str, dict[str, Any]] = {
        "well": {"value": 2.0},
        "killed": {"value": 1.0, "fault": "killed", "marker": str(marker)},
        "diverges": {"value": 4.0, "fault": "diverges", "marker": str(healed)},
        "killed too": {"value": 5.0, "fault": "killed", "marker": str(tmp_path / "was-killed-too")},
    }
    trials = [Trial(key, config, EPOCHS, cost=1.0, weights=True) for key, config in configs.items()]
    trainings = Trainings.of(trials, metric="mean_rank", num_workers=2)
    once = Resources(slots=2, retries=1)
    ledger, records = toy(tmp_path, training, trainings, once, shared=True)
    train_together(ledger, training, cluster, NO_IMAGES, Run(tmp_path))

    assert {key: record["state"] for key, record in records.items()} == {
        "well": "complete", "killed": "complete", "diverges": "failed", "killed too": "complete",
    }  # fmt: skip
    assert records["diverges"]["error"] == "diverged: mean_rank is nan after epoch 2"
    assert marker.read_text() == "2"
    for key, start in (("well", 2.0), ("killed", 1.0)):
        epochs = records[key]["epochs"]
        assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3], "no gap and no double"
        assert [epoch["weight"] for epoch in epochs] == [start + 1, start + 2, start + 3]
        assert {epoch["mean_rank"] for epoch in epochs} == {1.5}, "gradients are averaged over the workers"
    assert [epoch["resumed_after"] for epoch in records["killed"]["epochs"]] == [0.0, 1.0, 1.0]
    assert [epoch["resumed_after"] for epoch in records["well"]["epochs"]] == [0.0, 0.0, 0.0]
    folder = tmp_path / "records" / "toy" / "fingerprint"
    names = {path.name for path in folder.iterdir()}
    assert not any(name.endswith(".checkpoint") for name in names - {"diverges.checkpoint"})
    assert {"well.safetensors", "killed.safetensors"} <= names
    for key, start in (("well", 2.0), ("killed", 1.0)):
        kept = ledger.context.arrays(key)
        assert {name: array.item() for name, array in kept.items()} == {
            f"epoch-{number}.weight": start + number for number in (1, 2, 3)
        }, "also what it kept before it was killed"

    healed.touch()
    ledger, records = toy(tmp_path, training, trainings, once, shared=True)
    assert [trial.key for trial in ledger.waiting] == ["diverges"]
    train_together(ledger, training, cluster, NO_IMAGES, Run(tmp_path))
    assert {record["state"] for record in records.values()} == {"complete"}
