"""What the paper's Introduction claims."""

import pandas as pd

from orchestrator.claims.claim import (
    Answer,
    Interval,
    NotTested,
    Verdict,
    claim,
    difference_in_the_plane,
    difference_of_shares,
    mean,
    rows,
    spread,
)


@claim(1, "The title calls this Homework 1.")
def title_says_homework_1() -> Answer:
    return Answer("not_tested", "A name, nothing to measure; the author's repository has it as homework 2.")


@claim(2, "The mean squared error tells how faithful a reconstruction is (equation 1).")
def error_of_the_best_model(models: pd.DataFrame) -> Answer:
    """test MSE of the model best, pixels in [0, 1]"""
    best = rows(models, "model best", model="best").iloc[0]
    return Answer(
        "not_tested",
        "A definition. It is read as the mean over pixels and images, and everything here is measured by it.",
        Interval(float(best["test_mse"])),
    )


@claim(3, "An undercomplete autoencoder learns the most prominent features.")
def latent_vectors_classify_as_well_as_images(classifiers: pd.DataFrame, confusion: pd.DataFrame) -> Answer:
    """accuracy of the nearest neighbours by latent vectors less that by raw images"""
    knn = rows(classifiers, "nearest neighbours", architecture="knn").groupby("input", observed=True)
    accuracy = knn["test_accuracy"].mean()
    if not {"latent", "raw"} <= set(accuracy.index):
        raise NotTested("nearest neighbours in both")
    count = int(confusion[(confusion["input"] == "raw") & (confusion["architecture"] == "knn")]["count"].sum())
    difference = difference_of_shares(accuracy["latent"], accuracy["raw"], count)
    return Answer(difference.is_above(-0.05), "Supported where less than .05 of the accuracy is lost.", difference)


@claim(6, "Undercomplete autoencoders are useful for taking noise away.")
def best_model_takes_noise_away(denoising: pd.DataFrame) -> Answer:
    """share of the noises and levels at which the model best helps"""
    best = rows(denoising, "model best", model="best")
    helps = float((best["gain_low"] > 0).mean())
    verdict: Verdict = "supported" if helps == 1 else "contradicted" if helps == 0 else "partly"
    reason = "It helps where the whole 95 % interval of the mean gain is above 0."
    if verdict == "partly":
        weak = best[best["gain_low"] <= 0]
        reason += f" It does not at noise with an MSE up to {weak['noisy_mse'].max():.4f}: less than the model's own."
    return Answer(verdict, reason, Interval(helps))


@claim(7, "An undercomplete autoencoder can be compared with PCA and with t-SNE.")
def methods_that_can_be_compared(embeddings: pd.DataFrame, reconstruction: pd.DataFrame) -> Answer:
    rows(embeddings, "t-SNE", method="tsne")
    return Answer(
        "partly",
        "By the neighbours in the plane, all three; by reconstruction only with PCA, since t-SNE has no decoder.",
    )


@claim(10, "t-SNE is the non-linear method to be measured against.", paper="well-established")
def tsne_keeps_classes_apart_better(embeddings: pd.DataFrame) -> Answer:
    """accuracy of the nearest neighbours in t-SNE's plane less that in the autoencoder's"""
    margin = difference_in_the_plane(embeddings, "tsne", "autoencoder")
    return Answer(
        margin.is_above(0), "Supported where its plane keeps the classes apart better than the autoencoder's.", margin
    )


@claim(11, "The games' payoff is (3), which the discriminator maximises (equations 2 and 3).")
def payoff_of_minimax_after_last_epoch(gan_epochs: pd.DataFrame) -> Answer:
    """(3) after the last epoch, minimax; 1.386 where d is 1/2"""
    last = gan_epochs[gan_epochs["epoch"] == gan_epochs["epoch"].max()]
    return Answer(
        "partly",
        "The game is (2); but (3) as it is printed is what the discriminator minimises, and the generator maximises "
        "its second term: its sign is the other way round. A better discriminator has less of it.",
        mean(rows(last, "game of minimax", loss="minimax")["d_loss"]),
    )


@claim(12, "Minimax's gradient quickly diverges away from d = 1/2.")
def minimax_gradient_away_from_one_half(gan_epochs: pd.DataFrame) -> Answer:
    """size of the gradient of the generator's loss in the logit, less d(g(z))"""
    minimax = rows(gan_epochs, "game of minimax", loss="minimax")
    excess, least = spread(minimax["g_logit_grad"] - minimax["d_fake"]), minimax["d_fake"].min()
    return Answer(
        "partly" if excess.is_within(-0.1, 0.1) else "inconclusive",
        "There is such an issue, but the gradient vanishes and does not diverge: it is d itself, 1/2 at 1/2 and "
        f"nothing at 0. In this run d(g(z)) went down to {least:.2g}. The ends are the range over epochs.",
        excess,
    )


@claim(13, "The non-saturating loss mends minimax's gradient.")
def non_saturating_images_are_closer(gan_intervals: pd.DataFrame) -> Answer:
    """Frechet distance of minimax less that of non-saturating, mean over seeds"""
    row = rows(gan_intervals, "game of each kind", loss="difference").iloc[0]
    if not row["num_seeds"]:
        raise NotTested("seed with both games played to the end")
    ends = () if row["num_seeds"] < 2 else (float(row["low"]), float(row["high"]))
    farther = Interval(float(row["frechet_distance"]), *ends)
    return Answer(
        farther.is_above(0),
        f"{row['num_seeds']} seed(s). Minimax is minimax here; in the author's code both runs trained the "
        "non-saturating loss.",
        farther,
    )


@claim(14, "Both formulations are explored.")
def both_losses_are_trained(gans: pd.DataFrame) -> Answer:
    """games played to the end"""
    losses = gans[gans["state"] == "complete"]["loss"]
    both = {"minimax", "non_saturating"} <= set(losses)
    return Answer("supported" if both else "partly", "Here they are.", Interval(float(len(losses))))
