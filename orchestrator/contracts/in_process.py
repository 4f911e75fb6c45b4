"""A stage done without Ray, in this process: its trainings one after the other, then its results."""

import io
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from torch import Tensor

from orchestrator.engine.book import Book
from orchestrator.engine.checkpoint import Checkpoint, Rows
from orchestrator.engine.manifest import Manifest, StageState
from orchestrator.engine.progress import Progress
from orchestrator.engine.records import Trial
from orchestrator.engine.stage import Worker
from orchestrator.engine.stage_run import StageRun
from orchestrator.engine.worker import unwatch

How = Callable[[Trial[Any]], tuple[Rows, str | None]]
"""Says of a training what its epochs came to, and why it failed, if it did."""


def done(book: Book, name: str, how: How | None = None) -> StageState:
    """Do a stage as the engine does it; what the manifest then says of it.

    Args:
        book: of the stage, and of those that it needs, which are done.
        name: the stage's.
        how: its trainings go; by default they are trained.
    """
    return trained(book, name, how, when_trained=StageRun.finish)


def trained(
    book: Book, name: str, how: How | None = None, when_trained: Callable[[StageRun], None] = lambda stage_run: None
) -> StageState:
    """The same without its results: its trainings are recorded."""
    manifest = Manifest(name="in-process")
    progress = Progress(Console(file=io.StringIO()))
    stage_run = StageRun(name, book, manifest, progress, when_trained)
    stage_run.begin(anew=False)
    stage_run.prepare()
    while stage_run.study.waiting:
        job = stage_run.start()
        if how is not None:
            stage_run.over(job.trial.key, *how(job.trial))
            continue
        so_far = Checkpoint()
        for epoch, _ in job.epochs(book.data, stage_run.records, so_far, Worker()):
            so_far.state = epoch.state()
        unwatch()
        parts = stage_run.records.save_results(job.trial, so_far)
        stage_run.over(job.trial.key, so_far.rows, None, parts=parts)
    return manifest.stages[name]


def tensors(state: Any) -> Iterator[Tensor]:
    """All that are somewhere in a state."""
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, dict | list | tuple):
        for part in state.values() if isinstance(state, dict) else state:
            yield from tensors(part)
