"""Tables, figures and whole sections as the page's template wants them."""

import base64
import contextlib
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import pyarrow as pa

from orchestrator.engine.manifest import Manifest, StageState
from orchestrator.engine.results import Run, as_frame
from orchestrator.engine.stage import Stage
from orchestrator.engine.tables import Rows, as_parquet
from orchestrator.report import words

MOVED = {"curves", "frames", "plane"}
"""Kinds of figures that the page's script draws (orchestrator.figures.interactive)."""
LAST = {"seconds", "state", "error"}
"""Columns that say least."""
HASHES = {"fingerprint"}
"""Columns that no reader wants."""
MOST_CELLS = 10_000
"""Of a table that is downloaded from the page though it is not shown there."""


def section(
    stage: Stage[Any, Any], tables: Mapping[str, pd.DataFrame], run: Run, manifest: Manifest
) -> dict[str, Any] | None:
    """What a stage has to show; None where that is nothing."""
    there = [name for name in stage.schemas if name in tables and len(tables[name])]
    shown = [table(name, tables[name], stage.schemas[name]) for name in there if name in stage.shown]
    entry = manifest.stages.get(stage.name)
    figures = list(_figures(entry, run)) if entry else []
    if not shown and not figures:
        return None
    found = (
        list(stage.findings(tables)) if stage.schemas.keys() - set(stage.optional) <= tables.keys() and shown else []
    )
    further = [described(name, tables[name], stage.schemas[name]) for name in there if name not in stage.shown]
    title = stage.title or stage.name
    return {
        "id": stage.name,
        "title": title,
        "found": found,
        "tables": shown,
        "further": further,
        "figures": figures,
    }


def of_rows(name: str, title: str, columns: pa.Schema, rows: Rows, *found: str) -> dict[str, Any]:
    """A section of one table that no stage made."""
    shown = table(name, framed(columns, rows).drop(columns=HASHES, errors="ignore"), columns)
    return {"id": name, "title": title, "found": found, "tables": [shown], "further": [], "figures": []}


def framed(columns: pa.Schema, rows: Rows) -> pd.DataFrame:
    """Rows as the table that they are written as."""
    return as_frame(as_parquet(columns, rows, {}))


def _figures(entry: StageState, run: Run) -> Iterator[dict[str, Any]]:
    """What a stage drew, as pixels or to be moved; a file that is no longer that is left out.

    Animations are too: nothing on the page moves that nobody has asked to.
    """
    files = {
        name: file
        for name in entry.captions
        for kind in ("json", "png")
        if (file := f"figures/{name}.{kind}") in entry.files
    }
    contents = run.as_written({file: entry.files[file] for file in files.values()})
    for name, file in files.items():
        if file not in contents:
            continue
        told = {"id": name, "caption": entry.captions[name]}
        if file.endswith(".png"):
            yield told | {"content": base64.b64encode(contents[file]).decode(), "alt": _alt(contents[file], told)}
        elif moved := _moved(contents[file]):
            yield told | {"moved": moved}


def _alt(content: bytes, told: dict[str, Any]) -> str:
    """A drawn figure's title; of one whose file has none the first sentence of its caption."""
    from PIL import Image

    title = ""
    with contextlib.suppress(OSError, ValueError), Image.open(io.BytesIO(content)) as image:
        title = str(image.info.get("Title", ""))
    first, end, _ = str(told["caption"]).partition(". ")
    return title if title not in ("", told["id"]) else first + end.strip()


def _moved(content: bytes) -> dict[str, Any] | None:
    """A figure that readers move; None where it is no such."""
    with contextlib.suppress(ValueError, TypeError, RecursionError):
        moved = json.loads(content)
        if isinstance(moved, dict) and moved.get("kind") in MOVED:
            return moved
    return None


def table(name: str, frame: pd.DataFrame, columns: pa.Schema) -> dict[str, Any]:
    """A table, results first, without columns that are empty throughout."""
    frame = frame.dropna(axis="columns", how="all")
    frame = frame[_in_order(frame, columns)]
    numeric = [pd.api.types.is_numeric_dtype(frame[column]) for column in frame]
    return described(name, frame, columns) | {
        "numeric": numeric,
        "rows": [[words.cell(value) for value in row] for row in frame.itertuples(index=False, name=None)],
        "csv": _csv(frame),
    }


def _csv(frame: pd.DataFrame) -> str:
    """In base64, for a link."""
    return base64.b64encode(frame.to_csv(index=False).encode()).decode()


def _in_order(frame: pd.DataFrame, columns: pa.Schema) -> list[str]:
    """What a row is of, then what was measured, then the parameters, then the rest."""
    names = [str(column) for column in frame]
    numbers = [name for name in names if pd.api.types.is_float_dtype(frame[name])]
    parameters = [name for name in names if b"role" in (columns.field(name).metadata or {})]
    rest = [name for name in names if name in LAST]
    first = next((place for place, name in enumerate(names) if name in numbers + parameters), len(names))
    of = [name for name in names[:first] if name not in rest and not name.startswith("num_")]
    measured = [name for name in numbers if name not in parameters + rest]
    others = [name for name in names if name not in of + measured + parameters + rest]
    return of + measured + others + parameters + rest


def described(name: str, frame: pd.DataFrame, columns: pa.Schema) -> dict[str, Any]:
    """A table's name, size and, where it is small, content; its columns' names, in words too, units and meanings."""
    metadata = {field.name: field.metadata or {} for field in columns}
    told = [
        {
            "name": str(column),
            "words": words.name(str(column)),
            "unit": metadata[column].get(b"unit", b"").decode(),
            "description": metadata[column].get(b"description", b"").decode(),
        }
        for column in frame
    ]
    csv = _csv(frame) if frame.size <= MOST_CELLS else None
    return {"name": name, "num_rows": len(frame), "columns": told, "csv": csv}
