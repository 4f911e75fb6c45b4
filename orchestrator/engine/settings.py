"""Settings that refuse unknown names and bad values, wherever they come from."""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

LARGEST, MOST = 2**32, 100_000
"""No number of the settings is larger, and none that counts what a run does; what a finger slipped on is refused."""
Model = TypeVar("Model", bound=BaseModel)
Tracker = Literal["tensorboard", "mlflow", "wandb"]


class UserError(Exception):
    """The user's input is at fault; the message is one line that says what and how to mend it."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


@dataclass(frozen=True)
class Scale:
    """Marks a setting that makes a run smaller than the paper's: where it is less, or a list of it shorter."""

    what: str
    """What is counted, in words that follow the number: "epochs a fold"."""
    also: tuple[str, ...] = ()
    """Stages that it makes smaller too, although their own settings are a part of those that it is among."""


@dataclass(frozen=True)
class Aside:
    """Marks a setting that makes no result other than the paper's, whatever it is."""


@dataclass(frozen=True)
class Found:
    """Marks what is no setting to be made, but was found where a setting leads; None until then."""


KINDS = {
    "int_parsing": "a whole number is wanted",
    "int_from_float": "a whole number is wanted",
    "float_parsing": "a number is wanted",
    "bool_parsing": "true or false is wanted",
    "extra_forbidden": "there is no such setting",
}
"""What pydantic's types of errors are in plain words."""
DECIDE_NOTHING = {
    *("preset", "name", "runs_dir", "config", "address", "force", "strict", "track", "resources"),
    "data_dir",
}
"""Settings that say where and how a run is done, or that others follow from."""
FOUND = {"found", "own"}
"""What is called so in a section follows from another setting, and is marked with `Found`."""


class Section(BaseModel):
    """Frozen settings that refuse unknown names, and numbers that nobody means.

    Defaults are the paper's scale; a field's docstring is its help.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, coerce_numbers_to_str=True)

    @field_validator("*")
    @classmethod
    def _sensible(cls, value: Any, info: ValidationInfo) -> Any:
        name = str(info.field_name)
        counts = any(isinstance(it, Scale) for it in cls.model_fields[name].metadata)
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int | float) and not abs(number) <= (MOST if counts else LARGEST):
                raise ValueError(f"{name} cannot be {number}")
        return value


def local_path(path: str) -> str:
    """A path on this machine with ~ and ~user spelled out; ValueError where that is not to be had."""
    if re.search(r"[\0-\x1f\x7f]", path):
        raise ValueError(f"{path!r} has characters that no name of a folder has")
    try:
        named_alike = os.fsencode(path) == path.encode()
    except UnicodeEncodeError:
        named_alike = False
    if not named_alike:
        raise ValueError(f"{path!a} is not UTF-8 here; with LC_ALL=C.UTF-8 it may be")
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        raise ValueError(f"whose home is {path!r}? there is no such user; write the folder in full")
    return expanded


LocalPath = Annotated[Path, AfterValidator(lambda path: Path(local_path(str(path))))]
"""A path on this machine."""


def folder_of_runs(text: str) -> str:
    """Where runs are, a local folder or an s3:// address; ValueError where it is neither."""
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):/|[sS]3:", text)
    if not text.strip() or text.rstrip("/").endswith(":"):
        raise ValueError(f"{text!r} is neither a folder nor an address like s3://bucket/prefix")
    if "@" in urlsplit(text).netloc:
        raise ValueError("an address with a key in it would be written into logs; give keys in the environment")
    if not scheme:
        return local_path(text)
    if not re.fullmatch(r"s3://[^/?#\s]+(/[^?#]*)?", text):
        raise ValueError(f"{text!r}: runs are kept in a folder, or under an address like s3://bucket/prefix")
    return text


def nested(settings: BaseModel) -> dict[str, Any]:
    """All settings by name, those of sections nested; also such as are left out of files while they are as usual."""
    return {name: nested(value) if isinstance(value, BaseModel) else value for name, value in settings}


def changed(settings: Model, **changes: Any) -> Model:
    """The same settings with some changed, all of them validated; a nested section takes a dictionary of its own."""
    return type(settings).model_validate(merged(settings.model_dump(), changes))


