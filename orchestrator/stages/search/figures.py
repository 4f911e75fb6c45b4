"""The search (tables trials, trial_epochs, importances) as figures."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import cm, rc_context
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from orchestrator.figures.style import COLOURS, MSE, STYLE, panels, placeholder, plain_log_ticks


@rc_context(STYLE)
def optimisation_history(trials: pd.DataFrame) -> Figure:
    """Objective of every trial in the order of the study, and the best so far (table trials)."""
    figure, (axes,) = panels(7, 4)
    complete = trials[trials["state"] == "complete"]
    if complete.empty:
        return placeholder(figure, axes, "no trial came to its end")
    axes.plot(complete["trial"], complete["val_mse"], "o", color=COLOURS[0], label="trial")
    axes.step(complete["trial"], complete["val_mse"].cummin(), where="post", color=COLOURS[1], label="best so far")
    others = trials[trials["state"] != "complete"]
    for state, marker in (("pruned", "v"), ("failed", "x")):
        some = others[others["state"] == state]
        if len(some):
            bottom = np.full(len(some), complete["val_mse"].min())
            axes.plot(some["trial"], bottom, marker, color="0.4", label=state)
    axes.set(xlabel="trial", ylabel=f"validation {MSE}", title="Optimisation history", yscale="log")
    plain_log_ticks(axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    return figure


@rc_context(STYLE)
def importances(table: pd.DataFrame) -> Figure:
    """Share of each parameter in the objective's variance (table importances)."""
    figure, (axes,) = panels(7, 3.5)
    if table.empty:
        return placeholder(figure, axes, "too few complete trials for fANOVA")
    table = table.sort_values("importance")
    bars = axes.barh(table["param"].astype(str), table["importance"], color=COLOURS[0])
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set(xlabel="share of the variance of validation MSE (fANOVA)", title="Parameter importances", xlim=(0, 1))
    return figure


@rc_context(STYLE)
def parallel_coordinates(trials: pd.DataFrame) -> Figure:
    """Every complete trial as a line through its parameters, dark where the objective is low (table trials)."""
    figure, (axes,) = panels(10, 4.5)
    complete = trials[trials["state"] == "complete"].sort_values("val_mse", ascending=False)
    if complete.empty:
        return placeholder(figure, axes, "no trial came to its end")
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
    figure, axes = panels(9, 4, columns=2)
    if epochs.empty:
        return placeholder(figure, axes[0], "no trial came to the end of an epoch")
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
        plain_log_ticks(panel)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].set_ylabel(MSE)
    axes[1].legend()
    return figure
