"""What the final models make of images, as figures."""

from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy.typing import NDArray

from orchestrator.figures.style import STYLE, Pixels


@rc_context(STYLE)
def reconstructions(
    images: NDArray[np.uint8], reconstructed: Pixels, labels: NDArray[np.uint8], names: Sequence[str]
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
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
    for column, name in enumerate(names):
        grid[0, column].set_title(name, fontsize=9)
        members = np.flatnonzero(labels == column)
        if len(members):
            best, worst = members[error[members].argmin()], members[error[members].argmax()]
            for row, chosen in ((0, best), (2, worst)):
                for axes, pixels in zip(
                    grid[row:, column], (images[chosen] / 255, reconstructed[chosen]), strict=False
                ):
                    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1)
                axes.set_xlabel(f"{error[chosen]:.4f}", fontsize=9)
    for row, label in enumerate(("best", "reconstructed", "worst", "reconstructed")):
        grid[row, 0].set_ylabel(label)
    figure.suptitle("Best and worst reconstructed test image of each class; MSE below", fontsize=11)
    return figure
