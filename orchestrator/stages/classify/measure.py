"""Latent vectors, and what classifiers of them and of raw images come to."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix
from sklearn.neighbors import KNeighborsClassifier

from orchestrator.engine.records import Arrays, Record
from orchestrator.engine.stage import Context, Table
from orchestrator.stages.architectures import final_model
from orchestrator.stages.classify import Classify, Settings
from orchestrator.stages.measures import confusion_rows, epoch_rows, training_row
from trainables.autoencoder import encode
from trainables.classifier import Examples, build
from trainables.classifier_settings import ClassifierSettings, Input
from trainables.images import flat_pixels


def latent_vectors(context: Context[Settings]) -> Arrays:
    """train and test, shape (n, latent_dim), of the images; seconds, shape (1,), that it took."""
    model, started = final_model(context, "best", context.seed), time.perf_counter()
    train, test = encode(model, context.data.train_images), encode(model, context.data.test_images)
    return {"train": train, "test": test, "seconds": np.array([time.perf_counter() - started])}


def examples(given: Input, data: Any, latent: Arrays) -> Examples:
    """Raw images or latent vectors, with their classes."""
    train, test = (data.train_images, data.test_images) if given == "raw" else (latent["train"], latent["test"])
    return Examples(train, data.train_labels, test, data.test_labels)


def measured(context: Context[Settings], records: Sequence[Record[ClassifierSettings]]) -> Iterator[Table]:
    """The stage's tables."""
    latent = context.inputs
    encoding = {"latent": float(latent["seconds"][0]), "raw": 0.0}
    rows, told, reached, confusion = [], [], [], []
    for record in records:
        pair: dict[str, Any] = {"input": record.config.input, "architecture": record.config.architecture}
        seconds = encoding[record.config.input]
        size = sum(parameter.numel() for parameter in build(record.config, seed=0).parameters())
        last = training_row(record, "test_accuracy", "test_loss", "train_loss")
        rows.append(pair | last | {"num_parameters": size, "encode_seconds": seconds})
        which = pair | {"seed": record.seed}
        told.append((record, which))
        reached += [which | target for target in first_epochs(record.epochs, context.own.accuracies, seconds)]
        if record.state == "complete" and record.seed == context.seed:
            confusion += confusion_rows(context.arrays(record)["confusion"], **pair)
    for given in get_args(Input):
        row, counts = nearest_neighbours(examples(given, context.data, latent), context.own.num_neighbors)
        pair = {"input": given, "architecture": "knn"}
        rows.append(row | pair | {"encode_seconds": encoding[given]})
        confusion += confusion_rows(counts, **pair)
    yield Table("classifiers", rows)
    yield Table("classifier_epochs", epoch_rows(Classify.schemas["classifier_epochs"], told))
    yield Table("classifier_targets", reached)
    yield Table("confusion", confusion)


def first_epochs(
    epochs: Sequence[Mapping[str, float]], accuracies: Sequence[float], encode_seconds: float
) -> Iterator[dict[str, Any]]:
    """When each accuracy was first reached, encoding included; missing where it never was."""
    for accuracy in sorted(accuracies):
        reached = next((epoch for epoch in epochs if epoch["test_accuracy"] >= accuracy), None)
        spent = [epoch["seconds"] for epoch in epochs if reached and epoch["epoch"] <= reached["epoch"]]
        yield {
            "accuracy": accuracy,
            "epoch": reached and int(reached["epoch"]),
            "seconds": reached and encode_seconds + sum(spent),
        }


def nearest_neighbours(data: Examples, num_neighbors: int) -> tuple[dict[str, Any], NDArray[np.int64]]:
    """scikit-learn's k nearest neighbours, every neighbour with one vote.

    Returns:
        Columns of the table classifiers, and the confusion matrix, shape (10, 10), rows the true classes.
    """
    train, test = (flat_pixels(part) if part.dtype == np.uint8 else part for part in (data.train, data.test))
    started = time.perf_counter()
    model = KNeighborsClassifier(num_neighbors, algorithm="brute")
    predicted = model.fit(train, data.train_labels).predict(test)
    row = dict.fromkeys(("seed", "test_loss", "train_loss", "num_parameters", "epochs", "error")) | {
        "test_accuracy": float((predicted == data.test_labels).mean()),
        "seconds": time.perf_counter() - started,
        "state": "complete",
    }
    return row, confusion_matrix(data.test_labels, predicted, labels=range(10))
