"""A run's main numbers and the count of its verdicts in lines: for the end of a command, and for README."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import pandas as pd

from orchestrator.claims import EVIDENCE
from orchestrator.engine.folder import Damaged
from orchestrator.engine.results import Run
from orchestrator.report.key_numbers import FURTHER, key_numbers
from orchestrator.report.words import VERDICTS, interval

PROTOCOL = ("protocol",)


def lines(run: Run) -> Iterator[str]:
    """The main numbers and the verdicts, as far as a run has them."""
    with suppress(FileNotFoundError, Damaged):
        for row in _numbers(run):
            yield f"{row['quantity']}: {row['told']}" + (f"; the paper: {row['paper']}" if row["paper"] else "")
    try:
        claims = run.table("claims")
    except (FileNotFoundError, Damaged):
        return
    yield f"of what the paper measured, or gives as a cause: {_verdicts(claims, EVIDENCE)}"
    yield f"of its protocol: {_verdicts(claims, PROTOCOL)}"


def markdown(run: Run) -> str:
    """The main numbers as a table, and how many statements have which verdict."""
    head = "| | the paper or its author (a) | here, with 95 % interval | of |\n| --- | --- | --- | --- |\n"
    numbers = _numbers(run)
    papers = any(it["paper"] for it in numbers)
    numbers += _told(key_numbers(run.tables(), {}, papers=papers, numbers=FURTHER))
    rows = [f"| {it['quantity']} | {it['paper'] or '–'} | {it['told']} | {int(it['n']):,} |\n" for it in numbers]
    told = _verdicts(run.table("claims"), EVIDENCE)
    return f"{head}{''.join(rows)}\nOf what the paper measured, or gives as a cause: {told}.\n"


def _numbers(run: Run) -> list[dict[Any, Any]]:
    table = run.table("key_numbers")
    return _told(table.astype(object).where(pd.notna, None).to_dict("records"))


def _told(rows: Iterable[dict[Any, Any]]) -> list[dict[Any, Any]]:
    """Those rows that have a number, with it and its interval in words."""
    return [row | {"told": interval(row["ours"], row["low"], row["high"])} for row in rows if row["ours"] is not None]


def _verdicts(claims: pd.DataFrame, kinds: tuple[str, ...]) -> str:
    counts = claims[claims["kind"].isin(kinds)]["verdict"].value_counts()
    return (
        ", ".join(f"{counts[verdict]} {said}" for verdict, said in VERDICTS.items() if counts.get(verdict)) or "none"
    )
