"""embed: the plane of a latent vector of two numbers beside PCA's and t-SNE's (the paper's Methods, last part).

Reads refit's model two_dim. Writes the tables embeddings, embedding_points and embedding_confusion and two figures.

Test images are laid out in the plane, t-SNE's made of them alone. How new points fare is measured too: each method
is fitted to training images, test images are added, and their class is told from the training images around them.
Everything runs on one thread, so that the same seed gives the same plane.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.config import Embed
from orchestrator.figures import embed as figures
from orchestrator.stage import Context, Record, Stage
from orchestrator.stages.refit import load_model
from orchestrator.tables import Row

Points = NDArray[Any]

NEW_POINTS = {
    "autoencoder": "the encoder maps any image",
    "pca": "the projection maps any image",
    "tsne": "t-SNE has no map; openTSNE moves a new point among the fitted ones, which stay where they are",
}


def finish(context: Context, records: dict[str, Record]) -> None:
    """Lay the images out, and measure what is near what."""
    data, settings = context.data, context.settings.embed
    test, labels = _pixels(data.test_images), data.test_labels
    fitted, fitted_labels = data.train_images[: settings.num_fitted], data.train_labels[: settings.num_fitted]
    methods: dict[str, Callable[[], tuple[Points, Points, Points]]] = {
        "autoencoder": lambda: _autoencoder(context, fitted),
        "pca": lambda: _pca(context, fitted),
        "tsne": lambda: _tsne(context, fitted),
    }
    rows: list[Row] = []
    confusion: list[Row] = []
    points: list[dict[str, Any]] = []
    for method, embed in methods.items():
        started = time.perf_counter()
        plane, of_fitted, added = embed()
        seconds = time.perf_counter() - started
        predicted = own_neighbours(plane, labels, settings.num_neighbors)
        rows.append(
            {
                "method": method,
                "knn_accuracy": float((predicted == labels).mean()),
                "new_knn_accuracy": _accuracy(of_fitted, fitted_labels, added, labels, settings.num_neighbors),
                **_faithfulness(test, plane, labels, settings),
                "seconds": seconds,
                "num_points": len(plane),
                "num_fitted": len(fitted),
                "new_points": NEW_POINTS[method],
            }
        )
        confusion += _confusion_rows(method, labels, predicted)
        points.append({"method": np.repeat(method, len(plane)), "x": plane[:, 0], "y": plane[:, 1]})
    context.write_table("embeddings", rows)
    context.write_table("embedding_confusion", confusion)
    columns = {name: np.concatenate([part[name] for part in points]) for name in ("method", "x", "y")}
    repeated = {"index": np.tile(np.arange(len(labels)), len(points)), "label": np.tile(labels, len(points))}
    context.write_table("embedding_points", columns | repeated)
    tables = [context.run.table(name) for name in ("embedding_points", "embeddings", "embedding_confusion")]
    context.write_figure("embed_planes", figures.planes, tables[0], tables[1])
    context.write_figure("embed_confusion", figures.confusions, tables[2])


def _pixels(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.divide(images.reshape(len(images), -1), 255, dtype=np.float32)


def _autoencoder(context: Context, fitted: NDArray[np.uint8]) -> tuple[Points, Points, Points]:
    from trainables.autoencoder import encode

    model = load_model(context, "two_dim")
    plane = encode(model, context.data.test_images)
    return plane, encode(model, fitted), plane


def _pca(context: Context, fitted: NDArray[np.uint8]) -> tuple[Points, Points, Points]:
    from sklearn.decomposition import PCA

    pca = PCA(2, svd_solver="covariance_eigh").fit(_pixels(context.data.train_images))
    plane = pca.transform(_pixels(context.data.test_images))
    return plane, pca.transform(_pixels(fitted)), plane


def _tsne(context: Context, fitted: NDArray[np.uint8]) -> tuple[Points, Points, Points]:
    """The plane of the test images alone, that of the training images, and the test images added to it."""
    from openTSNE import TSNE

    settings, seed = context.settings.embed, context.settings.seed
    tsne = TSNE(perplexity=settings.perplexity, neighbors="exact", n_jobs=1, random_state=seed)
    test = _pixels(context.data.test_images)
    plane = np.asarray(tsne.fit(test))
    of_fitted = tsne.fit(_pixels(fitted))
    return plane, np.asarray(of_fitted), np.asarray(of_fitted.transform(test))


def own_neighbours(plane: Points, labels: NDArray[np.uint8], k: int) -> NDArray[np.uint8]:
    """Each point's class as its k nearest neighbours have it, itself left out."""
    from sklearn.neighbors import NearestNeighbors

    nearest = NearestNeighbors(n_neighbors=k).fit(plane).kneighbors(return_distance=False)
    votes = (labels[nearest][:, :, None] == np.arange(10)).sum(axis=1)
    return np.asarray(votes.argmax(axis=1), np.uint8)


def _accuracy(
    fitted: Points, fitted_labels: NDArray[np.uint8], added: Points, labels: NDArray[np.uint8], k: int
) -> float:
    from sklearn.neighbors import KNeighborsClassifier

    return float(KNeighborsClassifier(k).fit(fitted, fitted_labels).score(added, labels))


def _faithfulness(pixels: Points, plane: Points, labels: NDArray[np.uint8], settings: Embed) -> dict[str, float]:
    """How well neighbourhoods and classes are kept; continuity is trustworthiness with the arguments swapped."""
    from sklearn.manifold import trustworthiness
    from sklearn.metrics import silhouette_score

    some = slice(settings.num_measured)
    pixels, plane, labels = pixels[some], plane[some], labels[some]
    return {
        "trustworthiness": float(trustworthiness(pixels, plane, n_neighbors=settings.num_neighbors)),
        "continuity": float(trustworthiness(plane, pixels, n_neighbors=settings.num_neighbors)),
        "silhouette": float(silhouette_score(plane, labels)),
    }


def _confusion_rows(method: str, labels: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> list[Row]:
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(labels, predicted, labels=range(10))
    return [
        {"method": method, "label": label, "predicted": other, "count": int(counts[label, other])}
        for label in range(10)
        for other in range(10)
    ]


STAGE = Stage(
    name="embed",
    finish=finish,
    decides=lambda settings: [settings.data, settings.embed],
    needs=lambda settings: ("refit",),
    images=True,
)
