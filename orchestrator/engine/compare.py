"""What differs between two runs, apart from times: `python -m orchestrator.run compare A B`."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.engine.folder import Damaged
from orchestrator.engine.results import NO_TABLE, Run, as_table
from orchestrator.engine.settings import UserError, folder_of_runs
from orchestrator.engine.shown import shown

MOST_LETTERS = 500
"""Of a line that tells a difference."""

MADE_WITH = ("commit", "sources", "versions", "device", "host")
"""Columns of the table stages that may tell why results differ, and are none."""
OF_THE_MACHINE = {"started", "slots", *MADE_WITH}
"""Columns that differ from machine to machine, as do those whose unit is the second."""


def print_differences(runs_dir: str, names: Sequence[str]) -> int:
    """Print what differs between two runs, by name or folder; 1 where anything does, else 0."""
    if len(names) != 2:
        raise UserError("compare takes two names of runs, or their folders; or more of them, for a table")
    one, other = map(Run, places(runs_dir, names))
    lines = list(differences(one, other))
    lines += _made_with(one, other) if lines else ()
    equal = f"{one.location} and {other.location} are equal, times aside"
    print("\n".join(shown(line)[:MOST_LETTERS] for line in lines) or equal)
    return 1 if lines else 0


def places(runs_dir: str, names: Sequence[str]) -> list[str]:
    """Folders of runs that are given by name or folder."""
    try:
        return [folder_of_runs(name) if "/" in name else f"{runs_dir.rstrip('/')}/{name}" for name in names]
    except ValueError as error:
        raise UserError(f"compare: {error}") from None


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
                yield from (
                    f"{Path(name).stem}: {line}" for line in _between(_columns(one, name), _columns(other, name))
                )
            elif _weights(_content(one, name)) != _weights(_content(other, name)):
                yield f"{name} differs"


def _made_with(one: Run, other: Run) -> Iterator[str]:
    """What the two were made with, where that is not the same: it may be why they differ."""
    stages = []
    for run in (one, other):
        with contextlib.suppress(FileNotFoundError, Damaged):
            stages.append(run.table("stages"))
    for column in MADE_WITH:
        found = ["; ".join(map(str, table[column].dropna().unique())) for table in stages if column in table]
        if len(set(found)) > 1:
            yield f"made with another {column}: {' and '.join(found)}"


def _content(run: Run, name: str) -> bytes:
    try:
        return run.read(name)
    except Damaged as error:
        raise UserError(f"{run.location}/{error}: it cannot be compared") from None


def _weights(content: bytes) -> object:
    """A model's numbers by name, whatever else its file says; the content of a file that is none."""
    from safetensors import SafetensorError, deserialize

    try:
        return dict(deserialize(content))
    except SafetensorError:
        return content


def _columns(run: Run, name: str) -> dict[str, list[Any]]:
    """A table's columns but for times."""
    content = _content(run, name)
    try:
        table = as_table(content)
        times = {field.name for field in table.schema if (field.metadata or {}).get(b"unit") == b"s"}
        return {name: table[name].to_pylist() for name in table.column_names if name not in times | OF_THE_MACHINE}
    except NO_TABLE as error:
        raise UserError(f"{run.location}/{name} is no Parquet file of a run: {str(error)[:100]}") from None


def _between(one: Mapping[str, list[Any]], other: Mapping[str, list[Any]]) -> Iterator[str]:
    if list(one) != list(other):
        yield f"columns {', '.join(sorted(set(one) ^ set(other)))} are only in one of them"
        return
    for name, first in one.items():
        second = other[name]
        if len(first) != len(second):
            yield f"{len(first)} rows and {len(second)}"
            return
        pairs = enumerate(zip(first, second, strict=True))
        found = [(row, a, b) for row, (a, b) in pairs if a != b and (a == a or b == b)]
        for row, a, b in found[:1]:
            yield f"{name} differs in {len(found)} of {len(first)} rows, first in row {row}: {a!r} and {b!r}"
