"""Tables to figures; opens no file. Colours are told apart by colour-blind readers, and lines also in grey."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import cm, rc_context
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

Pixels = NDArray[np.floating[Any]]
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito 2008."""
MARKERS = ("o", "s", "^", "D", "v", "P")
AUTHOR_DENOISED = {
    0.1: (0.019, 0.015),
    0.2: (0.048, 0.023),
    0.3: (0.076, 0.044),
    0.4: (0.080, 0.042),
    0.5: (0.105, 0.064),
}
"""Noisy and reconstructed error of the author's Figure 2 by probability (source: author's repository)."""
AUTHOR_FOLD_MSE = (0.0202, 0.0203, 0.0200, 0.0199, 0.0197, 0.0200)
"""Final validation error of each fold as the author's Figure 1 shows it (source: author's repository)."""
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


def _axes(width: float, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False, sharey=columns > 1)
    return figure, list(axes[0])


def _said(figure: Figure, axes: Axes, text: str) -> Figure:
    """The figure with a sentence where its data would be."""
    for every in figure.axes:
        every.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
    return figure


@rc_context(STYLE)
def optimisation_history(trials: pd.DataFrame) -> Figure:
    """Objective of every trial in the order of the study, and the best so far (table trials)."""
    figure, (axes,) = _axes(7, 4)
    complete = trials[trials["state"] == "complete"]
    if complete.empty:
        return _said(figure, axes, "no trial came to its end")
    axes.plot(complete["trial"], complete["val_mse"], "o", color=COLOURS[0], label="trial")
    axes.step(complete["trial"], complete["val_mse"].cummin(), where="post", color=COLOURS[1], label="best so far")
    others = trials[trials["state"] != "complete"]
    for state, marker in (("pruned", "v"), ("failed", "x")):
        some = others[others["state"] == state]
        if len(some):
            bottom = np.full(len(some), complete["val_mse"].min())
            axes.plot(some["trial"], bottom, marker, color="0.4", label=state)
    axes.set(xlabel="trial", ylabel=f"validation {MSE}", title="Optimisation history", yscale="log")
    _plain_log_ticks(axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    return figure


@rc_context(STYLE)
def importances(table: pd.DataFrame) -> Figure:
    """Share of each parameter in the objective's variance (table importances)."""
    figure, (axes,) = _axes(7, 3.5)
    if table.empty:
        return _said(figure, axes, "too few complete trials for fANOVA")
    table = table.sort_values("importance")
    bars = axes.barh(table["param"].astype(str), table["importance"], color=COLOURS[0])
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set(xlabel="share of the variance of validation MSE (fANOVA)", title="Parameter importances", xlim=(0, 1))
    return figure


@rc_context(STYLE)
def parallel_coordinates(trials: pd.DataFrame) -> Figure:
    """Every complete trial as a line through its parameters, dark where the objective is low (table trials)."""
    figure, (axes,) = _axes(10, 4.5)
    complete = trials[trials["state"] == "complete"].sort_values("val_mse", ascending=False)
    if complete.empty:
        return _said(figure, axes, "no trial came to its end")
    names = [name for name in complete.columns if str(name).startswith("params_")]
    scaled = []
    for place, name in enumerate(names):
        values = complete[name]
        if isinstance(values.dtype, pd.CategoricalDtype):
            labels = sorted(values.astype(str).unique())
            heights = values.astype(str).map(labels.index).astype(float) / max(1, len(labels) - 1)
            ticks = [(index / max(1, len(labels) - 1), label) for index, label in enumerate(labels)]
        else:
            logarithmic = name == "params_learning_rate"
            numbers = np.log10(values) if logarithmic else values.astype(float)
            low, high = numbers.min(), numbers.max()
            heights = (numbers - low) / (high - low) if high > low else numbers * 0 + 0.5
            ends = [(0.0, values.min()), (1.0, values.max())] if high > low else [(0.5, values.min())]
            ticks = [(height, f"{value:.2g}" if logarithmic else f"{value:.0f}") for height, value in ends]
        scaled.append(heights.to_numpy())
        axes.axvline(place, color="0.7", linewidth=0.8)
        for height, label in ticks:
            axes.annotate(label, (place, height), xytext=(4, 2), textcoords="offset points", fontsize=8)
    errors = complete["val_mse"].to_numpy()
    norm = LogNorm(errors.min(), max(errors.max(), errors.min() * 1.001))
    colours = figure.colorbar(
        cm.ScalarMappable(norm, "viridis"), ax=axes, label=f"validation {MSE}", pad=0.02, format="%.3f"
    )
    colours.ax.minorticks_off()
    colours.set_ticks(list(np.geomspace(norm.vmin or 0.0, norm.vmax or 1.0, 5)))
    for line, value in zip(np.array(scaled).T, errors, strict=True):
        best = value == errors.min()
        axes.plot(
            range(len(names)),
            line,
            color=colours.cmap(norm(value)),
            linewidth=3 if best else 1.2,
            alpha=1.0 if best else 0.8,
        )
    labels = [str(name).removeprefix("params_").replace("_", "\n") for name in names]
    axes.set_xticks(range(len(names)), labels)
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    axes.set(title="Trials by parameter (the best one drawn thick)", xlim=(-0.1, len(names) - 0.6))
    return figure


@rc_context(STYLE)
def trial_curves(epochs: pd.DataFrame) -> Figure:
    """Training and validation error of every trial (table trial_epochs)."""
    figure, axes = _axes(9, 4, columns=2)
    if epochs.empty:
        return _said(figure, axes[0], "no trial came to the end of an epoch")
    last = epochs.groupby("trial")["val_mse"].last()
    for panel, column, title in zip(axes, ("train_mse", "val_mse"), ("training", "validation"), strict=True):
        for trial, rows in epochs.groupby("trial"):
            best = trial == last.idxmin()
            panel.plot(
                rows["epoch"],
                rows[column],
                "-o",
                markersize=3,
                color=COLOURS[1] if best else "0.6",
                linewidth=2.2 if best else 1,
                zorder=3 if best else 2,
                label=f"trial {trial} (best)" if best else None,
            )
        panel.set(xlabel="epoch", title=f"{title} error", yscale="log")
        _plain_log_ticks(panel)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].set_ylabel(MSE)
    axes[1].legend()
    return figure


