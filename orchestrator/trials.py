"""Runs trainings as Ray Tune trials, records each as it finishes, and never runs a recorded one again.

The only module that knows Ray Tune. The trainings of a stage come in rounds: a generator yields a round's trials
and is sent their records when all of them are there. So a search's suggestions depend on the seed alone, whatever
finishes first, and a resumed search is the same generator with most of its records on disk already.
"""

from __future__ import annotations

import io
import math
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from orchestrator.results import Run
from orchestrator.stage import Context
from trainables.epoch import Epoch
from trainables.fashion_mnist import FashionMnist

Training = Callable[..., Iterator[Epoch]]
"""A module's function `training(config, data, *, device, resume)`, called in a worker."""
Record = dict[str, Any]
"""config, state (complete, pruned, failed), error, seconds, and epochs: a list of metrics with epoch and seconds."""

MACHINE_RETRIES = 2
"""Times that a training is taken up again after its worker or node was lost."""
CHECKPOINT_SECONDS = 10


@dataclass(frozen=True)
class Trial:
    """One training: its name in the records, what it is told, and how long it takes next to its round's others."""

    key: str
    config: dict[str, Any]
    cost: float = 1.0


Rounds = Generator[list[Trial], list[Record], None]


def one_round(trials: list[Trial]) -> Rounds:
    """All trials at once, for stages that know them beforehand."""
    yield trials


def optuna_rounds(
    distributions: Mapping[str, Any],
    sampler: Any,
    *,
    metric: str,
    num_trials: int,
    round_size: int,
    trial: Callable[[int, dict[str, Any]], Trial],
) -> Rounds:
    """Suggestions of Ray Tune's OptunaSearch in synchronous rounds, minimising the metric's last value.

    Args:
        distributions: Optuna's distribution of each parameter.
        sampler: an Optuna sampler with a seed.
        metric: name among an epoch's metrics.
        num_trials: how many there are in all.
        round_size: how many are suggested before the first of them is told.
        trial: makes the trial from its number and its parameters.
    """
    from ray.tune.search.optuna import OptunaSearch

    search = OptunaSearch(dict(distributions), metric=metric, mode="min", sampler=sampler)
    for start in range(0, num_trials, round_size):
        numbers = range(start, min(start + round_size, num_trials))
        records = yield [trial(number, search.suggest(str(number)) or {}) for number in numbers]
        for number, record in zip(numbers, records, strict=True):
            failed = record["state"] == "failed"
            result = None if failed else {metric: record["epochs"][-1][metric]}
            search.on_trial_complete(str(number), result=result, error=failed)


def run_trials(
    context: Context,
    rounds: Rounds,
    training: Training,
    *,
    epochs: int,
    metric: str,
    retry_failed: bool,
    weights: bool = False,
    scheduler: Literal["none", "asha"] = "none",
) -> dict[str, Record]:
    """Run every trial that has no record yet, as many at once as there are slots.

    Args:
        context: the stage's.
        rounds: the trials.
        training: what a worker runs.
        epochs: of each trial.
        metric: shown as progress, and what the scheduler goes by.
        retry_failed: run a trial again whose record says that it failed.
        weights: keep the final weights, as safetensors beside the record.
        scheduler: asha stops trials early that look worse than their peers.

    Returns:
        The record of every trial, by key.
    """
    feed = _Ledger(context, rounds, epochs=epochs, metric=metric, retry_failed=retry_failed)
    if feed.num_missing:
        _tune(context, feed, training, epochs=epochs, metric=metric, weights=weights, scheduler=scheduler)
    assert not feed.num_missing, f"{feed.num_missing} trials were not run"
    return feed.records


class _Ledger:
    """Which trials are waiting, running and recorded."""

    def __init__(self, context: Context, rounds: Rounds, *, epochs: int, metric: str, retry_failed: bool) -> None:
        self._context, self._rounds, self._epochs, self._metric = context, rounds, epochs, metric
        self._recorded = {
            key: record
            for key, record in context.run.records(context.records).items()
            if not (retry_failed and record["state"] == "failed")
        }
        work = context.stage.work
        assert work is not None
        self.num_missing = work(context.settings).units
        self.records: dict[str, Record] = {}
        self._round: list[Trial] = []
        self._waiting: list[Trial] = []
        self._running: dict[str, Trial] = {}
        self._rows: dict[str, list[dict[str, float]]] = {}
        self._next_round()

    def take(self, trial_id: str) -> Trial | None:
        """The next trial to start; None while others must finish first."""
        if not self._waiting:
            return None
        trial = self._running[trial_id] = self._waiting.pop(0)
        self._context.progress.started(trial.key)
        return trial

    def report(self, trial_id: str, rows: list[dict[str, float]]) -> None:
        """Take note of a running trial's epochs."""
        self._rows[trial_id] = rows
        self._context.progress.epoch(self._running[trial_id].key, len(rows), rows[-1].get(self._metric))

    def finish(self, trial_id: str, result: Mapping[str, Any] | None) -> None:
        """Record a trial; without a result, its worker was lost once too often."""
        trial = self._running.pop(trial_id)
        rows = self._rows.pop(trial_id, [])
        error: str | None = (
            f"its worker was lost more than {MACHINE_RETRIES} times; see {self._context.run.location}/ray"
        )
        if result is not None:
            rows, error = result.get("rows", rows), result.get("error")
        state = "failed" if error else "complete" if len(rows) == self._epochs else "pruned"
        record = {
            "config": trial.config,
            "state": state,
            "error": error or None,
            "seconds": math.fsum(row["seconds"] for row in rows),
            "epochs": rows,
        }
        self._context.run.write_record(self._context.records, trial.key, record)
        self._context.run.delete(_checkpoint(self._context.records, trial.key))
        self._add(trial, record)
        if not self._waiting and not self._running:
            self._next_round()

    def _add(self, trial: Trial, record: Record) -> None:
        self.records[trial.key] = record
        self.num_missing -= 1
        self._context.training_seconds += record["seconds"]
        value = record["epochs"][-1].get(self._metric) if record["epochs"] else None
        self._context.progress.finished(trial.key, record["state"], value, record["error"])

    def _next_round(self) -> None:
        """Go on to the first round with something to run, telling the recorded ones on the way."""
        while not self._waiting:
            try:
                if not self._round:
                    self._round = next(self._rounds)
                else:
                    self._round = self._rounds.send([self.records[trial.key] for trial in self._round])
            except StopIteration:
                break
            for trial in sorted(self._round, key=lambda trial: -trial.cost):
                record = self._recorded.get(trial.key)
                if record and record["config"] == trial.config:
                    self._add(trial, record)
                else:
                    self._waiting.append(trial)


