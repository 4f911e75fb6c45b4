"""What all figures share: size, colours that colour-blind readers tell apart, markers, names, panels, ticks."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LogNorm, hsv_to_rgb, to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from orchestrator.figures.tiles import plain

WIDTH = 6.4
"""Of every figure in inches, so that text is as large in one as in another: on a page of 960 pixels as on paper, and
still to be read on one of 390."""
SMALL = 8
"""Points of the least text."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito 2008."""
CLASS_COLOURS = (
    *("#CC6677", "#332288", "#DDCC77", "#117733", "#88CCEE", "#882255", "#44AA99", "#999933", "#AA4499", "#000000"),
)
"""Of ten classes, or fewer: Paul Tol's muted scheme, and black."""
MOST_TICKS = 14
"""Of a logarithmic axis, at most: more would stand upon each other."""
MOST_NUMBERS = 20
"""Classes up to which a matrix of confusions has its numbers written in it."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
MSE = "MSE (squared pixel value)"
STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "figure.titlesize": 10,
    "font.size": 9,
    "grid.alpha": 0.3,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "lines.markersize": 5,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
}


def panels(height: float, number: int = 1, *, shared: bool = True) -> tuple[Figure, list[Axes]]:
    """A figure of this height in inches, with panels, two in a row; where their number is odd, an empty one follows.

    Panels share their vertical axis, or do not.
    """
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots(-(-number // 2), min(number, 2), squeeze=False, sharey=shared and number > 1)
    for empty in axes.flat[number:]:
        empty.set_axis_off()
    return figure, list(axes.flat)


def drawing(
    height: float, number: int = 1, *, shared: bool = True, rows: str = "", empty: str
) -> Callable[[Callable[..., None]], Callable[..., Figure]]:
    """Makes a figure of a function that draws a table into a panel, or into a list of panels.

    Args:
        height: in inches.
        number: of panels, two in a row.
        shared: whether these share their vertical axis.
        rows: which of the table's rows are drawn, as `pandas.DataFrame.query` has it; by default all.
        empty: what the figure says where there are none.
    """

    def decorated(draw: Callable[..., None]) -> Callable[..., Figure]:
        @wraps(draw)
        @rc_context(STYLE)
        def figure_of(table: pd.DataFrame, *others: Any, **options: Any) -> Figure:
            figure, axes = panels(height, number, shared=shared)
            table = table.query(rows, engine="python") if rows else table
            if table.empty:
                placeholder(axes, empty)
            else:
                draw(axes if number > 1 else axes[0], table, *others, **options)
            return figure

        return figure_of

    return decorated


def class_colours(number: int) -> list[str]:
    """Colours of so many classes; of more than ten, around the wheel, light and dark by turns."""
    if number <= len(CLASS_COLOURS):
        return list(CLASS_COLOURS[:number])
    return [to_hex(tuple(hsv_to_rgb((n / number, 0.9, (0.55, 0.85)[n % 2])))) for n in range(number)]


def placeholder(axes: list[Axes], text: str) -> None:
    """A sentence where the data of these panels would be."""
    for every in axes:
        every.set_axis_off()
    axes[0].text(0.5, 0.5, text, ha="center", va="center", transform=axes[0].transAxes)


def look(number: Any) -> dict[str, Any]:
    """Colour and marker of a curve among others; from the eighth on, hollow marks."""
    hollow = {"markerfacecolor": "white"} if number % 14 >= 7 else {}
    return {"color": COLOURS[number % 7], "marker": MARKERS[number % 7], "markersize": 4, **hollow}


def legend_below(axes: Axes, columns: int, **options: Any) -> None:
    """A panel's legend below the whole figure, in so many columns."""
    handles, labels = axes.get_legend_handles_labels()
    axes.figure.legend(handles, labels, loc="outside lower center", ncols=columns, **options)


