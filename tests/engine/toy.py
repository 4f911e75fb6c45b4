"""Stages of no paper, in suites of their own: for tests of the engine."""

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from rich.console import Console

from orchestrator.engine.book import Book
from orchestrator.engine.manifest import Manifest
from orchestrator.engine.progress import Progress
from orchestrator.engine.records import Record, Trial
from orchestrator.engine.results import Run
from orchestrator.engine.settings import Resources, RunSettings, Section, changed
from orchestrator.engine.stage import Context, File, Model, Stage, Table
from orchestrator.engine.stage_run import StageRun
from orchestrator.engine.study import Suggested
from orchestrator.engine.suite import Suite
from orchestrator.engine.tracking import Tracking
from tests.command import NO_IMAGES


class Nothing(Section):
    """No settings, or a trial that is told nothing."""


class Toy(Stage[Nothing, Any]):
    """A stage with these trials, that makes nothing of their records."""

    name = "toy"
    settings = Nothing
    config: ClassVar[type[Section] | None] = Section
    metric = "loss"

    def __init__(
        self, trials: Sequence[Trial[Any]] | Suggested = (), *, needs: tuple[str, ...] = (), **facts: Any
    ) -> None:
        """`facts` are those that a stage's class says: name, shared, version, ..."""
        self.all_trials, self.all_needs = trials, needs
        vars(self).update(facts)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"all_trials": ()}  # a worker has its own trial

    def needs(self, own: Nothing) -> tuple[str, ...]:
        return self.all_needs

    def trials(self, context: Context[Nothing]) -> Sequence[Trial[Any]] | Suggested:
        return self.all_trials

    def results(self, context: Context[Nothing], records: Sequence[Record[Any]]) -> Iterator[Table | Model | File]:
        return iter(())


def suite(
    *stages: Stage[Any, Any], checksum: str = "none", load_data: Callable[[Any], Any] = lambda settings: NO_IMAGES
) -> Suite:
    """Stages that do not look at their data, as one program."""
    return Suite(
        stages,
        base=RunSettings,
        presets={"toy": {}},
        full="toy",
        data_checksum=lambda settings: checksum,
        load_data=load_data,
        epilogue=lambda *arguments: {},
    )


def book(of: Suite, folder: Path | str, *, set_aside: bool = True, **changes: Any) -> Book:
    """The trials and records of a suite in a run folder, with some settings changed."""
    return Book(of, changed(of.preset("toy"), **changes), Run(folder), set_aside=set_aside)


def begun(
    folder: Path | str,
    stage: Stage[Any, Any],
    resources: Resources | None = None,
    progress: Progress | None = None,
    tracking: Tracking | None = None,
) -> tuple[StageRun, dict[str, Record[Any]]]:
    """A stage that has begun in a run folder, and its records by key, which are there once all is trained."""
    records: dict[str, Record[Any]] = {}
    of_stage = book(suite(stage), folder, resources=(resources or Resources()).model_dump())
    of_stage.tracking = tracking or of_stage.tracking
    manifest = of_stage.run.manifest() or Manifest(name="toy")
    of_stage.run.write_manifest(manifest)
    stage_run = StageRun(
        stage.name,
        of_stage,
        manifest,
        progress or Progress(Console(file=io.StringIO())),
        when_trained=lambda it: records.update(it.study.records),
    )
    stage_run.begin(anew=False)
    stage_run.prepare()
    return stage_run, records


class OneStage:
    """The trials of a single stage, as a source for Ray Tune."""

    halted = False

    def __init__(self, stage_run: StageRun) -> None:
        self.stage_run = stage_run

    def next(self) -> StageRun | None:
        """The stage, while any of its trials waits."""
        return self.stage_run if self.stage_run.study.waiting else None

    @property
    def exhausted(self) -> bool:
        """Whether every trial is recorded."""
        return not self.stage_run.study.num_missing

    def halt(self, error: Exception) -> None:
        """Not to be called in these tests."""
        raise error
