"""A run's results: its manifest, and its tables as DataFrames."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pyarrow as pa
from pydantic import ValidationError

from orchestrator.engine.folder import Damaged, Folder, is_sound
from orchestrator.engine.manifest import SCHEMA_VERSION, Manifest
from orchestrator.engine.settings import UserError

RESERVED = {"records", "quarantine", "ray", "manifest.json", "lock"}
"""What is the engine's own in a run folder."""
MOST_CELLS = 2 * 10**7
"""No table of a run has more."""

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow.parquet as pq


class Run(Folder):
    """A run folder, `Run("runs/paper")` or `Run("s3://bucket/runs/paper")`."""

    def manifest(self) -> Manifest | None:
        """The manifest; None in a folder without one. UserError where another version of this program wrote it."""
        name = "manifest.json"
        try:
            version = _unsealed_version(self.read(name))
            content = self.read_json(name) if version is None else {"schema_version": version}
            if content["schema_version"] == SCHEMA_VERSION:
                return _checked(Manifest.model_validate(content))
        except FileNotFoundError:
            return None
        except (KeyError, ValueError, OverflowError, ValidationError):
            raise Damaged(f"{name} is damaged") from None
        raise UserError(
            f"{self.location}/{name} has schema version {content['schema_version']!r}, this program writes "
            f"{SCHEMA_VERSION}: choose another --name, or use the program's version that made it"
        )

    def write_manifest(self, manifest: Manifest) -> None:
        """Write the manifest."""
        self.write_json("manifest.json", manifest.model_dump(mode="json"))

    def table(self, name: str) -> pd.DataFrame:
        """A result table; its `attrs` name the run it is from.

        FileNotFoundError where none has written it yet, Damaged where it is none.
        """
        content = self.read(f"tables/{name}.parquet")
        try:
            return as_frame(content)
        except NO_TABLE:
            raise Damaged(f"tables/{name}.parquet is no table of a run") from None

    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table that there is, by name."""
        names = (PurePosixPath(path).stem for path in self.list("tables", ".parquet"))
        return {name: self.table(name) for name in names}


def pooled(locations: Iterable[str | Path], name: str) -> pd.DataFrame:
    """A table of several runs as one; its first column, `run`, has the location that a row is from."""
    import pandas as pd

    frames = [Run(location).table(name).assign(run=str(location)) for location in locations]
    for column in {column for frame in frames for column in frame.select_dtypes("category")}:
        known = [frame[column].astype("category").cat.categories for frame in frames if column in frame]
        kind = pd.CategoricalDtype(list(dict.fromkeys(value for categories in known for value in categories)))
        frames = [frame.astype({column: kind}) if column in frame else frame for frame in frames]
    table = pd.concat(frames, ignore_index=True).astype({"run": "category"})
    return table[["run", *table.columns.drop("run")]]


def as_frame(content: bytes, schema: pa.Schema | None = None) -> pd.DataFrame:
    """The DataFrame of a table's file; one of NO_TABLE where that is no table of a run, or of another schema."""
    table = as_table(content, schema)
    frame: pd.DataFrame = table.to_pandas(use_threads=False)
    frame.attrs = json.loads((table.schema.metadata or {}).get(b"PANDAS_ATTRS", b"{}"))
    if not isinstance(frame.attrs, dict):
        raise ValueError("attributes that are none")
    return frame


def as_table(content: bytes, schema: pa.Schema | None = None) -> pa.Table:
    """A table of its file; one of NO_TABLE where that is no table of a run, or of another schema.

    Arrow's threads have no part in it: each lets go of Python's bytes at leisure, and where Python is ending by then
    that aborts the process (apache/arrow#34314).
    """
    return _opened(content, schema).read(use_threads=False)


def schema_of(content: bytes) -> pa.Schema:
    """The schema of a table's file; one of NO_TABLE where that is no table of a run."""
    return _opened(content).schema_arrow


NO_TABLE = (pa.ArrowException, OSError, ValueError, TypeError, KeyError, RecursionError)
"""What becomes of reading other bytes as a table."""


def _opened(content: bytes, schema: pa.Schema | None = None) -> pq.ParquetFile:
    """A file, of which is seen, before its columns are read, that it may be a run's table; else one of NO_TABLE."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(pa.BufferReader(content))
    described, own = file.metadata, file.schema_arrow
    groups = map(described.row_group, range(described.num_row_groups))
    if sum(group.column(place).num_values for group in groups for place in range(group.num_columns)) > MOST_CELLS:
        raise ValueError("it is too large")
    if len(set(own.names)) < len(own.names) or b"pandas" in (described.metadata or {}):  # tells pandas how to read it
        raise ValueError("no run has written it")
    if schema is not None and not own.equals(schema):
        raise ValueError("it has other columns")
    return file


def check_own(name: str) -> None:
    """See that a stage, or the report, may write a file of this name; else ValueError."""
    if not is_sound(name) or name.split("/")[0] in RESERVED:
        raise ValueError(f"{name!a} is no name for a file of a stage")


def _checked(manifest: Manifest) -> Manifest:
    """The manifest, if it is one that a run can have written; else ValueError."""
    files = [name for entry in manifest.stages.values() for name in entry.files] + list(manifest.report)
    figures = [f"figures/{name}" for entry in manifest.stages.values() for name in entry.captions]
    for name in files + figures:
        check_own(name)
    if len(set(files)) < len(files):
        raise ValueError("two stages have written the same file")
    for entry in manifest.stages.values():
        entry.row()
    json.dumps(manifest.model_dump(mode="json"), ensure_ascii=False).encode()  # it is text that a table can hold
    return manifest


def _unsealed_version(content: bytes) -> object:
    """The schema version of a manifest from before manifests were sealed; None where it is no such."""
    with contextlib.suppress(ValueError, TypeError, AttributeError, RecursionError):
        manifest = json.loads(content)
        return None if "sha256" in manifest else manifest.get("schema_version")
    return None
