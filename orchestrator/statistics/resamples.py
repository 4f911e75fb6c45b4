"""Bootstrap samples of trained models and of test images."""

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating]


class Resamples:
    """Samples of seeds and of test images, both drawn with replacement, the same for all that is compared: so ratios
    and differences are paired.

    Every seed's model sees the same images, so that a sample takes the drawn images of every drawn seed.

    Source: Owen 2007, "The pigeonhole bootstrap".
    """

    def __init__(self, num_draws: int, num_seeds: int, num_images: int, *, seed: int) -> None:
        draws = np.random.default_rng(seed)
        self._seeds = draws.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), num_draws) / num_seeds
        self._images = np.empty((num_draws, num_images), np.float32)
        for sample in self._images:
            sample[:] = np.bincount(draws.integers(num_images, size=num_images), minlength=num_images) / num_images

    def over_images(self, values: Values) -> Values:
        """Means over the images of each sample: (..., images) -> (samples, ...)."""
        columns = values.reshape(-1, values.shape[-1]).astype(np.float32)
        return np.asarray((self._images @ columns.T).reshape(-1, *values.shape[:-1]), np.float64)

    def over_seeds(self, values: Values) -> Values:
        """Means over the seeds of each sample: (samples, ..., seeds) -> (samples, ...); a filter has one seed."""
        if values.shape[-1] == 1:
            return values[..., 0]
        return np.asarray(np.einsum("d...s,ds->d...", values, self._seeds))

    def means(self, values: Values) -> Values:
        """Means of each sample: (..., seeds, images) -> (samples, ...)."""
        return self.over_seeds(self.over_images(values))


def interval(name: str, value: float, draws: Values) -> dict[str, float]:
    """Columns NAME, NAME_low, NAME_high: a value and the middle 95 % of what samples, shape (n,), made of it."""
    low, high = np.quantile(draws, (0.025, 0.975))
    return {name: float(value), f"{name}_low": float(low), f"{name}_high": float(high)}
