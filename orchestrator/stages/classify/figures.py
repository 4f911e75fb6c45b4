"""Classification of latent vectors and raw images (tables classifiers, classifier_epochs, confusion) as figures."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator.figures.names import CLASSIFIERS
from orchestrator.figures.names import INPUTS as GIVEN
from orchestrator.figures.style import COLOURS, SMALL, confusions, describe, drawing, legend_below, margin

AUTHOR_LOSS = {2: (1.03, 0.436), 6: (0.672, 0.433), 15: (0.596, 0.427), 20: (0.590, 0.431)}
"""Cross-entropy of the author's MLPs after 50 epochs, latent and raw, by latent size (source: his repository)."""
INPUTS = {"latent": {"color": COLOURS[0], "marker": "o"}, "raw": {"color": COLOURS[1], "marker": "s"}}
LINES = {"cnn": "-", "mlp": "--", "linear": ":", "own": "-."}
NO_EPOCH = "no classifier came to the end of an epoch"


@drawing(4.2, 2, shared=False, empty=NO_EPOCH)
def learning_curves(axes: list[Axes], epochs: pd.DataFrame, *, with_author: bool) -> None:
    """Test cross-entropy and accuracy by epoch, latent beside raw; every seed a line (table classifier_epochs).

    The author's MLPs stand in the margin or not, whose latent vectors have so many numbers as stands there.
    """
    left, right = axes
    _draw_arms(left, epochs, "test_loss", lambda rows: rows["epoch"])
    _draw_arms(right, epochs, "test_accuracy", lambda rows: rows["epoch"])
    strip = margin(left, "author's\nMLPs,\nepoch 50") if with_author else left
    for size, losses in AUTHOR_LOSS.items() if with_author else ():
        for kind, loss in zip(INPUTS, losses, strict=True):
            strip.plot(-0.7, loss, "D", markersize=4, color=INPUTS[kind]["color"], markerfacecolor="none")
        if size != 15:
            text = "15, 20" if size == 20 else str(size)
            strip.annotate(text, (-0.35, losses[0]), fontsize=SMALL, va="center")
    describe(
        left, counts=True, xlabel="epoch", ylabel="cross-entropy (nat)", title="test cross-entropy", yscale="log"
    )
    describe(right, counts=True, xlabel="epoch", ylabel="share of test images", title="test accuracy")
    legend_below(left, 2)


@drawing(4, empty=NO_EPOCH)
def accuracy_by_time(axes: Axes, epochs: pd.DataFrame, classifiers: pd.DataFrame) -> None:
    """Test accuracy by seconds of training, encoding included (tables classifier_epochs, classifiers)."""
    encoding = classifiers.groupby("input", observed=True)["encode_seconds"].max()
    _draw_arms(axes, epochs, "test_accuracy", lambda rows: rows["seconds"].cumsum() + encoding[rows["input"].iloc[0]])
    title = "Accuracy by training time; marks: ends of epochs"
    seconds = "seconds on one slot, the encoding of latent vectors included"
    describe(axes, title=title, xlabel=seconds, ylabel="test accuracy", xscale="log")
    legend_below(axes, 2)


def confusion_matrices(confusion: pd.DataFrame, names: Sequence[str]) -> Figure:
    """What the two CNNs take each class for, of classes with these names (table confusion)."""
    cnn = confusion[confusion["architecture"] == "cnn"]
    tables = {f"CNN of {GIVEN[kind]}": cnn[cnn["input"] == kind] for kind in INPUTS}
    return confusions(4.2, tables, names, "of the test images right", "no CNN came to its end")


def _draw_arms(panel: Axes, epochs: pd.DataFrame, column: str, across: Callable[[pd.DataFrame], pd.Series]) -> None:
    """A line for every input, architecture and seed, told apart by colour and mark, by dashes, and not."""
    for (kind, architecture), arm in epochs.groupby(["input", "architecture"], observed=True, sort=False):
        for number, (_, rows) in enumerate(arm.groupby("seed")):
            look: dict[str, Any] = INPUTS[str(kind)] | {"linewidth": 1.3, "markersize": 4}
            every, label = (
                max(1, len(rows) // 8),
                None if number else f"{GIVEN[str(kind)]}, {CLASSIFIERS[str(architecture)]}",
            )
            panel.plot(across(rows), rows[column], LINES[str(architecture)], label=label, markevery=every, **look)
