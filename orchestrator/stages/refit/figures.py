"""What the final models make of images, as figures."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from orchestrator.figures.images import image_grid
from orchestrator.figures.style import Pixels


def reconstructions(
    images: NDArray[np.uint8], reconstructed: Pixels, labels: NDArray[np.uint8], names: Sequence[str], title: str
) -> Figure:
    """Each class's images with the least and the greatest error, originals over reconstructions.

    Args:
        images: shape (n, 28, 28), 0 to 255.
        reconstructed: the same images as a model gives them, in [0, 1].
        labels: shape (n,), indices into names.
        names: of the classes.
        title: says which model.
    """
    error = np.square(images / 255 - reconstructed).mean(axis=(1, 2))
    shown = np.full((4, len(names), *images.shape[1:]), np.nan)
    below = [[""] * len(names) for _ in range(4)]
    for column in range(len(names)):
        members = np.flatnonzero(labels == column)
        if len(members):
            least, greatest = members[error[members].argmin()], members[error[members].argmax()]
            for row, chosen in ((0, least), (2, greatest)):
                shown[row : row + 2, column] = images[chosen] / 255, reconstructed[chosen]
                below[row + 1][column] = f"{error[chosen]:.4f}"
    columns = [name.replace(" ", "\n").replace("/", "/\n") for name in names]
    rows = ["least\nMSE", "recon-\nstructed", "greatest\nMSE", "recon-\nstructed"]
    title = f"{title}\nof each class the test image with the least and the greatest MSE (below)"
    return image_grid(shown, rows, columns, title, below=below)
