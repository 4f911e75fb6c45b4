"""refit: final models on all training images, saved for others to load (the paper's Table 1).

Reads the table trials. Writes models/*.safetensors and .json, the tables models and layers, and figures: best and
worst reconstructions, traversals of the latent space, interpolations, and samples decoded from random vectors.
The models: best (the search's), paper_table1, and with the best one's sizes two_dim (a latent vector of 2),
denoise_zeroed and denoise_gaussian (trained to give clean images back from noisy ones).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.config import Settings
from orchestrator.figures import refit as figures
from orchestrator.figures.images import image_grid
from orchestrator.stage import Context, Record, Stage, StageFailed, Trainings, Trial, Work
from orchestrator.stages.search import best_model, paper_table1, param_columns, training_cost, usual_cost
from orchestrator.tables import Row
from trainables.autoencoder_settings import AutoencoderSettings

if TYPE_CHECKING:
    from trainables.autoencoder import Autoencoder
    from trainables.epoch import Epoch
    from trainables.fashion_mnist import FashionMnist

MODELS = ("best", "paper_table1", "two_dim", "denoise_zeroed", "denoise_gaussian")

NUM_SHOWN = 16
"""Test images that interpolations go between."""

FIGURES = {"best", "paper_table1", "two_dim"}
"""Models whose reconstructions are drawn; those of the others are denoise's."""


def training(
    config: dict[str, Any], data: FashionMnist, *, device: str, resume: dict[str, Any] | None
) -> Iterator[Epoch]:
    """One model: train on every training image, test at the end."""
    from trainables.autoencoder import train_autoencoder
    from trainables.splits import all_images

    settings = AutoencoderSettings.model_validate(config["model"])
    split = all_images(data.train_images, data.test_images)
    return train_autoencoder(settings, split, device=device, seed=config["seed"], resume=resume)


def load_model(context: Context, name: str) -> Autoencoder:
    """A refitted model, in evaluation mode on the CPU."""
    from safetensors.torch import load

    from trainables.autoencoder import Autoencoder

    description = json.loads(context.run.read(f"models/{name}.json"))
    model = Autoencoder(AutoencoderSettings.model_validate(description["settings"]))
    model.load_state_dict(load(context.run.read(f"models/{name}.safetensors")))
    return model.eval()


def trainings(context: Context) -> Trainings:
    """A training for each model."""
    settings, epochs = context.settings, context.settings.refit.epochs
    best = best_model(context, epochs)
    table1 = paper_table1(settings, epochs)
    models = {
        "best": best,
        "paper_table1": table1,
        "two_dim": best.model_copy(update={"latent_dim": 2}),
        "denoise_zeroed": best.model_copy(update={"noise": "zeroed"}),
        "denoise_gaussian": best.model_copy(update={"noise": "gaussian"}),
    }
    trials = [
        Trial(
            name,
            {"model": model.model_dump(mode="json"), "seed": settings.seed},
            epochs=epochs,
            cost=training_cost(model, settings.data.num_train),
            weights=True,
        )
        for name, model in models.items()
    ]
    return Trainings.of(trials, metric="train_mse")


def finish(context: Context, records: dict[str, Record]) -> None:
    """Write the models, and what they are."""
    context.write_table("models", [_model_row(name, records[name]) for name in MODELS])
    done = [name for name in MODELS if records[name]["state"] == "complete"]
    for name in done:
        context.write_model(name, name, _description(records[name]))
    models = {name: load_model(context, name) for name in done}
    context.write_table("layers", [row for name, model in models.items() for row in _layer_rows(name, model)])
    _write_figures(context, models)
    if len(done) < len(MODELS):
        raise StageFailed(f"failed: {', '.join(sorted(set(MODELS) - set(done)))}")


def _model_row(name: str, record: Record) -> Row:
    model = record["config"]["model"]
    last = record["epochs"][-1] if record["state"] == "complete" else {}
    return {
        "model": name,
        **param_columns(model),
        "num_parameters": AutoencoderSettings.model_validate(model).num_parameters,
        "noise": model["noise"],
        "epochs": len(record["epochs"]),
        **{column: last.get(column) for column in ("train_mse", "test_mse")},
        "seconds": record["seconds"],
        "seed": record["config"]["seed"],
        "state": record["state"],
        "error": record["error"],
    }


