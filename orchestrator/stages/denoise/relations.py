"""What an image's gain hangs on: its black pixels, its energy, how much the noise changed it, or the draw."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from orchestrator.statistics.resamples import Resamples, Values

Columns = dict[str, Any]
BLACK, ENERGY, NOISY, GAIN, IMPROVED = range(5)


def correlation_rows(
    before: Values, after: Values, black: Values, energy: Values, resamples: Resamples, seeds: range
) -> Iterator[Columns]:
    """A row for each seed, and one without a seed for all of them: their mean, samples being of seeds and images.

    Ranks are those among all images also in the samples.

    Args:
        before: shape (images,), error of the noisy images.
        after: shape (seeds, images), error of what a model of each seed makes of them.
        black, energy: shape (images,), of the clean images.
    """
    found, sampled = [], []
    for of_seed in after:
        gain = before - of_seed
        ranked = [rankdata(values) / len(gain) for values in (black, energy, before, gain)]
        columns = np.stack([*ranked, gain > 0])
        whole = columns.mean(axis=-1)[None], _products(columns).mean(axis=-1)[None]
        found.append(_relations(_covariances(*whole), len(gain)))
        centred = columns - columns.mean(axis=-1, keepdims=True)
        moments = resamples.over_images(centred), resamples.over_images(_products(centred))
        sampled.append(_relations(_covariances(*moments), len(gain)))
    for number, seed in enumerate(seeds):
        of_seed = {name: resamples.over_seeds(it[:, None]) for name, it in sampled[number].items()}
        yield {"seed": seed, "num_seeds": 1} | _told(
            {name: it[0] for name, it in found[number].items()}, of_seed, resamples
        )
    over_all = {name: np.mean([it[name] for it in found]) for name in found[0]}
    draws = {name: resamples.over_seeds(np.stack([it[name] for it in sampled], axis=-1)) for name in sampled[0]}
    yield {"seed": None, "num_seeds": len(after)} | _told(over_all, draws, resamples)


def _products(columns: Values) -> Values:
    return np.asarray(columns[:, None] * columns)


def _covariances(means: Values, products: Values) -> Values:
    """Shape (samples, columns, columns)."""
    return np.asarray(products - means[:, :, None] * means[:, None, :])


def _relations(covariances: Values, num_images: int) -> dict[str, Values]:
    """Each of shape (samples,); that of improving is missing where all images improve, or none."""
    scale = np.sqrt(np.einsum("dii->di", covariances).clip(0))
    varied = np.where(scale[:, IMPROVED] ** 2 > 0.5 / num_images, scale[:, IMPROVED] ** 2, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        of = covariances / scale[:, :, None] / scale[:, None, :]
        return {
            "spearman_zero_fraction": of[:, GAIN, BLACK],
            "spearman_energy": of[:, GAIN, ENERGY],
            "partial_spearman_zero_fraction": _without(of, ENERGY),
            "partial_spearman_noisy": _without(of, NOISY),
            # a half, and the mean rank of those that improve less that of the others, over the number of images
            "auc_zero_fraction": 0.5 + covariances[:, BLACK, IMPROVED] / varied,
        }


def _without(of: Values, other: int) -> Values:
    """Partial correlation of gain and black pixels, another column's part taken out of both."""
    gain, black = of[:, GAIN, other], of[:, BLACK, other]
    return np.asarray((of[:, GAIN, BLACK] - gain * black) / np.sqrt((1 - gain**2) * (1 - black**2)))


def _told(values: dict[str, Any], draws: dict[str, Values], resamples: Resamples) -> Columns:
    columns: Columns = {}
    for name, value in values.items():
        columns |= resamples.interval(name, value, draws[name])
    return columns


def share_of_the_image(improved: NDArray[np.bool_], resamples: Resamples) -> Columns:
    """How much of the variance of whether an image improves is the image's, not the noise's: (msb - msw) / (msb +
    (k - 1) msw), mean over seeds; msb and msw are mean squares between and within images, k draws each.

    `improved` has shape (seeds, draws, images). Source: Shrout and Fleiss 1979, ICC(1, 1).
    """
    num_draws, num_images = improved.shape[1:]
    means = improved.mean(axis=1)
    within = ((improved - means[:, None]) ** 2).sum(axis=1) / (num_draws - 1)
    parts = np.stack([means, means**2, within])

    def share(mean: Values, square: Values, within: Values) -> Values:
        between = num_draws * (square - mean**2) * num_images / (num_images - 1)
        with np.errstate(invalid="ignore"):  # where all images improve, or none
            return np.asarray((between - within) / (between + (num_draws - 1) * within))

    value, sampled = share(*parts.mean(axis=-1)), share(*np.moveaxis(resamples.over_images(parts), 1, 0))
    columns: Columns = resamples.interval("image_share", value.mean(), resamples.over_seeds(sampled))
    return columns | {"fraction_improved": means.mean()}
