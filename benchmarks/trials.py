"""Milliseconds that a trial takes of the driver: trials of no work, records included, two at a time."""

import io
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.rows import Row
from orchestrator.engine.book import Book
from orchestrator.engine.cluster import connect
from orchestrator.engine.manifest import Manifest
from orchestrator.engine.progress import Progress
from orchestrator.engine.ray_tune import run_trials
from orchestrator.engine.records import Record, Trial
from orchestrator.engine.results import Run
from orchestrator.engine.settings import Resources, RunSettings, Section
from orchestrator.engine.stage import Context, Stage, Table, Worker
from orchestrator.engine.stage_run import StageRun
from orchestrator.engine.suite import Suite
from trainables.epoch import Epoch


class Settings(Section):
    """How many trials there are."""

    num_trials: int = 1000


class Told(Section):
    """Nothing."""


class NoWork(Stage[Settings, Told]):
    """Trials of one epoch that takes no time."""

    name, settings, config, metric = "no_work", Settings, Told, "loss"

    def trials(self, context: Context[Settings]) -> list[Trial[Told]]:
        """As many as the settings say."""
        return [Trial(f"trial-{number:06d}", Told(), number, 1) for number in range(context.own.num_trials)]

    def train(self, trial: Trial[Told], data: Any, worker: Worker) -> Iterator[Epoch]:
        """One epoch."""
        yield Epoch(1, {"loss": 1.0}, lambda: {"epoch": 1, "model": {}})

    def results(self, context: Context[Settings], records: Sequence[Record[Told]]) -> Iterator[Table]:
        """No table."""
        return iter(())


class NoWorkSettings(RunSettings):
    """Of a run of that stage alone."""

    no_work: Settings = Settings()


def _nothing(*arguments: Any) -> dict[str, Any]:
    """No data, and no report."""
    return {}


class Source:
    """The stage's trials; keeps wall clock and the driver's own seconds of when each was recorded."""

    halted = False

    def __init__(self, run: Run, num_trials: int) -> None:
        settings = NoWorkSettings(preset="bench", no_work=Settings(num_trials=num_trials))
        suite = Suite((NoWork(),), NoWorkSettings, {"bench": {}}, "bench", str, _nothing, _nothing)
        manifest, progress = Manifest(name="bench"), Progress(Console(file=io.StringIO()))
        run.write_manifest(manifest)
        self.stage_run = StageRun("no_work", Book(suite, settings, run, set_aside=True), manifest, progress, print)
        self.stage_run.begin(anew=False)
        self.recorded = [(time.perf_counter(), time.process_time())]

    def next(self) -> StageRun | None:
        """The stage, while any of its trials waits."""
        for _ in range(len(self.stage_run.study.records) + 1 - len(self.recorded)):
            self.recorded.append((time.perf_counter(), time.process_time()))
        return self.stage_run if self.stage_run.study.waiting else None

    @property
    def exhausted(self) -> bool:
        """Whether every trial is recorded."""
        return not self.stage_run.study.num_missing

    def halt(self, error: Exception) -> None:
        """Nothing is left to do."""
        raise error


def times_of(num_trials: int) -> list[tuple[float, float]]:
    """Wall clock and the driver's own seconds at the start, and after each of so many trials."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder, "run"))
        with connect("local", Resources(slots=2), log_file=Path(folder, "driver.log")) as cluster:
            source = Source(run, num_trials)
            run_trials(source, cluster, None, run)
            source.next()
    return source.recorded


def rows(full: bool) -> Iterator[Row]:
    """By how many trials there are; the last tenth beside the whole, which is the same where the cost is flat."""
    for num_trials in (1000, 5000, 20_000) if full else (1000,):
        times = times_of(num_trials)
        wall, own = (1000 * (times[-1][kind] - times[0][kind]) / num_trials for kind in (0, 1))
        last = 10_000 * (times[-1][1] - times[-num_trials // 10][1]) / num_trials
        told = f"{own:.1f}, of the last tenth {last:.1f}; {wall:.1f} by the clock"
        yield Row(f"driver's ms a trial that takes no time, {num_trials:,} trials", told, "<= 10", own <= 10)
