"""A stage that is being done: its trials as they run, then its results as they are written."""

from __future__ import annotations

import io
import json
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orchestrator.engine.book import Book
from orchestrator.engine.folder import digest
from orchestrator.engine.imports import import_all
from orchestrator.engine.manifest import Manifest, StageState, State
from orchestrator.engine.progress import Progress, Standing, duration
from orchestrator.engine.provenance import Made, distinct, made
from orchestrator.engine.records import Outcome, Record, Rows
from orchestrator.engine.results import as_frame, check_own
from orchestrator.engine.settings import RunSettings, UserError
from orchestrator.engine.stage import Model, Picture, Table, Tables
from orchestrator.engine.study import Study
from orchestrator.engine.tables import STAGES, as_parquet
from orchestrator.engine.worker import Job

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DRAWING = threading.Lock()
"""matplotlib draws one figure at a time."""
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
        self._modules = book.suite.modules_of(self.stage)
        self._started, self._clock = datetime.now(UTC), time.monotonic()
        self._rows: dict[str, Rows] = {}
        """Epochs of the running trials."""
        self._num_lost: Counter[str] = Counter()
        self._num_epochs, self._trained = 0, 0.0
        """Epochs of this session, and how many trainings these make, but for the first."""
        self._first_epoch = 0.0  # when it was heard of
        self._latest: float | None = None
        self._files: dict[str, str] = {}
        self._captions: dict[str, str] = {}
        self._warnings: list[str] = []

    def begin(self, *, anew: bool) -> None:
        """Find out what there is to train, and make what the trainings are given; `anew` forgets what is recorded."""
        self._book.forget(self.name)
        self.records.set_damaged_checkpoints_aside()
        if anew:
            for trial in self._book.study(self.name).trials:
                self.records.delete(trial.address)
            self._book.forget(self.name)
        self.study = self._book.study(self.name)
        self.longest = max((trial.cost for trial in self.study.waiting), default=0.0)
        self._progress.start(self.name, self.study.num_trials, self.standing())
        if self.study.num_missing and self.context.inputs_address:
            self._inputs = self.context.inputs_address
            import_all(self.stage)
            self.context.inputs  # noqa: B018  (computed here, for the workers to read)
        self.enter("running")
        if not self.study.num_missing:
            self._when_trained(self)

    def start(self) -> Job:
        """Take the first waiting trial, for a worker to train."""
        trial = self.study.ask()
        self._rows[trial.key] = []
        self._progress.show(self.name, self.standing())
        weak = self.stage.stops_weak_trials(self.own)
        return Job(self.stage, trial, self._inputs, self.resources.stuck_seconds, self._modules, weak)

    def report(self, key: str, rows: Rows) -> None:
        """Take note of a running trial's epochs so far."""
        if self._num_epochs:
            self._trained += (len(rows) - len(self._rows[key])) / self.study.running[key].epochs
        else:
            self._first_epoch = time.monotonic()
        self._rows[key] = rows
        self._num_epochs += 1
        self._latest = rows[-1].get(self.stage.metric, self._latest)
        self._progress.show(self.name, self.standing())

    def lost(self, key: str) -> None:
        """A running trial's worker was lost: it waits again, unless that happened too often."""
        self._num_lost[key] += 1
        if self._num_lost[key] <= self.resources.retries:
            del self._rows[key]
            self.study.give_back(key)
        else:
            error = f"its worker was lost {self._num_lost[key]} times; see {self._book.run.location}/ray"
            self.over(key, None, error, lost=True)

    def over(
        self,
        key: str,
        rows: Rows | None,
        error: str | None,
        *,
        made_with: Made | None = None,
        lost: bool = False,
        num_workers: int = 1,
    ) -> None:
        """Record a trial that has ended: its epochs, where they are not those reported, and why it failed, if it did.

        `made_with` is what its worker said, `lost` that the machine was at fault, `num_workers` how many shared it.
        """
        trial, reported = self.study.running[key], self._rows.pop(key)
        rows = reported if rows is None else rows
        state: Outcome = "failed" if error else "complete" if len(rows) == trial.epochs else "pruned"
        parts = self.records.parts(trial.address) if state == "complete" else ()
        record = Record(
            key,
            trial.config,
            trial.seed,
            state,
            rows,
            error or None,
            lost=lost,
            num_workers=num_workers,
            parts=parts,
            digest=self.records.digest(trial.address, rows, parts),
            made=made_with or Made(),
            world=trial.world,
            address=trial.address,
        )
        self.records.save(record)
        self.study.tell(record)
        value = rows[-1].get(self.stage.metric) if rows else None
        self._progress.trained(self.name, key, state, value, record.error, self.standing())
        if not self.study.num_missing:
            self._when_trained(self)

    def standing(self) -> Standing:
        """How far the trainings are; may be asked for by any thread."""
        records, running = list(self.study.records.values()), list(self.study.running.values())
        states = Counter(record.state for record in records)
        ended = [record.epochs[-1] for record in records if record.epochs and record.state != "failed"]
        begun = sum(len(self._rows.get(trial.key, ())) / trial.epochs for trial in running)
        left = self.study.num_trials - len(records) - begun
        training_for = time.monotonic() - self._first_epoch
        return Standing(
            trainings={"waiting": self.study.num_missing - len(running), "running": len(running)}
            | {state: states[state] for state in ("complete", "pruned", "failed")},
            share=(len(records) + begun) / max(1, self.study.num_trials),
            num_epochs=self._num_epochs,
            latest=self._latest,
            best=min((row[self.stage.metric] for row in ended if self.stage.metric in row), default=None),
            seconds_left=left * training_for / self._trained if self._trained > 0 and left > 0 else None,
        )

    def enter(self, state: State, error: str | None = None) -> None:
        """Write how the stage is into the manifest and the table stages."""
        entry = StageState(
            state=state,
            fingerprint=self._book.fingerprints[self.name],
            settings=told(self._book.settings),
            made=made(self._modules),
            trained=distinct(it.made for it in self.study.records.values() if it.made != Made()),
            started=self._started.isoformat(),
            seconds=time.monotonic() - self._clock,
            training_seconds=sum(record.seconds for record in self.study.records.values()),
            slots=self._book.slots if self.stage.config else 0,
            error=error,
            records=tuple(trial.address for trial in self.study.trials),
            files=self._files,
            captions=self._captions,
            warnings=tuple(self._warnings),
        )
        with _ENTERING:
            self._manifest.stages[self.name] = entry
            self._book.run.write_manifest(self._manifest)
            write_stages(self._book, self._manifest)
        if state != "running":
            self._progress.over(self.name, f"{state}: {entry.why}" if error else f"done in {duration(entry.seconds)}")

    def finish(self) -> None:
        """All is trained: write the stage's results, then its figures, unless a table failed."""
        records, fingerprint, tables = self.study.in_order(), self._book.fingerprints[self.name], {}
        import_all(self.stage)
        try:
            for part in self.stage.results(self.context, records):
                if isinstance(part, Table):
                    attributes = self._manifest.attributes(part.name, fingerprint)
                    content = as_parquet(self.stage.schemas[part.name], part.rows, attributes)
                    self._write(f"tables/{part.name}.parquet", content)
                    tables[part.name] = as_frame(content)
                elif isinstance(part, Model):
                    described = json.dumps(part.description | {"fingerprint": fingerprint}, indent=2)
                    self._write(f"models/{part.name}.safetensors", self.context.weights(part.record))
                    self._write(f"models/{part.name}.json", described.encode())
                else:
                    self._write(part.name, part.content)
            missing = self.stage.schemas.keys() - tables.keys()
            assert not missing, f"the stage gave no table {', '.join(missing)}"
        except Exception as error:
            self.crash(error)
        else:
            self._draw(tables)
            lost = [record.key for record in records if record.lost]
            why = f"their workers were lost: {', '.join(lost)}" if lost else self.stage.failure(records)
            self.enter("failed" if why else "done", why)

    def crash(self, error: Exception) -> None:
        """It ended in an exception that nobody foresaw, or in one that ends the whole run."""
        if isinstance(error, UserError):
            raise error
        self.enter("failed", "".join(traceback.format_exception(error)))

    def _write(self, name: str, content: bytes) -> None:
        check_own(name)
        self._book.run.write(name, content)
        self._files[name] = digest(content)

    def _draw(self, tables: Tables) -> None:
        """Write the figures; one that fails is a warning, and the next command draws it again."""
        with self._warning_of("figures"):
            for picture in self.stage.figures(self.context, tables):
                with self._warning_of(f"figures/{picture.name}"):
                    self._write_picture(picture)

    @contextmanager
    def _warning_of(self, what: str) -> Iterator[None]:
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            self._warnings.append(f"{what}: {' '.join(f'{type(error).__name__}: {error}'.split())[:300]}")
            self._progress.say(f"{self.name}: could not draw {self._warnings[-1]}")

    def _write_picture(self, picture: Picture) -> None:
        for suffix, content in drawn(picture).items():
            self._write(f"figures/{picture.name}.{suffix}", content)
        self._captions[picture.name] = picture.caption


