"""gan: the minimax and the non-saturating GAN, seed by seed, under Ray Train's DDP (the paper's second half).

Reads classify's classifier of raw images, and gan_search's trials where the GANs were tuned. Writes the tables gans,
gan_epochs and gan_intervals, figures, and each loss's best generator.

Minimax is minimax here, which in the author's code it is not. Distances are taken in the features of the classifier
of raw images, between as many generated images as there are test images and these; between as many training images
and the test images they are the floor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from orchestrator.engine.records import Record, Trial
from orchestrator.engine.settings import Scale, Section, check_distinct
from orchestrator.engine.stage import Context, Model, Picture, Presets, Stage, Table, Tables, Worker
from orchestrator.engine.tables import (
    CATEGORY,
    EPOCH,
    EPOCHS,
    ERROR,
    FLOAT,
    INT,
    SECONDS,
    SEED,
    STATE,
    TEXT,
    column,
    schema,
)
from orchestrator.stages.sections import Data
from trainables.classifier_settings import ClassifierSettings
from trainables.epoch import Epoch
from trainables.gan_settings import VERSION, Decay, GanRecipe, GanSettings, Loss
from trainables.images import NUM_PIXELS

LOSS = column("loss", CATEGORY, "minimax or non_saturating: what the generator minimises")
EPOCH_MEANS = (
    column("d_loss", FLOAT, "mean loss of the discriminator, equation 3", "nat"),
    column("g_loss", FLOAT, "mean loss of the generator", "nat"),
    column("d_real", FLOAT, "mean probability of being real that real images are given"),
    column("d_fake", FLOAT, "mean probability of being real that generated images are given"),
)
"""Means over an epoch's steps."""
CLASS_ENTROPY = column("class_entropy", FLOAT, "entropy of the classes that generated images are taken for", "nat")
SECONDS_AN_IMAGE = {"paper": 750e-6, "stable": 1000e-6}
"""About what an image takes in training, on one of two cores."""


