"""Images laid out in a plane, and what is near what there."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from openTSNE import TSNE
from sklearn import config_context
from sklearn.metrics import pairwise_distances_chunked, silhouette_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from orchestrator.engine.stage import Context, Table
from orchestrator.engine.tables import Row
from orchestrator.figures.names import METHODS as NAMES
from orchestrator.figures.style import class_colours
from orchestrator.stages.architectures import final_model
from orchestrator.stages.components import fit_pca
from orchestrator.stages.embed import Settings
from orchestrator.stages.measures import confusion_rows, prediction_columns
from orchestrator.stages.neighbours import most_frequent
from orchestrator.stages.sections import Data, FinalModels
from trainables.autoencoder import decode, encode
from trainables.images import Images, flat_pixels, unit_pixels

Points = NDArray[Any]
Planes = tuple[Points, Points | None, Points | None]
"""Test images, fitted training images, and test images added to these; each of shape (n, 2). t-SNE has the latter two
from the run's seed only: they take most of the time."""
MEGABYTES = 64
"""Of distances that are held at once."""
NUM_MOVED, DECODED = 2000, 15
"""Test images that can be looked at one by one, and points of the plane along each side that are decoded."""
NEW_POINTS = {
    "autoencoder": "the encoder maps any image",
    "pca": "the projection maps any image",
    "tsne": "t-SNE has no map; openTSNE moves a new point among the fitted ones, which stay where they are",
}


def measured(context: Context[Settings]) -> Iterator[Table]:
    """The stage's tables."""
    data, own, labels = context.data, context.own, context.data.test_labels
    fitted, num_classes = data.train_images[: own.num_fitted], len(context.section(Data).class_names)
    rows: list[Row] = []
    planes: dict[str, Points] = {}
    predictions: list[tuple[Row, NDArray[np.uint8]]] = []
    for method, seed in _methods(context):
        started = time.perf_counter()
        plane, of_fitted, added = METHODS[method](context, seed, fitted)
        seconds = time.perf_counter() - started
        planes.setdefault(method, plane)
        accuracy, new_accuracy = None, None
        if num_classes:
            predicted = own_neighbours(plane, labels, own.num_neighbors)
            accuracy = float((predicted == labels).mean())
            predictions.append(({"method": method, "seed": seed}, predicted))
        if num_classes and of_fitted is not None:
            by_fitted = KNeighborsClassifier(own.num_neighbors).fit(of_fitted, data.train_labels[: len(fitted)])
            new_accuracy = float(by_fitted.score(added, labels))
        rows.append(
            {
                "method": method,
                "seed": seed,
                "knn_accuracy": accuracy,
                "new_knn_accuracy": new_accuracy,
                **_faithfulness(flat_pixels(data.test_images), plane, labels, own),
                "seconds": seconds,
                "num_points": len(plane),
                "num_fitted": len(fitted),
                "new_points": NEW_POINTS[method],
            }
        )
    yield Table("embeddings", rows)
    yield Table("embedding_predictions", prediction_columns(labels, predictions) if predictions else [])
    first = {str(which["method"]): predicted for which, predicted in reversed(predictions)}
    shown = [(name, first[name]) for name in planes if name in first]
    confusion = [row for name, of in shown for row in confusion_rows(labels, of, num_classes, method=name)]
    yield Table("embedding_confusion", confusion)
    places = np.concatenate(list(planes.values()))
    number = len(data.test_images)
    of_images = np.full(number, None) if labels is None else labels
    columns = {"index": np.tile(np.arange(number), len(planes)), "label": np.tile(of_images, len(planes))}
    columns |= {"method": np.repeat(list(planes), number), "x": places[:, 0], "y": places[:, 1]}
    yield Table("embedding_points", columns)


