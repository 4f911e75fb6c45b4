"""The run folder: records, manifest, tables, figures and models, on a local disk or on S3."""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
import pyarrow.parquet as pq
from pyarrow import fs
from pydantic import BaseModel, ConfigDict, ValidationError

from orchestrator.config import UserError
from orchestrator.tables import Rows, to_arrow

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA_VERSION = 1
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

    def row(self) -> dict[str, Any]:
        """Columns of the table stages."""
        return self.model_dump() | {"started": datetime.fromisoformat(self.started)}


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


class Run:
    """A run folder, `Run("runs/paper")` or `Run("s3://bucket/runs/paper")`.

    Every file is written whole or not at all: on a disk under a temporary name that is then renamed, on S3 with
    one put.
    """

    def __init__(self, location: str | Path) -> None:
        self.location = str(location)
        """As it was given."""
        self.is_local = "://" not in self.location
        try:
            if self.is_local:
                self._root = os.path.abspath(self.location)
                self._files: fs.FileSystem = fs.LocalFileSystem()
            else:
                self._files, self._root = fs.FileSystem.from_uri(self.location)
        except (OSError, ValueError) as error:
            raise UserError(f"--runs-dir {self.location}: {_reason(error)}") from None

    @property
    def absolute(self) -> str:
        """The location as another process finds it, wherever that runs."""
        return self._root if self.is_local else self.location

    def path(self, name: str) -> str:
        """Absolute path on the file system, or bucket and key, of a file in the folder."""
        return f"{self._root}/{name}"

    def exists(self, name: str) -> bool:
        """Whether the folder has this file."""
        return bool(self._files.get_file_info(self.path(name)).type == fs.FileType.File)

    def read(self, name: str) -> bytes:
        """Content of a file.

        Raises:
            FileNotFoundError: there is none.
        """
        with self._files.open_input_stream(self.path(name)) as stream:
            return bytes(stream.read())

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all; on a disk it is there for good when this returns."""
        path = self.path(name)
        if not self.is_local:
            with self._files.open_output_stream(path) as stream:
                stream.write(content)
            return
        folder = os.path.dirname(path)
        os.makedirs(folder, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".writing-", dir=folder)
        try:
            with open(handle, "wb") as stream:
                os.fchmod(stream.fileno(), 0o644)
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def delete(self, name: str) -> None:
        """Remove a file; nothing happens where there is none."""
        if self.exists(name):
            self._files.delete_file(self.path(name))

    def delete_folder(self, folder: str) -> None:
        """Remove a folder with all that it holds; nothing happens where there is none."""
        if self._files.get_file_info(self.path(folder)).type == fs.FileType.Directory:
            self._files.delete_dir(self.path(folder))

    def list(self, folder: str, suffix: str) -> list[str]:
        """Names, sorted and relative to the run folder, of a folder's files that end with `suffix`."""
        selector = fs.FileSelector(self.path(folder), allow_not_found=True)
        names = (f"{folder}/{info.base_name}" for info in self._files.get_file_info(selector))
        return sorted(name for name in names if name.endswith(suffix))

    def manifest(self) -> Manifest | None:
        """The manifest; None in a folder without one.

        Raises:
            UserError: it is damaged, or another version of this program wrote it.
        """
        name = "manifest.json"
        where = f"{self.location}/{name}"
        try:
            content = json.loads(self.read(name))
            version = content["schema_version"]
            if version == SCHEMA_VERSION:
                return Manifest.model_validate(content)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(f"{where} cannot be read: {_reason(error)}") from None
        except (ValueError, TypeError, KeyError, RecursionError, ValidationError):
            raise UserError(
                f"{where} is damaged; delete it and give the same command again: finished trainings are kept"
            ) from None
        raise UserError(
            f"{where} has schema version {version!r}, this program writes {SCHEMA_VERSION}: "
            "choose another --name, or use the program's version that made it"
        )

    def write_manifest(self, manifest: Manifest) -> None:
        """Write the manifest.

        Raises:
            UserError: the folder cannot be written.
        """
        try:
            self.write("manifest.json", manifest.model_dump_json(indent=2).encode())
        except OSError as error:
            raise UserError(f"the run folder {self.location} cannot be written: {_reason(error)}") from None

    def table(self, name: str) -> pd.DataFrame:
        """A result table; its `attrs` name the run it is from.

        Raises:
            FileNotFoundError: no stage has written it yet.
        """
        return pd.read_parquet(io.BytesIO(self.read(f"tables/{name}.parquet")))

    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table that there is, by name."""
        names = (Path(path).stem for path in self.list("tables", ".parquet"))
        return {name: self.table(name) for name in names}

    def write_table(self, name: str, rows: Rows, manifest: Manifest, fingerprint: str) -> None:
        """Write a table, replacing an earlier one."""
        attributes = {
            "table": name,
            "run": manifest.name,
            "preset": manifest.preset,
            "seed": manifest.seed,
            "schema_version": SCHEMA_VERSION,
            "fingerprint": fingerprint,
        }
        content = io.BytesIO()
        pq.write_table(to_arrow(name, rows, attributes), content)
        self.write(f"tables/{name}.parquet", content.getvalue())

    def write_figure(self, name: str, figure: Figure) -> None:
        """Write a figure as PNG and as SVG."""
        from matplotlib import rc_context

        for suffix in ("png", "svg"):
            content = io.BytesIO()
            with rc_context({"svg.hashsalt": name}):  # with it and without the date, the same figure is the same file
                figure.savefig(content, format=suffix, dpi=150, metadata={"Date": None} if suffix == "svg" else None)
            self.write(f"figures/{name}.{suffix}", content.getvalue())

    def records(self, folder: str) -> dict[str, dict[str, Any]]:
        """Finished units of work of one stage, by key."""
        names = self.list(folder, ".json")
        return {Path(name).stem: json.loads(self.read(name)) for name in names}

    def write_record(self, folder: str, key: str, record: Mapping[str, Any]) -> None:
        """Record a unit of work as finished."""
        self.write(f"{folder}/{key}.json", json.dumps(record, indent=1).encode())


def _reason(error: Exception) -> str:
    """Why the system refused, as one short line."""
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(text.split())[:200]
