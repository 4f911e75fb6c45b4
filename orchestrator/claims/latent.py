"""What the paper claims of latent vectors: classified, and laid out in a plane."""

from __future__ import annotations

import pandas as pd

from orchestrator.claims.claim import (
    Answer,
    Interval,
    NotTested,
    Tables,
    claim,
    difference_in_the_plane,
    mean,
    rows,
    spread,
)

SIMILAR = ((0, 2, 3, 4, 6), (5, 7, 9))
"""Classes that look alike: what is worn above the waist (T-shirt, pullover, dress, coat, shirt), and shoes."""


@claim(
    27, "A convolutional network classifies latent vectors.", "classifiers",
    quantity="its accuracy on the test images, mean over seeds",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    found = mean(_accuracies(tables, "latent"))
    probe = _accuracies(tables, "latent", "linear").mean()
    return Answer(
        "supported" if found.value > probe else "contradicted",
        f"Supported where it is more accurate than a linear probe of the same vectors ({probe:.3f}). The author's "
        "own network has fully connected layers only.",
        found,
    )


@claim(
    28, "A similar network is trained on the unaltered images, over 50 epochs.", "classifiers", paper="50 epochs",
    quantity="accuracy on raw images less that on latent vectors, mean over seeds",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    table = rows(tables["classifiers"], "convolutional networks", architecture="cnn")
    by_seed = table.astype({"input": str}).pivot_table(index="seed", columns="input", values="test_accuracy")
    if not {"latent", "raw"} <= set(by_seed):
        raise NotTested("networks on both")
    epochs = int(table["epochs"].max())
    return Answer(
        "supported" if epochs >= 50 else "partly",
        f"Over {epochs} epochs, with the same hidden sizes.",
        mean(by_seed["raw"] - by_seed["latent"]),
    )


@claim(
    29, "The learning curves on latent vectors and on images can be compared.", "classifier_targets",
    quantity="epochs on latent vectors over those on images, to the highest accuracy that both reached",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    table = tables["classifier_targets"]
    first = table["seed"].min()
    table = table[(table["architecture"] == "cnn") & (table["seed"] == first)].dropna(subset=["epoch"])
    epochs = table.astype({"input": str}).pivot_table(index="accuracy", columns="input", values="epoch").dropna()
    if epochs.empty or not {"latent", "raw"} <= set(epochs):
        raise NotTested("accuracy that both networks reached")
    last = epochs.iloc[-1]
    slower = last["latent"] / last["raw"]
    return Answer(
        "supported",
        f"Both reached {epochs.index[-1]:g}. In seconds, encoding included: table classifier_targets; the author "
        "counts the images' decoding in every epoch, and leaves out the encoding.",
        Interval(float(slower)),
    )


@claim(
    30, "A new encoder's plane stands beside PCA and t-SNE.", "embeddings",
    quantity="accuracy of the nearest neighbours in the autoencoder's plane less that in PCA's",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    found = difference_in_the_plane(tables["embeddings"], "autoencoder", "pca")
    return Answer(
        found.is_above(0),
        "Supported where it keeps the classes apart better than PCA. In the author's plane of PCA the labels were "
        "among the inputs.",
        found,
    )


@claim(
    31, "Classes that look alike are confused, by the encoder and by the other methods.", "embedding_confusion",
    quantity="share of the mistaken neighbours within clothes alike, or within shoes; .29 by chance",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    table = tables["embedding_confusion"]
    wrong = table[table["label"] != table["predicted"]]
    alike = sum(wrong["label"].isin(group) & wrong["predicted"].isin(group) for group in SIMILAR)
    shares = (wrong["count"] * alike).groupby(wrong["method"], observed=True).sum() / wrong.groupby(
        "method", observed=True
    )["count"].sum()
    found = spread(shares)
    return Answer(
        found.is_above(0.5, "partly"),
        "Supported where it is more than half with every method; the ends are the range over these.",
        found,
    )


def _accuracies(tables: Tables, given: str, architecture: str = "cnn") -> pd.Series:
    what = f"{architecture} on {given}"
    return rows(tables["classifiers"], what, input=given, architecture=architecture)["test_accuracy"]
