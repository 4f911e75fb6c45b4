"""capacity: what the size of the latent vector is worth, and what the layers are (the paper's Introduction, Methods).

Needs no other stage. Writes the tables reconstruction and identity and three figures.

autoencoder: the convolutional one at many latent sizes, beside PCA at the same.
linear_autoencoder: without any non-linearity, held against PCA in error and in the subspace that it finds.
wide_autoencoder: no layer narrower than 784 but the latent vector, which from 784 on makes it overcomplete; how near
it comes to the identity, and how much of the input's noise it lets through.
table1...: the paper's best architecture, and the same with one thing changed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel

from orchestrator.config import Settings
from orchestrator.figures import capacity as figures
from orchestrator.stage import Context, Record, Stage, StageFailed, Trainings, Trial, Work
from orchestrator.stages.denoise import levels
from orchestrator.stages.search import paper_table1, training_cost
from orchestrator.tables import Row
from trainables.autoencoder_settings import ENCODED_SIZE, AutoencoderSettings

if TYPE_CHECKING:
    from sklearn.decomposition import PCA

    from trainables.epoch import Epoch
    from trainables.fashion_mnist import FashionMnist

ABLATIONS: dict[str, dict[str, Any]] = {
    "table1": {},
    "table1_no_batch_norm": {"batch_norm": False},
    "table1_no_relu": {"relu": False},
    "table1_weight_decay_0": {"weight_decay": 0.0},
    "table1_weight_decay_0.01": {"weight_decay": 0.01},
    "table1_kernel_5": {"kernel_size": 5},
}
"""What is changed in the paper's architecture."""
NUM_PIXELS = 784


def training(
    config: dict[str, Any], data: FashionMnist, *, device: str, resume: dict[str, Any] | None
) -> Iterator[Epoch]:
    """One model: train on every training image, test at the end."""
    from trainables.splits import all_images

    split = all_images(data.train_images, data.test_images)
    if config["method"] == "linear_autoencoder":
        from trainables.linear_autoencoder import LinearSettings, train_linear_autoencoder

        linear = LinearSettings.model_validate(config["model"])
        return train_linear_autoencoder(linear, split, device=device, seed=config["seed"], resume=resume)
    from trainables.autoencoder import train_autoencoder

    model = AutoencoderSettings.model_validate(config["model"])
    return train_autoencoder(model, split, device=device, seed=config["seed"], resume=resume)


def trainings(context: Context) -> Trainings:
    """Every method, latent size and seed."""
    return Trainings.of(_trials(context.settings), metric="test_mse")


def _trials(settings: Settings) -> list[Trial]:
    capacity, num_images = settings.capacity, settings.data.num_train
    seeds = range(settings.seed, settings.seed + capacity.num_seeds)

    def trial(method: str, model: AutoencoderSettings, seed: int) -> Trial:
        key = f"{method}-{model.latent_dim}-seed-{seed}"
        config = {"method": method, "model": model.model_dump(mode="json"), "seed": seed}
        cost, weights = training_cost(model, num_images), method == "wide_autoencoder"
        return Trial(key, config, epochs=model.epochs, cost=cost, weights=weights)

    trials = [trial("autoencoder", autoencoder(settings, k), seed) for k in capacity.latent_dims for seed in seeds]
    trials += [trial("wide_autoencoder", wide_autoencoder(settings, k), settings.seed) for k in capacity.wide_dims]
    if capacity.ablations:
        table1 = paper_table1(settings, capacity.control_epochs)
        trials += [
            trial(method, table1.model_copy(update=change), seed)
            for method, change in ABLATIONS.items()
            for seed in seeds
        ]
    for k in capacity.linear_dims:
        model = {"latent_dim": k, "epochs": capacity.linear_epochs}
        trials += [
            Trial(
                f"linear_autoencoder-{k}-seed-{seed}",
                {"method": "linear_autoencoder", "model": model, "seed": seed},
                epochs=capacity.linear_epochs,
                cost=3e-6 * num_images * capacity.linear_epochs,
                weights=True,
            )
            for seed in seeds
        ]
    return trials


def autoencoder(settings: Settings, latent_dim: int) -> AutoencoderSettings:
    """The autoencoder of this latent size, all else equal."""
    capacity = settings.capacity
    return AutoencoderSettings(
        filters=capacity.filters,
        neurons=capacity.neurons,
        latent_dim=latent_dim,
        learning_rate=capacity.learning_rate,
        schedule="cosine",
        weight_decay=settings.search.weight_decay,
        batch_size=capacity.batch_size,
        epochs=capacity.epochs,
    )


def wide_autoencoder(settings: Settings, latent_dim: int) -> AutoencoderSettings:
    """One with at least as many activations as pixels, and as latent numbers, in every layer but the latent one."""
    width = max(NUM_PIXELS, latent_dim)
    filters = (math.ceil(width / 14**2), math.ceil(width / 7**2), math.ceil(width / ENCODED_SIZE**2))
    epochs = settings.capacity.control_epochs
    wide = {"filters": filters, "neurons": width, "learning_rate": 1e-3, "epochs": epochs}
    return autoencoder(settings, latent_dim).model_copy(update=wide)


