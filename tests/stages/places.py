"""Images of which each lies at a place in the plane of the two pixels that known models see."""

import numpy as np
import pandas as pd

from tests.stages.known import at
from trainables.dataset import Dataset

FIRST, SECOND, THIRD = (20, 20), (120, 120), (220, 220)
"""Places in the plane, by the values of the two pixels that the models see."""


def near(place: tuple[int, int], number: int) -> list[tuple[int, int]]:
    """So many places there, none of them the same."""
    return [(place[0] + n // 7, place[1] + n % 7) for n in range(number)]


def lopsided() -> Dataset:
    """Training images of class 3 lie at the first place, of class 5 at the second, of class 8 at the third; of the
    test images class 5 lies at the first place as well, class 8 at the second and the third."""
    train, labels = at([*near(FIRST, 40), *near(SECOND, 40), *near(THIRD, 40)]), np.repeat([3, 5, 8], 40)
    labels[0] = 8  # the nearest one to a test image whose two next are of class 3
    places = [*near(FIRST, 14), *near(SECOND, 4), *near(THIRD, 2)]
    test_labels = [3] * 8 + [5] * 6 + [8] * 6
    mixed = np.random.default_rng(0).permutation(120)
    return Dataset(
        train[mixed], labels[mixed].astype(np.uint8), at(places), np.array(test_labels, np.uint8), "made up"
    )


LOPSIDED = {(3, 3): 8, (5, 3): 6, (8, 5): 4, (8, 8): 2}
"""Of each true class and the one that the training images around would have it take for: how many test images."""


def counted(table: pd.DataFrame) -> dict[tuple[int, int], int]:
    """How many of each true class are taken for each class, where any are."""
    assert len(table) == 100
    assert list(zip(table["label"], table["predicted"], strict=True)) == [
        (i, j) for i in range(10) for j in range(10)
    ]
    rows = table[table["count"] > 0]
    return {(row.label, row.predicted): row.count_ for row in rows.rename(columns={"count": "count_"}).itertuples()}
