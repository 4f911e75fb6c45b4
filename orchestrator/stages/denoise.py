"""denoise: how much of an image's noise the models take away (the paper's Denoising and Figure 2).

Reads the models of refit. Writes the tables denoising, denoising_images and denoising_correlations, and figures.
Autoencoders trained on clean images stand beside two trained on noisy ones and two plain filters. Every model sees
the same noise, drawn once per image, kind and level.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.config import Denoise
from orchestrator.figures import denoise as figures
from orchestrator.stage import Context, Record, Stage
from orchestrator.stages.refit import load_model
from orchestrator.tables import Row
from trainables.noise import Noise, add_noise

if TYPE_CHECKING:
    from trainables.autoencoder import Autoencoder

Images = NDArray[np.floating[Any]]
Denoiser = Callable[[Images], Images]

AUTOENCODERS = ("best", "paper_table1", "denoise_zeroed", "denoise_gaussian")
PER_IMAGE = ("best", "paper_table1")
"""Models whose every image is a row of denoising_images."""
AUTHOR_IMAGE = 7418
"""The test image of the author's Figure 2, an ankle boot."""


def levels(settings: Denoise) -> Iterator[tuple[Noise, float]]:
    """Every kind of noise with its levels."""
    for kind, values in (
        ("zeroed", settings.zeroed),
        ("zeroed_foreground", settings.zeroed),
        ("gaussian_matched", settings.zeroed),
        ("gaussian", settings.gaussian),
        ("gaussian_unclipped", settings.gaussian),
    ):
        for value in values:
            yield kind, value  # type: ignore[misc]  # mypy joins the literals to str


def _denoisers(context: Context) -> dict[str, Denoiser]:
    from scipy import ndimage

    def of_model(model: Autoencoder) -> Denoiser:
        from trainables.autoencoder import reconstruct_pixels

        return lambda noisy: reconstruct_pixels(model, noisy)

    return {name: of_model(load_model(context, name)) for name in AUTOENCODERS} | {
        "median_filter": lambda noisy: ndimage.median_filter(noisy, size=(1, 3, 3)),
        "gaussian_filter": lambda noisy: ndimage.gaussian_filter(noisy, sigma=(0, 1, 1)),
    }


def finish(context: Context, records: dict[str, Record]) -> None:
    """Add noise, take it away again, and write how near the clean images that comes."""
    images, labels = context.data.test_images, context.data.test_labels
    settings, seed = context.settings.denoise, context.settings.seed
    clean = images.astype(np.float32) / 255
    black = (images == 0).mean(axis=(1, 2))
    energy = np.square(clean).mean(axis=(1, 2), dtype=np.float64)
    denoisers = _denoisers(context)

    def measure(what: tuple[Noise, float]) -> tuple[list[Row], list[Row], list[dict[str, Any]]]:
        noise, level = what
        noisy = add_noise(images, noise, level, seed=seed)
        before = _mse(noisy, clean)
        summaries: list[Row] = []
        correlations: list[Row] = []
        per_image: list[dict[str, Any]] = []
        for model, denoise in denoisers.items():
            after = _mse(denoise(noisy), clean)
            key = {"model": model, "noise": noise, "level": level}
            summaries.append({**key, **_summary(before, after, settings.num_resamples, seed)})
            if model in PER_IMAGE:
                correlations.append({**key, **_correlations(before - after, black, energy)})
                per_image.append({**key, "noisy_mse": before, "reconstructed_mse": after})
        return summaries, correlations, per_image

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        summaries, correlations, per_image = zip(*pool.map(measure, levels(settings)), strict=True)
    context.write_table("denoising", list(chain(*summaries)))
    context.write_table("denoising_correlations", list(chain(*correlations)))
    of_images = {"index": np.arange(len(images)), "label": labels, "zero_fraction": black, "energy": energy}
    context.write_table("denoising_images", _columns(list(chain(*per_image)), of_images))
    _write_figures(context, denoisers["best"])


def _columns(parts: list[dict[str, Any]], of_images: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Columns of the parts one under the other; a part's plain values, and the images', are repeated."""
    num_images = len(of_images["index"])
    repeated = {name: np.tile(values, len(parts)) for name, values in of_images.items()}
    return repeated | {
        name: np.concatenate([np.broadcast_to(part[name], num_images) for part in parts]) for name in parts[0]
    }


def _mse(images: Images, clean: Images) -> NDArray[np.float64]:
    """Of each image."""
    return np.asarray(np.square(images - clean).mean(axis=(1, 2), dtype=np.float64))


def _summary(before: NDArray[np.float64], after: NDArray[np.float64], num_resamples: int, seed: int) -> Row:
    from scipy.stats import bootstrap

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
    from scipy.stats import rankdata, spearmanr

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


def _write_figures(context: Context, denoise: Denoiser) -> None:
    from trainables.fashion_mnist import CLASS_NAMES

    images, labels = context.data.test_images, context.data.test_labels
    settings, seed = context.settings.denoise, context.settings.seed
    context.write_figure("denoise_gain", figures.denoising_gain, context.run.table("denoising"))
    boot = AUTHOR_IMAGE if len(images) > AUTHOR_IMAGE else int(np.flatnonzero(labels == labels.max())[0])
    chosen = [boot, *(int(np.flatnonzero(labels == label)[0]) for label in np.unique(labels))]
    columns = []
    for level in settings.zeroed:
        noisy = add_noise(images, "zeroed", level, seed=seed)[chosen]
        columns.append((level, noisy, denoise(noisy)))
    clean = images[chosen].astype(np.float32) / 255
    first = [(level, noisy[0], restored[0]) for level, noisy, restored in columns]
    own = boot == AUTHOR_IMAGE
    context.write_figure("denoise_boot", figures.denoised_image, clean[0], first, with_author=own)
    level, noisy, restored = columns[len(columns) // 2]
    names = [CLASS_NAMES[label] for label in np.unique(labels)]
    classes = (clean[1:], noisy[1:], restored[1:], names, level)
    context.write_figure("denoise_classes", figures.denoised_classes, *classes)


STAGE = Stage(
    name="denoise",
    decides=lambda settings: [settings.data, settings.denoise],
    finish=finish,
    needs=lambda settings: ("refit",),
    images=True,
)
