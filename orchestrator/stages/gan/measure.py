"""How GANs went and how good their generators are, in tables and models."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
import torch
from scipy.stats import ttest_1samp

from orchestrator.engine.records import Record, Rows
from orchestrator.engine.stage import Context, Model, Table
from orchestrator.engine.tables import to_arrow
from orchestrator.stages.architectures import model_file
from orchestrator.stages.gan import Gan, ScoredGan, best_of, scoring_record
from orchestrator.stages.gan.recipes import told
from orchestrator.stages.gan.scoring import scoring_classifier
from orchestrator.stages.gan.settings import Settings
from orchestrator.stages.measures import epoch_rows, training_row
from trainables.gan_scores import features, frechet_distance
from trainables.images import as_tensor

COLLAPSED_CLASSES = 5
COLLAPSED_RECALL = 0.01
"""A GAN has collapsed where its images' classes are no more varied than so many equally frequent ones, or where they
come near no more than this share of the real images."""
VANISHED = 0.01
"""Share of its start below which a generator's gradient has vanished."""


def measured(context: Context[Settings], records: Sequence[Record[ScoredGan]]) -> Iterator[Table | Model]:
    """The stage's tables, and the best generator of each loss."""
    checksum = hashlib.sha256(context.weights(scoring_record(context), "classify")).hexdigest()[:16]
    extra = {"floor_distance": floor_distance(context), "features": checksum}
    rows = [_row(record) | extra for record in records]
    yield Table("gans", rows)
    which = [(it, {"arm": it.config.arm, "loss": it.config.gan.loss, "seed": it.seed}) for it in records]
    yield Table("gan_epochs", epoch_rows(Gan.schemas["gan_epochs"], which))
    yield Table("gan_intervals", intervals(to_arrow(Gan.schemas["gans"], rows, {}).to_pandas()))
    for (arm, loss), best in best_of(records, Gan.metric).items():
        kind, settings = "trainables.gan.Generator", best.config.gan
        yield model_file(f"generator_{arm}_{loss}", best, kind, settings, Gan.metric)


def _row(record: Record[ScoredGan]) -> dict[str, Any]:
    gan, last = record.config.gan, record.last
    collapsed = None
    if last:
        few_classes = last["class_entropy"] < math.log(COLLAPSED_CLASSES)
        collapsed = few_classes or last["recall"] < COLLAPSED_RECALL
    scores = ("val_frechet_distance", "frechet_distance", "precision", "recall", "class_entropy", "num_classes")
    columns = {"arm": record.config.arm, "collapsed": collapsed, "vanished_epoch": vanished_epoch(record.epochs)}
    columns["num_workers"] = record.num_workers if last else None
    return training_row(record, *scores, **told(gan), **columns)


def vanished_epoch(epochs: Rows) -> int | None:
    """First epoch whose gradient in the generator's weights is below a hundredth of its start; None where none is."""
    small = [it["epoch"] for it in epochs if it["g_weight_grad"] < VANISHED * epochs[0]["g_weight_grad_start"]]
    return int(small[0]) if small else None


def floor_distance(context: Context[Settings]) -> float:
    """Distance of as many training images as there are test images from these."""
    inputs, data = context.inputs, context.data
    classifier = scoring_classifier(scoring_record(context).config, inputs)
    of_train = features(classifier, as_tensor(data.train_images[: len(data.test_images)]))
    return frechet_distance(of_train, torch.from_numpy(inputs["test_features"]))


def intervals(gans: pd.DataFrame) -> list[dict[str, Any]]:
    """Mean distance of each GAN over its seeds, and of their difference seed by seed, with 95 % t intervals."""
    rows, floor = [], gans["floor_distance"].iloc[0]
    for arm, of_arm in gans.groupby("arm", observed=True, sort=False):
        distances = of_arm.pivot(index="seed", columns="loss", values="frechet_distance")
        if {"minimax", "non_saturating"} <= set(distances):
            distances["difference"] = distances["minimax"] - distances["non_saturating"]
        for loss in distances:
            values = distances[loss].dropna()
            low, high = ttest_1samp(values, 0).confidence_interval(0.95) if len(values) > 1 else (None, None)
            mean = values.mean() if len(values) else None
            ratio = mean / floor if mean and loss != "difference" else None
            row = {"arm": arm, "loss": loss, "num_seeds": len(values), "frechet_distance": mean}
            rows.append(row | {"low": low, "high": high, "floor_ratio": ratio})
    return rows
