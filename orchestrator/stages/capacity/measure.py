"""The models held against PCA, and against the identity."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load
from scipy.linalg import subspace_angles
from sklearn.neighbors import KNeighborsClassifier

from orchestrator.engine.records import Record
from orchestrator.engine.stage import Context
from orchestrator.engine.tables import Row
from orchestrator.stages.capacity import Capacity
from orchestrator.stages.capacity.models import Reconstructor, Settings
from orchestrator.stages.components import MOST_COMPONENTS, Components, fit_pca
from orchestrator.stages.measures import Pixels, mse, parts_of, training_row
from trainables.autoencoder import coder, encode, reconstruct_pixels
from trainables.autoencoder_settings import LinearSettings
from trainables.images import Images, flat_pixels, unit_pixels
from trainables.linear_autoencoder import LinearAutoencoder, reconstruct_linear
from trainables.models import restored
from trainables.noise import Noise, add_noise


def pca_mse(pca: Components, images: Images) -> dict[int, float]:
    """Error of PCA by number of components, up to MOST_COMPONENTS; each takes its part of the error away."""
    axes = pca.axes[:MOST_COMPONENTS].T.astype(np.float64)
    whole, explained = 0.0, np.zeros(axes.shape[1])
    for (some,) in parts_of(images):
        centred = flat_pixels(some).astype(np.float64) - pca.mean
        whole += np.square(centred).sum()
        explained += np.square(centred @ axes).sum(axis=0)
    left = (whole - np.cumsum(explained)) / images.size
    return {number: float(error) for number, error in enumerate(left, start=1)}


def reconstruction_rows(context: Context[Settings], records: Sequence[Record[Reconstructor]]) -> list[Row]:
    """The table reconstruction: PCA's components, then every training."""
    pca = fit_pca(context.data.train_images)
    of_pca = pca_mse(pca, context.data.test_images)
    nothing = dict.fromkeys(Capacity.schemas["reconstruction"].names) | {"method": "pca", "pca_ratio": 1.0}
    rows = [nothing | {"latent_dim": k, "test_mse": error} for k, error in of_pca.items()]
    most = min(max(context.own.latent_dims, default=1), MOST_COMPONENTS)
    projected = [pca.of(part, most) for part in (context.data.train_images, context.data.test_images)]
    for row in rows:
        if (k := row["latent_dim"]) in context.own.latent_dims:
            row["knn_accuracy"] = code_accuracy(context, *(part[:, :k] for part in projected))
    return rows + [model_row(context, record, pca, of_pca) for record in records]


def code_accuracy(context: Context[Settings], train: NDArray[Any], test: NDArray[Any]) -> float | None:
    """Share of the test images whose class most of the 5 training images nearest by their codes have; None without
    labels.

    Args:
        context: the images' classes are its data's.
        train, test: codes of the images, shape (n, latent_dim).
    """
    data = context.data
    if data.train_labels is None:
        return None
    return float(KNeighborsClassifier(5).fit(train, data.train_labels).score(test, data.test_labels))


def model_row(
    context: Context[Settings], record: Record[Reconstructor], pca: Components, of_pca: Mapping[int, float]
) -> Row:
    """A row of the table reconstruction."""
    method, model = record.config.method, record.config.model
    k, ratio, angle, accuracy = model.latent_dim, None, None, None
    if record.last and k in of_pca:
        ratio = record.last["test_mse"] / of_pca[k]
    if record.last and method in {"linear_autoencoder", "linear_untuned"} and k <= len(pca.axes):
        angle = largest_angle(load(context.weights(record))["decoder.weight"], pca)
    if record.last and method in {"autoencoder", "cross_entropy"} and not isinstance(model, LinearSettings):
        trained = restored(coder, model, context.weights(record))
        accuracy = code_accuracy(
            context, *(encode(trained, part) for part in (context.data.train_images, context.data.test_images))
        )
    told = {"method": method, "latent_dim": k, "num_parameters": model.num_parameters}
    told["learning_rate"] = model.learning_rate
    measured = {"pca_ratio": ratio, "largest_angle_degrees": angle, "knn_accuracy": accuracy}
    return training_row(record, "test_mse", "train_mse", "train_mse_evaluated", **told, **measured)


def largest_angle(decoder: NDArray[np.float32], pca: Components) -> float:
    """Between the subspace that a linear autoencoder decodes to and PCA's of as many components, in degrees.

    Args:
        decoder: its weight, shape (numbers of an image, latent_dim).
        pca: fitted.
    """
    axes = pca.axes[: decoder.shape[1]].T
    return float(np.degrees(subspace_angles(decoder.astype(np.float64), axes.astype(np.float64)).max()))


def identity_rows(
    context: Context[Any], record: Record[Reconstructor], levels: Sequence[tuple[Noise, float]]
) -> Iterator[Row]:
    """How near the identity a model is, on clean test images and on noisy ones."""
    method, settings, images = record.config.method, record.config.model, context.data.test_images
    if isinstance(settings, LinearSettings):
        output = partial(reconstruct_linear, restored(LinearAutoencoder, settings, context.weights(record)))
    else:
        output = partial(reconstruct_pixels, restored(coder, settings, context.weights(record)))
    clean = unit_pixels(images)
    of_clean = output(clean)
    same = {"method": method, "latent_dim": settings.latent_dim, "seed": record.seed}
    copied = mse(of_clean, clean)
    without = {"noise": "none", "level": 0.0, "noisy_mse": 0.0, "noise_passed": None}
    yield same | without | {"reconstructed_mse": copied, "copy_mse": copied}
    for noise, level in levels:
        if noise in {"zeroed", "gaussian_unclipped"}:
            noisy = add_noise(images, noise, level, seed=context.seed)
            yield same | {"noise": noise, "level": level, **_passed(output, noisy, clean, of_clean)}


def _passed(output: Callable[[Pixels], Pixels], noisy: Pixels, clean: Pixels, of_clean: Pixels) -> Row:
    """Columns of the table identity on noisy images; what the model makes of them is not kept."""
    of_noisy, added = output(noisy), mse(noisy, clean)
    return {
        "noisy_mse": added,
        "reconstructed_mse": mse(of_noisy, clean),
        "copy_mse": mse(of_noisy, noisy),
        "noise_passed": mse(of_noisy, of_clean) / added if added else None,
    }
