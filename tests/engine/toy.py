"""A stage that only trains, for tests of what runs trainings."""

import io
from pathlib import Path
from typing import Any

from orchestrator.config import Resources, smoke
from orchestrator.ledger import Ledger
from orchestrator.manifest import Manifest
from orchestrator.progress import Bar, Progress
from orchestrator.results import Run
from orchestrator.stage import Context, Record, Stage, Training, Trainings
from rich.console import Console

from tests.orchestrator.command import NO_IMAGES


def toy(
    folder: Path, training: Training, trainings: Trainings, resources: Resources | None = None, **options: Any
) -> tuple[Ledger, dict[str, Record]]:
    """The ledger of a stage in a run folder, and its records, which are there once all is trained."""
    stage = Stage("toy", decides=lambda _: [], finish=lambda *_: None, training=training, **options)
    settings = smoke().model_copy(update={"resources": resources or Resources()})
    run, manifest = Run(folder), Manifest.empty("toy", "none")
    run.write_manifest(manifest)
    context = Context(stage, settings, run, manifest, "fingerprint", NO_IMAGES)
    records: dict[str, Record] = {}
    bar = Bar(Progress(Console(file=io.StringIO())), "toy")
    return Ledger(context, trainings, bar=bar, when_done=records.update), records


class OneStage:
    """The trials of a single ledger, as a source for Ray Tune."""

    halted = False

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def next(self) -> Ledger | None:
        """The ledger, while any of its trials waits."""
        return self.ledger if self.ledger.waiting else None

    @property
    def exhausted(self) -> bool:
        """Whether every trial is recorded."""
        return not self.ledger.num_missing

    def halt(self, error: Exception) -> None:
        """Not to be called in these tests."""
        raise error
