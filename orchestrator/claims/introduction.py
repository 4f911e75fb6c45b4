"""What the paper's Introduction claims."""

import pandas as pd

from orchestrator.claims.claim import Answer, claim, rows
from orchestrator.claims.pairs import difference_in_accuracy
from orchestrator.statistics.intervals import NotTested, mean


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
