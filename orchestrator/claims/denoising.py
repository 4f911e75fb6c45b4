"""What the paper claims of denoising (Introduction, Figure 2); the text breaks off after it.

A level of noise that costs less than the model loses by itself, on clean images, cannot be mended by it: such levels
decide nothing where usefulness is judged.
"""

from dataclasses import replace

import pandas as pd

from orchestrator.claims.claim import Answer, claim, rows
from orchestrator.claims.levels import at_every, at_some, both, decides, each, listed, told
from orchestrator.statistics.intervals import Interval, NotTested, Outcome, Verdict
from orchestrator.statistics.resamples import bootstrapped

AUTHOR_LEVELS = {0.1, 0.2, 0.3, 0.4, 0.5}
AUTHOR_IMAGE = 7418
MODELS = ("best", "paper_table1")
PLAIN = ("zeroed", "gaussian", "gaussian_unclipped")
"""Kinds of noise that somebody would add; the others are controls."""
MOST_OF_IT = 0.5
"""The sample decides where more than half of the variance is its own."""
SMALL_CORRELATION = 0.1
"""Cohen 1988 calls .1 a small correlation; less of one is none to be explained."""


@claim(6, "Undercomplete autoencoders are useful for taking noise away.", paper="useful")
def best_model_takes_noise_away(denoising: pd.DataFrame, denoising_seeds: pd.DataFrame) -> Answer:
    """share of the noises and levels above the model's own error at which it leaves less than the better filter"""
    best = rows(denoising, "model best", model="best", noise=PLAIN)
    above = best[best["noisy_mse"] > own_error(denoising_seeds)]
    if above.empty:
        raise NotTested("noise that costs more than the model loses by itself")
    gains, beats = [it.above(0) for it in each(above, "gain")], each(above, "filter_ratio", ratio=True)
    useful = [_useful(gain, ratio.below(1)) for gain, ratio in zip(gains, beats, strict=True)]
    share = sum(ratio.below(1).verdict == "supported" for ratio in beats) / len(beats)
    reason = (
        f"Above the model's own error of {own_error(denoising_seeds):.4f}, at {len(above)} of {len(best)} levels: "
        "useful where it leaves less than was there and less than the better of a median and a Gaussian filter. "
        "Supported where it is so at each level; partly where it is at some, or takes noise away at each and "
        "filters do better; contradicted where it adds to the noise. Useful at "
        f"{sum(it.verdict == 'supported' for it in useful)}. Its error over that filter's: "
        f"{by_noise(above, 'filter_ratio')}."
    )
    helps, outcome = at_every(gains), at_every(useful)
    somewhere = at_some(useful)
    if outcome.verdict != "supported" and somewhere.verdict == "supported":
        outcome = replace(somewhere, verdict="partly")
    elif outcome.verdict != "supported":  # filters do better, but it may take noise away
        outcome = replace(helps, verdict="partly") if helps.verdict == "supported" else helps
    # What it would have seen is an error, and what is measured a share.
    return Answer(outcome.verdict, reason, Interval(share, n=len(above)), test=replace(outcome, smallest_effect=None))


def _useful(gain: Outcome, beats: Outcome) -> Outcome:
    """Of both at one level: supported where both are, by an intersection-union test."""
    verdicts, p = {gain.verdict, beats.verdict}, max(gain.p or 0.0, beats.p or 0.0)
    verdict: Verdict = "supported" if verdicts == {"supported"} else "inconclusive"
    if "contradicted" in verdicts:
        verdict, p = "contradicted", min(it.p or 0.0 for it in (gain, beats) if it.verdict == "contradicted")
    return Outcome(verdict, p, gain.smallest_effect)


@claim(
    45, "Denoising is tested with different levels of noise (Figure 2).", kind="protocol", paper=".1 to .5, one image"
)
def levels_of_noise_tested(denoising: pd.DataFrame, denoising_boot: pd.DataFrame) -> Answer:
    """levels of zeroed pixels"""
    levels = set(rows(denoising, "zeroed pixels", noise="zeroed")["level"])
    same = levels >= AUTHOR_LEVELS, set(denoising_boot["index"]) == {AUTHOR_IMAGE}
    return Answer(
        "followed" if all(same) else "partly_followed" if any(same) else "not_followed",
        "His five levels on his image, and beside these all test images and four kinds of noise more.",
        Interval(float(len(levels))),
    )


