"""What the paper claims of denoising (Introduction, Figure 2); the text breaks off after it.

A level of noise that costs less than the model loses by itself, on clean images, cannot be mended by it: such levels
decide nothing where usefulness is judged.
"""

from dataclasses import replace

import pandas as pd

from orchestrator.claims.claim import Answer, claim, rows
from orchestrator.claims.levels import at_every, at_some, both, decides, each, listed, told
from orchestrator.statistics.intervals import Interval, NotTested, Outcome, Verdict, bootstrapped

AUTHOR_LEVELS = {0.1, 0.2, 0.3, 0.4, 0.5}
AUTHOR_IMAGE = 7418
MODELS = ("best", "paper_table1")
FILTERS = ("median_filter", "gaussian_filter")
HARDER = "The model struggles more with Gaussian noise."
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
    above = best[best["noisy_mse"] > _floor(denoising_seeds)]
    if above.empty:
        raise NotTested("noise that costs more than the model loses by itself")
    gains, beats = [it.above(0) for it in each(above, "gain")], each(above, "filter_ratio", ratio=True)
    useful = [_useful(gain, ratio.below(1)) for gain, ratio in zip(gains, beats, strict=True)]
    share = sum(ratio.below(1).verdict == "supported" for ratio in beats) / len(beats)
    reason = (
        f"Above the model's own error of {_floor(denoising_seeds):.4f}, at {len(above)} of {len(best)} levels: "
        "useful where it leaves less than was there and less than the better of a median and a Gaussian filter. "
        "Supported where it is so at each level; partly where it is at some, or takes noise away at each and "
        "filters do better; contradicted where it adds to the noise. Useful at "
        f"{sum(it.verdict == 'supported' for it in useful)}. Its error over that filter's: "
        f"{_by_noise(above, 'filter_ratio')}."
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
    by_filter = errors[errors.index.get_level_values("model").isin(FILTERS)].groupby("level").min()
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


@claim(50, HARDER, reading="equal p and sigma, not clipped")
def unclipped_noise_is_harder(denoising: pd.DataFrame, denoising_seeds: pd.DataFrame | None = None) -> Answer:
    """MSE after Gaussian noise over that after zeroed pixels, model best, least over levels"""
    return _harder(
        denoising,
        denoising_seeds,
        "gaussian_unclipped",
        "Sigma .5 has more energy than all the image's pixels together.",
    )


@claim(50, HARDER, reading="equal p and sigma, clipped")
def clipped_noise_is_harder(denoising: pd.DataFrame, denoising_seeds: pd.DataFrame | None = None) -> Answer:
    """MSE after Gaussian noise, clipped to [0, 1], over that after zeroed pixels, model best, least over levels"""
    return _harder(
        denoising, denoising_seeds, "gaussian", "Clipping takes away about half of the noise on black pixels."
    )


@claim(50, HARDER, reading="equal energy")
def matched_noise_is_harder(denoising: pd.DataFrame, denoising_seeds: pd.DataFrame | None = None) -> Answer:
    """MSE after Gaussian noise over that after zeroed pixels of its energy, model best, least over levels"""
    return _harder(
        denoising, denoising_seeds, "gaussian_matched", "The paper gives no energies; this asks which kind is harder."
    )


def _harder(denoising: pd.DataFrame, seeds: pd.DataFrame | None, noise: str, words: str) -> Answer:
    best = rows(denoising, "model best", model="best", noise=noise).dropna(subset=["zeroed_ratio"])
    best = rows(best, "Gaussian noise beside zeroed pixels").sort_values("level")
    ratios = each(best, "zeroed_ratio", ratio=True)
    by_level = [ratio.above(1) for ratio in ratios]
    outcome = at_every(by_level)
    reason = (
        f"Supported above 1 at every level. By level, means over seeds: {listed(best, 'zeroed_ratio')}."
        f"{_by_seed(seeds, noise)} {words}{_filters(denoising, noise)}"
    )
    reason += decides(list(best["level"]), by_level)
    return Answer(outcome.verdict, reason, min(ratios, key=lambda ratio: ratio.value), test=outcome)


def _by_seed(seeds: pd.DataFrame | None, noise: str) -> str:
    """The same ratio of each seed's own errors: one that went astray can outweigh the others in a mean."""
    if seeds is None:
        return ""
    best = seeds[(seeds["model"] == "best") & seeds["noise"].isin((noise, "zeroed"))].astype({"noise": str})
    errors = best.pivot_table(index=["seed", "level"], columns="noise", values="reconstructed_mse")
    if not {noise, "zeroed"} <= set(errors):
        return ""
    ratios = (errors[noise] / errors["zeroed"]).dropna()
    told = [f"seed {seed:g} {' '.join(f'{it:.2f}' for it in of)}" for seed, of in ratios.groupby(level="seed")]
    return f" {'; '.join(told)}."


def _filters(denoising: pd.DataFrame | None, noise: str) -> str:
    """How the model best fares beside the better of the two filters."""
    if denoising is None:
        return ""
    best = denoising[(denoising["model"] == "best") & (denoising["noise"] == noise)].dropna(subset=["filter_ratio"])
    told = listed(best.sort_values("level"), "filter_ratio")
    return f" Its error over that of the better of a median and a Gaussian filter: {told}." if told else ""


def _denoisers(denoising: pd.DataFrame | None) -> str:
    """How models that were trained with Gaussian noise fare beside the better filter, each on its noise."""
    told = []
    for noise in ("gaussian", "gaussian_unclipped"):
        if denoising is not None:
            of = denoising[(denoising["model"] == f"denoise_{noise}") & (denoising["noise"] == noise)]
            told += (
                [f"{noise} {listed(of.sort_values('level'), 'filter_ratio')}".replace("_", " ")] if len(of) else []
            )
    return f" Their error over the better filter's: {'; '.join(told)}." if told else ""


@claim(51, "The model struggles with Gaussian noise because no noisy samples were trained on.", kind="cause")
def training_on_noise_helps(
    denoising_crossed: pd.DataFrame, denoising_seeds: pd.DataFrame, denoising: pd.DataFrame | None = None
) -> Answer:
    """MSE of a model trained on the noise that it is tested with over that of best, greatest over levels"""
    floor, crossed = _floor(denoising_seeds), denoising_crossed.astype({"trained_with": str, "tested_with": str})
    above = crossed[(crossed["noisy_mse"] > floor) & crossed["trained_with"].isin(("gaussian", "gaussian_unclipped"))]
    same = rows(
        above[above["trained_with"] == above["tested_with"]], f"Gaussian noise that costs more than {floor:.4f}"
    )
    ratios = each(same, "ratio", by="num_seeds", ratio=True, ends="", kind="t")
    by_level = [ratio.below(1) for ratio in ratios]
    outcome = at_every(by_level)
    other = above[(above["trained_with"] == "gaussian") & (above["tested_with"] == "gaussian_unclipped")]
    reason = (
        f"At levels that cost more than best loses by itself ({floor:.4f}), clipped and not: supported below 1 at "
        f"each. {_by_noise(same.rename(columns={'tested_with': 'noise'}), 'ratio')}. Trained on clipped noise and "
        f"tested on noise that is not: {listed(other, 'ratio')}.{_denoisers(denoising)}"
    )
    names = [f"{row['level']:g} ({row['tested_with']})".replace("_", " ") for _, row in same.iterrows()]
    reason += decides(names, by_level)
    return Answer(outcome.verdict, reason, max(ratios, key=lambda ratio: ratio.value), test=outcome)


@claim(52, "(The text breaks off: no results of classification, of the planes, of the GANs.)", kind="definition")
def text_breaks_off_here() -> Answer:
    return Answer(
        "not_tested",
        "There is nothing to hold them against but the author's repository; what came out here is in the sections "
        "below.",
    )


def _floor(denoising_seeds: pd.DataFrame) -> float:
    """What the model best loses on clean images, mean over seeds."""
    clean = rows(denoising_seeds, "clean images for the model best", model="best", noise="none")
    return float(clean["reconstructed_mse"].mean())


def _over_seeds(correlations: pd.DataFrame, noise: str) -> pd.DataFrame:
    """Of the model best, mean over seeds, by level."""
    found = rows(correlations, f"{noise} pixels for the model best", model="best", noise=noise)
    return rows(found[found["seed"].isna()], "mean over seeds").sort_values("level")


def _by_noise(table: pd.DataFrame, name: str) -> str:
    told_of = [f"{noise} {listed(of, name)}" for noise, of in table.groupby("noise", observed=True, sort=False)]
    return "; ".join(told_of).replace("_", " ")
