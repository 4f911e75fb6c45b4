"""Trainings through real Ray Tune: all recorded, once each, whatever becomes of their workers."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from orchestrator.cluster import Cluster
from orchestrator.results import Run
from orchestrator.stage import Record, Trainings, Trial
from orchestrator.trials import OptunaSuggestions, run_trials

from tests.orchestrator.command import NO_IMAGES
from tests.orchestrator.toy import OneStage, toy
from trainables.epoch import Epoch
from trainables.fashion_mnist import FashionMnist

EPOCHS = 4


def training(
    config: dict[str, Any], data: FashionMnist, *, device: str, resume: dict[str, Any] | None
) -> Iterator[Epoch]:
    """Counts; what else happens to it is in its config."""
    assert data.checksum == "none"
    assert device == "cpu"
    first = 1 if resume is None else resume["epoch"] + 1
    for number in range(first, EPOCHS + 1):
        value = config["value"] / number
        if number == 3 and config.get("fault") == "raises":
            raise ValueError("out of paint")
        if number == 3 and config.get("fault") == "diverges":
            value = float("nan")
        if number == 2 and config.get("fault") == "slow":
            time.sleep(10.5)  # past the time of a checkpoint
        if number == 4 and config.get("fault") == "slow" and not Path(config["marker"]).exists():
            Path(config["marker"]).write_text(str(number))
            os.kill(os.getpid(), signal.SIGKILL)
        if config.get("fault") == "no memory" and not Path(config["marker"]).exists():
            Path(config["marker"]).touch()
            raise torch.OutOfMemoryError("CUDA out of memory")
        if config.get("fault") == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        weights = {"weight": torch.full((2,), float(number))}
        state = {"epoch": number, "model": weights}
        yield Epoch(number, {"val_mse": value, "resumed_after": float(first - 1)}, lambda state=state: state)


def run_all(cluster: Cluster, folder: Path, trainings: Trainings) -> dict[str, Record]:
    ledger, records = toy(folder, training, trainings)
    if ledger.num_missing:
        run_trials(OneStage(ledger), {"toy": training}, cluster, NO_IMAGES, Run(folder))
    return records


def test_every_trial_is_recorded_once_whatever_becomes_of_its_worker(cluster: Cluster, tmp_path: Path) -> None:
    marker = tmp_path / "was-killed"
    configs = {
        "killed": {"value": 1.0, "fault": "slow", "marker": str(marker)},
        "well": {"value": 2.0},
        "raises": {"value": 3.0, "fault": "raises"},
        "diverges": {"value": 4.0, "fault": "diverges"},
        "no memory": {"value": 6.0, "fault": "no memory", "marker": str(tmp_path / "had-no-memory")},
        "dies": {"value": 5.0, "fault": "dies"},
    }
    trials = [Trial(key, config, EPOCHS, cost=1.0, weights=True) for key, config in configs.items()]
    trainings = Trainings.of(trials, metric="val_mse")
    records = run_all(cluster, tmp_path, trainings)

    assert {key: record["state"] for key, record in records.items()} == {
        "killed": "complete", "well": "complete", "raises": "failed", "diverges": "failed", "dies": "failed",
        "no memory": "complete",
    }  # fmt: skip
    assert (tmp_path / "had-no-memory").exists()
    assert 'raise ValueError("out of paint")' in records["raises"]["error"]
    assert records["diverges"]["error"] == "diverged: val_mse is nan after epoch 3"
    assert "worker was lost" in records["dies"]["error"]
    assert marker.read_text() == "4"
    killed = records["killed"]["epochs"]
    assert [epoch["epoch"] for epoch in killed] == [1, 2, 3, 4]
    assert killed[-1]["resumed_after"] == 2, "it went on from its checkpoint"
    folder = tmp_path / "records" / "toy" / "fingerprint"
    kept = {path.name for path in folder.iterdir()}
    complete = ("killed", "well", "no memory")
    assert kept == {*(f"{key}.json" for key in configs), *(f"{key}.safetensors" for key in complete)}

    written = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = Trainings.of([trial for trial in trials if trial.key in {"killed", "well"}], metric="val_mse")
    assert run_all(cluster, tmp_path, again) == {key: records[key] for key in ("killed", "well")}
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == written, "nothing ran again"


def test_asha_prunes_weak_trials_and_records_how_far_they_came(cluster: Cluster, tmp_path: Path) -> None:
    trials = [Trial(f"trial-{number}", {"value": 1.0 + number}, EPOCHS, cost=8.0 - number) for number in range(8)]
    trainings = Trainings(8, lambda number, records: trials[number], 8, "val_mse", asha=True)
    records = run_all(cluster, tmp_path, trainings)
    assert len(records) == 8
    assert records["trial-0"]["state"] == "complete"
    pruned = [record for record in records.values() if record["state"] == "pruned"]
    assert pruned
    assert all(0 < len(record["epochs"]) < EPOCHS for record in pruned)


def _suggested(order: list[int], window: int) -> list[dict[str, Any]]:
    """What the search suggests when the running trials end in this order of preference."""
    from optuna.distributions import FloatDistribution
    from optuna.samplers import TPESampler

    suggestions = OptunaSuggestions(
        {"x": FloatDistribution(0, 1)}, TPESampler(seed=1, n_startup_trials=3, multivariate=False), "loss"
    )
    params: list[dict[str, Any]] = []
    records: dict[int, Record] = {}
    while len(params) < len(order):
        needed = range(max(0, len(params) - window + 1))
        while not all(number in records for number in needed):
            number = min((n for n in range(len(params)) if n not in records), key=order.__getitem__)
            state = "failed" if number == 4 else "complete"
            records[number] = {"state": state, "epochs": [{"loss": (params[number]["x"] - 0.3) ** 2}]}
        params.append(suggestions(len(params), [records[number] for number in needed]))
    return params


def test_suggestions_do_not_depend_on_what_finishes_first() -> None:
    orders = [list(range(12)), list(range(12))[::-1], [3, 0, 7, 1, 9, 2, 11, 4, 10, 5, 8, 6]]
    first, second, third = (_suggested(order, window=4) for order in orders)
    assert first == second == third
    assert len({params["x"] for params in first}) == 12
    assert _suggested(orders[0], window=1) != first, "but on how far they run ahead"
