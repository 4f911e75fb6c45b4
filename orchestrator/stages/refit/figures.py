"""What the final models make of images, as figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy.typing import NDArray

from orchestrator.figures.style import STYLE, Pixels


@rc_context(STYLE)
def reconstructions(
    images: NDArray[np.uint8],
    reconstructed: Pixels,
    labels: NDArray[np.uint8],
    names: Sequence[str],
) -> Figure:
    """Each class's best and worst reconstructed image, originals over reconstructions.

    Args:
        images: shape (n, 28, 28), 0 to 255.
        reconstructed: the same images as a model gives them, in [0, 1].
        labels: shape (n,), indices into names.
        names: of the classes.
    """
    error = np.square(images / 255 - reconstructed).mean(axis=(1, 2))
    figure = Figure(figsize=(1.05 * len(names) + 1.1, 5.6), layout="constrained")
    grid = figure.subplots(4, len(names), squeeze=False)
    for column, name in enumerate(names):
        members = np.flatnonzero(labels == column)
        for row in range(4):
            axes = grid[row, column]
            axes.set_xticks([])
            axes.set_yticks([])
            if column == 0:
                axes.set_ylabel(("best", "reconstructed", "worst", "reconstructed")[row])
            if not len(members):
                continue
            chosen = members[error[members].argmin() if row < 2 else error[members].argmax()]
            picture = reconstructed[chosen] if row % 2 else images[chosen] / 255
            axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
            if row % 2:
                axes.set_xlabel(f"{error[chosen]:.4f}", fontsize=9)
        grid[0, column].set_title(name, fontsize=9)
    figure.suptitle("Best and worst reconstructed test image of each class; MSE below", fontsize=11)
    return figure
