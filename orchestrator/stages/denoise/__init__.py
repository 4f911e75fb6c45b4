"""denoise: how much of an image's noise the models take away (the paper's Denoising and Figure 2).

Reads the models of refit. Writes the tables denoising, denoising_images and denoising_correlations, and figures.
Autoencoders trained on clean images stand beside two trained on noisy ones and two plain filters. Every model sees
the same noise, drawn once per image, kind and level.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Annotated, Any, ClassVar

from pydantic import Field

from orchestrator.engine.records import Record
from orchestrator.engine.settings import Scale, Section
from orchestrator.engine.stage import Context, Picture, Stage, Table, Tables
from orchestrator.engine.tables import schema
from orchestrator.stages.architectures import refit_key
from orchestrator.stages.columns import LABEL, NOISE, NOISY_MSE, RECONSTRUCTED_MSE, category, integer, mse, real
from orchestrator.stages.sections import Data, Distinct, Share
from trainables.noise import Noise

WHICH = (category("model", "model of models/, median_filter (3 x 3) or gaussian_filter (sigma 1 pixel)"), *NOISE)
AUTOENCODERS = ("best", "paper_table1", "denoise_zeroed", "denoise_gaussian")
CORRELATION = "rank correlation of gain and"


class Settings(Section):
    """Noise to be taken away."""

    zeroed: Annotated[Distinct[Share], Scale("levels of zeroed pixels")] = (0.1, 0.2, 0.3, 0.4, 0.5)
    """Probabilities of setting a pixel to zero; also the shares of foreground pixels that are zeroed, and what
    matched Gaussian noise is matched to."""
    gaussian: Annotated[Distinct[Share], Scale("levels of Gaussian noise")] = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
    """Standard deviations, where the pixels' range is 1."""
    num_resamples: Annotated[int, Field(ge=10), Scale("bootstrap samples")] = 1000
    """Bootstrap samples of the images, for each interval."""

    @property
    def levels(self) -> list[tuple[Noise, float]]:
        """Every kind of noise with its levels."""
        of_zeroed: tuple[Noise, ...] = ("zeroed", "zeroed_foreground", "gaussian_matched")
        of_gaussian: tuple[Noise, ...] = ("gaussian", "gaussian_unclipped")
        return [*product(of_zeroed, self.zeroed), *product(of_gaussian, self.gaussian)]


class Denoise(Stage[Settings, Any]):
    """Denoising."""

    name, title = "denoise", "Denoising (the paper's Figure 2)"
    settings = Settings
    reads = (Data,)
    schemas: ClassVar = {
        "denoising": schema(
            *WHICH,
            NOISY_MSE,
            RECONSTRUCTED_MSE,
            mse("gain", "noisy_mse - reconstructed_mse, mean over the images"),
            mse("gain_low", "lower end of the gain's 95 % bootstrap interval over the images"),
            mse("gain_high", "upper end of the gain's 95 % bootstrap interval over the images"),
            real("fraction_improved", "share of the images whose error got smaller"),
            integer("num_images", "test images"),
        ),
        "denoising_images": schema(
            *WHICH,
            integer("index", "of the test image"),
            LABEL,
            real("zero_fraction", "share of the clean image's pixels that are zero"),
            real("energy", "mean square of the clean image's pixels", "squared pixel value"),
            mse("noisy_mse", "error of the noisy image against the clean one"),
            mse("reconstructed_mse", "error of what the model makes of it against the clean one"),
        ),
        "denoising_correlations": schema(
            *WHICH,
            real("spearman_zero_fraction", f"{CORRELATION} the image's share of zero pixels"),
            real("spearman_energy", f"{CORRELATION} the image's mean square"),
            real(
                "partial_spearman_zero_fraction",
                f"{CORRELATION} share of zero pixels, the mean square's part taken out of both",
            ),
        ),
    }
    shown = ("denoising", "denoising_correlations")

    def needs(self, own: Settings) -> tuple[str, ...]:
        return ("refit",)

    def reads_only(self, context: Context[Settings]) -> Mapping[str, Sequence[str]]:
        return {"refit": [refit_key(name, context.seed) for name in AUTOENCODERS]}

    def results(self, context: Context[Settings], records: Sequence[Record[Any]]) -> Iterator[Table]:
        from orchestrator.stages.denoise.measure import measured

        return measured(context)

    def figures(self, context: Context[Settings], tables: Tables) -> Iterator[Picture]:
        from orchestrator.stages.denoise import figures
        from orchestrator.stages.denoise.measure import shown_images

        boot, classes = shown_images(context)
        caption = "An image with more and more pixels set to zero, and what the model best makes of it."
        yield Picture("denoise_boot", caption, figures.denoised_image, *boot)
        yield Picture("denoise_classes", "The same for an image of every class.", figures.denoised_classes, *classes)
        caption = "How much nearer the clean images every model comes; bands are 95 % intervals."
        yield Picture("denoise_gain", caption, figures.denoising_gain, tables["denoising"])

    def findings(self, tables: Tables) -> Iterator[str]:
        names = {"zeroed": "pixels zeroed", "gaussian_matched": "Gaussian noise of the same energy"}
        for model, noise in product(("best", "paper_table1"), names):
            rows = tables["denoising"].query("model == @model and noise == @noise")
            values = ", ".join(
                f"p = {row.level:g}: {row.noisy_mse:.4f} to {row.reconstructed_mse:.4f} ({row.fraction_improved:.0%})"
                for row in rows.itertuples()
            )
            yield f"{model}, {names[noise]}, MSE before and after (and share of images improved): {values}."
