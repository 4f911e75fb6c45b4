"""Which stage is done when: each as soon as what it needs is done, all trainings as one stream of trials.

Trainings run in Ray; a stage's tables are written in a thread of this process while the others train.
"""

from __future__ import annotations

import threading
import time
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from orchestrator.cluster import Cluster
from orchestrator.ledger import Ledger
from orchestrator.manifest import Manifest, StageState
from orchestrator.plan import Plan
from orchestrator.progress import Bar, Progress, duration
from orchestrator.results import Run, Unusable, as_parquet, digest
from orchestrator.stage import Context, Record, Stage, StageFailed

if TYPE_CHECKING:
    from trainables.fashion_mnist import FashionMnist


class Flow:
    """The stages that are left, begun as soon as they can be; the source of Tune's trials."""

    def __init__(
        self,
        plan: Plan,
        run: Run,
        manifest: Manifest,
        progress: Progress,
        data: FashionMnist | None,
    ) -> None:
        self.plan, self.run, self.manifest, self.progress, self.data = plan, run, manifest, progress, data
        self.cluster: Cluster | None = None
        """Where trainings run, once there are some."""
        self._waiting = list(plan.to_do)
        self._begun: set[str] = set()
        """Stages that are being done."""
        self._ledgers: dict[Ledger, _Doing] = {}
        self.manifest_lock = threading.Lock()
        self._broken: Exception | None = None
        """Why nothing more can be trained with Ray Tune."""
        self._halted: Exception | None = None
        """Why nothing more can be done at all."""

    def train(self, cluster: Cluster, data: FashionMnist) -> None:
        """Run the trainings of all stages."""
        from orchestrator.trials import run_trials

        trainings = {stage.name: stage.training for stage in self.plan.to_do if stage.training and not stage.shared}
        if self.exhausted:
            return
        try:
            run_trials(self, trainings, cluster, data, self.run)
        except Exception as error:
            self.run.check_space()  # what Ray itself cannot write is an exception of any kind
            self._broken = error
            for ledger in [it for it in self._ledgers if it.num_missing and not _shared(it)]:
                self._give_up(ledger, error)
        self._go_on_unless_halted()

    def train_shared(self, cluster: Cluster, data: FashionMnist) -> None:
        """Run the trainings that several workers share, a stage at a time, now that the cores are free."""
        from orchestrator.ddp import train_together

        while any(stage.shared for stage in self._waiting) or any(map(_unfinished, self._ledgers)):
            self._begin_what_can_be()
            for ledger, doing in list(self._ledgers.items()):
                if _unfinished(ledger):
                    assert doing.stage.training is not None
                    try:
                        train_together(ledger, doing.stage.training, cluster, data, self.run)
                    except Exception as error:
                        self._give_up(ledger, error)
            self._go_on_unless_halted()
            time.sleep(0.05)

    def _give_up(self, ledger: Ledger, error: Exception) -> None:
        doing = self._ledgers.pop(ledger)
        doing.crash(error)
        self._begun.discard(doing.stage.name)

    @property
    def ledgers(self) -> list[Ledger]:
        """Of the stages that have begun to train, or have trained."""
        return list(self._ledgers)

    @property
    def num_missing(self) -> int:
        """Trainings that are to be done now or later, as far as it is known which there are."""
        return sum(ledger.num_missing for ledger in self._ledgers)

    def do_without_training(self) -> None:
        """Do what can be done until something is to be trained, or nothing is left."""
        while not self.num_missing and (self._waiting or self._begun):
            self._begin_what_can_be()
            self._go_on_unless_halted()
            time.sleep(0.05)
        self._go_on_unless_halted()

    def halt(self, error: Exception) -> None:
        """Nothing more can be done, for this reason."""
        self._halted = self._halted or error

    @property
    def halted(self) -> bool:
        """Whether what runs is to be given up."""
        return self._halted is not None

    def _go_on_unless_halted(self) -> None:
        if self._halted is not None:
            raise self._halted

    def next(self) -> Ledger | None:
        """The ledger whose trial is to start now: of the stage that most others wait for, or that takes longest."""
        if not self.halted:
            self._begin_what_can_be()

        def urgency(ledger: Ledger) -> tuple[int, float]:
            return self._num_hanging_on(ledger.context.stage), ledger.longest

        ready = [] if self.halted else [it for it in self._ledgers if it.waiting and not _shared(it)]
        return max(ready, key=urgency, default=None)

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left to train before what workers share."""
        if self.halted:
            return True
        waiting = any(s.training and not s.shared and not self._hangs_on_shared(s) for s in self._waiting)
        return not waiting and not any(ledger.num_missing for ledger in self._ledgers if not _shared(ledger))

    def _hangs_on_shared(self, stage: Stage) -> bool:
        left = [*self._waiting, *(ledger.context.stage for ledger in self._ledgers if _unfinished(ledger))]
        needed = [other for other in left if other.name in stage.needs(self.plan.settings)]
        return any(other.shared or self._hangs_on_shared(other) for other in needed)

    def _num_hanging_on(self, stage: Stage) -> int:
        settings = self.plan.settings
        direct = [other for other in self._waiting if stage.name in other.needs(settings)]
        return len(direct) + sum(self._num_hanging_on(other) for other in direct)

    def _begin_what_can_be(self) -> None:
        for stage in list(self._waiting):
            unfinished = self._begun | {other.name for other in self._waiting if other is not stage}
            if not unfinished & (unfinished if stage.gathers else {*stage.needs(self.plan.settings)}):
                self._waiting.remove(stage)
                self._begin(stage)

    def _begin(self, stage: Stage) -> None:
        doing = _Doing(stage, self)
        if not doing.begin():
            return
        self._begun.add(stage.name)

        def finish(records: dict[str, Record]) -> None:
            def work() -> None:
                try:
                    doing.finish(records)
                except Exception as error:
                    self.halt(error)
                finally:
                    self._begun.discard(stage.name)

            # A daemon: what is computed here does not hold up an interrupted process.
            threading.Thread(target=work, name=stage.name, daemon=True).start()

        if stage.trainings is None:
            finish({})
            return
        try:
            ledger = Ledger(doing.context, stage.trainings(doing.context), bar=doing.bar, when_done=finish)
            if ledger.num_missing and self._broken and not stage.shared:
                raise self._broken
            self._ledgers[ledger] = doing
        except Exception as error:
            doing.crash(error)
            self._begun.discard(stage.name)


def _shared(ledger: Ledger) -> bool:
    return ledger.context.stage.shared


def _unfinished(ledger: Ledger) -> bool:
    return _shared(ledger) and ledger.num_missing > 0


class _Doing:
    """A stage that is being done: what it is given, and its line in the manifest."""

    def __init__(self, stage: Stage, flow: Flow) -> None:
        self.stage, self._flow, self._plan = stage, flow, flow.plan
        fingerprint = flow.plan.fingerprint(stage, flow.manifest)
        self.context = Context(stage, flow.plan.settings, flow.run, flow.manifest, fingerprint, flow.data)
        self._started, self._clock = datetime.now(UTC), time.monotonic()
        self._training_seconds = 0.0
        units = stage.work(flow.plan.settings).units if stage.work else 0
        self.bar = Bar(flow.progress, stage.name, units=units)

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
            lost = [key for key, record in records.items() if record["lost"]]
            self.end("failed" if lost else "done", f"their workers were lost: {', '.join(lost)}" if lost else None)

    def crash(self, error: Exception) -> None:
        """It ended in an exception that nobody foresaw, or in one that ends the whole run."""
        if isinstance(error, Unusable):
            raise error
        self.end("failed", "".join(traceback.format_exception(error)))

    def end(self, state: Literal["done", "failed", "blocked"], error: str | None = None) -> None:
        self._enter(state, error)
        seconds = duration(time.monotonic() - self._clock)
        self.bar.over(f"done in {seconds}" if error is None else f"{state}: {error.strip().splitlines()[-1]}")

    def _enter(self, state: Literal["done", "failed", "running", "blocked"], error: str | None = None) -> None:
        run, manifest = self.context.run, self.context.manifest
        slots = self._flow.cluster.slots if self._flow.cluster and self.stage.training else 0
        with self._flow.manifest_lock:
            manifest.stages[self.stage.name] = StageState(
                state=state,
                fingerprint=self.context.fingerprint,
                started=self._started.isoformat(),
                seconds=time.monotonic() - self._clock,
                training_seconds=self._training_seconds,
                slots=slots,
                error=error,
                files=self.context.files,
            )
            run.write_manifest(manifest)
            write_stages(run, manifest, self._plan)


def write_stages(run: Run, manifest: Manifest, plan: Plan) -> None:
    """Write the table stages, which tells what the manifest does, unless it stands as it should."""
    known = [stage.name for stage in plan.stages if stage.name in manifest.stages]
    rows = [{"stage": name, **manifest.stages[name].row()} for name in known]
    name, content = "tables/stages.parquet", as_parquet("stages", rows, manifest, "")
    if any(run.differing({name: digest(content)})):
        run.write(name, content)
