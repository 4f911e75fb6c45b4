"""Runs trainings as Ray Tune trials; the only module that knows Ray Tune."""

import functools
import re
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import ray
from ray import tune
from ray.air._internal import usage
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search import Searcher

from orchestrator.engine.cluster import Cluster
from orchestrator.engine.folder import Folder, Unusable
from orchestrator.engine.machine import scratch
from orchestrator.engine.nodes import Nodes
from orchestrator.engine.records import Record
from orchestrator.engine.stage import Worker
from orchestrator.engine.stage_run import StageRun
from orchestrator.engine.underway import COMPARED, train_all
from orchestrator.engine.worker import GRACE_SECONDS, Job

LOOK_SECONDS = 1
"""How often the watchdog looks."""
IDLE_SECONDS = 0.02
"""How often it is asked for a trial while none runs."""
NUM_WRITERS = 8
"""Records that are written at once: each write waits for a disk, or for S3."""
MOST_AT_ONCE = 10**6
"""For Tune, whose limit cannot change: the real one is that of the nodes as they come and go."""


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
    usage.tag_callbacks = lambda callbacks: False  # to count them it would import every tracker that is installed
    share = {"cpu": cluster.cpus_per_training, "gpu": cluster.gpus_per_training}
    watchdog = _Watchdog()
    with scratch() as path, ThreadPoolExecutor(NUM_WRITERS, "records") as writers:
        tune.Tuner(
            tune.with_resources(tune.with_parameters(_train, data=data, location=folder.absolute), share),
            tune_config=tune.TuneConfig(
                search_alg=_Feed(source, cluster, watchdog, writers),
                scheduler=_Scheduler("epoch", COMPARED, "min", max_t=10**9),  # stops only trials that report these
                num_samples=-1,
                max_concurrent_trials=MOST_AT_ONCE,
                reuse_actors=True,
                trial_name_creator=_name,
                trial_dirname_creator=lambda trial: f"{_name(trial)}-{trial.trial_id}",
            ),
            run_config=tune.RunConfig(
                name=f"tune-{time.time_ns()}",
                storage_path=path,
                # No retries: the stage takes a lost training up again; Tune does not where its worker was idle.
                stop=_Halt(source),
                callbacks=[watchdog],
                verbose=0,
            ),
        ).fit()


def _name(trial: TuneTrial) -> str:
    job: Job = trial.config["jobs"][0]
    return f"{job.stage.name}-{job.trial.key}"


