"""A stage's trials in the run folder: what they were told, how they went, what they left. The one owner of these
files' names: records/STAGE/ADDRESS.json, .checkpoint, .safetensors (weights) and .arrays.safetensors."""

import contextlib
import hashlib
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, Generic, Literal, Self, TypeVar

from numpy.typing import NDArray
from pydantic import BaseModel, TypeAdapter

from orchestrator.engine.checkpoint import Checkpoint, Rows, packed, unpacked
from orchestrator.engine.folder import Damaged, Folder, digest
from orchestrator.engine.provenance import Made

Config = TypeVar("Config", bound=BaseModel)
Arrays = Mapping[str, NDArray[Any]]
Outcome = Literal["complete", "pruned", "failed"]
WEIGHTS, ARRAYS, CHECKPOINT = ".safetensors", ".arrays.safetensors", ".checkpoint"
ENDINGS = (".json", WEIGHTS, ARRAYS, CHECKPOINT)
Parts = tuple[tuple[str, str], ...]
"""Files that a training left beside its record: their endings, WEIGHTS or ARRAYS, and digests of their contents."""


def hashed(content: Any) -> str:
    """Short hash of plain values."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def digest_of(rows: Rows, parts: Parts) -> str:
    """Of a training's outcome: what it measured, times aside, and the files that it left."""
    measured = [{name: value for name, value in row.items() if not name.endswith("seconds")} for row in rows]
    return hashed([measured, *(content for _, content in parts)])


def with_description(weights: bytes, description: str) -> bytes:
    """Weights, as safetensors, with a description in their metadata; the same are the same bytes."""
    from safetensors.torch import load, save

    return bytes(save(load(weights), {"description": description}))  # of several entries the order would be any


@dataclass(frozen=True)
class Trial(Generic[Config]):
    """One training that is to be done."""

    key: str
    """Its name within the stage, for people."""
    config: Config
    """All that decides its outcome beside seed, epochs, data and the stage's inputs."""
    seed: int
    epochs: int
    """How many epochs it takes."""
    num_images: int = 0
    """Images that an epoch trains on."""
    cost: float = 0.0
    """About how many seconds it takes on one core; only the order of the work depends on it."""
    keep_weights: bool = False
    """Whether the final weights are kept, as safetensors beside the record."""
    world: Mapping[str, Any] = field(default_factory=dict)
    """What decides its outcome and is not its own: the data's checksum, digests of what the stage's inputs are made
    of, the version of the training's code."""
    address: str = ""
    """Key and hash of all that decides the outcome: the same address, the same result."""

    def addressed(self, world: Mapping[str, Any]) -> Self:
        """The trial in its world, with its address."""
        told = [self.config.model_dump(mode="json"), self.seed, self.epochs, self.keep_weights, dict(world)]
        return replace(self, world=dict(world), address=f"{self.key}-{hashed(told)}")


@dataclass(frozen=True)
class Record(Generic[Config]):
    """One training that is over."""

    key: str
    config: Config
    seed: int
    state: Outcome
    epochs: Rows = field(default_factory=list)
    error: str | None = None
    """Traceback, or a sentence, of a training that failed."""
    lost: bool = False
    """Whether the machine was at fault, so that the next command trains it again."""
    num_workers: int = 1
    """Workers that shared the training."""
    parts: tuple[str, ...] = ()
    """Endings of the files that it left beside the record: WEIGHTS, ARRAYS."""
    digest: str = ""
    """Hash of its outcome, metrics and files: trainings with the same digest went the same, bit for bit."""
    made: Made = field(default_factory=Made)
    """What it was done with."""
    ended: str = ""
    """When: ISO 8601, UTC."""
    world: Mapping[str, Any] = field(default_factory=dict)
    """The trial's."""
    address: str = ""
    """The trial's."""

    @property
    def last(self) -> Mapping[str, float]:
        """Metrics after the last epoch; empty unless the training is complete."""
        return self.epochs[-1] if self.state == "complete" else {}

    @property
    def seconds(self) -> float:
        """Time that its epochs took."""
        return math.fsum(epoch["seconds"] for epoch in self.epochs)

    @property
    def outcome(self) -> dict[str, Any]:
        """The columns with which every table of trainings ends."""
        return {"seconds": self.seconds, "state": self.state, "error": self.error}

    def of_epochs(self, *columns: str, **same: Any) -> list[dict[str, Any]]:
        """A row for each epoch: these metrics, beside what is the same in all rows."""
        return [same | {name: epoch[name] for name in columns} for epoch in self.epochs]


_RECORD: TypeAdapter[Record[Any]] = TypeAdapter(Record)


def _record(content: dict[str, Any], config: Config, address: str, metric: str) -> Record[Config]:
    """A record of what its file holds; else IndexError, KeyError, TypeError or ValueError."""
    parts = tuple(ending for ending in (WEIGHTS, ARRAYS) if ending in content["parts"])
    typed = {"config": config, "parts": parts, "made": Made.model_validate(content["made"])}
    record = Record(**content | typed | {"address": address})
    _RECORD.validate_python(vars(record))
    if record.ended and datetime.fromisoformat(record.ended).tzinfo is None:
        raise ValueError("no time")
    if metric and record.state != "failed" and metric not in record.epochs[-1]:
        raise ValueError(f"no {metric}")
    return record


