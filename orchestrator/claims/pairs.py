"""Two classifiers on the same images: which of them is right more often, and by how much."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from orchestrator.statistics.intervals import Interval, NotTested, Unchanged
from orchestrator.statistics.resamples import bootstrapped

Which = Mapping[str, str]
"""Values of columns that choose a classifier among others: its input and architecture, or its method."""


def difference_in_accuracy(predictions: pd.DataFrame, one: Which, other: Which) -> Interval:
    """Accuracy of one less that of the other, each image and each seed paired, by a bootstrap over seeds and images.

    What has a single seed, or none since it has no randomness, stands beside every seed of the other.

    Args:
        predictions: a row for each classifier, seed and image, with its true class and what it is taken for.
        one, other: which rows are theirs.

    Raises:
        NotTested: there is none of one of them, or no seed of both.
        Unchanged: both are right about the same images.
    """
    seeds, right = zip(*(_right(predictions, which) for which in (one, other)), strict=True)
    if min(map(len, seeds)) > 1:
        common = sorted(set(seeds[0]) & set(seeds[1]))
        if not common:
            raise NotTested("seed with both")
        right = tuple(
            images[[place.index(seed) for seed in common]] for place, images in zip(seeds, right, strict=True)
        )
    if len(set(map(np.shape, (it[0] for it in right)))) > 1:
        raise NotTested("predictions of the same images")
    differences = right[0] - right[1]
    if not differences.any():
        raise Unchanged("both are right about the same images")
    return bootstrapped(differences)


def _right(predictions: pd.DataFrame, which: Which) -> tuple[list[float], NDArray[np.float64]]:
    """Seeds, and for each of them and each image whether it is told right: 1, or 0; shape (seeds, images)."""
    chosen = predictions
    for column, value in which.items():
        chosen = chosen[chosen[column] == value]
    if chosen.empty:
        raise NotTested(f"prediction of {' '.join(which.values())}")
    told = chosen.assign(right=(chosen["label"] == chosen["predicted"]).astype(float), seed=chosen["seed"].fillna(-1))
    table = told.pivot_table(index="seed", columns="index", values="right")
    return list(table.index), table.to_numpy()
