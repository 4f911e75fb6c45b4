"""Runs trainings as Ray Tune trials; the only module that knows Ray Tune."""

from __future__ import annotations

import io
import math
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.cluster import Cluster
from orchestrator.ledger import MACHINE_RETRIES, Ledger, checkpoint_name
from orchestrator.results import Run
from orchestrator.stage import Record, Training
from trainables.fashion_mnist import FashionMnist

CHECKPOINT_SECONDS = 10


class OptunaSuggestions:
    """Parameters as Ray Tune's OptunaSearch suggests them, minimising the last value of a metric."""

    def __init__(self, distributions: Mapping[str, Any], sampler: Any, metric: str) -> None:
        """A new study.

        Args:
            distributions: Optuna's distribution of each parameter.
            sampler: an Optuna sampler with a seed.
            metric: name among an epoch's metrics.
        """
        from ray.tune.search.optuna import OptunaSearch

        self._search = OptunaSearch(dict(distributions), metric=metric, mode="min", sampler=sampler)
        self._metric, self._num_told = metric, 0

    def __call__(self, number: int, records: list[Record]) -> dict[str, Any]:
        """Parameters of trial `number`, after the first trials' records; to be called for 0, 1, 2, ..."""
        for told in range(self._num_told, len(records)):
            failed = records[told]["state"] == "failed"
            result = None if failed else {self._metric: records[told]["epochs"][-1][self._metric]}
            self._search.on_trial_complete(str(told), result=result, error=failed)
        self._num_told = len(records)
        params: dict[str, Any] | None = self._search.suggest(str(number))
        assert params is not None
        return params


def run_trials(ledgers: Sequence[Ledger], cluster: Cluster, data: FashionMnist, run: Run) -> None:
    """Run the trials that have no record yet, of all ledgers together, as many at once as there are slots."""
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search import Searcher

    taken: dict[str, Ledger] = {}

    class Feed(Searcher):
        """What Tune asks for the next trial and tells how it went."""

        def __reduce__(self) -> tuple[type, tuple[()]]:
            return Searcher, ()  # Tune pickles its searcher to restore it; ours is rebuilt from the records

        def suggest(self, trial_id: str) -> dict[str, Any] | None:
            ready = [ledger for ledger in ledgers if ledger.waiting]
            if not ready:
                return None
            # The stage with the longest trainings goes first, so that its tables are made while others train.
            ledger = taken[trial_id] = max(ready, key=lambda ledger: ledger.longest)
            trial = ledger.start(trial_id)
            return {"stage": ledger.context.stage.name, "key": trial.key, "config": trial.config}

        def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
            if result["rows"]:
                taken[trial_id].report(trial_id, result["rows"])

        def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
            taken.pop(trial_id).finish(trial_id, None if error else result or {})

        def save(self, checkpoint_path: str) -> None:
            pass

    num_missing = sum(ledger.num_missing for ledger in ledgers)
    if not num_missing:
        return
    location = run.absolute
    jobs = {
        ledger.context.stage.name: (ledger.trainings.training, ledger.context.records, ledger.trainings.weights)
        for ledger in ledgers
    }

    def worker(config: dict[str, Any], data: FashionMnist) -> None:
        training, folder, weights = jobs[config["stage"]]
        _train(config["key"], config["config"], data, training, Run(location), folder, weights)

    asha = None
    if any(ledger.trainings.asha for ledger in ledgers):
        (ledger,) = ledgers
        asha = ASHAScheduler(metric=ledger.trainings.metric, mode="min", max_t=ledger.trainings.epochs)
    tune.Tuner(
        tune.with_resources(
            tune.with_parameters(worker, data=data),
            {"cpu": cluster.cpus_per_training, "gpu": cluster.gpus_per_training},
        ),
        tune_config=tune.TuneConfig(
            search_alg=Feed(),
            scheduler=asha,
            num_samples=num_missing,
            max_concurrent_trials=cluster.slots,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: f"{trial.config['stage']}-{trial.config['key']}",
        ),
        run_config=tune.RunConfig(
            name=f"tune-{time.time_ns()}",
            storage_path=f"{location}/ray",
            failure_config=tune.FailureConfig(max_failures=MACHINE_RETRIES),
            verbose=0,
        ),
    ).fit()
    num_missing = sum(ledger.num_missing for ledger in ledgers)
    assert not num_missing, f"{num_missing} trials were not run"


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


def _save_checkpoint(run: Run, folder: str, key: str, saved: dict[str, Any]) -> None:
    import torch

    content = io.BytesIO()
    torch.save(saved, content)
    run.write(checkpoint_name(folder, key), content.getvalue())


def _load_checkpoint(
    run: Run, folder: str, key: str, config: dict[str, Any]
) -> tuple[list[dict[str, float]], dict[str, Any] | None]:
    """Where a lost worker left off; the beginning, where there is nothing of this training."""
    import torch

    try:
        content = run.read(checkpoint_name(folder, key))
    except FileNotFoundError:
        return [], None
    saved = torch.load(io.BytesIO(content), weights_only=True)
    return (saved["rows"], saved["state"]) if saved["config"] == config else ([], None)
