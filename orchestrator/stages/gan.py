"""gan: the minimax and the non-saturating GAN, seed by seed, under Ray Train's DDP (the paper's second half).

Reads classify's model classifier. Writes the tables gans and gan_epochs, figures, and each game's best generator.

Minimax is minimax here, which in the author's code it is not. Distances are taken in the features of the classifier
of raw images, between as many generated images as there are test images and these; between as many training images
and the test images they are the floor.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.config import Settings
from orchestrator.figures import gan as figures
from orchestrator.figures.images import image_grid
from orchestrator.stage import Context, Record, Stage, StageFailed, Trainings, Trial, Work
from trainables.gan_settings import GanSettings

if TYPE_CHECKING:
    from trainables.classifier import Classifier
    from trainables.epoch import Epoch
    from trainables.fashion_mnist import FashionMnist

EPOCH_COLUMNS = (
    *("epoch", "d_loss", "g_loss", "d_real", "d_fake", "g_logit_grad"),
    *("frechet_distance", "class_entropy", "seconds"),
)
COLLAPSED_CLASSES = 5
COLLAPSED_RECALL = 0.01
"""A run has collapsed where its images' classes are no more varied than so many equally frequent ones, or where they
come near no more than this share of the real images."""
NUM_SHOWN = 10
"""Fixed random vectors that are drawn after every epoch."""
SECONDS = {"paper": 600e-6, "stable": 800e-6}
"""About what an image takes in training, on one core."""


def training(
    config: dict[str, Any],
    data: FashionMnist,
    *,
    device: str,
    resume: dict[str, Any] | None,
    inputs: dict[str, Any],
    prepare_model: Callable[[Any], Any],
    rank: int,
    world_size: int,
    keep: Callable[[str, Any], None],
) -> Iterator[Epoch]:
    """One game from one seed; the worker of rank 0 scores the generator after every epoch and keeps a few images."""
    import torch

    from trainables.gan_scores import Scores
    from trainables.gan_training import generate, random_vectors, train_gan

    settings, seed = GanSettings.model_validate(config["gan"]), config["seed"]
    measure = None
    if rank == 0:
        classifier = _classifier(config["classifier"], inputs).to(device)
        real_features = torch.from_numpy(inputs["real_features"]).to(device)
        z = random_vectors(len(data.test_images), settings, seed, 0, 2)
        scores = Scores(classifier, real_features, z, last_epoch=settings.epochs)

        def measure_and_keep(generator: Any, number: int) -> dict[str, float]:
            keep(f"epoch-{number:03d}.images", generate(generator, z[:NUM_SHOWN]).numpy())
            return {**scores(generator, number), "num_workers": float(world_size)}

        measure = measure_and_keep
    return train_gan(
        settings,
        data.train_images,
        device=device,
        seed=seed,
        resume=resume,
        prepare_model=prepare_model,
        rank=rank,
        world_size=world_size,
        measure=measure,
    )


def _classifier(settings: dict[str, Any], weights: dict[str, Any]) -> Classifier:
    import torch

    from trainables.classifier import ClassifierSettings, build

    model = build(ClassifierSettings.model_validate(settings), seed=0)
    prefix = "classifier."
    model.load_state_dict(
        {
            name.removeprefix(prefix): torch.from_numpy(array)
            for name, array in weights.items()
            if name.startswith(prefix)
        }
    )
    return model.eval()


def trainings(context: Context) -> Trainings:
    """A training for each game and seed; the classifier and the test images' features go with them."""
    import torch
    from safetensors.numpy import load

    from trainables.gan_scores import features

    settings = json.loads(context.run.read("models/classifier.json"))["settings"]
    weights = load(context.run.read("models/classifier.safetensors"))
    inputs: dict[str, Any] = {f"classifier.{name}": array for name, array in weights.items()}
    model = _classifier(settings, inputs)
    inputs["real_features"] = features(model, torch.from_numpy(context.data.test_images)).numpy()
    context.write_inputs(inputs)
    trials = _trials(context.settings, classifier=settings)
    return Trainings.of(trials, metric="frechet_distance", num_workers=context.settings.gan.num_workers)


def _trials(settings: Settings, classifier: dict[str, Any] | None = None) -> list[Trial]:
    section = settings.gan
    shared = section.model_dump(include=set(GanSettings.model_fields))
    return [
        Trial(
            f"{loss}-seed-{seed}",
            {
                "gan": GanSettings(loss=loss, **shared).model_dump(mode="json"),
                "seed": seed,
                "classifier": classifier,
            },
            epochs=section.epochs,
            cost=SECONDS[section.architecture] * section.epochs * settings.data.num_train,
            weights=True,
        )
        for seed in range(settings.seed, settings.seed + section.num_seeds)
        for loss in section.losses
    ]


