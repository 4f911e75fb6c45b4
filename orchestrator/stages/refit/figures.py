"""What the final models make of images, as figures."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from orchestrator.figures.images import image_grid
from orchestrator.figures.tiles import Pixels, broken
from orchestrator.stages.measures import mse_of_each
from trainables.images import unit_pixels

NUM_COLUMNS = 10
"""Of images, or of classes, that are shown."""


def reconstructions(
    images: NDArray[np.uint8],
    reconstructed: Pixels,
    labels: NDArray[np.uint8] | None,
    names: Sequence[str],
    title: str,
) -> Figure:
    """Each class's images with the least and the greatest error, originals over reconstructions.

    Without labels they are the NUM_COLUMNS images with the least and the greatest error of all.

    Args:
        images: shape (n, rows, columns) or (n, channels, rows, columns), 0 to 255.
        reconstructed: the same images as a model gives them, in [0, 1].
        labels: shape (n,), indices into names.
        names: of the classes that are shown.
        title: says which model.
    """
    ends: list[tuple[int, int] | None]
    error = mse_of_each(unit_pixels(images), reconstructed)
    if labels is None:
        in_order = error.argsort(kind="stable")[:NUM_COLUMNS], error.argsort(kind="stable")[::-1][:NUM_COLUMNS]
        ends, names, which = list(zip(*in_order, strict=True)), [""] * len(in_order[0]), "images"
    else:
        members = [np.flatnonzero(labels == label) for label in range(len(names))]
        ends = [(of[error[of].argmin()], of[error[of].argmax()]) if len(of) else None for of in members]
        which = "of each class the test image"
    shown = np.full((4, len(names), *images.shape[1:]), np.nan)
    below = [[""] * len(names) for _ in range(4)]
    for column, pair in enumerate(ends):
        for row, chosen in zip((0, 2), pair or (), strict=False):
            shown[row : row + 2, column] = images[chosen] / 255, reconstructed[chosen]
            below[row + 1][column] = f"{error[chosen]:.4f}"
    rows = ["least\nMSE", "recon-\nstructed", "greatest\nMSE", "recon-\nstructed"]
    title = f"{title}\n{which} with the least and the greatest MSE (below)"
    return image_grid(shown, rows, broken(names), title, below=below)
