"""What a claim of the paper is, what its judges answer, and the statistics that they share."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any, Literal

import numpy as np
import pandas as pd

Tables = Mapping[str, pd.DataFrame]
Verdict = Literal["supported", "partly", "contradicted", "inconclusive", "not_tested"]


@dataclass(frozen=True)
class Interval:
    """A number with the ends of its interval; these are None where it has none."""

    value: float
    low: float | None = None
    high: float | None = None

    def is_above(self, bound: float, otherwise: Verdict = "inconclusive") -> Verdict:
        """Supported where the whole interval is, contradicted where all of it is below."""
        if self.low is not None and self.low > bound:
            return "supported"
        return "contradicted" if self.high is not None and self.high < bound else otherwise

    def is_below(self, bound: float, otherwise: Verdict = "inconclusive") -> Verdict:
        """Supported where the whole interval is, contradicted where all of it is above."""
        if self.high is not None and self.high < bound:
            return "supported"
        return "contradicted" if self.low is not None and self.low > bound else otherwise

    def is_within(self, low: float, high: float) -> bool:
        """Whether the whole interval is."""
        return self.is_above(low) == self.is_below(high) == "supported"


@dataclass(frozen=True)
class Answer:
    """What a run's tables say of a claim."""

    verdict: Verdict
    reason: str
    """In a sentence or two: by what rule, and what else is to be known."""
    measured: Interval | None = None
    seconds: float | None = None
    """A time that the claim is about; apart from `measured`, since it changes from run to run."""


Judge = Callable[..., Answer]
"""Its arguments are tables, by their names; one that is not needed has the default None."""


class NotTested(Exception):
    """The run has not what the claim would be judged by; the message says what is missing."""


@dataclass(frozen=True)
class Claim:
    """One statement of the paper, and how it is judged."""

    number: int
    """In the order of the text."""
    statement: str
    paper: str
    """The number or the word that the paper gives, or its author's repository."""
    quantity: str
    """What is measured, with its unit; empty where nothing is."""
    judge: Judge
    """Named after what it measures."""

    @property
    def evidence(self) -> tuple[str, ...]:
        """Tables that it is judged by: the judge's arguments but those that may be None."""
        arguments = signature(self.judge).parameters.values()
        return tuple(argument.name for argument in arguments if argument.default is argument.empty)

    def answer(self, tables: Tables, flags: Mapping[str, str] = {}) -> Answer:
        """The judge's, or that it cannot be judged; `flags` as in `judged`."""
        arguments = signature(self.judge).parameters
        given = {name: table for name, table in tables.items() if name in arguments and not table.empty}
        missing = [name for name in self.evidence if name not in given]
        if missing:
            told = (f"{name} ({flags[name]} makes it)" if name in flags else name for name in missing)
            return Answer("not_tested", f"This run has no table {', '.join(told)}.")
        try:
            return self.judge(**given)
        except NotTested as error:
            return Answer("not_tested", f"This run has no {error}.")


def claim(number: int, statement: str, *, paper: str = "") -> Callable[[Judge], Claim]:
    """Make a function the judge of a claim; its docstring says what it measures, with its unit."""
    return lambda judge: Claim(number, statement, paper, judge.__doc__ or "", judge)


def rows(table: pd.DataFrame, what: str, **values: Any) -> pd.DataFrame:
    """Rows with these values, of trainings that were finished.

    Raises:
        NotTested: there is none.
    """
    for column, value in values.items():
        table = table[table[column].isin(value) if isinstance(value, tuple) else table[column] == value]
    if "state" in table:
        table = table[table["state"] == "complete"]
    if table.empty:
        raise NotTested(what)
    return table


def first_seed(table: pd.DataFrame) -> pd.DataFrame:
    """Rows with the seed of the first."""
    first: pd.DataFrame = table[table["seed"] == table["seed"].iloc[0]]
    return first


def mean(values: Iterable[float]) -> Interval:
    """Mean with its 95 % t interval; without one where there is a single value."""
    from scipy.stats import ttest_1samp

    array = np.asarray(list(values), dtype=float)
    if len(array) < 2:
        return Interval(float(array.mean()))
    interval = ttest_1samp(array, 0).confidence_interval(0.95)
    return Interval(float(array.mean()), float(interval.low), float(interval.high))


def spread(values: Iterable[float]) -> Interval:
    """Mean with the least and the greatest: a range, not an interval of confidence."""
    array = np.asarray(list(values), dtype=float)
    return Interval(float(array.mean()), float(array.min()), float(array.max()))


def deviation(values: Iterable[float], unit: float = 1) -> Interval:
    """Standard deviation over `unit`, with its 95 % chi-squared interval.

    Raises:
        NotTested: there are fewer than two values.
    """
    from scipy.stats import chi2

    array = np.asarray(list(values), dtype=float)
    free = len(array) - 1
    if free < 1:
        raise NotTested("two values to tell a spread by")
    value = float(array.std(ddof=1)) / unit
    return Interval(value, *(value * math.sqrt(free / chi2.ppf(share, free)) for share in (0.975, 0.025)))


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
    ratio = float(above.std(ddof=1) / below.std(ddof=1))
    return Interval(ratio, *(ratio / math.sqrt(f.ppf(share, *free)) for share in (0.975, 0.025)))


def difference_of_shares(share: float, other: float, count: int) -> Interval:
    """Of two shares, each of `count` images, with the normal 95 % interval as of independent images.

    Raises:
        NotTested: there are no images.
    """
    if not count > 0:
        raise NotTested("images to tell a share by")
    margin = 1.96 * math.sqrt((share * (1 - share) + other * (1 - other)) / count)
    return Interval(share - other, share - other - margin, share - other + margin)


def difference_in_the_plane(embeddings: pd.DataFrame, method: str, other: str) -> Interval:
    """Accuracy of the nearest neighbours in one method's plane less that in the other's."""
    one, two = (rows(embeddings, f"plane of {name}", method=name).iloc[0] for name in (method, other))
    return difference_of_shares(one["knn_accuracy"], two["knn_accuracy"], one["num_points"])


def paired_ratio(table: pd.DataFrame, value: str, by: str, one: str, other: str) -> Interval:
    """Of `value` in the rows of `one` over those of `other`, seed by seed: mean and 95 % t interval.

    Raises:
        NotTested: no seed has both.
    """
    by_seed = table.astype({by: str}).pivot_table(index="seed", columns=by, values=value)
    if not {one, other} <= set(by_seed):
        raise NotTested(f"{one} beside {other}")
    return mean((by_seed[one] / by_seed[other]).dropna())