def finish(context: Context, records: dict[str, Record]) -> None:
    """Write how the games went and how good the generators are."""
    ordered = [records[trial.key] | {"key": trial.key} for trial in _trials(context.settings)]
    weights = context.run.read("models/classifier.safetensors")
    checksum = hashlib.sha256(weights).hexdigest()[:16]
    floor = _floor(context)
    extra = {"floor_distance": floor, "features": checksum}
    context.write_table("gans", [_row(record) | extra for record in ordered])
    context.write_table("gan_epochs", [row for record in ordered for row in _epoch_rows(record)])
    epochs = context.run.table("gan_epochs")
    context.write_figure("gan_distance", figures.distance, epochs, floor)
    context.write_figure("gan_probabilities", figures.probabilities, epochs)
    context.write_figure("gan_gradients", figures.gradients, epochs)
    for loss in context.settings.gan.losses:
        _write_images(context, loss, [record for record in ordered if record["config"]["gan"]["loss"] == loss])
    failed = [record["key"] for record in ordered if record["state"] == "failed"]
    if failed:
        raise StageFailed(f"failed: {', '.join(failed)}")


def _what(record: Record) -> dict[str, Any]:
    return {"loss": record["config"]["gan"]["loss"], "seed": record["config"]["seed"]}


def _epoch_rows(record: Record) -> list[dict[str, Any]]:
    return [_what(record) | {name: epoch[name] for name in EPOCH_COLUMNS} for epoch in record["epochs"]]


def _row(record: Record) -> dict[str, Any]:
    last = record["epochs"][-1] if record["state"] == "complete" else {}
    counts = [last.get(f"class_{label}", 0) for label in range(10)]
    entropy = last.get("class_entropy", 0.0)
    return _what(record) | {
        **{name: last.get(name) for name in ("frechet_distance", "precision", "recall", "class_entropy")},
        "num_classes": sum(count > 0 for count in counts) if last else None,
        "collapsed": entropy < math.log(COLLAPSED_CLASSES) or last["recall"] < COLLAPSED_RECALL if last else None,
        "epochs": len(record["epochs"]),
        "seconds": record["seconds"],
        "num_workers": last.get("num_workers"),
        "state": record["state"],
        "error": record["error"],
    }


def _floor(context: Context) -> float:
    """Distance of as many training images as there are test images from these."""
    import torch

    from trainables.gan_scores import features, frechet_distance

    inputs = context.inputs()
    assert inputs is not None
    settings = json.loads(context.run.read("models/classifier.json"))["settings"]
    images = context.data.train_images[: len(context.data.test_images)]
    found = features(_classifier(settings, inputs), torch.from_numpy(images))
    return frechet_distance(found, torch.from_numpy(inputs["real_features"]))


def _write_images(context: Context, loss: str, records: list[Record]) -> None:
    """The best seed's generator, what it drew after each epoch, and the training images nearest to that."""
    complete = [record for record in records if record["state"] == "complete"]
    if not complete:
        return
    best = min(complete, key=lambda record: record["epochs"][-1]["frechet_distance"])
    last = best["epochs"][-1]
    description = {
        "class": "trainables.gan.Generator",
        "settings": best["config"]["gan"],
        "seed": best["config"]["seed"],
        "frechet_distance": last["frechet_distance"],
    }
    context.write_model(f"generator_{loss}", best["key"], description)
    numbers = _spread(len(best["epochs"]), at_most=8)
    drawn = context.arrays(best["key"])
    images = np.stack([drawn[f"epoch-{number:03d}.images"] for number in numbers]) / 255
    name = loss.replace("_", "-")
    context.write_figure(
        f"gan_samples_{loss}",
        image_grid,
        images,
        [f"epoch {number}" for number in numbers],
        [],
        f"{name}: images of the same random vectors after some epochs",
    )
    generated = drawn[f"epoch-{last['epoch']:03d}.images"]
    nearest = context.data.train_images[_nearest(generated, context.data.train_images)]
    pairs = np.stack([generated, nearest]) / 255
    context.write_figure(
        f"gan_neighbours_{loss}",
        image_grid,
        pairs,
        ["generated", "nearest"],
        [],
        f"{name}: generated images and the training images nearest in pixels",
    )


def _spread(last: int, at_most: int) -> list[int]:
    """Numbers from 1 to the last, evenly spread."""
    return sorted({round(number) for number in np.linspace(1, last, min(last, at_most))})


def _nearest(images: Any, among: Any) -> Any:
    from sklearn.neighbors import NearestNeighbors

    flat, pool = (np.divide(part.reshape(len(part), -1), 255, dtype=np.float32) for part in (images, among))
    nearest = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(pool)
    return nearest.kneighbors(flat, return_distance=False)[:, 0]


def _work(settings: Settings) -> Work:
    trials = _trials(settings)
    seconds = sum(trial.cost for trial in trials)
    return Work(len(trials), settings.gan.epochs, settings.data.num_train, seconds)


STAGE = Stage(
    name="gan",
    training=training,
    trainings=trainings,
    finish=finish,
    decides=lambda settings: [settings.data, settings.gan],
    needs=lambda settings: ("classify",),
    work=_work,
    shared=True,
)
