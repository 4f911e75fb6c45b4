"""What a run folder's manifest.json says: settings, versions, hardware, and how far each stage is."""

import contextlib
import os
import platform
import subprocess
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 3
"""Raised whenever a run folder of the version before could be misread."""
PACKAGES = ("ray", "torch", "optuna", "numpy", "pandas", "pyarrow", "scikit-learn")
"""Those that a result depends on."""
State = Literal["done", "failed", "running", "blocked"]


class StageState(BaseModel):
    """What the manifest says of one stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: State
    fingerprint: str
    started: str
    """ISO 8601, UTC."""
    seconds: float = 0.0
    training_seconds: float = 0.0
    slots: int = 0
    error: str | None = None
    records: tuple[str, ...] = ()
    """Addresses of the records that it was made of."""
    files: dict[str, str] = {}
    """What it wrote: tables, figures, models, by name, with their SHA-256."""
    captions: dict[str, str] = {}
    """Of its figures, by name, in the report's order."""

    @property
    def why(self) -> str:
        """The last line of its error; empty where there is none."""
        return "".join((self.error or "").strip().splitlines()[-1:])

    def row(self) -> dict[str, Any]:
        """Columns of the table stages."""
        own = self.model_dump(exclude={"records", "files", "captions"})
        return own | {"started": datetime.fromisoformat(self.started)}


class Manifest(BaseModel):
    """manifest.json: what was run, with what, and how far it got."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int = SCHEMA_VERSION
    name: str
    preset: str = ""
    seed: int = 0
    settings: dict[str, Any] = {}
    data_checksum: str = ""
    versions: dict[str, str] = {}
    git_commit: str | None = None
    hardware: dict[str, Any] = {}
    stages: dict[str, StageState] = {}
    report: dict[str, str] = {}
    """Files of the report, by name, with their SHA-256."""
    report_of: str = ""
    """Hash of what the report was made of."""

    def attributes(self, table: str, fingerprint: str) -> dict[str, Any]:
        """What a table of this run says of itself."""
        own = {"run": self.name, "preset": self.preset, "seed": self.seed, "schema_version": SCHEMA_VERSION}
        return {"table": table, **own, "fingerprint": fingerprint}


def versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Versions of Python and of these packages."""
    known = {"python": platform.python_version()} | dict.fromkeys(packages, "not installed")
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):
            known[package] = version(package)
    return known


def git_commit() -> str | None:
    """Commit that this code was checked out from, with "-dirty" where it was changed since.

    Outside git, in a submitted job or an image say, what the variable GIT_COMMIT has; None where it is not set.
    """
    command, found = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"], ""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10)
        found = done.stdout.strip()
    return found or os.environ.get("GIT_COMMIT")