@dataclass(frozen=True)
class Records:
    """What a stage's trainings left in a run folder."""

    folder: Folder
    stage: str

    def name(self, address: str, ending: str = ".json") -> str:
        """File of a training, relative to the run folder."""
        return f"records/{self.stage}/{address}{ending}"

    @cached_property
    def addresses(self) -> frozenset[str]:
        """Of all trainings that were recorded when this was first asked for."""
        return frozenset(PurePosixPath(name).stem for name in self.folder.list(f"records/{self.stage}", ".json"))

    def find(self, trial: Trial[Config], *, set_aside: bool, metric: str = "") -> Record[Config] | None:
        """The record of a trial; None where there is none, or it is damaged or lacks a file that belongs to it or,
        after a training that did not fail, this metric.

        With `set_aside` a damaged record is moved under quarantine/, with a line that says so.
        """
        if trial.address not in self.addresses:
            return None
        content = self._look(trial.address) if self.folder.is_local else self._looked_at[trial.address]
        if isinstance(content, dict):
            try:
                if (content["config"], content["seed"]) != (trial.config.model_dump(mode="json"), trial.seed):
                    return None
                return _record(content, trial.config, trial.address, metric)
            except (IndexError, KeyError, TypeError, ValueError):
                content = "is damaged"
        if set_aside:
            with contextlib.suppress(FileNotFoundError):
                self.folder.set_aside(self.name(trial.address), content)
        return None

    def read(self, address: str, config: type[Config], metric: str = "") -> Record[Config]:
        """The record that has an address, whatever program made it; Damaged where it is none."""
        content = self.folder.read_json(self.name(address))
        try:
            return _record(content, config.model_validate(content["config"]), address, metric)
        except (IndexError, KeyError, TypeError, ValueError):
            raise Damaged(f"{self.name(address)} is damaged") from None

    def _look(self, address: str) -> dict[str, Any] | str:
        """A record as it was written, all that belongs to it being there; else what is wrong with it."""
        try:
            content = self.folder.read_json(self.name(address))
            for ending in (WEIGHTS, ARRAYS):
                if ending in content["parts"]:
                    self.folder.read_sealed(self.name(address, ending))
            return content
        except FileNotFoundError:
            return "lacks its weights or arrays"
        except (Damaged, KeyError, TypeError):
            return "is damaged"

    @cached_property
    def _looked_at(self) -> dict[str, dict[str, Any] | str]:
        """All of the stage's records, looked at side by side."""
        addresses = sorted(self.addresses)
        return dict(zip(addresses, self.folder.each(self._look, addresses), strict=True))

    def save(self, record: Record[Any], *, checkpointed: bool = True) -> None:
        """Write a record, for good; the training's checkpoint goes, where there may be one."""
        models = {name: getattr(record, name).model_dump(mode="json") for name in ("config", "made")}
        self.folder.write_json(self.name(record.address), vars(record) | models)
        if checkpointed:
            self.delete_checkpoint(record.address)

    def delete_checkpoint(self, address: str) -> None:
        """Have a training start anew."""
        self.folder.delete(self.name(address, CHECKPOINT))

    def others(self, addresses: Collection[str]) -> list[str]:
        """Files of the stage that have none of these addresses."""
        keep = {self.name(address, ending) for address in addresses for ending in ENDINGS}
        return [name for name in self.folder.list(f"records/{self.stage}", "") if name not in keep]

    def delete(self, address: str) -> None:
        """Remove all that a training left."""
        for ending in ENDINGS:
            self.folder.delete(self.name(address, ending))

    def save_checkpoint(self, address: str, so_far: Checkpoint, made_by: Mapping[str, Any] | None = None) -> None:
        """Keep how far a training is, and `made_by` what: plain values that who goes on with it must share."""
        self.folder.write_sealed(self.name(address, CHECKPOINT), packed(so_far, made_by or {}))

    def load_checkpoint(self, address: str, made_by: Mapping[str, Any] | None = None) -> Checkpoint:
        """Where a lost worker left off; the beginning, where there is nothing of this, or it was made by another."""
        with contextlib.suppress(FileNotFoundError, Damaged):
            return unpacked(self.folder.read_sealed(self.name(address, CHECKPOINT)), made_by or {})
        return Checkpoint()

    def checkpoints(self) -> frozenset[str]:
        """Addresses of trainings that can go on; one whose checkpoint is damaged starts anew, with a line."""
        names = self.folder.list(f"records/{self.stage}", CHECKPOINT)
        for name in names:
            try:
                self.folder.read_sealed(name)
            except Damaged:
                self.folder.set_aside(name, "is damaged")
        return frozenset(PurePosixPath(name).stem for name in names)

    def save_results(self, trial: Trial[Any], done: Checkpoint) -> Parts:
        """Keep the final weights of a training, where they are wanted, and the arrays that it gave: these files."""
        parts: Parts = ()
        if trial.keep_weights:
            from safetensors.torch import save

            assert done.state is not None
            tensors = {name: tensor.contiguous().cpu() for name, tensor in done.state["model"].items()}
            content = save(tensors)
            self.folder.write_sealed(self.name(trial.address, WEIGHTS), content)
            parts += ((WEIGHTS, digest(content)),)
        if done.arrays:
            parts += ((ARRAYS, self.save_arrays(trial.address, done.arrays)),)
        return parts

    def weights(self, address: str) -> bytes:
        """The final weights of a training, as safetensors."""
        return self.folder.read_sealed(self.name(address, WEIGHTS))

    def save_arrays(self, address: str, arrays: Arrays) -> str:
        """Keep what a training gave beside metrics, or what the stage's trainings are given; the content's digest."""
        from safetensors.numpy import save

        content = save(dict(arrays))
        self.folder.write_sealed(self.name(address, ARRAYS), content)
        return digest(content)

    def arrays(self, address: str) -> dict[str, NDArray[Any]]:
        """What `save_arrays` kept."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        name = self.name(address, ARRAYS)
        try:
            return load(self.folder.read_sealed(name))
        except (SafetensorError, KeyError) as error:
            raise Damaged(f"{name} has no arrays: {error}") from None
