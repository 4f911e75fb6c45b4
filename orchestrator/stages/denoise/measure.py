"""What the models make of noise, as tables."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from orchestrator.engine.stage import Context, Table
from orchestrator.stages.architectures import final_model
from orchestrator.stages.denoise import FILTERS, TRAINED_WITH, Settings, seeds
from orchestrator.stages.denoise.errors import (
    AUTHOR_IMAGE,
    PER_IMAGE,
    Denoisers,
    Errors,
    Values,
    denoisers,
    errors,
    first_images,
    improved,
    of_one_image,
    shown_image,
)
from orchestrator.stages.denoise.relations import correlation_rows, share_of_the_image
from orchestrator.stages.measures import Pixels, of_each
from orchestrator.stages.sections import Data
from orchestrator.statistics.intervals import geometric_mean
from orchestrator.statistics.resamples import Resamples
from trainables.autoencoder import Coder, reconstruct_pixels
from trainables.images import unit_pixels
from trainables.noise import Noise, add_noise

Columns = dict[str, Any]
KINDS_SHOWN: dict[Noise, tuple[str, str]] = {
    "zeroed": ("pixels set to zero", "p"),
    "gaussian": ("Gaussian noise, clipped to [0, 1]", "sigma"),
}
"""Kinds of noise that a slider goes through, with their names and their level's."""
LEVELS_SHOWN = ("clean", "noisy", "the search's best", "trained with noise")
"""Rows of images at each level."""


def measured(context: Context[Settings]) -> Iterator[Table]:
    """The stage's tables."""
    images, own = context.data.test_images, context.own
    of = denoisers(context)
    found = errors(context, of)
    resamples = Resamples(own.num_resamples, len(seeds(context)), len(images), seed=context.seed)
    black, energy = of_each(images == 0), of_each(np.square(unit_pixels(images)))
    yield Table("denoising", list(_summaries(found, energy, resamples)))
    yield Table("denoising_seeds", list(_of_seeds(found, seeds(context))))
    yield Table("denoising_crossed", list(_crossed(found)))
    correlations: list[Columns] = []
    for model in PER_IMAGE:
        for number, (noise, level) in enumerate(found.noises[1:], start=1):
            which = {"model": model, "noise": noise, "level": level}
            pair = found.before[number], found.after[model][number]
            rows = correlation_rows(*pair, black, energy, resamples, seeds(context))
            correlations += [which | row | {"num_images": len(images)} for row in rows]
    yield Table("denoising_correlations", correlations)
    looked_at = {name: of[name] for name in PER_IMAGE}
    yield Table("denoising_repeats", list(_repeats(context, looked_at, resamples)))
    papers = context.section(Data).is_papers
    shown = {name: it for name, it in of.items() if name in {*PER_IMAGE, *FILTERS}}
    yield Table("denoising_boot", list(_of_shown_image(context, shown)) if papers else [])
    yield Table("denoising_images", _of_images(found, context.data.test_labels, black, energy))


def _summaries(found: Errors, energy: Values, resamples: Resamples) -> Iterator[Columns]:
    """Each model and filter over all its seeds, beside the better filter and beside zeroed pixels of that level."""
    num_images = found.before.shape[1]
    drawn = {model: resamples.means(after) for model, after in found.after.items()}
    drawn_before = resamples.means(found.before[:, None])
    means = {model: after.mean(axis=(1, 2)) for model, after in found.after.items()}
    for number, (noise, level) in enumerate(found.noises[1:], start=1):
        before = found.before[number]
        best_filter = min(FILTERS, key=lambda name: means[name][number])
        zeroed = found.of("zeroed", level)
        for model, after in found.after.items():
            value, draws = means[model][number], drawn[model][:, number]
            row = {"model": model, "noise": noise, "level": level, "noisy_mse": before.mean()}
            row |= {"reconstructed_mse": value, "best_filter": best_filter}
            row |= resamples.interval("gain", before.mean() - value, drawn_before[:, number] - draws)
            filter_mse, of_filter = means[best_filter][number], drawn[best_filter][:, number]
            row |= resamples.interval("filter_ratio", value / filter_mse, draws / of_filter, ratio=True)
            row |= dict.fromkeys(("zeroed_ratio", "zeroed_ratio_low", "zeroed_ratio_high", "zeroed_ratio_df"))
            if zeroed is not None:
                beside = draws / drawn[model][:, zeroed]
                row |= resamples.interval("zeroed_ratio", value / means[model][zeroed], beside, ratio=True)
            row["fraction_improved"] = (after[number] < before).mean()
            blanked = (before > 0.999999 * energy).sum() if noise.startswith("zeroed") else None
            yield row | {"num_blanked": blanked, "num_images": num_images, "num_seeds": after.shape[1]}


def _of_seeds(found: Errors, of_models: range) -> Iterator[Columns]:
    for number, (noise, level) in enumerate(found.noises):
        before = found.before[number]
        for model, after in found.after.items():
            for seed, of_seed in zip((None,) if model in FILTERS else of_models, after[number], strict=True):
                row = {"model": model, "seed": seed, "noise": noise, "level": level, "noisy_mse": before.mean()}
                row |= {"reconstructed_mse": of_seed.mean(), "gain": before.mean() - of_seed.mean()}
                yield row | {"fraction_improved": (of_seed < before).mean()}