def _tune(
    context: Context,
    ledger: _Ledger,
    training: Training,
    *,
    epochs: int,
    metric: str,
    weights: bool,
    scheduler: Literal["none", "asha"],
) -> None:
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search import Searcher

    class Feed(Searcher):
        """What Tune asks for the next trial and tells how it went."""

        def __reduce__(self) -> tuple[type, tuple[()]]:
            return Searcher, ()  # Tune pickles its searcher to restore it; ours is rebuilt from the records

        def suggest(self, trial_id: str) -> dict[str, Any] | None:
            trial = ledger.take(trial_id)
            return None if trial is None else {"key": trial.key, "config": trial.config}

        def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
            if result["rows"]:
                ledger.report(trial_id, result["rows"])

        def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
            ledger.finish(trial_id, None if error else result or {})

        def save(self, checkpoint_path: str) -> None:
            pass

    cluster = context.cluster
    location, folder = context.run.absolute, context.records

    def worker(config: dict[str, Any], data: FashionMnist) -> None:
        _train(config["key"], config["config"], data, training, Run(location), folder, weights)

    asha = ASHAScheduler(metric=metric, mode="min", max_t=epochs) if scheduler == "asha" else None
    tune.Tuner(
        tune.with_resources(
            tune.with_parameters(worker, data=context.data),
            {"cpu": cluster.cpus_per_training, "gpu": cluster.gpus_per_training},
        ),
        tune_config=tune.TuneConfig(
            search_alg=Feed(),
            scheduler=asha,
            num_samples=ledger.num_missing,
            max_concurrent_trials=cluster.slots,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.config["key"],
        ),
        run_config=tune.RunConfig(
            name=f"{context.stage.name}-{time.time_ns()}",
            storage_path=f"{location}/ray",
            failure_config=tune.FailureConfig(max_failures=MACHINE_RETRIES),
            verbose=0,
        ),
    ).fit()


def _train(
    key: str,
    config: dict[str, Any],
    data: FashionMnist,
    training: Training,
    run: Run,
    folder: str,
    weights: bool,
) -> None:
    """In a worker: train, report every epoch with all before it, keep a checkpoint every few seconds.

    An exception of the training is a result, not a fault of the machine: it would only happen again.
    """
    import ray
    import torch
    from ray import tune

    device = "cuda" if ray.get_runtime_context().get_accelerator_ids().get("GPU") else "cpu"
    torch.set_num_threads(1)
    rows, resume = _load_checkpoint(run, folder, key, config)
    checkpointed = started = time.perf_counter()
    try:
        for epoch in training(config, data, device=device, resume=resume):
            now = time.perf_counter()
            rows.append({"epoch": epoch.number, **epoch.metrics, "seconds": now - started})
            wrong = [name for name, value in epoch.metrics.items() if not math.isfinite(value)]
            if wrong:
                reason = f"diverged: {wrong[0]} is {epoch.metrics[wrong[0]]} after epoch {epoch.number}"
                tune.report({"rows": rows, "error": reason})
                return
            if now - checkpointed > CHECKPOINT_SECONDS:
                _save_checkpoint(run, folder, key, {"config": config, "rows": rows, "state": epoch.state()})
                checkpointed = now
            final = epoch
            tune.report({**epoch.metrics, "rows": rows})
            started = time.perf_counter()
    except Exception:
        tune.report({"rows": rows, "error": traceback.format_exc()})
        return
    if weights:
        from safetensors.torch import save

        tensors = {name: tensor.contiguous().cpu() for name, tensor in final.state()["model"].items()}
        run.write(f"{folder}/{key}.safetensors", save(tensors))


def _checkpoint(folder: str, key: str) -> str:
    return f"{folder}/{key}.checkpoint"


def _save_checkpoint(run: Run, folder: str, key: str, saved: dict[str, Any]) -> None:
    import torch

    content = io.BytesIO()
    torch.save(saved, content)
    run.write(_checkpoint(folder, key), content.getvalue())


def _load_checkpoint(
    run: Run, folder: str, key: str, config: dict[str, Any]
) -> tuple[list[dict[str, float]], dict[str, Any] | None]:
    """Where a lost worker left off; the beginning, where there is nothing of this training."""
    import torch

    try:
        content = run.read(_checkpoint(folder, key))
    except FileNotFoundError:
        return [], None
    saved = torch.load(io.BytesIO(content), weights_only=True)
    return (saved["rows"], saved["state"]) if saved["config"] == config else ([], None)
