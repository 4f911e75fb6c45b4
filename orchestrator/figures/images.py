"""Images in rows and columns."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from orchestrator.figures.style import SMALL, STYLE, WIDTH
from orchestrator.figures.tiles import Pixels, framed, plain, tiled

LARGEST = 0.9
"""Side of an image in inches, at most."""
LINE = 0.15
"""Height of a line of text in inches."""
OVERLAP = 0.005
"""Inches that a row reaches under the next one, so that none shines through."""


@rc_context(STYLE)
def image_grid(
    pixels: Pixels,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    *,
    horizontal: str = "",
    below: Sequence[Sequence[str]] = (),
) -> Figure:
    """Images in rows and columns that have names, as one picture.

    Args:
        pixels: of the shape that `tiled` takes, in [0, 1]; where they are missing values, nothing stands.
        rows: a name for each; none, where it is empty.
        columns: the same.
        title: of the figure, in a line or more.
        horizontal: what changes from column to column.
        below: what stands below each image, by rows; nothing, where it is empty.
    """
    (num_rows, num_columns), (height, width) = pixels.shape[:2], pixels.shape[-2:]
    texts = below or [[""] * num_columns] * num_rows
    left = 0.14 + 0.063 * max((len(line) for row in rows for line in row.split("\n")), default=0)
    side = min(LARGEST, (WIDTH - left - 0.05) / num_columns)
    high = side * height / width
    gaps = [LINE * _lines(of_row) for of_row in texts]
    first = 0.05 + LINE * (_lines([title]) + _lines(columns)) + LINE * bool(horizontal) + 0.12
    bottoms = first + np.cumsum([high + gap for gap in gaps]) - gaps
    figure = Figure(figsize=(WIDTH, bottoms[-1] + gaps[-1] + 0.05))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(figure.get_figheight(), 0))
    axes.set_axis_off()
    middles = left + side * (np.arange(num_columns) + 0.5)
    above: dict[str, Any] = {"ha": "center", "va": "bottom"}
    in_frames = framed(pixels)
    in_frames[np.isnan(pixels).any(axis=tuple(range(2, pixels.ndim)))] = np.nan if pixels.ndim == 4 else 1
    grey = matplotlib.colormaps["gray"].with_extremes(bad="white")
    for row, (bottom, of_row) in enumerate(zip(bottoms, texts, strict=True)):
        place = (left, left + num_columns * side, bottom + OVERLAP, bottom - high)
        axes.imshow(
            tiled(in_frames[[row]]), cmap=grey, vmin=0, vmax=1, extent=place, interpolation="none", aspect="auto"
        )
        if rows:
            axes.text(left - 0.06, bottom - high / 2, plain(rows[row]), ha="right", va="center", fontsize=SMALL)
        for middle, text in zip(middles, of_row, strict=True):
            axes.text(middle, bottom + 0.03, text, ha="center", va="top", fontsize=SMALL)
    for middle, name in zip(middles, columns, strict=False):
        axes.text(middle, first - 0.03, plain(name), fontsize=SMALL, **above)
    if horizontal:
        axes.text(left + side * num_columns / 2, first - 0.03 - LINE * _lines(columns), horizontal, **above)
    figure.suptitle(plain(title), y=1 - 0.05 / figure.get_figheight(), va="top")
    return figure


def _lines(texts: Sequence[str]) -> int:
    """Lines of the highest of some texts."""
    return max((text.count("\n") + 1 for text in texts if text), default=0)
