"""A stage that is being done: its trials as they run, then its results as they are written."""

from __future__ import annotations

import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from orchestrator.engine.book import Book
from orchestrator.engine.checkpoint import Rows
from orchestrator.engine.estimate import pace_of
from orchestrator.engine.imports import import_all
from orchestrator.engine.manifest import Manifest, StageState, State, told
from orchestrator.engine.progress import Progress, Standing, duration
from orchestrator.engine.provenance import Made, distinct, made
from orchestrator.engine.records import Outcome, Parts, Record, Trial, digest_of
from orchestrator.engine.settings import UserError
from orchestrator.engine.stage_files import StageFiles
from orchestrator.engine.study import Study
from orchestrator.engine.tally import Tally
from orchestrator.engine.worker import Job

_ENTERING = threading.Lock()
"""The manifest takes one entry at a time."""


class StageRun:
    """One stage of a run, all of whose needs are done: its trials by turns asked for and told, then its results.

    How it goes is entered into the manifest and shown as progress. Once every trial has its record, `when_trained` is
    called.
    """

    def __init__(
        self, name: str, book: Book, manifest: Manifest, progress: Progress, when_trained: Callable[[StageRun], None]
    ) -> None:
        self.name, self._book, self._manifest, self._progress = name, book, manifest, progress
        self._when_trained = when_trained
        self.stage, self.context, self.records = book.stages[name], book.context(name), book.records(name)
        self.resources, self.own = book.settings.resources, self.stage.own(book.settings)
        self.study = Study((), lambda trial: None, lambda trial: trial)
        self.longest = 0.0
        """Cost of the longest trial that waited at the start."""
        self._inputs = ""
        self._modules = book.suite.modules_of(self.stage, book.settings)
        self.prepared = False
        """Whether trainings can start."""
        self._started, self._clock = datetime.now(UTC), time.monotonic()
        self._tally = Tally(self.stage.metric)
        self._num_lost: Counter[tuple[str, str]] = Counter()
        """By trial and node."""
        self._checkpointed: set[str] = set()
        """Addresses of trials that an earlier worker may have left a checkpoint of."""
        self._files = StageFiles(name, book, manifest, self._modules, progress.say)

    def begin(self, *, anew: bool) -> None:
        """Find out what there is to train; `anew` forgets what is recorded."""
        self._book.forget(self.name)
        self._checkpointed = set(self.records.checkpoints())
        if anew:
            addresses = [trial.address for trial in self._book.study(self.name).trials]
            list(self.records.folder.each(self.records.delete, addresses))
            self._book.forget(self.name)
        self.study = self._book.study(self.name)
        for record in self.study.records.values():
            self._tally.recorded(record)
        self.longest = max((trial.cost for trial in self.study.waiting), default=0.0)
        self._progress.start(self.name, self.study.num_trials, self.standing())
        if self.study.num_missing:
            self._inputs = self.context.inputs_address
        self.prepared = not self._inputs
        self.enter("running")
        if not self.study.num_missing:
            self._when_trained(self)

    def prepare(self) -> None:
        """Make what the trainings are given, which may take a while; until it is there, none can start."""
        if not self.prepared:
            import_all(self.stage)
            self.context.inputs  # noqa: B018  (computed here, for the workers to read)
            self.prepared = True

    def start(self) -> Job:
        """Take the first waiting trial, for a worker to train."""
        return self._job(self.study.ask())

    def start_alike(self) -> list[Job]:
        """The same, with others that a worker can train as one with it, as far as the settings let."""
        return [self._job(trial) for trial in self.study.ask_alike(self.stage.alike, self.resources.ensemble)]

    def _job(self, trial: Trial[Any]) -> Job:
        self._tally.start(trial, queued=self.stage.shared)
        config = trial.config.model_dump(mode="json") | {"seed": trial.seed}
        self._book.tracking.started(f"{self.name}/{trial.key}", config)
        self._progress.show(self.name, self.standing())
        weak, begun = self.stage.stops_weak_trials(self.own), trial.address in self._checkpointed
        return Job(self.stage, trial, self._inputs, self.resources.stuck_seconds, self._modules, weak, begun)

    def report(self, key: str, rows: Rows, said: Iterable[str] = ()) -> None:
        """Take note of a running trial's epochs, of which some may be known, and of lines for the user."""
        if self._tally.report(key, rows):
            for line in said:  # Tune tells the last news twice
                self._progress.say(f"{self.name}: {line}")
            self._book.tracking.reported(f"{self.name}/{key}", self._tally.rows[key])
        self._progress.show(self.name, self.standing())

    def lost(self, key: str, why: str = "", node: str = "", *, forgiven: bool = False) -> None:
        """A running trial's worker was lost: it waits again, unless that happened too often on the same node.

        A node that is at fault for good does not use up the retries on others; one that is left out for it, none.
        """
        trial, self._num_lost[key, node] = self.study.running[key], self._num_lost[key, node] + 1
        if forgiven or self._num_lost[key, node] <= self.resources.retries:
            self._tally.end(key)
            self._checkpointed.add(trial.address)
            self.study.give_back(key)
            if why:
                self._progress.say(f"{self.name}: {key} is taken up again: {why}")
        else:
            number = sum(times for (lost, _), times in self._num_lost.items() if lost == key)
            why = why or f"see {self._book.run.location}/ray"
            self.over(key, None, f"its worker was lost {number} times; {why}", lost=True)

    def over(self, key: str, rows: Rows | None, error: str | None, **more: Any) -> None:
        """Record a trial that has ended, as `ended` describes it."""
        record, checkpointed = self.ended(key, rows, error, **more)
        self.records.save(record, checkpointed=checkpointed)
        self.recorded(record)

    def ended(
        self,
        key: str,
        rows: Rows | None,
        error: str | None,
        *,
        made_with: Made | None = None,
        lost: bool = False,
        num_workers: int = 1,
        parts: Parts = (),
        checkpointed: bool = True,
    ) -> tuple[Record[Any], bool]:
        """The record of a running trial that has ended, to be saved, and whether it may have a checkpoint.

        Args:
            key: the trial's.
            rows: its epochs, where they are not those reported.
            error: why it failed, if it did.
            made_with: what its worker said.
            lost: whether the machine was at fault.
            num_workers: how many shared the training.
            parts: the files that it left.
            checkpointed: whether this worker may have left a checkpoint.
        """
        trial, rows = self.study.running[key], self._tally.rows[key] if rows is None else rows
        state: Outcome = "failed" if error else "complete" if len(rows) == trial.epochs else "pruned"
        parts = parts if state == "complete" else ()
        record = Record(
            key,
            trial.config,
            trial.seed,
            state,
            rows,
            error or None,
            lost=lost,
            num_workers=num_workers,
            parts=tuple(ending for ending, _ in parts),
            digest=digest_of(rows, parts),
            made=made_with or Made(),
            ended=datetime.now(UTC).isoformat(),
            world=trial.world,
            address=trial.address,
        )
        return record, checkpointed or trial.address in self._checkpointed

    def recorded(self, record: Record[Any]) -> None:
        """The record of a running trial is written."""
        self._tally.end(record.key)
        self._tally.recorded(record)
        self.study.tell(record)
        self._book.tracking.ended(f"{self.name}/{record.key}", record.epochs, failed=record.state == "failed")
        value = record.epochs[-1].get(self.stage.metric) if record.epochs else None
        self._progress.trained(self.name, record.key, record.state, value, record.error, self.standing())
        if not self.study.num_missing:
            self._when_trained(self)

    def standing(self) -> Standing:
        """How far the trainings are; may be asked for by any thread."""
        return self._tally.standing(self.study.num_trials)

    def enter(self, state: State, error: str | None = None) -> None:
        """Write how the stage is into the manifest and the table stages."""
        trials, records = self.study.trials, self.study.records
        trained = [(trial, records[trial.key]) for trial in trials if trial.key in records]
        entry = StageState(
            state=state,
            fingerprint=self._book.fingerprints[self.name],
            settings=told(self._book.settings),
            made=made(self._modules),
            trained=distinct(it.made for it in records.values() if it.made != Made()),
            started=self._started.isoformat(),
            seconds=time.monotonic() - self._clock,
            training_seconds=sum(record.seconds for record in records.values()),
            pace=pace_of((it.cost, record.seconds * record.num_workers) for it, record in trained if record.last),
            slots=self._book.slots if self.stage.config else 0,
            error=error,
            records=tuple(trial.address for trial in trials),
            files=self._files.digests,
            captions=self._files.captions,
            warnings=tuple(self._files.warnings),
        )
        with _ENTERING:
            self._manifest.stages[self.name] = entry
            self._book.run.write_manifest(self._manifest)
            self._book.write_stages(self._manifest)
        if state != "running":
            self._progress.over(self.name, f"{state}: {entry.why}" if error else f"done in {duration(entry.seconds)}")

    def finish(self) -> None:
        """All is trained: write the stage's results, then its figures, unless a table failed."""
        records = self.study.in_order()
        import_all(self.stage)
        try:
            self._files.write(self.stage.results(self.context, records))
        except Exception as error:
            self.crash(error)
        else:
            self._files.draw()
            lost = [record.key for record in records if record.lost]
            why = f"their workers were lost: {', '.join(lost)}" if lost else self.stage.failure(records)
            self.enter("failed" if why else "done", why)

    def crash(self, error: Exception) -> None:
        """It ended in an exception that nobody foresaw, or in one that ends the whole run."""
        if isinstance(error, UserError):
            raise error
        self.enter("failed", "".join(traceback.format_exception(error)))