@claim(
    46,
    "The loss improves at every level of noise.",
    paper=".019 to .015, ..., .105 to .064 (a)",
    reading="the author's image",
)
def author_image_gains_at_every_level(denoising_boot: pd.DataFrame) -> Answer:
    """least mean gain over the levels, model best, on test image 7418, over draws of the noise and seeds"""
    if set(denoising_boot["index"]) != {AUTHOR_IMAGE}:
        raise NotTested("image of the author's Figure 2")
    gains, errors = {}, denoising_boot.astype({"model": str}).groupby(["model", "level"])["reconstructed_mse"].mean()
    for (model, level), of in denoising_boot[denoising_boot["model"].isin(MODELS)].groupby(
        ["model", "level"], observed=True
    ):
        pivot = of.assign(gain=of["noisy_mse"] - of["reconstructed_mse"]).pivot(
            index="seed", columns="draw", values="gain"
        )
        gains[str(model), float(str(level))] = bootstrapped(pivot.to_numpy())
    by_filter = errors[~errors.index.get_level_values("model").isin(MODELS)].groupby("level").min()
    ratios = (errors.get("best", by_filter) / by_filter).dropna()
    beside = ", ".join(f"{level:g}: {ratio:.2f}" for level, ratio in ratios.items())
    return _gains_at_every_level(
        gains,
        "On his image, mean over draws of the noise."
        + (f" The error of best over the better filter's, by p: {beside}." if beside else ""),
    )


@claim(46, "The loss improves at every level of noise.", reading="all test images")
def images_gain_at_every_level(denoising: pd.DataFrame) -> Answer:
    """least mean gain over the levels, model best, over test images and seeds"""
    zeroed = rows(denoising, "zeroed pixels", noise="zeroed", model=MODELS)
    gains = {(row["model"], row["level"]): told(row, "gain") for _, row in zeroed.iterrows()}
    filters = zeroed[zeroed["model"] == "best"].sort_values("level")
    return _gains_at_every_level(
        gains,
        "Mean over the test images. Zeroing costs p times the mean square, .021 at p = .1: about what a model with "
        f"three latent numbers loses by itself. The error of best over the better filter's, by p: "
        f"{listed(filters, 'filter_ratio')}.",
    )


def _gains_at_every_level(gains: dict[tuple[str, float], Interval], reason: str) -> Answer:
    if {model for model, _ in gains} != set(MODELS):
        raise NotTested("zeroed pixels for best and paper_table1")
    outcomes = {which: gain.above(0) for which, gain in gains.items()}
    outcome = at_every(list(outcomes.values()))
    least = min((gain for (model, _), gain in gains.items() if model == "best"), key=lambda gain: gain.value)
    names = [f"{level:g} ({model})" for model, level in outcomes]
    counts = [
        f"{sum(it.verdict == 'supported' for (name, _), it in outcomes.items() if name == model)} of "
        f"{sum(name == model for name, _ in outcomes)} for {model}"
        for model in MODELS
    ]
    return Answer(
        outcome.verdict,
        "Supported where it improves at every level with both models, partly where it does at some and gets worse "
        f"at others, contradicted where it only gets worse. {reason} Levels with a gain: "
        f"{', '.join(counts)}.{decides(names, list(outcomes.values()))}",
        least,
        test=outcome,
    )


@claim(47, "Whether the loss improves depends on the sample.", threshold=MOST_OF_IT, limit=1)
def improving_is_the_image_s(denoising_repeats: pd.DataFrame, *, threshold: float) -> Answer:
    """share of the variance of whether an image improves that is the image's, not the noise's, model best"""
    best = rows(denoising_repeats, "repeated draws of the noise", model="best")
    mixed = best.dropna(subset=["image_share"])
    if mixed.empty:
        return Answer("contradicted", "At every level all images improve, or none.")
    row = mixed.iloc[int((mixed["fraction_improved"] - 0.5).abs().argmin())]
    share = told(row, "image_share")
    outcome = share.above(threshold)
    reason = (
        f"Pixels zeroed with p = {row['level']:g}, where {row['fraction_improved']:.0%} of the images improve: the "
        f"level nearest one half. {row['num_draws']:.0f} draws of the noise on each image."
    )
    return Answer(outcome.verdict, reason, share, test=outcome)


