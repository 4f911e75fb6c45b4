"""What the paper claims of the six folds (Figure 1)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from orchestrator.claims.claim import (
    Answer,
    Interval,
    NotTested,
    Tables,
    Verdict,
    claim,
    deviation,
    first_seed,
    mean,
    ratio_of_deviations,
    rows,
)

LEAST_EPOCHS = 6
"""For a curve's roughness to be told from its fall."""
LAST_EPOCHS = 5


@claim(
    25, "Six sequential folds, each trained over 20 epochs, validate the model.", "folds", "fold_epochs",
    paper="6, 20", quantity="folds",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    folds, epochs = _ordered(tables, "sequential"), int(tables["fold_epochs"]["epoch"].max())
    return Answer(
        "supported" if (len(folds), epochs) == (6, 20) else "partly",
        f"Over {epochs} epochs, each with fresh weights and a fresh optimizer, which the author's folds have not: in "
        "Figure 1 the first begins at .069, the others at about .029.",
        Interval(float(len(folds))),
    )


@claim(
    26, "The performance is assessed by the reconstruction error on the test set.", "folds",
    paper=".0197 to .0203 (a)", quantity="test MSE, mean over the folds",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    found = mean(_ordered(tables, "sequential")["test_mse"])
    return Answer("supported", "Figure 1 shows the validation error, and no test error is given; here is one.", found)


@claim(
    40, "The learning curves of the folds vary little.", "folds", paper=".0002 of .020 (Figure 1)",
    quantity="standard deviation of the validation MSE over the folds, over its mean",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    values = _ordered(tables, "sequential")["val_mse"]
    found = deviation(values, values.mean())
    folds = tables["folds"]
    seeds = folds[(folds["order"] == "sequential") & (folds["fold"] == 0)]["val_mse"]
    return Answer(
        found.is_below(0.05),
        f"Supported below .05. Fold 0 alone over {len(seeds)} seeds has {seeds.std() / seeds.mean():.3f}.",
        found,
    )


@claim(
    41, "The folds vary little because the images are regular and the classes evenly distributed.", "folds",
    quantity="standard deviation of the validation MSE over folds sorted by class, over that in the given order",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    orders = {order: _ordered(tables, order)["val_mse"] for order in ("class_sorted", "sequential")}
    found = ratio_of_deviations(*orders.values())
    return Answer(found.is_above(1), "If so, folds that hold two classes or less each vary more: above 1.", found)


@claim(
    42, "The training loss has a larger variance than the validation loss, and the same trend.", "fold_epochs",
    paper="Figure 1", quantity="roughness of the last batch's loss over that of the validation loss",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    curves = _curves(tables)
    rough = {name: _roughness(curves, name) for name in ("last_batch_mse", "train_mse", "val_mse")}
    of_last, of_mean = (rough[name] / rough["val_mse"] for name in ("last_batch_mse", "train_mse"))
    verdict: Verdict = "contradicted" if of_last <= 1 else "partly" if of_mean <= 1 else "supported"
    return Answer(
        verdict,
        f"The last batch's loss, which Figure 1 shows, is so; for the epoch's mean it is {of_mean:.2f}. "
        "Roughness is the root mean square of second differences from epoch to epoch.",
        Interval(of_last),
    )


@claim(
    43, "Training and validation loss converge close to 20 epochs.", "fold_epochs", paper="20 epochs",
    quantity="relative fall of the validation MSE an epoch, in the last five",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    curves = _curves(tables)
    by_fold = curves.pivot(index="epoch", columns="fold", values="val_mse")
    falls = 1 - (by_fold.iloc[-1] / by_fold.iloc[-1 - LAST_EPOCHS]) ** (1 / LAST_EPOCHS)
    found, epochs = mean(falls), int(by_fold.index.max())
    verdict = found.is_below(0.005) if epochs >= 20 else "inconclusive"
    return Answer(verdict, f"Supported below .005, after 20 epochs; these folds have {epochs}.", found)


@claim(
    44, "The model is well regularised and does not overfit.", "folds",
    quantity="validation MSE less training MSE, over the latter, mean over the folds",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    folds = _ordered(tables, "sequential")
    found = mean((folds["val_mse"] - folds["train_mse"]) / folds["train_mse"])
    return Answer(
        found.is_below(0.05),
        "Supported below .05. The training MSE is the last epoch's mean, while the weights move. A network this "
        "small cannot overfit much; that says little of its regularisation.",
        found,
    )


def _ordered(tables: Tables, order: str) -> pd.DataFrame:
    """The first seed's folds of the images in an order."""
    return first_seed(rows(tables["folds"], f"fold in {order} order", order=order))


def _curves(tables: Tables) -> pd.DataFrame:
    """Epochs of the first seed's sequential folds."""
    table = first_seed(rows(tables["fold_epochs"], "fold in sequential order", order="sequential"))
    if table["epoch"].max() < LEAST_EPOCHS:
        raise NotTested(f"fold of {LEAST_EPOCHS} epochs or more")
    return table


def _roughness(curves: pd.DataFrame, name: str) -> float:
    by_fold = curves.pivot(index="epoch", columns="fold", values=name).to_numpy()
    return float(np.sqrt(np.square(np.diff(by_fold[1:], n=2, axis=0)).mean()))  # the first epoch is another thing
