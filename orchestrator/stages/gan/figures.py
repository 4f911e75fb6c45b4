"""The two games (tables gans, gan_epochs) as figures."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator.figures.names import ARMS
from orchestrator.figures.style import (
    COLOURS,
    STYLE,
    describe,
    drawing,
    legend_below,
    log_colours,
    panels,
    placeholder,
)

LOSSES = {"minimax": (COLOURS[1], "s"), "non_saturating": (COLOURS[0], "o")}
NO_EPOCH = "no GAN came to the end of an epoch"


@drawing(3.8, 2, empty=NO_EPOCH)
def distance(axes: list[Axes], epochs: pd.DataFrame, floor: float) -> None:
    """Distance from the held-out images by epoch, an arm a panel, and the floor (table gan_epochs)."""
    title = "GANs: distance from held-out images"
    _by_epoch(
        axes, epochs, "val_frechet_distance", "Fr\N{LATIN SMALL LETTER E WITH ACUTE}chet distance", title, floor
    )


@drawing(3.8, 2, empty=NO_EPOCH)
def weight_gradients(axes: list[Axes], epochs: pd.DataFrame) -> None:
    """Norm of the generator's gradient in its weights by epoch, an arm a panel (table gan_epochs)."""
    _by_epoch(axes, epochs, "g_weight_grad", "norm, mean over the steps", "GANs: generator's gradient in its weights")


def _by_epoch(
    axes: list[Axes], epochs: pd.DataFrame, column: str, ylabel: str, title: str, floor: float | None = None
) -> None:
    """Mean and range over seeds of a column, by epoch, on a logarithmic scale."""
    arms = _arms(epochs)
    for panel, (arm, rows) in zip(axes, arms, strict=False):
        for loss, (colour, marker) in LOSSES.items():
            values = rows[rows["loss"] == loss].groupby("epoch")[column]
            mean, label = values.mean(), loss.replace("_", "-")
            panel.plot(mean.index, mean, color=colour, marker=marker, markersize=4, label=label)
            if values.size().max() > 1:
                band: dict[str, Any] = {"color": colour, "alpha": 0.2, "label": f"{label}, range over seeds"}
                panel.fill_between(mean.index, values.min(), values.max(), **band)
        if floor is not None:
            panel.axhline(floor, color="0.3", linestyle="--", label="floor: training from test images")
        describe(panel, counts=True, xlabel="epoch", title=ARMS[arm], yscale="log")
    axes[0].set_ylabel(ylabel)
    axes[0].figure.suptitle(title)
    for empty in axes[len(arms) :]:
        empty.set_axis_off()
    legend_below(max(axes, key=lambda panel: len(panel.get_legend_handles_labels()[0])), 2)


def _arms(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each arm that is there."""
    return [(arm, table[table["arm"] == arm]) for arm in ARMS if (table["arm"] == arm).any()]


@drawing(5, 4, empty=NO_EPOCH)
def probabilities(axes: list[Axes], epochs: pd.DataFrame) -> None:
    """d(x) and d(g(z)) by epoch, every seed a line, with the game's equilibrium at 1/2 (table gan_epochs)."""
    games = [(arm, loss, rows[rows["loss"] == loss]) for arm, rows in _arms(epochs) for loss in LOSSES]
    curves = (("d_real", "d(x), real images", "-", COLOURS[2]), ("d_fake", "d(g(z)), generated", "--", COLOURS[3]))
    for empty in axes[len(games) :]:
        empty.set_axis_off()
    for panel, (arm, loss, of_game) in zip(axes, games, strict=False):
        panel.axhline(0.5, color="0.3", linewidth=0.8, label="equilibrium")
        for column, name, line, colour in curves:
            for number, (_, rows) in enumerate(of_game.groupby("seed")):
                look: dict[str, Any] = {"color": colour, "marker": "o" if len(rows) < 10 else None, "markersize": 3}
                panel.plot(rows["epoch"], rows[column], line, label=None if number else name, **look)
        title = f"{ARMS[arm]}, {loss.replace('_', '-')}"
        describe(panel, counts=True, xlabel="epoch", title=title, ylim=(0, 1))
    axes[0].figure.suptitle("GANs: what the discriminator makes of images")
    axes[0].figure.supylabel("mean probability of being real", fontsize=9)
    legend_below(max(axes, key=lambda panel: len(panel.lines)), 3)


@rc_context(STYLE)
def trial_losses(trials: pd.DataFrame) -> Figure:
    """The players' losses in the last epoch, every trial a mark coloured by its distance (table gan_trials)."""
    complete = trials.dropna(subset=["val_frechet_distance"])
    names = [loss for loss in LOSSES if (complete["loss"] == loss).any()]
    figure, axes = panels(3.8, max(1, len(names)), shared=False)
    if complete.empty:
        placeholder(axes, "no trial came to its end")
        return figure
    title = "Fr\N{LATIN SMALL LETTER E WITH ACUTE}chet distance from validation images"
    bar = log_colours(axes, complete["val_frechet_distance"], title)
    for panel, loss in zip(axes, names, strict=True):
        rows = complete[complete["loss"] == loss]
        best = rows.loc[[rows["val_frechet_distance"].idxmin()]]
        panel.scatter(
            best["d_loss"], best["g_loss"], s=160, facecolors="none", edgecolors="0.2", label="nearest trial"
        )
        colours: dict[str, Any] = {"c": rows["val_frechet_distance"], "norm": bar.norm, "cmap": bar.cmap}
        panel.scatter(rows["d_loss"], rows["g_loss"], marker=LOSSES[loss][1], **colours)
        panel.set(xlabel="discriminator's loss (nat)", title=loss.replace("_", "-"))
    axes[0].set_ylabel("generator's loss (nat)")
    legend_below(axes[0], 1)
    return figure


@drawing(4.2, empty=NO_EPOCH)
def gradients(axes: Axes, epochs: pd.DataFrame) -> None:
    """Size of the generator's gradient in the logit against d, measured and in theory (table gan_epochs)."""
    d = np.linspace(0, 1, 101)
    for loss, (colour, marker) in LOSSES.items():
        name, rows = loss.replace("_", "-"), epochs[epochs["loss"] == loss]
        theory, formula = (d, "d") if loss == "minimax" else (1 - d, "1 \N{MINUS SIGN} d")
        axes.plot(d, theory, color=colour, linewidth=1, label=f"{name}, at a given d: {formula}")
        look: dict[str, Any] = {"color": colour, "alpha": 0.6, "label": f"{name}, mean of an epoch"}
        axes.plot(rows["d_fake"], rows["g_logit_grad"], marker, **look)
    axes.axvline(0.5, color="0.3", linewidth=0.8, linestyle=":")
    axes.set(xlabel="d(g(z)) in the discriminator's step, mean of an epoch", xlim=(0, 1), ylim=(0, 1))
    axes.set(ylabel="size of the gradient in the logit", title="GANs: what each loss tells the generator")
    legend_below(axes, 2)
