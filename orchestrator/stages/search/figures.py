"""The search (tables trials, trial_epochs, importances) as figures."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator.figures.style import COLOURS, MSE, STYLE, describe, drawing, log_colours, panels, placeholder


@rc_context(STYLE)
def optimisation_history(trials: pd.DataFrame) -> Figure:
    """Objective of every trial in the order of the study, and the best so far (table trials)."""
    figure, (axes,) = panels(7, 4)
    complete = trials[trials["state"] == "complete"]
    if complete.empty:
        return placeholder(figure, axes, "no trial came to its end")
    axes.plot(complete["trial"], complete["val_mse"], "o", color=COLOURS[0], label="trial")
    axes.step(complete["trial"], complete["val_mse"].cummin(), where="post", color=COLOURS[1], label="best so far")
    for state, marker in (("pruned", "v"), ("failed", "x")):
        some = trials[trials["state"] == state]
        if len(some):
            bottom = np.full(len(some), complete["val_mse"].min())
            axes.plot(some["trial"], bottom, marker, color="0.4", label=state)
    title = "Optimisation history"
    describe(axes, counts=True, xlabel="trial", ylabel=f"validation {MSE}", title=title, yscale="log")
    axes.legend()
    return figure


@drawing(7, 3.5, empty="too few complete trials for fANOVA")
def importances(axes: Axes, table: pd.DataFrame) -> None:
    """Share of each parameter in the objective's variance (table importances)."""
    table = table.sort_values("importance")
    bars = axes.barh(table["param"].astype(str), table["importance"], color=COLOURS[0])
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set(xlabel="share of the variance of validation MSE (fANOVA)", title="Parameter importances", xlim=(0, 1))


@drawing(10, 4.5, rows="state == 'complete'", empty="no trial came to its end")
def parallel_coordinates(axes: Axes, complete: pd.DataFrame) -> None:
    """Every complete trial as a line through its parameters, dark where the objective is low (table trials)."""
    complete = complete.sort_values("val_mse", ascending=False)
    names = [str(name) for name in complete.columns if str(name).startswith("params_")]
    scaled = []
    for place, name in enumerate(names):
        heights, ticks = _scaled(complete[name], logarithmic=name == "params_learning_rate")
        scaled.append(heights)
        axes.axvline(place, color="0.7", linewidth=0.8)
        for height, label in ticks:
            axes.annotate(label, (place, height), xytext=(4, 2), textcoords="offset points", fontsize=8)
    errors = complete["val_mse"]
    bar = log_colours(axes, errors, f"validation {MSE}", pad=0.02, format="%.3f")
    for line, value in zip(np.array(scaled).T, errors, strict=True):
        width, alpha = (3, 1.0) if value == errors.min() else (1.2, 0.8)
        axes.plot(range(len(names)), line, color=bar.cmap(bar.norm(value)), linewidth=width, alpha=alpha)
    axes.set_xticks(range(len(names)), [name.removeprefix("params_").replace("_", "\n") for name in names])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    axes.set(title="Trials by parameter (the best one drawn thick)", xlim=(-0.1, len(names) - 0.6))


def _scaled(values: pd.Series, *, logarithmic: bool) -> tuple[pd.Series, list[tuple[float, str]]]:
    """A parameter's values from 0 to 1, and where names or numbers stand beside them."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        labels = sorted(values.astype(str).unique())
        steps = max(1, len(labels) - 1)
        return values.astype(str).map(labels.index) / steps, [(n / steps, label) for n, label in enumerate(labels)]
    numbers = np.log10(values) if logarithmic else values.astype(float)
    low, high = numbers.min(), numbers.max()
    form = ".2g" if logarithmic else ".0f"
    if low == high:
        return numbers * 0 + 0.5, [(0.5, f"{values.min():{form}}")]
    return (numbers - low) / (high - low), [(0.0, f"{values.min():{form}}"), (1.0, f"{values.max():{form}}")]


@drawing(9, 4, 2, empty="no trial came to the end of an epoch")
def trial_curves(axes: list[Axes], epochs: pd.DataFrame) -> None:
    """Training and validation error of every trial (table trial_epochs)."""
    best = epochs.groupby("trial")["val_mse"].last().idxmin()
    for panel, column, title in zip(axes, ("train_mse", "val_mse"), ("training", "validation"), strict=True):
        for trial, rows in epochs.groupby("trial"):
            look: dict[str, Any] = {"color": "0.6", "linewidth": 1}
            if trial == best:
                look = {"color": COLOURS[1], "linewidth": 2.2, "zorder": 3, "label": f"trial {best} (best)"}
            panel.plot(rows["epoch"], rows[column], "-o", markersize=3, **look)
        describe(panel, counts=True, xlabel="epoch", title=f"{title} error", yscale="log")
    axes[0].set_ylabel(MSE)
    axes[1].legend()