def to_be_moved(context: Context[Settings], points: pd.DataFrame) -> tuple[Any, ...]:
    """What figures.interactive.plane is called with: the first test images, and a decoded grid of the plane."""
    some = points[points["index"] < NUM_MOVED].fillna({"label": 0})
    of_methods = some.groupby("method", observed=True, sort=False)
    planes = {NAMES[str(method)]: rows for method, rows in of_methods}
    own = planes[NAMES["autoencoder"]]
    left, right, bottom, top = edges = tuple(own[axis].quantile(end) for axis in "xy" for end in (0.01, 0.99))
    grid = np.meshgrid(np.linspace(left, right, DECODED), np.linspace(top, bottom, DECODED))
    images = decode(final_model(context, "two_dim", context.seed), np.stack([it.ravel() for it in grid], axis=1))
    shown = unit_pixels(context.data.test_images[:NUM_MOVED])
    names = context.section(Data).class_names or ("test image",)
    classes = dict(zip(names, class_colours(len(names)), strict=True))
    return planes, classes, shown, (NAMES["autoencoder"], images.reshape(DECODED, DECODED, *images.shape[1:]), edges)


def _methods(context: Context[Settings]) -> Iterator[tuple[str, int | None]]:
    """Every method from every seed that it has, the run's first."""
    for method in METHODS:
        for seed in context.section(FinalModels).seeds(context.seed) if method != "pca" else (None,):
            yield method, seed


def _autoencoder(context: Context[Settings], seed: int, fitted: Images) -> Planes:
    model = final_model(context, "two_dim", seed)
    plane = encode(model, context.data.test_images)
    return plane, encode(model, fitted), plane


def _pca(context: Context[Settings], seed: None, fitted: Images) -> Planes:
    pca = fit_pca(context.data.train_images, 2)
    plane = pca.of(context.data.test_images)
    return plane, pca.of(fitted), plane


def _tsne(context: Context[Settings], seed: int, fitted: Images) -> Planes:
    tsne = TSNE(perplexity=context.own.perplexity, neighbors="exact", n_jobs=1, random_state=seed)
    test = flat_pixels(context.data.test_images)
    plane = np.asarray(tsne.fit(test))
    if seed != context.seed:
        return plane, None, None
    of_fitted = tsne.fit(flat_pixels(fitted))
    return plane, np.asarray(of_fitted), np.asarray(of_fitted.transform(test))


METHODS: dict[str, Callable[..., Planes]] = {"autoencoder": _autoencoder, "pca": _pca, "tsne": _tsne}


def own_neighbours(plane: Points, labels: NDArray[np.uint8], k: int) -> NDArray[np.uint8]:
    """Each point's class as its k nearest neighbours have it, itself left out."""
    return most_frequent(labels[NearestNeighbors(n_neighbors=k).fit(plane).kneighbors(return_distance=False)])


def trustworthiness(points: Points, plane: Points, k: int) -> float:
    """How far each point's k neighbours in the plane are near it among the points: 1 at best (Venna and Kaski 2001).

    What scikit-learn's function of this name gives; that holds all distances at once, and sorts them.

    Args:
        points: shape (n, d).
        plane: shape (n, 2), of the same in another space.
        k: less than n / 2.
    """
    nearest, num = NearestNeighbors(n_neighbors=k).fit(plane).kneighbors(return_distance=False), len(points)

    def missed(apart: Points, start: int) -> NDArray[np.int64]:
        """By how many places neighbours in the plane miss the k nearest, by row; `apart` has shape (rows, n)."""
        rows = np.arange(len(apart))
        apart[rows, start + rows] = np.inf
        of_nearest = np.take_along_axis(apart, nearest[start + rows], axis=1)
        places = [1 + (apart < of_nearest[:, [number]]).sum(axis=1) for number in range(k)]
        return np.asarray(np.maximum(np.stack(places) - k, 0).sum(axis=0))

    total = sum(int(part.sum()) for part in pairwise_distances_chunked(points, reduce_func=missed))
    return 1 - 2 * total / (num * k * (2 * num - 3 * k - 1))


def _faithfulness(
    pixels: Points, plane: Points, labels: NDArray[np.uint8] | None, own: Settings
) -> dict[str, float | None]:
    """How well neighbourhoods and classes are kept; continuity is trustworthiness with the arguments swapped."""
    some = slice(own.num_measured)
    pixels, plane = pixels[some], plane[some]
    classes = None if labels is None else labels[some]
    is_apart = classes is not None and 1 < len(np.unique(classes)) < len(classes)
    with config_context(working_memory=MEGABYTES):
        return {
            "trustworthiness": trustworthiness(pixels, plane, own.num_neighbors),
            "continuity": trustworthiness(plane, pixels, own.num_neighbors),
            "silhouette": float(silhouette_score(plane, classes)) if is_apart else None,
        }
