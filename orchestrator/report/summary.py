"""A run's main numbers and the count of its verdicts in lines: for the end of a command, and for README."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pandas as pd

from orchestrator.claims import EVIDENCE
from orchestrator.engine.folder import Damaged
from orchestrator.engine.results import Run
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
    """The main numbers as a table, how many statements have which verdict, which published numbers are missed, and
    where all this was made."""
    head = "| | the paper or its author (a) | here, with 95 % interval | of |\n| --- | --- | --- | --- |\n"
    rows = [
        f"| {it['quantity']} | {it['paper'] or '–'} | {it['told']} | {int(it['n']):,} |\n" for it in _numbers(run)
    ]
    told = _verdicts(run.table("claims"), EVIDENCE)
    lines = [f"Of what the paper measured, or gives as a cause: {told}.", *_anchors(run), _made(run)]
    return f"{head}{''.join(rows)}\n" + "\n\n".join(lines) + "\n"


def _anchors(run: Run) -> Iterator[str]:
    """How many of the best published numbers are met, and where each of them stands."""
    anchors = run.table("anchors")
    if anchors.empty:
        return
    met = anchors["met"]
    yield (
        f"Of the best numbers that others published {met.eq(True).sum()} are met, {met.eq(False).sum()} missed, "
        f"{met.isna().sum()} not measured: the page's table of published numbers has each beside ours."
    )


def _made(run: Run) -> str:
    """On which devices and at which commits the trainings were made, and the tables."""
    manifest = run.manifest()
    assert manifest is not None
    stages = manifest.stages.values()
    devices = dict.fromkeys(made.device for stage in stages for made in (*stage.trained, stage.made))
    trained = dict.fromkeys(str(made.commit)[:7] for stage in stages for made in stage.trained)
    tables = dict.fromkeys(str(stage.made.commit)[:7] for stage in stages)
    return (
        f"Made on {', '.join(devices)}; the trainings at the commits {', '.join(trained)}, tables and figures at "
        f"{', '.join(tables)}."
    )


def _numbers(run: Run) -> list[dict[Any, Any]]:
    table = run.table("key_numbers").dropna(subset=["ours"])
    rows = table.astype(object).where(pd.notna, None).to_dict("records")
    return [row | {"told": interval(row["ours"], row["low"], row["high"])} for row in rows]


def _verdicts(claims: pd.DataFrame, kinds: tuple[str, ...]) -> str:
    counts = claims[claims["kind"].isin(kinds)]["verdict"].value_counts()
    return (
        ", ".join(f"{counts[verdict]} {said}" for verdict, said in VERDICTS.items() if counts.get(verdict)) or "none"
    )
