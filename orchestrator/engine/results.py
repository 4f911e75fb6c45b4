"""A run's results: its manifest, and its tables as DataFrames."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from pydantic import ValidationError

from orchestrator.engine.folder import Damaged, Folder
from orchestrator.engine.manifest import SCHEMA_VERSION, Manifest
from orchestrator.engine.settings import UserError

if TYPE_CHECKING:
    import pandas as pd


class Run(Folder):
    """A run folder, `Run("runs/paper")` or `Run("s3://bucket/runs/paper")`."""

    def manifest(self) -> Manifest | None:
        """The manifest; None in a folder without one. UserError where another version of this program wrote it."""
        name = "manifest.json"
        try:
            version = _unsealed_version(self.read(name))
            content = self.read_json(name) if version is None else {"schema_version": version}
            if content["schema_version"] == SCHEMA_VERSION:
                return Manifest.model_validate(content)
        except FileNotFoundError:
            return None
        except (KeyError, ValidationError):
            raise Damaged(f"{name} is damaged") from None
        raise UserError(
            f"{self.location}/{name} has schema version {content['schema_version']!r}, this program writes "
            f"{SCHEMA_VERSION}: choose another --name, or use the program's version that made it"
        )

    def write_manifest(self, manifest: Manifest) -> None:
        """Write the manifest."""
        self.write_json("manifest.json", manifest.model_dump(mode="json"))

    def table(self, name: str) -> pd.DataFrame:
        """A result table; its `attrs` name the run it is from. FileNotFoundError where none has written it yet."""
        return as_frame(self.read(f"tables/{name}.parquet"))

    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table that there is, by name."""
        names = (PurePosixPath(path).stem for path in self.list("tables", ".parquet"))
        return {name: self.table(name) for name in names}


def as_frame(content: bytes) -> pd.DataFrame:
    """The DataFrame of a table's file."""
    import pandas as pd

    return pd.read_parquet(io.BytesIO(content))


def _unsealed_version(content: bytes) -> object:
    """The schema version of a manifest from before manifests were sealed; None where it is no such."""
    with contextlib.suppress(ValueError, TypeError, AttributeError, RecursionError):
        manifest = json.loads(content)
        return None if "sha256" in manifest else manifest.get("schema_version")
    return None
