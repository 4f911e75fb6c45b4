"""What all figures share: colours, markers, panels, ticks. Colours are told apart by colour-blind readers."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
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


def panels(width: float, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of this size in inches, with panels side by side that share their vertical axis."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False, sharey=columns > 1)
    return figure, list(axes[0])


def placeholder(figure: Figure, axes: Axes, text: str) -> Figure:
    """The figure with a sentence where its data would be."""
    for every in figure.axes:
        every.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
    return figure


def show(axes: Axes, pixels: Pixels, title: str, below: str = "") -> None:
    """An image in grey, 0 black and 1 white, with a title and a line below."""
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(below, fontsize=9)


def show_confusion(panel: Axes, matrix: NDArray[Any]) -> None:
    """A confusion matrix of shape (10, 10), rows the true classes, as shares of each row."""
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    panel.imshow(shares, cmap="Greys", vmin=0, vmax=1)
    panel.grid(visible=False)
    for row in range(len(matrix)):
        for column in range(len(matrix)):
            if shares[row, column] >= 0.005:
                colour = "white" if shares[row, column] > 0.5 else "black"
                text = f"{100 * shares[row, column]:.0f}"
                panel.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    panel.set_xticks(range(len(matrix)), CLASS_NAMES, rotation=45, ha="right", fontsize=8)
    panel.set_yticks(range(len(matrix)), CLASS_NAMES, fontsize=8)
    panel.set_xlabel("taken for (% of the true class)")


def plain_log_ticks(axes: Axes) -> None:
    """Plain numbers on a logarithmic axis, also where it spans less than a decade."""
    low, high = axes.get_ylim()
    for steps in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8), np.arange(1, 10, 0.2), np.arange(1, 10, 0.02)):
        ticks = [step * 10.0**power for power in range(-6, 3) for step in steps]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) >= 3:
            break
    axes.set_yticks(inside, [f"{tick:.3g}" for tick in inside])
    axes.minorticks_off()
