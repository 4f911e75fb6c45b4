"""What the paper claims of its GANs, but for what the Introduction says."""

from __future__ import annotations

from orchestrator.claims.claim import (
    Answer,
    NotTested,
    Tables,
    Verdict,
    claim,
    deviation,
    rows,
    spread,
)


@claim(
    32, "Two losses to be followed at once keep a GAN from being tuned automatically.", "gan_trials",
    quantity="Frechet distance of the best trial over that of the median one, mean over the games",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    by_game = rows(tables["gan_trials"], "finished trial").groupby("loss", observed=True)["val_frechet_distance"]
    if by_game.count().min() < 3:
        raise NotTested("three finished trials of a game")
    found = spread(by_game.min() / by_game.median())
    return Answer(
        "contradicted" if found.is_below(0.9) == "supported" else "inconclusive",
        "One number is enough, the distance from validation images. Contradicted where the best trial's is a tenth "
        "below the median trial's in each game; the ends are the range over these.",
        found,
    )


@claim(
    33, "Parameters that improve the generator's loss hinder the discriminator's, and vice versa.", "gan_trials",
    quantity="rank correlation of the two losses over the trials",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    from scipy.stats import spearmanr

    games = rows(tables["gan_trials"], "finished trial").groupby("loss", observed=True)
    found = {str(loss): spearmanr(table["d_loss"], table["g_loss"]) for loss, table in games if len(table) > 3}
    if not found:
        raise NotTested("four finished trials of a game")
    told = all(it.pvalue < 0.05 for it in found.values())
    signs = {it.statistic < 0 for it in found.values()}
    verdict: Verdict = "inconclusive" if not told else "partly" if len(signs) > 1 else "supported"
    if told and signs == {False}:
        verdict = "contradicted"
    values = ", ".join(f"{name.replace('_', '-')} {it.statistic:.2f}" for name, it in found.items())
    return Answer(
        verdict,
        f"Supported where it is below 0 in each game, with p < .05: {values}. Minimax's generator has its loss from "
        "the discriminator's, so that there it must be.",
        spread(it.statistic for it in found.values()),
    )


@claim(34, "Training a GAN is computationally demanding.", "gans", "folds", "fold_epochs")
def _(tables: Tables) -> Answer:
    games = rows(tables["gans"], "finished game")
    folds = rows(tables["folds"], "fold in sequential order", order="sequential")
    game = float((games["seconds"] * games["num_workers"] / games["epochs"]).mean())
    fold = float(folds["seconds"].mean() / tables["fold_epochs"]["epoch"].max())
    verdict: Verdict = "supported" if game > 2 * fold else "contradicted" if game < fold else "inconclusive"
    return Answer(
        verdict,
        "Supported where an epoch takes more than twice the core-seconds of one of a fold. Here it is a game with "
        "smaller networks than the author's, which are seven times the work.",
        seconds=game,
    )


@claim(
    35, "One model, without cross-validation, is enough for the regular images.", "gans",
    quantity="standard deviation of the Frechet distance over seeds, over its mean",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    distances = rows(tables["gans"], "game of non-saturating", loss="non_saturating")["frechet_distance"]
    found = deviation(distances, distances.mean())
    return Answer(found.is_below(0.25), f"Supported below .25; {len(distances)} seeds, each on all images.", found)


@claim(36, "Generator and discriminator have four convolutional layers each and no fully connected one.", "gans")
def _(tables: Tables) -> Answer:
    rows(tables["gans"], "finished game")
    return Answer("supported", "So they are built (trainables/gan.py), and the games were played with them.")


@claim(37, "The generator's images have 28 x 28 pixels, the discriminator's output is a single number.", "gans")
def _(tables: Tables) -> Answer:
    rows(tables["gans"], "finished game")
    return Answer("supported", "So they are built; the number is the logit of d.")
