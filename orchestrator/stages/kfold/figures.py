"""The folds (tables folds, fold_epochs) as figures; among them the paper's Figure 1."""

from __future__ import annotations

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from orchestrator.figures.style import COLOURS, MARKERS, MSE, STYLE, panels, placeholder, plain_log_ticks

AUTHOR_FOLD_MSE = (0.0202, 0.0203, 0.0200, 0.0199, 0.0197, 0.0200)
"""Final validation error of each fold as the author's Figure 1 shows it (source: author's repository)."""


@rc_context(STYLE)
def fold_curves(epochs: pd.DataFrame) -> Figure:
    """The paper's Figure 1: six folds, training and validation, the author's end values beside (fold_epochs)."""
    figure, axes = panels(10, 4.2, columns=2)
    if epochs.empty:
        return placeholder(figure, axes[0], "no fold came to the end of an epoch")
    for panel, column, title in zip(
        axes, ("train_mse", "val_mse"), ("training error (epoch mean)", "validation error"), strict=True
    ):
        for fold in sorted(epochs["fold"].unique()):
            rows = epochs[epochs["fold"] == fold]
            (line,) = panel.plot(rows["epoch"], rows[column], linewidth=1.2, label=f"fold {fold}")
            line.set(color=COLOURS[fold % 6], marker=MARKERS[fold % 6], markersize=4)
        panel.set(xlabel="epoch", title=title, yscale="log")
        plain_log_ticks(panel)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    place = epochs["epoch"].max() * 1.06
    for fold, value in enumerate(AUTHOR_FOLD_MSE):
        axes[1].plot(
            place,
            value,
            marker=MARKERS[fold],
            markersize=7,
            markerfacecolor="none",
            markeredgecolor=COLOURS[fold],
            linestyle="none",
            label="author, epoch 20 (hollow)" if fold == 0 else None,
        )
    axes[0].set_ylabel(MSE)
    axes[1].legend(ncols=2, fontsize=8)
    return figure


@rc_context(STYLE)
def fold_test(folds: pd.DataFrame) -> Figure:
    """Test error of each fold's model, with mean and standard deviation (table folds)."""
    figure, (axes,) = panels(7, 3.5)
    values = folds["test_mse"].dropna()
    if values.empty:
        return placeholder(figure, axes, "no fold came to its end")
    mean, deviation = values.mean(), values.std()
    axes.plot(folds["fold"], folds["test_mse"], "o", color=COLOURS[0], label="fold")
    axes.axhline(mean, color=COLOURS[1], label=f"mean {mean:.5f}")
    if len(values) > 1:
        label = f"standard deviation {deviation:.5f}"
        axes.axhspan(mean - deviation, mean + deviation, color=COLOURS[1], alpha=0.15, label=label)
    axes.set(xlabel="fold", ylabel=f"test {MSE}", title="Test error by fold")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


@rc_context(STYLE)
def fold_orders(folds: pd.DataFrame) -> Figure:
    """Errors of the folds by the images' order, and of one fold by seed: what differs by chance (table folds)."""
    figure, axes = panels(11, 4, columns=2)
    folds = folds.dropna(subset=["val_mse", "test_mse"])
    if folds.empty:
        return placeholder(figure, axes[0], "no fold came to its end")
    first = folds.iloc[0]
    by_seed = folds[(folds["fold"] == first["fold"]) & (folds["order"] == first["order"])]
    usual = folds[folds["seed"] == first["seed"]]
    groups = {str(name).replace("_", " "): rows for name, rows in usual.groupby("order", observed=True, sort=False)}
    groups[f"fold {first['fold']},\nother seeds"] = by_seed
    for panel, column, title in zip(axes, ("val_mse", "test_mse"), ("validation block", "test images"), strict=True):
        for place, (number, rows) in enumerate(zip(range(len(groups)), groups.values(), strict=True)):
            values, colour = rows[column], COLOURS[number % 6]
            panel.plot([place] * len(values), values, MARKERS[number % 6], color=colour, alpha=0.7, markersize=5)
            panel.plot([place - 0.25, place + 0.25], [values.mean()] * 2, color=colour, linewidth=2)
            deviation = f"SD {values.std():.5f}" if len(values) > 1 else ""
            panel.annotate(
                deviation, (place, values.max()), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8
            )
        panel.set_xticks(range(len(groups)), list(groups), fontsize=9)
        panel.margins(0.15)
        panel.set(title=f"error on the {title}", xlabel="order of the images (line: mean)")
    axes[0].set_ylabel(MSE)
    return figure
