"""Features of Inception-v3, and Frechet distances in them."""

import hashlib
import pickle
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors.numpy import load, save
from torch import Tensor

from orchestrator.engine.records import Record, Trial
from orchestrator.engine.settings import UserError
from orchestrator.engine.stage import Context, Worker
from orchestrator.stages.gan.scoring import weights_of
from orchestrator.stages.gan.settings import Settings
from orchestrator.stages.gan_inception import IMAGES_AN_EPOCH, ImageSet
from trainables import inception
from trainables.epoch import Epoch, State
from trainables.gan import fresh_generator
from trainables.gan_scores import gaussian, gaussian_distance
from trainables.gan_training import generate, random_vectors
from trainables.images import as_tensor
from trainables.models import restored


def read_weights(path: Path) -> dict[str, Tensor]:
    """The network's weights.

    Raises:
        UserError: the file cannot be read, or has not the weights of this network.
    """
    where = f"--gan.inception-weights {path}"
    try:
        weights: dict[str, Tensor] = torch.load(path, weights_only=True, map_location="cpu")
        inception.inception(weights)
    except OSError as error:
        raise UserError(f"{where}: {error.strerror or error}") from None
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, KeyError):
        raise UserError(f"{where}: these are not the weights of torch-fidelity's Inception-v3") from None
    return weights


def networks(context: Context[Settings], path: Path) -> dict[str, NDArray[Any]]:
    """The weights of Inception, `inception.NAME`, and of the generators, `KEY.NAME`."""
    arrays = {f"inception.{name}": tensor.numpy() for name, tensor in read_weights(path).items()}
    for key, record in context.records("gan").items():
        generator = load(context.weights(record, "gan"))
        arrays |= {f"{key}.{name}": array for name, array in generator.items()}
    return arrays


def gaussian_of(trial: Trial[ImageSet], data: Any, worker: Worker) -> Iterator[Epoch]:
    """The Gaussian that fits the features of one set of images, as the arrays mu and sigma of the last epoch.

    An epoch is some hundreds of images: a core takes a minute for them, and a worker that is not heard of for long
    counts as stuck.
    """
    number, gan = len(data.test_images), trial.config.gan
    if gan is None:
        images = as_tensor({"test": data.test_images, "train": data.train_images}[trial.config.images][:number])
    else:
        generator = restored(fresh_generator, gan, weights_of(trial.config.images, worker.inputs))
        images = generate(generator, random_vectors(number, gan, trial.seed, 0, 2))
    network = inception.inception(weights_of("inception", worker.inputs)).to(worker.device)
    first, features = (worker.resume["epoch"], [worker.resume["features"]]) if worker.resume else (0, [])
    parts = images.split(IMAGES_AN_EPOCH)
    for epoch, part in enumerate(parts[first:], first + 1):
        features.append(inception.inception_features(network, part))
        state = partial(_state, epoch, features)
        yield Epoch(epoch, {}, state, gaussian(torch.cat(features)) if epoch == len(parts) else {})


def _state(epoch: int, features: Sequence[Tensor]) -> State:
    return {"epoch": epoch, "features": torch.cat(list(features))}


def rows(context: Context[Settings], records: Sequence[Record[ImageSet]]) -> list[dict[str, Any]]:
    """Rows of the table, of sets of images whose features could be taken."""
    gaussians = {record.key: context.arrays(record) for record in records if record.state == "complete"}
    if not {"test", "train"} <= gaussians.keys():
        return []
    network = {name: array for name, array in context.inputs.items() if name.startswith("inception.")}
    same = {
        "floor_fid": gaussian_distance(gaussians["train"], gaussians["test"]),
        "num_images": len(context.data.test_images),
        "features": hashlib.sha256(save(network)).hexdigest()[:16],
    }
    table = []
    for record in records:
        if record.config.gan is not None and record.key in gaussians:
            distance = gaussian_distance(gaussians[record.key], gaussians["test"])
            which = {
                "arm": record.config.arm,
                "loss": record.config.gan.loss,
                "seed": record.seed,
                "seconds": record.seconds,
            }
            table.append(same | which | {"inception_fid": distance})
    return table