class GanSearch(Section):
    """Each GAN tuned by itself on the Frechet distance from validation images, before it is trained."""

    on: bool = False
    """Whether to do so; GANs are then trained with what the best trial had for learning_rate, beta1, batch_size."""
    trials: Annotated[int, Field(ge=2), Scale("trials of each GAN")] = 12
    """Settings to try for each loss, the first half of them at random."""
    epochs: Annotated[int, Field(ge=1), Scale("epochs a trial of a GAN")] = 5
    """Epochs of each trial."""
    learning_rate: tuple[PositiveFloat, PositiveFloat] = (1e-4, 1e-2)
    """Range of the step size, searched on a logarithmic scale."""
    beta1: tuple[Decay, Decay] = (0.0, 0.9)
    """Range of the decay of both Adams' first moment."""
    batch_sizes: tuple[PositiveInt, ...] = (64, 128, 256)
    """Batch sizes to choose from."""

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        check_distinct("batch_sizes", self.batch_sizes)
        for name in ("learning_rate", "beta1"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: the range {low} to {high} must be in ascending order")
        return self


class Settings(GanRecipe, Section):
    """The two GANs, from several seeds."""

    epochs: Annotated[int, Field(ge=1), Scale("epochs a GAN")] = GanRecipe.model_fields["epochs"].default
    """Epochs of each."""
    losses: Annotated[tuple[Loss, ...], Scale("losses of the generator")] = ("minimax", "non_saturating")
    """Which losses, each a GAN of its own."""
    num_seeds: Annotated[int, Field(ge=1), Scale("seeds of each GAN")] = 3
    """Seeds of each, counted from the run's."""
    num_workers: int | None = Field(default=None, ge=1)
    """Workers that share each training; by default two on cores, one on GPUs."""
    inception_weights: Path | None = None
    """File with torch-fidelity's weights of Inception-v3, for Frechet distances that compare with published ones."""
    search: GanSearch = GanSearch()

    @model_validator(mode="after")
    def _shares(self) -> Self:
        check_distinct("losses", self.losses)
        sizes = {"batch_size": (self.batch_size,), "search.batch_sizes": self.search.batch_sizes}
        for name, values in sizes.items():
            uneven = [size for size in values if self.num_workers and size % self.num_workers]
            if uneven and (name == "batch_size" or self.search.on):
                raise ValueError(f"{name}: {uneven[0]} images cannot be shared evenly by {self.num_workers} workers")
        return self

    @property
    def recipe(self) -> dict[str, Any]:
        """What all GANs are trained with."""
        return self.model_dump(include=set(GanRecipe.model_fields))


class ScoredGan(Section):
    """A GAN, and the classifier in whose features it is scored."""

    gan: GanSettings
    classifier: ClassifierSettings


UNKNOWN_CLASSIFIER = ClassifierSettings(input="raw", num_features=NUM_PIXELS, architecture="cnn")
"""For plans, while there is none."""


class Gan(Stage[Settings, ScoredGan]):
    """The GANs."""

    name, title, metric = "gan", "The two GANs: minimax and non-saturating", "frechet_distance"
    settings, config, version = Settings, ScoredGan, VERSION
    reads = (Data,)
    shared = True
    presets: ClassVar[Presets] = {
        "laptop": {"num_seeds": 1, "epochs": 2},
        "smoke": {"num_seeds": 1, "epochs": 2},
    }
    schemas = {
        "gans": schema(
            LOSS,
            SEED,
            column("learning_rate", FLOAT, "step size of both networks at the start"),
            column("beta1", FLOAT, "decay of both Adams' first moment"),
            column("batch_size", INT, "images of a step, over all workers"),
            column("r1_penalty", FLOAT, "weight of the penalty on the discriminator's gradient in real images"),
            column("frechet_distance", FLOAT, "of as many generated images as there are test images from these"),
            column("precision", FLOAT, "share of generated images that lie among the real ones"),
            column("recall", FLOAT, "share of real images that lie among the generated ones"),
            CLASS_ENTROPY,
            column("num_classes", INT, "classes that any generated image is taken for"),
            column(
                "collapsed", pa.bool_(), "whether class_entropy is below the logarithm of 5, or recall below 0.01"
            ),
            column("floor_distance", FLOAT, "distance of as many training images from the test images"),
            column("features", TEXT, "checksum of the classifier whose features distances are taken in"),
            EPOCHS,
            SECONDS,
            column("num_workers", INT, "workers that shared the training"),
            STATE,
            ERROR,
        ),
        "gan_epochs": schema(
            LOSS,
            SEED,
            EPOCH,
            *EPOCH_MEANS,
            column("g_logit_grad", FLOAT, "mean size of the gradient of the generator's loss in the logit"),
            column("frechet_distance", FLOAT, "of generated images from the test images, at the epoch's end"),
            CLASS_ENTROPY,
            SECONDS,
        ),
        "gan_intervals": schema(
            column(
                "loss", CATEGORY, "minimax, non_saturating, or difference (of the first from the second, by seed)"
            ),
            column("num_seeds", INT, "GANs that were trained to the end"),
            column("frechet_distance", FLOAT, "mean over the seeds of the distance from the test images"),
            column("low", FLOAT, "lower end of the mean's 95 % t interval; missing where there is one seed"),
            column("high", FLOAT, "upper end of it"),
            column("floor_ratio", FLOAT, "frechet_distance over that of as many training images"),
        ),
    }
    shown = ("gan_intervals", "gans")

    def needs(self, own: Settings) -> tuple[str, ...]:
        """The classifier, and the tuning where it is on."""
        return ("classify", "gan_search") if own.search.on else ("classify",)

    def num_workers(self, own: Settings) -> int | None:
        """As the settings have it."""
        return own.num_workers

    def trials(self, context: Context[Settings]) -> list[Trial[ScoredGan]]:
        """Each loss from each seed; the classifier and the test images' features go with them."""
        from orchestrator.stages.gan.tuning import tuned

        own, num_images = context.own, context.section(Data).num_train
        known = not context.planning
        changes = tuned(context.records("gan_search").values()) if own.search.on and known else {}
        classifier = scoring_record(context).config if known else UNKNOWN_CLASSIFIER
        return [
            Trial(
                f"{loss}-seed-{seed}",
                ScoredGan(gan=GanSettings(loss=loss, **(own.recipe | changes.get(loss, {}))), classifier=classifier),
                seed,
                own.epochs,
                num_images,
                SECONDS_AN_IMAGE[own.architecture] * own.epochs * num_images,
                keep_weights=True,
            )
            for seed in range(context.seed, context.seed + own.num_seeds)
            for loss in own.losses
        ]

    def made_of(self, context: Context[Settings]) -> Sequence[str]:
        """The classifier."""
        return (scoring_record(context).address,)

    def inputs(self, context: Context[Settings]) -> Mapping[str, NDArray[Any]]:
        """The classifier's weights, and its features of the test images."""
        from orchestrator.stages.gan.scoring import scoring_inputs

        return scoring_inputs(context, context.data.test_images)

    def train(self, trial: Trial[ScoredGan], data: Any, worker: Worker) -> Iterator[Epoch]:
        """One GAN; the worker of rank 0 scores the generator after every epoch and keeps a few images."""
        from orchestrator.stages.gan.scoring import image_scores
        from trainables.gan_training import train_gan

        gan = trial.config.gan
        measure = None
        if worker.rank == 0:
            measure = image_scores(trial, len(data.test_images), worker, last_epoch=gan.epochs)
        return train_gan(
            gan,
            data.train_images,
            device=worker.device,
            seed=trial.seed,
            resume=worker.resume,
            prepare_model=worker.prepare_model,
            rank=worker.rank,
            world_size=worker.num_workers,
            measure=measure,
        )

    def results(self, context: Context[Settings], records: Sequence[Record[ScoredGan]]) -> Iterator[Table | Model]:
        """How the trainings went and how good the generators are."""
        from orchestrator.stages.gan.measure import measured

        return measured(context, records, self.schemas["gans"])

    def figures(self, context: Context[Settings], tables: Tables) -> Iterator[Picture]:
        """The generators' images, and how the losses and distances went."""
        from orchestrator.stages.gan.pictures import pictures

        return pictures(context, tables)

    def findings(self, tables: Tables) -> Iterator[str]:
        """Each GAN's distance over seeds, beside the floor, and their difference."""
        from orchestrator.stages.gan.measure import findings

        return findings(tables)


def scoring_record(context: Context[Any]) -> Record[ClassifierSettings]:
    """The training of the classifier of raw images whose features distances are taken in."""
    from orchestrator.stages.classify import key_of

    return context.records("classify")[key_of("raw", "cnn", context.seed)]
