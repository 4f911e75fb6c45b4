"""The folds (tables folds, fold_epochs) as figures; among them the paper's Figure 1."""

import pandas as pd
from matplotlib.axes import Axes

from orchestrator.figures.style import COLOURS, MARKERS, MSE, describe, drawing, look

AUTHOR_FOLD_MSE = (0.0202, 0.0203, 0.0200, 0.0199, 0.0197, 0.0200)
"""Final validation error of each fold as the author's Figure 1 shows it (source: author's repository)."""


@drawing(10, 4.2, 2, empty="no fold came to the end of an epoch")
def fold_curves(axes: list[Axes], epochs: pd.DataFrame) -> None:
    """The paper's Figure 1: six folds, training and validation, the author's end values beside (fold_epochs)."""
    titles = {"train_mse": "training error (epoch mean)", "val_mse": "validation error"}
    for panel, (column, title) in zip(axes, titles.items(), strict=True):
        for fold, rows in epochs.groupby("fold"):
            panel.plot(rows["epoch"], rows[column], linewidth=1.2, label=f"fold {fold}", **look(fold))
        describe(panel, counts=True, xlabel="epoch", title=title, yscale="log")
    place = epochs["epoch"].max() * 1.06
    for fold, value in enumerate(AUTHOR_FOLD_MSE):
        hollow = {"markersize": 7, "markerfacecolor": "none", "linestyle": "none"}
        label = None if fold else "author, epoch 20 (hollow)"
        axes[1].plot(place, value, label=label, **look(fold) | hollow)
    axes[0].set_ylabel(MSE)
    axes[1].legend(ncols=2, fontsize=8)


@drawing(7, 3.5, rows="test_mse.notna()", empty="no fold came to its end")
def fold_test(axes: Axes, folds: pd.DataFrame) -> None:
    """Test error of each fold's model, with mean and standard deviation (table folds)."""
    values = folds["test_mse"]
    mean, deviation = values.mean(), values.std()
    axes.plot(folds["fold"], values, "o", color=COLOURS[0], label="fold")
    axes.axhline(mean, color=COLOURS[1], label=f"mean {mean:.5f}")
    if len(values) > 1:
        label = f"standard deviation {deviation:.5f}"
        axes.axhspan(mean - deviation, mean + deviation, color=COLOURS[1], alpha=0.15, label=label)
    describe(axes, counts=True, xlabel="fold", ylabel=f"test {MSE}", title="Test error by fold")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))


@drawing(13, 4, 2, rows="val_mse.notna() and test_mse.notna()", empty="no fold came to its end")
def fold_orders(axes: list[Axes], folds: pd.DataFrame) -> None:
    """Errors of the folds by model and order, and of the first fold by seed: what differs by chance (table folds)."""
    first = folds.iloc[0]
    usual = folds[folds["seed"] == first["seed"]]
    by_arm = usual.groupby(["model", "order"], observed=True, sort=False)
    groups = {f"{model},\n{order}".replace("_", " "): rows for (model, order), rows in by_arm}
    by_seed = folds[(folds[["model", "fold", "order"]] == first[["model", "fold", "order"]]).all(axis=1)]
    groups[f"fold {first['fold']},\nother seeds"] = by_seed
    for panel, column, title in zip(axes, ("val_mse", "test_mse"), ("validation block", "test images"), strict=True):
        for place, rows in enumerate(groups.values()):
            values, colour = rows[column], COLOURS[place % 6]
            panel.plot([place] * len(values), values, MARKERS[place % 6], color=colour, alpha=0.7, markersize=5)
            panel.plot([place - 0.25, place + 0.25], [values.mean()] * 2, color=colour, linewidth=2)
            deviation, above = f"SD {values.std():.5f}" if len(values) > 1 else "", (place, values.max())
            panel.annotate(deviation, above, xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8)
        panel.set_xticks(range(len(groups)), list(groups), fontsize=8)
        panel.margins(0.15)
        panel.set(title=f"error on the {title}", xlabel="model, order of the images (line: mean)")
    axes[0].set_ylabel(MSE)
