"""classify: can images be told apart by their latent vectors? (the paper's Methods: classification).

Reads refit's model best. Writes the tables classifiers, classifier_epochs, classifier_targets, classifier_predictions
and confusion, three figures, and the model classifier (of raw images, whose features others measure with).

The pair that the paper's text names (a convolutional network along the latent vector, and one on the images), the
pair that its author ran (two MLPs), a linear probe and k nearest neighbours, each on the latent vectors of the frozen
encoder and on the raw images. The encoding is done once, and its time is counted. Neighbours are sought by the
encoder of every seed; the networks learn from the first one's latent vectors. How the cnn is trained was chosen for
raw images by their test accuracy (docs/LOG.md), which favours these.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Annotated, Any, ClassVar, get_args

from numpy.typing import NDArray
from pydantic import Field

from orchestrator.engine.records import Record, Trial
from orchestrator.engine.settings import Found, RunSettings, Scale, Section, UserError, section
from orchestrator.engine.stage import Context, Model, Picture, Stage, Table, Tables, Worker
from orchestrator.engine.tables import EPOCH, EPOCHS, SECONDS, SEED, schema
from orchestrator.figures.names import CLASSIFIERS, INPUTS, capital
from orchestrator.stages.architectures import model_file, refit_key, stand_in
from orchestrator.stages.columns import (
    CONFUSION,
    CPU_SECONDS,
    NUM_PARAMETERS,
    OUTCOME,
    PREDICTIONS,
    category,
    integer,
    real,
)
from orchestrator.stages.own import training_of
from orchestrator.stages.sections import Autoencoders, Data, Distinct, FinalModels, Own, Share, needs_labels
from trainables.classifier_settings import VERSION, Architecture, ClassifierSettings, Input
from trainables.epoch import Epoch

RECIPES: dict[Architecture, dict[str, Any]] = {
    "cnn": {"learning_rate": 1e-3, "schedule": "cosine", "dropout": 0.5, "weight_decay": 5e-4},
    "mlp": {"learning_rate": 1e-4, "schedule": "constant", "dropout": 0.3, "weight_decay": 1e-5},
    "linear": {"learning_rate": 1e-2, "schedule": "cosine", "dropout": 0.0, "weight_decay": 0.0},
}
"""How each architecture is trained; the MLP as its author did."""
MICROSECONDS = {("latent", "cnn"): 35, ("raw", "cnn"): 150, ("latent", "mlp"): 5, ("raw", "mlp"): 8}
"""About what an image takes in training, on one core; a linear probe takes 3."""
PAIR = (
    category("input", "latent vectors of the model best, or raw images"),
    category("architecture", "cnn, mlp (the author's), linear (a probe), own (the user's) or knn"),
)
ACCURACY = real("test_accuracy", "share of the test images that are classified right")
TEST_LOSS = real("test_loss", "mean cross-entropy on the test images", "nat")
TRAIN_LOSS = real("train_loss", "mean cross-entropy over the epoch's batches, with dropout", "nat")
ENCODING = real("encode_seconds", "time spent encoding all images, once for all classifiers", "s")


class Settings(Section):
    """Classifiers of the best model's latent vectors and of raw images."""

    epochs: Annotated[int, Field(ge=1), Scale("epochs a classifier")] = 50
    """Epochs of each classifier."""
    num_seeds: Annotated[int, Field(ge=1), Scale("seeds of each classifier")] = 2
    """Seeds of each, counted from the run's."""
    num_neighbors: int = Field(default=5, ge=1)
    """k of the k-nearest-neighbours classifier."""
    model: Annotated[str, Field(exclude_if=lambda model: not model)] = ""
    """A classifier of yours beside these, as package.module:Class (docs/your-own.md)."""
    own: Annotated[Own | None, Found(), Field(exclude_if=lambda own: own is None)] = None
    """That classifier, once it was found."""
    accuracies: Distinct[Share] = (0.7, 0.75, 0.8, 0.82, 0.84, 0.86, 0.88, 0.9)
    """Test accuracies that the time to reach is told of."""


