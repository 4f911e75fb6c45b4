"""refit: final models on all training images, saved for others to load (the paper's Table 1).

Reads the table trials. Writes models/*.safetensors and .json, the tables models and layers, and a figure.
The models: best (the search's), paper_table1, and with the best one's sizes two_dim (a latent vector of 2),
denoise_zeroed and denoise_gaussian (trained to give clean images back from noisy ones).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from orchestrator.config import Settings
from orchestrator.figures import refit as figures
from orchestrator.stage import Context, Record, Stage, StageFailed, Trainings, Trial, Work
from orchestrator.stages.search import best_model, paper_table1, param_columns, training_cost
from orchestrator.tables import Row
from trainables.autoencoder_settings import AutoencoderSettings

if TYPE_CHECKING:
    from trainables.autoencoder import Autoencoder
    from trainables.epoch import Epoch
    from trainables.fashion_mnist import FashionMnist

MODELS = ("best", "paper_table1", "two_dim", "denoise_zeroed", "denoise_gaussian")

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


def train(context: Context) -> Trainings:
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
            cost=training_cost(model, settings.data.num_train),
        )
        for name, model in models.items()
    ]
    return Trainings.of(trials, training, epochs=epochs, metric="train_mse", weights=True)


def finish(context: Context, records: dict[str, Record]) -> None:
    """Write the models, and what they are."""
    context.write_table("models", [_model_row(name, records[name]) for name in MODELS])
    done = [name for name in MODELS if records[name]["state"] == "complete"]
    for name in done:
        _write_model(context, name, records[name])
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


def _write_model(context: Context, name: str, record: Record) -> None:
    context.run.write(f"models/{name}.safetensors", context.run.read(f"{context.records}/{name}.safetensors"))
    description = {
        "class": "trainables.autoencoder.Autoencoder",
        "settings": record["config"]["model"],
        "seed": record["config"]["seed"],
        "test_mse": record["epochs"][-1]["test_mse"],
        "fingerprint": context.fingerprint,
    }
    context.run.write(f"models/{name}.json", json.dumps(description, indent=2).encode())


def _layer_rows(name: str, model: Autoencoder) -> list[Row]:
    from trainables.autoencoder import layer_table

    return [{"model": name} | row for row in layer_table(model)]


def _write_figures(context: Context, models: dict[str, Autoencoder]) -> None:
    from trainables.autoencoder import reconstruct
    from trainables.fashion_mnist import CLASS_NAMES

    images, labels = context.data.test_images, context.data.test_labels
    for name in FIGURES & models.keys():
        model = models[name]
        figure = figures.reconstructions(images, reconstruct(model, images), labels, CLASS_NAMES)
        context.write_figure(f"refit_{name}", figure)


def _work(settings: Settings) -> Work:
    return Work(len(MODELS), settings.refit.epochs, settings.data.num_train)


STAGE = Stage(
    name="refit",
    train=train,
    finish=finish,
    decides=lambda settings: [settings.data, settings.refit],
    needs=lambda settings: ("search",),
    work=_work,
)
