"""Estimates that tables tell with their intervals, and claims that are to hold at every level of something."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from orchestrator.statistics.intervals import LEVEL, Interval, Kind, Outcome
from orchestrator.statistics.resamples import of_ends


def told(
    row: Any,
    name: str,
    *,
    by: str = "num_seeds",
    ratio: bool = False,
    ends: str | None = None,
    kind: Kind = "bootstrap",
) -> Interval:
    """A column of a table's row with its 95 % interval (`of_ends`).

    The ends are in NAME_low and NAME_high or after the prefix `ends`, the degrees of freedom in NAME_df where they
    are finite. `by` is the column with the number of seeds, over which an interval of kind t is.
    """
    n, prefix = int(row[by]), f"{name}_" if ends is None else ends
    value, low, high = (float(row[column]) for column in (name, f"{prefix}low", f"{prefix}high"))
    if not (math.isfinite(low) and math.isfinite(high)):
        return Interval(value, n=n)
    df = n - 1 if kind == "t" else row.get(f"{prefix}df")
    return of_ends(value, low, high, n, kind=kind, df=math.inf if pd.isna(df) else float(df), ratio=ratio)


def each(table: pd.DataFrame, name: str, **how: Any) -> list[Interval]:
    """`told` of every row."""
    return [told(row, name, **how) for _, row in table.iterrows()]


def at_every(outcomes: Sequence[Outcome]) -> Outcome:
    """Of a claim that is to hold at every level, from its outcome at each.

    Supported where it is at each, with the greatest p (an intersection-union test). Contradicted where it is at some
    level and supported at none, partly where there are both; the least p of either then counts as often as there
    are levels (Bonferroni).
    """
    seen = [outcome.smallest_effect for outcome in outcomes if outcome.smallest_effect is not None]
    smallest_effect = max(seen, default=None)
    p_of = {
        verdict: [it.p for it in outcomes if it.verdict == verdict and it.p is not None]
        for verdict in ("supported", "contradicted")
    }
    if len(p_of["supported"]) == len(outcomes):
        return Outcome("supported", max(p_of["supported"]), smallest_effect)
    least = {verdict: min(values, default=1.0) * len(outcomes) for verdict, values in p_of.items()}
    if least["contradicted"] >= LEVEL:
        greatest = max((it.p for it in outcomes if it.p is not None), default=None)
        return Outcome("inconclusive", greatest, smallest_effect)
    if least["supported"] >= LEVEL:
        return Outcome("contradicted", least["contradicted"], smallest_effect)
    return Outcome("partly", max(least.values()), smallest_effect)


def at_some(outcomes: Sequence[Outcome]) -> Outcome:
    """Of a claim that is to hold at any level at all: supported where the least p, which counts as often as there are
    levels (Bonferroni), is of one at which it does."""
    seen = [outcome.smallest_effect for outcome in outcomes if outcome.smallest_effect is not None]
    supported = [it.p for it in outcomes if it.verdict == "supported" and it.p is not None]
    least = min(1.0, min(supported, default=1.0) * len(outcomes))
    return Outcome("supported" if least < LEVEL else "inconclusive", least, max(seen, default=None))


def decides(levels: Sequence[Any], outcomes: Sequence[Outcome]) -> str:
    """Which level's test the verdict of `at_every` hangs on: of those against the claim the one that is most so, else
    the one that is least for it."""
    p_of = {number: 1.0 if it.p is None else it.p for number, it in enumerate(outcomes)}
    against = {number: p for number, p in p_of.items() if outcomes[number].verdict == "contradicted"}
    number = min(against, key=against.__getitem__) if against else max(p_of, key=p_of.__getitem__)
    level = levels[number]
    return f" The test that decides is at {level if isinstance(level, str) else f'{level:g}'}."


def both(one: Outcome, other: Outcome) -> Outcome:
    """Of a claim that two tests are to show: contradicted where both say so, inconclusive where either is."""
    verdicts, p = {one.verdict, other.verdict}, max(one.p or 0.0, other.p or 0.0)
    seen = max((it.smallest_effect for it in (one, other) if it.smallest_effect is not None), default=None)
    if "inconclusive" in verdicts:
        return Outcome("inconclusive", p, seen)
    return Outcome(one.verdict if len(verdicts) == 1 else "partly", p, seen)


def listed(table: pd.DataFrame, name: str, pattern: str = ".2f") -> str:
    """A column's values by level: "0.1: 0.84, 0.5: 0.92"."""
    return ", ".join(
        f"{level:g}: {value:{pattern}}" for level, value in zip(table["level"], table[name], strict=True)
    )
