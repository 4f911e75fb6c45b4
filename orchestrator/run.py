"""The command line: `python -m orchestrator.run [STAGE ...]`, in the order of the paper."""

from __future__ import annotations

import shlex
import signal
import sys
import time
import traceback
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.config import CommandLine, UserError, parse, similar
from orchestrator.plan import Plan, print_plan, print_status
from orchestrator.progress import Progress, duration
from orchestrator.provenance import git_commit, versions
from orchestrator.results import Manifest, Run, StageState
from orchestrator.stage import Context, Stage, StageFailed
from orchestrator.stages import kfold, refit, report, search

if TYPE_CHECKING:
    from orchestrator.cluster import Cluster
    from trainables.fashion_mnist import FashionMnist

STAGES: tuple[Stage, ...] = (
    search.STAGE,
    kfold.STAGE,
    refit.STAGE,
    report.STAGE,
)
COMMANDS = ("plan", "status")


def main(arguments: list[str] | None = None) -> int:
    """Run what the arguments ask for; the exit status: 0 done, 1 failed, 2 the user's mistake, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        settings = parse(arguments)
        command, names = _words(settings)
        run = Run(_location(settings))
        plan = Plan.make(STAGES, names, settings, run.manifest())
        if command == "plan":
            print_plan(plan, settings, run)
            return 0
        if command == "status":
            print_status(plan, run)
            return 0
        return _execute(plan, settings, run)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        command_line = shlex.join(["python", "-m", "orchestrator.run", *arguments])
        print(f"\ninterrupted; what was finished is kept. To go on: {command_line}", file=sys.stderr)
        return 130


def _words(settings: CommandLine) -> tuple[str, list[str]]:
    """The command, and the names of the stages asked for."""
    words = list(settings.stages)
    command = words.pop(0) if words and words[0] in COMMANDS else "run"
    known = [stage.name for stage in STAGES]
    for name in [*words, *settings.force]:
        if name not in {"all", *known}:
            hint = similar(name, ["all", *known, *COMMANDS])
            raise UserError(f"{name!r} is no stage{hint}; there are: all, {', '.join(known)}")
    names = known if not words or "all" in words else words
    return command, [*names, *settings.force]


def _location(settings: CommandLine) -> str:
    return f"{settings.runs_dir.rstrip('/')}/{settings.run_name}"


def _execute(plan: Plan, settings: CommandLine, run: Run) -> int:
    """Do what the plan has left, each stage in its turn, then say what came of it."""
    from trainables.fashion_mnist import CHECKSUM

    manifest = plan.manifest or Manifest(
        name=settings.run_name,
        preset=settings.preset,
        seed=settings.seed,
        settings={},
        data_checksum=CHECKSUM,
        versions={},
        git_commit=None,
        hardware={},
    )
    if not plan.to_do:
        print(f"everything is done: {run.location}/report.html (--force STAGE does a stage again)")
        return 0
    manifest.preset, manifest.seed = settings.preset, settings.seed
    manifest.settings = settings.model_dump(mode="json", exclude={"stages", "force", "config"})
    manifest.versions, manifest.git_commit = versions(), git_commit()
    run.write_manifest(manifest)
    with ExitStack() as stack:
        progress = stack.enter_context(Progress())
        data = cluster = None
        if any(stage.work for stage in plan.to_do):
            data = _load_images(settings)
            progress.say("Ray: connecting")
            cluster = _connect(stack, settings, run, progress)
            manifest.hardware = cluster.hardware
        for stage in plan.stages:
            if stage in plan.to_do:
                _do(stage, plan, settings, run, manifest, progress, cluster, data)
            elif stage in plan.selected:
                progress.say(f"{stage.name}: done before")
    return _summary(plan, run, manifest)


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


def _connect(stack: ExitStack, settings: CommandLine, run: Run, progress: Progress) -> Cluster:
    from orchestrator.cluster import connect

    log_file = Path(run.absolute if run.is_local else ".", "ray", "driver.log")
    cluster = stack.enter_context(connect(settings.address, settings.resources, log_file=log_file))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ray.init puts a handler of its own
    where = f"; dashboard {cluster.dashboard_url} (its token: ray get-auth-token)" if cluster.dashboard_url else ""
    progress.say(f"Ray: {cluster.slots} trainings at once{where}")
    return cluster


def _do(
    stage: Stage,
    plan: Plan,
    settings: CommandLine,
    run: Run,
    manifest: Manifest,
    progress: Progress,
    cluster: Cluster | None,
    data: FashionMnist | None,
) -> None:
    """Run one stage and write in the manifest and in the table stages how that went."""
    fingerprint = plan.fingerprint(stage, manifest)
    context = Context(stage, settings, run, manifest, fingerprint, progress, cluster, data)
    started = datetime.now(UTC).isoformat()
    clock = time.monotonic()

    def enter(state: Any, error: str | None = None) -> None:
        manifest.stages[stage.name] = StageState(
            state=state,
            fingerprint=fingerprint,
            started=started,
            seconds=time.monotonic() - clock,
            training_seconds=context.training_seconds,
            slots=cluster.slots if cluster and stage.work else 0,
            error=error,
        )
        run.write_manifest(manifest)
        rows = [{"stage": name, **state.row()} for name, state in manifest.stages.items()]
        run.write_table("stages", rows, manifest, fingerprint)

    work = stage.work(settings) if stage.work else None
    progress.stage(stage.name, work.units if work else 0, work.epochs if work else 0)
    missing = [name for name in stage.needs(settings) if manifest.stages[name].state != "done"]
    if missing:
        enter("blocked", f"needs {', '.join(missing)}, which failed")
        progress.stage_finished(f"blocked: needs {', '.join(missing)}")
        return
    if stage.name in settings.force and plan.was_done(stage):
        run.delete_folder(context.records)
    enter("running")
    try:
        stage.run(context)
    except StageFailed as error:
        enter("failed", str(error))
        progress.stage_finished(f"failed: {error}")
    except Exception as error:
        enter("failed", "".join(traceback.format_exception(error)))
        progress.stage_finished(f"failed: {type(error).__name__}: {error}")
    else:
        enter("done")
        progress.stage_finished(f"done in {duration(time.monotonic() - clock)}")


def _summary(plan: Plan, run: Run, manifest: Manifest) -> int:
    failed = [stage.name for stage in plan.selected if manifest.stages[stage.name].state != "done"]
    for name in failed:
        error = (manifest.stages[name].error or "").strip().splitlines()[-1:]
        print(f"{name} {manifest.stages[name].state}: {''.join(error)}")
    print(f"tables: {run.location}/tables   figures: {run.location}/figures   report: {run.location}/report.html")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
