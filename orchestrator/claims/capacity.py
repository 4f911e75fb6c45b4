"""What the paper claims of latent sizes, of the identity and PCA, and of what its architecture's parts are for."""

import math
from dataclasses import replace
from typing import Any

import pandas as pd

from orchestrator.claims.claim import Answer, claim, rows
from orchestrator.statistics.intervals import (
    LEVEL,
    Interval,
    NotTested,
    Outcome,
    Verdict,
    log_ratio,
    paired,
    paired_ratio,
    spread,
)

OVERCOMPLETE = 784
"""Latent size from which on an autoencoder of these images is overcomplete."""
UNDERCOMPLETE = 14
"""The largest that the paper allows its own."""
IDENTITY = 0.1
"""Share of the undercomplete autoencoder's error, below which an overcomplete one is as good as the identity."""
PLATEAU = 0.01
"""Fall of the training error in an epoch, below which it has come to a plateau."""
PENALTIES = ("1e-05", "0.0001", "0.001")
"""Strengths of the L2 penalty; the first is the author's."""
NEXT_TO_NOTHING = 0.5
"""Share of the gap between training and test error: a penalty that changes less of it does not narrow it."""
STEP_SIZES = ("", "_step_0.002")
"""Of Table 1's network with and without batch norm, as their methods' names end."""


@claim(4, "An overcomplete autoencoder converges to the identity.", threshold=IDENTITY)
def overcomplete_error_beside_undercomplete(
    reconstruction: pd.DataFrame, reconstruction_epochs: pd.DataFrame, *, threshold: float
) -> Answer:
    """test MSE of overcomplete autoencoders over that of the best with up to 14 numbers; the identity has 0"""
    models = _overcomplete(reconstruction, reconstruction_epochs, threshold)
    decided = models[models["identity"] | models["plateau"]]
    convolutional = not decided["linear"].all()
    verdict: Verdict = "inconclusive"
    if decided["identity"].any():
        verdict = "supported" if convolutional and decided["identity"].all() else "partly"
    elif convolutional:
        verdict = "contradicted"
    told = ", ".join(
        f"{row.method} {row.latent_dim}: {row.ratio:.3f}"
        + ("" if row.identity else " at a plateau" if row.plateau else " and still falling")
        for row in models.itertuples()
    )
    return Answer(
        verdict,
        f"It is the identity below {threshold:g}. One that is not counts only where its training error falls by less "
        f"than {PLATEAU:.0%} an epoch at the end. Supported or contradicted only where a convolutional one counts. "
        f"{told}. The ends are the range over these.",
        spread(models["ratio"]),
    )


@claim(5, "An overcomplete autoencoder's output is as noisy as its input.", threshold=0.2)
def noise_passes_an_overcomplete_autoencoder(
    identity: pd.DataFrame, reconstruction: pd.DataFrame, reconstruction_epochs: pd.DataFrame, *, threshold: float
) -> Answer:
    """noise energy that comes out over what went in"""
    models = _overcomplete(reconstruction, reconstruction_epochs, IDENTITY)
    near = models[models["identity"]]
    convolutional = not near["linear"].all()
    noisy = identity.dropna(subset="noise_passed").merge(near[["method", "latent_dim", "seed"]])
    if noisy.empty:
        raise NotTested("overcomplete autoencoder near the identity (claim 4), from which this is said to follow")
    passed, bound = noisy["noise_passed"], 1 - threshold
    verdict: Verdict = "supported" if passed.min() > bound else "contradicted" if passed.max() < bound else "partly"
    if verdict == "supported" and not convolutional:
        verdict = "partly"
    told = ", ".join(
        f"{method}, {str(noise).replace('_', ' ')}: {values.min():.2f} to {values.max():.2f}"
        for (method, noise), values in noisy.groupby(["method", "noise"], observed=True)["noise_passed"]
    )
    return Answer(
        verdict,
        f"As noisy is {bound:g} or more of it, at every noise and level, of those near the identity; partly where "
        f"these are linear only. {told}. The ends are the range.",
        replace(spread(passed), n=len(near)),
    )


