"""The command line: `python -m orchestrator.run [STAGE ...]`, in the order of the paper."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from contextlib import ExitStack

from orchestrator.command_line import CommandLine, parse, similar
from orchestrator.compare import differences
from orchestrator.config import Settings, UserError
from orchestrator.doctor import check
from orchestrator.execute import connected, execute
from orchestrator.flow import write_stages
from orchestrator.lock import locked
from orchestrator.manifest import Manifest
from orchestrator.plan import Plan, damage, print_plan, print_status
from orchestrator.progress import Progress
from orchestrator.results import Damaged, Run
from orchestrator.stage import Stage
from orchestrator.stages import (
    capacity,
    classify,
    denoise,
    embed,
    gan,
    gan_inception,
    gan_search,
    kfold,
    refit,
    report,
    search,
)

STAGES: tuple[Stage, ...] = (
    search.STAGE,
    kfold.STAGE,
    refit.STAGE,
    denoise.STAGE,
    capacity.STAGE,
    classify.STAGE,
    embed.STAGE,
    gan_search.STAGE,
    gan.STAGE,
    gan_inception.STAGE,
    report.STAGE,
)
COMMANDS = ("plan", "status", "compare", "doctor")
INTERRUPTED = 130
VERSIONS = {"python": 10, "ray": 10, "torch": 12}
"""Columns of `doctor`, with their widths."""


def main(arguments: list[str] | None = None) -> int:
    """Run what the arguments ask for; the exit status: 0 done, 1 failed, 2 the user's mistake, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        settings = parse(arguments)
        command, names = _words(settings)
        if command == "compare":
            return _compare(settings, names)
        run = Run(_location(settings, settings.run_name))
        if command == "doctor":
            return _doctor(names, settings, run)
        if command == "run":
            with locked(run):
                return _run(names, settings, run)
        manifest = _manifest(run)
        plan = Plan.make(wanted_stages(settings), names, settings, manifest, damage(run, manifest))
        (print_plan if command == "plan" else print_status)(plan, run)
        return 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        command_line = shlex.join(["python", "-m", "orchestrator.run", *arguments])
        print(f"\ninterrupted; what was finished is kept. To go on: {command_line}", file=sys.stderr)
        return INTERRUPTED


def wanted_stages(settings: Settings) -> tuple[Stage, ...]:
    """The stages of a run with these settings, in the paper's order."""
    return tuple(stage for stage in STAGES if stage.wanted(settings))


def _words(settings: CommandLine) -> tuple[str, list[str]]:
    """The command, and the names of stages or runs that come with it."""
    words = list(settings.stages)
    command = words.pop(0) if words and words[0] in COMMANDS else "run"
    if command == "compare":
        return command, words
    known = [stage.name for stage in wanted_stages(settings)]
    flags = {stage.name: stage.flag for stage in STAGES if stage.name not in known}
    for name in [*words, *settings.force]:
        if name in flags:
            raise UserError(f"{name} is not among the stages of this run: {flags[name]} brings it in")
        if name not in {"all", *known}:
            hint = similar(name, ["all", *known, *COMMANDS])
            raise UserError(f"{name!r} is no stage{hint}; there are: all, {', '.join(known)}")
    names = known if not words or "all" in words else words
    return command, [*names, *settings.force]


def _location(settings: CommandLine, name: str) -> str:
    return f"{settings.runs_dir.rstrip('/')}/{name}"


def _manifest(run: Run) -> Manifest | None:
    try:
        return run.manifest()
    except Damaged:
        run.say(f"{run.location}/manifest.json is damaged; the next run sets it aside and makes it again")
        return None


def _compare(settings: CommandLine, names: list[str]) -> int:
    if len(names) != 2:
        raise UserError("compare takes two names of runs, or their folders")
    one, other = (Run(name if "/" in name else _location(settings, name)) for name in names)
    lines = list(differences(one, other))
    print("\n".join(lines) or f"{one.location} and {other.location} are equal, times aside")
    return 1 if lines else 0


def _doctor(names: list[str], settings: CommandLine, run: Run) -> int:
    run.check_space(settings.resources.free_gigabytes * 1e9)
    with ExitStack() as stack:
        cluster = connected(stack, settings, run, stack.enter_context(Progress()))
        nodes = check(run)
    print(f"{'node':<24} {'python':<10} {'ray':<10} {'torch':<12} {'GPUs':>4} {'shared memory':>14}")
    for node in nodes:
        columns = " ".join(f"{node.versions.get(name, ''):<{width}}" for name, width in VERSIONS.items())
        print(f"{node.host:<24} {columns} {node.gpus:>4} {node.shared_gigabytes or 0:>11.1f} GB")
    free = run.free_bytes()
    print(f"run folder {run.location}: every node reads and writes it", end="")
    print(f"; {free / 1e9:.0f} GB free\n" if free is not None else "\n")
    for stage in wanted_stages(settings):
        if stage.work and stage.name in names:
            units, slots = stage.work(settings).units, cluster.slots
            rounds = "each by several workers" if stage.shared else f"{slots} at once: {-(-units // slots)} rounds"
            print(f"{stage.name:<13} {units:>4} trainings, {rounds}")
    return 0


def _run(names: list[str], settings: CommandLine, run: Run) -> int:
    run.check_space(settings.resources.free_gigabytes * 1e9)
    try:
        manifest = run.manifest()
    except Damaged:
        run.set_aside("manifest.json", "is damaged")
        manifest = None
    damaged = damage(run, manifest)
    plan = Plan.make(wanted_stages(settings), names, settings, manifest, damaged)
    for stage in plan.to_do:
        stage.check(settings)
    for name in (name for stage in plan.to_do for name in damaged.get(stage.name, [])):
        if run.exists(name):
            run.set_aside(name, "is damaged")
        else:
            run.say(f"{name} is missing; it is made again")
    if manifest:
        write_stages(run, manifest, plan)
    if not plan.to_do:
        print(f"everything is done: {run.location}/report.html (--force STAGE does a stage again)")
        return 0
    manifest = execute(plan, settings, run)
    failed = [stage.name for stage in plan.selected if manifest.stages[stage.name].state != "done"]
    for name in failed:
        error = (manifest.stages[name].error or "").strip().splitlines()[-1:]
        print(f"{name} {manifest.stages[name].state}: {''.join(error)}")
    print(f"tables in {run.location}/tables, figures in {run.location}/figures; report: {run.location}/report.html")
    return 1 if failed else 0


if __name__ == "__main__":
    status = main()
    if status == INTERRUPTED:  # without waiting for what threads still compute; every file is whole or not there
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
