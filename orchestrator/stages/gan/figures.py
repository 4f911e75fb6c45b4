"""The two games (tables gans, gan_epochs) as figures."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from orchestrator.figures.style import COLOURS, STYLE, panels, placeholder, plain_log_ticks

LOSSES = {"minimax": (COLOURS[1], "s"), "non_saturating": (COLOURS[0], "o")}


@rc_context(STYLE)
def distance(epochs: pd.DataFrame, floor: float) -> Figure:
    """Distance from the real images by epoch, mean and range over seeds, and the floor (table gan_epochs)."""
    figure, (axes,) = panels(8, 4.4)
    if epochs.empty:
        return placeholder(figure, axes, "no GAN came to the end of an epoch")
    for loss, (colour, marker) in LOSSES.items():
        values = epochs[epochs["loss"] == loss].groupby("epoch")["frechet_distance"]
        if len(values):
            mean = values.mean()
            axes.plot(mean.index, mean, color=colour, marker=marker, markersize=4, label=loss.replace("_", "-"))
            axes.fill_between(mean.index, values.min(), values.max(), color=colour, alpha=0.2)
    axes.axhline(floor, color="0.3", linestyle="--", label="training images (the floor)")
    axes.set(
        xlabel="epoch",
        ylabel="Frechet distance in the classifier's features",
        title="Distance of generated from test images (bands: range over seeds)",
        yscale="log",
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    plain_log_ticks(axes)
    axes.legend()
    return figure


@rc_context(STYLE)
def probabilities(epochs: pd.DataFrame) -> Figure:
    """d(x) and d(g(z)) by epoch, every seed a line, with the game's equilibrium at 1/2 (table gan_epochs)."""
    figure, axes = panels(9, 4, columns=2)
    if epochs.empty:
        return placeholder(figure, axes[0], "no GAN came to the end of an epoch")
    for panel, loss in zip(axes, LOSSES, strict=True):
        panel.axhline(0.5, color="0.3", linewidth=0.8)
        for number, (_, rows) in enumerate(epochs[epochs["loss"] == loss].groupby("seed")):
            for column, label, line in (("d_real", "d(x), real", "-"), ("d_fake", "d(g(z)), generated", "--")):
                panel.plot(
                    rows["epoch"],
                    rows[column],
                    line,
                    color=LOSSES[loss][0],
                    marker="." if len(rows) == 1 else None,
                    label=label if number == 0 else None,
                )
        panel.set(xlabel="epoch", title=loss.replace("_", "-"), ylim=(0, 1))
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        if panel.get_legend_handles_labels()[0]:
            panel.legend()
    axes[0].set_ylabel("probability of being real")
    return figure


@rc_context(STYLE)
def trial_losses(trials: pd.DataFrame) -> Figure:
    """The players' losses in the last epoch, every trial a mark coloured by its distance (table gan_trials)."""
    complete = trials.dropna(subset=["val_frechet_distance"])
    names = [loss for loss in LOSSES if (complete["loss"] == loss).any()]
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = list(figure.subplots(1, max(1, len(names)), squeeze=False)[0])
    if complete.empty:
        return placeholder(figure, axes[0], "no trial came to its end")
    distances = complete["val_frechet_distance"]
    norm = LogNorm(distances.min(), max(distances.max(), distances.min() * 1.001))
    for panel, loss in zip(axes, names, strict=True):
        rows = complete[complete["loss"] == loss]
        best = rows.loc[[rows["val_frechet_distance"].idxmin()]]
        panel.scatter(best["d_loss"], best["g_loss"], s=160, facecolors="none", edgecolors="0.2", label="best trial")
        colours = {"c": rows["val_frechet_distance"], "norm": norm, "cmap": "viridis"}
        marks = panel.scatter(rows["d_loss"], rows["g_loss"], marker=LOSSES[loss][1], **colours)
        panel.set(xlabel="discriminator's loss (nat)", title=loss.replace("_", "-"))
        panel.legend()
    axes[0].set_ylabel("generator's loss (nat)")
    bar = figure.colorbar(marks, ax=axes, label="Frechet distance from validation images", format="%.3g")
    bar.ax.minorticks_off()
    bar.set_ticks(list(np.geomspace(norm.vmin or 0.0, norm.vmax or 1.0, 5)))
    return figure


@rc_context(STYLE)
def gradients(epochs: pd.DataFrame) -> Figure:
    """Size of the generator's gradient in the logit against d, measured and in theory (table gan_epochs)."""
    figure, (axes,) = panels(7, 4.4)
    if epochs.empty:
        return placeholder(figure, axes, "no GAN came to the end of an epoch")
    d = np.linspace(0, 1, 101)
    for loss, (colour, marker) in LOSSES.items():
        theory = d if loss == "minimax" else 1 - d
        name = "d" if loss == "minimax" else "1 - d"
        axes.plot(d, theory, color=colour, linewidth=1, label=f"{loss.replace('_', '-')}, theory: {name}")
        rows = epochs[epochs["loss"] == loss]
        if len(rows):
            axes.plot(rows["d_fake"], rows["g_logit_grad"], marker, color=colour, alpha=0.6, markersize=5)
    axes.axvline(0.5, color="0.3", linewidth=0.8, linestyle=":")
    axes.set(
        xlabel="d(g(z)), mean of an epoch",
        ylabel="size of the gradient in the logit",
        title="What the generator is told by each loss (marks: epochs)",
        xlim=(0, 1),
        ylim=(0, 1),
    )
    axes.legend()
    return figure
