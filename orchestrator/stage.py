"""What a stage is, what it is given, and how its fingerprint is made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from orchestrator.config import Settings
from orchestrator.results import Manifest, Run
from orchestrator.tables import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from orchestrator.cluster import Cluster
    from orchestrator.progress import Progress
    from trainables.fashion_mnist import FashionMnist


class StageFailed(Exception):
    """The stage could not do all of its work; what it could do is in its tables."""


@dataclass(frozen=True)
class Work:
    """How much a stage trains, for `plan` and for the progress bar."""

    units: int
    """Trainings."""
    epochs: int
    """Epochs of each."""
    images: int
    """Training images of each epoch."""


@dataclass(frozen=True)
class Stage:
    """One experiment of the paper."""

    name: str
    run: Callable[[Context], None]
    """Does the work; raises StageFailed where a part of it failed."""
    decides: Callable[[Settings], Iterable[BaseModel]]
    """The settings that decide its outcome."""
    needs: Callable[[Settings], tuple[str, ...]] = lambda settings: ()
    """Stages whose tables it reads."""
    work: Callable[[Settings], Work] | None = None
    """Its trainings; None where it has none and so needs neither Ray nor the images."""
    gathers: bool = False
    """Whether it shows the outcome of every other stage, and so is redone after each of them."""


@dataclass
class Context:
    """All that a stage is given."""

    stage: Stage
    settings: Settings
    run: Run
    manifest: Manifest
    fingerprint: str
    progress: Progress
    _cluster: Cluster | None = None
    _data: FashionMnist | None = None
    training_seconds: float = 0.0
    """Added up by the stage's trainings."""

    @property
    def cluster(self) -> Cluster:
        """Ray, for a stage that trains."""
        assert self._cluster is not None
        return self._cluster

    @property
    def data(self) -> FashionMnist:
        """The images that the settings select, for a stage that trains."""
        assert self._data is not None
        return self._data

    @property
    def records(self) -> str:
        """Folder of the stage's records within the run folder."""
        return f"records/{self.stage.name}/{self.fingerprint}"

    def write_table(self, name: str, rows: list[Row]) -> None:
        """Write one of the stage's tables."""
        self.run.write_table(name, rows, self.manifest, self.fingerprint)

    def write_figure(self, name: str, figure: Figure) -> None:
        """Write one of the stage's figures."""
        self.run.write_figure(name, figure)


def fingerprint(stage: Stage, settings: Settings, needed: Mapping[str, str], data_checksum: str) -> str:
    """Hash of what decides a stage's outcome: its settings, the seed, the data, the fingerprints it builds on."""
    decides: dict[str, Any] = {
        "stage": stage.name,
        "settings": [section.model_dump(mode="json") for section in stage.decides(settings)],
        "seed": settings.seed,
        "data": data_checksum,
        "needs": dict(sorted(needed.items())),
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]
