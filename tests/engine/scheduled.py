"""Stages that are scheduled without Ray: something else takes its place."""

import io
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console

from orchestrator.engine.cluster import Cluster
from orchestrator.engine.manifest import Manifest, StageState
from orchestrator.engine.plan import Plan
from orchestrator.engine.progress import Progress
from orchestrator.engine.ray_tune import Source
from orchestrator.engine.records import Record, Trial
from orchestrator.engine.results import Run
from orchestrator.engine.scheduler import Scheduler
from orchestrator.engine.settings import Resources
from orchestrator.engine.stage import Context, Picture, Table, Tables
from orchestrator.engine.stage_run import StageRun
from orchestrator.engine.suite import Suite
from orchestrator.engine.tables import INT, column, schema
from tests.engine.toy import Nothing, Toy, book

NO_CLUSTER = Cluster(2, 1.0, 0.0, None, Resources(), {})
ONLY = [Trial("only", Nothing(), seed=1, epochs=1, cost=1.0)]
DEADLINE_SECONDS = 20


class InRaysPlace:
    """Whoever trains takes what it is given, and nothing while there is nothing."""

    def __init__(self) -> None:
        self.trained: list[str] = []
        """Stages, as their trainings began."""
        self.started: list[str] = []
        """Trials, as they began."""
        self.loses: set[str] = set()
        """Trials whose workers are lost."""
        self.fails: set[str] = set()
        """Trials that fail by themselves."""
        self.loss = 0.5
        """What every training measures."""

    def run_trials(self, source: Source, *others: object) -> None:
        until = time.monotonic() + DEADLINE_SECONDS
        while not source.exhausted:
            assert time.monotonic() < until, "it waits for what is trained after it"
            stage_run = source.next()
            if stage_run is not None:
                assert not stage_run.stage.shared
                self._train_one(stage_run)
            time.sleep(0.01)

    def train_together(self, stage_run: StageRun, *others: object) -> None:
        assert stage_run.stage.shared
        while stage_run.study.waiting:
            self._train_one(stage_run)

    def _train_one(self, stage_run: StageRun) -> None:
        key = stage_run.start().trial.key
        self.trained.append(stage_run.name)
        self.started.append(key)
        if key in self.loses:
            stage_run.lost(key)
        else:
            stage_run.over(
                key,
                [{"epoch": 1, "loss": self.loss, "seconds": time.monotonic()}],
                "out of paint" if key in self.fails else None,
            )


def quiet() -> Progress:
    return Progress(Console(file=io.StringIO()))


def do(
    folder: Path,
    of: Suite,
    *names: str,
    connect: Callable[[], Cluster] = lambda: NO_CLUSTER,
    disconnect: Callable[[], None] = lambda: None,
    **changes: Any,
) -> dict[str, StageState]:
    """What a command that asks for these stages does; the manifest's entries, as they are on the disk."""
    of_run = book(of, folder, **changes)
    manifest = of_run.run.manifest()
    plan = Plan.make(of_run, names, manifest)
    Scheduler(plan, manifest or Manifest(name="toy"), quiet(), connect, disconnect).run()
    written = Run(folder).manifest()
    assert written is not None
    return written.stages


def states(stages: dict[str, StageState]) -> dict[str, str]:
    return {name: entry.state for name, entry in stages.items()}


def training(name: str, *needs: str, **facts: Any) -> Toy:
    """A stage with a single trial."""
    return Toy(ONLY, needs=needs, name=name, **facts)


class Telling(Toy):
    """Trains nothing; gives a table and a figure of it."""

    config = None
    schemas = {"told": schema(column("value", INT, "a number"))}  # noqa: RUF012

    def results(self, context: Context[Nothing], records: Sequence[Record[Any]]) -> Iterator[Table]:
        yield Table("told", [{"value": 7}])

    def figures(self, context: Context[Nothing], tables: Tables) -> Iterator[Picture]:
        assert list(tables["told"]["value"]) == [7]
        yield Picture("plot", "A caption.", Figure)


class Raising(Telling):
    """Raises after its first table."""

    def results(self, context: Context[Nothing], records: Sequence[Record[Any]]) -> Iterator[Table]:
        yield Table("told", [{"value": 7}])
        raise ValueError("no second table")


def until(what: Callable[[], bool]) -> None:
    """Wait for it."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)
