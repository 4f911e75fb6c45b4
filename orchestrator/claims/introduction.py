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

OVERCOMPLETE = 784
"""Latent size from which on an autoencoder of these images is overcomplete."""


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


@claim(4, "An overcomplete autoencoder converges to the identity.")
def overcomplete_error_beside_undercomplete(identity: pd.DataFrame, reconstruction: pd.DataFrame) -> Answer:
    """its test MSE over that of the undercomplete one; the identity has 0"""
    wide = rows(reconstruction, "wide autoencoder", method="wide_autoencoder")
    narrow = rows(reconstruction, "autoencoder", method="autoencoder")
    wide = rows(wide[wide["latent_dim"] >= OVERCOMPLETE], "overcomplete autoencoder")
    narrow = rows(narrow[narrow["latent_dim"] <= 14], "undercomplete autoencoder")
    ratio = spread(wide["test_mse"] / narrow["test_mse"].min())
    return Answer(
        ratio.is_below(0.1, "partly"),
        f"Supported up to a tenth. Trained for {wide['epochs'].max():.0f} epochs: what it would come to in the end "
        "is not known. The ends are the range over latent sizes.",
        ratio,
    )


@claim(5, "An overcomplete autoencoder's output is as noisy as its input.")
def noise_passes_an_overcomplete_autoencoder(identity: pd.DataFrame) -> Answer:
    """noise energy that comes out over what went in"""
    wide = identity[identity["latent_dim"] >= OVERCOMPLETE].dropna(subset="noise_passed")
    passed = spread(rows(wide, "overcomplete autoencoder")["noise_passed"])
    return Answer(
        passed.is_above(0.8, "partly"),
        "As noisy is .8 or more; the ends are the range over noises and latent sizes.",
        passed,
    )


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


@claim(8, "Without non-linearities an autoencoder learns PCA's subspace.", paper="expected")
def linear_autoencoder_finds_subspace_of_pca(reconstruction: pd.DataFrame) -> Answer:
    """largest principal angle to PCA's subspace, degrees"""
    linear = rows(reconstruction, "linear autoencoder", method="linear_autoencoder")
    angle, ratio = spread(linear["largest_angle_degrees"]), linear["pca_ratio"].max()
    near = angle.is_below(5) == "supported" and ratio <= 1.02
    return Answer(
        "supported" if near else "contradicted",
        f"Supported up to 5 degrees and 1.02 of PCA's MSE; the greatest is {ratio:.4f}. It is the subspace that is "
        "learned, not the axes. The ends are the range over sizes and seeds.",
        angle,
    )


@claim(9, "Non-linearity makes an autoencoder describe more than PCA does.", paper="arguably")
def nonlinear_error_beside_pca(reconstruction: pd.DataFrame) -> Answer:
    """its test MSE over that of PCA with as many numbers"""
    table = rows(reconstruction, "autoencoder", method="autoencoder").dropna(subset="pca_ratio")
    ratio = spread(rows(table, "latent size that PCA was measured at")["pca_ratio"])
    by_size = [mean(of_size) for _, of_size in table.groupby("latent_dim")["pca_ratio"]]
    highest = max(of_size.value if of_size.high is None else of_size.high for of_size in by_size)
    seeds = table["seed"].nunique()
    reason = f"At every latent size, {seeds} seed(s); the ends are the range over sizes and seeds."
    without = reconstruction[reconstruction["method"] == "table1_no_relu"]["pca_ratio"].mean()
    if pd.notna(without):
        reason += f" Table 1's network without ReLU: {without:.2f}."
    return Answer(Interval(ratio.value, ratio.low, highest).is_below(1, "partly"), reason, ratio)


@claim(10, "t-SNE is the non-linear method to be measured against.", paper="well-established")
def tsne_keeps_classes_apart_better(embeddings: pd.DataFrame) -> Answer:
    """accuracy of the nearest neighbours in t-SNE's plane less that in the autoencoder's"""
    margin = difference_in_the_plane(embeddings, "tsne", "autoencoder")
    return Answer(
        margin.is_above(0), "Supported where its plane keeps the classes apart better than the autoencoder's.", margin
    )
