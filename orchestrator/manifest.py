"""What a run folder's manifest.json says."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 2
"""Raised whenever a run folder of the version before could be misread."""


class StageState(BaseModel):
    """What the manifest says of one stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: Literal["done", "failed", "running", "blocked"]
    fingerprint: str
    started: str
    """ISO 8601, UTC."""
    seconds: float = 0.0
    training_seconds: float = 0.0
    slots: int = 0
    error: str | None = None
    files: dict[str, str] = {}
    """What the stage wrote: tables, figures, models, by name, with their SHA-256."""

    def row(self) -> dict[str, Any]:
        """Columns of the table stages."""
        return self.model_dump(exclude={"files"}) | {"started": datetime.fromisoformat(self.started)}


class Manifest(BaseModel):
    """manifest.json: what was run, with what, and how far it got."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int = SCHEMA_VERSION
    name: str
    preset: str
    seed: int
    settings: dict[str, Any]
    data_checksum: str
    versions: dict[str, str]
    git_commit: str | None
    hardware: dict[str, Any]
    stages: dict[str, StageState] = {}

    @classmethod
    def empty(cls, name: str, data_checksum: str) -> Manifest:
        """Of a run that has not begun."""
        return cls(
            name=name,
            preset="",
            seed=0,
            settings={},
            data_checksum=data_checksum,
            versions={},
            git_commit=None,
            hardware={},
        )
