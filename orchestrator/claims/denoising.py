"""What the paper claims of denoising (Figure 2); the text breaks off after it."""

import pandas as pd

from orchestrator.claims.claim import Answer, Interval, NotTested, claim, rows, spread

AUTHOR_LEVELS = {0.1, 0.2, 0.3, 0.4, 0.5}


@claim(45, "Denoising is tested with different levels of noise (Figure 2).", paper=".1 to .5")
def levels_of_noise_tested(denoising: pd.DataFrame) -> Answer:
    """levels of zeroed pixels"""
    levels = set(rows(denoising, "zeroed pixels", noise="zeroed")["level"])
    return Answer(
        "supported" if levels >= AUTHOR_LEVELS else "partly",
        "On all test images, each level, beside four kinds of noise more; figure denoise_boot is the author's image.",
        Interval(float(len(levels))),
    )


@claim(46, "The loss improves at every level of noise.", paper=".019 to .015, ..., .105 to .064 (a)")
def denoising_gains_at_every_level(denoising: pd.DataFrame) -> Answer:
    """least gain over the levels, model best, with its 95 % interval over images"""
    best, table1 = (
        rows(denoising, f"zeroed pixels for {model}", noise="zeroed", model=model).sort_values("gain")
        for model in ("best", "paper_table1")
    )
    least, others = best.iloc[0], table1.iloc[0]
    helps = pd.concat([best["gain_low"], table1["gain_low"]]) > 0
    return Answer(
        "supported" if helps.all() else "partly" if helps.any() else "contradicted",
        f"At p = {least['level']:g}, mean over the test images. Table 1's own network: {others['gain']:.4f} at "
        f"p = {others['level']:g}. Zeroing costs p times the mean square, .021 at p = .1: about what a model with "
        "three latent numbers loses by itself.",
        Interval(float(least["gain"]), float(least["gain_low"]), float(least["gain_high"]), "bootstrap"),
    )


@claim(47, "Whether the loss improves depends on the sample.")
def gain_depends_on_the_sample(denoising: pd.DataFrame) -> Answer:
    """share of the images that improve at the lowest level of zeroed pixels, model best"""
    zeroed = rows(denoising, "zeroed pixels", noise="zeroed", model="best").sort_values("level")
    improved = zeroed["fraction_improved"]
    ends = spread(improved)
    mixed = ((improved > 0.01) & (improved < 0.99)).any()
    return Answer(
        "supported" if mixed else "contradicted",
        "Supported between .01 and .99 at any level; the ends are the range over levels.",
        Interval(float(improved.iloc[0]), ends.low, ends.high),
    )


@claim(48, "Samples with more black pixels of their own are less likely to improve.")
def black_images_gain_less(denoising_correlations: pd.DataFrame) -> Answer:
    """rank correlation of gain and share of black pixels, zeroed pixels, model best, mean over levels"""
    zeroed = rows(denoising_correlations, "zeroed pixels", noise="zeroed", model="best")
    ranks = spread(zeroed["spearman_zero_fraction"])
    left = zeroed["partial_spearman_zero_fraction"].mean()
    return Answer(
        ranks.is_below(0, "partly"),
        "Supported below 0 at every level; the ends are the range over these. With the image's mean square taken out "
        f"{left:.2f} is left, mean over the levels.",
        ranks,
    )


@claim(49, "Black samples gain less since pixels are blackened uniformly: black ones stay what they were.")
def black_images_gain_less_by_uniform_zeroing(denoising_correlations: pd.DataFrame) -> Answer:
    """share of that correlation left where as many pixels that are not black are zeroed in every image"""
    best = denoising_correlations[denoising_correlations["model"] == "best"].set_index("level")
    uniform, foreground = (
        rows(best, noise, noise=noise)["spearman_zero_fraction"] for noise in ("zeroed", "zeroed_foreground")
    )
    left = spread(foreground / uniform)
    return Answer(
        left.is_below(0.5, "partly"),
        "If so, it goes where every image loses as much: supported below a half at every level; the ends are the "
        f"range over these. On average {uniform.mean():.2f} with uniform zeroing, {foreground.mean():.2f} with this.",
        left,
    )


@claim(50, "The model struggles more with Gaussian noise.")
def gaussian_noise_is_harder(denoising: pd.DataFrame) -> Answer:
    """MSE after Gaussian noise over that after zeroed pixels of its energy, model best, mean over levels"""
    best = rows(denoising, "model best", model="best").astype({"noise": str})
    by_level = best.pivot_table(index="level", columns="noise", values="reconstructed_mse")
    if not {"gaussian_matched", "zeroed"} <= set(by_level):
        raise NotTested("Gaussian noise beside zeroed pixels")
    ratio = spread((by_level["gaussian_matched"] / by_level["zeroed"]).dropna())
    return Answer(
        ratio.is_above(1, "partly"),
        "Supported above 1 at every level; the ends are the range over these. An equal sigma and p are no equal "
        "noise: sigma .5 has the energy of all the image's pixels together.",
        ratio,
    )


@claim(51, "The model struggles with Gaussian noise because no noisy samples were trained on.")
def training_on_noise_helps(denoising: pd.DataFrame) -> Answer:
    """MSE after Gaussian noise of a model trained on such noise over that of best, mean over levels"""
    noisy = rows(denoising, "Gaussian noise", noise="gaussian_unclipped").astype({"model": str})
    by_level = noisy.pivot_table(index="level", columns="model", values="reconstructed_mse")
    if not {"denoise_gaussian", "best"} <= set(by_level):
        raise NotTested("model trained on noise")
    ratios = by_level["denoise_gaussian"] / by_level["best"]
    ratio = spread(ratios)
    return Answer(
        ratio.is_below(1, "partly"),
        "Supported below 1 at every level: training on noise does help; the ends are the range over these, "
        f"{ratios.iloc[0]:.2f} at sigma {ratios.index[0]:g}, {ratios.iloc[-1]:.2f} at {ratios.index[-1]:g}.",
        ratio,
    )


@claim(52, "(The text breaks off: no results of classification, of the planes, of the GANs.)")
def text_breaks_off_here() -> Answer:
    return Answer(
        "not_tested",
        "There is nothing to hold them against but the author's repository; what came out here is in the sections "
        "below.",
    )
