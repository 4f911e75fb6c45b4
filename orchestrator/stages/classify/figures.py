"""Classification of latent vectors and raw images (tables classifiers, classifier_epochs, confusion) as figures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from orchestrator.figures.style import COLOURS, STYLE, panels, placeholder, plain_log_ticks, show_confusion

AUTHOR_LOSS = {2: (1.03, 0.436), 6: (0.672, 0.433), 15: (0.596, 0.427), 20: (0.590, 0.431)}
"""Cross-entropy of the author's MLPs after 50 epochs, latent and raw, by latent size (source: his repository)."""
INPUT_COLOURS = {"latent": COLOURS[0], "raw": COLOURS[1]}
INPUT_MARKERS = {"latent": "o", "raw": "s"}
LINES = {"cnn": "-", "mlp": "--", "linear": ":"}


@rc_context(STYLE)
def learning_curves(epochs: pd.DataFrame) -> Figure:
    """Test cross-entropy and accuracy by epoch, latent beside raw; every seed a line (table classifier_epochs)."""
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    axes = list(figure.subplots(1, 2))
    if epochs.empty:
        return placeholder(figure, axes[0], "no classifier came to the end of an epoch")
    for panel, column in zip(axes, ("test_loss", "test_accuracy"), strict=True):
        _draw_arms(panel, epochs, column, lambda rows: rows["epoch"])
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    place = epochs["epoch"].max() * 1.05
    for size, losses in AUTHOR_LOSS.items():
        for kind, loss in zip(INPUT_COLOURS, losses, strict=True):
            label = "author, mlp, epoch 50" if (size, kind) == (2, "latent") else None
            axes[0].plot(
                place, loss, "D", markersize=6, color=INPUT_COLOURS[kind], markerfacecolor="none", label=label
            )
        if size != 20:
            name = {15: "15, 20"}.get(size, str(size))
            beside = {"xytext": (6, 0), "textcoords": "offset points"}
            axes[0].annotate(name, (place, losses[0]), fontsize=7, va="center", **beside)
    axes[0].set(
        xlabel="epoch (author's end values by latent size)",
        ylabel="cross-entropy (nats)",
        title="test cross-entropy",
        yscale="log",
    )
    plain_log_ticks(axes[0])
    axes[1].set(xlabel="epoch", ylabel="share of test images", title="test accuracy")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


@rc_context(STYLE)
def accuracy_by_time(epochs: pd.DataFrame, classifiers: pd.DataFrame) -> Figure:
    """Test accuracy by seconds of training, encoding included (tables classifier_epochs, classifiers)."""
    figure, (axes,) = panels(8, 4.4)
    if epochs.empty:
        return placeholder(figure, axes, "no classifier came to the end of an epoch")
    encoding = classifiers.groupby("input", observed=True)["encode_seconds"].max()
    _draw_arms(axes, epochs, "test_accuracy", lambda rows: rows["seconds"].cumsum() + encoding[rows["input"].iloc[0]])
    axes.set(
        xlabel="seconds on one slot, the encoding of latent vectors included",
        ylabel="test accuracy",
        title="Accuracy by training time",
        xscale="log",
    )
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.legend(loc="lower right")
    return figure


@rc_context(STYLE)
def confusion_matrices(confusion: pd.DataFrame) -> Figure:
    """What the two CNNs take each class for (table confusion)."""
    figure = Figure(figsize=(11, 5.4), layout="constrained")
    axes = list(figure.subplots(1, 2))
    for panel, kind in zip(axes, INPUT_COLOURS, strict=True):
        rows = confusion[(confusion["input"] == kind) & (confusion["architecture"] == "cnn")]
        if rows.empty:
            placeholder(figure, panel, "no CNN came to its end")
            continue
        matrix = rows.pivot(index="label", columns="predicted", values="count").to_numpy()
        show_confusion(panel, matrix)
        panel.set_title(f"{kind}: {np.trace(matrix) / matrix.sum():.3f} of the test images right")
    axes[0].set_ylabel("true class")
    return figure


def _draw_arms(panel: Axes, epochs: pd.DataFrame, column: str, across: Callable[[pd.DataFrame], pd.Series]) -> None:
    """A line for every input, architecture and seed, told apart by colour and mark, by dashes, and not."""
    for (kind, architecture), arm in epochs.groupby(["input", "architecture"], observed=True, sort=False):
        for number, (_, rows) in enumerate(arm.groupby("seed")):
            (line,) = panel.plot(across(rows), rows[column], LINES[str(architecture)], linewidth=1.3, markersize=4)
            line.set(
                color=INPUT_COLOURS[str(kind)], marker=INPUT_MARKERS[str(kind)], markevery=max(1, len(rows) // 8)
            )
            if number == 0:
                line.set_label(f"{kind}, {architecture}")
