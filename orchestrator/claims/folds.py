"""What the paper claims of the six folds (Figure 1)."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from orchestrator.claims.claim import Answer, claim, first_seed, rows
from orchestrator.statistics.components import mean_of_crossed, ratio_of_components
from orchestrator.statistics.intervals import (
    Interval,
    NotTested,
    Outcome,
    deviation,
    exponential,
    log_ratio,
    ratio_of_deviations,
)

LEAST_EPOCHS = 6
"""For a curve's roughness to be told from its fall."""
LAST_EPOCHS = 5
LITTLE = 0.05
"""Curves whose ends differ by less than a twentieth of their mean lie on each other in a figure like the author's."""
TWICE_CHANCE = 2.0
"""Folds that differ by less than twice what seeds make differ by little more than chance."""
SAME_TREND = 0.9
"""Correlation of two curves that fall together; curves that only fall both have about as much."""
LEVEL_FALL = 0.005
"""Half a percent an epoch: the five last epochs then bring under 2.5 %, about what seeds differ by."""
SMALL_GAP = 0.05
"""A twentieth of the training error: the author's Figure 1 would not show less."""


@claim(25, "Six sequential folds, each trained over 20 epochs, validate the model.", kind="protocol", paper="6, 20")
def folds_and_their_epochs(folds: pd.DataFrame, fold_epochs: pd.DataFrame) -> Answer:
    """folds of the model best"""
    number = len(first_seed(_sequential(folds)))
    epochs = _sequential(fold_epochs).groupby(["fold", "seed"])["epoch"].max()
    same = number == 6, bool((epochs == 20).all())
    return Answer(
        "followed" if all(same) else "partly_followed" if any(same) else "not_followed",
        f"Over {epochs.min()} epochs, each with fresh weights and a fresh optimizer, which the author's folds have "
        "not: in Figure 1 the first begins at .069, the others at about .029.",
        Interval(float(number)),
    )


@claim(
    26,
    "The performance is assessed by the reconstruction error on the test set.",
    kind="protocol",
    paper=".0197 to .0203 (a: validation error)",
)
def mean_test_error_of_the_folds(folds: pd.DataFrame) -> Answer:
    """test MSE of the model best, mean over the folds"""
    if _sequential(folds)["test_mse"].isna().any():
        return Answer("not_followed", "Folds have no test error.")
    by_model = {
        str(model): mean_of_crossed(_crossed(of, "test_mse", str(model)).to_numpy())
        for model, of in folds.groupby("model", observed=True, sort=False)
    }
    others = ", ".join(f"{model} {error.value:.4f}" for model, error in by_model.items() if model != "best")
    return Answer(
        "followed",
        "Figure 1 shows the validation error, and no test error is given; here is one. The interval allows for folds "
        f"that share four fifths of their images (Nadeau and Bengio). Other models: {others or 'none'}.",
        by_model["best"],
    )


@claim(
    40,
    "The learning curves of the folds vary little.",
    paper=".0002 of .020 (Figure 1)",
    threshold=LITTLE,
    reading="beside their mean",
)
def folds_vary_little(folds: pd.DataFrame, fold_epochs: pd.DataFrame, *, threshold: float) -> Answer:
    """standard deviation of the validation MSE over the folds of a seed, over its mean, after the last epoch"""
    values = _crossed(folds, "val_mse", "best").to_numpy()
    spread = deviation(values, values.mean())
    by_epoch = _curves(_sequential(fold_epochs), "val_mse")
    greatest = (np.sqrt(by_epoch.var(axis=1, ddof=1).mean(axis=1)) / by_epoch.mean(axis=(1, 2))).max()
    outcome = spread.below(threshold)
    reason = f"Supported below {threshold:g}. The greatest at any epoch is {greatest:.3f}."
    return Answer(outcome.verdict, reason, spread, test=outcome)


@claim(40, "The learning curves of the folds vary little.", threshold=TWICE_CHANCE, reading="beside chance")
def folds_vary_as_seeds_do(folds: pd.DataFrame, *, threshold: float) -> Answer:
    """standard deviation that is the folds' own over that of a fold's seeds, validation MSE"""
    crossed = _crossed(folds, "val_mse", "best")
    ratio = ratio_of_components(crossed.to_numpy())
    outcome = ratio.below(threshold)
    reason = (
        f"Supported below {threshold:g}, by an analysis of variance of {crossed.shape[0]} folds and "
        f"{crossed.shape[1]} seeds. Blocks that are harder make folds differ too."
    )
    return Answer(outcome.verdict, reason, ratio, test=outcome)


