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
from orchestrator.engine.records import Checkpoint, Record, Rows, Trial, digest_of
from orchestrator.engine.results import Run
from orchestrator.engine.settings import changed
from orchestrator.engine.stage import Stage, Worker
from orchestrator.engine.stage_run import StageRun
from orchestrator.engine.worker import unwatch
from orchestrator.paper import STAGES, suite

How = Callable[[Trial[Any]], tuple[Rows, str | None]]
"""Says of a training what its epochs came to, and why it failed, if it did."""


def book_of(folder: Path, images: Any = None, stages: tuple[Stage[Any, Any], ...] = STAGES, **changes: Any) -> Book:
    """The stages of the preset smoke, with some settings changed, in a run folder, on these images."""
    made_up = replace(suite(), stages=stages, load_data=lambda settings: images)
    return Book(made_up, changed(made_up.preset("smoke"), **changes), Run(folder), set_aside=True)


def done(book: Book, name: str, how: How | None = None) -> StageState:
    """Do a stage as the engine does it, in this process; what the manifest then says of it.

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
    manifest = Manifest(name="made-up")
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


def recorded(book: Book, name: str, how: Callable[[Trial[Any]], tuple[Rows, dict[str, Any]]]) -> None:
    """Have a stage's trainings recorded as complete: each with rows of its epochs, one where there are none, and
    weights of its network."""
    records, measured = book.records(name), {"epoch": 1.0, "seconds": 0.1, book.stages[name].metric: 1.0}
    for trial in book.study(name).trials:
        rows, weights = how(trial)
        rows = rows or [measured]
        parts = records.save_results(trial, Checkpoint(rows, {"model": weights}))
        rest: dict[str, Any] = {"parts": tuple(ending for ending, _ in parts), "address": trial.address}
        rest |= {"digest": digest_of(rows, parts)}
        records.save(Record(trial.key, trial.config, trial.seed, "complete", rows, **rest))
    book.forget(name)
