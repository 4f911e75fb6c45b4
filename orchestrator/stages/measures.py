"""What several experiments measure alike, and the rows that tell of it."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orchestrator.engine.records import Record

Pixels = NDArray[np.floating[Any]]


def mse_of_each(images: Pixels, clean: Pixels) -> NDArray[np.float64]:
    """Mean squared error of each image against its clean one, both of shape (n, 28, 28)."""
    return np.asarray(np.square(images - clean).mean(axis=(1, 2), dtype=np.float64))


def mse(images: Pixels, others: Pixels) -> float:
    """Mean squared difference over all images and pixels."""
    return float(np.square(images - others).mean(dtype=np.float64))


def confusion_rows(counts: NDArray[np.integer[Any]], **same: Any) -> list[dict[str, Any]]:
    """A row for each pair of a true and a predicted class, of counts of shape (10, 10)."""
    pairs = np.ndenumerate(counts)
    return [
        same | {"label": label, "predicted": predicted, "count": int(count)} for (label, predicted), count in pairs
    ]


def training_row(record: Record[Any], *metrics: str, **columns: Any) -> dict[str, Any]:
    """These columns, metrics after the last epoch (missing unless complete), seed, epochs, and what it came to."""
    last = {name: record.last.get(name) for name in metrics}
    return {"seed": record.seed, "epochs": len(record.epochs), **last, **record.outcome, **columns}


def epoch_rows(schema: pa.Schema, told: Iterable[tuple[Record[Any], dict[str, Any]]]) -> list[dict[str, Any]]:
    """A row for each epoch of these trainings: which it is of, and the table's other columns from its metrics."""
    rows = []
    for record, which in told:
        rows += record.of_epochs(*(name for name in schema.names if name not in which), **which)
    return rows
