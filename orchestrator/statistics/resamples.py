"""Bootstrap samples of trained models and of test images, and the intervals that follow from them."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from orchestrator.statistics.intervals import SEEN_WITH_80_PERCENT, Interval, Kind

Values = NDArray[np.floating]
NUM_DRAWS = 2000
"""Bootstrap samples."""
LEAST_P = 1e-6
"""Farther out an interval's ends say nothing of its tails."""


class Ends(NamedTuple):
    """Of a 95 % interval, with the degrees of freedom that its tails have: infinite where no seed counts."""

    low: float
    high: float
    df: float


class Resamples:
    """Samples of seeds and of test images, the same for all that is compared: so ratios and differences are paired.

    Images are drawn with replacement. Every seed's model sees the same images, so that a sample takes the drawn
    images of every seed. Of seeds there are few, two or three, of which drawing with replacement would show too
    small a spread: (n - 1) / n of the variance, and no t. So a sample weighs them by 1 / n and a normal deviate each,
    scaled so that the mean's variance is the seeds' own over n. Each sample stands twice in what is made of it: with
    these weights, and, in the second half, with all seeds alike; by how much the halves' variances differ tells how
    much of an interval's width is the seeds' (`ends`).

    Source: Owen 2007, "The pigeonhole bootstrap", for the images of all seeds at once.
    """

    def __init__(self, num_draws: int, num_seeds: int, num_images: int, *, seed: int) -> None:
        draws = np.random.default_rng(seed)
        away = draws.standard_normal((num_draws, num_seeds))
        away -= away.mean(axis=1, keepdims=True)
        self._num_seeds = num_seeds
        self._seeds = 1 / num_seeds + away / math.sqrt(num_seeds * max(1, num_seeds - 1))
        self._images = np.empty((num_draws, num_images), np.float32)
        for sample in self._images:
            sample[:] = np.bincount(draws.integers(num_images, size=num_images), minlength=num_images) / num_images

    def over_images(self, values: Values) -> Values:
        """Means over the images of each sample: (..., images) -> (samples, ...)."""
        columns = values.reshape(-1, values.shape[-1]).astype(np.float32)
        return np.asarray((self._images @ columns.T).reshape(-1, *values.shape[:-1]), np.float64)

    def over_seeds(self, values: Values) -> Values:
        """Means over the seeds of each sample: (samples, ..., seeds) -> (2 samples, ...); a filter has one seed."""
        alike = values.mean(axis=-1)
        drawn = alike if values.shape[-1] == 1 else np.einsum("d...s,ds->d...", values, self._seeds)
        return np.concatenate([drawn, alike])

    def means(self, values: Values) -> Values:
        """Means of each sample: (..., seeds, images) -> (2 samples, ...)."""
        return self.over_seeds(self.over_images(values))

    def ends(self, value: float, draws: Values, *, ratio: bool = False) -> Ends:
        """The 95 % interval of a value, from what samples made of it, shape (2 samples,).

        Its ends are the samples' percentiles, as many times farther from the value, of a ratio in its logarithm, as
        t's are than the normal's, with Satterthwaite's degrees of freedom: one less than the seeds where all of the
        variance is theirs, the more the more of it is the images'.

        Source: Satterthwaite 1946.
        """
        drawn, alike = np.split(draws, 2)
        df, farther = self._freedom(float(drawn.var()), float(alike.var())), 1.0
        if math.isfinite(df):
            from scipy.stats import norm, t

            farther = float(t.ppf(0.975, df) / norm.ppf(0.975))
        low, high = (
            value * max(0.0, end / value) ** farther if ratio else value + farther * (end - value)
            for end in map(float, np.quantile(drawn, (0.025, 0.975)))
        )
        return Ends(low, high, df)

    def _freedom(self, variance: float, of_images: float) -> float:
        of_seeds = variance - of_images
        if self._num_seeds == 1 or not of_seeds > 1e-3 * variance:  # less than that is the samples' own chance
            return math.inf
        return (self._num_seeds - 1) * (variance / of_seeds) ** 2

    def interval(self, name: str, value: float, draws: Values, *, ratio: bool = False) -> dict[str, float | None]:
        """Columns NAME, NAME_low, NAME_high and NAME_df, which is missing where infinite, of a value and what samples
        made of it."""
        low, high, df = self.ends(value, draws, ratio=ratio)
        ends = {f"{name}_low": low, f"{name}_high": high, f"{name}_df": df if math.isfinite(df) else None}
        return {name: float(value), **ends}


def of_ends(
    value: float,
    low: float,
    high: float,
    n: int,
    *,
    kind: Kind = "bootstrap",
    df: float = math.inf,
    ratio: bool = False,
) -> Interval:
    """An estimate with the ends of its 95 % interval.

    Between and beyond the ends it is taken for t with `df` degrees of freedom, to either side with the half width
    there; on the logarithms of a ratio. So a p value is under .05 just outside the interval; none is under LEAST_P.
    """
    from scipy.stats import norm, t

    of: Any = t(df) if math.isfinite(df) else norm
    scale: Callable[[float], float] = math.log if ratio else float

    def confidence(bound: float) -> float:
        if ratio and bound <= 0:
            return 0.0
        end = high if bound > value else low
        if ratio and end <= 0:  # an interval so wide that it holds every ratio
            return 0.5
        away, half = scale(bound) - scale(value), scale(end) - scale(value)
        under = float(of.cdf(away / abs(half) * of.ppf(0.975))) if half else float(away > 0) + (away == 0) / 2
        return min(max(under, LEAST_P / 2), 1 - LEAST_P / 2)

    return Interval(value, low, high, kind, n, confidence, (high - low) / 2 * SEEN_WITH_80_PERCENT)


def bootstrapped(values: NDArray[Any], num_draws: int = NUM_DRAWS, seed: int = 0) -> Interval:
    """Mean of values of shape (seeds, images), with an interval over seeds and images (`Resamples`).

    n is the number of seeds or, where there is one, of images.
    """
    num_seeds, num_images = values.shape
    resamples, value = Resamples(num_draws, num_seeds, num_images, seed=seed), float(values.mean())
    low, high, df = resamples.ends(value, resamples.means(values))
    return of_ends(value, low, high, num_seeds if num_seeds > 1 else num_images, df=df)
