"""How GANs went and how good their generators are, in tables and models."""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from orchestrator.engine.records import Record
from orchestrator.engine.stage import Context, Model, Table
from orchestrator.engine.tables import to_arrow
from orchestrator.stages.architectures import model_file
from orchestrator.stages.gan import Gan, ScoredGan, best_of, scoring_record
from orchestrator.stages.gan.layers import gan_layer_table
from orchestrator.stages.gan.recipes import told
from orchestrator.stages.gan.references import reference_rows, section_rows
from orchestrator.stages.gan.scoring import real_vectors, scoring_extractor
from orchestrator.stages.gan.settings import Settings
from orchestrator.stages.measures import epoch_rows, training_row
from orchestrator.statistics.intervals import mean
from trainables.gan_scores import SCORES
from trainables.images import as_tensor
from trainables.splits import hold_out_last

VANISHED = 0.01
"""A generator's gradient has vanished where it is below this share of what it was in the training's first steps."""
COLLAPSED_CLASSES = 5
COLLAPSED_RECALL = 0.01
"""A GAN has collapsed where its images' classes are no more varied than so many equally frequent ones, or where they
come near no more than this share of the real images."""


def measured(context: Context[Settings], records: Sequence[Record[ScoredGan]]) -> Iterator[Table | Model]:
    """The stage's tables, and the best generator of each arm and loss by the validation images."""
    extractor, real = scoring_extractor(scoring_record(context).config, context.inputs), real_vectors(context.inputs)
    assert real is not None
    data = context.data
    references = list(reference_rows(extractor, data.train_images, data.test_images, real))
    yield Table("gan_references", references)
    yield Table("gan_sections", list(section_rows(extractor(as_tensor(data.train_images)), real, context.seed)))
    checksum = hashlib.sha256(context.weights(scoring_record(context), "classify")).hexdigest()[:16]
    extra = {"floor_distance": references[0]["frechet_distance"], "features": checksum}
    extra["num_images"] = len(hold_out_last(data.train_images).train)
    rows = [_row(record) | extra for record in records]
    yield Table("gans", rows)
    which = [(record, _which(record)) for record in records]
    yield Table("gan_epochs", epoch_rows(Gan.schemas["gan_epochs"], which))
    yield Table("gan_intervals", intervals(to_arrow(Gan.schemas["gans"], rows, {}).to_pandas()))
    of_arms = {record.config.arm: record.config.gan for record in records}
    layers = [{"arm": arm} | row for arm, gan in of_arms.items() if not gan.own for row in gan_layer_table(gan)]
    yield Table("gan_layers", layers)
    for (arm, loss), best in best_of(records, Gan.metric).items():
        own = best.config.gan.own
        kind = own.model if own else "trainables.gan.Generator"
        yield model_file(f"generator_{arm}_{loss}", best, kind, best.config.gan, Gan.metric)


def _which(record: Record[ScoredGan]) -> dict[str, Any]:
    return {"arm": record.config.arm, "loss": record.config.gan.loss, "seed": record.seed}


def _row(record: Record[ScoredGan]) -> dict[str, Any]:
    last, collapsed, vanished, start = record.last, None, None, None
    if last:
        few_classes = last["class_entropy"] < math.log(COLLAPSED_CLASSES)
        collapsed = few_classes or last["recall"] < COLLAPSED_RECALL
        vanished, start = vanished_epoch(record.epochs), record.epochs[0]["g_weight_grad_start"]
    scores = (Gan.metric, *SCORES, "class_entropy", "num_classes")
    num_workers = record.num_workers if last else None
    columns = told(record.config.gan) | _which(record)
    columns |= {"collapsed": collapsed, "vanished_epoch": vanished, "num_workers": num_workers}
    columns["g_weight_grad_start"] = start
    return training_row(record, *scores, **columns)


def vanished_epoch(epochs: Sequence[Mapping[str, float]]) -> int | None:
    """First epoch in which the generator's gradient is below VANISHED of its first steps'; None where none is."""
    bound = VANISHED * epochs[0]["g_weight_grad_start"]
    return next((number for number, epoch in enumerate(epochs, 1) if epoch["g_weight_grad"] < bound), None)


def intervals(gans: pd.DataFrame) -> list[dict[str, Any]]:
    """Of each arm the GANs' mean distances over seeds and that of their difference, with 95 % t intervals."""
    rows, floor = [], gans["floor_distance"].iloc[0]
    for arm, of_arm in gans.groupby("arm", observed=True, sort=False):
        distances = of_arm.pivot(index="seed", columns="loss", values="frechet_distance")
        if {"minimax", "non_saturating"} <= set(distances):
            distances["difference"] = distances["minimax"] - distances["non_saturating"]
        for loss in distances:
            values = distances[loss].dropna()
            found = mean(values) if len(values) else None
            row = {"arm": arm, "loss": loss, "num_seeds": len(values), "frechet_distance": found and found.value}
            row |= {"low": found and found.low, "high": found and found.high}
            row["floor_ratio"] = found.value / floor if found and loss != "difference" else None
            rows.append(row)
    return rows
