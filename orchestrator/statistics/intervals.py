"""Estimates with their intervals, and what tests say of them."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

Verdict = Literal[
    "supported", "partly", "contradicted", "inconclusive", "not_tested", "followed", "partly_followed", "not_followed"
]
Kind = Literal["t", "bootstrap", "F", "chi_squared", "range", "none"]
"""What an interval is by; a range is from the least to the greatest, and no interval of confidence."""
LEVEL = 0.05
"""Of every test, two-sided."""
SEEN_WITH_80_PERCENT = (1.959964 + 0.841621) / 1.959964
"""Least effect that a normal test sees with a power of 80 %, over half its interval's width."""


Average = Callable[[Any], "Interval"]
"""Of values, their mean with an interval."""


class NotTested(Exception):
    """The run has not what the claim would be judged by; the message says what is missing."""


class Unchanged(Exception):
    """Both sides of a comparison are equal to the last bit: what was changed had no effect; the message has more."""


@dataclass(frozen=True)
class Outcome:
    """Of a test of a bound by an interval."""

    verdict: Verdict
    p: float | None = None
    """Two-sided, of the hypothesis that the bound is the true value; of an equivalence test, that of the latter."""
    smallest_effect: float | None = None
    """Distance from the bound that the test would have seen with a power of 80 %."""


@dataclass(frozen=True)
class Interval:
    """A number with the ends of its 95 % interval, or of a range; these are None where it has none."""

    value: float
    low: float | None = None
    high: float | None = None
    kind: Kind = "none"
    n: int | None = None
    """How many observations it is of: seeds, folds, images."""
    confidence: Callable[[float], float] | None = None
    """Its confidence distribution: 1 - p of the one-sided test that the true value is not above a number."""
    smallest_effect: float | None = None
    """Distance from a bound that it would tell with a power of 80 %."""

    def above(self, bound: float) -> Outcome:
        """Supported where the true value is above the bound, contradicted where it is below, by a two-sided test."""
        return self._tested(bound, self.value > bound)

    def below(self, bound: float) -> Outcome:
        """Supported where the true value is below the bound, contradicted where it is above, by a two-sided test."""
        return self._tested(bound, self.value < bound)

    def _tested(self, bound: float, so: bool) -> Outcome:
        if self.confidence is None or not math.isfinite(self.value):
            return Outcome("inconclusive")
        under = self.confidence(bound)
        p = min(1.0, 2 * min(under, 1 - under))
        verdict: Verdict = "inconclusive" if p >= LEVEL else "supported" if so else "contradicted"
        return Outcome(verdict, p, self.smallest_effect)

    def within(self, low: float, high: float) -> Outcome:
        """Equivalence by two one-sided tests, whose 90 % interval lies between the bounds.

        Supported where it does, contradicted where the whole 95 % interval lies outside of them.

        Source: Schuirmann 1987.
        """
        if self.confidence is None or not math.isfinite(self.value):
            return Outcome("inconclusive")
        p = max(self.confidence(low), 1 - self.confidence(high))
        outside = 2 * min(1 - self.confidence(low), self.confidence(high))
        if p < LEVEL:
            return Outcome("supported", p, self.smallest_effect)
        if outside < LEVEL:
            return Outcome("contradicted", outside, self.smallest_effect)
        return Outcome("inconclusive", p, self.smallest_effect)


def mean(values: Iterable[float], widening: float = 1) -> Interval:
    """Mean with its 95 % t interval, `widening` times as wide; without one where there is a single value.

    Where all values are the same the interval is that value.
    """
    array = np.asarray(list(values), dtype=float)
    value, n = float(array.mean()), len(array)
    if n < 2:
        return Interval(value, n=n)
    error = float(array.std(ddof=1)) / math.sqrt(n) * widening
    return student(value, error, n - 1, n, error * math.sqrt(n) * _t_power(n))


def holm(p_values: Iterable[float]) -> list[float]:
    """p values after Holm's correction over all of them, in their order.

    Source: Holm 1979. statsmodels' multipletests says the same, but collects all of the process's garbage each time.
    """
    p = np.fromiter(p_values, float)
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    adjusted: list[float] = corrected.tolist()
    return adjusted


def student(value: float, error: float, free: float, n: int, smallest_effect: float) -> Interval:
    """An estimate with its t interval, from its standard error and the degrees of freedom that this has."""
    from scipy.stats import t

    margin = error * float(t.ppf(0.975, free))

    def confidence(bound: float) -> float:
        return float(t.cdf((bound - value) / error, free)) if error else float(bound > value) + (bound == value) / 2

    return Interval(value, value - margin, value + margin, "t", n, confidence, smallest_effect)


@cache
def _t_power(n: int) -> float:
    """Least mean, in standard deviations, that a two-sided t test of n values sees with a power of 80 %."""
    from statsmodels.stats.power import TTestPower

    return float(TTestPower().solve_power(nobs=n, alpha=LEVEL, power=0.8))


def mean_over_folds(values: Iterable[float]) -> Interval:
    """Mean over the folds of a cross-validation, its t interval widened since their training images overlap.

    The variance of the mean is (1/k + 1/(k-1)) times that of the k values, not 1/k times.

    Source: Nadeau and Bengio 2003, with a validation block of 1/(k-1) of the training images.
    """
    array = list(values)
    k = len(array)
    return mean(array, widening=math.sqrt((1 / k + 1 / (k - 1)) * k) if k > 1 else 1)


