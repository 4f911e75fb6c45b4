"""The plane that images are laid out in (tables embeddings, embedding_points, embedding_confusion) as figures."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from orchestrator.figures import style
from orchestrator.figures.style import COLOURS, drawing
from trainables.fashion_mnist import CLASS_NAMES

SHADES = (*COLOURS, "#000000", "#F0E442", "#7F7F7F", "#8C510A")
"""Okabe and Ito's colours, with grey and brown; every class has a letter in the middle of its points besides."""
LETTERS = ("T", "Tr", "P", "D", "C", "Sa", "Sh", "Sn", "B", "A")
TITLES = {"autoencoder": "autoencoder, latent size 2", "pca": "PCA", "tsne": "t-SNE"}


@drawing(13, 5.4, len(TITLES), shared=False, empty="no point was laid out")
def planes(axes: list[Axes], points: pd.DataFrame, embeddings: pd.DataFrame) -> None:
    """Every method's plane with the classes' colours, and their letters at their medians."""
    accuracy = embeddings.drop_duplicates("method").set_index("method")["knn_accuracy"]
    for panel, (method, title) in zip(axes, TITLES.items(), strict=True):
        plane = points[points["method"] == method]
        classes = [plane[plane["label"] == label] for label in range(len(CLASS_NAMES))]
        for rows, colour in zip(classes, SHADES, strict=True):
            panel.scatter(rows["x"], rows["y"], s=3, color=colour, alpha=0.35, linewidths=0, rasterized=True)
        for rows, colour, letter in zip(classes, SHADES, LETTERS, strict=True):
            if len(rows):
                box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": colour, "alpha": 0.9}
                x, y = rows[["x", "y"]].median()
                panel.text(x, y, letter, bbox=box, fontsize=9, ha="center", va="center")
        low, high = plane[["x", "y"]].quantile(0.001), plane[["x", "y"]].quantile(0.999)
        low, high = low - (high - low) * 0.08, high + (high - low) * 0.08
        panel.set(xlim=(low["x"], high["x"]), ylim=(low["y"], high["y"]), xlabel="first coordinate")
        panel.set_title(f"{title}\n5-NN accuracy in the plane {accuracy[method]:.3f}")
    axes[0].set_ylabel("second coordinate")
    handles = [
        Line2D([], [], marker="o", color=colour, linestyle="none", label=f"{letter}  {name}")
        for colour, letter, name in zip(SHADES, LETTERS, CLASS_NAMES, strict=True)
    ]
    axes[0].figure.legend(handles=handles, loc="outside lower center", ncols=5)


def confusions(confusion: pd.DataFrame) -> Figure:
    """What each class's points have around them in each plane (table embedding_confusion)."""
    tables = {title: confusion[confusion["method"] == method] for method, title in TITLES.items()}
    return style.confusions(15, tables, "right", "no point was laid out")
