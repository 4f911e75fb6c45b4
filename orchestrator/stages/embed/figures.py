"""The plane that images are laid out in (tables embeddings, embedding_points, embedding_confusion) as figures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from orchestrator.figures import style
from orchestrator.figures.style import COLOURS, SMALL, class_colours, drawing
from orchestrator.figures.tiles import plain
from trainables.fashion_mnist import CLASS_NAMES

LETTERS = dict(zip(CLASS_NAMES, ("T", "Tr", "P", "D", "C", "Sa", "Sh", "Sn", "B", "A"), strict=True))
"""What stands in planes for long names; for others their number."""
MOST_IN_A_COLUMN = 16
"""Names of classes."""
TITLES = {"autoencoder": "autoencoder, latent size 2", "pca": "PCA", "tsne": "t-SNE"}


@drawing(6.6, len(TITLES), shared=False, empty="no point was laid out")
def planes(
    axes: list[Axes], points: pd.DataFrame, embeddings: pd.DataFrame, variance: float, names: Sequence[str]
) -> None:
    """Every method's plane with the classes' colours, if there are any, and their letters near their medians.

    One unit is as long in either direction; points lie in a mixed order, so that no class covers another.

    Args:
        axes: one for each method, and one for the classes' names.
        points: the table embedding_points.
        embeddings: the table of that name.
        variance: of the images, the sum over their pixels, which PCA's axes have shares of.
        names: of the classes.
    """
    colours, letters = class_colours(len(names)), _letters(names)
    accuracy = embeddings.drop_duplicates("method").set_index("method")["knn_accuracy"]
    for panel, (method, title) in zip(axes, TITLES.items(), strict=False):
        plane = points[points["method"] == method].sample(frac=1, random_state=0)
        own = [colours[label] for label in plane["label"]] if names else COLOURS[0]
        panel.scatter(plane["x"], plane["y"], s=2.5, c=own, alpha=0.5, linewidths=0, rasterized=True)
        panel.set_aspect("equal", adjustable="datalim")
        medians = plane.groupby("label")[["x", "y"]].median()
        box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.9}
        span = float((plane[["x", "y"]].max() - plane[["x", "y"]].min()).max())
        for label, (x, y) in zip(medians.index, _apart(medians.to_numpy(), 0.085 * span), strict=True):
            edge = {"bbox": box | {"edgecolor": colours[label]}}
            panel.text(x, y, plain(letters[label]), fontsize=SMALL, ha="center", va="center", **edge)
        panel.grid(visible=False)
        panel.set_title(f"{title}\n5-NN accuracy in the plane {accuracy[method]:.3f}" if names else title)
        if method == "pca":
            for axis, column, which in ((panel.xaxis, "x", "first"), (panel.yaxis, "y", "second")):
                share = plane[column].var(ddof=0) / variance
                axis.set_label_text(f"{which} component, {100 * share:.0f} % of the variance")
        else:
            panel.set(xticks=[], yticks=[], xlabel="arbitrary units")
    handles = [
        Line2D([], [], marker="o", color=colour, linestyle="none", label=plain(f"{letter}  {name}"))
        for colour, letter, name in zip(colours, letters, names, strict=True)
    ]
    if names:
        columns = -(-len(names) // MOST_IN_A_COLUMN)
        axes[-1].legend(
            handles=handles, loc="center", fontsize=9 if columns == 1 else 5, ncols=columns, title="class"
        )


def _letters(names: Sequence[str]) -> list[str]:
    """What stands in a plane for each class."""
    return [LETTERS.get(name) or (name if len(name) <= 2 else str(number)) for number, name in enumerate(names)]


def _apart(places: NDArray[Any], least: float) -> NDArray[Any]:
    """Places of shape (n, 2), moved until each is about so far from the next."""
    for _ in range(200):
        away = places[:, None] - places
        distance = np.maximum(np.hypot(*away.T).T, 1e-9)
        places = places + (away * (np.maximum(least - distance, 0) / distance / 2)[..., None]).sum(axis=1)
    return places


def confusions(confusion: pd.DataFrame, names: Sequence[str]) -> Figure:
    """What each class's points have around them in each plane (table embedding_confusion)."""
    tables = {title: confusion[confusion["method"] == method] for method, title in TITLES.items()}
    return style.confusions(7, tables, names, "of the test images right", "no point was laid out")