class Classify(Stage[Settings, ClassifierSettings]):
    """The classifiers."""

    name, title, metric = "classify", "Classification of latent vectors and of raw images", "test_loss"
    settings, config, version = Settings, ClassifierSettings, VERSION
    reads = (Data, Autoencoders, FinalModels)
    presets: ClassVar = {"laptop": {"epochs": 3, "num_seeds": 1}, "smoke": {"epochs": 2, "num_seeds": 1}}
    schemas: ClassVar = {
        "classifiers": schema(
            *PAIR, SEED, ACCURACY, TEST_LOSS, TRAIN_LOSS, NUM_PARAMETERS, EPOCHS, ENCODING, CPU_SECONDS, *OUTCOME
        ),
        "classifier_epochs": schema(*PAIR, SEED, EPOCH, TRAIN_LOSS, TEST_LOSS, ACCURACY, CPU_SECONDS, SECONDS),
        "classifier_targets": schema(
            *PAIR,
            SEED,
            real("accuracy", "test accuracy to be reached"),
            integer("epoch", "the first that reached it; missing where none did"),
            real("seconds", "time spent until then, encoding included; missing likewise", "s"),
            real("cpu_seconds", "processor time until then, encoding included; missing likewise", "s"),
        ),
        "classifier_predictions": schema(*PAIR, SEED, *PREDICTIONS),
        "confusion": schema(*PAIR, *CONFUSION),
    }
    shown = ("classifiers", "classifier_targets")

    def absent(self, settings: RunSettings) -> str:
        return needs_labels(settings)

    def check(self, settings: RunSettings) -> None:
        """There must be as many images as neighbours of each."""
        neighbors, num_train = self.own(settings).num_neighbors, section(Data, settings).num_train
        if neighbors > num_train:
            raise UserError(f"--classify.num-neighbors: {neighbors} is above the {num_train} training images")

    def needs(self, own: Settings) -> tuple[str, ...]:
        return ("refit",)

    def reads_only(self, context: Context[Settings]) -> Mapping[str, Sequence[str]]:
        seeds = context.section(FinalModels).seeds(context.seed)
        return {"refit": [refit_key("best", seed) for seed in seeds]}

    def trials(self, context: Context[Settings]) -> Iterator[Trial[ClassifierSettings]]:
        """Every input, architecture and seed."""
        own, num_images = context.own, context.section(Data).num_train
        if context.planning:
            encoder = stand_in(context)
        else:
            encoder = context.records("refit")[refit_key("best", context.seed)].config
        data = context.section(Data)
        num_features = {"latent": encoder.latent_dim, "raw": data.num_values}
        same: dict[str, Any] = {"batch_size": context.section(Autoencoders).batch_size, "epochs": own.epochs}
        same |= {"num_classes": len(data.class_names), "image_shape": data.shape}
        recipes = RECIPES | {"own": {"own": own.own.model_dump()} | training_of(own.own)} if own.own else RECIPES
        for given, (architecture, recipe) in product(get_args(Input), recipes.items()):
            which = {"input": given, "architecture": architecture, "num_features": num_features[given]}
            config = ClassifierSettings.model_validate(which | same | recipe)
            cost = 1e-6 * MICROSECONDS.get((given, architecture), 3) * own.epochs * num_images
            for seed in range(context.seed, context.seed + own.num_seeds):
                key = key_of(given, architecture, seed)
                keep = key == key_of("raw", "cnn", context.seed)
                yield Trial(key, config, seed, own.epochs, num_images, cost, keep_weights=keep)

    def own_seconds(self, context: Context[Settings]) -> float:
        data, num_seeds = context.section(Data), context.section(FinalModels).num_seeds
        # The nearest neighbours of images and of every encoder's vectors.
        return 3 + (25e-9 + 15e-9 * num_seeds) * data.num_train * data.num_test

    def made_of(self, context: Context[Settings]) -> Sequence[str]:
        return (context.records("refit")[refit_key("best", context.seed)].digest,)

    def inputs(self, context: Context[Settings]) -> Mapping[str, NDArray[Any]]:
        """Latent vectors of the training and test images, and the seconds that it took to make them."""
        from orchestrator.stages.classify.measure import latent_vectors

        return latent_vectors(context)

    def train(self, trial: Trial[ClassifierSettings], data: Any, worker: Worker) -> Iterator[Epoch]:
        from orchestrator.stages.classify.measure import examples, with_cpu_seconds
        from trainables.classifier import train_classifier

        of_kind, config = examples(trial.config.input, data, worker.inputs), trial.config
        epochs = train_classifier(config, of_kind, device=worker.device, seed=trial.seed, resume=worker.resume)
        return with_cpu_seconds(epochs)

    def results(self, context: Context[Settings], records: Sequence[Record[Any]]) -> Iterator[Table | Model]:
        """The tables, and the classifier whose features others measure with."""
        from orchestrator.stages.classify.measure import measured

        yield from measured(context, records)
        for record in records:
            if record.key == key_of("raw", "cnn", context.seed) and record.state == "complete":
                kind = "trainables.classifier.Classifier"
                yield model_file("classifier", record, kind, record.config, "test_accuracy")

    def figures(self, context: Context[Settings], tables: Tables) -> Iterator[Picture]:
        from orchestrator.figures.interactive import curves
        from orchestrator.stages.classify import figures

        epochs, classifiers = tables["classifier_epochs"], tables["classifiers"]
        data, caption = context.section(Data), "Learning curves, every seed a line."
        if data.is_papers:
            caption += (
                " The strip has the author's MLPs after 50 epochs, whose latent vectors have as many numbers as "
                "stands there."
            )
        yield Picture("classify_epochs", caption, figures.learning_curves, epochs, with_author=data.is_papers)
        caption = "Accuracy by the time that training took, on this run's machine."
        yield Picture("classify_seconds", caption, figures.accuracy_by_time, epochs, classifiers)
        caption = "What the two CNNs take each class for, of the first seed."
        yield Picture(
            "classify_confusion", caption, figures.confusion_matrices, tables["confusion"], data.class_names
        )
        caption = "Accuracy on the test images by epoch, mean over seeds; to be read off."
        architecture, given = epochs["architecture"].map(CLASSIFIERS), epochs["input"].map(INPUTS)
        named = epochs.assign(name=architecture.astype(str) + " of " + given.astype(str))
        yield Picture("classify_curves", caption, curves, named, ["name"], "test_accuracy", "test accuracy")

    def findings(self, tables: Tables) -> Iterator[str]:
        table = tables["classifiers"].dropna(subset=["test_accuracy"])
        by_pair = table.groupby(["architecture", "input"], observed=True)
        means = by_pair[["test_accuracy", "test_loss", "seconds"]].mean()
        for architecture in table["architecture"].unique():
            if {(architecture, "latent"), (architecture, "raw")} <= set(means.index):
                latent, raw = means.loc[(architecture, "latent")], means.loc[(architecture, "raw")]
                losses = f", cross-entropy {latent['test_loss']:.3f} and {raw['test_loss']:.3f}"
                yield (
                    f"{capital(CLASSIFIERS[architecture])}: "
                    f"accuracy {latent['test_accuracy']:.4f} on latent vectors, "
                    f"{raw['test_accuracy']:.4f} on raw images{losses if raw['test_loss'] > 0 else ''}; "
                    f"{latent['seconds']:.0f} s and {raw['seconds']:.0f} s."
                )
        if len(table):
            encode = table["encode_seconds"].max()
            yield f"Encoding all images took {encode:.1f} s, once, and is not in these seconds."


def key_of(given: str, architecture: str, seed: int) -> str:
    """Name of a classifier's training."""
    return f"{given}-{architecture}-seed-{seed}"
