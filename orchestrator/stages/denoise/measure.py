"""Noise added, taken away again, and measured."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import bootstrap, rankdata, spearmanr

from orchestrator.engine.stage import Context, Table
from orchestrator.stages.architectures import final_model
from orchestrator.stages.denoise import AUTOENCODERS, Settings
from orchestrator.stages.measures import Pixels, mse_of_each
from trainables.autoencoder import reconstruct_pixels
from trainables.fashion_mnist import CLASS_NAMES
from trainables.images import unit_pixels
from trainables.noise import Noise, add_noise

Values = NDArray[np.float64]
Columns = dict[str, Any]
Denoiser = Callable[[Pixels], Pixels]
PER_IMAGE = ("best", "paper_table1")
"""Models whose every image is a row of denoising_images."""
AUTHOR_IMAGE = 7418
"""The test image of the author's Figure 2, an ankle boot."""


def measured(context: Context[Settings]) -> Iterator[Table]:
    """The stage's tables."""
    images, labels = context.data.test_images, context.data.test_labels
    own, seed = context.own, context.seed
    clean = unit_pixels(images)
    black, energy = (images == 0).mean(axis=(1, 2)), np.square(clean).mean(axis=(1, 2), dtype=np.float64)
    denoisers: dict[str, Denoiser] = {
        **{name: partial(reconstruct_pixels, final_model(context, name, context.seed)) for name in AUTOENCODERS},
        "median_filter": partial(ndimage.median_filter, size=(1, 3, 3)),
        "gaussian_filter": partial(ndimage.gaussian_filter, sigma=(0, 1, 1)),
    }

    def measure(what: tuple[Noise, float]) -> tuple[list[Columns], list[tuple[Columns, Columns]]]:
        noise, level = what
        noisy = add_noise(images, noise, level, seed=seed)
        before = mse_of_each(noisy, clean)
        summaries, details = [], []
        for model, denoise in denoisers.items():
            after = mse_of_each(denoise(noisy), clean)
            which: Columns = {"model": model, "noise": noise, "level": level}
            summaries.append(which | _summary(before, after, own.num_resamples, seed))
            if model in PER_IMAGE:
                errors = {"noisy_mse": before, "reconstructed_mse": after}
                details.append((which | _correlations(before - after, black, energy), which | errors))
        return summaries, details

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        summaries, details = zip(*pool.map(measure, own.levels), strict=True)
    yield Table("denoising", list(chain(*summaries)))
    correlations, per_image = zip(*chain(*details), strict=True)
    yield Table("denoising_correlations", correlations)
    of_images = {"index": np.arange(len(images)), "label": labels, "zero_fraction": black, "energy": energy}
    columns = {name: np.tile(values, len(per_image)) for name, values in of_images.items()}
    for name in per_image[0]:
        columns[name] = np.concatenate([np.broadcast_to(part[name], len(images)) for part in per_image])
    yield Table("denoising_images", columns)


def _summary(before: Values, after: Values, num_resamples: int, seed: int) -> Columns:
    gain = before - after
    found = bootstrap((gain,), np.mean, n_resamples=num_resamples, method="percentile", batch=100, rng=seed)
    return {
        "noisy_mse": before.mean(),
        "reconstructed_mse": after.mean(),
        "gain": gain.mean(),
        "gain_low": found.confidence_interval.low,
        "gain_high": found.confidence_interval.high,
        "fraction_improved": (gain > 0).mean(),
        "num_images": len(gain),
    }


def _correlations(gain: Values, black: Values, energy: Values) -> Columns:
    """Spearman's rank correlation of gain and black share, as it is and with the energy's part taken out of both."""

    def without_energy(values: Values) -> Values:
        ranks, by = rankdata(values), rankdata(energy)
        slope, intercept = np.polyfit(by, ranks, 1)
        return np.asarray(ranks - slope * by - intercept)

    return {
        "spearman_zero_fraction": spearmanr(gain, black).statistic,
        "spearman_energy": spearmanr(gain, energy).statistic,
        "partial_spearman_zero_fraction": np.corrcoef(without_energy(gain), without_energy(black))[0, 1],
    }


def shown_images(context: Context[Settings]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """What figures.denoised_image is called with, and figures.denoised_classes."""
    images, model = context.data.test_images, final_model(context, "best", context.seed)
    classes, firsts = np.unique(context.data.test_labels, return_index=True)
    authors = len(images) > AUTHOR_IMAGE
    chosen = [AUTHOR_IMAGE if authors else firsts[-1], *firsts]
    clean = unit_pixels(images[chosen])
    columns = []
    for level in context.own.zeroed:
        noisy = add_noise(images, "zeroed", level, seed=context.seed)[chosen]
        columns.append((level, noisy, reconstruct_pixels(model, noisy)))
    of_first = [(level, noisy[0], restored[0]) for level, noisy, restored in columns]
    level, noisy, restored = columns[len(columns) // 2]
    names = [CLASS_NAMES[label] for label in classes]
    return (clean[0], of_first, authors), (clean[1:], noisy[1:], restored[1:], names, level)
