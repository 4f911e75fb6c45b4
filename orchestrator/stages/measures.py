"""What several experiments measure alike."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

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
