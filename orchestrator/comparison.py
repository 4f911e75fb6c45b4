"""Many runs side by side, a row for each: `compare A B C ...`, also as a page, and `orchestrator.runs("runs")`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.engine.compare import places, print_differences
from orchestrator.engine.folder import Damaged, Folder
from orchestrator.engine.progress import duration
from orchestrator.engine.settings import UserError, changes
from orchestrator.engine.shown import print_table, shown, width
from orchestrator.paper import suite
from orchestrator.results import Run

if TYPE_CHECKING:
    import pandas as pd

LONG = ("folds", "verdicts", "settings")
"""Columns that stand below each run where the terminal is narrow."""
VERDICTS = ("supported", "partly", "contradicted", "inconclusive", "not_tested")
PAGE = """<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>Runs</title>
<style>body {{font: 1rem sans-serif}} th, td {{padding: .3em .8em; text-align: left; border-top: 1px solid}}</style>
<h1>Runs</h1>
{table}
</html>
"""


def compare(runs_dir: str, words: Sequence[str], as_json: bool = False) -> int:
    """Print what differs between two runs or, of another number or as JSON, a table of them.

    Words that end with .html are pages to write it to.
    """
    pages, names = [it for it in words if it.endswith(".html")], [it for it in words if not it.endswith(".html")]
    if not names or (not (pages or as_json) and len(names) < 3):
        return print_differences(runs_dir, names)
    found = runs(places(runs_dir, names))
    table = in_words(found)
    for page in pages:
        path = Path(page)
        html = table.map(shown).to_html(index=False, border=0)
        Folder(path.parent).write(path.name, PAGE.format(table=html).encode())
        print(f"{page}: {len(table)} runs", file=sys.stderr if as_json else sys.stdout)
    if as_json:
        rows = json.loads(found.to_json(orient="records", date_format="iso", double_precision=15))
        print(json.dumps(rows, indent=2))
    elif not pages:
        _print(table)
    return 0


def runs(where: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """A row for each run: preset, seed, date, settings that are not its preset's, errors, verdicts, seconds.

    Args:
        where: a local folder of runs, or the locations of some.

    Columns: run; preset; seed; date (when its latest stage began); settings; val_mse (least of the search); test_mse
    (of the final model best, mean over seeds); folds_mse and folds_sd (test error of that model's sequential folds,
    mean and standard deviation); how many of the paper's measurements and causes have each verdict; seconds (that
    trainings took, added up). What a run has not got is missing.

    Raises:
        UserError: there is no run.
    """
    import pandas as pd

    if isinstance(where, str | Path):
        found = sorted(path.parent for path in Path(where).glob("*/manifest.json"))
        if not found:
            raise UserError(f"{where} has no runs; on S3, name each: runs(['s3://bucket/runs/a', ...])")
        return runs(found)
    return pd.DataFrame([_row(Run(location)) for location in where])


def _row(run: Run) -> dict[str, Any]:
    import pandas as pd

    from orchestrator.claims import EVIDENCE  # with scipy

    try:
        manifest = run.manifest()
    except Damaged as error:
        raise UserError(f"{run.location}/{error}") from None
    if manifest is None:
        raise UserError(f"{run.location} has no run: is the name right?")
    folds = _values(run, "folds", "test_mse", model="best", order="sequential")
    began = [entry.began for entry in manifest.stages.values()]
    verdicts = list(_values(run, "claims", "verdict", kind=EVIDENCE))
    return {
        "run": run.location,
        "preset": manifest.preset,
        "seed": manifest.seed,
        "date": pd.Timestamp(max(began), unit="s", tz="UTC") if began else pd.NaT,
        "settings": ", ".join(_changed(manifest.settings, manifest.preset)),
        "val_mse": _values(run, "trials", "val_mse", state="complete").min(),
        "test_mse": _values(run, "models", "test_mse", model="best").mean(),
        "folds_mse": folds.mean(),
        "folds_sd": folds.std(),
        **{verdict: verdicts.count(verdict) for verdict in VERDICTS},
        "seconds": sum(entry.training_seconds for entry in manifest.stages.values()),
    }


def _values(run: Run, table: str, column: str, **which: str | tuple[str, ...]) -> pd.Series[Any]:
    """A column's values in these rows; none where there is no such table."""
    import pandas as pd

    try:
        rows = run.table(table)
        for name, value in which.items():
            rows = rows[rows[name].isin([value] if isinstance(value, str) else value)]
        return rows[column].dropna()
    except (FileNotFoundError, Damaged, KeyError):
        return pd.Series(dtype=float)


def _changed(settings: Mapping[str, Any], preset: str) -> Iterator[str]:
    """Settings that are other than the preset's: "kfold.epochs 3"."""
    usual = suite().preset(preset).model_dump(mode="json") if preset in suite().presets else {}
    for path, value in changes(settings, usual):
        if path != "seed":  # which has a column of its own
            yield f"{path} {' '.join(map(str, value)) if isinstance(value, list) else value}"


def in_words(table: pd.DataFrame) -> pd.DataFrame:
    """The same for people: verdicts in a column, errors with five decimals."""
    import pandas as pd

    def number(value: float, decimals: int = 5) -> str:
        return "" if value != value else f"{value:.{decimals}f}"

    return pd.DataFrame(
        {
            "run": row["run"],
            "preset": row["preset"],
            "seed": str(row["seed"]),
            "date": "" if row["date"] is pd.NaT else f"{row['date']:%Y-%m-%d}",
            "settings": row["settings"],
            "val MSE": number(row["val_mse"]),
            "test MSE": number(row["test_mse"]),
            "folds": " ± ".join(filter(None, map(number, (row["folds_mse"], row["folds_sd"])))),
            "verdicts": ", ".join(f"{row[it]} {it.replace('_', ' ')}" for it in VERDICTS if row[it]),
            "training": duration(row["seconds"]),
        }
        for row in table.to_dict("records")
    )


def _print(table: pd.DataFrame) -> None:
    """Columns side by side, or, where a terminal is too narrow for that, the longest below each run."""
    rows = table.to_dict("records")
    needed = sum(2 + max(len(it), *(len(row[it]) for row in rows)) for it in table.columns)
    moved = LONG if needed > width() else ()
    print_table(
        headings := [it for it in table.columns if it not in moved],
        ([row[it] for it in headings] for row in rows),
        right=("seed", "val MSE", "test MSE", "training"),
        below=([f"{it}: {row[it]}" for it in moved if row[it]] for row in rows),
    )
