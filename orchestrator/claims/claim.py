"""What a claim of the paper is, and what its judges answer."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any, Literal

import pandas as pd

from orchestrator.statistics.intervals import Interval, NotTested, Outcome, Unchanged, Verdict

Tables = Mapping[str, pd.DataFrame]
ClaimKind = Literal["definition", "protocol", "measurement", "cause", "opinion"]
"""definition: of a term, nothing to measure. protocol: what the authors did; a run follows it or not, and that is no
evidence. measurement: what came out. cause: why. opinion: what is desirable, or well known."""


@dataclass(frozen=True)
class Answer:
    """What a run's tables say of a claim."""

    verdict: Verdict
    reason: str
    """In a sentence or two: by what rule, and what else is to be known."""
    measured: Interval | None = None
    seconds: float | None = None
    """A time that the claim is about; apart from `measured`, since it changes from run to run."""
    test: Outcome | None = None
    """The test that the verdict follows from: one of those that Holm's correction is made over."""


Judge = Callable[..., Answer]
"""Its arguments are tables, by their names; one that is not needed has the default None. Where the claim has a
threshold, the judge takes that too."""


@dataclass(frozen=True)
class Claim:
    """One statement of the paper, or one reading of it, and how it is judged."""

    number: int
    """In the order of the text."""
    statement: str
    kind: ClaimKind
    paper: str
    """The number or the word that the paper gives, or its author's repository."""
    quantity: str
    """What is measured, with its unit; empty where nothing is."""
    judge: Judge
    """Named after what it measures."""
    threshold: float | None = None
    """A bound that somebody had to choose; docs/LOG.md gives the reasons."""
    limit: float = math.inf
    """What no threshold can reach: 1 for a correlation or a share."""
    scale_free: bool = False
    """Whether a verdict stands at reduced scale too."""
    reading: str = ""
    """Which of several readings of the statement this is."""

    @property
    def evidence(self) -> tuple[str, ...]:
        """Tables that it is judged by: the judge's arguments but those that may be None."""
        arguments = signature(self.judge).parameters.values()
        return tuple(a.name for a in arguments if a.default is a.empty and a.name != "threshold")

    @property
    def looked_at(self) -> tuple[str, ...]:
        """These, and the tables that it looks at where a run has them."""
        return tuple(name for name in signature(self.judge).parameters if name != "threshold")

    def answer(self, tables: Tables, flags: Mapping[str, str] = {}, times: float = 1) -> Answer:
        """The judge's, or that it cannot be judged; `flags` as in `judged`, the threshold taken so many times."""
        arguments = signature(self.judge).parameters
        given: dict[str, Any] = {
            name: table for name, table in tables.items() if name in arguments and not table.empty
        }
        missing = [name for name in self.evidence if name not in given]
        if missing:
            told = (f"{name} ({flags[name]} makes it)" if name in flags else name for name in missing)
            return Answer("not_tested", f"This run has no table {', '.join(told)}.")
        if self.threshold is not None:
            given["threshold"] = self.threshold * times
        try:
            return self.judge(**given)
        except NotTested as error:
            return Answer("not_tested", f"This run has no {error}.")
        except Unchanged as error:
            return Answer("not_tested", f"The change changed nothing: {error}.")


def claim(
    number: int,
    statement: str,
    *,
    kind: ClaimKind = "measurement",
    paper: str = "",
    threshold: float | None = None,
    limit: float = math.inf,
    scale_free: bool = False,
    reading: str = "",
) -> Callable[[Judge], Claim]:
    """Make a function the judge of a claim; its docstring says what it measures, with its unit."""
    return lambda judge: Claim(
        number, statement, kind, paper, judge.__doc__ or "", judge, threshold, limit, scale_free, reading
    )


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
