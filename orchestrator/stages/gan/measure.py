"""How GANs went and how good their generators are, in tables, models and sentences."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import torch
from scipy.stats import ttest_1samp

from orchestrator.engine.records import Record
from orchestrator.engine.stage import Context, Model, Table, Tables
from orchestrator.engine.tables import to_arrow
from orchestrator.stages.architectures import described
from orchestrator.stages.gan import ScoredGan, scoring_record
from orchestrator.stages.gan.scoring import scoring_classifier
from trainables.gan_scores import features, frechet_distance
from trainables.images import as_tensor

if TYPE_CHECKING:
    from orchestrator.stages.gan import Settings

EPOCH_COLUMNS = (
    "epoch",
    "d_loss",
    "g_loss",
    "d_real",
    "d_fake",
    "g_logit_grad",
    "frechet_distance",
    "class_entropy",
    "seconds",
)
COLLAPSED_CLASSES = 5
COLLAPSED_RECALL = 0.01
"""A GAN has collapsed where its images' classes are no more varied than so many equally frequent ones, or where they
come near no more than this share of the real images."""


def measured(
    context: Context[Settings], records: Sequence[Record[ScoredGan]], gans: pa.Schema
) -> Iterator[Table | Model]:
    """The stage's tables, and the best generator of each loss; `gans` is the schema of the first table."""
    checksum = hashlib.sha256(context.weights(scoring_record(context), "classify")).hexdigest()[:16]
    extra = {"floor_distance": floor_distance(context), "features": checksum}
    rows = [_row(record) | extra for record in records]
    yield Table("gans", rows)
    epochs = [row for record in records for row in record.of_epochs(*EPOCH_COLUMNS, **which(record))]
    yield Table("gan_epochs", epochs)
    yield Table("gan_intervals", intervals(to_arrow(gans, rows, {}).to_pandas()))
    for loss in context.own.losses:
        best = best_of(loss, records)
        if best is not None:
            kind, settings = "trainables.gan.Generator", best.config.gan.model_dump(mode="json")
            distance = best.last["frechet_distance"]
            yield Model(f"generator_{loss}", best, described(best, kind, settings, frechet_distance=distance))


def best_of(loss: str, records: Sequence[Record[ScoredGan]]) -> Record[ScoredGan] | None:
    """The seed whose generator is nearest to the test images; None where none came to its end."""
    complete = [record for record in records if record.config.gan.loss == loss and record.state == "complete"]
    return min(complete, key=lambda record: record.last["frechet_distance"], default=None)


def which(record: Record[ScoredGan]) -> dict[str, Any]:
    """Columns that tell one training from another."""
    return {"loss": record.config.gan.loss, "seed": record.seed}


def _row(record: Record[ScoredGan]) -> dict[str, Any]:
    last = record.last
    collapsed = None
    if last:
        few_classes = last["class_entropy"] < math.log(COLLAPSED_CLASSES)
        collapsed = few_classes or last["recall"] < COLLAPSED_RECALL
    return {
        **which(record),
        **record.config.gan.model_dump(include={"learning_rate", "beta1", "batch_size", "r1_penalty"}),
        **{name: last.get(name) for name in ("frechet_distance", "precision", "recall", "class_entropy")},
        "num_classes": int(last["num_classes"]) if last else None,
        "collapsed": collapsed,
        "epochs": len(record.epochs),
        "num_workers": record.num_workers if last else None,
        **record.outcome,
    }


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
        rows.append(
            {
                "loss": loss,
                "num_seeds": len(values),
                "frechet_distance": mean,
                "low": low,
                "high": high,
                "floor_ratio": mean / floor if mean and loss != "difference" else None,
            }
        )
    return rows


def findings(tables: Tables) -> Iterator[str]:
    """Each GAN's distance over seeds, beside the floor, and their difference."""
    table = tables["gans"].dropna(subset=["frechet_distance"])
    by_loss = tables["gan_intervals"].set_index("loss")

    def distance(loss: str) -> str:
        row = by_loss.loc[loss]
        interval: str = "" if pd.isna(row["low"]) else f" (95 % t interval {row['low']:.2f} to {row['high']:.2f})"
        return f"{row['frechet_distance']:.2f}{interval}"

    for loss, rows in table.groupby("loss", observed=True):
        floor, ratio = rows["floor_distance"].iloc[0], by_loss["floor_ratio"][loss]
        yield (
            f"{str(loss).replace('_', '-')}, {len(rows)} seed(s): Frechet distance {distance(str(loss))}, "
            f"{ratio:.1f} times the floor of {floor:.2f}; precision {rows['precision'].mean():.2f}, "
            f"recall {rows['recall'].mean():.2f}; {int(rows['collapsed'].sum())} collapsed."
        )
    if "difference" in by_loss.index and by_loss["num_seeds"]["difference"]:
        yield f"Minimax less non-saturating, seed by seed: {distance('difference')}."
    if table["r1_penalty"].any():
        weight = table["r1_penalty"].max()
        yield f"The discriminators have an R1 penalty of weight {weight:g}, which the paper's have not."
