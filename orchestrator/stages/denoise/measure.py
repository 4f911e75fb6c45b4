"""Noise added, taken away again, and measured."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import bootstrap, rankdata, spearmanr

from orchestrator.engine.stage import Context, Table
from orchestrator.engine.tables import Row
from orchestrator.stages.architectures import final_model
from orchestrator.stages.measures import Pixels, mse_of_each
from trainables.autoencoder import Autoencoder, reconstruct_pixels
from trainables.fashion_mnist import CLASS_NAMES
from trainables.images import unit_pixels
from trainables.noise import Noise, add_noise

if TYPE_CHECKING:
    from orchestrator.stages.denoise import Settings

Denoiser = Callable[[Pixels], Pixels]
AUTOENCODERS = ("best", "paper_table1", "denoise_zeroed", "denoise_gaussian")
PER_IMAGE = ("best", "paper_table1")
"""Models whose every image is a row of denoising_images."""
AUTHOR_IMAGE = 7418
"""The test image of the author's Figure 2, an ankle boot."""


def measured(context: Context[Settings]) -> Iterator[Table]:
    """The stage's tables."""
    images, labels = context.data.test_images, context.data.test_labels
    clean = unit_pixels(images)
    black = (images == 0).mean(axis=(1, 2))
    energy = np.square(clean).mean(axis=(1, 2), dtype=np.float64)
    denoisers = _denoisers(context)

    def measure(what: tuple[Noise, float]) -> tuple[list[Row], list[Row], list[dict[str, Any]]]:
        noise, level = what
        noisy = add_noise(images, noise, level, seed=context.seed)
        before = mse_of_each(noisy, clean)
        summaries: list[Row] = []
        correlations: list[Row] = []
        per_image: list[dict[str, Any]] = []
        for model, denoise in denoisers.items():
            after = mse_of_each(denoise(noisy), clean)
            key = {"model": model, "noise": noise, "level": level}
            summaries.append({**key, **_summary(before, after, context.own.num_resamples, context.seed)})
            if model in PER_IMAGE:
                correlations.append({**key, **_correlations(before - after, black, energy)})
                per_image.append({**key, "noisy_mse": before, "reconstructed_mse": after})
        return summaries, correlations, per_image

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        summaries, correlations, per_image = zip(*pool.map(measure, context.own.levels), strict=True)
    yield Table("denoising", list(chain(*summaries)))
    yield Table("denoising_correlations", list(chain(*correlations)))
    of_images = {"index": np.arange(len(images)), "label": labels, "zero_fraction": black, "energy": energy}
    yield Table("denoising_images", _columns(list(chain(*per_image)), of_images))


def _denoisers(context: Context[Settings]) -> dict[str, Denoiser]:
    def of_model(model: Autoencoder) -> Denoiser:
        return lambda noisy: reconstruct_pixels(model, noisy)

    return {name: of_model(final_model(context, name)) for name in AUTOENCODERS} | {
        "median_filter": lambda noisy: ndimage.median_filter(noisy, size=(1, 3, 3)),
        "gaussian_filter": lambda noisy: ndimage.gaussian_filter(noisy, sigma=(0, 1, 1)),
    }


def _columns(parts: list[dict[str, Any]], of_images: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Columns of the parts one under the other; a part's plain values, and the images', are repeated."""
    num_images = len(of_images["index"])
    repeated = {name: np.tile(values, len(parts)) for name, values in of_images.items()}
    return repeated | {
        name: np.concatenate([np.broadcast_to(part[name], num_images) for part in parts]) for name in parts[0]
    }


def _summary(before: NDArray[np.float64], after: NDArray[np.float64], num_resamples: int, seed: int) -> Row:
    gain = before - after
    interval = bootstrap(
        (gain,), np.mean, n_resamples=num_resamples, method="percentile", batch=100, rng=seed
    ).confidence_interval
    return {
        "noisy_mse": before.mean(),
        "reconstructed_mse": after.mean(),
        "gain": gain.mean(),
        "gain_low": interval.low,
        "gain_high": interval.high,
        "fraction_improved": (gain > 0).mean(),
        "num_images": len(gain),
    }


def _correlations(gain: NDArray[np.float64], black: NDArray[np.float64], energy: NDArray[np.float64]) -> Row:
    """Spearman's rank correlation of gain and black share, as it is and with the energy's part taken out of both."""

    def without_energy(values: NDArray[np.float64]) -> NDArray[np.float64]:
        ranks, by = rankdata(values), rankdata(energy)
        slope, intercept = np.polyfit(by, ranks, 1)
        return np.asarray(ranks - slope * by - intercept)

    partial = np.corrcoef(without_energy(gain), without_energy(black))[0, 1]
    return {
        "spearman_zero_fraction": spearmanr(gain, black).statistic,
        "spearman_energy": spearmanr(gain, energy).statistic,
        "partial_spearman_zero_fraction": partial,
    }


def shown_images(context: Context[Settings]) -> tuple[tuple[tuple[Any, ...], dict[str, Any]], tuple[Any, ...]]:
    """What figures.denoised_image is called with (arguments and options), and figures.denoised_classes."""
    images, labels = context.data.test_images, context.data.test_labels
    model = final_model(context, "best")
    own = len(images) > AUTHOR_IMAGE
    boot = AUTHOR_IMAGE if own else int(np.flatnonzero(labels == labels.max())[0])
    chosen = [boot, *(int(np.flatnonzero(labels == label)[0]) for label in np.unique(labels))]
    columns = []
    for level in context.own.zeroed:
        noisy = add_noise(images, "zeroed", level, seed=context.seed)
        columns.append((level, noisy[chosen], reconstruct_pixels(model, noisy[chosen])))
    clean = unit_pixels(images[chosen])
    first = [(level, noisy[0], restored[0]) for level, noisy, restored in columns]
    level, noisy, restored = columns[len(columns) // 2]
    names = [CLASS_NAMES[label] for label in np.unique(labels)]
    return ((clean[0], first), {"with_author": own}), (clean[1:], noisy[1:], restored[1:], names, level)
