"""The autoencoders that experiments hand on: the search's best, the paper's Table 1, the final models."""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from pydantic import BaseModel

from orchestrator.engine.records import Record
from orchestrator.engine.settings import changed
from orchestrator.engine.stage import Context, Model
from orchestrator.stages.columns import PARAMS
from orchestrator.stages.measures import training_row
from orchestrator.stages.own import usual_model, with_latent_dim
from orchestrator.stages.sections import Autoencoders, Data
from trainables.autoencoder_settings import (
    AUTHOR_BEST,
    PAPER_TABLE1,
    WIDE,
    AutoencoderSettings,
    LinearSettings,
    OwnAutoencoder,
)

if TYPE_CHECKING:
    from trainables.autoencoder import Coder

AnyAutoencoder = AutoencoderSettings | OwnAutoencoder
Trained = Sequence[Record[AnyAutoencoder]]
STAND_IN = AutoencoderSettings(filters=(12, 24, 34), neurons=72, latent_dim=12)
"""What searches find, of its kind: in the upper half of the search space."""


def in_common(context: Context[Any]) -> dict[str, Any]:
    """What all autoencoders of a run have: weight decay, batch size, and the images' shape."""
    shape = {"image_shape": context.section(Data).shape}
    return context.section(Autoencoders).model_dump(include={"weight_decay", "batch_size"}) | shape


def stand_in(context: Context[Any]) -> AnyAutoencoder:
    """What the search's best may be like; for plans, while it is not known."""
    own = context.section(Autoencoders).own
    return usual_model(own, **in_common(context)) if own else changed(STAND_IN, **in_common(context))


def best(context: Context[Any], epochs: int) -> AnyAutoencoder:
    """The search's best complete trial, to be trained for this many epochs."""
    if context.planning:
        return changed(stand_in(context), epochs=epochs)
    complete = [record for record in context.records("search").values() if record.state == "complete"]
    model: AnyAutoencoder = min(complete, key=lambda record: record.last["val_mse"]).config
    return changed(model, epochs=epochs)


def table1(context: Context[Any], epochs: int) -> AutoencoderSettings:
    """The paper's Table 1, with this run's weight decay and batch size."""
    return changed(PAPER_TABLE1, **in_common(context), epochs=epochs)


def author_best(context: Context[Any], epochs: int) -> AutoencoderSettings:
    """The author's published best, likewise."""
    return changed(AUTHOR_BEST, **in_common(context), epochs=epochs)


def plane_model(context: Context[Any], epochs: int) -> AnyAutoencoder:
    """An autoencoder whose latent vector is a point of the plane; of a model of the user's own the search's best with
    two latent numbers.

    It is trained on the cross-entropy of pixels, which keeps classes apart better than equation 1 does, at an error
    that is about 1 % greater (docs/LOG.md); those published planes that it stands beside are trained likewise.
    """
    if context.section(Autoencoders).own:
        return with_latent_dim(cast(OwnAutoencoder, best(context, epochs)), 2)
    same = {"weight_decay": context.section(Autoencoders).weight_decay, "image_shape": context.section(Data).shape}
    return changed(WIDE, latent_dim=2, loss="cross_entropy", epochs=epochs, **same)


def training_cost(model: AnyAutoencoder | LinearSettings, num_images: int) -> float:
    """About how many seconds a training takes on one core (docs/LOG.md); no result is decided by it."""
    if isinstance(model, OwnAutoencoder):  # what its layers do is not known
        return 1.5 * model.epochs * num_images * (1e-4 + 2e-9 * model.num_parameters)
    if isinstance(model, LinearSettings):
        return model.epochs * num_images * (3.3e-6 + 1e-7 * model.latent_dim)
    an_image = 12e-6 + 92e-12 * model.num_multiplications + 3e-9 * model.num_activations
    return num_images * an_image * (1.05 * model.epochs + 0.45)  # images are looked at again at the end


def pace() -> float:
    """How many seconds one core takes for what `training_cost` says it takes one for: of six short passes of Table
    1's autoencoder over random images, the median."""
    import torch

    from trainables.autoencoder import train_autoencoder
    from trainables.splits import Split

    number, times = 20 * PAPER_TABLE1.batch_size, [time.perf_counter()]
    images = np.random.default_rng(0).integers(0, 256, (number, 28, 28), dtype=np.uint8)
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for _ in train_autoencoder(changed(PAPER_TABLE1, epochs=8), Split(images, np.arange(number)), seed=0):
        times.append(time.perf_counter())
    torch.set_num_threads(num_threads)
    one, two = (training_cost(changed(PAPER_TABLE1, epochs=epochs), number) for epochs in (1, 2))
    # The first pass loads its compiled loops, the last looks at the images again.
    return float(np.median(np.diff(times)[1:-1]) / (two - one))


def as_one(model: AnyAutoencoder, num_images: int) -> Hashable | None:
    """What trainings have in common that `trainables.ensemble` trains as one; None for a model of the user's own."""
    return (model, num_images) if isinstance(model, AutoencoderSettings) else None


def param_values(model: AnyAutoencoder) -> dict[str, Any]:
    """A model's parameters by Optuna's names; of a model of the user's own, those that all have."""
    if isinstance(model, OwnAutoencoder):
        return model.model_dump(include={"latent_dim", "optimizer", "learning_rate"})
    filters = {f"filters{number}": width for number, width in enumerate(model.filters, start=1)}
    return filters | model.model_dump(include={"neurons", "latent_dim", "optimizer", "learning_rate"})


def model_row(record: Record[AnyAutoencoder], *metrics: str, **columns: Any) -> dict[str, Any]:
    """`training_row` with the model's parameters and their number."""
    params = {f"params_{name}": value for name, value in param_values(record.config).items()}
    params = dict.fromkeys(column.name for column in PARAMS) | params
    return training_row(record, *metrics, **params | {"num_parameters": record.config.num_parameters}, **columns)


def refit_key(name: str, seed: int) -> str:
    """Name of the training of one of refit's models from a seed."""
    return f"{name}-seed-{seed}"


def final_model(context: Context[Any], name: str, seed: int) -> Coder:
    """One of refit's models, of the training from a seed, in evaluation mode on the CPU."""
    from trainables.autoencoder import coder
    from trainables.models import restored

    record = context.records("refit")[refit_key(name, seed)]
    return restored(coder, record.config, context.weights(record, "refit"))


def described(record: Record[AnyAutoencoder]) -> str:
    """A final model as a figure's title has it."""
    return f"latent size {record.config.latent_dim}, test MSE {record.last['test_mse']:.4f}, seed {record.seed}"


def model_file(name: str, record: Record[Any], kind: str, settings: BaseModel, metric: str) -> Model:
    """A training's weights, with what is to stand beside them: class and settings, seed, and how good it is."""
    described = {"class": kind, "settings": settings.model_dump(mode="json"), "seed": record.seed}
    return Model(name, record, described | {metric: record.last[metric]})
