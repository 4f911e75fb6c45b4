"""The commands that change a run folder: run, report, clean."""

import os
import re
import shlex
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from tempfile import mkdtemp

from threadpoolctl import threadpool_limits

from orchestrator.engine.address import check_address
from orchestrator.engine.book import Book
from orchestrator.engine.cluster import Cluster
from orchestrator.engine.doctor import connected
from orchestrator.engine.estimate import seconds_of, work_of
from orchestrator.engine.folder import digest
from orchestrator.engine.heap import share_heap
from orchestrator.engine.lock import holder, locked
from orchestrator.engine.machine import slots_for, this_machine
from orchestrator.engine.manifest import Manifest, told
from orchestrator.engine.metrics import published
from orchestrator.engine.plan import Plan, damage, mixture_of, unused_files
from orchestrator.engine.progress import Progress, duration
from orchestrator.engine.records import hashed
from orchestrator.engine.results import Run
from orchestrator.engine.scheduler import Scheduler
from orchestrator.engine.settings import UserError
from orchestrator.engine.shown import shown
from orchestrator.engine.tracking import Tracking
from orchestrator.engine.typed import flag, program
from orchestrator.engine.waiting import watched


def run(book: Book, names: Iterable[str]) -> int:
    """Do what is left of these stages, and of what they need; 1 where one of them failed, else 0."""
    folder = book.run
    with locked(folder):
        folder.check_space(book.settings.resources.free_gigabytes * 1e9)
        manifest = book.manifest()
        damaged = damage(folder, manifest)
        plan = Plan.make(book, names, manifest, damaged)
        _tell_mixture(book, manifest)
        _set_aside(folder, [name for stage in plan.to_do for name in damaged.get(stage.name, [])])
        if manifest:
            _set_aside(folder, folder.differing(manifest.report))
            book.write_stages(manifest)
        if manifest and not plan.to_do:
            write_report(book, manifest)
            number = sum(book.study(stage.name).num_trials for stage in plan.selected)
            spent = sum(manifest.stages[stage.name].training_seconds for stage in plan.selected)
            print(f"everything is done: {number} trainings, {duration(spent)} (--force STAGE does a stage again)")
            _tell_end(book, manifest, failed=False)
            return 0
        begun, missing = time.monotonic(), sum(map(plan.num_missing, plan.to_do))
        manifest = execute(plan)
        _tell_mixture(book, manifest)
    entries = {stage.name: manifest.stages[stage.name] for stage in plan.selected}
    unfinished = {name: entry for name, entry in entries.items() if entry.state != "done"}
    for name, entry in unfinished.items():
        print(shown(f"{name} {entry.state}: {entry.why}"))
    states = Counter(record.state for name in entries for record in book.study(name).records.values())
    trained = missing - sum(book.study(stage.name).num_missing for stage in plan.to_do)
    print(f"{duration(time.monotonic() - begun)}: {trained} trainings done; failed ones: {states['failed']}")
    _tell_end(book, manifest, failed=bool(unfinished))
    return 1 if unfinished else 0


def _tell_end(book: Book, manifest: Manifest, *, failed: bool) -> None:
    """What was found, where it lies, what to do next."""
    where, settings, suite = book.run.location, book.settings, book.suite
    for line in suite.summary(book.run):
        print(shown(line))
    print(f"report: {where}/report.html (for a browser); tables in {where}/tables, figures in {where}/figures")
    if failed:
        print("next: the same command again tries what failed, and keeps all else")
    elif settings.preset != suite.full:
        typed = suite.typed_in_full(settings)
        print(f"next: {program()} {typed}  ({suite.full}'s scale; plan says how long that takes)")
    elif not all(book.was_done(name, manifest) for name in book.stages):
        named = {"name": settings.name} if settings.name else {}
        print(f"next: {program()} {suite.typed_again(settings, **named)}  (the other stages)")
    else:
        seed, name = settings.seed + 1, settings.run_name
        other = f"{re.sub('-seed-[0-9]+$', '', name)}-seed-{seed}"
        print(f"next: {program()} {suite.typed_again(settings, name=other, seed=seed)}  (another seed)")
        runs_dir = "" if settings.runs_dir == "runs" else f" {flag('runs-dir', settings.runs_dir)}"
        print(f"then: {program()} compare {name} {other}{runs_dir}  (what differs)")
        if suite.publish and not any(suite.reduced(settings).values()):
            print(f"to show it to others: {suite.publish}{shlex.quote(where)}")


def report(book: Book) -> int:
    """Write the report anew, of what there is."""
    _see_that_there_is_a_run(book)
    with locked(book.run):
        manifest = book.manifest() or described(None, book)
        _tell_mixture(book, manifest)
        manifest.report_of = ""
        write_report(book, manifest)
    print(f"report: {book.run.location}/report.html")
    return 0


