"""Images in rows and columns."""

from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from orchestrator.figures.style import STYLE, Pixels


@rc_context(STYLE)
def image_grid(
    pixels: Pixels, rows: Sequence[str], columns: Sequence[str], title: str, *, horizontal: str = ""
) -> Figure:
    """Images in rows and columns that have names, as one picture.

    Args:
        pixels: shape (rows, columns, 28, 28), in [0, 1].
        rows: a name for each; none, where it is empty.
        columns: the same.
        title: of the figure.
        horizontal: what changes from column to column.
    """
    num_rows, num_columns, height, width = pixels.shape
    size = 0.62
    width_inches = max(size * num_columns + 1.6, 0.085 * len(title))
    figure = Figure(figsize=(width_inches, size * num_rows + 1.3), layout="constrained")
    axes = figure.subplots()
    framed = np.pad(pixels, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=0.35)
    axes.imshow(framed.swapaxes(1, 2).reshape(num_rows * (height + 2), -1), cmap="gray", vmin=0, vmax=1)
    axes.grid(visible=False)
    axes.set_xticks((np.arange(num_columns) + 0.5) * (width + 2) - 0.5 if columns else [], columns or [], fontsize=8)
    axes.set_yticks((np.arange(num_rows) + 0.5) * (height + 2) - 0.5 if rows else [], rows or [], fontsize=8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set(xlabel=horizontal)
    figure.suptitle(title, fontsize=11)
    return figure