@claim(8, "Without non-linearities an autoencoder learns PCA's subspace.", paper="expected", threshold=5)
def linear_autoencoder_finds_subspace_of_pca(reconstruction: pd.DataFrame, *, threshold: float) -> Answer:
    """largest principal angle to PCA's subspace, degrees: geometric mean over seeds, of the worst latent size"""
    linear = rows(reconstruction, "linear autoencoder", method="linear_autoencoder")
    excess = threshold / 250
    angles = {k: log_ratio(of_size["largest_angle_degrees"], [1.0] * len(of_size)) for k, of_size in _sizes(linear)}
    errors = [log_ratio(of_size["pca_ratio"], [1.0] * len(of_size)) for _, of_size in _sizes(linear)]
    test = _every([*(it.below(threshold) for it in angles.values()), *(it.below(1 + excess) for it in errors)])
    reason = (
        f"Supported where at every latent size the angle is below {threshold:g} degrees and the test MSE below "
        f"{1 + excess:.3f} of PCA's; the greatest is {linear['pca_ratio'].max():.4f}. It is the subspace that is "
        "learned, not the axes, and with a step size that was chosen for it."
    )
    untuned = reconstruction[reconstruction["method"] == "linear_untuned"].dropna(subset="largest_angle_degrees")
    if len(untuned):
        worst = untuned.sort_values("largest_angle_degrees").iloc[-1]
        reason += (
            f" With Adam's usual {worst['learning_rate']:g}: up to {worst['largest_angle_degrees']:.2f} degrees and "
            f"{untuned['pca_ratio'].max():.4f}."
        )
    return Answer(test.verdict, reason, max(angles.values(), key=lambda it: it.value), test=test)


@claim(9, "Non-linearity makes an autoencoder describe more than PCA does.", kind="cause", paper="arguably")
def nonlinear_error_beside_pca(reconstruction: pd.DataFrame) -> Answer:
    """its test MSE over that of PCA with as many numbers: geometric mean over seeds, of the worst latent size"""
    table = rows(reconstruction, "autoencoder", method="autoencoder").dropna(subset="pca_ratio")
    table = rows(table, "latent size that PCA was measured at")
    ratios = {k: log_ratio(of_size["pca_ratio"], [1.0] * len(of_size)) for k, of_size in _sizes(table)}
    without = _beside(reconstruction, "table1_no_relu", "table1")
    test = _every([*(ratio.below(1) for ratio in ratios.values()), without.above(1)])
    worst, ratio = max(ratios.items(), key=lambda item: item[1].value)
    return Answer(
        test.verdict,
        f"Supported where it is below 1 at every latent size and Table 1's network is worse without ReLU: its test "
        f"MSE is {_told(without)} times as large. The worst latent size is {worst}; the least ratio is "
        f"{min(it.value for it in ratios.values()):.2f}.",
        ratio,
        test=test,
    )


@claim(18, "Batch norm on the convolutions regularises.", kind="cause")
def gap_without_batch_norm(reconstruction: pd.DataFrame) -> Answer:
    """test over training MSE, in evaluation mode, of Table 1's network without batch norm over the same with it"""
    arms = [(f"table1_no_batch_norm{step}", f"table1{step}") for step in STEP_SIZES]
    gaps = [_gap_beside(reconstruction, *arm) for arm in arms]
    errors = [_beside(reconstruction, *arm) for arm in arms]
    test = _every([gap.above(1) for gap in gaps])
    usual = _gap(rows(reconstruction, "Table 1's network", method="table1")).mean()
    return Answer(
        test.verdict,
        "To regularise is to narrow the gap between training and test. Supported where it is wider without batch "
        f"norm at both step sizes (at the second: {_told(gaps[1])}); with it the ratio is {usual:.4f}. The test MSE "
        f"itself is {_told(errors[0])} and {_told(errors[1])} times as large without it.",
        gaps[0],
        test=test,
    )


