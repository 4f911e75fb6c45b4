"""Components of variance: how much of a spread is whose."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.statistics.intervals import (
    SEEN_WITH_80_PERCENT,
    Interval,
    NotTested,
    mean_over_folds,
    student,
)


def mean_of_crossed(crossed: NDArray[Any]) -> Interval:
    """Mean of values of shape (folds, seeds) of a cross-validation, where each seed goes through all folds.

    The variance of the mean is (c msf + max(mss - mse, 0)) / (folds * seeds), with the mean squares of folds, seeds
    and what these leave (two-way random effects), and c = 1 + folds / (folds - 1) since folds share images to train
    on. The t interval has Satterthwaite's degrees of freedom, or as many as seeds or folds leave where what is
    subtracted makes them fewer: near none the interval would be without end. With one seed it is `mean_over_folds`.

    Source: Searle, Casella and McCulloch 1992; Nadeau and Bengio 2003; Satterthwaite 1946.
    """
    num_folds, num_seeds = crossed.shape
    if min(crossed.shape) < 2:
        return mean_over_folds(crossed.mean(axis=1))
    of_folds, of_seeds = crossed.mean(axis=1), crossed.mean(axis=0)
    left = crossed - of_folds[:, None] - of_seeds + crossed.mean()
    free = num_folds - 1, num_seeds - 1, (num_folds - 1) * (num_seeds - 1)
    squares = num_seeds * of_folds.var(ddof=1), num_folds * of_seeds.var(ddof=1), np.square(left).sum() / free[2]
    shared = float(squares[1] > squares[2])
    parts = [(1 + num_folds / (num_folds - 1)) * squares[0], shared * squares[1], -shared * squares[2]]
    total = sum(parts)
    error = math.sqrt(total / crossed.size)
    freedom = total**2 / sum(part**2 / own for part, own in zip(parts, free, strict=True)) if total else 0.0
    freedom = max(freedom, min(free))
    found = student(float(crossed.mean()), error, freedom, num_folds, 0.0)
    assert found.low is not None
    return replace(found, smallest_effect=(found.value - found.low) * SEEN_WITH_80_PERCENT)


def ratio_of_components(crossed: NDArray[Any]) -> Interval:
    """Standard deviation that is the rows' own over that within a row, of values of shape (rows, columns).

    By a two-way analysis of variance without repeats (random effects): with mean squares msr of the rows and mse of
    what rows and columns leave, (msr / mse - 1) / columns is the ratio of variances; nothing where that is negative.
    The interval is by F, from 0 where it reaches below.

    Raises:
        NotTested: there are fewer than two rows or columns.

    Source: Searle, Casella and McCulloch 1992, "Variance Components", 4.5.
    """
    from scipy.stats import f

    num_rows, num_columns = crossed.shape
    if min(crossed.shape) < 2:
        raise NotTested("two values to tell a spread by")
    of_rows, of_columns = crossed.mean(axis=1), crossed.mean(axis=0)
    left = crossed - of_rows[:, None] - of_columns + crossed.mean()
    free = num_rows - 1, (num_rows - 1) * (num_columns - 1)
    statistic = float(num_columns * of_rows.var(ddof=1) * free[1] / np.square(left).sum())

    def ratio(of_squares: float) -> float:
        return math.sqrt(max(0.0, (of_squares - 1) / num_columns))

    def confidence(bound: float) -> float:
        return float(f.sf(statistic / (1 + num_columns * bound**2), *free)) if bound >= 0 else 0.0

    low, high = (ratio(statistic / float(f.ppf(share, *free))) for share in (0.975, 0.025))
    seen = (high - low) / 2 * SEEN_WITH_80_PERCENT
    return Interval(ratio(statistic), low, high, "F", crossed.size, confidence, seen)
