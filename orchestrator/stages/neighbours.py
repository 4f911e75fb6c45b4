"""Nearest neighbours, and the class that most of them have."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.stages.measures import AT_ONCE, Pixels, parts_of
from trainables.images import flat_pixels


def nearest(points: Pixels, among: NDArray[Any], number: int) -> NDArray[np.intp]:
    """Which of many are nearest to each point, the nearest first: shape (n, number).

    Args:
        points: shape (n, width).
        among: shape (m, width), or m uint8 images of so many numbers, of which only a part is held as floats at once.
        number: no more than m.
    """
    from sklearn.neighbors import NearestNeighbors  # by this process: workers load the module and do without

    found, apart = np.empty((len(points), 0), np.intp), np.empty((len(points), 0))
    for part, (some,) in enumerate(parts_of(among)):
        model = NearestNeighbors(n_neighbors=min(number, len(some)), algorithm="brute")
        distances, places = model.fit(flat_pixels(some) if some.dtype == np.uint8 else some).kneighbors(points)
        found, apart = np.hstack([found, part * AT_ONCE + places]), np.hstack([apart, distances])
        least = apart.argsort(axis=1, kind="stable")[:, :number]
        found, apart = np.take_along_axis(found, least, axis=1), np.take_along_axis(apart, least, axis=1)
    return found


def most_frequent(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The class that stands most often in each row, the first of those that do: from shape (n, k) to (n,)."""
    votes = [(labels == label).sum(axis=1) for label in range(int(labels.max()) + 1)]
    return np.asarray(np.argmax(votes, axis=0), np.uint8)