@rc_context(STYLE)
def fold_curves(epochs: pd.DataFrame) -> Figure:
    """The paper's Figure 1: six folds, training and validation, the author's end values beside (fold_epochs)."""
    figure, axes = _axes(10, 4.2, columns=2)
    if epochs.empty:
        return _said(figure, axes[0], "no fold came to the end of an epoch")
    for panel, column, title in zip(
        axes, ("train_mse", "val_mse"), ("training error (epoch mean)", "validation error"), strict=True
    ):
        for fold in sorted(epochs["fold"].unique()):
            rows = epochs[epochs["fold"] == fold]
            (line,) = panel.plot(rows["epoch"], rows[column], linewidth=1.2, label=f"fold {fold}")
            line.set(color=COLOURS[fold % 6], marker=MARKERS[fold % 6], markersize=4)
        panel.set(xlabel="epoch", title=title, yscale="log")
        _plain_log_ticks(panel)
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
    figure, (axes,) = _axes(7, 3.5)
    values = folds["test_mse"].dropna()
    if values.empty:
        return _said(figure, axes, "no fold came to its end")
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


@rc_context(STYLE)
def denoised_image(
    clean: Pixels,
    columns: Sequence[tuple[float, Pixels, Pixels]],
    *,
    with_author: bool,
) -> Figure:
    """The paper's Figure 2: an image with more and more pixels set to zero, and what the model makes of it.

    Args:
        clean: shape (28, 28).
        columns: probability, noisy image and reconstruction, for each.
        with_author: whether it is the author's image, so that his errors are put beside ours.
    """
    figure = Figure(figsize=(1.7 * (len(columns) + 1), 4.3), layout="constrained")
    grid = figure.subplots(2, len(columns) + 1)
    _picture(grid[0, 0], clean, "clean")
    grid[1, 0].set_axis_off()
    for column, (level, noisy, restored) in enumerate(columns, start=1):
        author = AUTHOR_DENOISED.get(level) if with_author else None
        for row, picture in enumerate((noisy, restored)):
            error = np.square(picture - clean).mean()
            beside = f"{error:.4f}" + (f"\nauthor {author[row]:.3f}" if author else "")
            _picture(grid[row, column], picture, f"p = {level:g}" if row == 0 else "", beside)
    grid[0, 1].set_ylabel("noisy")
    grid[1, 1].set_ylabel("reconstructed")
    figure.suptitle("Pixels set to zero with probability p; MSE against the clean image below", fontsize=11)
    return figure


