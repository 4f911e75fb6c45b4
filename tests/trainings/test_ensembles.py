"""Ensembles through real Ray Tune: folds of real networks have the records that they would have alone."""

import os
import signal
import time
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load

from orchestrator.engine.cluster import Cluster
from orchestrator.engine.ray_tune import run_trials
from orchestrator.engine.records import Record, Records, Trial
from orchestrator.engine.results import Run
from orchestrator.engine.settings import Resources, Section
from orchestrator.engine.stage import Worker
from orchestrator.stages.kfold import Fold, Kfold
from tests.command import NO_IMAGES
from tests.engine.toy import OneStage, Toy, begun
from trainables.autoencoder_settings import PAPER_TABLE1
from trainables.epoch import Epoch

EPOCHS = 3
SIZES = PAPER_TABLE1.model_copy(update={"epochs": EPOCHS, "batch_size": 16, "learning_rate": 2e-3})


class Told(Section):
    """A fold, and where it is marked that a worker was killed."""

    fold: Fold
    marker: Path | None = None
    diverges: bool = False


class Folds(Toy):
    """The paper's folds, on a few images; says in metrics how many are trained as one, and from which epoch."""

    config, metric = Told, "val_mse"

    def train(self, trial: Trial[Told], data: Any, worker: Worker) -> Iterator[Epoch]:
        own = replace(trial, config=trial.config.fold)
        for epoch in Kfold().train(own, data, worker):
            yield _with(epoch, members=1, first=1 + (worker.resume or {"epoch": 0})["epoch"])

    def alike(self, trial: Trial[Told]) -> Hashable | None:
        return Kfold().alike(replace(trial, config=trial.config.fold))

    def train_ensemble(
        self, trials: Sequence[Trial[Told]], data: Any, worker: Worker, resumes: Sequence[Any] | None
    ) -> Iterator[Sequence[Epoch]]:
        own, marker = [replace(trial, config=trial.config.fold) for trial in trials], trials[0].config.marker
        first = 1 + (resumes[0]["epoch"] if resumes else 0)
        for epochs in Kfold().train_ensemble(own, data, worker, resumes):
            if marker and not marker.exists() and epochs[0].number == 2:
                time.sleep(10.5)  # past the time of a checkpoint
            if marker and not marker.exists() and epochs[0].number == 3:
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            epochs = [_with(epoch, members=len(trials), first=first) for epoch in epochs]
            wrong = [trial.config.diverges for trial in trials]
            yield [_with(it, val_mse=np.nan) if bad else it for it, bad in zip(epochs, wrong, strict=True)]


def _with(epoch: Epoch, **metrics: float) -> Epoch:
    return replace(epoch, metrics={**epoch.metrics, **{name: float(value) for name, value in metrics.items()}})


def folds(marker: Path | None = None) -> list[Trial[Told]]:
    """Three folds from two seeds."""
    told = [(Fold(model=SIZES, order="shuffled", order_seed=1, fold=fold, num_folds=3), fold) for fold in range(3)]
    return [
        Trial(f"{n}-seed-{seed}", Told(fold=fold, marker=marker), seed, EPOCHS, 40, cost=9.0 - n, keep_weights=True)
        for seed in (1, 2)
        for fold, n in told
    ]


def trained(cluster: Cluster, folder: Path, stage: Folds, ensemble: int) -> dict[str, Record[Told]]:
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (60, 28, 28), np.uint8)
    data = replace(
        NO_IMAGES, train_images=images, train_labels=np.arange(60, dtype=np.uint8) % 3, test_images=images[:7]
    )
    stage_run, records = begun(folder, stage, Resources(ensemble=ensemble))
    if stage_run.study.num_missing:
        run_trials(OneStage(stage_run), cluster, data, Run(folder))
    return records


def weights(folder: Path, record: Record[Any]) -> np.ndarray[Any, Any]:
    tensors = load(Records(Run(folder), "toy").weights(record.address))
    return np.concatenate([tensors[name].ravel() for name in sorted(tensors)]).astype(float)


def test_folds_that_a_worker_trains_as_one_have_the_records_that_they_have_alone(
    cluster: Cluster, tmp_path: Path
) -> None:
    alone = trained(cluster, tmp_path / "alone", Folds(folds()), ensemble=1)
    as_one = trained(cluster, tmp_path / "one", Folds(folds()), ensemble=3)
    assert as_one.keys() == alone.keys() == {f"{fold}-seed-{seed}" for fold in range(3) for seed in (1, 2)}
    for key, record in as_one.items():
        single = alone[key]
        assert (record.address, record.state, record.parts) == (single.address, "complete", single.parts)
        assert [epoch["members"] for epoch in record.epochs] == [3] * EPOCHS
        assert [epoch["members"] for epoch in single.epochs] == [1] * EPOCHS
        for mine, its in zip(record.epochs, single.epochs, strict=True):
            assert list(mine) == list(its)
            same = mine.keys() - {"seconds", "members"}
            assert {name: mine[name] for name in same} == pytest.approx({name: its[name] for name in same}, rel=1e-2)
        one, other = weights(tmp_path / "one", record), weights(tmp_path / "alone", single)
        assert np.linalg.norm(one - other) < 2e-2 * np.linalg.norm(other)
    kept = [sorted(path.name for path in (tmp_path / it / "records" / "toy").iterdir()) for it in ("one", "alone")]
    assert kept[0] == kept[1]
    assert trained(cluster, tmp_path / "one", Folds(folds()), ensemble=1) == as_one, "nothing is trained again"


def test_an_ensemble_whose_worker_was_killed_goes_on_from_its_checkpoints(cluster: Cluster, tmp_path: Path) -> None:
    first, second, third = folds(tmp_path / "was-killed")[:3]
    third = replace(third, config=third.config.model_copy(update={"diverges": True}))
    records = trained(cluster, tmp_path, Folds([first, second, third]), ensemble=3)
    assert (tmp_path / "was-killed").exists()
    diverged = records.pop(third.key)
    assert (diverged.state, diverged.error) == ("failed", "diverged: val_mse is nan after epoch 1")
    assert len(records) == 2
    for record in records.values():
        assert record.state == "complete"
        assert [epoch["epoch"] for epoch in record.epochs] == [1, 2, 3]
        assert [epoch["first"] for epoch in record.epochs] == [1, 1, 3]
        assert [epoch["members"] for epoch in record.epochs] == [3, 3, 2]
    assert not list((tmp_path / "records" / "toy").glob("*.checkpoint"))
