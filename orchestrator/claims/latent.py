"""What the paper claims of latent vectors: classified, and laid out in a plane."""

import pandas as pd

from orchestrator.claims.claim import Answer, Interval, NotTested, claim, difference_in_the_plane, mean, rows, spread

SIMILAR = ((0, 2, 3, 4, 6), (5, 7, 9))
"""Classes that look alike: what is worn above the waist (T-shirt, pullover, dress, coat, shirt), and shoes."""


@claim(27, "A convolutional network classifies latent vectors.")
def cnn_beats_linear_probe_on_latent_vectors(classifiers: pd.DataFrame) -> Answer:
    """its accuracy on the test images, mean over seeds"""
    accuracy = mean(_accuracies(classifiers, "cnn"))
    probe = _accuracies(classifiers, "linear").mean()
    return Answer(
        "supported" if accuracy.value > probe else "contradicted",
        f"Supported where it is more accurate than a linear probe of the same vectors ({probe:.3f}). The author's "
        "own network has fully connected layers only.",
        accuracy,
    )


@claim(28, "A similar network is trained on the unaltered images, over 50 epochs.", paper="50 epochs")
def images_classify_better_than_latent_vectors(classifiers: pd.DataFrame) -> Answer:
    """accuracy on raw images less that on latent vectors, mean over seeds"""
    cnns = rows(classifiers, "convolutional networks", architecture="cnn")
    by_seed = cnns.astype({"input": str}).pivot_table(index="seed", columns="input", values="test_accuracy")
    if not {"latent", "raw"} <= set(by_seed):
        raise NotTested("networks on both")
    epochs = int(cnns["epochs"].max())
    return Answer(
        "supported" if epochs >= 50 else "partly",
        f"Over {epochs} epochs, with the same hidden sizes.",
        mean(by_seed["raw"] - by_seed["latent"]),
    )


@claim(29, "The learning curves on latent vectors and on images can be compared.")
def epochs_to_equal_accuracy(classifier_targets: pd.DataFrame) -> Answer:
    """epochs on latent vectors over those on images, to the highest accuracy that both reached"""
    first = classifier_targets[classifier_targets["seed"] == classifier_targets["seed"].min()]
    cnns = first[first["architecture"] == "cnn"].dropna(subset="epoch").astype({"input": str})
    epochs = cnns.pivot_table(index="accuracy", columns="input", values="epoch").dropna()
    if epochs.empty or not {"latent", "raw"} <= set(epochs):
        raise NotTested("accuracy that both networks reached")
    last = epochs.iloc[-1]
    return Answer(
        "supported",
        f"Both reached {epochs.index[-1]:g}. In seconds, encoding included: table classifier_targets; the author "
        "counts the images' decoding in every epoch, and leaves out the encoding.",
        Interval(float(last["latent"] / last["raw"])),
    )


@claim(30, "A new encoder's plane stands beside PCA and t-SNE.")
def autoencoder_keeps_classes_apart_better_than_pca(embeddings: pd.DataFrame) -> Answer:
    """accuracy of the nearest neighbours in the autoencoder's plane less that in PCA's"""
    margin = difference_in_the_plane(embeddings, "autoencoder", "pca")
    return Answer(
        margin.is_above(0),
        "Supported where it keeps the classes apart better than PCA. In the author's plane of PCA the labels were "
        "among the inputs.",
        margin,
    )


@claim(31, "Classes that look alike are confused, by the encoder and by the other methods.")
def mistakes_stay_among_similar_classes(embedding_confusion: pd.DataFrame) -> Answer:
    """share of the mistaken neighbours within clothes alike, or within shoes; .29 by chance"""
    wrong = embedding_confusion[embedding_confusion["label"] != embedding_confusion["predicted"]]
    alike = sum(wrong["label"].isin(group) & wrong["predicted"].isin(group) for group in SIMILAR)
    by_method = wrong.assign(alike=wrong["count"] * alike).groupby("method", observed=True)
    shares = spread(by_method["alike"].sum() / by_method["count"].sum())
    return Answer(
        shares.is_above(0.5, "partly"),
        "Supported where it is more than half with every method; the ends are the range over these.",
        shares,
    )


def _accuracies(classifiers: pd.DataFrame, architecture: str) -> pd.Series:
    """Of the classifiers of latent vectors that have this architecture."""
    what = f"{architecture} on latent"
    return rows(classifiers, what, input="latent", architecture=architecture)["test_accuracy"]
