"""What a stage is, what it is given, and how its fingerprint is made."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import NDArray
from pydantic import BaseModel

from orchestrator.config import Settings
from orchestrator.manifest import Manifest
from orchestrator.results import Run, as_parquet, digest
from orchestrator.tables import Rows
from orchestrator.worker import arrays_name, inputs_name, load_inputs, weights_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from orchestrator.figures.style import Pixels
    from trainables.epoch import Epoch
    from trainables.fashion_mnist import FashionMnist


_DRAWING = threading.Lock()


class StageFailed(Exception):
    """The stage could not do all of its work; what it could do is in its tables."""


@dataclass(frozen=True)
class Work:
    """How much a stage trains, for `plan` and for the progress bar."""

    units: int
    """Trainings."""
    epochs: int
    """Epochs of each, on average."""
    images: int
    """Training images of each epoch."""
    core_seconds: float
    """About how long all of that takes on one core."""


Training = Callable[..., Iterator["Epoch"]]
"""A module's function `training(config, data, *, device, resume)`, called in a worker; where the stage has inputs,
with these too, as `inputs`; in a shared stage also with `prepare_model`, `rank`,
`world_size` and `keep(name, arrays)`, which writes arrays beside the record."""
Record = dict[str, Any]
"""A finished training: config, state (complete, pruned, failed), error, lost (whether the machine was at fault),
seconds, epochs (a list of metrics with epoch and seconds), and files, the names of its weights and arrays."""


@dataclass(frozen=True)
class Trial:
    """One training: its name in the records and what it is told."""

    key: str
    config: dict[str, Any]
    epochs: int
    """That it takes."""
    cost: float
    """About how long it takes, next to others of its stage."""
    weights: bool = False
    """Whether the final weights are kept, as safetensors beside the record."""


Suggest = Callable[[int, list[Record]], Trial]
"""Makes trial `number` from the records of the trials 0 to `number - window`, in that order."""


@dataclass(frozen=True)
class Trainings:
    """What a stage trains."""

    num_trials: int
    suggest: Suggest
    window: int
    """How far the trials run ahead of the results that they are made from: with a fixed number, and not with
    whatever happens to be finished, the same seed gives the same trials on any machine."""
    metric: str
    """Shown as progress; the lower the better."""
    retry_failed: bool = True
    """Whether a trial is run again whose record says that it failed."""
    asha: bool = False
    """Whether trials that look worse than their peers are stopped early."""
    num_workers: int | None = None
    """Of a shared stage: how many train each trial; by default what the cluster suggests."""

    @classmethod
    def of(cls, trials: list[Trial], *, metric: str, num_workers: int | None = None) -> Self:
        """Of trials that are known beforehand; the longest start first, so that the slots end together."""
        ordered = sorted(trials, key=lambda trial: -trial.cost)
        number = len(trials)
        return cls(number, lambda n, _: ordered[n], number, metric, num_workers=num_workers)


@dataclass(frozen=True)
class Stage:
    """One experiment of the paper: first its trainings, if it has any, then what is made of their records."""

    name: str
    decides: Callable[[Settings], Iterable[BaseModel]]
    """The settings that decide its outcome."""
    finish: Callable[[Context, dict[str, Record]], None]
    """Writes tables, figures and models from the records by key; raises StageFailed where a part is missing."""
    training: Training | None = None
    """What a worker runs for each of its trials; None where it trains nothing."""
    trainings: Callable[[Context], Trainings] | None = None
    """Its trials."""
    work: Callable[[Settings], Work] | None = None
    """How much that is."""
    needs: Callable[[Settings], tuple[str, ...]] = lambda settings: ()
    """Stages whose tables or models it reads."""
    wanted: Callable[[Settings], bool] = lambda settings: True
    """Whether it is among the stages of a run with these settings; one that is not is neither done nor missing."""
    flag: str = ""
    """What brings it in, where not every run has it."""
    check: Callable[[Settings], object] = lambda settings: None
    """Raises UserError, before anything starts, where it could not do with these settings."""
    shared: bool = False
    """Whether several workers train each of its trials together, with Ray Train; else each is a trial of Ray Tune."""
    images: bool = False
    """Whether it looks at the images though it trains nothing."""
    gathers: bool = False
    """Whether it shows the outcome of every other stage, and so is done after them and again after each of them."""


@dataclass(frozen=True)
class Context:
    """All that a stage is given."""

    stage: Stage
    settings: Settings
    run: Run
    manifest: Manifest
    fingerprint: str
    _data: FashionMnist | None = None
    files: dict[str, str] = field(default_factory=dict)
    """What it has written so far, with SHA-256."""

    @property
    def data(self) -> FashionMnist:
        """The images that the settings select, for a stage that trains or asks for them."""
        assert self._data is not None
        return self._data

    @property
    def records(self) -> str:
        """Folder of the stage's records within the run folder."""
        return f"records/{self.stage.name}/{self.fingerprint}"

    def write(self, name: str, content: bytes) -> None:
        """Write one of the files that the stage is for; the manifest then tells how to know that it is whole."""
        self.run.write(name, content)
        self.files[name] = digest(content)

    def write_table(self, name: str, rows: Rows) -> None:
        """Write one of the stage's tables."""
        self.write(f"tables/{name}.parquet", as_parquet(name, rows, self.manifest, self.fingerprint))

    def write_model(self, name: str, key: str, description: dict[str, Any]) -> None:
        """Write the final weights of the trial `key` as a model, with its description as JSON."""
        self.write(f"models/{name}.safetensors", self.weights(key))
        described = description | {"fingerprint": self.fingerprint}
        self.write(f"models/{name}.json", json.dumps(described, indent=2).encode())

    def write_figure(self, name: str, draw: Callable[..., Figure], *arguments: Any, **options: Any) -> None:
        """Draw one of the stage's figures and write it; matplotlib draws one at a time."""
        from orchestrator.figures.style import rendered

        with _DRAWING:
            files = rendered(name, draw(*arguments, **options))
        for file, content in files.items():
            self.write(f"figures/{file}", content)

    def write_animation(self, name: str, pixels: Pixels, titles: Sequence[str]) -> None:
        """Write images of shape (frames, columns, 28, 28), in [0, 1], as a GIF with a title for each frame."""
        from orchestrator.figures.animation import animation

        self.write(f"figures/{name}.gif", animation(pixels, titles))

    def weights(self, key: str) -> bytes:
        """The final weights of the trial `key`, as safetensors."""
        return self.run.read_sealed(weights_name(self.records, key))

    def arrays(self, key: str) -> dict[str, NDArray[Any]]:
        """What the trial `key` kept."""
        from safetensors.numpy import load

        return load(self.run.read_sealed(arrays_name(self.records, key)))

    def inputs(self) -> dict[str, NDArray[Any]] | None:
        """What `write_inputs` wrote; None where that was not done yet, or not whole."""
        return load_inputs(self.run, self.records)

    def write_inputs(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Keep what the stage's trainings are given beside the images."""
        from safetensors.numpy import save

        self.run.write_sealed(inputs_name(self.records), save(arrays))


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
