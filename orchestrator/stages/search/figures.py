"""The search (tables trials, trial_epochs, importances) as figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator.figures.style import (
    COLOURS,
    MSE,
    SMALL,
    STYLE,
    describe,
    drawing,
    legend_below,
    log_colours,
    panels,
    placeholder,
)

LEAST_TRIALS = 20
"""Below, what fANOVA says hangs on the seed of its forest more than on the parameters."""
PLACES: dict[float, Any] = {0: ((0, -3), "center", "top"), 1: ((0, 3), "center", "bottom")}
"""Where a name stands that is at an end of its axis."""
BOX = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.7}


@rc_context(STYLE)
def optimisation_history(trials: pd.DataFrame) -> Figure:
    """Objective of every trial in the order of the study, and the best so far (table trials).

    Trials without an end have none: they stand on the horizontal axis.
    """
    figure, axes = panels(3.6)
    complete = trials[trials["state"] == "complete"]
    if complete.empty:
        placeholder(axes, "no trial came to its end")
        return figure
    panel = axes[0]
    panel.step(complete["trial"], complete["val_mse"].cummin(), where="post", color=COLOURS[1], label="best so far")
    panel.plot(complete["trial"], complete["val_mse"], "o", color=COLOURS[0], label="trial")
    for state, marker in (("pruned", "v"), ("failed", "x")):
        some = trials.loc[trials["state"] == state, "trial"]
        if len(some):
            bottom: dict[str, Any] = {"transform": panel.get_xaxis_transform(), "clip_on": False}
            panel.plot(some, [0] * len(some), marker, color="0.4", label=f"{state}, no value", **bottom)
    title = "Search: validation error by trial"
    describe(panel, counts=True, xlabel="trial", ylabel=f"validation {MSE}", title=title, yscale="log")
    legend_below(panel, 4)
    return figure


@rc_context(STYLE)
def importances(table: pd.DataFrame, num_trials: int) -> Figure:
    """Share of each parameter in the objective's variance over so many complete trials (table importances)."""
    drawn = num_trials >= LEAST_TRIALS and not table.empty
    figure, (axes,) = panels(3.2 if drawn else 0.8)
    if not drawn:
        placeholder([axes], f"importances are drawn from {LEAST_TRIALS} complete trials on; here are {num_trials}")
        return figure
    table = table.sort_values("importance")
    bars = axes.barh(table["param"].astype(str).str.replace("_", " "), table["importance"], color=COLOURS[0])
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=SMALL)
    axes.grid(visible=False, axis="y")
    axes.set(
        xlabel="share of the variance of validation MSE (fANOVA)", xlim=(0, 1.15 * table["importance"].max() + 0.01)
    )
    axes.set_title(f"Search: parameter importances, {num_trials} trials")
    return figure


@drawing(3.8, rows="state == 'complete'", empty="no trial came to its end")
def parallel_coordinates(axes: Axes, complete: pd.DataFrame, space: Mapping[str, Sequence[Any]]) -> None:
    """Every complete trial as a line through its parameters, dark where the objective is low (table trials).

    An axis goes from one end of what was searched to the other, which `space` has by parameter.
    """
    complete = complete.sort_values("val_mse", ascending=False)
    names = [str(name).removeprefix("params_") for name in complete.columns if str(name).startswith("params_")]
    scaled = []
    for place, name in enumerate(names):
        heights, ticks = _scaled(complete[f"params_{name}"], space[name], logarithmic=name == "learning_rate")
        scaled.append(heights)
        axes.axvline(place, color="0.7", linewidth=0.8)
        for height, label in ticks:
            shift, ha, va = PLACES.get(height, ((3, 0), "left", "center"))
            where: dict[str, Any] = {"xytext": shift, "textcoords": "offset points", "ha": ha, "va": va}
            axes.annotate(label, (place, height), fontsize=SMALL, zorder=4, bbox=BOX, **where)
    errors = complete["val_mse"]
    bar = log_colours(axes, errors, f"validation {MSE}", pad=0.02)
    for line, value in zip(np.array(scaled).T, errors, strict=True):
        width, alpha = (3, 1.0) if value == errors.min() else (1.2, 0.8)
        axes.plot(range(len(names)), line, color=bar.cmap(bar.norm(value)), linewidth=width, alpha=alpha)
    axes.set_xticks(range(len(names)), [name.replace("_", "\n") for name in names])
    axes.tick_params(axis="x", length=0, pad=12)
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set(xlim=(-0.4, len(names) - 0.6), ylim=(0, 1))
    axes.set_title("Search: trials by parameter (the best one thick; ends: of the search space)", pad=18)


def _scaled(
    values: pd.Series, ends: Sequence[Any], *, logarithmic: bool
) -> tuple[pd.Series, list[tuple[float, str]]]:
    """A parameter's values from 0 to 1, and where names or numbers stand beside them."""
    if isinstance(ends[0], str):
        steps = max(1, len(ends) - 1)
        return values.astype(str).map(list(ends).index) / steps, [(n / steps, label) for n, label in enumerate(ends)]
    scale = np.log10 if logarithmic else np.asarray
    low, high = (float(scale(end)) for end in ends)
    ticks = [(0.0, f"{ends[0]:g}"), (1.0, f"{ends[1]:g}")][: 1 + (low < high)]
    return (pd.Series(scale(values)) - low) / ((high - low) or 1), ticks


@drawing(3.6, 2, empty="no trial came to the end of an epoch")
def trial_curves(axes: list[Axes], epochs: pd.DataFrame) -> None:
    """Training and validation error of every trial (table trial_epochs)."""
    best = epochs.groupby("trial")["val_mse"].last().idxmin()
    titles = {"train_mse": "Search: training error (epoch mean)", "val_mse": "Search: validation error"}
    for panel, (column, title) in zip(axes, titles.items(), strict=True):
        for trial, rows in epochs.groupby("trial"):
            look: dict[str, Any] = {"color": "0.6", "linewidth": 1}
            if trial == best:
                look = {
                    "color": COLOURS[1],
                    "linewidth": 2.2,
                    "zorder": 3,
                    "label": f"trial {best} (best)",
                }
            panel.plot(rows["epoch"], rows[column], "-o", markersize=3, **look)
        describe(panel, counts=True, xlabel="epoch", title=title, yscale="log")
    axes[0].set_ylabel(MSE)
    axes[1].legend()
