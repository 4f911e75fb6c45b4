"""Estimates that tables tell with their intervals, and claims that are to hold at every level of something."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from orchestrator.statistics.intervals import LEVEL, SEEN_WITH_80_PERCENT, Interval, Kind, Outcome

LEAST_P = 1e-6
"""Farther out an interval's ends say nothing of its tails."""


def told(
    row: Any,
    name: str,
    *,
    by: str = "num_images",
    ratio: bool = False,
    ends: str | None = None,
    kind: Kind = "bootstrap",
) -> Interval:
    """A column of a table's row with the ends of its 95 % interval, in NAME_low and NAME_high or after the prefix
    `ends`; `by` is the column that says of how many observations.

    Between and beyond the ends it is taken for normal, or for t with n - 1 degrees of freedom, to either side with
    the half width there; on the logarithms of a ratio. So a p value is under .05 just outside the interval; none is
    under LEAST_P.
    """
    from scipy.stats import norm, t

    n, prefix = int(row[by]), f"{name}_" if ends is None else ends
    value, low, high = (float(row[column]) for column in (name, f"{prefix}low", f"{prefix}high"))
    if not (math.isfinite(low) and math.isfinite(high)):
        return Interval(value, n=n)
    of: Any = t(n - 1) if kind == "t" else norm
    scale = math.log if ratio else float

    def confidence(bound: float) -> float:
        if ratio and bound <= 0:
            return 0.0
        away, half = scale(bound) - scale(value), scale(high if bound > value else low) - scale(value)
        under = float(of.cdf(away / abs(half) * of.ppf(0.975))) if half else float(away > 0) + (away == 0) / 2
        return min(max(under, LEAST_P / 2), 1 - LEAST_P / 2)

    return Interval(value, low, high, kind, n, confidence, (high - low) / 2 * SEEN_WITH_80_PERCENT)


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
