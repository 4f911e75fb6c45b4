"""How GANs went and how good their generators are, in tables and models."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
import torch
from scipy.stats import ttest_1samp

from orchestrator.engine.records import Record
from orchestrator.engine.stage import Context, Model, Table
from orchestrator.engine.tables import to_arrow
from orchestrator.stages.architectures import model_file
from orchestrator.stages.gan import Gan, ScoredGan, Settings, best_of, scoring_record
from orchestrator.stages.gan.scoring import scoring_classifier
from orchestrator.stages.measures import epoch_rows, training_row
from trainables.gan_scores import features, frechet_distance
from trainables.images import as_tensor

COLLAPSED_CLASSES = 5
COLLAPSED_RECALL = 0.01
"""A GAN has collapsed where its images' classes are no more varied than so many equally frequent ones, or where they
come near no more than this share of the real images."""


def measured(context: Context[Settings], records: Sequence[Record[ScoredGan]]) -> Iterator[Table | Model]:
    """The stage's tables, and the best generator of each loss."""
    checksum = hashlib.sha256(context.weights(scoring_record(context), "classify")).hexdigest()[:16]
    extra = {"floor_distance": floor_distance(context), "features": checksum}
    rows = [_row(record) | extra for record in records]
    yield Table("gans", rows)
    told = [(record, {"loss": record.config.gan.loss, "seed": record.seed}) for record in records]
    yield Table("gan_epochs", epoch_rows(Gan.schemas["gan_epochs"], told))
    yield Table("gan_intervals", intervals(to_arrow(Gan.schemas["gans"], rows, {}).to_pandas()))
    for loss, best in best_of(records, "frechet_distance").items():
        kind, settings = "trainables.gan.Generator", best.config.gan
        yield model_file(f"generator_{loss}", best, kind, settings, "frechet_distance")


def _row(record: Record[ScoredGan]) -> dict[str, Any]:
    gan, last = record.config.gan, record.last
    collapsed = None
    if last:
        few_classes = last["class_entropy"] < math.log(COLLAPSED_CLASSES)
        collapsed = few_classes or last["recall"] < COLLAPSED_RECALL
    told = gan.model_dump(include={"loss", "learning_rate", "beta1", "batch_size", "r1_penalty"})
    scores = ("frechet_distance", "precision", "recall", "class_entropy", "num_classes")
    num_workers = record.num_workers if last else None
    return training_row(record, *scores, **told, collapsed=collapsed, num_workers=num_workers)


def floor_distance(context: Context[Settings]) -> float:
    """Distance of as many training images as there are test images from these."""
    inputs, data = context.inputs, context.data
    classifier = scoring_classifier(scoring_record(context).config, inputs)
    of_train = features(classifier, as_tensor(data.train_images[: len(data.test_images)]))
    return frechet_distance(of_train, torch.from_numpy(inputs["real_features"]))


def intervals(gans: pd.DataFrame) -> list[dict[str, Any]]:
    """Mean distance of each GAN over its seeds, and of their difference seed by seed, with 95 % t intervals."""
    distances = gans.pivot(index="seed", columns="loss", values="frechet_distance")
    floor = gans["floor_distance"].iloc[0]
    if {"minimax", "non_saturating"} <= set(distances):
        distances["difference"] = distances["minimax"] - distances["non_saturating"]
    rows = []
    for loss in distances:
        values = distances[loss].dropna()
        low, high = ttest_1samp(values, 0).confidence_interval(0.95) if len(values) > 1 else (None, None)
        mean = values.mean() if len(values) else None
        ratio = mean / floor if mean and loss != "difference" else None
        row = {"loss": loss, "num_seeds": len(values), "frechet_distance": mean}
        rows.append(row | {"low": low, "high": high, "floor_ratio": ratio})
    return rows