class _Feed(Searcher):
    """What Tune asks for the next trial and tells how it went.

    Records are written by threads; a trial counts as recorded once its record is written.
    """

    def __init__(self, source: Source, cluster: Cluster, watchdog: "_Watchdog", writers: ThreadPoolExecutor) -> None:
        super().__init__()
        self._source, self._nodes, self._watchdog, self._writers = source, Nodes(cluster), watchdog, writers
        self._taken: dict[str, tuple[StageRun, dict[str, dict[str, Any]]]] = {}
        """Of Tune's running trials, the stage, and what was told last of each of its trials in there, by key."""
        self._writing: dict[Future[None], tuple[StageRun, Record[Any]]] = {}

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return Searcher, ()  # Tune pickles its searcher to restore it; ours is rebuilt from the records

    def suggest(self, trial_id: str) -> Any:
        self._take_note_of_records()
        if len(self._taken) >= self._nodes.slots:
            return None
        stage_run = self._source.next()
        while stage_run is None and not self._taken and not self._source.exhausted:
            time.sleep(IDLE_SECONDS)  # Tune would sleep for a second or two
            self._take_note_of_records()
            stage_run = self._source.next()
        if stage_run is None:
            return Searcher.FINISHED if self._source.exhausted else None
        jobs = tuple(stage_run.start_alike())
        self._taken[trial_id] = stage_run, {job.trial.key: {} for job in jobs}
        return {"jobs": jobs}

    def _take_note_of_records(self) -> None:
        for future in [future for future in self._writing if future.done()]:
            stage_run, record = self._writing.pop(future)
            with self._halting():
                future.result()
                stage_run.recorded(record)

    @contextmanager
    def _halting(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # Tune would take it for a fault of the trial
            self._source.halt(error)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        stage_run, told = self._taken[trial_id]
        told[result["key"]] = result
        stage_run.report(result["key"], result["rows"], result["said"])

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if result and result.get("unusable"):
            self._source.halt(Unusable(result["unusable"]))
        if self._source.halted:
            return
        stage_run, told = self._taken.pop(trial_id)
        with self._halting():
            if error or result is None:
                lost = [key for key, last in told.items() if not last.get("over")]
            else:
                told[result["key"]] = result
                self._nodes.worked(result["node"])
                lost = [key for key, last in told.items() if not last]
            if lost:
                self._lost(stage_run, lost, self._watchdog.last_heard(trial_id))
            for key, last in told.items():
                if key not in lost:
                    self._over(stage_run, key, last)

    def _over(self, stage_run: StageRun, key: str, result: dict[str, Any]) -> None:
        stage_run.report(key, result["rows"])
        told = {name: result[name] for name in ("parts", "checkpointed", "made_with") if name in result}
        record, checkpointed = stage_run.ended(key, None, result.get("error"), **told)
        save = functools.partial(stage_run.records.save, record, checkpointed=checkpointed)
        self._writing[self._writers.submit(save)] = stage_run, record

    def _lost(self, stage_run: StageRun, keys: list[str], told: dict[str, Any]) -> None:
        why, node = told.get("lost", ""), told["node"] if told.get("unfit") else ""
        left_out = bool(node) and self._nodes.failed(node)
        for key in reversed(keys):  # each before all that wait
            stage_run.lost(key, why + "; no more trainings there" * left_out, node, forgiven=left_out)

    def save(self, checkpoint_path: str) -> None:
        pass  # the records have it all


class _Scheduler(ASHAScheduler):
    """ASHA, whose steps cost the same however many trials there have been: Tune's go through all of them, twice.

    It also has Tune write no state of a trial: at the end it would write that of all, and nobody reads it.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._unfinished: list[TuneTrial] = []

    def on_trial_add(self, tune_controller: Any, trial: TuneTrial) -> None:
        super().on_trial_add(tune_controller, trial)
        self._unfinished.append(trial)
        setattr(trial, "get_json_state", _no_state)  # noqa: B010  # mypy takes no assignment

    def choose_trial_to_run(self, tune_controller: Any) -> TuneTrial | None:
        """The first that waits, or else that pauses."""
        self._unfinished = [trial for trial in self._unfinished if not trial.is_finished()]
        for status in (TuneTrial.PENDING, TuneTrial.PAUSED):
            for trial in self._unfinished:
                if trial.status == status:
                    return trial
        return None

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_unfinished": []}  # Tune pickles it to go on another time; we begin anew


def _no_state() -> tuple[str, str]:
    return "", ""


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
        self._running: dict[str, tuple[TuneTrial, float]] = {}
        """By Tune's trial, when it was last heard of."""
        self._looked = 0.0

    def on_trial_start(self, *args: Any, **info: Any) -> None:
        self._running[info["trial"].trial_id] = info["trial"], time.monotonic()

    on_trial_result = on_trial_start

    def on_trial_complete(self, *args: Any, **info: Any) -> None:
        self._running.pop(info["trial"].trial_id, None)

    on_trial_error = on_trial_complete

    def on_step_end(self, *args: Any, **info: Any) -> None:
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        for trial, heard in list(self._running.values()):
            actor, latest = trial.temporary_state.ray_actor, trial.config["jobs"][0].stuck_seconds + GRACE_SECONDS
            if actor and trial.status == TuneTrial.RUNNING and now - heard > latest:
                self._running[trial.trial_id] = trial, now
                ray.kill(actor)

    def last_heard(self, trial_id: str) -> dict[str, Any]:
        """What a trial that was lost reported last, with why it was `lost`, as far as Ray knows."""
        trial, _ = self._running.get(trial_id, (None, 0.0))
        if trial is None or not trial.error_file:
            return {}
        return {"lost": why_ended(Path(trial.error_file).read_text()), **(trial.last_result or {})}


def why_ended(text: str) -> str:
    """Why Ray says that it has lost a worker, in a line for the user; empty where that tells him nothing."""
    address = re.search(r"(?i)\bip: ([\w.:]+)", text)
    where = f" {address[1]}" if address else ""
    if "low on memory" in text:
        return f"the node{where} ran out of memory, and Ray ended it: fewer at once need less (--resources.slots)"
    return f"the node{where} was lost" if "node has died" in text else ""


def _train(config: dict[str, Any], data: Any, location: str) -> None:
    """In a worker: train one trial, or several as one, and tell the driver of epochs."""
    jobs, context, folder = config["jobs"], ray.get_runtime_context(), Folder(location)
    worker = Worker("cuda" if context.get_accelerator_ids().get("GPU") else "cpu")
    train_all(jobs, data, folder, worker, tune.report, node=context.get_node_id())
