"""The plane that images are laid out in (tables embeddings, embedding_points, embedding_confusion) as figures."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from orchestrator.figures.style import COLOURS, STYLE, placeholder, show_confusion
from trainables.fashion_mnist import CLASS_NAMES

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
SHADES = (*COLOURS, "#000000", "#F0E442", "#7F7F7F", "#8C510A")
"""Okabe and Ito's colours, with grey and brown; every class has a letter in the middle of its points besides."""
LETTERS = ("T", "Tr", "P", "D", "C", "Sa", "Sh", "Sn", "B", "A")
TITLES = {"autoencoder": "autoencoder, latent size 2", "pca": "PCA", "tsne": "t-SNE"}


@rc_context(STYLE)
def planes(points: pd.DataFrame, embeddings: pd.DataFrame) -> Figure:
    """Every method's plane with the classes' colours, and their letters at their medians."""
    figure = Figure(figsize=(13, 5.4), layout="constrained")
    axes = list(figure.subplots(1, len(TITLES)))
    if points.empty:
        return placeholder(figure, axes[0], "no point was laid out")
    accuracy = embeddings.set_index("method")["knn_accuracy"]
    for panel, (method, title) in zip(axes, TITLES.items(), strict=True):
        rows = points[points["method"] == method]
        for label in range(len(CLASS_NAMES)):
            some = rows[rows["label"] == label]
            panel.scatter(some["x"], some["y"], s=3, color=SHADES[label], alpha=0.35, linewidths=0, rasterized=True)
        for label in range(len(CLASS_NAMES)):
            some = rows[rows["label"] == label]
            if len(some):
                box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": SHADES[label], "alpha": 0.9}
                middle = some[["x", "y"]].median()
                panel.text(*middle, LETTERS[label], bbox=box, fontsize=9, ha="center", va="center")
        low, high = rows[["x", "y"]].quantile(0.001), rows[["x", "y"]].quantile(0.999)
        margin = (high - low) * 0.08
        panel.set(
            xlim=(low["x"] - margin["x"], high["x"] + margin["x"]),
            ylim=(low["y"] - margin["y"], high["y"] + margin["y"]),
            title=f"{title}\n5-NN accuracy in the plane {accuracy[method]:.3f}",
            xlabel="first coordinate",
            ylabel="second coordinate" if panel is axes[0] else "",
        )
    handles = [
        Line2D([], [], marker="o", color=SHADES[label], linestyle="none", label=f"{LETTERS[label]}  {name}")
        for label, name in enumerate(CLASS_NAMES)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=5)
    return figure


@rc_context(STYLE)
def confusions(confusion: pd.DataFrame) -> Figure:
    """What each class's points have around them in each plane (table embedding_confusion)."""
    figure = Figure(figsize=(15, 5.4), layout="constrained")
    axes = list(figure.subplots(1, len(TITLES)))
    for panel, (method, title) in zip(axes, TITLES.items(), strict=True):
        rows = confusion[confusion["method"] == method]
        if rows.empty:
            placeholder(figure, panel, "no point was laid out")
            continue
        matrix = rows.pivot(index="label", columns="predicted", values="count").to_numpy()
        show_confusion(panel, matrix)
        panel.set_title(f"{title}: {np.trace(matrix) / matrix.sum():.3f} right")
    axes[0].set_ylabel("true class")
    return figure
