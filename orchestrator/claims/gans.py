"""What the paper claims of its GANs, but for what the Introduction says."""

import pandas as pd

from orchestrator.claims.claim import Answer, NotTested, Verdict, claim, deviation, rows, spread


@claim(32, "Two losses to be followed at once keep a GAN from being tuned automatically.")
def best_gan_trial_beats_the_median(gan_trials: pd.DataFrame) -> Answer:
    """Frechet distance of the best trial over that of the median one, mean over the games"""
    by_loss = rows(gan_trials, "finished trial").groupby("loss", observed=True)["val_frechet_distance"]
    if by_loss.count().min() < 3:
        raise NotTested("three finished trials of a game")
    ratio = spread(by_loss.min() / by_loss.median())
    return Answer(
        "contradicted" if ratio.is_below(0.9) == "supported" else "inconclusive",
        "One number is enough, the distance from validation images. Contradicted where the best trial's is a tenth "
        "below the median trial's in each game; the ends are the range over these.",
        ratio,
    )


@claim(33, "Parameters that improve the generator's loss hinder the discriminator's, and vice versa.")
def generator_and_discriminator_losses_oppose(gan_trials: pd.DataFrame) -> Answer:
    """rank correlation of the two losses over the trials"""
    from scipy.stats import spearmanr

    by_loss = rows(gan_trials, "finished trial").groupby("loss", observed=True)
    ranks = {str(loss): spearmanr(table["d_loss"], table["g_loss"]) for loss, table in by_loss if len(table) > 3}
    if not ranks:
        raise NotTested("four finished trials of a game")
    told = all(rank.pvalue < 0.05 for rank in ranks.values())
    oppose = [rank.statistic < 0 for rank in ranks.values()]
    of_both: Verdict = "supported" if all(oppose) else "partly" if any(oppose) else "contradicted"
    values = ", ".join(f"{name.replace('_', '-')} {rank.statistic:.2f}" for name, rank in ranks.items())
    return Answer(
        of_both if told else "inconclusive",
        f"Supported where it is below 0 in each game, with p < .05: {values}. Minimax's generator has its loss from "
        "the discriminator's, so that there it must be.",
        spread(rank.statistic for rank in ranks.values()),
    )


@claim(34, "Training a GAN is computationally demanding.")
def gan_epochs_cost_more(gans: pd.DataFrame, folds: pd.DataFrame, fold_epochs: pd.DataFrame) -> Answer:
    trained = rows(gans, "finished game")
    sequential = rows(folds, "fold in sequential order", order="sequential")
    gan = float((trained["seconds"] * trained["num_workers"] / trained["epochs"]).mean())
    fold = float(sequential["seconds"].mean() / fold_epochs["epoch"].max())
    return Answer(
        "supported" if gan > 2 * fold else "contradicted" if gan < fold else "inconclusive",
        "Supported where an epoch takes more than twice the core-seconds of one of a fold. Here it is a game with "
        "smaller networks than the author's, which are seven times the work.",
        seconds=gan,
    )


@claim(35, "One model, without cross-validation, is enough for the regular images.")
def gans_vary_little_over_seeds(gans: pd.DataFrame) -> Answer:
    """standard deviation of the Frechet distance over seeds, over its mean"""
    distances = rows(gans, "game of non-saturating", loss="non_saturating")["frechet_distance"]
    cv = deviation(distances, distances.mean())
    return Answer(cv.is_below(0.25), f"Supported below .25; {len(distances)} seeds, each on all images.", cv)


@claim(36, "Generator and discriminator have four convolutional layers each and no fully connected one.")
def networks_have_four_convolutional_layers(gans: pd.DataFrame) -> Answer:
    rows(gans, "finished game")
    return Answer("supported", "So they are built (trainables/gan.py), and the games were played with them.")


@claim(37, "The generator's images have 28 x 28 pixels, the discriminator's output is a single number.")
def images_have_28_by_28_pixels(gans: pd.DataFrame) -> Answer:
    rows(gans, "finished game")
    return Answer("supported", "So they are built; the number is the logit of d.")
