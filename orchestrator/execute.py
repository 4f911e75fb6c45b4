"""Does what a plan has left: fetches the images, connects to Ray where something is to be trained."""

from __future__ import annotations

import getpass
import os
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from threadpoolctl import threadpool_limits

from orchestrator.cluster import Cluster, check_address, connect
from orchestrator.command_line import CommandLine
from orchestrator.config import UserError
from orchestrator.doctor import check
from orchestrator.flow import Flow
from orchestrator.manifest import Manifest
from orchestrator.metrics import published
from orchestrator.plan import Plan
from orchestrator.progress import Progress
from orchestrator.provenance import git_commit, versions
from orchestrator.results import Run
from trainables.fashion_mnist import CHECKSUM

if TYPE_CHECKING:
    from trainables.fashion_mnist import FashionMnist

WAITS = (
    "Ray: no machine is there yet that trains; the autoscaler starts some, which takes minutes (ray status: which)"
)


def execute(plan: Plan, settings: CommandLine, run: Run) -> Manifest:
    """Do the stages in the order of their needs; the manifest then says how each of them went.

    Raises:
        UserError: the run folder cannot be written, the images cannot be had, or no Ray answers.
    """
    # What stages compute here must not have torch's threads spin for cores that trainings use.
    os.environ["OMP_NUM_THREADS"] = "1"
    check_address(settings.address)
    manifest = plan.manifest or Manifest.empty(settings.run_name, CHECKSUM)
    manifest.preset, manifest.seed = settings.preset, settings.seed
    manifest.settings = settings.model_dump(mode="json", exclude={"stages", "force", "config"})
    manifest.versions, manifest.git_commit = versions(), git_commit()
    run.write_manifest(manifest)
    with ExitStack() as stack:
        stack.enter_context(threadpool_limits(1))  # how many threads a sum is split among shows in its last digits
        progress = stack.enter_context(Progress())
        run.say = progress.say
        for stage in plan.selected:
            if stage not in plan.to_do:
                progress.say(f"{stage.name}: done before")
        needs_images = any(stage.training or stage.images for stage in plan.to_do)
        data = _load_images(settings) if needs_images else None
        flow = Flow(plan, run, manifest, progress, data)
        flow.do_without_training()
        if flow.num_missing and data is not None:
            flow.cluster = cluster = connected(stack, settings, run, progress)
            manifest.hardware = cluster.hardware
            stack.enter_context(published(flow))
            while flow.num_missing:
                flow.train(cluster, data)
                flow.train_shared(cluster, data)
                flow.do_without_training()
    return manifest


def _load_images(settings: CommandLine) -> FashionMnist:
    from trainables.fashion_mnist import DataError, load

    try:
        data = load(settings.data_dir)
    except DataError as error:
        raise UserError(str(error)) from None
    train, test = settings.data.num_train, settings.data.num_test
    return replace(
        data,
        train_images=data.train_images[:train],
        train_labels=data.train_labels[:train],
        test_images=data.test_images[:test],
        test_labels=data.test_labels[:test],
    )


def connected(stack: ExitStack, settings: CommandLine, run: Run, progress: Progress) -> Cluster:
    """Ray until the stack is left, with nodes that can all do their part; what it says goes to a file.

    Raises:
        UserError: nothing answers at the address, or a node cannot do its part.
    """
    progress.say("Ray: connecting")
    if run.is_local:
        log_file = Path(run.absolute, "ray", "driver.log")
    else:
        log_file = Path(tempfile.gettempdir(), f"{getpass.getuser()}-{settings.run_name}-ray-driver.log")
    cluster = stack.enter_context(connect(settings.address, settings.resources, log_file=log_file))
    wanted = settings.gan.num_workers
    if wanted and cluster.gpus_per_training and wanted > cluster.num_devices:
        raise UserError(f"--gan.num-workers {wanted}: each takes a GPU, and there are {cluster.num_devices}")
    if cluster.hardware["nodes"] > 1:
        check(run)
    where = f"; dashboard {cluster.dashboard_url} (its token: ray get-auth-token)" if cluster.dashboard_url else ""
    progress.say(f"Ray: {cluster.slots} trainings at once{where}")
    if cluster.is_empty:
        progress.say(WAITS)
    return cluster
