"""Stages without Ray: on data that are made up, with trainings that went as they are told."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.engine.book import Book
from orchestrator.engine.checkpoint import Checkpoint, Rows
from orchestrator.engine.records import Record, Trial, digest_of
from orchestrator.engine.results import Run
from orchestrator.engine.settings import changed
from orchestrator.engine.stage import Stage
from orchestrator.paper import STAGES, suite


def book_of(folder: Path, images: Any = None, stages: tuple[Stage[Any, Any], ...] = STAGES, **changes: Any) -> Book:
    """The stages of the preset smoke, with some settings changed, in a run folder, on these images."""
    made_up = replace(suite(), stages=stages, load_data=lambda settings: images)
    return Book(made_up, changed(made_up.preset("smoke"), **changes), Run(folder), set_aside=True)


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