@claim(41, "The folds vary little because the images are regular and the classes evenly distributed.", kind="cause")
def held_out_classes_lose_more(folds: pd.DataFrame, class_balance: pd.DataFrame) -> Answer:
    """validation error of a class in folds sorted by class, over that of the same images in sequential ones"""
    errors = {order: _class_errors(folds, class_balance, order) for order in ("class_sorted", "sequential")}
    pairs = pd.DataFrame(errors).dropna()
    excess = log_ratio(pairs["class_sorted"], pairs["sequential"])
    outcome = excess.above(1)
    test = [first_seed(_in_order(folds, order))["test_mse"] for order in errors]
    spread = ratio_of_deviations(*test)
    reason = (
        "If so, images of a class lose more where the folds are cut so that few or none of their class are trained "
        f"on: above 1, over {excess.n} classes. That the folds' own blocks then differ more would show without any "
        "training, since some classes are harder. The test error's standard deviation over folds is "
        f"{spread.value:.2f} times as great ({spread.low:.2f} to {spread.high:.2f}, F)."
    )
    return Answer(outcome.verdict, reason, excess, test=outcome)


@claim(
    42,
    "The training loss has a larger variance than the validation loss, and the same trend in all folds.",
    paper="Figure 1",
    threshold=SAME_TREND,
    limit=1,
)
def training_loss_is_rougher_than_validation_loss(fold_epochs: pd.DataFrame, *, threshold: float) -> Answer:
    """roughness of the last batch's loss over that of the validation loss, geometric mean over folds and seeds"""
    curves = _long_enough(fold_epochs)
    values = {name: _curves(curves, name) for name in ("last_batch_mse", "train_mse", "val_mse")}
    rough = {name: _roughness(curve) for name, curve in values.items()}
    of_last, of_mean = (
        exponential(mean_of_crossed(np.log(rough[name] / rough["val_mse"])))
        for name in ("last_batch_mse", "train_mse")
    )
    logs = [np.log(values[name]).reshape(len(values[name]), -1) for name in ("train_mse", "val_mse")]
    trend = min(float(np.corrcoef(one, other)[0, 1]) for one, other in zip(*(it.T for it in logs), strict=True))
    outcome = of_last.above(1)
    if outcome.verdict == "supported" and not (of_mean.above(1).verdict == "supported" and trend > threshold):
        outcome = Outcome("partly", outcome.p, outcome.smallest_effect)
    last = [values[name][-1].std(axis=0, ddof=1).mean() for name in ("last_batch_mse", "val_mse")]
    reason = (
        "Roughness is the root mean square of second differences from epoch to epoch. Supported where the last "
        f"batch's loss, which Figure 1 shows, and the epoch's mean are rougher ({of_mean.value:.2f} for this) and "
        f"the logarithms of training and validation curve correlate by more than {threshold:g} in each fold (least "
        f"{trend:.3f}); partly where only the last batch's is. Over folds, the last batch's loss has a standard "
        f"deviation of {last[0]:.5f} at the end, the validation loss {last[1]:.5f}."
    )
    return Answer(outcome.verdict, reason, of_last, test=outcome)


@claim(
    43,
    "Training and validation loss converge close to 20 epochs.",
    paper="20 epochs",
    threshold=LEVEL_FALL,
    reading="each levels off",
)
def folds_level_off_in_20_epochs(fold_epochs: pd.DataFrame, *, threshold: float) -> Answer:
    """relative fall an epoch of the validation MSE, in the last five, mean over folds and seeds"""
    curves = _long_enough(fold_epochs)
    falls = {name: mean_of_crossed(_fall(_curves(curves, name))) for name in ("val_mse", "train_mse")}
    epochs, outcome = int(curves["epoch"].max()), falls["val_mse"].below(threshold)
    if epochs < 20:
        outcome = Outcome("inconclusive", outcome.p, outcome.smallest_effect)
    reason = (
        f"Supported below {threshold:g}, after 20 epochs; these folds have {epochs}. The training loss falls by "
        f"{falls['train_mse'].value:.4f} an epoch."
    )
    return Answer(outcome.verdict, reason, falls["val_mse"], test=outcome)


