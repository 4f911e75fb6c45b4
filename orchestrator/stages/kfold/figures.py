"""The folds (tables folds, fold_epochs) as figures; among them the paper's Figure 1."""

import pandas as pd
from matplotlib.axes import Axes

from orchestrator.figures.names import MODELS
from orchestrator.figures.style import (
    COLOURS,
    MARKERS,
    MSE,
    SMALL,
    describe,
    drawing,
    legend_below,
    look,
    margin,
)

AUTHOR_FOLD_MSE = (0.0202, 0.0203, 0.0200, 0.0199, 0.0197, 0.0200)
"""Final validation error of each fold as the author's Figure 1 shows it (source: author's repository)."""


@drawing(4, 2, empty="no fold came to the end of an epoch")
def fold_curves(axes: list[Axes], epochs: pd.DataFrame, model: str, *, with_author: bool) -> None:
    """The paper's Figure 1: folds, training and validation, its end values in the margin or not (fold_epochs)."""
    titles = {"train_mse": "training error (epoch mean)", "val_mse": "validation error"}
    for panel, (column, title) in zip(axes, titles.items(), strict=True):
        for fold, rows in epochs.groupby("fold"):
            panel.plot(rows["epoch"], rows[column], linewidth=1.2, label=f"fold {fold}", **look(fold))
        panel.set(xlabel="epoch", title=title)
    strip = margin(axes[1], "Figure 1,\nepoch 20") if with_author else axes[1]
    for fold, value in enumerate(AUTHOR_FOLD_MSE if with_author else ()):
        strip.plot((fold - 2.5) / 3.5, value, **look(fold) | {"markersize": 6, "markerfacecolor": "none"})
    for panel in axes:
        describe(panel, counts=True, yscale="log")
    axes[0].set_ylabel(MSE)
    axes[0].figure.suptitle(f"Folds of {MODELS[model]}")
    legend_below(axes[0], 6, columnspacing=1.2)


@drawing(3.4, rows="test_mse.notna()", empty="no fold came to its end")
def fold_test(axes: Axes, folds: pd.DataFrame, model: str) -> None:
    """Test error of each fold's model, with mean and standard deviation (table folds)."""
    values = folds["test_mse"]
    mean, deviation = values.mean(), values.std()
    axes.axhline(mean, color=COLOURS[1], label=f"mean {mean:.5f}")
    if len(values) > 1:
        label = f"mean \N{PLUS-MINUS SIGN} standard deviation {deviation:.5f}"
        axes.axhspan(mean - deviation, mean + deviation, color=COLOURS[1], alpha=0.15, label=label)
    axes.plot(folds["fold"], values, "o", color=COLOURS[0], label="fold")
    title = f"Test error of the folds of {MODELS[model]}"
    describe(axes, counts=True, xlabel="fold", ylabel=f"test {MSE}", title=title)
    legend_below(axes, 3)


@drawing(4, 2, rows="val_mse.notna() and test_mse.notna()", empty="no fold came to its end")
def fold_orders(axes: list[Axes], folds: pd.DataFrame) -> None:
    """Errors of the folds by model and order, and of the first fold by seed: what differs by chance (table folds)."""
    first = folds.iloc[0]
    usual = folds[folds["seed"] == first["seed"]]
    by_arm = usual.groupby(["model", "order"], observed=True, sort=False)
    groups = {f"{MODELS[model]},\n{order.replace('_', ' ')}": rows for (model, order), rows in by_arm}
    by_seed = folds[(folds[["model", "fold", "order"]] == first[["model", "fold", "order"]]).all(axis=1)]
    if len(by_seed) > 1:
        groups[f"fold {first['fold']} of the first,\nevery seed"] = by_seed
    for panel, column, title in zip(axes, ("val_mse", "test_mse"), ("validation block", "test images"), strict=True):
        for place, rows in enumerate(groups.values()):
            values, colour = rows[column], COLOURS[place % 7]
            panel.plot(values, [place] * len(values), MARKERS[place % 7], color=colour, alpha=0.7)
            panel.plot([values.mean()] * 2, [place - 0.25, place + 0.25], color=colour, linewidth=2)
            deviation, above = f"SD {values.std():.5f}" if len(values) > 1 else "", (values.mean(), place - 0.3)
            panel.annotate(deviation, above, ha="center", va="bottom", fontsize=SMALL)
        panel.set_yticks(range(len(groups)), list(groups))
        panel.margins(0.2, 0.15)
        panel.set(title=f"error on the {title}", xlabel=MSE)
    axes[0].invert_yaxis()
    axes[0].figure.suptitle("Folds: every one a mark; line: their mean; SD: their standard deviation")
