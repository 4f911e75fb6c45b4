"""Noise added, and taken away again by every model and filter."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from orchestrator.engine.allowance import cores
from orchestrator.engine.stage import Context
from orchestrator.stages.architectures import final_model
from orchestrator.stages.denoise import AUTOENCODERS, FILTERS, Settings, seeds
from orchestrator.stages.measures import Pixels, mse_of_each, parts_of
from orchestrator.stages.sections import Data
from trainables.autoencoder import reconstruct_pixels
from trainables.images import unit_pixels
from trainables.noise import add_noise

Values = NDArray[np.float64]
Denoisers = dict[str, list[Callable[[Pixels], Pixels]]]
"""By name of the model or filter, one for each seed."""
CLEAN = ("none", 0.0)
"""No noise at all: what a model loses by itself."""
AUTHOR_IMAGE = 7418
"""The test image of the author's Figure 2, an ankle boot."""
AT_ONCE = 100
"""Images that are filtered together; they and what is made of them stay in the cache."""
MOST_SHOWN = 10
"""Images in a row of a figure."""
PER_IMAGE = ("best", "paper_table1")
"""Models that are looked at image by image."""


@dataclass(frozen=True)
class Errors:
    """Mean squared error of every test image against the clean one."""

    noises: Sequence[tuple[str, float]]
    before: Values
    """Shape (noises, images)."""
    after: dict[str, Values]
    """Of each model and filter, shape (noises, seeds, images); a filter has one seed."""

    def of(self, noise: str, level: float) -> int | None:
        """Number of a noise."""
        return self.noises.index((noise, level)) if (noise, level) in self.noises else None


def denoisers(context: Context[Settings]) -> Denoisers:
    """The models of every seed, and the filters."""
    apart = context.data.test_images.ndim - 2  # axes that are no rows and columns of pixels
    filters: Denoisers = {
        "median_filter": [median_filter],
        "gaussian_filter": [partial(ndimage.gaussian_filter, sigma=(*[0] * apart, 1, 1))],
    }
    assert tuple(filters) == FILTERS

    def of_seeds(name: str) -> list[Callable[[Pixels], Pixels]]:
        return [partial(reconstruct_pixels, final_model(context, name, seed)) for seed in seeds(context)]

    return {name: of_seeds(name) for name in AUTOENCODERS} | filters


def median_filter(pixels: Pixels) -> Pixels:
    """The median of each pixel and its eight neighbours, pixels beyond the edge being mirrored.

    The same as scipy's median_filter, which takes six times as long: three rows are put in order, then three columns
    of what is least, in the middle and greatest among them.

    Source: Paeth 1990, "Median finding on a 3 x 3 grid".
    """
    return np.concatenate([_median(part) for part in np.array_split(pixels, math.ceil(len(pixels) / AT_ONCE))])


def _median(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[-2:]
    wider = np.pad(pixels, [*[(0, 0)] * (pixels.ndim - 2), (1, 1), (1, 1)], "symmetric")
    least, middle, greatest = _in_order(*(wider[..., row : row + height, :] for row in range(3)))

    def columns(values: Pixels) -> tuple[Pixels, Pixels, Pixels]:
        return values[..., :width], values[..., 1 : width + 1], values[..., 2:]

    of_columns = _in_order(*columns(least))[2], _in_order(*columns(middle))[1], _in_order(*columns(greatest))[0]
    return _in_order(*of_columns)[1]


def _in_order(one: Pixels, two: Pixels, three: Pixels) -> tuple[Pixels, Pixels, Pixels]:
    low, high = np.minimum(one, two), np.maximum(one, two)
    return np.minimum(low, three), np.maximum(low, np.minimum(high, three)), np.maximum(high, three)


def errors(context: Context[Settings], of: Denoisers) -> Errors:
    """Of all test images, without noise and with each kind and level, drawn once for all models."""
    images, clean = context.data.test_images, unit_pixels(context.data.test_images)

    def measure(what: tuple[Any, float]) -> tuple[Values, dict[str, Values]]:
        return _before_and_after(clean if what == CLEAN else add_noise(images, *what, seed=context.seed), clean, of)

    noises = [CLEAN, *context.own.levels]
    parts = _side_by_side(measure, noises)
    after = {name: np.stack([of_noise[name] for _, of_noise in parts]) for name in of}
    return Errors(noises, np.stack([before for before, _ in parts]), after)


def improved(context: Context[Settings], of: Denoisers, level: float) -> dict[str, NDArray[np.bool_]]:
    """Whether each test image improves, with pixels zeroed several times over: shape (seeds, repeats, images)."""
    images, clean = context.data.test_images, unit_pixels(context.data.test_images)

    def measure(repeat: int) -> dict[str, NDArray[np.bool_]]:
        noisy = add_noise(images, "zeroed", level, seed=context.seed + repeat)
        before, after = _before_and_after(noisy, clean, of)
        return {name: of_model < before for name, of_model in after.items()}

    parts = _side_by_side(measure, range(context.own.num_repeats))
    return {name: np.stack([part[name] for part in parts], axis=1) for name in of}


def of_one_image(context: Context[Settings], of: Denoisers, level: float) -> tuple[Values, dict[str, Values]]:
    """Of the image shown, with many draws of zeroed pixels: before, shape (draws,), after, shape (seeds, draws)."""
    images = np.repeat(context.data.test_images[[shown_image(context)]], context.own.image_draws, axis=0)
    return _before_and_after(add_noise(images, "zeroed", level, seed=context.seed), unit_pixels(images), of)


def shown_image(context: Context[Settings]) -> int:
    """The author's image; where that is not there, the first one of the last class, or the first of all."""
    labels = context.data.test_labels
    if context.section(Data).is_papers and len(labels) > AUTHOR_IMAGE:
        return AUTHOR_IMAGE
    return 0 if labels is None else int(np.flatnonzero(labels == labels.max())[0])


def first_images(context: Context[Settings]) -> dict[str, int]:
    """The first test image of each class, by the class's name, or the first test images; no more than MOST_SHOWN."""
    labels, names = context.data.test_labels, context.section(Data).class_names
    if labels is None:
        return {f"image {number}": number for number in range(MOST_SHOWN)}
    classes, firsts = np.unique(labels, return_index=True)
    return {names[label]: int(first) for label, first in zip(classes[:MOST_SHOWN], firsts, strict=False)}


def _before_and_after(noisy: Pixels, clean: Pixels, of: Denoisers) -> tuple[Values, dict[str, Values]]:
    def of_all(denoise: Callable[[Pixels], Pixels]) -> Values:
        return np.concatenate([mse_of_each(denoise(some), others) for some, others in parts_of(noisy, clean)])

    after = {name: np.stack([of_all(denoise) for denoise in of_name]) for name, of_name in of.items()}
    return mse_of_each(noisy, clean), after


def _side_by_side(measure: Callable[[Any], Any], what: Sequence[Any]) -> list[Any]:
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(measure, what))
