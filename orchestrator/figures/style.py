"""What all figures share: colours, markers, panels, ticks. Colours are told apart by colour-blind readers."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from trainables.fashion_mnist import CLASS_NAMES

Pixels = NDArray[np.floating[Any]]
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito 2008."""
MARKERS = ("o", "s", "^", "D", "v", "P")
MSE = "MSE (squared pixel value)"
STYLE: dict[Any, Any] = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.titlesize": 11,
    "font.size": 10,
    "grid.alpha": 0.3,
    "legend.frameon": False,
}


def panels(width: float, height: float, columns: int = 1, *, shared: bool = True) -> tuple[Figure, list[Axes]]:
    """A figure of this size in inches, with panels side by side that share their vertical axis, or do not."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False, sharey=shared and columns > 1)
    return figure, list(axes[0])


def drawing(
    width: float, height: float, columns: int = 1, *, shared: bool = True, rows: str = "", empty: str
) -> Callable[[Callable[..., None]], Callable[..., Figure]]:
    """Makes a figure of a function that draws a table into a panel, or into a list of panels.

    Args:
        width: in inches.
        height: likewise.
        columns: panels side by side.
        shared: whether these share their vertical axis.
        rows: which of the table's rows are drawn, as `pandas.DataFrame.query` has it; by default all.
        empty: what the figure says where there are none.
    """

    def decorated(draw: Callable[..., None]) -> Callable[..., Figure]:
        @wraps(draw)
        @rc_context(STYLE)
        def figure_of(table: pd.DataFrame, *others: Any, **options: Any) -> Figure:
            figure, axes = panels(width, height, columns, shared=shared)
            table = table.query(rows, engine="python") if rows else table
            if table.empty:
                return placeholder(figure, axes[0], empty)
            draw(axes if columns > 1 else axes[0], table, *others, **options)
            return figure

        return figure_of

    return decorated


def placeholder(figure: Figure, axes: Axes, text: str) -> Figure:
    """The figure with a sentence where its data would be."""
    for every in figure.axes:
        every.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
    return figure


def look(number: Any) -> dict[str, Any]:
    """Colour and marker of a curve among others."""
    return {"color": COLOURS[number % 6], "marker": MARKERS[number % 6], "markersize": 4}


def show(axes: Axes, pixels: Pixels, title: str, below: str = "") -> None:
    """An image in grey, 0 black and 1 white, with a title and a line below."""
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(below, fontsize=9)


@rc_context(STYLE)
def confusions(width: float, tables: Mapping[str, pd.DataFrame], right: str, empty: str) -> Figure:
    """Confusion matrices side by side, as shares of each true class.

    Args:
        width: in inches.
        tables: rows with label, predicted and count, by what stands above them.
        right: follows the share that is right there.
        empty: what stands where there are no rows.
    """
    figure, axes = panels(width, 5.4, len(tables), shared=False)
    for panel, (name, rows) in zip(axes, tables.items(), strict=True):
        if rows.empty:
            placeholder(figure, panel, empty)
            continue
        matrix = rows.pivot(index="label", columns="predicted", values="count").to_numpy()
        shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        panel.imshow(shares, cmap="Greys", vmin=0, vmax=1)
        panel.grid(visible=False)
        for (row, column), share in np.ndenumerate(shares):
            if share >= 0.005:
                colour = "white" if share > 0.5 else "black"
                panel.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=colour, fontsize=8)
        panel.set_xticks(range(len(matrix)), CLASS_NAMES, rotation=45, ha="right", fontsize=8)
        panel.set_yticks(range(len(matrix)), CLASS_NAMES, fontsize=8)
        panel.set_xlabel("taken for (% of the true class)")
        panel.set_title(f"{name}: {np.trace(matrix) / matrix.sum():.3f} {right}")
    axes[0].set_ylabel("true class")
    return figure


def log_colours(axes: Axes | list[Axes], values: pd.Series, label: str, **options: Any) -> Colorbar:
    """A bar of colours for these values, on a logarithmic scale, beside the axes."""
    norm = LogNorm(values.min(), max(values.max(), values.min() * 1.001))
    figure = (axes if isinstance(axes, Axes) else axes[0]).figure
    bar = figure.colorbar(ScalarMappable(norm, "viridis"), ax=axes, label=label, **options)
    bar.ax.minorticks_off()
    bar.set_ticks(list(np.geomspace(norm.vmin or 0.0, norm.vmax or 1.0, 5)))
    return bar


def describe(axes: Axes, *, counts: bool = False, **properties: Any) -> None:
    """Set properties of axes: labels, title, scales.

    A logarithmic vertical axis gets plain numbers, also where it spans less than a decade; a horizontal axis that
    counts gets whole ones.
    """
    axes.set(**properties)
    if counts:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if properties.get("yscale") != "log":
        return
    low, high = axes.get_ylim()
    for steps in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8), np.arange(1, 10, 0.2), np.arange(1, 10, 0.02)):
        ticks = [step * 10.0**power for power in range(-6, 3) for step in steps]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) >= 3:
            break
    axes.set_yticks(inside, [f"{tick:.3g}" for tick in inside])
    axes.minorticks_off()
