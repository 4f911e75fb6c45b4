"""denoise: how much of an image's noise the models take away (the paper's Denoising and Figure 2).

Reads the models of refit, of every seed. Writes tables that begin with denoising, and figures. Autoencoders trained
on clean images stand beside three trained on noisy ones and two plain filters. Every model sees the same noise, drawn
once per image, kind and level. Intervals are over seeds and images (orchestrator.statistics.resamples).
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Annotated, Any, ClassVar

from pydantic import Field

from orchestrator.engine.records import Record
from orchestrator.engine.settings import Scale, Section
from orchestrator.engine.stage import Context, Picture, Stage, Table, Tables
from orchestrator.engine.tables import SEED, schema
from orchestrator.figures.names import MODELS, NOISES, capital
from orchestrator.stages.architectures import described, refit_key
from orchestrator.stages.columns import (
    KINDS_OF_NOISE,
    LABEL,
    LEVEL,
    MODEL,
    NOISE,
    NOISY_MSE,
    RECONSTRUCTED_MSE,
    category,
    integer,
    mse,
    real,
)
from orchestrator.stages.sections import Data, Distinct, FinalModels, Share
from trainables.noise import Noise

DENOISER = category("model", "model of models/, median_filter (3 x 3) or gaussian_filter (sigma 1 pixel)")
WHICH = (DENOISER, *NOISE)
TRAINED_WITH = {noise: f"denoise_{noise}" for noise in ("zeroed", "gaussian", "gaussian_unclipped")}
"""Models that were trained on noisy images, by the kind of noise."""
AUTOENCODERS = ("best", "paper_table1", *TRAINED_WITH.values())
FILTERS = ("median_filter", "gaussian_filter")
NUM_SEEDS = integer("num_seeds", "seeds that the model was trained from")
NUM_IMAGES = integer("num_images", "test images")
FRACTION_IMPROVED = real("fraction_improved", "share of the images whose error got smaller")
GAIN = "noisy_mse - reconstructed_mse, mean over the images"
CORRELATION = "rank correlation of gain and"


def estimate(name: str, description: str, kind: Any) -> tuple[Any, ...]:
    """Columns of an estimate, of the ends of its 95 % interval and of the degrees of freedom that this has."""
    ends = ((f"{name}_low", "lower"), (f"{name}_high", "upper"))
    low, high = (
        kind(end, f"{which} end of the 95 % interval of {name} (bootstrap of images, t over seeds)")
        for end, which in ends
    )
    df = real(f"{name}_df", "degrees of freedom of that interval; missing where it is the images' alone")
    return kind(name, description), low, high, df


class Settings(Section):
    """Noise to be taken away."""

    zeroed: Annotated[Distinct[Share], Scale("levels of zeroed pixels")] = (0.1, 0.2, 0.3, 0.4, 0.5)
    """Probabilities of setting a pixel to zero; also what matched Gaussian noise is matched to."""
    foreground: Annotated[Distinct[Share], Scale("levels of zeroed foreground")] = (0.02, 0.05, 0.1)
    """Shares of all pixels, zeroed among those that are not black. Levels at which an image has no more of these say
    of the gain only which images are blank: num_blanked counts them."""
    gaussian: Annotated[Distinct[Share], Scale("levels of Gaussian noise")] = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
    """Standard deviations, where the pixels' range is 1."""
    num_resamples: Annotated[int, Field(ge=10), Scale("bootstrap samples")] = 2000
    """Bootstrap samples of seeds and images, for each interval."""
    num_repeats: Annotated[int, Field(ge=2), Scale("draws of the noise")] = 5
    """Draws of zeroed pixels on every image, to tell the image's part in whether it improves from the noise's."""
    image_draws: Annotated[int, Field(ge=2), Scale("draws of the noise on the author's image")] = 20
    """Draws of zeroed pixels, at each level, on the image of the author's Figure 2."""

    @property
    def levels(self) -> list[tuple[Noise, float]]:
        """Every kind of noise with its levels."""
        of_zeroed: tuple[Noise, ...] = ("zeroed", "gaussian_matched")
        of_gaussian: tuple[Noise, ...] = ("gaussian", "gaussian_unclipped")
        foreground: tuple[Noise, ...] = ("zeroed_foreground",)
        pairs = (of_zeroed, self.zeroed), (foreground, self.foreground), (of_gaussian, self.gaussian)
        return [which for kinds, levels in pairs for which in product(kinds, levels)]


