"""What the paper's Introduction claims."""

import pandas as pd

from orchestrator.claims.claim import (
    Answer,
    Interval,
    NotTested,
    claim,
    mean,
    rows,
    spread,
)
from orchestrator.claims.pairs import difference_in_accuracy


@claim(1, "The title calls this Homework 1.", kind="definition", scale_free=True)
def title_says_homework_1() -> Answer:
    return Answer("not_tested", "A name, nothing to measure; the author's repository has it as homework 2.")


@claim(
    2,
    "The mean squared error tells how faithful a reconstruction is (equation 1).",
    kind="definition",
    scale_free=True,
)
def error_of_the_best_model(models: pd.DataFrame) -> Answer:
    """test MSE of the model best, pixels in [0, 1]"""
    errors = rows(models, "model best", model="best")["test_mse"]
    return Answer(
        "not_tested",
        "A definition. It is read as the mean over pixels and images, and everything here is measured by it.",
        mean(errors),
    )


@claim(3, "An undercomplete autoencoder learns the most prominent features.", threshold=0.05)
def latent_vectors_classify_as_well_as_images(
    classifier_predictions: pd.DataFrame, reconstruction: pd.DataFrame | None = None, *, threshold: float
) -> Answer:
    """accuracy of the nearest neighbours by latent vectors less that by raw images"""
    knn: list[dict[str, str]] = [{"input": given, "architecture": "knn"} for given in ("latent", "raw")]
    difference = difference_in_accuracy(classifier_predictions, *knn)
    test = difference.above(-threshold)
    reason = f"Supported where less than {threshold:g} of the accuracy is lost, on the same images and over encoders."
    return Answer(test.verdict, reason + _beside_pca(reconstruction), difference, test=test)


def _beside_pca(reconstruction: pd.DataFrame | None) -> str:
    """What of PCA's error the largest undercomplete autoencoder of the stage capacity leaves; empty where it is not
    known."""
    if reconstruction is None:
        return ""
    table = reconstruction[(reconstruction["method"] == "autoencoder") & (reconstruction["latent_dim"] < 15)]
    table = table.dropna(subset="pca_ratio")
    if table.empty:
        return ""
    size = table["latent_dim"].max()
    ratio = table[table["latent_dim"] == size]["pca_ratio"].mean()
    return f" With {size} numbers it leaves {ratio:.2f} of the error that as many of PCA's leave."


@claim(7, "An undercomplete autoencoder can be compared with PCA and with t-SNE.", kind="definition", scale_free=True)
def methods_that_can_be_compared(embeddings: pd.DataFrame, reconstruction: pd.DataFrame) -> Answer:
    for name, table, methods in (
        ("plane", embeddings, ("autoencoder", "pca", "tsne")),
        ("reconstruction", reconstruction, ("autoencoder", "pca")),
    ):
        if missing := [method for method in methods if method not in set(table["method"])]:
            raise NotTested(f"{name} by {', '.join(missing)}")
    return Answer(
        "partly",
        "By the neighbours in the plane, all three; by reconstruction only with PCA, since t-SNE has no decoder.",
    )


@claim(10, "t-SNE is the non-linear method to be measured against.", paper="well-established")
def tsne_keeps_classes_apart_better(embedding_predictions: pd.DataFrame) -> Answer:
    """accuracy of the nearest neighbours in t-SNE's plane less that in the autoencoder's"""
    margin = difference_in_accuracy(embedding_predictions, {"method": "tsne"}, {"method": "autoencoder"})
    test = margin.above(0)
    reason = "Supported where its plane keeps the classes apart better than the autoencoder's, on the same images."
    return Answer(test.verdict, reason, margin, test=test)


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
