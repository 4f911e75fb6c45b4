"""What the paper claims of Gaussian noise (its last sentences)."""

import pandas as pd

from orchestrator.claims.claim import Answer, claim, rows
from orchestrator.claims.denoising import by_noise, own_error
from orchestrator.claims.levels import at_every, decides, each, listed

HARDER = "The model struggles more with Gaussian noise."


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
    floor, crossed = own_error(denoising_seeds), denoising_crossed.astype({"trained_with": str, "tested_with": str})
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
        f"each. {by_noise(same.rename(columns={'tested_with': 'noise'}), 'ratio')}. Trained on clipped noise and "
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