class Denoise(Stage[Settings, Any]):
    """Denoising."""

    name, title = "denoise", "Taking noise away"
    settings = Settings
    reads = (Data, FinalModels)
    presets: ClassVar = {"laptop": {"num_repeats": 2}}
    schemas: ClassVar = {
        "denoising": schema(
            *WHICH,
            NOISY_MSE,
            RECONSTRUCTED_MSE,
            *estimate("gain", GAIN, mse),
            FRACTION_IMPROVED,
            category("best_filter", "the filter that leaves the smaller error at this noise and level"),
            *estimate("filter_ratio", "reconstructed_mse over that of best_filter", real),
            *estimate("zeroed_ratio", "reconstructed_mse over that after zeroed pixels of the same level", real),
            integer("num_blanked", "images that zeroing left without a pixel that is not black"),
            NUM_IMAGES,
            NUM_SEEDS,
        ),
        "denoising_seeds": schema(
            DENOISER,
            SEED,
            category("noise", f"{KINDS_OF_NOISE}; none: what the model loses by itself"),
            LEVEL,
            NOISY_MSE,
            RECONSTRUCTED_MSE,
            mse("gain", GAIN),
            FRACTION_IMPROVED,
        ),
        "denoising_crossed": schema(
            category("trained_with", "noise that the model was trained with; the rest of it is the model best"),
            category("tested_with", "noise that was taken away; none: clean images"),
            LEVEL,
            NOISY_MSE,
            real("ratio", "MSE over that of the model best of the same seed, geometric mean over seeds"),
            real("low", "lower end of the ratio's 95 % interval over seeds (t, on logarithms)"),
            real("high", "upper end of the ratio's 95 % interval over seeds (t, on logarithms)"),
            NUM_SEEDS,
        ),
        "denoising_correlations": schema(
            MODEL,
            integer("seed", "seed of the training; missing for the mean over all seeds"),
            *NOISE,
            *estimate("spearman_zero_fraction", f"{CORRELATION} the image's share of zero pixels", real),
            *estimate("spearman_energy", f"{CORRELATION} the image's mean square", real),
            *estimate(
                "partial_spearman_zero_fraction",
                f"{CORRELATION} share of zero pixels, the mean square's part taken out of both",
                real,
            ),
            *estimate(
                "partial_spearman_noisy",
                f"{CORRELATION} share of zero pixels, the part of the noisy image's error taken out of both",
                real,
            ),
            *estimate(
                "auc_zero_fraction",
                "probability that an image that improves has more zero pixels than one that does not",
                real,
            ),
            NUM_IMAGES,
            NUM_SEEDS,
        ),
        "denoising_repeats": schema(
            MODEL,
            *NOISE,
            *estimate("image_share", "share of the variance of whether it improves that is the image's", real),
            FRACTION_IMPROVED,
            integer("num_draws", "draws of the noise on each image"),
            NUM_IMAGES,
            NUM_SEEDS,
        ),
        "denoising_boot": schema(
            DENOISER,
            integer("index", "of the test image: the author's is 7418"),
            integer("seed", "seed of the training; missing for a filter"),
            LEVEL,
            integer("draw", "number of the draw of zeroed pixels, from 0"),
            NOISY_MSE,
            RECONSTRUCTED_MSE,
        ),
        "denoising_images": schema(
            *WHICH,
            integer("index", "of the test image"),
            LABEL,
            real("zero_fraction", "share of the clean image's pixels that are zero"),
            real("energy", "mean square of the clean image's pixels", "squared pixel value"),
            mse("noisy_mse", "error of the noisy image against the clean one"),
            mse("reconstructed_mse", "error of what the first seed's model makes of it against the clean one"),
        ),
    }
    shown = ("denoising", "denoising_crossed", "denoising_correlations")

    def needs(self, own: Settings) -> tuple[str, ...]:
        return ("refit",)

    def reads_only(self, context: Context[Settings]) -> Mapping[str, Sequence[str]]:
        return {"refit": [refit_key(name, seed) for seed in seeds(context) for name in AUTOENCODERS]}

    def own_seconds(self, context: Context[Settings]) -> float:
        own, num_seeds, num_images = context.own, len(seeds(context)), context.section(Data).num_test
        noises, repeats = len(own.levels) + 1, len(own.zeroed) * own.num_repeats
        return 5 + 27e-6 * num_images * (noises * (len(AUTOENCODERS) * num_seeds + 1) + 2 * repeats * num_seeds)

    def results(self, context: Context[Settings], records: Sequence[Record[Any]]) -> Iterator[Table]:
        from orchestrator.stages.denoise.measure import measured

        return measured(context)

    def figures(self, context: Context[Settings], tables: Tables) -> Iterator[Picture]:
        from orchestrator.figures.interactive import frames
        from orchestrator.stages.denoise import figures
        from orchestrator.stages.denoise.measure import LEVELS_SHOWN, noise_levels, shown_images

        boot, classes = shown_images(context)
        model = f"The search's best: {described(context.records('refit')[refit_key('best', context.seed)])}"
        name, caption = (
            "denoise_image",
            "An image with more and more pixels set to zero, and what the best makes of it.",
        )
        if context.section(Data).is_papers:
            name = "denoise_boot"
            caption = (
                "The paper's Figure 2: an image with more and more pixels set to zero, and what the search's best "
                "makes of it; where it is the author's image, his errors stand below ours, of another model and "
                "other noise."
            )
        yield Picture(name, caption, figures.denoised_image, *boot, model)
        which = (
            "The first test image of every class" if context.section(Data).class_names else "The first test images"
        )
        caption = f"{which} with more and more pixels set to zero, and what the search's best makes of them."
        yield Picture("denoise_classes", caption, figures.denoised_classes, *classes, model)
        caption = f"{which} under more and more noise; MSE over all of them."
        yield Picture("denoise_levels", caption, frames, noise_levels(context), rows=LEVELS_SHOWN)
        caption = (
            "How much nearer the clean images every model and filter comes, by level of each kind of noise, on a "
            "scale of its own; below 0 it does harm. Bands are 95 % intervals over seeds and images; many are "
            "narrower than the lines."
        )
        yield Picture("denoise_gain", caption, figures.denoising_gain, tables["denoising"])

    def findings(self, tables: Tables) -> Iterator[str]:
        names = {"zeroed": "pixels zeroed", "gaussian_matched": "Gaussian noise of the same energy"}
        for model, noise in product(("best", "paper_table1"), names):
            rows = tables["denoising"].query("model == @model and noise == @noise")
            rows = rows.assign(filter_mse=rows["reconstructed_mse"] / rows["filter_ratio"])
            of_seeds = tables["denoising_seeds"].query("model == @model and noise == @noise")
            by_level = of_seeds.groupby("level")["fraction_improved"]
            shares = {f"{level:g}": of_level.tolist() for level, of_level in by_level}
            values = ", ".join(
                f"p = {row.level:g}: {row.noisy_mse:.4f} to {row.reconstructed_mse:.4f} "
                f"({row.fraction_improved:.0%}{_by_seed(shares.get(f'{row.level:g}', ()))}; "
                f"{str(row.best_filter).partition('_')[0]} {row.filter_mse:.4f})"
                for row in rows.itertuples()
            )
            yield (
                f"{capital(MODELS[model])}, {names[noise]}, MSE before and after (and share of images improved, of "
                f"all and of each seed; the better filter's MSE): {values}."
            )
        blanked = tables["denoising"].query("model == 'best' and num_blanked > 0")
        for row in blanked.itertuples():
            told = f"leaves {row.num_blanked:.0f} images blank: it decides no claim"
            yield f"Level {row.level:g} of {NOISES[str(row.noise)][0]} {told}."


def _by_seed(shares: Sequence[float]) -> str:
    """Each seed's share, where there are several: a model that goes astray does not show in their mean."""
    return f": {' '.join(f'{share:.0%}' for share in shares)}" if len(shares) > 1 else ""


def seeds(context: Context[Settings]) -> range:
    """Seeds of the models."""
    return context.section(FinalModels).seeds(context.seed)