def clean(book: Book) -> int:
    """Remove the records that nothing uses; UserError where no manifest says which are used."""
    _see_that_there_is_a_run(book)
    with locked(book.run):
        manifest = book.manifest()
        if manifest is None:
            raise UserError(
                f"{book.run.location} has no sound manifest.json, which says what tables are made of: give the run's "
                f"own command again, which makes it, then {program()} clean"
            )
        unused = unused_files(book, manifest)
        list(book.run.each(book.run.delete, unused))
    number = sum(name.endswith(".json") for name in unused)
    print(f"{number} records that nothing used are removed from {book.run.location}/records")
    return 0


def _see_that_there_is_a_run(book: Book) -> None:
    """UserError, and nothing written, where the run folder holds none: its name may be mistyped."""
    if not (book.run.exists("manifest.json") or holder(book.run)):
        raise UserError(
            f"{book.run.location}: there is no run yet, or no manifest.json of it: {program()} all makes one"
        )


def _tell_mixture(book: Book, manifest: Manifest | None) -> None:
    """Say in which code, packages or devices the results differ; UserError where that is not to be."""
    lines = mixture_of(book, manifest)
    if lines and book.settings.strict:
        raise UserError(f"--strict: {'; '.join(lines)} (choose another --name, or do the stages again with --force)")
    for line in lines:
        book.run.say(line)


def _set_aside(folder: Run, names: Iterable[str]) -> None:
    for name in names:
        try:
            folder.set_aside(name, "is damaged")
        except FileNotFoundError:
            folder.say(f"{name} is missing; it is made again")


def execute(plan: Plan) -> Manifest:
    """Do the stages in the order of their needs, then the report; the manifest says how each of them went.

    UserError where the run folder cannot be written, the data cannot be had, or no Ray answers.
    """
    # What stages compute here must not have torch's threads spin for cores that trainings use.
    os.environ["OMP_NUM_THREADS"] = "1"
    share_heap()
    book, settings, folder = plan.book, plan.book.settings, plan.book.run
    if any(map(plan.num_missing, plan.to_do)):
        check_address(settings.address)
    manifest = described(plan.manifest, book)
    with ExitStack() as stack:
        stack.enter_context(threadpool_limits(1))  # how many threads a sum is split among shows in its last digits
        machine = this_machine()
        work = work_of(plan, machine)
        progress = stack.enter_context(Progress(work=work))
        progress.seconds = seconds_of(plan, work, machine, slots_for([machine], settings.resources))
        # among what is safe to delete, in which no link is followed
        files = folder.path("ray/tracking") if folder.is_local else ""
        if settings.track and not folder.is_local:
            files = mkdtemp(prefix=f"{settings.run_name}-tracking-")
        book.tracking = Tracking(settings.track, settings.run_name, files, progress.say)
        folder.say = progress.say
        for stage in plan.selected:
            if stage not in plan.to_do:
                progress.say(f"{stage.name}: done before")

        ray = stack.enter_context(ExitStack())

        def connected_and_published() -> Cluster:
            cluster = connected(ray, book, progress)
            ray.enter_context(book.tracking.open())
            progress.seconds = seconds_of(plan, work, machine, cluster.slots)
            ray.enter_context(published(scheduler.runs, settings.run_name))
            ray.enter_context(watched(cluster, scheduler.is_training, progress.say))
            return cluster

        scheduler = Scheduler(plan, manifest, progress, connected_and_published, ray.close)
        scheduler.run()
        write_report(book, manifest)
    return manifest


def described(manifest: Manifest | None, book: Book) -> Manifest:
    """The manifest, or that of a run that has not begun, saying what the command is told."""
    settings = book.settings
    manifest = manifest or Manifest(name=settings.run_name)
    manifest.preset, manifest.seed = settings.preset, settings.seed
    manifest.settings = told(settings)
    manifest.data_checksum = book.suite.data_checksum(settings)
    return manifest


def write_report(book: Book, manifest: Manifest) -> None:
    """Write the report of what a run has found so far, unless it stands as it should."""
    manifest.name = book.settings.run_name  # its folder may have been renamed, or copied
    stages = {name: entry.model_dump(mode="json") for name, entry in manifest.stages.items()}
    lines = mixture_of(book, manifest)
    made_of = hashed([manifest.name, stages, manifest.settings, lines])
    if made_of == manifest.report_of and not any(book.run.differing(manifest.report)):
        return
    files = book.suite.epilogue(book.suite, book.run, manifest, lines)
    for name, content in files.items():
        book.run.write(name, content)
    manifest.report, manifest.report_of = {name: digest(content) for name, content in files.items()}, made_of
    book.run.write_manifest(manifest)
