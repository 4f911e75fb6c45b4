"""Runs trainings that several workers share, with Ray Train and torch's DDP; the only module that knows Ray Train.

A worker group takes half a minute to start on a laptop, so that each goes through several trainings, one after the
other. Where the cluster has room for more than one group, they do so side by side. Checkpoints and records are the
run folder's: a group that is started again goes on from there, and Ray's own checkpoints are not used.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

from orchestrator.cluster import Cluster
from orchestrator.ledger import Ledger
from orchestrator.results import Run, Unusable
from orchestrator.stage import Training
from orchestrator.worker import (
    GRACE_SECONDS,
    Checkpoint,
    Job,
    check_reach,
    inputs_of,
    load_checkpoint,
    record_name,
    save_checkpoint,
    save_results,
    unwatch,
    watch,
    why_diverged,
)
from trainables.fashion_mnist import FashionMnist

POLL_SECONDS = 0.2
START_RETRIES = 3
"""Times that a group is waited for anew, ten minutes each, where the cluster has no room for it."""


def train_together(ledger: Ledger, training: Training, cluster: Cluster, data: FashionMnist, run: Run) -> None:
    """Run a ledger's waiting trials, each by several workers together; every one has its record afterwards.

    Args:
        ledger: of a stage whose trials are all known beforehand.
        training: the stage's; is given `prepare_model`, `rank`, `world_size` and `keep` too.
        cluster: where.
        data: the images.
        run: the folder that workers find checkpoints and inputs in.
    """
    import ray
    from ray import train
    from ray.util.queue import Empty, Queue
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # Not as many as there is room for: batch norm sees a worker's share of a batch, so that results hang on it.
    num_workers = ledger.trainings.num_workers or (1 if cluster.gpus_per_training else 2)
    jobs = [Job.of(ledger.start(trial.key), ledger.context) for trial in list(ledger.waiting)]
    for job in jobs:
        run.delete(record_name(job.folder, job.key))  # of a failure: workers take a record for that of a finished job
    num_groups = max(1, min(len(jobs), cluster.slots, cluster.num_devices // num_workers))
    os.environ["RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S"] = str(jobs[0].stuck_seconds + GRACE_SECONDS)
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    told = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
    images = ray.put(data)
    left = {job.key for job in jobs}
    interrupted = threading.Event()

    def go_through(own: list[Job]) -> None:
        """A worker group after the other, until none of these jobs is left."""
        lost: Counter[str] = Counter()
        while own:
            try:
                _trainer(own, training, images, told, cluster, num_workers, run.absolute).fit()
                return
            except Exception as error:
                if interrupted.is_set():
                    return
                while not told.empty():
                    time.sleep(POLL_SECONDS)
                own = [job for job in own if job.key in left]
                given_up = own  # what is not the workers' fault would befall every group
                if own and isinstance(error, train.WorkerGroupError):
                    at = own[0]
                    lost[at.key] += 1
                    given_up = [at] if lost[at.key] > at.retries else []
                for job in given_up:
                    told.put((job.key, [], {"error": "".join(traceback.format_exception(error))}))
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
                key, rows, outcome = told.get(timeout=POLL_SECONDS)
                if outcome and "unusable" in outcome:
                    raise Unusable(outcome["unusable"])
                if key in left and rows:
                    ledger.report(key, rows)
                if key in left and outcome is not None:
                    ledger.finish(key, outcome | ({"rows": rows} if rows else {}))
                    left.remove(key)
    except BaseException:
        interrupted.set()  # Ray goes down under the groups
        raise
    assert not left, f"not trained: {', '.join(sorted(left))}"
    for group in groups:
        group.join()
    told.shutdown()


def _trainer(
    jobs: list[Job], training: Training, images: Any, told: Any, cluster: Cluster, num_workers: int, location: str
) -> Any:
    from ray import train
    from ray.train.torch import TorchTrainer

    def worker(config: dict[str, Any]) -> None:
        import ray

        data = ray.get(config["images"])
        for job in config["jobs"]:
            _train(job, training, data, Run(location), config["told"].put)

    return TorchTrainer(
        worker,
        train_loop_config={"jobs": jobs, "images": images, "told": told},
        torch_config=_process_group(),
        scaling_config=train.ScalingConfig(
            num_workers=num_workers,
            use_gpu=cluster.gpus_per_training > 0,
            resources_per_worker=(
                {"CPU": 1, "GPU": 1}
                if cluster.gpus_per_training
                else {"CPU": 1 / math.ceil(num_workers / cluster.num_devices)}
            ),
        ),
        run_config=train.RunConfig(
            name=f"{jobs[0].stage}-{time.time_ns()}",
            storage_path=f"{location}/ray",
            # A lost group is started again by us, who know which job it was at.
            failure_config=train.FailureConfig(
                max_failures=0,
                controller_failure_limit=START_RETRIES,  # type: ignore[call-arg]
            ),
        ),
    )


def _process_group() -> Any:
    """How workers find each other; gloo by itself listens where the host's own name points, on Debian 127.0.1.1."""
    from ray.train.torch.config import TorchConfig, _TorchBackend

    def name_interface() -> None:
        import psutil
        import ray

        own = ray.util.get_node_ip_address()
        for name, addresses in psutil.net_if_addrs().items():
            if own in {it.address for it in addresses}:
                os.environ.setdefault("GLOO_SOCKET_IFNAME", name)

    class Backend(_TorchBackend):
        def on_start(self, worker_group: Any, backend_config: Any) -> None:
            worker_group.execute(name_interface)
            super().on_start(worker_group, backend_config)

    class Config(TorchConfig):
        @property
        def backend_cls(self) -> type[Backend]:
            return Backend

    return Config()


