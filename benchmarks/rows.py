"""What a benchmark gives: rows of the table in RESULTS.md."""

import importlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One thing that was measured."""

    what: str
    measured: str
    goal: str = ""
    met: bool | None = None
    """Whether the goal was reached; None where there is none, or nothing was measured."""


def turn_by_turn(sides: Mapping[str, Callable[[], float]], turns: int) -> dict[str, list[float]]:
    """What each side gives, all of them once a turn: what else the machine does meets all alike."""
    measured: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(turns):
        for name, side in sides.items():
            measured[name].append(side())
    return measured


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Turn by turn, one side over the other."""
    return [one / other for one, other in zip(over, under, strict=True)]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median, and least and greatest where there are several."""
    median = f"{statistics.median(values):,.{digits}f}"
    return median if len(values) == 1 else f"{median} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def measured(part: str, full: bool) -> list[Row]:
    """What a part of the benchmarks gives, a module of this package."""
    return list(importlib.import_module(f"benchmarks.{part}").rows(full))