@claim(19, "An L2 penalty on the loss regularises.", kind="cause", threshold=NEXT_TO_NOTHING, limit=1)
def gap_without_penalty(reconstruction: pd.DataFrame, *, threshold: float) -> Answer:
    """test over training MSE, in evaluation mode, of Table 1's network without the penalty over the same with it"""
    arms = {weight: ("table1_adam_l2_0", f"table1_adam_l2_{weight}") for weight in PENALTIES}
    gaps = {weight: _gap_beside(reconstruction, *arm) for weight, arm in arms.items()}
    errors = {weight: _beside(reconstruction, *arm) for weight, arm in arms.items()}
    author, *stronger = (gap.above(1) for gap in gaps.values())
    helped = [
        it for it in stronger if it.verdict == "supported" and it.p is not None and len(stronger) * it.p < LEVEL
    ]
    usual = _gap(rows(reconstruction, "Table 1's network without penalty", method="table1_adam_l2_0")).mean() - 1
    margin = threshold * max(usual, 0.0)
    alike = gaps[PENALTIES[0]].within(1 - margin, 1 + margin)
    verdict, test = author.verdict, author
    if author.verdict == "inconclusive" and helped:
        least = min(len(stronger) * it.p for it in helped if it.p is not None)
        verdict, test = "partly", Outcome("partly", least, helped[0].smallest_effect)
    elif author.verdict == "inconclusive" and alike.verdict == "supported":
        verdict, test = "contradicted", alike
    told = "; ".join(f"{weight}: {_told(gaps[weight])}, test MSE {_told(errors[weight])}" for weight in PENALTIES)
    return Answer(
        verdict,
        f"With adam, whose penalty is on the loss. Supported where the gap is wider without the author's "
        f"{PENALTIES[0]}, partly where only a stronger one narrows it (of {len(stronger)}, Bonferroni), contradicted "
        f"where the author's widens it or all of the interval lies within {margin:.2%} of 1: {threshold:.0%} of the "
        f"gap without a penalty, {usual:.2%}. Without over with, by strength: {told}.",
        gaps[PENALTIES[0]],
        test=test,
    )


@claim(24, "Other kernel sizes make no discernible difference.", paper="preliminary attempts", threshold=0.05)
def error_with_kernels_of_5(
    reconstruction: pd.DataFrame, reconstruction_epochs: pd.DataFrame, *, threshold: float
) -> Answer:
    """test MSE of Table 1's network with kernels of 5 over that with kernels of 3"""
    error = _beside(reconstruction, "table1_kernel_5", "table1")
    epochs = _epochs_beside(reconstruction_epochs, "table1_kernel_5", "table1")
    sooner = 5 * threshold
    test = _every([error.within(1 - threshold, 1 + threshold), epochs.within(1 - sooner, 1 + sooner)])
    return Answer(
        test.verdict,
        f"Alike is within {threshold:.0%} in error and within {sooner:.0%} in the epochs until the training error is "
        "what the worse of the two comes to, by two one-sided tests (90 % interval). Supported where both are alike, "
        f"contradicted where both differ. Epochs: {_told(epochs)}.",
        error,
        test=test,
    )


def _overcomplete(reconstruction: pd.DataFrame, epochs: pd.DataFrame, share: float) -> pd.DataFrame:
    """Overcomplete models, how good they are, and whether they are near the identity or at a plateau."""
    narrow = rows(reconstruction, "autoencoder", method="autoencoder")
    narrow = rows(narrow[narrow["latent_dim"] <= UNDERCOMPLETE], "undercomplete autoencoder")
    models = reconstruction[reconstruction["latent_dim"] >= OVERCOMPLETE]
    models = rows(models.astype({"method": str}), "overcomplete autoencoder")
    falls = []
    for row in models.itertuples():
        same = (epochs["method"] == row.method) & (epochs["latent_dim"] == row.latent_dim)
        falls.append(_fall(_curve(epochs[same], row.seed)))
    ratio = models["test_mse"] / narrow["test_mse"].min()
    return models.assign(
        ratio=ratio,
        linear=models["method"] == "linear_overcomplete",
        identity=ratio < share,
        plateau=[fall < PLATEAU for fall in falls],
    )