Tell = Callable[[tuple[str, list[dict[str, float]], dict[str, Any] | None]], Any]
"""Takes a job's key, its epochs so far and, at its end, the outcome: an error, or why nothing can be written."""


def _train(job: Job, training: Training, data: FashionMnist, run: Run, tell: Tell) -> None:
    """In every worker: train one job, unless that is done; the worker of rank 0 tells of it and keeps checkpoints.

    An exception ends the whole group, which is then started again: here none can tell its own fault from the end of
    another worker.
    """
    from ray import train
    from torch import distributed

    rank = train.get_context().get_world_rank()
    watch(job)
    try:
        check_reach(run)
        found: list[Any] = [None]
        if rank == 0 and not run.exists(record_name(job.folder, job.key)):
            found = [load_checkpoint(run, job)]
        if distributed.is_initialized():
            distributed.broadcast_object_list(found, src=0)  # what one sees of a network's disk another may not yet
        if found[0] is not None:
            _train_watched(job, training, data, run, tell, found[0], rank=rank)
    except Unusable as error:
        tell((job.key, [], {"unusable": str(error)}))
        raise
    finally:
        unwatch()


def _train_watched(
    job: Job, training: Training, data: FashionMnist, run: Run, tell: Tell, found: Checkpoint, *, rank: int
) -> None:
    import torch
    from ray import train
    from ray.train.torch import get_device, prepare_model

    torch.set_num_threads(1)
    rows, resume, kept = found
    started = time.perf_counter()
    epochs = training(
        job.config,
        data,
        device=str(get_device()),
        resume=resume,
        prepare_model=lambda model: prepare_model(model, parallel_strategy_kwargs={"broadcast_buffers": False}),
        rank=rank,
        world_size=train.get_context().get_world_size(),
        keep=kept.__setitem__,
        **inputs_of(run, job),
    )
    diverged = None
    for epoch in epochs:
        watch(job)
        rows.append({"epoch": epoch.number, **epoch.metrics, "seconds": time.perf_counter() - started})
        diverged = why_diverged(epoch)
        if rank == 0 and diverged is None:
            resume = epoch.state()
            save_checkpoint(run, job, rows, resume, kept)
            tell((job.key, rows, None))
        train.report({**epoch.metrics, "epoch": epoch.number})
        if diverged:
            break
        started = time.perf_counter()
    if rank == 0:
        if diverged is None and resume is not None:
            save_results(run, job, resume, kept)
        tell((job.key, rows, {"error": diverged}))
