"""gan: the minimax and the non-saturating GAN, seed by seed, under Ray Train's DDP (the paper's second half).

Reads classify's classifier of raw images, and gan_search's trials where the GANs were tuned. Writes the tables gans,
gan_epochs and gan_intervals, figures, and each loss's best generator.

Minimax is minimax here, which in the author's code it is not. Distances are taken in the features of the classifier
of raw images, between as many generated images as there are test images and these; between as many training images
and the test images they are the floor.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Self

from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from orchestrator.engine.records import Record, Trial
from orchestrator.engine.settings import Aside, LocalPath, Scale, Section
from orchestrator.engine.stage import Context, Model, Picture, Stage, Table, Tables, Worker
from orchestrator.engine.tables import EPOCH, EPOCHS, ERROR, SECONDS, SEED, STATE, schema
from orchestrator.stages.columns import CLASS_ENTROPY, GAN_MEANS, LOSS, boolean, category, integer, real, text
from orchestrator.stages.sections import Data, Distinct
from trainables.classifier_settings import ClassifierSettings
from trainables.epoch import Epoch
from trainables.gan_settings import VERSION, Decay, GanRecipe, GanSettings, Loss
from trainables.images import NUM_PIXELS

SECONDS_AN_IMAGE = {"paper": 750e-6, "stable": 1000e-6}
"""About what an image takes in training, on one of two cores."""
TUNED = {"learning_rate", "beta1", "batch_size"}
"""What gan_search decides."""


class GanSearch(Section):
    """Each GAN tuned by itself on the Frechet distance from validation images, before it is trained."""

    on: Annotated[bool, Aside()] = False
    """Whether to do so; GANs are then trained with what the best trial had for learning_rate, beta1, batch_size."""
    trials: Annotated[int, Field(ge=2), Scale("trials of each GAN")] = 12
    """Settings to try for each loss, the first half of them at random."""
    epochs: Annotated[int, Field(ge=1), Scale("epochs a trial of a GAN")] = 5
    """Epochs of each trial."""
    learning_rate: tuple[PositiveFloat, PositiveFloat] = (1e-4, 1e-2)
    """Range of the step size, searched on a logarithmic scale."""
    beta1: tuple[Decay, Decay] = (0.0, 0.9)
    """Range of the decay of both Adams' first moment."""
    batch_sizes: Distinct[PositiveInt] = (64, 128, 256)
    """Batch sizes to choose from."""

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        for name in ("learning_rate", "beta1"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: the range {low} to {high} must be in ascending order")
        return self


class Settings(GanRecipe, Section):
    """The two GANs, from several seeds."""

    epochs: Annotated[int, Field(ge=1), Scale("epochs a GAN")] = GanRecipe.model_fields["epochs"].default
    """Epochs of each."""
    losses: Annotated[Distinct[Loss], Scale("losses of the generator", also=("gan_search",))] = (
        "minimax",
        "non_saturating",
    )
    """Which losses, each a GAN of its own."""
    num_seeds: Annotated[int, Field(ge=1), Scale("seeds of each GAN")] = 3
    """Seeds of each, counted from the run's."""
    num_workers: Annotated[int | None, Aside()] = Field(default=None, ge=1)
    """Workers that share each training; by default two on cores, one on GPUs."""
    inception_weights: Annotated[LocalPath | None, Aside()] = None
    """File with torch-fidelity's weights of Inception-v3, for Frechet distances that compare with published ones."""
    search: GanSearch = GanSearch()

    @model_validator(mode="after")
    def _shares(self) -> Self:
        sizes = {"batch_size": (self.batch_size,), "search.batch_sizes": self.search.batch_sizes}
        for name, values in sizes.items():
            uneven = [size for size in values if self.num_workers and size % self.num_workers]
            if uneven and (name == "batch_size" or self.search.on):
                raise ValueError(
                    f"{name}: {uneven[0]} images cannot be shared evenly by {self.num_workers} workers (num_workers)"
                )
        return self

    @property
    def recipe(self) -> dict[str, Any]:
        """What all GANs are trained with."""
        return self.model_dump(include=set(GanRecipe.model_fields))


class ScoredGan(Section):
    """A GAN, and the classifier in whose features it is scored."""

    gan: GanSettings
    classifier: ClassifierSettings


class Gan(Stage[Settings, ScoredGan]):
    """The GANs."""

    name, title, metric = "gan", "The two GANs: minimax and non-saturating", "frechet_distance"
    settings, config, version = Settings, ScoredGan, VERSION
    reads = (Data,)
    shared = True
    presets: ClassVar = {"laptop": {"num_seeds": 1, "epochs": 2}, "smoke": {"num_seeds": 1, "epochs": 2}}
    schemas: ClassVar = {
        "gans": schema(
            LOSS,
            SEED,
            real("learning_rate", "step size of both networks at the start"),
            real("beta1", "decay of both Adams' first moment"),
            integer("batch_size", "images of a step, over all workers"),
            real("r1_penalty", "weight of the penalty on the discriminator's gradient in real images"),
            real("frechet_distance", "of as many generated images as there are test images from these"),
            real("precision", "share of generated images that lie among the real ones"),
            real("recall", "share of real images that lie among the generated ones"),
            CLASS_ENTROPY,
            integer("num_classes", "classes that any generated image is taken for"),
            boolean("collapsed", "whether class_entropy is below the logarithm of 5, or recall below 0.01"),
            real("floor_distance", "distance of as many training images from the test images"),
            text("features", "checksum of the classifier whose features distances are taken in"),
            EPOCHS,
            SECONDS,
            integer("num_workers", "workers that shared the training"),
            STATE,
            ERROR,
        ),
        "gan_epochs": schema(
            LOSS,
            SEED,
            EPOCH,
            *GAN_MEANS,
            real("g_logit_grad", "mean size of the gradient of the generator's loss in the logit"),
            real("frechet_distance", "of generated images from the test images, at the epoch's end"),
            CLASS_ENTROPY,
            SECONDS,
        ),
        "gan_intervals": schema(
            category("loss", "minimax, non_saturating, or difference (of the first from the second, by seed)"),
            integer("num_seeds", "GANs that were trained to the end"),
            real("frechet_distance", "mean over the seeds of the distance from the test images"),
            real("low", "lower end of the mean's 95 % t interval; missing where there is one seed"),
            real("high", "upper end of it"),
            real("floor_ratio", "frechet_distance over that of as many training images"),
        ),
    }
    shown = ("gan_intervals", "gans")

    def needs(self, own: Settings) -> tuple[str, ...]:
        return ("classify", "gan_search") if own.search.on else ("classify",)

    def reads_only(self, context: Context[Settings]) -> Mapping[str, Sequence[str]]:
        return {"classify": (scoring_key(context),)}

    def num_workers(self, own: Settings) -> int | None:
        return own.num_workers

    def trials(self, context: Context[Settings]) -> Iterator[Trial[ScoredGan]]:
        """Each loss from each seed, tuned where that is on."""
        own, num_images = context.own, context.section(Data).num_train
        recipes = {loss: own.recipe for loss in own.losses}
        if own.search.on and not context.planning:
            for loss, best in best_of(context.records("gan_search").values(), "val_frechet_distance").items():
                recipes[loss] |= best.config.gan.model_dump(include=TUNED)
        for seed in range(context.seed, context.seed + own.num_seeds):
            for loss, recipe in recipes.items():
                gan = GanSettings(loss=loss, **recipe)
                yield scored_trial(context, f"{loss}-seed-{seed}", gan, seed, num_images, keep_weights=True)

    def made_of(self, context: Context[Settings]) -> Sequence[str]:
        return (scoring_record(context).digest,)

    def inputs(self, context: Context[Settings]) -> Mapping[str, NDArray[Any]]:
        """The classifier's weights, and its features of the test images."""
        from orchestrator.stages.gan.scoring import scoring_inputs

        return scoring_inputs(context, context.data.test_images)

    def train(self, trial: Trial[ScoredGan], data: Any, worker: Worker) -> Iterator[Epoch]:
        """One GAN; the worker of rank 0 scores the generator after every epoch and keeps a few images."""
        from orchestrator.stages.gan.scoring import image_scores, trained

        scores = image_scores(trial, worker, last_epoch=trial.epochs) if worker.rank == 0 else None
        return trained(trial, data.train_images, worker, scores)

    def results(self, context: Context[Settings], records: Sequence[Record[ScoredGan]]) -> Iterator[Table | Model]:
        from orchestrator.stages.gan.measure import measured

        return measured(context, records)

    def figures(self, context: Context[Settings], tables: Tables) -> Iterator[Picture]:
        from orchestrator.stages.gan.pictures import pictures

        return pictures(context, tables)

    def findings(self, tables: Tables) -> Iterator[str]:
        table = tables["gans"].dropna(subset=["frechet_distance"])
        by_loss = tables["gan_intervals"].set_index("loss")
        distances = {loss: f"{distance:.2f}" for loss, distance in by_loss["frechet_distance"].items()}
        for loss, row in by_loss.dropna(subset=["low"]).iterrows():
            distances[loss] += f" (95 % t interval {row['low']:.2f} to {row['high']:.2f})"
        for loss, rows in table.groupby("loss", observed=True):
            floor, ratio = rows["floor_distance"].iloc[0], by_loss["floor_ratio"][loss]
            yield (
                f"{str(loss).replace('_', '-')}, {len(rows)} seed(s): Frechet distance {distances[loss]}, "
                f"{ratio:.1f} times the floor of {floor:.2f}; precision {rows['precision'].mean():.2f}, "
                f"recall {rows['recall'].mean():.2f}; {int(rows['collapsed'].sum())} collapsed."
            )
        if "difference" in by_loss.index and by_loss["num_seeds"]["difference"]:
            yield f"Minimax less non-saturating, seed by seed: {distances['difference']}."
        if table["r1_penalty"].any():
            weight = table["r1_penalty"].max()
            yield f"The discriminators have an R1 penalty of weight {weight:g}, which the paper's have not."


def best_of(records: Collection[Record[ScoredGan]], metric: str) -> dict[Loss, Record[ScoredGan]]:
    """Of each loss that has any, the complete training with the least of this metric."""
    best = {}
    for loss in dict.fromkeys(record.config.gan.loss for record in records):
        complete = [r for r in records if r.config.gan.loss == loss and r.state == "complete"]
        if complete:
            best[loss] = min(complete, key=lambda record: record.last[metric])
    return best


def scoring_key(context: Context[Any]) -> str:
    """Name of that training of classify whose classifier gives the features."""
    from orchestrator.stages.classify import key_of

    return key_of("raw", "cnn", context.seed)


def scoring_record(context: Context[Any]) -> Record[ClassifierSettings]:
    """The training of the classifier of raw images whose features distances are taken in."""
    return context.records("classify")[scoring_key(context)]


def scored_trial(
    context: Context[Any], key: str, gan: GanSettings, seed: int, num_images: int, **options: Any
) -> Trial[ScoredGan]:
    """A training of a GAN that the classifier scores; while there is none, a stand-in."""
    classifier = ClassifierSettings(input="raw", num_features=NUM_PIXELS, architecture="cnn")
    if not context.planning:
        classifier = scoring_record(context).config
    cost = SECONDS_AN_IMAGE[gan.architecture] * gan.epochs * num_images
    return Trial(key, ScoredGan(gan=gan, classifier=classifier), seed, gan.epochs, num_images, cost, **options)
