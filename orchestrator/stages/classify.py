"""classify: can clothes be told apart by their latent vectors? (the paper's Methods: classification).

Reads refit's model best. Writes the tables classifiers, classifier_epochs, classifier_targets and confusion, three
figures, and the model classifier (of raw images, whose features others measure with).

The pair that the paper's text names (a convolutional network along the latent vector, and one on the images), the
pair that its author ran (two MLPs), a linear probe and k nearest neighbours, each on the latent vectors of the frozen
encoder and on the raw images. The encoding is done once, and its time is counted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.config import Settings
from orchestrator.figures import classify as figures
from orchestrator.stage import Context, Record, Stage, StageFailed, Trainings, Trial, Work
from orchestrator.stages.refit import load_model
from orchestrator.tables import Row

if TYPE_CHECKING:
    from trainables.classifier import ClassifierSettings, Examples
    from trainables.epoch import Epoch
    from trainables.fashion_mnist import FashionMnist

INPUTS = ("latent", "raw")
RECIPES: dict[str, dict[str, Any]] = {
    "cnn": {"learning_rate": 1e-3, "schedule": "cosine", "dropout": 0.5, "weight_decay": 5e-4},
    "mlp": {"learning_rate": 1e-4, "schedule": "constant", "dropout": 0.3, "weight_decay": 1e-5},
    "linear": {"learning_rate": 1e-2, "schedule": "cosine", "dropout": 0.0, "weight_decay": 0.0},
}
"""How each architecture is trained; the MLP as its author did."""
MICROSECONDS = {("latent", "cnn"): 60, ("raw", "cnn"): 140, ("latent", "mlp"): 8, ("raw", "mlp"): 12}
"""About what an image takes in training, on one core; a linear probe takes 5."""


def training(
    config: dict[str, Any],
    data: FashionMnist,
    *,
    device: str,
    resume: dict[str, Any] | None,
    inputs: dict[str, Any],
) -> Iterator[Epoch]:
    """One classifier, tested after every epoch."""
    from trainables.classifier import ClassifierSettings, train_classifier

    settings = ClassifierSettings.model_validate(config["classifier"])
    examples = _examples(settings.input, data, inputs)
    return train_classifier(settings, examples, device=device, seed=config["seed"], resume=resume)


def _examples(kind: str, data: FashionMnist, latent: dict[str, Any]) -> Examples:
    from trainables.classifier import Examples

    train, test = (data.train_images, data.test_images) if kind == "raw" else (latent["train"], latent["test"])
    return Examples(train, data.train_labels, test, data.test_labels)


def trainings(context: Context) -> Trainings:
    """Every input, architecture and seed; the latent vectors are made first, where that was not done before."""
    latent = _latent(context)
    return Trainings.of(_trials(context.settings, latent_dim=latent["train"].shape[1]), metric="test_loss")


def _latent(context: Context) -> dict[str, Any]:
    """Latent vectors of the training and test images, and the seconds that it took to make them."""
    latent = context.inputs()
    if latent is None:
        from trainables.autoencoder import encode

        model, started = load_model(context, "best"), time.perf_counter()
        train, test = encode(model, context.data.train_images), encode(model, context.data.test_images)
        latent = {"train": train, "test": test, "seconds": np.array([time.perf_counter() - started])}
        context.write_inputs(latent)
    return latent


def _trials(settings: Settings, latent_dim: int) -> list[Trial]:
    return [
        _trial(settings, kind, architecture, seed, 784 if kind == "raw" else latent_dim)
        for kind in INPUTS
        for architecture in RECIPES
        for seed in range(settings.seed, settings.seed + settings.classify.num_seeds)
    ]


def _trial(settings: Settings, kind: str, architecture: str, seed: int, num_features: int) -> Trial:
    epochs = settings.classify.epochs
    classifier = {
        "input": kind,
        "architecture": architecture,
        "num_features": num_features,
        "batch_size": settings.search.batch_size,
        "epochs": epochs,
        **RECIPES[architecture],
    }
    return Trial(
        f"{kind}-{architecture}-seed-{seed}",
        {"classifier": classifier, "seed": seed},
        epochs=epochs,
        cost=1e-6 * MICROSECONDS.get((kind, architecture), 5) * epochs * settings.data.num_train,
        weights=(kind, architecture, seed) == ("raw", "cnn", settings.seed),
    )


def finish(context: Context, records: dict[str, Record]) -> None:
    """Write how well each classifier does, how fast it learns, and what it confuses."""
    latent = _latent(context)
    encode_seconds = {"latent": float(latent["seconds"][0]), "raw": 0.0}
    ordered = [records[t.key] for t in _trials(context.settings, latent["train"].shape[1])]
    rows, epochs, reached, confusion = [], [], [], []
    for record in ordered:
        what = _what(record)
        seconds = encode_seconds[str(what["input"])]
        rows.append(what | _row(record) | {"encode_seconds": seconds})
        epochs += [what | {name: epoch[name] for name in EPOCH_COLUMNS} for epoch in record["epochs"]]
        reached += [what | row for row in targets(record, context.settings.classify.accuracies, seconds)]
        if record["state"] == "complete" and record["config"]["seed"] == context.settings.seed:
            last = record["epochs"][-1]
            pairs = [(label, predicted) for label in range(10) for predicted in range(10)]
            counts = [int(last[f"confusion_{label}_{predicted}"]) for label, predicted in pairs]
            confusion += _confusion_rows(what, np.reshape(counts, (10, 10)))
    for kind in INPUTS:
        row, counts = nearest_neighbours(context, kind, latent)
        rows.append(row | {"encode_seconds": encode_seconds[kind]})
        confusion += _confusion_rows(row, counts)
    context.write_table("classifiers", rows)
    context.write_table("classifier_epochs", epochs)
    context.write_table("classifier_targets", reached)
    context.write_table("confusion", confusion)
    tables = [context.run.table(name) for name in ("classifier_epochs", "classifiers", "confusion")]
    context.write_figure("classify_epochs", figures.learning_curves, tables[0])
    context.write_figure("classify_seconds", figures.accuracy_by_time, tables[0], tables[1])
    context.write_figure("classify_confusion", figures.confusion_matrices, tables[2])
    _write_model(context, records)
    failed = [key for key, record in records.items() if record["state"] == "failed"]
    if failed:
        raise StageFailed(f"failed: {', '.join(sorted(failed))}")


EPOCH_COLUMNS = ("epoch", "train_loss", "test_loss", "test_accuracy", "seconds")


def _what(record: Record) -> dict[str, Any]:
    classifier = record["config"]["classifier"]
    return {
        "input": classifier["input"],
        "architecture": classifier["architecture"],
        "seed": record["config"]["seed"],
    }


def _row(record: Record) -> dict[str, Any]:
    last = record["epochs"][-1] if record["state"] == "complete" else {}
    return {
        **{name: last.get(name) for name in ("test_accuracy", "test_loss", "train_loss")},
        "num_parameters": _num_parameters(record),
        "epochs": len(record["epochs"]),
        "seconds": record["seconds"],
        "state": record["state"],
        "error": record["error"],
    }


def _num_parameters(record: Record) -> int:
    from trainables.classifier import build

    model = build(_settings(record), seed=0)
    return sum(parameter.numel() for parameter in model.parameters())


def _settings(record: Record) -> ClassifierSettings:
    from trainables.classifier import ClassifierSettings

    return ClassifierSettings.model_validate(record["config"]["classifier"])


def targets(record: Record, accuracies: tuple[float, ...], encode_seconds: float) -> Iterator[dict[str, Any]]:
    """When each accuracy was first reached, encoding included; missing where it never was."""
    for accuracy in sorted(accuracies):
        reached = next((e for e in record["epochs"] if e["test_accuracy"] >= accuracy), None)
        spent = [e["seconds"] for e in record["epochs"] if reached and e["epoch"] <= reached["epoch"]]
        yield {
            "accuracy": accuracy,
            "epoch": reached and int(reached["epoch"]),
            "seconds": reached and encode_seconds + sum(spent),
        }


def _confusion_rows(what: Row, counts: Any) -> list[Row]:
    where = {"input": what["input"], "architecture": what["architecture"]}
    return [
        where | {"label": label, "predicted": predicted, "count": int(counts[label, predicted])}
        for label in range(10)
        for predicted in range(10)
    ]


def nearest_neighbours(context: Context, kind: str, latent: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """scikit-learn's k nearest neighbours, every neighbour with one vote."""
    from sklearn.metrics import confusion_matrix
    from sklearn.neighbors import KNeighborsClassifier

    data = _examples(kind, context.data, latent)
    train, test = (
        part.reshape(len(part), -1).astype(np.float32) / (255 if kind == "raw" else 1)
        for part in (data.train, data.test)
    )
    started = time.perf_counter()
    model = KNeighborsClassifier(context.settings.classify.num_neighbors, algorithm="brute")
    predicted = model.fit(train, data.train_labels).predict(test)
    row = dict.fromkeys(("seed", "test_loss", "train_loss", "num_parameters", "epochs", "error")) | {
        "input": kind,
        "architecture": "knn",
        "test_accuracy": float((predicted == data.test_labels).mean()),
        "seconds": time.perf_counter() - started,
        "state": "complete",
    }
    return row, confusion_matrix(data.test_labels, predicted, labels=range(10))


def _write_model(context: Context, records: dict[str, Record]) -> None:
    key = f"raw-cnn-seed-{context.settings.seed}"
    record = records[key]
    if record["state"] == "complete":
        description = {
            "class": "trainables.classifier.Classifier",
            "settings": record["config"]["classifier"],
            "seed": record["config"]["seed"],
            "test_accuracy": record["epochs"][-1]["test_accuracy"],
        }
        context.write_model("classifier", key, description)


def _work(settings: Settings) -> Work:
    trials = _trials(settings, latent_dim=settings.search.space.latent_dim[1])
    seconds = sum(trial.cost for trial in trials)
    return Work(len(trials), settings.classify.epochs, settings.data.num_train, seconds)


STAGE = Stage(
    name="classify",
    training=training,
    trainings=trainings,
    finish=finish,
    decides=lambda settings: [settings.data, settings.classify],
    needs=lambda settings: ("refit",),
    work=_work,
)