def _crossed(found: Errors) -> Iterator[Columns]:
    """Geometric means over seeds, with t intervals of the logarithms."""
    for trained_with, model in TRAINED_WITH.items():
        for number, (noise, level) in enumerate(found.noises):
            mine, best = (found.after[name][number].mean(axis=1) for name in (model, "best"))
            ratio = geometric_mean(mine / best)
            row = {"trained_with": trained_with, "tested_with": noise, "level": level, "num_seeds": ratio.n}
            row |= {"noisy_mse": found.before[number].mean(), "ratio": ratio.value}
            yield row | {"low": ratio.low, "high": ratio.high}


def _repeats(context: Context[Settings], of: Denoisers, resamples: Resamples) -> Iterator[Columns]:
    for level in context.own.zeroed:
        for model, of_model in improved(context, of, level).items():
            num_seeds, num_draws, num_images = of_model.shape
            row = {"model": model, "noise": "zeroed", "level": level, **share_of_the_image(of_model, resamples)}
            yield row | {"num_draws": num_draws, "num_images": num_images, "num_seeds": num_seeds}


def _of_shown_image(context: Context[Settings], of: Denoisers) -> Iterator[Columns]:
    for level in context.own.zeroed:
        before, after = of_one_image(context, of, level)
        for model, of_model in after.items():
            for (number, draw), error in np.ndenumerate(of_model):
                seed = None if model in FILTERS else seeds(context)[number]
                row = {"model": model, "index": shown_image(context), "seed": seed, "level": level}
                yield row | {"draw": draw, "noisy_mse": before[draw], "reconstructed_mse": error}


def _of_images(found: Errors, labels: Any, black: Values, energy: Values) -> Columns:
    """The first seed's."""
    parts = [(model, number) for number in range(1, len(found.noises)) for model in PER_IMAGE]
    index = np.arange(len(black))
    labels = np.full(len(index), None) if labels is None else labels
    of_images = {"index": index, "label": labels, "zero_fraction": black, "energy": energy}
    columns: Columns = {name: np.tile(values, len(parts)) for name, values in of_images.items()}
    columns["model"] = np.repeat([model for model, _ in parts], len(index))
    columns["noise"] = np.repeat([found.noises[number][0] for _, number in parts], len(index))
    columns["level"] = np.repeat([found.noises[number][1] for _, number in parts], len(index))
    columns["noisy_mse"] = np.concatenate([found.before[number] for _, number in parts])
    columns["reconstructed_mse"] = np.concatenate([found.after[model][number, 0] for model, number in parts])
    return columns


def noise_levels(context: Context[Settings]) -> dict[str, list[tuple[str, Pixels, str]]]:
    """What figures.interactive.frames is called with: by kind of noise, a frame for each level."""
    images, firsts = context.data.test_images, list(first_images(context).values())
    clean = unit_pixels(images[firsts])
    groups = {}
    for kind, (told, symbol) in KINDS_SHOWN.items():
        models = [final_model(context, name, context.seed) for name in ("best", TRAINED_WITH[kind])]
        noisy = {0.0: clean} | {
            level: add_noise(images[firsts], kind, level, seed=context.seed) for level in getattr(context.own, kind)
        }
        groups[told] = [(f"{symbol} = {level:g}", *_restored(clean, it, models)) for level, it in noisy.items()]
    return groups


def _restored(clean: Pixels, noisy: Pixels, models: Sequence[Coder]) -> tuple[Pixels, str]:
    """Rows of images as LEVELS_SHOWN names them, and their errors."""
    rows = np.stack([clean, noisy, *(reconstruct_pixels(model, noisy) for model in models)])
    errors = zip(LEVELS_SHOWN, np.square(rows - clean).mean(tuple(range(1, rows.ndim))), strict=True)
    return rows, f"MSE: {', '.join(f'{name} {error:.4f}' for name, error in list(errors)[1:])}"


def shown_images(context: Context[Settings]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """What figures.denoised_image is called with, and figures.denoised_classes."""
    images, model = context.data.test_images, final_model(context, "best", context.seed)
    shown, firsts = shown_image(context), first_images(context)
    chosen = [shown, *firsts.values()]
    clean = unit_pixels(images[chosen])
    columns = []
    for level in context.own.zeroed:
        noisy = add_noise(images, "zeroed", level, seed=context.seed)[chosen]
        columns.append((level, noisy, reconstruct_pixels(model, noisy)))
    of_first = [(level, noisy[0], restored[0]) for level, noisy, restored in columns]
    level, noisy, restored = columns[len(columns) // 2]
    with_author = context.section(Data).is_papers and shown == AUTHOR_IMAGE
    return (clean[0], of_first, with_author), (clean[1:], noisy[1:], restored[1:], list(firsts), level)
