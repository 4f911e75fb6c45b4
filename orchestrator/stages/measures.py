"""What several experiments measure alike, and the rows that tell of it."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orchestrator.engine.records import Record
from orchestrator.engine.stage import Context
from orchestrator.engine.tables import Row

Pixels = NDArray[np.floating[Any]]
AT_ONCE = 1200
"""Images that are compared at once: a multiple of every trainables.images.part_size, so that models evaluate the same
batches as if they were given all images."""


def mse_of_each(images: Pixels, clean: Pixels) -> NDArray[np.float64]:
    """Mean squared error of each image against its clean one, both of shape (n, ...)."""
    return np.concatenate([of_each(np.square(some - others)) for some, others in parts_of(images, clean)])


def parts_of(*arrays: NDArray[Any]) -> list[tuple[NDArray[Any], ...]]:
    """Arrays of one length, cut into parts of AT_ONCE rows: the first part of each, then the second, ...

    What is computed part by part never holds more than one of them as floats, or squared.
    """
    (length,) = {len(array) for array in arrays}
    starts = range(0, max(1, length), AT_ONCE)
    return [tuple(array[start : start + AT_ONCE] for array in arrays) for start in starts]


def of_each(values: Pixels) -> NDArray[np.float64]:
    """Mean over all numbers of each image, from shape (n, ...) to (n,)."""
    return np.asarray(values.mean(axis=tuple(range(1, values.ndim)), dtype=np.float64))


def mse(images: Pixels, others: Pixels) -> float:
    """Mean squared difference over all images and pixels."""
    return float(
        sum(np.square(some - same).sum(dtype=np.float64) for some, same in parts_of(images, others)) / images.size
    )


def confusion_rows(
    labels: NDArray[Any], predicted: NDArray[Any], num_classes: int, **same: Any
) -> list[dict[str, Any]]:
    """A row for each pair of a true and a predicted class, of both for each image, shape (n,)."""
    counts = np.zeros((num_classes, num_classes), int)
    np.add.at(counts, (labels, predicted), 1)
    pairs = np.ndenumerate(counts)
    return [
        same | {"label": label, "predicted": predicted, "count": int(count)} for (label, predicted), count in pairs
    ]


def prediction_columns(labels: NDArray[Any], told: Sequence[tuple[Row, NDArray[Any]]]) -> dict[str, Any]:
    """Columns with a row for each image and each array of the classes that images are taken for, of shape (n,); what
    stands beside an array is the same for all of it."""
    number = len(labels)
    columns = {"index": np.tile(np.arange(number), len(told)), "label": np.tile(labels, len(told))}
    same = {name: [which[name] for which, _ in told for _ in range(number)] for name in told[0][0]}
    return columns | same | {"predicted": np.concatenate([predicted for _, predicted in told])}


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


def study_attributes(context: Context[Any], records: Sequence[Record[Any]]) -> dict[str, Any]:
    """What optuna-dashboard shows of a study beside its trials."""
    commits = dict.fromkeys(record.made.commit for record in records if record.made.commit)
    return {"preset": context.preset, "seed": context.seed, "commit": ", ".join(commits)}
