"""Runs trainings as Ray Tune trials; the only module that knows Ray Tune."""

import time
import traceback
from typing import Any, Protocol

import ray
from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search import Searcher

from orchestrator.engine.cluster import Cluster
from orchestrator.engine.folder import Folder, Unusable
from orchestrator.engine.provenance import made
from orchestrator.engine.records import Records
from orchestrator.engine.stage import Worker
from orchestrator.engine.stage_run import StageRun
from orchestrator.engine.worker import GRACE_SECONDS, Job, check_reach, unwatch

CHECKPOINT_SECONDS = 10
MOST_AT_ONCE = 1000
"""For Tune, whose limit cannot change: the real one is that of the nodes as they come and go."""
COMPARED = "compared"
"""What trials report that may be stopped early."""


class Source(Protocol):
    """Where `run_trials` has its trials from."""

    def next(self) -> StageRun | None:
        """The stage whose first waiting trial is to be started now, if there is one."""

    @property
    def exhausted(self) -> bool:
        """Whether no trial is left, nor will there be one."""

    @property
    def halted(self) -> bool:
        """Whether what runs is to be given up at once."""

    def halt(self, error: Exception) -> None:
        """Nothing more can be done, for this reason."""


def run_trials(source: Source, cluster: Cluster, data: Any, folder: Folder) -> None:
    """Run trials until the source is exhausted, as many at once as there are slots.

    The source is asked for trials also while others run. Data are put in the object store once; workers find
    checkpoints and inputs in the run folder.
    """
    share = {"cpu": cluster.cpus_per_training, "gpu": cluster.gpus_per_training}
    tune.Tuner(
        tune.with_resources(tune.with_parameters(_train, data=data, location=folder.absolute), share),
        tune_config=tune.TuneConfig(
            search_alg=_Feed(source, cluster),
            scheduler=ASHAScheduler(metric=COMPARED, mode="min"),  # stops only trials that report it
            num_samples=-1,
            max_concurrent_trials=MOST_AT_ONCE,
            reuse_actors=True,
            trial_name_creator=_name,
            trial_dirname_creator=lambda trial: f"{_name(trial)}-{trial.trial_id}",
        ),
        run_config=tune.RunConfig(
            name=f"tune-{time.time_ns()}",
            storage_path=f"{folder.absolute}/ray",
            # No retries: the stage takes a lost training up again, which Tune does not where its worker was idle.
            stop=_Halt(source),
            callbacks=[_Watchdog()],
            verbose=0,
        ),
    ).fit()


def _name(trial: TuneTrial) -> str:
    job: Job = trial.config["job"]
    return f"{job.stage.name}-{job.trial.key}"


class _Feed(Searcher):
    """What Tune asks for the next trial and tells how it went."""

    def __init__(self, source: Source, cluster: Cluster) -> None:
        super().__init__()
        self._source, self._cluster = source, cluster
        self._taken: dict[str, tuple[StageRun, str]] = {}
        """Of Tune's running trials, the stage and the trial's key."""

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return Searcher, ()  # Tune pickles its searcher to restore it; ours is rebuilt from the records

    def suggest(self, trial_id: str) -> Any:
        if len(self._taken) >= self._cluster.slots_now():
            return None
        stage_run = self._source.next()
        if stage_run is None:
            return Searcher.FINISHED if self._source.exhausted else None
        job = stage_run.start()
        self._taken[trial_id] = stage_run, job.trial.key
        return {"job": job}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if result["rows"]:
            stage_run, key = self._taken[trial_id]
            stage_run.report(key, result["rows"])

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if result and result.get("unusable"):
            self._source.halt(Unusable(result["unusable"]))
        if not self._source.halted:
            try:
                stage_run, key = self._taken.pop(trial_id)
                if error:
                    stage_run.lost(key)
                else:
                    last = result or {}
                    stage_run.over(key, last.get("rows"), last.get("error"), made_with=last.get("made"))
            except Exception as unwritten:  # Tune would take it for a fault of the trial
                self._source.halt(unwritten)

    def save(self, checkpoint_path: str) -> None:
        pass  # the records have it all


class _Halt(tune.Stopper):
    """Ends every trial once the source is halted."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return self._source.halted

    def stop_all(self) -> bool:
        return self._source.halted

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return tune.stopper.NoopStopper, ()


class _Watchdog(tune.Callback):
    """Ends a worker that has not even ended itself: one that was stopped, or whose node does not answer."""

    def __init__(self) -> None:
        self._heard: dict[str, float] = {}
        """When each trial was last heard of."""

    def on_trial_start(self, *args: Any, **info: Any) -> None:
        self._heard[info["trial"].trial_id] = time.monotonic()

    on_trial_result = on_trial_start

    def on_step_end(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:
        now = time.monotonic()
        for trial in trials:
            actor, latest = trial.temporary_state.ray_actor, trial.config["job"].stuck_seconds + GRACE_SECONDS
            if actor and trial.status == TuneTrial.RUNNING and now - self._heard.get(trial.trial_id, now) > latest:
                self._heard[trial.trial_id] = now
                ray.kill(actor)


def _train(config: dict[str, Any], data: Any, location: str) -> None:
    """In a worker: train, report every epoch with all before it, keep a checkpoint every few seconds.

    An exception of the training is a result, not a fault of the machine: it would only happen again.
    """
    import torch  # by workers only: the driver does without

    device = "cuda" if ray.get_runtime_context().get_accelerator_ids().get("GPU") else "cpu"
    torch.set_num_threads(1)
    job: Job = config["job"]
    folder, trial = Folder(location), job.trial
    records = Records(folder, job.stage.name)
    rows: list[dict[str, float]] = []
    by = {"made": made(job.modules, device)}
    try:
        check_reach(folder)
        so_far = records.load_checkpoint(trial.address)
        rows, checkpointed = so_far.rows, time.perf_counter()
        for epoch, diverged in job.epochs(data, records, so_far, Worker(device)):
            if diverged:
                tune.report({"rows": rows, "error": diverged, **by})
                return
            if epoch.number == trial.epochs:
                so_far.state = epoch.state()
                records.save_results(trial, so_far)
            elif time.perf_counter() - checkpointed > CHECKPOINT_SECONDS:
                so_far.state = epoch.state()
                records.save_checkpoint(trial.address, so_far)
                checkpointed = time.perf_counter()
            compared = {COMPARED: epoch.metrics[job.stage.metric]} if job.stops_weak_trials else {}
            tune.report({**compared, "rows": rows, **by})
    except Unusable as error:
        tune.report({"rows": rows, "unusable": str(error)})
    except (OSError, torch.AcceleratorError, torch.OutOfMemoryError):
        raise  # the machine's fault: the training is taken up again by another worker
    except Exception:
        tune.report({"rows": rows, "error": traceback.format_exc(), **by})
    finally:
        unwatch()
