"""The command line: `python -m orchestrator.run [STAGE ...]`, and the commands beside that."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from orchestrator.command_line import parse, similar
from orchestrator.engine.book import Book
from orchestrator.engine.folder import Damaged
from orchestrator.engine.lock import locked
from orchestrator.engine.manifest import Manifest
from orchestrator.engine.plan import Plan, damage, print_plan, print_status, unused_records
from orchestrator.engine.results import Run
from orchestrator.engine.settings import RunSettings, UserError
from orchestrator.engine.stage import own_section
from orchestrator.paper import suite

COMMANDS = ("plan", "status", "compare", "doctor", "report", "clean")
INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Run what the arguments ask for; the exit status: 0 done, 1 failed, 2 the user's mistake, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        settings, words = parse(arguments, suite())
        command, words = (words[0], words[1:]) if words and words[0] in COMMANDS else ("run", words)
        if command == "compare":
            return _compare(settings, words)
        run = Run(_location(settings, settings.run_name))
        names = _stage_names(settings, words)
        if command in {"plan", "status"}:
            manifest = _manifest(run)
            book = Book(suite(), settings, run, set_aside=False)
            plan = Plan.make(book, names, manifest, damage(run, manifest))
            print_plan(plan) if command == "plan" else print_status(plan)
            return 0
        book = Book(suite(), settings, run, set_aside=True)
        if command == "doctor":
            return _doctor(book, names)
        with locked(run):
            return {"run": _run, "report": _report, "clean": _clean}[command](book, names)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        command_line = shlex.join(["python", "-m", "orchestrator.run", *arguments])
        print(f"\ninterrupted; what was finished is kept. To go on: {command_line}", file=sys.stderr)
        return INTERRUPTED


def _stage_names(settings: RunSettings, words: Sequence[str]) -> list[str]:
    """The stages that are asked for.

    Raises:
        UserError: a word is no stage, or one that these settings have not.
    """
    known = [stage.name for stage in suite().wanted(settings)]
    flags = {stage.name: stage.flag for stage in suite().stages if stage.name not in known}
    for name in [*words, *settings.force]:
        if name in flags:
            raise UserError(f"{name} is not among the stages of this run: {flags[name]} brings it in")
        if name not in {"all", *known}:
            hint = similar(name, ["all", *known, *COMMANDS])
            raise UserError(f"{name!r} is no stage{hint}; there are: all, {', '.join(known)}")
    return [*(known if not words or "all" in words else words), *settings.force]


def _location(settings: RunSettings, name: str) -> str:
    return f"{settings.runs_dir.rstrip('/')}/{name}"


def _manifest(run: Run) -> Manifest | None:
    try:
        return run.manifest()
    except Damaged:
        run.say(f"{run.location}/manifest.json is damaged; the next run sets it aside and makes it again")
        return None


def _compare(settings: RunSettings, names: Sequence[str]) -> int:
    from orchestrator.engine.compare import differences

    if len(names) != 2:
        raise UserError("compare takes two names of runs, or their folders")
    one, other = (Run(name if "/" in name else _location(settings, name)) for name in names)
    lines = list(differences(one, other))
    print("\n".join(lines) or f"{one.location} and {other.location} are equal, times aside")
    return 1 if lines else 0


def _doctor(book: Book, names: Sequence[str]) -> int:
    from orchestrator.engine.doctor import check, print_examination
    from orchestrator.engine.execute import connected
    from orchestrator.engine.progress import Progress

    book.run.check_space(book.settings.resources.free_gigabytes * 1e9)
    with ExitStack() as stack:
        cluster = connected(stack, book, stack.enter_context(Progress()))
        nodes = check(book.run)
    trained = {name: stage for name, stage in book.stages.items() if name in names and stage.config}
    stages = {name: (book.study(name).num_trials, stage.shared) for name, stage in trained.items()}
    print_examination(nodes, book.run, cluster, stages)
    return 0


def _run(book: Book, names: Sequence[str]) -> int:
    from orchestrator.engine.execute import execute, write_report
    from orchestrator.engine.stage_run import write_stages

    run, settings = book.run, book.settings
    run.check_space(settings.resources.free_gigabytes * 1e9)
    manifest = _usable_manifest(run)
    damaged = damage(run, manifest)
    plan = Plan.make(book, names, manifest, damaged)
    for stage in plan.to_do:
        stage.check(own_section(stage, settings))
    _set_aside(run, [name for stage in plan.to_do for name in damaged.get(stage.name, [])])
    if manifest:
        _set_aside(run, list(run.differing(manifest.report)))
        write_stages(book, manifest)
    if manifest and not plan.to_do:
        write_report(book, manifest)
        print(f"everything is done: {run.location}/report.html (--force STAGE does a stage again)")
        return 0
    manifest = execute(plan)
    failed = [stage.name for stage in plan.selected if manifest.stages[stage.name].state != "done"]
    for name in failed:
        error = (manifest.stages[name].error or "").strip().splitlines()[-1:]
        print(f"{name} {manifest.stages[name].state}: {''.join(error)}")
    print(f"tables in {run.location}/tables, figures in {run.location}/figures; report: {run.location}/report.html")
    return 1 if failed else 0


def _usable_manifest(run: Run) -> Manifest | None:
    try:
        return run.manifest()
    except Damaged:
        run.set_aside("manifest.json", "is damaged")
        return None


def _set_aside(run: Run, names: Sequence[str]) -> None:
    for name in names:
        if run.exists(name):
            run.set_aside(name, "is damaged")
        else:
            run.say(f"{name} is missing; it is made again")


def _report(book: Book, names: Sequence[str]) -> int:
    from orchestrator.engine.execute import describe, write_report

    manifest = _usable_manifest(book.run)
    if manifest is None:
        manifest = Manifest(name=book.settings.run_name)
        describe(manifest, book)
    manifest.report_of = ""
    write_report(book, manifest)
    print(f"report: {book.run.location}/report.html")
    return 0


def _clean(book: Book, names: Sequence[str]) -> int:
    removed = unused_records(book, _usable_manifest(book.run))
    for name, addresses in removed.items():
        for address in addresses:
            book.records(name).delete(address)
    number = sum(map(len, removed.values()))
    print(f"{number} records that nothing uses were removed from {book.run.location}/records")
    return 0


def _exit(status: int) -> Any:
    if status == INTERRUPTED:  # without waiting for what threads still compute; every file is whole or not there
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    _exit(main())
