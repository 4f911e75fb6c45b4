"""The models held against PCA, and against the identity."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA

from orchestrator.engine.records import Record
from orchestrator.engine.stage import Context
from orchestrator.engine.tables import Row
from orchestrator.stages.architectures import restored
from orchestrator.stages.capacity import Reconstructor
from orchestrator.stages.measures import mse, training_row
from trainables.autoencoder import reconstruct_pixels
from trainables.autoencoder_settings import AutoencoderSettings
from trainables.images import NUM_PIXELS, Images, flat_pixels, unit_pixels
from trainables.noise import Noise, add_noise


def fit_pca(images: Images) -> PCA:
    """Exact: all components of the images' covariance."""
    return PCA(svd_solver="covariance_eigh").fit(flat_pixels(images))


def pca_mse(pca: PCA, images: Images) -> dict[int, float]:
    """Error of PCA by number of components, up to 64; every component takes its part of the error away."""
    centred = flat_pixels(images).astype(np.float64) - pca.mean_
    explained = np.square(centred @ pca.components_.T.astype(np.float64)).mean(axis=0)
    left = np.square(centred).sum(axis=1).mean() - np.cumsum(explained)
    return {k: float(left[k - 1]) / NUM_PIXELS for k in range(1, 65) if k <= len(left)}


def model_row(context: Context[Any], record: Record[Reconstructor], pca: PCA, of_pca: Mapping[int, float]) -> Row:
    """A row of the table reconstruction."""
    method, model = record.config.method, record.config.model
    k, ratio, angle = model.latent_dim, None, None
    if record.last and k in of_pca:
        ratio = record.last["test_mse"] / of_pca[k]
    if record.last and method == "linear_autoencoder":
        angle = largest_angle(load(context.weights(record))["decoder.weight"], pca)
    told = {"method": method, "latent_dim": k, "num_parameters": model.num_parameters}
    measured = {"pca_ratio": ratio, "largest_angle_degrees": angle}
    return training_row(record, "test_mse", "train_mse", **told, **measured)


def largest_angle(decoder: NDArray[np.float32], pca: PCA) -> float:
    """Between the subspace that a linear autoencoder decodes to and PCA's of as many components, in degrees.

    Args:
        decoder: its weight, shape (784, latent_dim).
        pca: fitted.
    """
    axes = pca.components_[: decoder.shape[1]].T
    return float(np.degrees(subspace_angles(decoder.astype(np.float64), axes.astype(np.float64)).max()))


def identity_rows(
    context: Context[Any], record: Record[Reconstructor], levels: Sequence[tuple[Noise, float]]
) -> Iterator[Row]:
    """How near the identity a wide model is, on clean test images and on noisy ones."""
    assert isinstance(record.config.model, AutoencoderSettings)
    model, images = restored(record.config.model, context.weights(record)), context.data.test_images
    clean = unit_pixels(images)
    of_clean = reconstruct_pixels(model, clean)
    same = {"latent_dim": record.config.model.latent_dim, "seed": record.seed}
    copied = mse(of_clean, clean)
    without = {"noise": "none", "level": 0.0, "noisy_mse": 0.0, "noise_passed": None}
    yield same | without | {"reconstructed_mse": copied, "copy_mse": copied}
    for noise, level in levels:
        if noise in {"zeroed", "gaussian_unclipped"}:
            noisy = add_noise(images, noise, level, seed=context.seed)
            of_noisy = reconstruct_pixels(model, noisy)
            yield same | {
                "noise": noise,
                "level": level,
                "noisy_mse": mse(noisy, clean),
                "reconstructed_mse": mse(of_noisy, clean),
                "copy_mse": mse(of_noisy, noisy),
                "noise_passed": mse(of_noisy, of_clean) / mse(noisy, clean),
            }
