"""What differs between two runs, apart from times: `python -m orchestrator.run compare A B`."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from orchestrator.engine.results import Run
from orchestrator.engine.settings import UserError

MADE_WITH = ("commit", "sources", "versions", "device", "host")
"""Columns of the table stages that may tell why results differ, and are none."""
OF_THE_MACHINE = {"started", "slots", *MADE_WITH}
"""Columns that differ from machine to machine, as do those whose unit is the second."""


def print_differences(runs_dir: str, names: Sequence[str]) -> int:
    """Print what differs between two runs, by name or folder; 1 where anything does, else 0."""
    if len(names) != 2:
        raise UserError("compare takes two names of runs, or their folders")
    one, other = (Run(name if "/" in name else f"{runs_dir.rstrip('/')}/{name}") for name in names)
    lines = list(differences(one, other))
    lines += _made_with(one, other) if lines else ()
    print("\n".join(lines) or f"{one.location} and {other.location} are equal, times aside")
    return 1 if lines else 0


def differences(one: Run, other: Run) -> Iterator[str]:
    """A line for each table and model of the two that is not the same in both, bit for bit.

    UserError where one of the folders has no tables, or one that is no Parquet file.
    """
    for folder, suffix in (("tables", ".parquet"), ("models", ".safetensors")):
        mine, theirs = (set(run.list(folder, suffix)) for run in (one, other))
        if folder == "tables" and not (mine and theirs):
            raise UserError(f"{(other if mine else one).location} has no tables: is the name right?")
        for name in sorted(mine | theirs):
            if name not in mine & theirs:
                yield f"{name} is only in {(one if name in mine else other).location}"
            elif folder == "tables":
                yield from (f"{Path(name).stem}: {line}" for line in _between(_table(one, name), _table(other, name)))
            elif one.read(name) != other.read(name):
                yield f"{name} differs"


def _made_with(one: Run, other: Run) -> Iterator[str]:
    """What the two were made with, where that is not the same: it may be why they differ."""
    stages = [run.table("stages") for run in (one, other) if run.exists("tables/stages.parquet")]
    for column in MADE_WITH:
        found = ["; ".join(map(str, table[column].dropna().unique())) for table in stages if column in table]
        if len(set(found)) > 1:
            yield f"made with another {column}: {' and '.join(found)}"


def _table(run: Run, name: str) -> pa.Table:
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(run.read(name)))
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{run.location}/{name} is no Parquet file: {' '.join(str(error).split())[:100]}") from None
    times = {field.name for field in table.schema if (field.metadata or {}).get(b"unit") == b"s"}
    return table.drop_columns(list((times | OF_THE_MACHINE) & set(table.column_names)))


def _between(one: pa.Table, other: pa.Table) -> Iterator[str]:
    if one.column_names != other.column_names:
        yield f"columns {', '.join(sorted(set(one.column_names) ^ set(other.column_names)))} are only in one of them"
    elif len(one) != len(other):
        yield f"{len(one)} rows and {len(other)}"
    else:
        for name in one.column_names:
            first, second = (table[name].to_pylist() for table in (one, other))
            pairs = enumerate(zip(first, second, strict=True))
            found = [(row, a, b) for row, (a, b) in pairs if a != b and (a == a or b == b)]
            for row, a, b in found[:1]:
                yield f"{name} differs in {len(found)} of {len(one)} rows, first in row {row}: {a!r} and {b!r}"