@rc_context(STYLE)
def denoised_classes(
    clean: Pixels,
    noisy: Pixels,
    restored: Pixels,
    names: Sequence[str],
    level: float,
) -> Figure:
    """An image of every class, noisy and reconstructed; all of shape (classes, 28, 28)."""
    figure = Figure(figsize=(1.05 * len(names) + 1.1, 4.6), layout="constrained")
    grid = figure.subplots(3, len(names), squeeze=False)
    for column, name in enumerate(names):
        _picture(grid[0, column], clean[column], name)
        for row, picture in ((1, noisy[column]), (2, restored[column])):
            _picture(grid[row, column], picture, "", f"{np.square(picture - clean[column]).mean():.4f}")
    for row, label in enumerate(("clean", "noisy", "reconstructed")):
        grid[row, 0].set_ylabel(label)
    title = f"The first test image of each class, pixels set to zero with p = {level:g}; MSE below"
    figure.suptitle(title, fontsize=11)
    return figure


def _picture(axes: Axes, picture: Pixels, title: str, below: str = "") -> None:
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(below, fontsize=9)


@rc_context(STYLE)
def denoising_gain(table: pd.DataFrame) -> Figure:
    """Gain of every model by level, with its bootstrap band, a panel for each kind of noise (table denoising)."""
    kinds = [str(kind) for kind in table["noise"].unique()]
    figure, axes = _axes(3.4 * max(2, len(kinds)), 4.2, columns=max(1, len(kinds)))
    if table.empty:
        return _said(figure, axes[0], "no kind of noise was measured")
    for panel, kind in zip(axes, kinds, strict=True):
        panel.axhline(0, color="0.3", linewidth=0.8)
        for number, model in enumerate(table["model"].unique()):
            rows = table[(table["noise"] == kind) & (table["model"] == model)].sort_values("level")
            colour, marker = COLOURS[number % 6], MARKERS[number % 6]
            panel.plot(rows["level"], rows["gain"], color=colour, marker=marker, markersize=4, label=str(model))
            panel.fill_between(rows["level"], rows["gain_low"], rows["gain_high"], color=colour, alpha=0.25)
        panel.set(
            xlabel="sigma" if kind in {"gaussian", "gaussian_unclipped"} else "p", title=kind.replace("_", ", ")
        )
    axes[0].set_ylabel(f"gain in {MSE}")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    return figure


def _plain_log_ticks(axes: Axes) -> None:
    """Plain numbers on a logarithmic axis, also where it spans less than a decade."""
    low, high = axes.get_ylim()
    for steps in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8), np.arange(1, 10, 0.2), np.arange(1, 10, 0.02)):
        ticks = [step * 10.0**power for power in range(-6, 3) for step in steps]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) >= 3:
            break
    axes.set_yticks(inside, [f"{tick:.3g}" for tick in inside])
    axes.minorticks_off()
