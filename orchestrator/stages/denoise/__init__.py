"""denoise: how much of an image's noise the models take away (the paper's Denoising and Figure 2).

Reads the models of refit. Writes the tables denoising, denoising_images and denoising_correlations, and figures.
Autoencoders trained on clean images stand beside two trained on noisy ones and two plain filters. Every model sees
the same noise, drawn once per image, kind and level.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from orchestrator.engine.records import Record
from orchestrator.engine.settings import Scale, Section, check_distinct
from orchestrator.engine.stage import Context, Picture, Stage, Table, Tables
from orchestrator.engine.tables import CATEGORY, FLOAT, INT, column, schema
from orchestrator.stages.columns import LABEL, LEVEL, NOISE, mse
from orchestrator.stages.sections import Data, Share
from trainables.noise import Noise

DENOISER = column("model", CATEGORY, "model of models/, median_filter (3 x 3) or gaussian_filter (sigma 1 pixel)")
NOISY_MSE = mse("noisy_mse", "error of the noisy images against the clean ones")
RECONSTRUCTED_MSE = mse("reconstructed_mse", "error of what the model makes of them against the clean ones")
CORRELATION = "rank correlation of gain and"


class Settings(Section):
    """Noise to be taken away."""

    zeroed: Annotated[tuple[Share, ...], Scale("levels of zeroed pixels")] = (0.1, 0.2, 0.3, 0.4, 0.5)
    """Probabilities of setting a pixel to zero; also the shares of foreground pixels that are zeroed, and what
    matched Gaussian noise is matched to."""
    gaussian: Annotated[tuple[Share, ...], Scale("levels of Gaussian noise")] = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
    """Standard deviations, where the pixels' range is 1."""
    num_resamples: Annotated[int, Field(ge=10), Scale("bootstrap samples")] = 1000
    """Bootstrap samples of the images, for each interval."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        for name in ("zeroed", "gaussian"):
            check_distinct(name, getattr(self, name))
        return self

    @property
    def levels(self) -> list[tuple[Noise, float]]:
        """Every kind of noise with its levels."""
        kinds: list[tuple[Noise, tuple[float, ...]]] = [
            ("zeroed", self.zeroed),
            ("zeroed_foreground", self.zeroed),
            ("gaussian_matched", self.zeroed),
            ("gaussian", self.gaussian),
            ("gaussian_unclipped", self.gaussian),
        ]
        return [(kind, level) for kind, levels in kinds for level in levels]


class Denoise(Stage[Settings, Any]):
    """Denoising."""

    name, title = "denoise", "Denoising (the paper's Figure 2)"
    settings = Settings
    reads = (Data,)
    schemas = {
        "denoising": schema(
            DENOISER,
            NOISE,
            LEVEL,
            NOISY_MSE,
            RECONSTRUCTED_MSE,
            mse("gain", "noisy_mse - reconstructed_mse, mean over the images"),
            mse("gain_low", "lower end of the gain's 95 % bootstrap interval over the images"),
            mse("gain_high", "upper end of the gain's 95 % bootstrap interval over the images"),
            column("fraction_improved", FLOAT, "share of the images whose error got smaller"),
            column("num_images", INT, "test images"),
        ),
        "denoising_images": schema(
            DENOISER,
            NOISE,
            LEVEL,
            column("index", INT, "of the test image"),
            LABEL,
            column("zero_fraction", FLOAT, "share of the clean image's pixels that are zero"),
            column("energy", FLOAT, "mean square of the clean image's pixels", "squared pixel value"),
            mse("noisy_mse", "error of the noisy image against the clean one"),
            mse("reconstructed_mse", "error of what the model makes of it against the clean one"),
        ),
        "denoising_correlations": schema(
            DENOISER,
            NOISE,
            LEVEL,
            column("spearman_zero_fraction", FLOAT, f"{CORRELATION} the image's share of zero pixels"),
            column("spearman_energy", FLOAT, f"{CORRELATION} the image's mean square"),
            column(
                "partial_spearman_zero_fraction",
                FLOAT,
                f"{CORRELATION} share of zero pixels, the mean square's part taken out of both",
            ),
        ),
    }
    shown = ("denoising", "denoising_correlations")

    def needs(self, own: Settings) -> tuple[str, ...]:
        """The final models."""
        return ("refit",)

    def results(self, context: Context[Settings], records: Sequence[Record[Any]]) -> Iterator[Table]:
        """Add noise, take it away again, and tell how near the clean images that comes."""
        from orchestrator.stages.denoise.measure import measured

        yield from measured(context)

    def figures(self, context: Context[Settings], tables: Tables) -> Iterator[Picture]:
        """The paper's Figure 2, the same of every class, and the gain by level."""
        from orchestrator.stages.denoise import figures
        from orchestrator.stages.denoise.measure import shown_images

        boot, classes = shown_images(context)
        caption = "An image with more and more pixels set to zero, and what the model best makes of it."
        yield Picture("denoise_boot", caption, figures.denoised_image, *boot[0], **boot[1])
        yield Picture("denoise_classes", "The same for an image of every class.", figures.denoised_classes, *classes)
        yield Picture(
            "denoise_gain",
            "How much nearer the clean images every model comes; bands are 95 % intervals.",
            figures.denoising_gain,
            tables["denoising"],
        )

    def findings(self, tables: Tables) -> Iterator[str]:
        """How near the clean images come; zeroed pixels beside Gaussian noise of the same energy."""
        table = tables["denoising"]
        for model in ("best", "paper_table1"):
            of_model = table[table["model"] == model]
            for noise, name in (
                ("zeroed", "pixels zeroed"),
                ("gaussian_matched", "Gaussian noise of the same energy"),
            ):
                values = ", ".join(
                    f"p = {row.level:g}: {row.noisy_mse:.4f} to {row.reconstructed_mse:.4f} "
                    f"({row.fraction_improved:.0%})"
                    for row in of_model[of_model["noise"] == noise].itertuples()
                )
                yield f"{model}, {name}, MSE before and after (and share of images improved): {values}."
