"""Runs trainings that several workers share, with Ray Train and torch's DDP; the only module that knows Ray Train.

A worker group takes half a minute to start on a laptop, so that each goes through several trainings, one after the
other. Where the cluster has room for more than one group, they do so side by side. Checkpoints and records are the
run folder's: a group that is started again goes on from there, and Ray's own checkpoints are not used.
"""

import contextlib
import math
import os
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from typing import Any

import psutil
import ray
from ray import train
from ray.train.torch import get_device, prepare_model
from ray.train.torch.config import TorchConfig, _TorchBackend
from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.constants import get_env_vars_to_propagate
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.scaling_policy import FixedScalingPolicy
from ray.train.v2.api.config import FailureConfig, RunConfig, ScalingConfig
from ray.train.v2.torch.torch_trainer import TorchTrainer
from ray.util.queue import Empty, Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from torch import distributed

from orchestrator.engine.checkpoint import Checkpoint
from orchestrator.engine.cluster import Cluster
from orchestrator.engine.folder import Folder, Unusable
from orchestrator.engine.machine import scratch
from orchestrator.engine.provenance import made
from orchestrator.engine.records import Parts, Records
from orchestrator.engine.shown import in_a_line
from orchestrator.engine.stage import Worker
from orchestrator.engine.stage_run import StageRun
from orchestrator.engine.worker import (
    GRACE_SECONDS,
    Job,
    News,
    check_device,
    check_reach,
    here,
    is_of_the_machine,
    made_by,
    unwatch,
)

POLL_SECONDS = 1.0
"""Each look at the queue costs milliseconds of a core."""
LEAVE_SECONDS = 5
"""How long a group's thread may take to leave Ray alone."""
START_RETRIES = 3
"""Times that a group is waited for anew, ten minutes each, where the cluster has no room for it."""
Tell = Callable[[tuple[str, dict[str, Any]]], Any]
"""Takes a trial's key and what is told of it: `rows` that are new, why its machine has `lost` it, why nothing can be
written (`unusable`); once it has `ended`, all its rows, its `error`, the `parts` that it
left and what it was `made_with`."""


def train_together(stage_run: StageRun, cluster: Cluster, data: Any, folder: Folder) -> None:
    """Run a stage's waiting trials, each by several workers together; every one has its record afterwards.

    All of the stage's trials are known beforehand. Workers find checkpoints and inputs in the run folder.
    """
    # Of all its trainings, not of those that wait: one that is taken up again has as many workers as before.
    room = cluster.room_in_each(stage_run.study.num_trials)
    num_workers = stage_run.stage.num_workers(stage_run.own, room)
    jobs = [stage_run.start() for _ in list(stage_run.study.waiting)]
    for job in jobs:  # of a failure: workers take a record for that of a finished training
        folder.delete(stage_run.records.name(job.trial.address))
    room = cluster.num_devices // num_workers if num_workers > 1 else cluster.slots_now()
    num_groups = max(1, min(len(jobs), cluster.slots, room))
    os.environ["RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S"] = str(jobs[0].stuck_seconds + GRACE_SECONDS)
    told = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": _with_us()})
    stored_data = ray.put(data)
    left = stage_run.study.running
    over: Future[None] = Future()
    why_lost: dict[str, str] = {}
    """By trial, what its machine was last at fault for."""

    def go_through(own: list[Job]) -> None:
        """A worker group after the other, until none of these trainings is left."""
        num_lost: Counter[str] = Counter()
        while own:
            try:
                with scratch() as path:
                    trainer = _trainer(own, stored_data, told, cluster, num_workers, folder.absolute, path)
                    trainer.over = over
                    trainer.fit()
                return
            except Exception as error:
                if over.done():
                    return
                while not told.empty():
                    time.sleep(POLL_SECONDS)
                own = [job for job in own if job.trial.key in left]
                given_up = own  # what is not the workers' fault would befall every group
                if own and isinstance(error, train.WorkerGroupError):
                    first = own[0]
                    num_lost[first.trial.key] += 1
                    given_up = [first] if num_lost[first.trial.key] > stage_run.resources.retries else []
                for key in [job.trial.key for job in given_up]:
                    text, why = "".join(traceback.format_exception(error)), why_lost.get(key)
                    text = f"its workers were lost {num_lost[key]} times; {why}" if why else text
                    told.put((key, {"ended": True, "error": text, "lost": bool(why)}))
                own = own[len(given_up) :]

    groups = [
        threading.Thread(target=go_through, args=(jobs[number::num_groups],), name="worker group", daemon=True)
        for number in range(num_groups)
    ]
    for group in groups:
        group.start()
    try:
        while left and (any(group.is_alive() for group in groups) or not told.empty()):
            with contextlib.suppress(Empty):
                key, news = told.get(timeout=POLL_SECONDS)
                if "unusable" in news:
                    raise Unusable(news["unusable"])
                if key in left and "ended" in news:
                    of_worker = {name: news[name] for name in ("parts", "made_with", "lost") if name in news}
                    stage_run.over(key, news.get("rows"), news["error"], num_workers=num_workers, **of_worker)
                elif "lost" in news:
                    why_lost[key] = news["lost"]
                elif key in left:
                    stage_run.report(key, news["rows"], news["said"])
    except BaseException:
        over.set_result(None)
        for group in groups:  # Ray goes down now, and takes along whoever still asks it
            group.join(LEAVE_SECONDS)
        raise
    assert not left, f"not trained: {', '.join(sorted(left))}"
    for group in groups:
        group.join()
    told.shutdown()


def _with_us() -> NodeAffinitySchedulingStrategy:
    """On this node."""
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