def log_ratio(ones: ArrayLike, others: ArrayLike, average: Average = mean) -> Interval:
    """Ratio of paired positive values, ones over others: geometric mean, its t interval taken on the logarithms.

    `average` is `mean`, or `mean_over_folds` where the pairs are of a cross-validation's folds.

    Raises:
        NotTested: there is no pair.
        Unchanged: each pair is equal to the last bit.
    """
    above, below = np.asarray(ones, dtype=float), np.asarray(others, dtype=float)
    if not len(above):
        raise NotTested("pair to compare")
    if (above == below).all():
        raise Unchanged(f"{len(above)} of {len(above)} pairs are equal to the last bit")
    return geometric_mean(above / below, average)


def geometric_mean(values: ArrayLike, average: Average = mean) -> Interval:
    """Geometric mean of positive values, its t interval taken on the logarithms."""
    return exponential(average(np.log(values)))


def exponential(logs: Interval) -> Interval:
    """The interval of a quantity from that of its logarithm."""
    low, high = (None if end is None else math.exp(end) for end in (logs.low, logs.high))
    of_log = logs.confidence
    confidence = None if of_log is None else lambda bound: of_log(math.log(bound)) if bound > 0 else 0.0
    seen = None if logs.smallest_effect is None else math.expm1(min(logs.smallest_effect, 700))
    return Interval(math.exp(logs.value), low, high, logs.kind, logs.n, confidence, seen)


def ratio_of_groups(ones: ArrayLike, others: ArrayLike) -> Interval:
    """Ratio of the geometric means of two groups of positive values that are not paired, ones over others; Welch's t
    interval of the logarithms.

    Each group has two values or more.
    """
    logs = [np.log(np.asarray(side, dtype=float)) for side in (ones, others)]
    parts = [side.var(ddof=1) / len(side) for side in logs]
    variance = float(sum(parts))
    spent = sum(part**2 / (len(side) - 1) for part, side in zip(parts, logs, strict=True))
    df = float(variance**2 / spent) if spent else float("inf")
    error = math.sqrt(variance)
    value = float(logs[0].mean() - logs[1].mean())
    return exponential(student(value, error, df, sum(map(len, logs)), 2 * SEEN_WITH_80_PERCENT * error))


def ratio_of_single(one: float, other: float, repeated: pd.Series) -> Interval:
    """Ratio of two positive values that were measured once each, one over the other.

    How far a single value scatters is told by others: its t interval is by the deviation of `repeated`'s logarithms
    within the groups that its index names.

    Raises:
        NotTested: no group has two values.
    """
    groups = np.log(repeated).groupby(level=0)
    free = len(repeated) - groups.ngroups
    if free < 1:
        raise NotTested("value that was measured twice, to tell by how far one scatters")
    scatter = math.sqrt(float(((np.log(repeated) - groups.transform("mean")) ** 2).sum()) / free)
    error = scatter * math.sqrt(2)
    seen = error * _t_power(free + 1) * math.sqrt(free + 1)
    return exponential(student(math.log(one / other), error, free, 2, seen))


def paired(table: pd.DataFrame, value: str, by: str, one: str, other: str) -> tuple[pd.Series, pd.Series]:
    """Values of the rows of `one` and of `other`, of the seeds that have both, in the same order.

    Raises:
        NotTested: no seed has both.
    """
    by_seed = table.astype({by: str}).pivot_table(index="seed", columns=by, values=value)
    if not {one, other} <= set(by_seed):
        raise NotTested(f"{one} beside {other}")
    both = by_seed[[one, other]].dropna()
    if both.empty:
        raise NotTested(f"seed with {one} and {other}")
    return both[one], both[other]


def paired_ratio(table: pd.DataFrame, value: str, by: str, one: str, other: str) -> Interval:
    """`log_ratio` of `value` in the rows of `one` over those of `other`, seed by seed."""
    return log_ratio(*paired(table, value, by, one, other))


def spread(values: Iterable[float]) -> Interval:
    """Mean with the least and the greatest: a range, not an interval of confidence."""
    array = np.asarray(list(values), dtype=float)
    return Interval(float(array.mean()), float(array.min()), float(array.max()), "range", len(array))


def deviation(values: ArrayLike, unit: float = 1) -> Interval:
    """Standard deviation over `unit`, with its 95 % chi-squared interval.

    Of values of shape (n, columns) the root of the mean variance of a column. What the columns share is seen once:
    the degrees of freedom are those of one.

    Raises:
        NotTested: there are fewer than two values.
    """
    from scipy.stats import chi2

    array = np.asarray(values, dtype=float)
    free = len(array) - 1
    if free < 1:
        raise NotTested("two values to tell a spread by")
    value = math.sqrt(float(array.var(axis=0, ddof=1).mean())) / unit
    low, high = (value * math.sqrt(free / chi2.ppf(share, free)) for share in (0.975, 0.025))

    def confidence(bound: float) -> float:
        return float(chi2.sf(free * (value / bound) ** 2, free)) if bound > 0 else 0.0

    return Interval(value, low, high, "chi_squared", len(array), confidence, (high - low) / 2 * SEEN_WITH_80_PERCENT)


def ratio_of_deviations(values: Iterable[float], others: Iterable[float]) -> Interval:
    """Standard deviation over the others', with its 95 % F interval.

    Raises:
        NotTested: there are fewer than two values on a side.
    """
    from scipy.stats import f

    above, below = (np.asarray(list(side), dtype=float) for side in (values, others))
    free = len(above) - 1, len(below) - 1
    if min(free) < 1:
        raise NotTested("two values to tell a spread by")
    value = float(above.std(ddof=1) / below.std(ddof=1))
    low, high = (value / math.sqrt(f.ppf(share, *free)) for share in (0.975, 0.025))

    def confidence(bound: float) -> float:
        return float(f.sf((value / bound) ** 2, *free)) if bound > 0 else 0.0

    seen = (high - low) / 2 * SEEN_WITH_80_PERCENT
    return Interval(value, low, high, "F", len(above) + len(below), confidence, seen)