def _curve(epochs: pd.DataFrame, seed: Any) -> list[float]:
    """Training error of the training from a seed, by epoch."""
    return list(epochs[epochs["seed"] == seed].sort_values("epoch")["train_mse"])


def _fall(curve: list[float]) -> float:
    """Share by which an error falls in an epoch, over the last third of them; all of it where there is only one."""
    steps = len(curve) // 3 or 1
    return 1.0 if len(curve) < 2 else 1 - float((curve[-1] / curve[-1 - steps]) ** (1 / steps))


def _sizes(table: pd.DataFrame) -> list[tuple[int, pd.DataFrame]]:
    return [(k, table[table["latent_dim"] == k]) for k in sorted(table["latent_dim"].unique())]


def _every(tests: list[Outcome]) -> Outcome:
    """Supported where every test is, contradicted where every one is, partly where there are both.

    The p value is the greatest of those that decide: that of the intersection-union test.
    """
    verdicts = [test.verdict for test in tests]
    decided = {verdict for verdict in verdicts if verdict != "inconclusive"}
    verdict: Verdict = "inconclusive"
    if len(decided) == 2:
        verdict = "partly"
    elif decided and "inconclusive" not in verdicts:
        (verdict,) = decided
    counted = [test for test in tests if verdict == "inconclusive" or test.verdict != "inconclusive"]
    values = [test.p for test in counted if test.p is not None]
    effects = [test.smallest_effect for test in tests if test.smallest_effect is not None]
    return Outcome(verdict, max(values, default=None), max(effects, default=None))


def _gap(table: pd.DataFrame) -> pd.Series:
    return table["test_mse"] / table["train_mse_evaluated"]


def _gap_beside(reconstruction: pd.DataFrame, one: str, other: str) -> Interval:
    """Test over training error of one ablation over that of another, seed by seed."""
    table = rows(reconstruction, "ablation", method=(one, other))
    return paired_ratio(table.assign(gap=_gap(table)), "gap", "method", one, other)


def _beside(reconstruction: pd.DataFrame, one: str, other: str) -> Interval:
    """Test error of one ablation over that of another, seed by seed."""
    return paired_ratio(rows(reconstruction, "ablation", method=(one, other)), "test_mse", "method", one, other)


def _epochs_beside(epochs: pd.DataFrame, one: str, other: str) -> Interval:
    """Epochs of one ablation over those of another until the training error is what the worse comes to, by seed.

    Between two epochs the logarithm of the error is taken to fall evenly.
    """
    table = rows(epochs, "ablation", method=(one, other))
    rows(table[table["epoch"] > 1], "second epoch of an ablation")
    last = table[table["epoch"] == table["epoch"].max()]
    worse = pd.concat(paired(last, "train_mse", "method", one, other), axis=1).max(axis=1)
    until = [
        {"method": method, "seed": seed, "epochs": _until(_curve(table[table["method"] == method], seed), target)}
        for seed, target in worse.items()
        for method in (one, other)
    ]
    return paired_ratio(pd.DataFrame(until), "epochs", "method", one, other)


def _until(curve: list[float], target: float) -> float:
    """Epochs, in fractions, after which a curve is first at the target."""
    reached = next(number for number, error in enumerate(curve) if error <= target)
    if reached == 0:
        return 1.0
    before, after = math.log(curve[reached - 1]), math.log(curve[reached])
    return reached + (before - math.log(target)) / (before - after)


def _told(ratio: Interval) -> str:
    """A ratio with the ends of its interval."""
    ends = "" if ratio.low is None else f" ({ratio.low:.4f} to {ratio.high:.4f})"
    return f"{ratio.value:.4f}{ends}"