def told(settings: RunSettings) -> dict[str, Any]:
    """What a command was told, as the manifest keeps it."""
    return settings.model_dump(mode="json", exclude={"force", "config", "strict"})


def write_stages(book: Book, manifest: Manifest) -> None:
    """Write the table stages, which tells what the manifest does, unless it stands as it should."""
    known = [name for name in book.stages if name in manifest.stages]
    rows = [{"stage": name, **manifest.stages[name].row()} for name in known]
    name, content = "tables/stages.parquet", as_parquet(STAGES, rows, manifest.attributes("stages", ""))
    if any(book.run.differing({name: digest(content)})):
        book.run.write(name, content)


def drawn(picture: Picture) -> dict[str, bytes]:
    """A picture's files by suffix; the same on every machine, whatever the user's matplotlibrc says."""
    from matplotlib import rc_context, rcParamsDefault

    defaults: Any = {name: value for name, value in rcParamsDefault.items() if name != "backend"}
    with _DRAWING, rc_context(defaults):
        content = picture.draw()
        return {"gif": content} if isinstance(content, bytes) else rendered(picture.name, content)


def rendered(name: str, figure: Figure) -> dict[str, bytes]:
    """A figure as PNG and as SVG, by suffix; the same figure is the same bytes."""
    from matplotlib import rc_context

    files = {}
    for suffix in ("png", "svg"):
        content = io.BytesIO()
        with rc_context({"svg.hashsalt": name}):
            figure.savefig(content, format=suffix, dpi=150, metadata={"Date": None} if suffix == "svg" else None)
        files[suffix] = content.getvalue()
    return files