def finish(context: Context, records: dict[str, Record]) -> None:
    """Hold the models against PCA, and see how near the identity the wide ones are."""
    pca = fit_pca(context)
    of_pca = pca_mse(pca, pixels(context.data.test_images))
    rows: list[Row] = [
        dict.fromkeys(_COLUMNS) | {"method": "pca", "latent_dim": k, "test_mse": mse, "pca_ratio": 1.0}
        for k, mse in sorted(of_pca.items())
    ]
    ordered = [records[trial.key] | {"key": trial.key} for trial in _trials(context.settings)]
    rows += [_model_row(context, record, pca, of_pca) for record in ordered]
    context.write_table("reconstruction", rows)
    complete = [record for record in ordered if record["state"] == "complete"]
    wide = [record for record in complete if record["config"]["method"] == "wide_autoencoder"]
    context.write_table("identity", [row for record in wide for row in _identity_rows(context, record)])
    table = context.run.table("reconstruction")
    context.write_figure("capacity_latent", figures.error_by_latent_dim, table)
    context.write_figure("capacity_ablations", figures.ablations, table)
    context.write_figure("capacity_identity", figures.identity, context.run.table("identity"))
    if len(complete) < len(ordered):
        raise StageFailed(f"failed: {', '.join(r['key'] for r in ordered if r['state'] != 'complete')}")


_COLUMNS = (
    *("method", "latent_dim", "seed", "test_mse", "train_mse", "pca_ratio", "largest_angle_degrees"),
    *("num_parameters", "epochs", "seconds", "state", "error"),
)


def _model_row(context: Context, record: Record, pca: PCA, of_pca: dict[int, float]) -> Row:
    from trainables.linear_autoencoder import LinearSettings

    config, complete = record["config"], record["state"] == "complete"
    linear = config["method"] == "linear_autoencoder"
    model = (LinearSettings if linear else AutoencoderSettings).model_validate(config["model"])
    last = record["epochs"][-1] if complete else {}
    test_mse = last.get("test_mse")
    return {
        "method": config["method"],
        "latent_dim": model.latent_dim,
        "seed": config["seed"],
        "test_mse": test_mse,
        "train_mse": last.get("train_mse"),
        "pca_ratio": test_mse / of_pca[model.latent_dim] if test_mse and model.latent_dim in of_pca else None,
        "largest_angle_degrees": largest_angle(context, record["key"], pca) if complete and linear else None,
        "num_parameters": model.num_parameters,
        "epochs": len(record["epochs"]),
        "seconds": record["seconds"],
        "state": record["state"],
        "error": record["error"],
    }


def pixels(images: Any) -> Any:
    """Images as rows of 784 pixels in [0, 1]."""
    return np.divide(images.reshape(len(images), -1), 255, dtype=np.float32)


def fit_pca(context: Context) -> PCA:
    """Exact: all components of the training images' covariance."""
    from sklearn.decomposition import PCA

    return PCA(svd_solver="covariance_eigh").fit(pixels(context.data.train_images))


def pca_mse(pca: PCA, test: Any) -> dict[int, float]:
    """Test error of PCA by number of components; every component takes its part of the error away."""
    centred = test.astype(np.float64) - pca.mean_
    explained = np.square(centred @ pca.components_.T.astype(np.float64)).mean(axis=0)
    left = np.square(centred).sum(axis=1).mean() - np.cumsum(explained)
    return {k: float(left[k - 1]) / NUM_PIXELS for k in range(1, 65) if k <= len(left)}


def largest_angle(context: Context, key: str, pca: PCA) -> float:
    """Between the subspace that a linear autoencoder decodes to and PCA's, in degrees."""
    from safetensors.numpy import load
    from scipy.linalg import subspace_angles

    decoder = load(context.weights(key))["decoder.weight"]
    axes = pca.components_[: decoder.shape[1]].T
    return float(np.degrees(subspace_angles(decoder.astype(np.float64), axes.astype(np.float64)).max()))


def _identity_rows(context: Context, record: Record) -> Iterator[Row]:
    """How near the identity a wide model is, on clean test images and on noisy ones."""
    from safetensors.torch import load

    from trainables.autoencoder import Autoencoder, reconstruct_pixels
    from trainables.noise import add_noise

    config = record["config"]
    model = Autoencoder(AutoencoderSettings.model_validate(config["model"]))
    model.load_state_dict(load(context.weights(record["key"])))
    images = context.data.test_images
    clean = images.astype(np.float32) / 255
    of_clean = reconstruct_pixels(model, clean)
    of_which = {"latent_dim": config["model"]["latent_dim"], "seed": config["seed"]}
    copied = _mse(of_clean, clean)
    without = {"noise": "none", "level": 0.0, "noisy_mse": 0.0, "noise_passed": None}
    yield of_which | without | {"reconstructed_mse": copied, "copy_mse": copied}
    for noise, level in levels(context.settings.denoise):
        if noise in {"zeroed", "gaussian_unclipped"}:
            noisy = add_noise(images, noise, level, seed=context.settings.seed)
            of_noisy = reconstruct_pixels(model, noisy)
            yield of_which | {
                "noise": noise,
                "level": level,
                "noisy_mse": _mse(noisy, clean),
                "reconstructed_mse": _mse(of_noisy, clean),
                "copy_mse": _mse(of_noisy, noisy),
                "noise_passed": _mse(of_noisy, of_clean) / _mse(noisy, clean),
            }


def _mse(one: Any, other: Any) -> float:
    return float(np.square(one - other).mean(dtype=np.float64))


def _decides(settings: Settings) -> list[BaseModel]:
    table1 = paper_table1(settings, settings.capacity.control_epochs)
    return [settings.data, settings.capacity, settings.denoise, table1]


def _work(settings: Settings) -> Work:
    trials = _trials(settings)
    epochs = round(sum(trial.epochs for trial in trials) / len(trials))
    return Work(len(trials), epochs, settings.data.num_train, sum(trial.cost for trial in trials))


STAGE = Stage(
    name="capacity",
    training=training,
    trainings=trainings,
    finish=finish,
    decides=_decides,
    work=_work,
)
