"""Does what a plan has left: stages that can be done side by side train as one set of trials."""

from __future__ import annotations

import os
import tempfile
import time
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from orchestrator.command_line import CommandLine
from orchestrator.config import UserError
from orchestrator.plan import Plan
from orchestrator.progress import Bar, Progress, duration
from orchestrator.provenance import git_commit, versions
from orchestrator.results import Manifest, Run, StageState
from orchestrator.stage import Context, Record, Stage, StageFailed
from trainables.fashion_mnist import CHECKSUM

if TYPE_CHECKING:
    from orchestrator.cluster import Cluster
    from trainables.fashion_mnist import FashionMnist


def execute(plan: Plan, settings: CommandLine, run: Run) -> Manifest:
    """Do the stages in the order of their needs; the manifest then says how each of them went.

    Raises:
        UserError: the run folder cannot be written, the images cannot be had, or no Ray answers.
    """
    # What stages compute here must not have torch's threads spin for cores that trainings use.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    manifest = plan.manifest or Manifest.empty(settings.run_name, CHECKSUM)
    manifest.preset, manifest.seed = settings.preset, settings.seed
    manifest.settings = settings.model_dump(mode="json", exclude={"stages", "force", "config"})
    manifest.versions, manifest.git_commit = versions(), git_commit()
    run.write_manifest(manifest)
    with ExitStack() as stack:
        progress = stack.enter_context(Progress())
        for stage in plan.selected:
            if stage not in plan.to_do:
                progress.say(f"{stage.name}: done before")
        data = cluster = None
        if any(stage.train or stage.images for stage in plan.to_do):
            data = _load_images(settings)
        if any(stage.train for stage in plan.to_do):
            cluster = _connect(stack, settings, run, progress)
            manifest.hardware = cluster.hardware
        writer = ThreadPoolExecutor(max_workers=1)
        stack.callback(writer.shutdown, wait=False, cancel_futures=True)
        left = list(plan.to_do)
        while left:
            names = {stage.name for stage in left}
            ready = [stage for stage in left if not names & {*stage.needs(settings)} and not stage.gathers] or left[
                :1
            ]
            wave = [_Doing(stage, plan, run, manifest, progress, data, cluster) for stage in ready]
            _do(wave, cluster, writer)
            left = [stage for stage in left if stage not in ready]
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


def _connect(stack: ExitStack, settings: CommandLine, run: Run, progress: Progress) -> Cluster:
    from orchestrator.cluster import connect

    progress.say("Ray: connecting")
    if run.is_local:
        log_file = Path(run.absolute, "ray", "driver.log")
    else:
        log_file = Path(tempfile.gettempdir(), f"{settings.run_name}-ray-driver.log")
    cluster = stack.enter_context(connect(settings.address, settings.resources, log_file=log_file))
    where = f"; dashboard {cluster.dashboard_url} (its token: ray get-auth-token)" if cluster.dashboard_url else ""
    progress.say(f"Ray: {cluster.slots} trainings at once{where}")
    return cluster


class _Doing:
    """A stage that is being done: what it is given, and its line in the manifest."""

    def __init__(
        self,
        stage: Stage,
        plan: Plan,
        run: Run,
        manifest: Manifest,
        progress: Progress,
        data: FashionMnist | None,
        cluster: Cluster | None,
    ) -> None:
        self.stage, self._plan = stage, plan
        self.context = Context(stage, plan.settings, run, manifest, plan.fingerprint(stage, manifest), data)
        self._slots = cluster.slots if cluster and stage.train else 0
        self._started, self._clock = datetime.now(UTC), time.monotonic()
        self._training_seconds = 0.0
        work = stage.work(plan.settings) if stage.work else None
        self.bar = Bar(progress, stage.name, units=work.units if work else 0, epochs=work.epochs if work else 0)

    def begin(self) -> bool:
        """Whether it can be done: what it needs is there."""
        stages = self.context.manifest.stages
        missing = [name for name in self.stage.needs(self._plan.settings) if stages[name].state != "done"]
        if missing:
            self.end("blocked", f"needs {', '.join(missing)}, which failed")
            return False
        if self.stage.name in self._plan.settings.force and self._plan.was_done(self.stage):
            self.context.run.delete_folder(self.context.records)
        self._enter("running")
        return True

    def finish(self, records: dict[str, Record]) -> None:
        """All is trained: let the stage write its tables."""
        self._training_seconds = sum(record["seconds"] for record in records.values())
        try:
            self.stage.finish(self.context, records)
        except StageFailed as error:
            self.end("failed", str(error))
        except Exception as error:
            self.crash(error)
        else:
            self.end("done")

    def crash(self, error: Exception) -> None:
        """It ended in an exception that nobody foresaw."""
        self.end("failed", "".join(traceback.format_exception(error)))

    def end(self, state: Literal["done", "failed", "blocked"], error: str | None = None) -> None:
        self._enter(state, error)
        seconds = duration(time.monotonic() - self._clock)
        self.bar.over(f"done in {seconds}" if error is None else f"{state}: {error.strip().splitlines()[-1]}")

    def _enter(self, state: Literal["done", "failed", "running", "blocked"], error: str | None = None) -> None:
        run, manifest = self.context.run, self.context.manifest
        manifest.stages[self.stage.name] = StageState(
            state=state,
            fingerprint=self.context.fingerprint,
            started=self._started.isoformat(),
            seconds=time.monotonic() - self._clock,
            training_seconds=self._training_seconds,
            slots=self._slots,
            error=error,
        )
        run.write_manifest(manifest)
        rows = [{"stage": name, **entry.row()} for name, entry in manifest.stages.items()]
        run.write_table("stages", rows, manifest, self.context.fingerprint)


def _do(wave: list[_Doing], cluster: Cluster | None, writer: ThreadPoolExecutor) -> None:
    """Train for all stages of the wave at once; each writes its tables while the others still train."""
    from orchestrator.ledger import Ledger
    from orchestrator.trials import run_trials

    ledgers: dict[_Doing, Ledger] = {}
    written: list[Future[None]] = []
    for one in wave:
        if not one.begin():
            continue
        if one.stage.train is None:
            one.finish({})
            continue

        def when_done(records: dict[str, Record], one: _Doing = one) -> None:
            written.append(writer.submit(one.finish, records))

        try:
            ledgers[one] = Ledger(one.context, one.stage.train(one.context), bar=one.bar, when_done=when_done)
        except Exception as error:
            one.crash(error)
    # Early stopping compares trials by one metric, so a stage that wants it trains by itself.
    alone = [[one] for one, ledger in ledgers.items() if ledger.trainings.asha]
    together = [one for one, ledger in ledgers.items() if not ledger.trainings.asha]
    for group in [*alone, together]:
        if any(ledgers[one].num_missing for one in group):
            assert cluster is not None
            context = group[0].context
            try:
                run_trials([ledgers[one] for one in group], cluster, context.data, context.run)
            except Exception as error:
                for one in group:
                    if ledgers[one].num_missing:
                        one.crash(error)
    for future in written:
        future.result()