def margin(axes: Axes, label: str) -> Axes:
    """A strip beside a panel that shares its vertical axis, for values that have no place on its horizontal one."""
    strip = axes.inset_axes((1.08, 0, 0.2, 1), sharey=axes, facecolor="0.95", xlim=(-1, 1))
    strip.set_xticks([0], [label])
    strip.tick_params(length=0, labelleft=False)
    strip.grid(visible=False, axis="x")
    strip.spines["left"].set_visible(False)
    return strip


@rc_context(STYLE)
def confusions(
    height: float, tables: Mapping[str, pd.DataFrame], names: Sequence[str], right: str, empty: str
) -> Figure:
    """Confusion matrices, as shares of each true class.

    Args:
        height: in inches.
        tables: rows with label, predicted and count, by what stands above them.
        names: of the classes.
        right: follows the share that is right there.
        empty: what stands where there are no rows.
    """
    figure, axes = panels(height, len(tables))
    for panel, (name, rows) in zip(axes, tables.items(), strict=False):
        if rows.empty:
            placeholder([panel], empty)
            continue
        matrix = rows.pivot(index="label", columns="predicted", values="count").to_numpy()
        percent = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        panel.imshow(percent, cmap="Greys", vmin=0, vmax=100)
        panel.grid(visible=False)
        few = len(names) <= MOST_NUMBERS
        for (row, column), share in np.ndenumerate(percent):
            if few and round(share):
                colour = "white" if share > 50 else "black"
                panel.text(column, row, f"{share:.0f}", ha="center", va="center", color=colour, fontsize=SMALL)
        small: dict[str, Any] = {} if few else {"fontsize": 4}
        shown = list(map(plain, names))
        panel.set_xticks(range(len(matrix)), shown, rotation=45, ha="right", rotation_mode="anchor", **small)
        panel.set_yticks(range(len(matrix)), shown, **small)
        panel.set_title(f"{name}:\n{np.trace(matrix) / matrix.sum():.3f} {right}")
    figure.supxlabel("class that it is taken for (% of the true class)", fontsize=9)
    figure.supylabel("true class", fontsize=9)
    return figure


def log_colours(axes: Axes | list[Axes], values: pd.Series, label: str, **options: Any) -> Colorbar:
    """A bar of colours for these values, on a logarithmic scale, beside the axes; a fifth lie at its upper end."""
    norm = LogNorm(values.min(), max(values.quantile(0.8), values.min() * 1.001))
    figure = (axes if isinstance(axes, Axes) else axes[0]).figure
    bar = figure.colorbar(ScalarMappable(norm, "viridis"), ax=axes, label=label, extend="max", **options)
    ticks, labels = _plain_ticks(norm.vmin or 0.0, norm.vmax or 1.0)
    bar.set_ticks(ticks, labels=labels)
    bar.ax.minorticks_off()
    return bar


def describe(axes: Axes, *, counts: bool = False, **properties: Any) -> None:
    """Set properties of axes: labels, title, scales.

    A logarithmic axis gets plain numbers, also where it spans less than a decade; a horizontal axis that counts gets
    whole ones.
    """
    axes.set(**properties)
    if counts:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for scale, axis in (("xscale", axes.xaxis), ("yscale", axes.yaxis)):
        if properties.get(scale) == "log":
            axis.set_ticks(*_plain_ticks(*axis.get_view_interval()))
            axis.minorticks_off()


def _plain_ticks(low: float, high: float) -> tuple[list[float], list[str]]:
    """Round numbers of a logarithmic scale, three at least, and what is written there."""
    inside: list[float] = []
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8), np.arange(1, 10, 0.2), np.arange(1, 10, 0.02)):
        ticks = [step * 10.0**power for power in powers for step in steps]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) >= 3:
            break
    apart = math.log(high / low) / MOST_TICKS
    shown = inside[:1]
    for tick in inside:
        if math.log(tick / shown[-1]) >= apart:
            shown.append(tick)
    return shown, [f"{tick:.3g}" for tick in shown]
