"""Stages without Ray: on data that are made up, with trainings that went as they are told."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from orchestrator.engine.book import Book
from orchestrator.engine.manifest import Manifest, StageState
from orchestrator.engine.progress import Progress
from orchestrator.engine.records import Rows, Trial
from orchestrator.engine.results import Run
from orchestrator.engine.settings import changed
from orchestrator.engine.stage_run import StageRun
from orchestrator.paper import suite

How = Callable[[Trial[Any]], tuple[Rows, str | None]]
"""Says of a training what its epochs came to, and why it failed, if it did."""


def book_of(folder: Path, data: Any = None, preset: str = "smoke", **changes: Any) -> Book:
    """The stages of a preset, some settings changed, in a run folder, with these data."""
    on_data = replace(suite(), load_data=lambda settings: data)
    return Book(on_data, changed(suite().preset(preset), **changes), Run(folder), set_aside=True)


def done(book: Book, name: str, how: How) -> StageState:
    """Do a stage as the engine does it; what the manifest then says of it."""
    manifest = Manifest(name="made-up")
    progress = Progress(Console(file=io.StringIO()))
    stage_run = StageRun(name, book, manifest, progress, when_trained=StageRun.finish)
    stage_run.begin(anew=False)
    while stage_run.study.waiting:
        trial = stage_run.start().trial
        stage_run.over(trial.key, *how(trial))
    return manifest.stages[name]