class _Scaling(FixedScalingPolicy):
    """A group of one size; its placement group says what it takes, to autoscalers too."""

    def _send_resource_request(self) -> None:
        """Ask no process of Ray Data's, which would only be started for that."""

    _maybe_send_resource_request = _cancel_resource_request = _send_resource_request


class _Trainer(TorchTrainer):
    """Starts no processes for Ray Data. Waits for its workers in Python: a thread that waits in Ray's C++ while Ray
    is left crashes the process."""

    over: "Future[None]"
    """Done where it is to wait no longer."""

    def _create_default_callbacks(self) -> list[Any]:
        return [it for it in super()._create_default_callbacks() if not isinstance(it, DatasetsCallback)]

    def _initialize_and_run_controller(self, **arguments: Any) -> Any:
        arguments["scaling_policy"] = _Scaling(arguments["train_run_context"].scaling_config)
        environment = {"RAY_WARN_BLOCKING_GET_INSIDE_ASYNC": "0"} | get_env_vars_to_propagate()
        remote: Any = ray.remote(TrainController).options(
            num_cpus=0, scheduling_strategy=_with_us(), runtime_env={"env_vars": environment}
        )
        controller = remote.remote(**arguments)
        self._wait_for(controller.run.remote())
        return self._wait_for(controller.get_result.remote())

    def _wait_for(self, reference: Any) -> Any:
        future = reference.future()
        wait([future, self.over], return_when=FIRST_COMPLETED)
        if not future.done():
            raise CancelledError
        return future.result()


def _trainer(
    jobs: list[Job], stored_data: Any, told: Any, cluster: Cluster, num_workers: int, location: str, path: str
) -> _Trainer:
    def worker(config: dict[str, Any]) -> None:
        data = ray.get(config["data"])
        for job in config["jobs"]:
            _train(job, data, Folder(location), config["told"].put)

    share = {"CPU": cluster.cpus_per_training, "GPU": cluster.gpus_per_training}
    if num_workers > 1:  # two of them cannot share a GPU
        cores = 1 / math.ceil(num_workers / cluster.num_devices)
        share = {"CPU": 1.0, "GPU": 1.0} if cluster.gpus_per_training else {"CPU": cores}
    return _Trainer(
        worker,
        train_loop_config={"jobs": jobs, "data": stored_data, "told": told},
        torch_config=_Config(),
        scaling_config=ScalingConfig(
            num_workers=num_workers,
            use_gpu=cluster.gpus_per_training > 0,
            resources_per_worker={resource: number for resource, number in share.items() if number},
        ),
        run_config=RunConfig(
            name=f"{jobs[0].stage.name}-{time.time_ns()}",
            storage_path=path,
            # A lost group is started again by us, who know which training it was at.
            failure_config=FailureConfig(max_failures=0, controller_failure_limit=START_RETRIES),
        ),
    )


def _name_interface() -> None:
    """Tell gloo how workers find each other; by itself it listens where the host's own name points: on Debian
    127.0.1.1."""
    own = ray.util.get_node_ip_address()
    for name, addresses in psutil.net_if_addrs().items():
        if own in {address.address for address in addresses}:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)


class _Backend(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        if len(worker_group) > 1:  # one alone needs no process group
            worker_group.execute(_name_interface)
            super().on_start(worker_group, backend_config)


class _Config(TorchConfig):
    @property
    def backend_cls(self) -> type[_Backend]:
        return _Backend


def _train(job: Job, data: Any, folder: Folder, tell: Tell) -> None:
    """In every worker: train one trial, unless that is done; the worker of rank 0 tells of it, keeps checkpoints.

    An exception ends the whole group, which is then started again: here none can tell its own fault from the end of
    another worker.
    """
    records, address, context = Records(folder, job.stage.name), job.trial.address, train.get_context()
    worker = Worker(
        str(get_device()),
        rank=context.get_world_rank(),
        num_workers=context.get_world_size(),
        prepare_model=lambda model: prepare_model(model, parallel_strategy_kwargs={"broadcast_buffers": False}),
    )
    job.watch()
    try:
        check_device(worker.device)
        check_reach(folder)
        found: list[Checkpoint | None] = [None]
        if worker.rank == 0 and not folder.exists(records.name(address)):
            found = [records.load_checkpoint(address, made_by(job, worker))]
        if distributed.is_initialized():
            distributed.broadcast_object_list(found, src=0)  # what one sees of a network's disk another may not yet
        if found[0] is not None:
            if worker.rank == 0:
                tell((job.trial.key, {"rows": [], "said": ()}))  # until then it is queued
            _train_from(found[0], job, data, records, tell, worker)
    except Unusable as error:
        tell((job.trial.key, {"unusable": str(error)}))
        raise
    except Exception as error:
        if is_of_the_machine(error):
            tell((job.trial.key, {"lost": f"{here(worker.device)}: {in_a_line(error)}"}))
        raise
    finally:
        unwatch()


def _train_from(so_far: Checkpoint, job: Job, data: Any, records: Records, tell: Tell, worker: Worker) -> None:
    key, diverged = job.trial.key, None
    parts: Parts = ()
    news = News(lambda facts: tell((key, facts)), checkpointed=True)
    for epoch, diverged in job.epochs(data, records, so_far, worker, news.said):
        if worker.rank == 0 and diverged is None:
            so_far.state = epoch.state()
            records.save_checkpoint(job.trial.address, so_far, made_by(job, worker))
            if news.due(so_far.rows):
                news.tell(so_far.rows)
        train.report({**epoch.metrics, "epoch": epoch.number})
        if diverged:
            break
    if worker.rank == 0:
        if diverged is None and so_far.state is not None:
            parts = records.save_results(job.trial, so_far)
        made_with = made(job.modules, worker.device)
        ended = {"rows": so_far.rows, "error": diverged, "parts": parts, "made_with": made_with}
        tell((key, {"ended": True, **ended}))
