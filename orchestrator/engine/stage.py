"""What a stage is: trainings, then tables from their records, then figures and findings from the tables.

A stage is given what it needs and yields what it made; it opens no file. The engine schedules, records and writes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, Union, cast

from numpy.typing import NDArray
from pydantic import BaseModel

from orchestrator.engine.folder import Damaged
from orchestrator.engine.records import Arrays, Config, Record, Trial, hashed
from orchestrator.engine.settings import Model as Section
from orchestrator.engine.settings import RunSettings, section
from orchestrator.engine.study import Suggested
from orchestrator.engine.tables import Rows

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from matplotlib.figure import Figure

Own = TypeVar("Own", bound=BaseModel)
Drawing = Union["Figure", bytes, dict[str, Any]]
Tables = Mapping[str, "pd.DataFrame"]
Presets = Mapping[str, Mapping[str, Any]]
"""What of some settings is other than by default, by preset, nested as in a YAML file."""


@dataclass(frozen=True)
class Worker:
    """Where a training runs, and what it is given there beside its trial and the data."""

    device: str = "cpu"
    resume: dict[str, Any] | None = None
    """State of an earlier epoch, to go on from exactly."""
    inputs: Arrays = field(default_factory=dict)
    """What the stage made for its trainings."""
    rank: int = 0
    """Number of this worker among those that share the training, from 0."""
    num_workers: int = 1
    prepare_model: Callable[[Any], Any] = lambda model: model
    """Wraps a network so that its gradients are averaged over the workers."""


@dataclass(frozen=True)
class Table:
    """Rows of one of the stage's tables, to be written as Parquet."""

    name: str
    rows: Rows


@dataclass(frozen=True)
class Model:
    """The final weights of a training, to be written under models/ with their description as JSON."""

    name: str
    record: Record[Any]
    description: dict[str, Any]


@dataclass(frozen=True)
class File:
    """Any other file, by its name in the run folder."""

    name: str
    content: bytes
    grows: bool = False
    """Whether other programs may add to its end: that is no damage, and is kept while the content is the same."""


class Picture:
    """A figure, drawn of these arguments when it is to be written.

    As PNG, SVG and PDF; as GIF where it is bytes; as JSON where it is a dictionary, which the report's page lets
    readers move (orchestrator.figures.interactive).
    """

    def __init__(
        self, name: str, caption: str, draw: Callable[..., Drawing], *arguments: Any, **options: Any
    ) -> None:
        self.name, self.caption = name, caption
        self.draw: Callable[[], Drawing] = lambda: draw(*arguments, **options)


class Stage(Generic[Own, Config]):
    """One experiment. Only `name`, `settings` and `results` cannot be left out.

    A stage with trainings has `config`, `metric`, `trials` and `train` too.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    """Heading of its section in the report."""
    settings: ClassVar[type[BaseModel]]
    """Its settings, whose defaults are the paper's scale."""
    section: ClassVar[str] = ""
    """Where they stand among all settings, "gan.search" say; by default under the stage's name."""
    presets: ClassVar[Presets] = {}
    reads: ClassVar[Sequence[type[BaseModel]]] = ()
    """Sections that it reads beside its own."""
    schemas: ClassVar[Mapping[str, pa.Schema]] = {}
    """Of its tables, by name."""
    optional: ClassVar[Collection[str]] = ()
    """Of its tables, those that not every run has."""
    shown: ClassVar[Sequence[str]] = ()
    """Which of its tables the report shows."""
    config: ClassVar[type[BaseModel] | None] = None
    """What each of its trainings is told; None where it trains nothing."""
    version: ClassVar[int] = 1
    """Raised whenever the trainings' code gives another result for the same settings: no older record counts then."""
    metric: ClassVar[str] = ""
    """Metric that is shown as progress; the lower the better."""
    shared: ClassVar[bool] = False
    """Whether several workers train each trial together (Ray Train); else one does (Ray Tune)."""
    retries_failed: ClassVar[bool] = True
    """Whether the next command trains again what failed by itself; what the machine lost it always does."""
    flag: ClassVar[str] = ""
    """What brings the stage in, where not every run has it."""

    @property
    def path(self) -> str:
        """Where its settings stand among all."""
        return self.section or self.name

    def own(self, settings: RunSettings) -> Own:
        """Its settings among all."""
        return cast("Own", attrgetter(self.path)(settings))

    def absent(self, settings: RunSettings) -> str:
        """Why it is not among the stages of a run with these settings; empty where it is."""
        return ""

    def check(self, settings: RunSettings) -> None:
        """See, before anything starts, that it can do with a run's settings; raises UserError."""

    def needs(self, own: Own) -> tuple[str, ...]:
        """Stages whose records it reads."""
        return ()

    def reads_only(self, context: Context[Own]) -> Mapping[str, Sequence[str]]:
        """Keys of the records that it reads, of stages of which it does not read all: others may fail."""
        return {}

    def stops_weak_trials(self, own: Own) -> bool:
        """Whether trials that look worse than their peers are stopped early (ASHA)."""
        return False

    def num_workers(self, own: Own, room: int) -> int:
        """Workers that share each training, of a shared stage, where there is room for so many in each."""
        return room

    def trials(self, context: Context[Own]) -> Iterable[Trial[Config]] | Suggested:
        """What it trains.

        While the records of a stage that it needs are missing, `context.planning` is true: then as many trials are
        wanted, with costs about right, and their configs do not matter.
        """
        return ()

    def made_of(self, context: Context[Own]) -> Sequence[str]:
        """Digests of the records, checksums of the files, that `inputs` is made of; empty where there are none."""
        return ()

    def inputs(self, context: Context[Own]) -> Arrays:
        """Arrays that all its trainings are given beside the data; computed once, and kept in the run folder."""
        return {}

    def own_seconds(self, context: Context[Own]) -> float:
        """About how long its inputs, tables and figures take on one core; no result is decided by it."""
        return 2.0

    def train(self, trial: Trial[Config], data: Any, worker: Worker) -> Iterator[Any]:
        """One training, as a generator of epochs (trainables.epoch says what these are); runs in a worker."""
        raise NotImplementedError

    def alike(self, trial: Trial[Config]) -> Hashable | None:
        """What trials have in common that `train_ensemble` can train as one; None for one that goes alone."""
        return None

    def train_ensemble(
        self, trials: Sequence[Trial[Config]], data: Any, worker: Worker, resumes: Sequence[Any] | None
    ) -> Iterator[Sequence[Any]]:
        """Trials that are alike, each with the epochs and states that `train` gives it but for rounding.

        All of them begin, or go on from their states after the same epoch.
        """
        raise NotImplementedError

    def results(self, context: Context[Own], records: Sequence[Record[Config]]) -> Iterator[Table | Model | File]:
        """Every table of `schemas` that is not `optional`, and what else the stage is for, from the records in the
        order of `trials`."""
        raise NotImplementedError

    def figures(self, context: Context[Own], tables: Tables) -> Iterator[Picture]:
        """Figures of the tables, in the report's order; not called where a table failed."""
        return iter(())

    def findings(self, tables: Tables) -> Iterator[str]:
        """What its tables show, in sentences for the report."""
        return iter(())

    def failure(self, records: Sequence[Record[Config]]) -> str | None:
        """Why the stage has failed although its tables are written; by default, since any training did."""
        failed = [record.key for record in records if record.state == "failed"]
        return f"of {len(records)} trainings failed: {', '.join(failed)}" if failed else None


