"""Runs trainings as Ray Tune trials; the only module that knows Ray Tune."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from typing import Any, Protocol

from orchestrator.cluster import Cluster
from orchestrator.ledger import Ledger
from orchestrator.results import Run, Unusable
from orchestrator.stage import Record, Training
from orchestrator.worker import (
    GRACE_SECONDS,
    Job,
    check_reach,
    inputs_of,
    load_checkpoint,
    save_checkpoint,
    save_results,
    unwatch,
    watch,
    why_diverged,
)
from trainables.fashion_mnist import FashionMnist

CHECKPOINT_SECONDS = 10
MOST_AT_ONCE = 1000
"""For Tune, whose limit cannot change: the real one is that of the nodes as they come and go."""
COMPARED = "compared"
"""What trials report that may be stopped early."""


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


class Source(Protocol):
    """Where `run_trials` has its trials from."""

    def next(self) -> Ledger | None:
        """The ledger whose first waiting trial is to be started now, if there is one."""
        ...

    @property
    def exhausted(self) -> bool:
        """Whether no trial is left, nor will there be one."""
        ...

    @property
    def halted(self) -> bool:
        """Whether what runs is to be given up at once."""
        ...

    def halt(self, error: Exception) -> None:
        """Nothing more can be done, for this reason."""
        ...


def run_trials(
    source: Source, trainings: Mapping[str, Training], cluster: Cluster, data: FashionMnist, run: Run
) -> None:
    """Run trials until the source is exhausted, as many at once as there are slots.

    Args:
        source: is asked for trials, also while others run.
        trainings: what the trials of each stage run.
        cluster: where.
        data: the images, put in the object store once.
        run: the folder that workers find checkpoints and inputs in.
    """
    import ray
    from ray import tune
    from ray.tune.experiment import Trial
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search import Searcher

    taken: dict[str, Ledger] = {}

    class Feed(Searcher):
        """What Tune asks for the next trial and tells how it went."""

        def __reduce__(self) -> tuple[type, tuple[()]]:
            return Searcher, ()  # Tune pickles its searcher to restore it; ours is rebuilt from the records

        def suggest(self, trial_id: str) -> Any:
            if len(taken) >= cluster.slots_now():
                return None
            ledger = source.next()
            if ledger is None:
                return Searcher.FINISHED if source.exhausted else None
            taken[trial_id] = ledger
            trial = ledger.start(trial_id)
            compared = ledger.trainings.metric if ledger.trainings.asha else None
            return vars(Job.of(trial, ledger.context, compared=compared))

        def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
            if result["rows"]:
                taken[trial_id].report(trial_id, result["rows"])

        def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
            if result and result.get("unusable"):
                source.halt(Unusable(result["unusable"]))
            if not source.halted:
                try:
                    taken.pop(trial_id).finish(trial_id, None if error else result or {})
                except Exception as unwritten:  # Tune would take it for a fault of the trial
                    source.halt(unwritten)

        def save(self, checkpoint_path: str) -> None:
            pass

    class Halt(tune.Stopper):
        """Ends every trial once the source is halted."""

        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
            return source.halted

        def stop_all(self) -> bool:
            return source.halted

        def __reduce__(self) -> tuple[type, tuple[()]]:
            return tune.stopper.NoopStopper, ()

    class Watchdog(tune.Callback):
        """Ends a worker that has not even ended itself: one that was stopped, or whose node does not answer."""

        def __init__(self) -> None:
            self._heard: dict[str, float] = {}

        def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
            self._heard[trial.trial_id] = time.monotonic()

        def on_trial_result(
            self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
        ) -> None:
            self._heard[trial.trial_id] = time.monotonic()

        def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
            now = time.monotonic()
            for trial in trials:
                actor, latest = trial.temporary_state.ray_actor, trial.config["stuck_seconds"] + GRACE_SECONDS
                if actor and trial.status == Trial.RUNNING and now - self._heard.get(trial.trial_id, now) > latest:
                    self._heard[trial.trial_id] = now
                    ray.kill(actor)

    location = run.absolute

    def worker(config: dict[str, Any], data: FashionMnist) -> None:
        job = Job(**config)
        _train(job, data, trainings[job.stage], Run(location))

    tune.Tuner(
        tune.with_resources(
            tune.with_parameters(worker, data=data),
            {"cpu": cluster.cpus_per_training, "gpu": cluster.gpus_per_training},
        ),
        tune_config=tune.TuneConfig(
            search_alg=Feed(),
            scheduler=ASHAScheduler(metric=COMPARED, mode="min"),  # stops only trials that report it
            num_samples=-1,
            max_concurrent_trials=MOST_AT_ONCE,
            reuse_actors=True,
            trial_name_creator=lambda trial: f"{trial.config['stage']}-{trial.config['key']}",
            trial_dirname_creator=lambda trial: f"{trial.config['stage']}-{trial.config['key']}-{trial.trial_id}",
        ),
        run_config=tune.RunConfig(
            name=f"tune-{time.time_ns()}",
            storage_path=f"{location}/ray",
            # No retries: the ledger takes a lost training up again, which Tune does not where its worker was idle.
            stop=Halt(),
            callbacks=[Watchdog()],
            verbose=0,
        ),
    ).fit()


def _train(job: Job, data: FashionMnist, training: Training, run: Run) -> None:
    """In a worker: train, report every epoch with all before it, keep a checkpoint every few seconds.

    An exception of the training is a result, not a fault of the machine: it would only happen again.
    """
    import ray
    import torch
    from ray import tune

    device = "cuda" if ray.get_runtime_context().get_accelerator_ids().get("GPU") else "cpu"
    torch.set_num_threads(1)
    watch(job)
    rows: list[dict[str, float]] = []
    try:
        check_reach(run)
        rows, resume, _ = load_checkpoint(run, job)
        checkpointed = started = time.perf_counter()
        for epoch in training(job.config, data, device=device, resume=resume, **inputs_of(run, job)):
            watch(job)
            now = time.perf_counter()
            rows.append({"epoch": epoch.number, **epoch.metrics, "seconds": now - started})
            diverged = why_diverged(epoch)
            if diverged:
                tune.report({"rows": rows, "error": diverged})
                return
            if epoch.number == job.epochs:
                save_results(run, job, epoch.state())
            elif now - checkpointed > CHECKPOINT_SECONDS:
                save_checkpoint(run, job, rows, epoch.state())
                checkpointed = now
            compared = {COMPARED: epoch.metrics[job.compared]} if job.compared else {}
            tune.report({**compared, "rows": rows})
            started = time.perf_counter()
    except Unusable as error:
        tune.report({"rows": rows, "unusable": str(error)})
    except (OSError, torch.AcceleratorError, torch.OutOfMemoryError):
        raise  # the machine's fault: the training is taken up again by another worker
    except Exception:
        tune.report({"rows": rows, "error": traceback.format_exc()})
    finally:
        unwatch()
