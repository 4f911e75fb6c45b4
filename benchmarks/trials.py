"""Milliseconds that a trial takes of the driver: trials of no work, records included, two at a time.

And how busy 64 and 256 slots are, which this machine has no memory for: of trainings of some seconds it is only
waited for the end. What Ray and Tune do for a trial is not in that; it is in the milliseconds above.
"""

import heapq
import io
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.rows import Row
from orchestrator.engine.book import Book
from orchestrator.engine.cluster import Cluster, connect
from orchestrator.engine.manifest import Manifest
from orchestrator.engine.progress import Progress
from orchestrator.engine.ray_tune import NUM_WRITERS, _Feed, _Watchdog, run_trials
from orchestrator.engine.records import Record, Trial
from orchestrator.engine.results import Run
from orchestrator.engine.settings import Resources, RunSettings, Section
from orchestrator.engine.stage import Context, Stage, Table, Worker
from orchestrator.engine.stage_run import StageRun
from orchestrator.engine.suite import Suite
from orchestrator.engine.worker import Job
from trainables.epoch import Epoch

SECONDS = 2, 6
"""Least and greatest, that a simulated training takes."""


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
        book = Book(suite, settings, run, set_aside=True)
        self.stage_run = StageRun("no_work", book, manifest, progress, lambda stage_run: None)
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


@dataclass(frozen=True)
class Simulated(Cluster):
    """Slots that nothing stands behind."""

    def slots_now(self) -> int:
        """All of them."""
        return self.slots


def busy_share(num_slots: int) -> float:
    """Of the slots' time until the last trial starts, the part in which they had one; four trials a slot."""
    draws, ends = np.random.default_rng(1), list[tuple[float, str, Job]]()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(NUM_WRITERS) as writers:
        source = Source(Run(Path(folder, "run")), 4 * num_slots)
        cluster = Simulated(num_slots, 1.0, 0.0, None, Resources(slots=num_slots), {})
        feed = _Feed(source, cluster, _Watchdog(), writers)
        started, seconds, busy = time.perf_counter(), 0.0, list[tuple[float, float]]()
        while not source.exhausted:
            if len(ends) < num_slots and isinstance(told := feed.suggest(f"{len(busy)}"), dict):
                seconds = time.perf_counter() - started
                busy.append((seconds, draws.uniform(*SECONDS)))
                heapq.heappush(ends, (sum(busy[-1]), f"{len(busy) - 1}", told["jobs"][0]))
            elif ends and ends[0][0] <= time.perf_counter() - started:
                _, name, job = heapq.heappop(ends)
                told = {"key": job.trial.key, "node": "", "over": True, "said": ()}
                feed.on_trial_complete(name, told | {"rows": [{"epoch": 1, "loss": 1.0, "seconds": 1.0}]})
            else:
                time.sleep(0.001)
    return sum(min(long, seconds - begun) for begun, long in busy) / (num_slots * seconds)


def rows(full: bool) -> Iterator[Row]:
    """By how many trials there are; the last tenth beside the whole, which is the same where the cost is flat."""
    for num_slots in (64, 256):
        share = busy_share(num_slots)
        what = f"{num_slots} simulated slots: busy while work remains, trainings of {SECONDS[0]} to {SECONDS[1]} s"
        yield Row(what, f"{100 * share:.1f} %", ">= 95 %", share >= 0.95)
    for num_trials in (1000, 5000, 20_000) if full else (1000,):
        times = times_of(num_trials)
        wall, own = (1000 * (times[-1][kind] - times[0][kind]) / num_trials for kind in (0, 1))
        last = 10_000 * (times[-1][1] - times[-num_trials // 10][1]) / num_trials
        told = f"{own:.1f}, of the last tenth {last:.1f}; {wall:.1f} by the clock"
        yield Row(f"driver's ms a trial that takes no time, {num_trials:,} trials", told, "<= 10", own <= 10)