def _description(record: Record) -> dict[str, Any]:
    return {
        "class": "trainables.autoencoder.Autoencoder",
        "settings": record["config"]["model"],
        "seed": record["config"]["seed"],
        "test_mse": record["epochs"][-1]["test_mse"],
    }


def _layer_rows(name: str, model: Autoencoder) -> list[Row]:
    from trainables.autoencoder import layer_table

    return [{"model": name} | row for row in layer_table(model)]


def _write_figures(context: Context, models: dict[str, Autoencoder]) -> None:
    from trainables.autoencoder import reconstruct
    from trainables.fashion_mnist import CLASS_NAMES

    images, labels = context.data.test_images, context.data.test_labels
    for name in FIGURES & models.keys():
        model = models[name]
        reconstructed = reconstruct(model, images)
        context.write_figure(f"refit_{name}", figures.reconstructions, images, reconstructed, labels, CLASS_NAMES)
    if "best" in models:
        _write_latent_figures(context, models["best"])


def _write_latent_figures(context: Context, model: Autoencoder) -> None:
    """What the decoder makes of latent vectors that no image was encoded to."""
    from trainables.autoencoder import decode, encode
    from trainables.fashion_mnist import CLASS_NAMES

    latent = encode(model, context.data.train_images)
    of_test = encode(model, context.data.test_images[:NUM_SHOWN])
    size = latent.shape[1]

    # Traversals: one number of an image's latent vector goes from its lowest to its highest hundredth.
    levels = np.linspace(0.01, 0.99, 9)
    walks = np.tile(of_test[0], (size, len(levels), 1))
    for number in range(size):
        walks[number, :, number] = np.quantile(latent[:, number], levels)
    pictures = decode(model, walks.reshape(-1, size)).reshape(size, len(levels), 28, 28)
    context.write_figure(
        "refit_traversals",
        image_grid,
        pictures,
        [f"z{number}" for number in range(1, size + 1)],
        [f"{level:.2f}" for level in levels],
        "Test image 0, one latent number changed at a time",
        horizontal="quantile of that number over the training images",
    )

    # Interpolations between test images 2n and 2n + 1.
    steps = np.linspace(0, 1, 9)[None, :, None]
    first, second = of_test[0::2, None], of_test[1::2, None]
    pictures = decode(model, ((1 - steps) * first + steps * second).reshape(-1, size)).reshape(-1, 9, 28, 28)
    classes = [CLASS_NAMES[label] for label in context.data.test_labels[:NUM_SHOWN]]
    pairs = [f"{one} \N{RIGHTWARDS ARROW} {other}" for one, other in zip(classes[0::2], classes[1::2], strict=True)]
    context.write_figure(
        "refit_interpolations",
        image_grid,
        pictures,
        pairs,
        [f"{step:.2f}" for step in steps.ravel()],
        "Between pairs of test images, on the straight line between their latent vectors",
        horizontal="share of the second image",
    )

    # Samples: from the Gaussian that fits the training images' latent vectors, and from the one that was hoped for.
    draws = np.random.default_rng(context.settings.seed)
    fitted = draws.multivariate_normal(latent.mean(axis=0), np.atleast_2d(np.cov(latent.T)), 40)
    standard = draws.standard_normal((40, size))
    pictures = decode(model, np.concatenate([fitted, standard])).reshape(8, 10, 28, 28)
    names = ["fitted"] * 4 + ["N(0, I)"] * 4
    title = "Decoded from random vectors: of the Gaussian that fits the training images, and of N(0, I)"
    context.write_figure("refit_samples", image_grid, pictures, names, [], title)


def _work(settings: Settings) -> Work:
    epochs, num_images = settings.refit.epochs, settings.data.num_train
    return Work(len(MODELS), epochs, num_images, len(MODELS) * usual_cost(settings, epochs, num_images))


STAGE = Stage(
    name="refit",
    training=training,
    trainings=trainings,
    finish=finish,
    decides=lambda settings: [settings.data, settings.refit],
    needs=lambda settings: ("search",),
    work=_work,
)
