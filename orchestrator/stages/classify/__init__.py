"""classify: can clothes be told apart by their latent vectors? (the paper's Methods: classification).

Reads refit's model best. Writes the tables classifiers, classifier_epochs, classifier_targets and confusion, three
figures, and the model classifier (of raw images, whose features others measure with).

The pair that the paper's text names (a convolutional network along the latent vector, and one on the images), the
pair that its author ran (two MLPs), a linear probe and k nearest neighbours, each on the latent vectors of the frozen
encoder and on the raw images. The encoding is done once, and its time is counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Self, get_args

from numpy.typing import NDArray
from pydantic import Field, model_validator

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
    column,
    schema,
)
from orchestrator.stages.architectures import STAND_IN, described
from orchestrator.stages.columns import CONFUSION, NUM_PARAMETERS
from orchestrator.stages.sections import Autoencoders, Data, Share
from trainables.classifier_settings import VERSION, Architecture, ClassifierSettings, Input
from trainables.epoch import Epoch
from trainables.images import NUM_PIXELS

RECIPES: dict[Architecture, dict[str, Any]] = {
    "cnn": {"learning_rate": 1e-3, "schedule": "cosine", "dropout": 0.5, "weight_decay": 5e-4},
    "mlp": {"learning_rate": 1e-4, "schedule": "constant", "dropout": 0.3, "weight_decay": 1e-5},
    "linear": {"learning_rate": 1e-2, "schedule": "cosine", "dropout": 0.0, "weight_decay": 0.0},
}
"""How each architecture is trained; the MLP as its author did."""
MICROSECONDS = {("latent", "cnn"): 60, ("raw", "cnn"): 140, ("latent", "mlp"): 8, ("raw", "mlp"): 12}
"""About what an image takes in training, on one core; a linear probe takes 5."""
INPUT = column("input", CATEGORY, "latent vectors of the model best, or raw images")
ARCHITECTURE = column("architecture", CATEGORY, "cnn, mlp (the author's), linear (a probe) or knn")
ACCURACY = column("test_accuracy", FLOAT, "share of the test images that are classified right")
TEST_LOSS = column("test_loss", FLOAT, "mean cross-entropy on the test images", "nat")
TRAIN_LOSS = column("train_loss", FLOAT, "mean cross-entropy over the epoch's batches, with dropout", "nat")


class Settings(Section):
    """Classifiers of the best model's latent vectors and of raw images."""

    epochs: Annotated[int, Field(ge=1), Scale("epochs a classifier")] = 50
    """Epochs of each classifier."""
    num_seeds: Annotated[int, Field(ge=1), Scale("seeds of each classifier")] = 2
    """Seeds of each, counted from the run's."""
    num_neighbors: int = Field(default=5, ge=1)
    """k of the k-nearest-neighbours classifier."""
    accuracies: tuple[Share, ...] = (0.7, 0.75, 0.8, 0.82, 0.84, 0.86, 0.88, 0.9)
    """Test accuracies that the time to reach is told of."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        check_distinct("accuracies", self.accuracies)
        return self


class Classify(Stage[Settings, ClassifierSettings]):
    """The classifiers."""

    name, title, metric = "classify", "Classification of latent vectors and of raw images", "test_loss"
    settings, config, version = Settings, ClassifierSettings, VERSION
    reads = (Data, Autoencoders)
    presets: ClassVar[Presets] = {
        "laptop": {"epochs": 3, "num_seeds": 1},
        "smoke": {"epochs": 2, "num_seeds": 1},
    }
    schemas = {
        "classifiers": schema(
            INPUT,
            ARCHITECTURE,
            SEED,
            ACCURACY,
            TEST_LOSS,
            TRAIN_LOSS,
            NUM_PARAMETERS,
            EPOCHS,
            column("encode_seconds", FLOAT, "time spent encoding all images, once for all classifiers", "s"),
            SECONDS,
            STATE,
            ERROR,
        ),
        "classifier_epochs": schema(INPUT, ARCHITECTURE, SEED, EPOCH, TRAIN_LOSS, TEST_LOSS, ACCURACY, SECONDS),
        "classifier_targets": schema(
            INPUT,
            ARCHITECTURE,
            SEED,
            column("accuracy", FLOAT, "test accuracy to be reached"),
            column("epoch", INT, "the first that reached it; missing where none did"),
            column("seconds", FLOAT, "time spent until then, encoding included; missing likewise", "s"),
        ),
        "confusion": schema(INPUT, ARCHITECTURE, *CONFUSION),
    }
    shown = ("classifiers", "classifier_targets")

    def needs(self, own: Settings) -> tuple[str, ...]:
        """The final models."""
        return ("refit",)

    def trials(self, context: Context[Settings]) -> list[Trial[ClassifierSettings]]:
        """Every input, architecture and seed."""
        own, num_images = context.own, context.section(Data).num_train
        autoencoder = STAND_IN if context.planning else context.records("refit")["best"].config
        num_features = {"latent": autoencoder.latent_dim, "raw": NUM_PIXELS}
        same: dict[str, Any] = {"batch_size": context.section(Autoencoders).batch_size, "epochs": own.epochs}
        return [
            Trial(
                key_of(given, architecture, seed),
                ClassifierSettings(
                    input=given, architecture=architecture, num_features=num_features[given], **same, **recipe
                ),
                seed,
                own.epochs,
                num_images,
                1e-6 * MICROSECONDS.get((given, architecture), 5) * own.epochs * num_images,
                keep_weights=(given, architecture, seed) == ("raw", "cnn", context.seed),
            )
            for given in get_args(Input)
            for architecture, recipe in RECIPES.items()
            for seed in range(context.seed, context.seed + own.num_seeds)
        ]

    def made_of(self, context: Context[Settings]) -> Sequence[str]:
        """The model best."""
        return (context.records("refit")["best"].address,)

    def inputs(self, context: Context[Settings]) -> Mapping[str, NDArray[Any]]:
        """Its latent vectors of the training and test images, and the seconds that it took to make them."""
        from orchestrator.stages.classify.measure import latent_vectors

        return latent_vectors(context)

    def train(self, trial: Trial[ClassifierSettings], data: Any, worker: Worker) -> Iterator[Epoch]:
        """One classifier, tested after every epoch."""
        from orchestrator.stages.classify.measure import examples
        from trainables.classifier import train_classifier

        of_kind = examples(trial.config.input, data, worker.inputs)
        return train_classifier(trial.config, of_kind, device=worker.device, seed=trial.seed, resume=worker.resume)

    def results(
        self, context: Context[Settings], records: Sequence[Record[ClassifierSettings]]
    ) -> Iterator[Table | Model]:
        """How well each classifier does, how fast it learns, and what it confuses."""
        from orchestrator.stages.classify.measure import measured

        yield from measured(context, records)
        scored = {record.key: record for record in records}[key_of("raw", "cnn", context.seed)]
        if scored.state == "complete":
            kind, settings = "trainables.classifier.Classifier", scored.config.model_dump(mode="json")
            accuracy = scored.last["test_accuracy"]
            yield Model("classifier", scored, described(scored, kind, settings, test_accuracy=accuracy))

    def figures(self, context: Context[Settings], tables: Tables) -> Iterator[Picture]:
        """Learning curves by epoch and by time, and what is confused."""
        from orchestrator.stages.classify import figures

        epochs = tables["classifier_epochs"]
        caption = "Learning curves; hollow marks are the author's after 50 epochs, by latent size."
        yield Picture("classify_epochs", caption, figures.learning_curves, epochs)
        yield Picture(
            "classify_seconds",
            "Accuracy by the time it took.",
            figures.accuracy_by_time,
            epochs,
            tables["classifiers"],
        )
        caption = "What the two convolutional networks confuse."
        yield Picture("classify_confusion", caption, figures.confusion_matrices, tables["confusion"])

    def findings(self, tables: Tables) -> Iterator[str]:
        """Accuracy of every pair, latent beside raw."""
        table = tables["classifiers"].dropna(subset=["test_accuracy"])
        by_pair = table.groupby(["architecture", "input"], observed=True)
        means = by_pair[["test_accuracy", "test_loss", "seconds"]].mean()
        for architecture in table["architecture"].unique():
            if {(architecture, "latent"), (architecture, "raw")} <= set(means.index):
                latent, raw = means.loc[(architecture, "latent")], means.loc[(architecture, "raw")]
                losses = f", cross-entropy {latent['test_loss']:.3f} and {raw['test_loss']:.3f}"
                yield (
                    f"{architecture}: accuracy {latent['test_accuracy']:.4f} on latent vectors, "
                    f"{raw['test_accuracy']:.4f} on raw images{losses if raw['test_loss'] > 0 else ''}; "
                    f"{latent['seconds']:.0f} s and {raw['seconds']:.0f} s."
                )
        if len(table):
            encode = table["encode_seconds"].max()
            yield f"Encoding all images took {encode:.1f} s, once, and is not in these seconds."


def key_of(given: str, architecture: str, seed: int) -> str:
    """Name of a classifier's training."""
    return f"{given}-{architecture}-seed-{seed}"