@claim(48, "Samples with more black pixels of their own are less likely to improve.")
def black_images_improve_less_often(denoising_correlations: pd.DataFrame) -> Answer:
    """probability that an image that improves has more black pixels than one that does not, greatest over levels"""
    zeroed = _over_seeds(denoising_correlations, "zeroed").dropna(subset=["auc_zero_fraction"])
    if zeroed.empty:
        raise NotTested("level at which some images improve and some do not")
    found = each(zeroed, "auc_zero_fraction")
    by_level = [share.below(0.5) for share in found]
    outcome = at_every(by_level)
    held = at_every([it.below(0) for it in each(zeroed, "partial_spearman_zero_fraction")])
    if outcome.verdict == "supported" and held.verdict in {"contradicted", "partly"}:
        outcome = Outcome("partly", max(outcome.p or 0.0, held.p or 0.0), outcome.smallest_effect)
    reason = (
        "Supported below one half at every level, and partly where images of equal energy gain more the blacker "
        f"they are. By p: {listed(zeroed, 'auc_zero_fraction')}; rank correlation of gain and black pixels with the "
        f"energy held: {listed(zeroed, 'partial_spearman_zero_fraction')}."
    )
    reason += decides(list(zeroed["level"]), by_level)
    return Answer(outcome.verdict, reason, max(found, key=lambda it: it.value), test=outcome)


@claim(
    49,
    "Black samples gain less since pixels are blackened uniformly: black ones stay what they were.",
    kind="cause",
    threshold=SMALL_CORRELATION,
)
def black_images_gain_less_by_uniform_zeroing(
    denoising_correlations: pd.DataFrame, denoising: pd.DataFrame, *, threshold: float
) -> Answer:
    """rank correlation of gain and black pixels, how much the noise changed held; least over levels, model best"""
    zeroed = _over_seeds(denoising_correlations, "zeroed")
    best = rows(denoising, "foreground zeroed", model="best", noise="zeroed_foreground")
    valid = best[best["num_blanked"] == 0]["level"]
    control = _over_seeds(denoising_correlations, "zeroed_foreground")
    control = rows(control[control["level"].isin(valid)], "level at which no image is blank")
    premise = at_every([it.below(0) for it in each(zeroed, "spearman_zero_fraction")])
    if premise.verdict != "supported":
        raise NotTested("smaller gain of black images to be explained")
    left, equal = each(zeroed, "partial_spearman_noisy"), each(control, "spearman_zero_fraction")
    sides = [[it.above(-threshold) for it in side] for side in (left, equal)]
    outcome = both(*map(at_every, sides))
    reason = (
        "If so, black images gain no less once the noisy image's error is held, and where as many pixels that are "
        f"not black are zeroed in every image: above -{threshold:g} at every level, in both. By p: "
        f"{listed(zeroed, 'spearman_zero_fraction')}; held: {listed(zeroed, 'partial_spearman_noisy')}; as many: "
        f"{listed(control, 'spearman_zero_fraction')}."
    )
    names = [*(f"{level:g} (held)" for level in zeroed["level"]), *(f"{it:g} (as many)" for it in control["level"])]
    reason += decides(names, [*sides[0], *sides[1]])
    return Answer(outcome.verdict, reason, min(left, key=lambda it: it.value), test=outcome)


def own_error(denoising_seeds: pd.DataFrame) -> float:
    """What the model best loses on clean images, mean over seeds."""
    clean = rows(denoising_seeds, "clean images for the model best", model="best", noise="none")
    return float(clean["reconstructed_mse"].mean())


def _over_seeds(correlations: pd.DataFrame, noise: str) -> pd.DataFrame:
    """Of the model best, mean over seeds, by level."""
    found = rows(correlations, f"{noise} pixels for the model best", model="best", noise=noise)
    return rows(found[found["seed"].isna()], "mean over seeds").sort_values("level")


def by_noise(table: pd.DataFrame, name: str) -> str:
    told_of = [f"{noise} {listed(of, name)}" for noise, of in table.groupby("noise", observed=True, sort=False)]
    return "; ".join(told_of).replace("_", " ")
