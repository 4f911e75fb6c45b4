"""Does what a plan has left, and writes the report of it."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

from threadpoolctl import threadpool_limits

from orchestrator.engine.book import Book
from orchestrator.engine.cluster import Cluster, check_address, connect
from orchestrator.engine.doctor import check
from orchestrator.engine.folder import digest
from orchestrator.engine.manifest import Manifest, git_commit, versions
from orchestrator.engine.metrics import published
from orchestrator.engine.plan import Plan
from orchestrator.engine.progress import Progress
from orchestrator.engine.scheduler import Scheduler
from orchestrator.engine.settings import UserError
from orchestrator.engine.stage import own_section, section_of

WAITS = (
    "Ray: no machine is there yet that trains; the autoscaler starts some, which takes minutes (ray status: which)"
)


def execute(plan: Plan) -> Manifest:
    """Do the stages in the order of their needs, then the report; the manifest says how each of them went.

    Raises:
        UserError: the run folder cannot be written, the data cannot be had, or no Ray answers.
    """
    # What stages compute here must not have torch's threads spin for cores that trainings use.
    os.environ["OMP_NUM_THREADS"] = "1"
    book, settings, run = plan.book, plan.book.settings, plan.book.run
    check_address(settings.address)
    manifest = plan.manifest or Manifest(name=settings.run_name)
    describe(manifest, book)
    run.write_manifest(manifest)
    with ExitStack() as stack:
        stack.enter_context(threadpool_limits(1))  # how many threads a sum is split among shows in its last digits
        progress = stack.enter_context(Progress())
        run.say = progress.say
        for stage in plan.selected:
            if stage not in plan.to_do:
                progress.say(f"{stage.name}: done before")

        def connected_and_published() -> Cluster:
            cluster = connected(stack, book, progress)
            manifest.hardware = cluster.hardware
            stack.enter_context(published(scheduler.runs))
            return cluster

        scheduler = Scheduler(plan, book, manifest, progress, connected_and_published)
        scheduler.run()
        write_report(book, manifest)
    return manifest


def describe(manifest: Manifest, book: Book) -> None:
    """Have the manifest say what the run is told, and with what it is done."""
    settings = book.settings
    manifest.preset, manifest.seed = settings.preset, settings.seed
    manifest.settings = settings.model_dump(mode="json", exclude={"stages", "force", "config"})
    manifest.data_checksum = book.suite.data_checksum(settings)
    manifest.versions, manifest.git_commit = versions(), git_commit()


def connected(stack: ExitStack, book: Book, progress: Progress) -> Cluster:
    """Ray until the stack is left, with nodes that can all do their part; what it says goes to a file.

    Raises:
        UserError: nothing answers at the address, or a node cannot do its part.
    """
    settings, run = book.settings, book.run
    progress.say("Ray: connecting")
    if run.is_local:
        log_file = Path(run.absolute, "ray", "driver.log")
    else:
        log_file = Path(tempfile.gettempdir(), f"{getpass.getuser()}-{settings.run_name}-ray-driver.log")
    cluster = stack.enter_context(connect(settings.address, settings.resources, log_file=log_file))
    for stage in book.stages.values():
        wanted = stage.num_workers(own_section(stage, settings))
        if wanted and cluster.gpus_per_training and wanted > cluster.num_devices:
            flag = f"--{section_of(stage)}.num-workers"
            raise UserError(f"{flag} {wanted}: each takes a GPU, and there are {cluster.num_devices}")
    if cluster.hardware["nodes"] > 1:
        check(run)
    where = f"; dashboard {cluster.dashboard_url} (its token: ray get-auth-token)" if cluster.dashboard_url else ""
    progress.say(f"Ray: {cluster.slots} trainings at once{where}")
    if cluster.is_empty:
        progress.say(WAITS)
    return cluster


def write_report(book: Book, manifest: Manifest) -> None:
    """Write the report of what a run has found so far, unless it stands as it should."""
    if report_is_up_to_date(book, manifest):
        return
    kind = type(book.settings)  # what the run was told; the command may have other settings, or no such stage
    told = {name: value for name, value in manifest.settings.items() if name in kind.model_fields}
    files = book.suite.epilogue(book.suite, kind.model_validate(told), book.run, manifest)
    for name, content in files.items():
        book.run.write(name, content)
    manifest.report = {name: digest(content) for name, content in files.items()}
    manifest.report_of = _report_of(book, manifest)
    book.run.write_manifest(manifest)


def report_is_up_to_date(book: Book, manifest: Manifest) -> bool:
    """Whether the report's files are there, whole, and of the stages as they are."""
    current = manifest.report and manifest.report_of == _report_of(book, manifest)
    return bool(current) and not any(book.run.differing(manifest.report))


def _report_of(book: Book, manifest: Manifest) -> str:
    """Hash of what the report is made of."""
    stages = {name: [entry.state, entry.started, entry.files] for name, entry in manifest.stages.items()}
    content = json.dumps([stages, manifest.settings, manifest.versions, manifest.git_commit], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]
