"""What a run folder's manifest.json says: how far each stage is, what it was told and what it was made with."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.engine.provenance import Made
from orchestrator.engine.settings import RunSettings

SCHEMA_VERSION = 4
"""Raised whenever a run folder of the version before could be misread."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
State = Literal["done", "failed", "running", "blocked"]


class StageState(BaseModel):
    """What the manifest says of one stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: State
    fingerprint: str
    settings: dict[str, Any] = {}
    """All settings of the command that did it; the fingerprint is of those that decide its outcome."""
    made: Made = Made()
    """With what its tables were written."""
    trained: tuple[Made, ...] = ()
    """With what its trainings were done, each once."""
    started: str
    """ISO 8601, UTC."""
    seconds: float = 0.0
    training_seconds: float = 0.0
    pace: float = Field(default=0.0, ge=0, lt=1e6)
    """Seconds that its trainings took for each that they were expected to take; 0 where that is not known."""
    slots: int = Field(default=0, ge=0, lt=2**31)
    error: str | None = None
    records: tuple[str, ...] = ()
    """Addresses of the records that it was made of."""
    files: dict[str, str] = {}
    """What it wrote: tables, figures, models, by name, with their SHA-256; with "+" and a number of bytes where it is
    of so many at the beginning, and others may add to the file."""
    captions: dict[str, str] = {}
    """Of its figures, by name, in the report's order."""
    warnings: tuple[str, ...] = ()
    """Figures that could not be drawn, and why: "figures/NAME: reason"."""

    @property
    def began(self) -> float:
        """When it started, in seconds since 1970."""
        started = datetime.fromisoformat(self.started)
        return ((started if started.tzinfo else started.replace(tzinfo=UTC)) - EPOCH).total_seconds()

    @property
    def why(self) -> str:
        """The last line of its error; empty where there is none."""
        return "".join((self.error or "").strip().splitlines()[-1:])

    def row(self) -> dict[str, Any]:
        """Columns of the table stages."""
        by = self.trained or (self.made,)
        preset, seed = (self.settings.get(name) for name in ("preset", "seed"))
        return {
            **self.model_dump(include={"state", "seconds", "training_seconds", "slots", "fingerprint", "error"}),
            "started": datetime.fromisoformat(self.started),
            "preset": preset if isinstance(preset, str) else None,
            "seed": seed if isinstance(seed, int) and abs(seed) < 2**63 else None,
            "commit": self.made.commit,
            "sources": _each(it.sources for it in (self.made, *self.trained)),
            "versions": ", ".join(map(" ".join, self.made.versions.items())),
            "device": _each(it.device for it in by),
            "host": _each(it.host for it in by),
        }


def _each(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(values))


class Manifest(BaseModel):
    """manifest.json: how far a run is.

    Preset, seed and settings are those of the last command that did something; what each stage was told stands in its
    entry.
    """

    model_config = ConfigDict(extra="forbid")

    schema_version: int = SCHEMA_VERSION
    name: str
    preset: str = ""
    seed: int = 0
    settings: dict[str, Any] = {}
    data_checksum: str = ""
    stages: dict[str, StageState] = {}
    report: dict[str, str] = {}
    """Files of the report, by name, with their SHA-256."""
    report_of: str = ""
    """Hash of what the report was made of."""

    def attributes(self, table: str, fingerprint: str) -> dict[str, Any]:
        """What a table of this run says of itself."""
        own = {"run": self.name, "preset": self.preset, "seed": self.seed, "schema_version": SCHEMA_VERSION}
        return {"table": table, **own, "fingerprint": fingerprint}


def told(settings: RunSettings) -> dict[str, Any]:
    """What a command was told, as the manifest keeps it."""
    return settings.model_dump(mode="json", exclude={"force", "config", "strict", "track"})
