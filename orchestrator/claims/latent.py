"""What the paper claims of latent vectors: classified, and laid out in a plane."""

from functools import cache
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from orchestrator.claims.claim import Answer, claim, rows
from orchestrator.claims.pairs import difference_in_accuracy
from orchestrator.statistics.intervals import LEVEL, NotTested, Outcome, Verdict, geometric_mean, spread

SIMILAR = ((0, 2, 3, 4, 6), (5, 7, 9))
"""Classes that look alike: what is worn above the waist (T-shirt, pullover, dress, coat, shirt), and shoes."""
CNNS = {given: {"input": given, "architecture": "cnn"} for given in ("latent", "raw")}


@claim(27, "A convolutional network classifies latent vectors.")
def cnn_beats_linear_probe_on_latent_vectors(
    classifier_predictions: pd.DataFrame, classifiers: pd.DataFrame
) -> Answer:
    """its accuracy on the test images less that of a linear probe of the same vectors"""
    difference = difference_in_accuracy(
        classifier_predictions, CNNS["latent"], {"input": "latent", "architecture": "linear"}
    )
    accuracies = classifiers[classifiers["input"] == "latent"].groupby("architecture", observed=True)["test_accuracy"]
    told = ", ".join(f"{name} {value:.3f}" for name, value in accuracies.mean().dropna().items())
    test = difference.above(0)
    reason = (
        f"Supported where it is more accurate, on the same images. Accuracies: {told} (knn: the nearest neighbours). "
        "The author's own network has fully connected layers only (mlp)."
    )
    return Answer(test.verdict, reason, difference, test=test)


@claim(
    28,
    "A similar network is trained on the unaltered images, over 50 epochs.",
    kind="protocol",
    scale_free=True,
    paper="50 epochs",
)
def images_classify_better_than_latent_vectors(
    classifier_predictions: pd.DataFrame, classifiers: pd.DataFrame
) -> Answer:
    """accuracy on raw images less that on latent vectors"""
    cnns = rows(classifiers, "convolutional networks", architecture="cnn").astype({"input": str})
    epochs, sizes = int(cnns["epochs"].min()), cnns.groupby("input")["num_parameters"].max()
    if not set(CNNS) <= set(sizes.index):
        raise NotTested("networks on both")
    return Answer(
        "followed" if epochs >= 50 else "not_followed",
        f"Over {epochs} epochs. Similar means the same layers, convolving along a vector or over an image: "
        f"{sizes['latent']:,.0f} parameters on latent vectors, {sizes['raw']:,.0f} on images. How both are trained "
        "was chosen for raw images, by their test accuracy.",
        difference_in_accuracy(classifier_predictions, CNNS["raw"], CNNS["latent"]),
    )


@claim(29, "The learning curves on latent vectors and on images are compared.", kind="protocol", scale_free=True)
def epochs_to_equal_accuracy(classifier_targets: pd.DataFrame) -> Answer:
    """epochs on latent vectors over those on images, to the highest accuracy that both reached from every seed"""
    cnns = classifier_targets[classifier_targets["architecture"] == "cnn"].astype({"input": str})
    spent = cnns.pivot_table(index="accuracy", columns=["input", "seed"], values=["epoch", "cpu_seconds"]).dropna()
    if not set(CNNS) <= set(cnns["input"]):
        return Answer("not_followed", "Only one of them was trained.")
    if spent.empty or not set(CNNS) <= set(spent.columns.get_level_values("input")):
        raise NotTested("accuracy that both networks reached")
    last = spent.iloc[-1]
    return Answer(
        "followed",
        f"All reached {spent.index[-1]:g}, the first epoch with such an accuracy on the test images counting. The "
        "time is a processor's on latent vectors, encoding included; that on images is in the table. The author "
        "counts the images' decoding in every epoch, and leaves out the encoding.",
        geometric_mean(last["epoch"]["latent"] / last["epoch"]["raw"]),
        seconds=float(last["cpu_seconds"]["latent"].mean()),
    )


@claim(30, "A new encoder's plane stands beside PCA and t-SNE.")
def autoencoder_keeps_classes_apart_better_than_pca(embedding_predictions: pd.DataFrame) -> Answer:
    """accuracy of the nearest neighbours in the autoencoder's plane less that in PCA's"""
    margin = difference_in_accuracy(embedding_predictions, {"method": "autoencoder"}, {"method": "pca"})
    test = margin.above(0)
    return Answer(
        test.verdict,
        "Supported where it keeps the classes apart better than PCA, on the same images. In the author's plane of "
        "PCA the labels were among the inputs.",
        margin,
        test=test,
    )


@claim(31, "Classes that look alike are confused, by the encoder and by the other methods.")
def mistakes_stay_among_similar_classes(embedding_predictions: pd.DataFrame) -> Answer:
    """share of the mistaken neighbours within clothes alike, or within shoes"""
    wrong = embedding_predictions[embedding_predictions["label"] != embedding_predictions["predicted"]]
    shares, tests, by_chance = [], [], []
    for _, mistakes in wrong.groupby("method", observed=True):
        counts = np.zeros((10, 10))
        np.add.at(counts, (mistakes["label"], mistakes["predicted"]), 1)
        share, of_all = within(counts, SIMILAR), _within_every_grouping(counts)
        more, less = (of_all > share - 1e-9).mean(), (of_all < share + 1e-9).mean()
        p = float(min(1, 2 * min(more, less)))
        tests.append(Outcome("inconclusive" if p >= LEVEL else "supported" if more < less else "contradicted", p))
        shares.append(share)
        by_chance.append(of_all.mean())
    if not tests:
        raise NotTested("mistaken neighbour")
    verdicts = {test.verdict for test in tests}
    verdict: Verdict = (
        verdicts.pop() if len(verdicts) == 1 else "partly" if "supported" in verdicts else "inconclusive"
    )
    values = [test.p or 0.0 for test in tests]
    p = min(1.0, min(values) * len(values)) if verdict == "partly" else max(values)
    return Answer(
        verdict,
        "Tested against every other way to put the ten classes into groups of five, of three and of the rest, in "
        f"which {np.mean(by_chance):.2f} would stay; supported where these groups hold more with every method, "
        "partly with some. The ends are the range over the methods.",
        spread(shares),
        test=Outcome(verdict, p),
    )


def within(counts: NDArray[np.float64], groups: tuple[tuple[int, ...], ...]) -> float:
    """Share of mistakes, counted by true and by mistaken class, that stay within a group of classes."""
    return float(sum(counts[np.ix_(group, group)].sum() for group in groups) / counts.sum())


def _within_every_grouping(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same of all 2,520 groupings of ten classes into groups of the same sizes, the one of SIMILAR among them."""
    chosen = _groupings()
    shares: NDArray[np.float64] = ((chosen @ counts) * chosen).sum(axis=(1, 2)) / counts.sum()
    return shares


@cache
def _groupings() -> NDArray[np.float64]:
    """Of each grouping, and of its two groups, which classes are in it: shape (2520, 2, 10), zeros and ones."""
    groups = [
        (first, second)
        for first in combinations(range(10), len(SIMILAR[0]))
        for second in combinations(sorted(set(range(10)) - set(first)), len(SIMILAR[1]))
    ]
    chosen = np.zeros((len(groups), 2, 10))
    for number, both in enumerate(groups):
        for which, group in enumerate(both):
            chosen[number, which, list(group)] = 1
    return chosen
