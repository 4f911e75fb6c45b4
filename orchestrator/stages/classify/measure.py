"""Latent vectors, and what classifiers of them and of raw images come to."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.engine.records import Arrays, Record
from orchestrator.engine.stage import Context, Table
from orchestrator.stages.architectures import final_model
from orchestrator.stages.classify import Classify, Settings
from orchestrator.stages.measures import confusion_rows, epoch_rows, prediction_columns, training_row
from orchestrator.stages.neighbours import most_frequent, nearest
from orchestrator.stages.sections import Data, FinalModels
from trainables.autoencoder import encode
from trainables.classifier import Examples, build
from trainables.classifier_settings import ClassifierSettings, Input
from trainables.epoch import Epoch
from trainables.images import flat_pixels


def latent_vectors(context: Context[Settings]) -> Arrays:
    """train and test, shape (n, latent_dim), of the images; seconds and cpu_seconds, shape (1,), that it took."""
    model, started, used = final_model(context, "best", context.seed), time.perf_counter(), time.process_time()
    train, test = encode(model, context.data.train_images), encode(model, context.data.test_images)
    spent = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - used}
    return {"train": train, "test": test} | {name: np.array([value]) for name, value in spent.items()}


def with_cpu_seconds(epochs: Iterator[Epoch]) -> Iterator[Epoch]:
    """Epochs of a training with the processor time that each took."""
    used = time.process_time()
    for epoch in epochs:
        yield replace(epoch, metrics={**epoch.metrics, "cpu_seconds": time.process_time() - used})
        used = time.process_time()


def examples(given: Input, data: Any, latent: Arrays) -> Examples:
    """Raw images or latent vectors, with their classes."""
    train, test = (data.train_images, data.test_images) if given == "raw" else (latent["train"], latent["test"])
    return Examples(train, data.train_labels, test, data.test_labels)


def measured(context: Context[Settings], records: Sequence[Record[ClassifierSettings]]) -> Iterator[Table]:
    """The stage's tables."""
    latent, labels, num_classes = context.inputs, context.data.test_labels, len(context.section(Data).class_names)
    spent = {name: float(latent[name][0]) for name in ("seconds", "cpu_seconds")}
    encoding = {"latent": spent, "raw": dict.fromkeys(spent, 0.0)}
    rows, told, reached, predictions = [], [], [], []
    for record in records:
        pair: dict[str, Any] = {"input": record.config.input, "architecture": record.config.architecture}
        which, encoded = pair | {"seed": record.seed}, encoding[record.config.input]
        size = sum(parameter.numel() for parameter in build(record.config, seed=0).parameters())
        last = training_row(record, "test_accuracy", "test_loss", "train_loss")
        used = math.fsum(epoch["cpu_seconds"] for epoch in record.epochs)
        rows.append(pair | last | {"num_parameters": size, "cpu_seconds": used, "encode_seconds": encoded["seconds"]})
        told.append((record, which))
        reached += [which | target for target in first_epochs(record.epochs, context.own.accuracies, encoded)]
        if record.state == "complete":
            predictions.append((which, context.arrays(record)["predicted"]))
    for which, data in seen_by_neighbours(context):
        row, predicted = nearest_neighbours(data, context.own.num_neighbors)
        which |= {"architecture": "knn"}
        rows.append(row | which | {"encode_seconds": encoding[which["input"]]["seconds"]})
        predictions.append((which, predicted))
    yield Table("classifiers", rows)
    yield Table("classifier_epochs", epoch_rows(Classify.schemas["classifier_epochs"], told))
    yield Table("classifier_targets", reached)
    yield Table("classifier_predictions", prediction_columns(labels, predictions))
    confusion = [
        row
        for which, predicted in predictions
        if which["seed"] in {context.seed, None}
        for row in confusion_rows(
            labels, predicted, num_classes, input=which["input"], architecture=which["architecture"]
        )
    ]
    yield Table("confusion", confusion)


def seen_by_neighbours(context: Context[Settings]) -> Iterator[tuple[dict[str, Any], Examples]]:
    """Latent vectors by the encoder of every seed, then the raw images."""
    latent, data = context.inputs, context.data
    for seed in context.section(FinalModels).seeds(context.seed):
        if seed != context.seed:
            model = final_model(context, "best", seed)
            latent = {"train": encode(model, data.train_images), "test": encode(model, data.test_images)}
        yield {"input": "latent", "seed": seed}, examples("latent", data, latent)
    yield {"input": "raw", "seed": None}, examples("raw", data, latent)


def first_epochs(
    epochs: Sequence[Mapping[str, float]], accuracies: Sequence[float], encoding: Mapping[str, float]
) -> Iterator[dict[str, Any]]:
    """When each accuracy was first reached, the times of the encoding included; missing where it never was."""
    for accuracy in sorted(accuracies):
        reached = next((epoch for epoch in epochs if epoch["test_accuracy"] >= accuracy), None)
        until = [epoch for epoch in epochs if reached and epoch["epoch"] <= reached["epoch"]]
        spent = {name: reached and before + sum(e[name] for e in until) for name, before in encoding.items()}
        yield {"accuracy": accuracy, "epoch": reached and int(reached["epoch"])} | spent


def nearest_neighbours(data: Examples, num_neighbors: int) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """The k nearest neighbours, each with one vote.

    Returns:
        Columns of the table classifiers, and the class that each test input is taken for, shape (n,).
    """
    test = flat_pixels(data.test) if data.test.dtype == np.uint8 else data.test
    started, used = time.perf_counter(), time.process_time()
    predicted = most_frequent(data.train_labels[nearest(test, data.train, num_neighbors)])
    row = dict.fromkeys(("test_loss", "train_loss", "num_parameters", "epochs", "error")) | {
        "test_accuracy": float((predicted == data.test_labels).mean()),
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - used,
        "state": "complete",
    }
    return row, predicted