@dataclass(frozen=True)
class Context(Generic[Own]):
    """All that a stage is given, looked up in an orchestrator.engine.book.Book."""

    stage: Stage[Own, Any]
    _book: Any

    @property
    def own(self) -> Own:
        """The stage's settings."""
        return self.stage.own(self._book.settings)

    @property
    def seed(self) -> int:
        """The run's, which its stages count theirs from."""
        return int(self._book.settings.seed)

    @property
    def preset(self) -> str:
        """The run's."""
        return str(self._book.settings.preset)

    @property
    def run_name(self) -> str:
        """Name of the run."""
        return str(self._book.settings.run_name)

    def section(self, kind: type[Section]) -> Section:
        """Another section of the settings, of those that the stage says it reads."""
        assert kind in self.stage.reads, f"{self.stage.name} does not say that it reads {kind.__qualname__}"
        return section(kind, self._book.settings)

    @property
    def planning(self) -> bool:
        """Whether records that the stage needs are missing, so that only how much there is to do can be told."""
        return not all(self._book.provides(need, self.stage.name) for need in self._book.needs(self.stage.name))

    def records(self, stage: str) -> dict[str, Record[Any]]:
        """Records that this stage reads of one that it needs, by key, in the order of its trials."""
        assert stage in self._book.needs(self.stage.name), f"{self.stage.name} does not say that it needs {stage}"
        records = {record.key: record for record in self._book.study(stage).in_order()}
        return {key: records[key] for key in self.stage.reads_only(self).get(stage, records)}

    @property
    def own_records(self) -> list[Record[Any]]:
        """Records of the stage itself, in the order of its trials."""
        return list(self._book.study(self.stage.name).in_order())

    def weights(self, record: Record[Any], stage: str = "") -> bytes:
        """The final weights of a training of this stage, or of another that it needs, as safetensors."""
        return bytes(self._book.records(stage or self.stage.name).weights(record.address))

    def arrays(self, record: Record[Any]) -> dict[str, NDArray[Any]]:
        """What the epochs of a training of this stage gave beside metrics."""
        return dict(self._book.records(self.stage.name).arrays(record.address))

    @property
    def data(self) -> Any:
        """The data that the settings select."""
        return self._book.data

    @property
    def world(self) -> dict[str, Any]:
        """What decides the outcome of the stage's trainings and is not said by their trials."""
        checksum = self._book.suite.data_checksum(self._book.settings)
        return {"data": checksum, "inputs": list(self.stage.made_of(self)), "version": self.stage.version}

    @property
    def inputs_address(self) -> str:
        """Of the arrays that the stage's trainings are given; empty where there are none."""
        world = self.world
        return f"inputs-{hashed(world)}" if world["inputs"] else ""

    @property
    def inputs(self) -> Arrays:
        """These arrays; computed where that was not done before, and kept in the run folder."""
        address, records = self.inputs_address, self._book.records(self.stage.name)
        with contextlib.suppress(FileNotFoundError, Damaged):
            return dict(records.arrays(address))
        arrays = self.stage.inputs(self)
        records.save_arrays(address, arrays)
        return arrays
