"""Components of variance: how much of a spread is whose."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.statistics.intervals import SEEN_WITH_80_PERCENT, Interval, NotTested


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
