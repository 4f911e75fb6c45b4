"""The two games (tables gans, gan_epochs) as figures."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator.figures.style import COLOURS, STYLE, describe, drawing, log_colours, panels, placeholder

LOSSES = {"minimax": (COLOURS[1], "s"), "non_saturating": (COLOURS[0], "o")}
ARMS = ("paper", "tuned")
NO_EPOCH = "no GAN came to the end of an epoch"


@drawing(9, 4.4, 2, empty=NO_EPOCH)
def distance(axes: list[Axes], epochs: pd.DataFrame, floor: float) -> None:
    """Distance from the held-out images by epoch, an arm a panel, and the floor (table gan_epochs)."""
    title = "{} recipe: distance from held-out images"
    _by_epoch(axes, epochs, "val_frechet_distance", "Frechet distance in the classifier's features", title, floor)


@drawing(9, 4.4, 2, empty=NO_EPOCH)
def weight_gradients(axes: list[Axes], epochs: pd.DataFrame) -> None:
    """Norm of the generator's gradient in its weights by epoch, an arm a panel (table gan_epochs)."""
    _by_epoch(axes, epochs, "g_weight_grad", "norm of the gradient in the weights", "{} recipe: generator's gradient")


def _by_epoch(
    axes: list[Axes], epochs: pd.DataFrame, column: str, ylabel: str, title: str, floor: float | None = None
) -> None:
    """Mean and range over seeds of a column, by epoch, on a logarithmic scale."""
    for panel, (arm, rows) in zip(axes, _arms(epochs), strict=True):
        for loss, (colour, marker) in LOSSES.items():
            values = rows[rows["loss"] == loss].groupby("epoch")[column]
            if len(values):
                mean = values.mean()
                panel.plot(mean.index, mean, color=colour, marker=marker, markersize=4, label=loss.replace("_", "-"))
                panel.fill_between(mean.index, values.min(), values.max(), color=colour, alpha=0.2)
        if floor is not None:
            panel.axhline(floor, color="0.3", linestyle="--", label="training images (the floor)")
        describe(panel, counts=True, xlabel="epoch", title=title.format(arm), yscale="log")
        if panel.get_legend_handles_labels()[0]:
            panel.legend(title="bands: range over seeds")
    axes[0].set_ylabel(ylabel)


def _arms(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each arm."""
    return [(arm, table[table["arm"] == arm]) for arm in ARMS]


@drawing(14, 4, 4, empty=NO_EPOCH)
def probabilities(axes: list[Axes], epochs: pd.DataFrame) -> None:
    """d(x) and d(g(z)) by epoch, every seed a line, with the game's equilibrium at 1/2 (table gan_epochs)."""
    games = [(arm, loss, rows[rows["loss"] == loss]) for arm, rows in _arms(epochs) for loss in LOSSES]
    for panel, (arm, loss, of_game) in zip(axes, games, strict=True):
        panel.axhline(0.5, color="0.3", linewidth=0.8)
        for number, (_, rows) in enumerate(of_game.groupby("seed")):
            look: dict[str, Any] = {"color": LOSSES[loss][0], "marker": "." if len(rows) == 1 else None}
            for column, name, line in (("d_real", "d(x), real", "-"), ("d_fake", "d(g(z)), generated", "--")):
                panel.plot(rows["epoch"], rows[column], line, label=None if number else name, **look)
        describe(panel, counts=True, xlabel="epoch", title=f"{arm}, {loss.replace('_', '-')}", ylim=(0, 1))
        if panel.get_legend_handles_labels()[0]:
            panel.legend()
    axes[0].set_ylabel("probability of being real")


@rc_context(STYLE)
def trial_losses(trials: pd.DataFrame) -> Figure:
    """The players' losses in the last epoch, every trial a mark coloured by its distance (table gan_trials)."""
    complete = trials.dropna(subset=["val_frechet_distance"])
    names = [loss for loss in LOSSES if (complete["loss"] == loss).any()]
    figure, axes = panels(9, 4, max(1, len(names)), shared=False)
    if complete.empty:
        return placeholder(figure, axes[0], "no trial came to its end")
    title = "Frechet distance from validation images"
    bar = log_colours(axes, complete["val_frechet_distance"], title, format="%.3g")
    for panel, loss in zip(axes, names, strict=True):
        rows = complete[complete["loss"] == loss]
        best = rows.loc[[rows["val_frechet_distance"].idxmin()]]
        panel.scatter(best["d_loss"], best["g_loss"], s=160, facecolors="none", edgecolors="0.2", label="best trial")
        colours: dict[str, Any] = {"c": rows["val_frechet_distance"], "norm": bar.norm, "cmap": bar.cmap}
        panel.scatter(rows["d_loss"], rows["g_loss"], marker=LOSSES[loss][1], **colours)
        panel.set(xlabel="discriminator's loss (nat)", title=loss.replace("_", "-"))
        panel.legend()
    axes[0].set_ylabel("generator's loss (nat)")
    return figure


@drawing(7, 4.4, empty=NO_EPOCH)
def gradients(axes: Axes, epochs: pd.DataFrame) -> None:
    """Size of the generator's gradient in the logit against d, measured and in theory (table gan_epochs)."""
    d = np.linspace(0, 1, 101)
    for loss, (colour, marker) in LOSSES.items():
        theory, name = (d, "d") if loss == "minimax" else (1 - d, "1 - d")
        axes.plot(d, theory, color=colour, linewidth=1, label=f"{loss.replace('_', '-')}, theory: {name}")
        rows = epochs[epochs["loss"] == loss]
        if len(rows):
            axes.plot(rows["d_fake"], rows["g_logit_grad"], marker, color=colour, alpha=0.6, markersize=5)
    axes.axvline(0.5, color="0.3", linewidth=0.8, linestyle=":")
    axes.set(xlabel="d(g(z)), mean of an epoch", ylabel="size of the gradient in the logit", xlim=(0, 1), ylim=(0, 1))
    axes.set_title("What the generator is told by each loss (marks: epochs)")
    axes.legend()
