"""What GANs are trained with after they were tuned."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orchestrator.engine.records import Record

TUNED = ("learning_rate", "beta1", "batch_size")


def tuned(trials: Iterable[Record[Any]]) -> dict[str, dict[str, Any]]:
    """For each loss, what the best of gan_search's complete trials had for the parameters that were searched."""
    best: dict[str, Record[Any]] = {}
    for record in trials:
        loss = record.config.gan.loss
        if record.state == "complete" and (loss not in best or _distance(record) < _distance(best[loss])):
            best[loss] = record
    return {loss: record.config.gan.model_dump(include=set(TUNED)) for loss, record in best.items()}


def _distance(record: Record[Any]) -> float:
    return record.last["val_frechet_distance"]
