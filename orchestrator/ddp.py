"""Runs trainings that several workers share, with Ray Train and torch's DDP; the only module that knows Ray Train.

A worker group takes half a minute to start on a laptop, so that each goes through several trainings, one after the
other. Where the cluster has room for more than one group, they do so side by side. Checkpoints and records are the
run folder's: a group that is started again goes on from there, and Ray's own checkpoints are not used.
"""

from __future__ import annotations

import contextlib
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from orchestrator.cluster import Cluster
from orchestrator.ledger import MACHINE_RETRIES, Ledger
from orchestrator.results import Run
from orchestrator.stage import Training
from orchestrator.worker import (
    Job,
    load_checkpoint,
    load_inputs,
    save_arrays,
    save_checkpoint,
    save_weights,
    why_diverged,
)
from trainables.fashion_mnist import FashionMnist

POLL_SECONDS = 0.2


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

    usual = 1 if cluster.gpus_per_training else min(2, cluster.num_devices)
    num_workers = ledger.trainings.num_workers or usual
    jobs = [Job.of(ledger.start(trial.key), ledger.context) for trial in list(ledger.waiting)]
    num_groups = max(1, min(len(jobs), cluster.num_devices // num_workers))
    told = Queue(actor_options={"num_cpus": 0})
    images = ray.put(data)
    left = {job.key for job in jobs}
    interrupted = threading.Event()

    def go_through(own: list[Job]) -> None:
        """A worker group after the other, until none of these jobs is left."""
        while own:
            try:
                _trainer(own, training, images, told, cluster, num_workers, run.absolute).fit()
                return
            except Exception as error:
                if interrupted.is_set():
                    return
                while not told.empty():
                    time.sleep(POLL_SECONDS)
                # The job that it was at has had its retries; the others go on in a group of their own. What is not
                # the workers' fault would befall that too.
                own = [job for job in own if job.key in left]
                lost = own[:1] if isinstance(error, train.WorkerGroupError) else own
                for job in lost:
                    told.put((job.key, [], True, "".join(traceback.format_exception(error))))
                own = own[len(lost) :]

    groups = [
        threading.Thread(target=go_through, args=(jobs[number::num_groups],), name="worker group", daemon=True)
        for number in range(num_groups)
    ]
    for group in groups:
        group.start()
    try:
        while left and (any(group.is_alive() for group in groups) or not told.empty()):
            with contextlib.suppress(Empty):
                key, rows, ended, error = told.get(timeout=POLL_SECONDS)
                if key in left and rows:
                    ledger.report(key, rows)
                if key in left and ended:
                    ledger.finish(key, {"error": error} | ({"rows": rows} if rows else {}))
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
        scaling_config=train.ScalingConfig(
            num_workers=num_workers,
            use_gpu=cluster.gpus_per_training > 0,
            resources_per_worker={"CPU": 1, "GPU": 1} if cluster.gpus_per_training else {"CPU": 1},
        ),
        run_config=train.RunConfig(
            name=f"train-{time.time_ns()}",
            storage_path=f"{location}/ray",
            failure_config=train.FailureConfig(max_failures=MACHINE_RETRIES),
        ),
    )


Tell = Callable[[tuple[str, list[dict[str, float]], bool, str | None]], Any]


def _train(job: Job, training: Training, data: FashionMnist, run: Run, tell: Tell) -> None:
    """In every worker: train one job, unless that is done; the worker of rank 0 tells of it and keeps checkpoints.

    An exception ends the whole group, which is then started again: here none can tell its own fault from the end of
    another worker.
    """
    import torch
    from ray import train
    from ray.train.torch import get_device, prepare_model

    if run.exists(f"{job.folder}/{job.key}.json"):
        return
    context = train.get_context()
    first = context.get_world_rank() == 0
    torch.set_num_threads(1)
    rows, resume = load_checkpoint(run, job)
    started = time.perf_counter()
    epochs = training(
        job.config,
        data,
        device=str(get_device()),
        resume=resume,
        prepare_model=lambda model: prepare_model(model, parallel_strategy_kwargs={"broadcast_buffers": False}),
        rank=context.get_world_rank(),
        world_size=context.get_world_size(),
        keep=lambda name, arrays: save_arrays(run, job, name, arrays),
        **load_inputs(run, job),
    )
    diverged = None
    for epoch in epochs:
        rows.append({"epoch": epoch.number, **epoch.metrics, "seconds": time.perf_counter() - started})
        diverged = why_diverged(epoch)
        if first and diverged is None:
            resume = epoch.state()
            save_checkpoint(run, job, rows, resume)
            tell((job.key, rows, False, None))
        train.report({**epoch.metrics, "epoch": epoch.number})
        if diverged:
            break
        started = time.perf_counter()
    if first:
        if diverged is None and resume is not None:
            save_weights(run, job, resume)
        tell((job.key, rows, True, diverged))