@claim(
    43,
    "Training and validation loss converge close to 20 epochs.",
    paper="20 epochs",
    threshold=SMALL_GAP,
    reading="they meet",
)
def losses_meet_in_20_epochs(folds: pd.DataFrame, fold_epochs: pd.DataFrame, *, threshold: float) -> Answer:
    """validation MSE less training MSE, over the latter, both in evaluation mode, mean over the folds"""
    gap, epochs = _gap(folds, "best"), int(_sequential(fold_epochs)["epoch"].max())
    outcome = gap.within(-threshold, threshold)
    if epochs < 20:
        outcome = Outcome("inconclusive", outcome.p, outcome.smallest_effect)
    reason = f"Supported within {threshold:g} of 0 (equivalence), after 20 epochs; these folds have {epochs}."
    return Answer(outcome.verdict, reason, gap, test=outcome)


@claim(44, "The model is well regularised and does not overfit.", threshold=SMALL_GAP)
def folds_do_not_overfit(folds: pd.DataFrame, *, threshold: float) -> Answer:
    """validation MSE less training MSE, over the latter, both in evaluation mode, mean over the folds"""
    gap = _gap(folds, "best")
    outcome = gap.below(threshold)
    others = [name for name in ("paper_table1", "author_best") if (folds["model"] == name).any()]
    beside = "".join(f" {name}: {_gap(folds, name).value:.4f}." for name in others)
    reason = (
        f"Supported below {threshold:g}. A network this small cannot overfit much; that says little of its "
        f"regularisation.{beside}"
    )
    return Answer(outcome.verdict, reason, gap, test=outcome)


def _in_order(table: pd.DataFrame, order: str, model: str = "best") -> pd.DataFrame:
    return rows(table, f"fold of {model} in {order} order", model=model, order=order)


def _sequential(table: pd.DataFrame) -> pd.DataFrame:
    """The sequential folds of the model best, of all seeds."""
    return _in_order(table, "sequential")


def _crossed(folds: pd.DataFrame, name: str, model: str) -> pd.DataFrame:
    """Of sequential folds, shape (folds, seeds); seeds that have them all."""
    of_model = _in_order(folds, "sequential", model)
    crossed: pd.DataFrame = of_model.pivot(index="fold", columns="seed", values=name).dropna(axis=1)
    if crossed.empty:
        raise NotTested(f"seed with all folds of {model}")
    return crossed


def _gap(folds: pd.DataFrame, model: str) -> Interval:
    validation, train = (_crossed(folds, name, model) for name in ("val_mse", "train_mse_evaluated"))
    return mean_of_crossed(((validation - train) / train).to_numpy())


def _class_errors(folds: pd.DataFrame, class_balance: pd.DataFrame, order: str) -> pd.Series:
    """Validation error of each class over all blocks of the first seed's folds, in which it has every image once."""
    blocks = class_balance[(class_balance["images"] == "validation") & (class_balance["order"] == order)]
    counts = rows(blocks, f"balance of classes in {order} order").pivot(
        index="fold", columns="label", values="num_images"
    )
    errors = first_seed(_in_order(folds, order)).set_index("fold")
    errors = errors[[f"val_mse_class_{label}" for label in counts.columns]].set_axis(counts.columns, axis=1)
    weights = counts.where(errors.notna())
    whole: pd.Series = (errors * weights).sum() / weights.sum()
    return whole


def _long_enough(fold_epochs: pd.DataFrame) -> pd.DataFrame:
    """Epochs of the sequential folds, of all seeds."""
    table = _sequential(fold_epochs)
    if table["epoch"].max() < LEAST_EPOCHS:
        raise NotTested(f"fold of {LEAST_EPOCHS} epochs or more")
    return table


def _curves(curves: pd.DataFrame, name: str) -> NDArray[Any]:
    """Shape (epochs, folds, seeds); of seeds that have every epoch of every fold."""
    by_seed = [of.pivot(index="epoch", columns="fold", values=name) for _, of in curves.groupby("seed")]
    shape = max(of.shape for of in by_seed)
    whole = [of.to_numpy() for of in by_seed if of.shape == shape and of.notna().all(axis=None)]
    if not whole:
        raise NotTested("seed with every epoch of every fold")
    return np.stack(whole, axis=-1)


def _roughness(curves: NDArray[Any]) -> NDArray[Any]:
    """Of each fold and seed; the first epoch is another thing."""
    return np.asarray(np.sqrt(np.square(np.diff(curves[1:], n=2, axis=0)).mean(axis=0)))


def _fall(curves: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(1 - (curves[-1] / curves[-1 - LAST_EPOCHS]) ** (1 / LAST_EPOCHS))