def merged(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings with some changed: how presets, YAML files and ablations are written."""
    nested = {
        name: merged(settings[name], change)
        for name, change in changes.items()
        if isinstance(change, Mapping) and isinstance(settings.get(name), Mapping)
    }
    return dict(settings) | dict(changes) | nested


def differences(
    mine: BaseModel, full: BaseModel, path: str, also: str = "", apart: Collection[str] = ()
) -> list[str]:
    """What in a section is other than at full scale, in words: "2 instead of 20 epochs a fold".

    More of what is counted is no difference.

    Args:
        mine: the section.
        full: the same at full scale.
        path: where it stands among all settings.
        also: of what is counted, only what makes this stage smaller too; by default all of it.
        apart: paths of sections in it that are looked at by themselves.
    """
    lines = []
    for name, field in type(mine).model_fields.items():
        pair, where = (getattr(mine, name), getattr(full, name)), f"{path}.{name}"
        scale = next((marker for marker in field.metadata if isinstance(marker, Scale)), None)
        aside = any(isinstance(marker, Aside | Found) for marker in field.metadata) or where in apart
        if aside or (scale is not None and also and also not in scale.also):
            continue
        if isinstance(pair[0], BaseModel):
            lines += differences(*pair, where, also, apart)
        elif scale is not None:
            less, more = (len(value) if isinstance(value, tuple) else value for value in pair)
            if less < more:
                lines.append(f"{f'{less:,} instead of {more:,}' if more is not True else 'no'} {scale.what}")
            elif isinstance(pair[1], tuple) and (missing := set(pair[1]) - set(pair[0])):
                lines.append(f"without {_in_words(tuple(sorted(missing)))} among the {scale.what}")
        elif pair[0] != pair[1]:
            lines.append(f"{where} {_in_words(pair[0])} instead of {_in_words(pair[1])}")
    return lines


def _in_words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def changes(
    mine: Mapping[str, Any], usual: Mapping[str, Any], path: str = "", left_out: Collection[str] = DECIDE_NOTHING
) -> Iterator[tuple[str, Any]]:
    """Settings that are other than usual and decide a result, by their path: ("kfold.epochs", 3).

    Both are settings as JSON has them; others than those that decide nothing may be left out.
    """
    for name, value in mine.items():
        other, where = usual.get(name), path + name
        if where in left_out or (path and name in FOUND):
            continue
        if isinstance(value, Mapping):
            yield from changes(value, other if isinstance(other, Mapping) else {}, f"{where}.", left_out)
        elif value != other:
            yield where, value


class Resources(Section):
    """How trainings share the machine; none of this changes a result on the CPU, `ensemble` above 1 aside."""

    slots: int | None = Field(default=None, ge=1)
    """Trainings at once; by default as many as there are cores, or GPU shares where there are GPUs."""
    gpus_per_training: float | None = Field(default=None, gt=0, le=1)
    """Share of a GPU for each training, on machines that have GPUs; by default as many share one as there are cores
    for it, eight at most."""
    ensemble: int = Field(default=1, ge=1, le=64)
    """Trainings of one architecture that a worker trains as one, at most; for GPUs, which the kernels of one do not
    fill. Each has its own record, which differs by rounding from that of a training alone."""
    mps: bool = True
    """Whether trainings that share a GPU compute on it at once, by NVIDIA's Multi-Process Service where the driver
    has it; else they take turns. A cluster that is joined has its own."""
    niceness: int = Field(default=5, ge=0, le=19)
    """How far trainings stand back behind what else runs: with 0 they take turns with it, with 5 they have a quarter
    of a core that something else wants too, with 15 a thirtieth. Where Linux groups by session (sched_autogroup) this
    is so among what was started from the same terminal; sessions have equal shares. A cluster that is joined
    has its own."""
    retries: int = Field(default=2, ge=0)
    """Times that a training is taken up again after its worker or node was lost."""
    stuck_minutes: float = Field(default=30, gt=0)
    """After which a worker that finished no epoch is ended, and its training taken up again."""
    free_gigabytes: float = Field(default=1, ge=0)
    """Space that the run folder's disk must have left for a run to start."""

    @property
    def stuck_seconds(self) -> float:
        """`stuck_minutes`, in seconds."""
        return 60 * self.stuck_minutes


class RunSettings(Section):
    """What every run is told, whatever its stages are."""

    preset: str
    """Scale of the run."""
    name: str = ""
    """Name of the run and of its folder; by default the preset's."""
    runs_dir: str = "runs"
    """Where run folders live: a local folder or an s3:// address."""
    config: LocalPath | None = None
    """YAML file of settings, or a run's manifest.json, to repeat it; flags on the command line win over it."""
    address: str = "auto"
    """Ray cluster: auto (a running one, or one of our own), local (always our own), or host:port."""
    force: tuple[str, ...] = ()
    """Stages to redo although they are done; all of them: all."""
    strict: bool = False
    """Refuse to go on, or to report, where results were made by other code or packages than are here, or on devices
    that differ from each other."""
    track: Annotated[tuple[Tracker, ...], Aside()] = ()
    """What is shown each training as it runs: tensorboard (event files in the run folder), mlflow, wandb (Weights &
    Biases); the latter two find their servers by their own variables."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1  # others are counted from it, and all are less than 2**32
    """Decides every random number of the run."""
    resources: Resources = Resources()

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        if name and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name):
            raise ValueError(
                f"{name!r} is not a run name: letters, digits, '.', '_' and '-' only, not starting with '.' or '-'"
            )
        return name

    _runs_dir = field_validator("runs_dir")(folder_of_runs)

    @property
    def run_name(self) -> str:
        """Name of the run folder."""
        return self.name or self.preset


def is_scale(settings: BaseModel, path: str) -> bool:
    """Whether a setting, by its path, is one that makes a run smaller than the paper's."""
    *sections, name = path.split(".")
    for part in sections:
        settings = getattr(settings, part)
    return any(isinstance(it, Scale) for it in type(settings).model_fields[name].metadata)


def section(kind: type[Model], settings: RunSettings) -> Model:
    """The section of this class among the settings."""
    (of_kind,) = (value for _, value in settings if type(value) is kind)
    return of_kind


def first_mistake(error: ValidationError) -> str:
    """The first of a validation's errors as one line: the setting, the rule, the value."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    rule = KINDS.get(first["type"]) or str(first["msg"]).removeprefix("Value error, ")
    got = "nothing" if first["input"] is None else str(first["input"])
    told = first["type"] in {"value_error", "missing"}
    return f"{where}: {rule}" + ("" if told else f" (got {got[:100]})") if where else rule
