"""gan_inception: Frechet distances in the features of Inception-v3 (`--gan.inception-weights FILE`).

Reads gan's generators. Writes the table gan_inception.

The distances of the stage gan compare within a run only. These compare with published ones, where the weights are
those that torch-fidelity publishes: as many generated images as there are test images, from the random vectors that
gan scores, against the test images, grey in all three channels. A stage of its own, so that weights that come later
have no game played again.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from orchestrator.config import Gan, Settings, UserError
from orchestrator.scoring import weights_of
from orchestrator.stage import Context, Record, Stage, StageFailed, Trainings, Trial, Work
from orchestrator.stages.gan import games
from orchestrator.tables import Row
from orchestrator.worker import weights_name
from trainables.gan_settings import GanSettings

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.epoch import Epoch
    from trainables.fashion_mnist import FashionMnist

REAL = ("test", "train")
"""Sets of real images: those that all others are held against, and as many training images, for the floor."""
SECONDS = 0.15
"""About what an image takes, on one core."""


def read_weights(settings: Settings) -> dict[str, Tensor]:
    """The network's weights.

    Raises:
        UserError: the file cannot be read, or has not the weights of this network.
    """
    import torch

    from trainables.inception import inception

    path = settings.gan.inception_weights
    assert path is not None
    where = f"--gan.inception-weights {path}"
    try:
        weights: dict[str, Tensor] = torch.load(path, weights_only=True, map_location="cpu")
        inception(weights)
    except OSError as error:
        raise UserError(f"{where}: {error.strerror or error}") from None
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, KeyError):
        raise UserError(f"{where}: these are not the weights of torch-fidelity's Inception-v3") from None
    return weights


def training(
    config: dict[str, Any], data: FashionMnist, *, device: str, resume: dict[str, Any] | None, inputs: dict[str, Any]
) -> Iterator[Epoch]:
    """The Gaussian that fits the features of one set of images, as if it were a model."""
    from trainables.autoencoder import as_tensor
    from trainables.epoch import Epoch
    from trainables.gan import build
    from trainables.gan_scores import gaussian
    from trainables.gan_training import generate, random_vectors
    from trainables.inception import inception, inception_features

    number = len(data.test_images)
    if config["images"] in REAL:
        images = as_tensor({"test": data.test_images, "train": data.train_images}[config["images"]][:number])
    else:
        game = GanSettings.model_validate(config["gan"])
        generator, _ = build(game, seed=0)
        generator.load_state_dict(weights_of(inputs, config["images"]))
        images = generate(generator, random_vectors(number, game, config["seed"], 0, 2))
    found = gaussian(inception_features(inception(weights_of(inputs, "inception")).to(device), images))
    yield Epoch(1, {"num_images": number}, lambda: {"model": found})


def trainings(context: Context) -> Trainings:
    """One for each set of images; the network's weights and the generators' go with them."""
    from safetensors.numpy import load, save

    weights = read_weights(context.settings)
    inputs: dict[str, Any] = {f"inception.{name}": tensor.numpy() for name, tensor in weights.items()}
    checksum = hashlib.sha256(save(inputs)).hexdigest()[:16]
    folder = f"records/gan/{context.manifest.stages['gan'].fingerprint}"
    played = context.run.records(folder)
    configs: dict[str, dict[str, Any]] = {name: {} for name in REAL}
    for game in games(context.settings):
        if game.key not in played:
            raise StageFailed(f"the record of gan's {game.key} is gone: --force gan plays it again")
        configs[game.key] = {name: played[game.key]["config"][name] for name in ("gan", "seed")}
        generator = load(context.run.read_sealed(weights_name(folder, game.key)))
        inputs |= {f"{game.key}.{name}": array for name, array in generator.items()}
    context.write_inputs(inputs)
    cost = SECONDS * context.settings.data.num_test
    trials = [
        Trial(key, {"images": key, "weights": checksum, **config}, epochs=1, cost=cost, weights=True)
        for key, config in configs.items()
    ]
    return Trainings.of(trials, metric="num_images")


def finish(context: Context, records: dict[str, Record]) -> None:
    """Write each game's distance from the test images, and the training images'."""
    from safetensors.torch import load

    from trainables.gan_scores import gaussian_distance

    failed = [key for key, record in records.items() if record["state"] == "failed"]
    if failed:
        raise StageFailed(f"{failed[0]}: {records[failed[0]]['error']}")
    found = {key: load(context.weights(key)) for key in records}
    distances = {key: gaussian_distance(images, found["test"]) for key, images in found.items() if key != "test"}

    def row(key: str) -> Row:
        config = records[key]["config"]
        return {
            **{"loss": config["gan"]["loss"], "seed": config["seed"], "inception_fid": distances[key]},
            **{"floor_fid": distances["train"], "num_images": int(records[key]["epochs"][-1]["num_images"])},
            **{"features": config["weights"], "seconds": records[key]["seconds"]},
        }

    context.write_table("gan_inception", [row(game.key) for game in games(context.settings)])


def _work(settings: Settings) -> Work:
    number = len(REAL) + len(games(settings))
    return Work(number, 1, settings.data.num_test, number * SECONDS * settings.data.num_test)


STAGE = Stage(
    name="gan_inception",
    training=training,
    trainings=trainings,
    finish=finish,
    decides=lambda settings: [settings.data, settings.gan.without(*set(Gan.model_fields) - {"inception_weights"})],
    needs=lambda settings: ("gan",),
    work=_work,
    wanted=lambda settings: settings.gan.inception_weights is not None,
    flag="--gan.inception-weights FILE",
    check=read_weights,
)
