"""What the paper claims of the six folds (Figure 1)."""

import numpy as np
import pandas as pd

from orchestrator.claims.claim import (
    Answer,
    Interval,
    NotTested,
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


@claim(25, "Six sequential folds, each trained over 20 epochs, validate the model.", paper="6, 20")
def folds_and_their_epochs(folds: pd.DataFrame, fold_epochs: pd.DataFrame) -> Answer:
    """folds"""
    number, epochs = len(_ordered(folds, "sequential")), int(fold_epochs["epoch"].max())
    return Answer(
        "supported" if (number, epochs) == (6, 20) else "partly",
        f"Over {epochs} epochs, each with fresh weights and a fresh optimizer, which the author's folds have not: in "
        "Figure 1 the first begins at .069, the others at about .029.",
        Interval(float(number)),
    )


@claim(26, "The performance is assessed by the reconstruction error on the test set.", paper=".0197 to .0203 (a)")
def mean_test_error_of_the_folds(folds: pd.DataFrame) -> Answer:
    """test MSE, mean over the folds"""
    error = mean(_ordered(folds, "sequential")["test_mse"])
    return Answer("supported", "Figure 1 shows the validation error, and no test error is given; here is one.", error)


@claim(40, "The learning curves of the folds vary little.", paper=".0002 of .020 (Figure 1)")
def folds_vary_little(folds: pd.DataFrame) -> Answer:
    """standard deviation of the validation MSE over the folds, over its mean"""
    values = _ordered(folds, "sequential")["val_mse"]
    cv = deviation(values, values.mean())
    seeds = folds[(folds["order"] == "sequential") & (folds["fold"] == 0)]["val_mse"]
    alone = seeds.std() / seeds.mean()
    reason = f"Supported below .05. Fold 0 alone over {len(seeds)} seeds has {alone:.3f}."
    return Answer(cv.is_below(0.05), reason, cv)


@claim(41, "The folds vary little because the images are regular and the classes evenly distributed.")
def folds_vary_more_when_sorted_by_class(folds: pd.DataFrame) -> Answer:
    """standard deviation of the validation MSE over folds sorted by class, over that in the given order"""
    ratio = ratio_of_deviations(*(_ordered(folds, order)["val_mse"] for order in ("class_sorted", "sequential")))
    return Answer(ratio.is_above(1), "If so, folds that hold two classes or less each vary more: above 1.", ratio)


@claim(42, "The training loss has a larger variance than the validation loss, and the same trend.", paper="Figure 1")
def training_loss_is_rougher_than_validation_loss(fold_epochs: pd.DataFrame) -> Answer:
    """roughness of the last batch's loss over that of the validation loss"""
    curves = _curves(fold_epochs)
    validation = _roughness(curves, "val_mse")
    of_last, of_mean = (_roughness(curves, name) / validation for name in ("last_batch_mse", "train_mse"))
    verdict: Verdict = "contradicted" if of_last <= 1 else "partly" if of_mean <= 1 else "supported"
    return Answer(
        verdict,
        f"The last batch's loss, which Figure 1 shows, is so; for the epoch's mean it is {of_mean:.2f}. "
        "Roughness is the root mean square of second differences from epoch to epoch.",
        Interval(of_last),
    )


@claim(43, "Training and validation loss converge close to 20 epochs.", paper="20 epochs")
def folds_converge_in_20_epochs(fold_epochs: pd.DataFrame) -> Answer:
    """relative fall of the validation MSE an epoch, in the last five"""
    by_fold = _curves(fold_epochs).pivot(index="epoch", columns="fold", values="val_mse")
    falls = mean(1 - (by_fold.iloc[-1] / by_fold.iloc[-1 - LAST_EPOCHS]) ** (1 / LAST_EPOCHS))
    epochs = int(by_fold.index.max())
    verdict = falls.is_below(0.005) if epochs >= 20 else "inconclusive"
    return Answer(verdict, f"Supported below .005, after 20 epochs; these folds have {epochs}.", falls)


@claim(44, "The model is well regularised and does not overfit.")
def folds_do_not_overfit(folds: pd.DataFrame) -> Answer:
    """validation MSE less training MSE, over the latter, mean over the folds"""
    sequential = _ordered(folds, "sequential")
    excess = mean((sequential["val_mse"] - sequential["train_mse"]) / sequential["train_mse"])
    return Answer(
        excess.is_below(0.05),
        "Supported below .05. The training MSE is the last epoch's mean, while the weights move. A network this "
        "small cannot overfit much; that says little of its regularisation.",
        excess,
    )


def _ordered(folds: pd.DataFrame, order: str) -> pd.DataFrame:
    """The first seed's folds of the images in an order."""
    return first_seed(rows(folds, f"fold in {order} order", order=order))


def _curves(fold_epochs: pd.DataFrame) -> pd.DataFrame:
    """Epochs of the first seed's sequential folds."""
    table = first_seed(rows(fold_epochs, "fold in sequential order", order="sequential"))
    if table["epoch"].max() < LEAST_EPOCHS:
        raise NotTested(f"fold of {LEAST_EPOCHS} epochs or more")
    return table


def _roughness(curves: pd.DataFrame, name: str) -> float:
    by_fold = curves.pivot(index="epoch", columns="fold", values=name).to_numpy()
    return float(np.sqrt(np.square(np.diff(by_fold[1:], n=2, axis=0)).mean()))  # the first epoch is another thing
