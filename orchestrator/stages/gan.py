"""gan: the minimax and the non-saturating GAN, seed by seed, under Ray Train's DDP (the paper's second half).

Reads classify's model classifier, and gan_search's table gan_trials where the games were tuned. Writes the tables
gans, gan_epochs and gan_intervals, figures, and each game's best generator.

Minimax is minimax here, which in the author's code it is not. Distances are taken in the features of the classifier
of raw images, between as many generated images as there are test images and these; between as many training images
and the test images they are the floor.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.config import Gan, Settings
from orchestrator.figures import gan as figures
from orchestrator.figures.images import image_grid
from orchestrator.scoring import scores_of, scoring_classifier, scoring_inputs
from orchestrator.stage import Context, Record, Stage, StageFailed, Trainings, Trial, Work
from trainables.gan_settings import GanSettings

if TYPE_CHECKING:
    import pandas as pd

    from orchestrator.figures.style import Pixels
    from trainables.epoch import Epoch
    from trainables.fashion_mnist import FashionMnist
    from trainables.splits import Images

EPOCH_COLUMNS = (
    *("epoch", "d_loss", "g_loss", "d_real", "d_fake", "g_logit_grad"),
    *("frechet_distance", "class_entropy", "seconds"),
)
PLAYED_WITH = ("learning_rate", "beta1", "batch_size", "r1_penalty")
SEARCH = tuple(name for name in Gan.model_fields if name.startswith("search_"))
"""Settings of gan_search alone."""
COLLAPSED_CLASSES = 5
COLLAPSED_RECALL = 0.01
"""A run has collapsed where its images' classes are no more varied than so many equally frequent ones, or where they
come near no more than this share of the real images."""
NUM_SHOWN = 10
"""Fixed random vectors that are drawn after every epoch."""
SECONDS = {"paper": 750e-6, "stable": 1000e-6}
"""About what an image takes in training, on one of two cores."""


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
    from trainables.gan_training import generate, random_vectors, train_gan

    settings, seed = GanSettings.model_validate(config["gan"]), config["seed"]
    measure = None
    if rank == 0:
        z = random_vectors(len(data.test_images), settings, seed, 0, 2)
        scores = scores_of(config, inputs, z, device=device, last_epoch=settings.epochs)

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


def trainings(context: Context) -> Trainings:
    """A training for each game and seed; the classifier and the test images' features go with them."""
    classifier = scoring_inputs(context, context.data.test_images)
    trials = games(context.settings, classifier, tuned(context) if context.settings.gan.search else {})
    return Trainings.of(trials, metric="frechet_distance", num_workers=context.settings.gan.num_workers)


def tuned(context: Context) -> dict[str, dict[str, Any]]:
    """For each game, what the best of its trials had for the parameters that were searched."""
    trials = context.run.table("gan_trials").dropna(subset=["val_frechet_distance"])
    best = trials.sort_values(["val_frechet_distance", "trial"]).drop_duplicates("loss").set_index("loss")
    params = best.filter(like="params_").rename(columns=lambda name: name.removeprefix("params_"))
    return {str(loss): dict(zip(params.columns, row, strict=True)) for loss, *row in params.itertuples()}


def games(
    settings: Settings,
    classifier: dict[str, Any] | None = None,
    changes: Mapping[str, dict[str, Any]] = MappingProxyType({}),
) -> list[Trial]:
    """The trainings: each game from each seed.

    Args:
        settings: of the run.
        classifier: settings of the one that scores.
        changes: for each game, what is other than in the settings.
    """
    section = settings.gan
    shared = section.model_dump(include=set(GanSettings.model_fields))
    return [
        Trial(
            f"{loss}-seed-{seed}",
            {
                "gan": GanSettings(loss=loss, **(shared | changes.get(loss, {}))).model_dump(mode="json"),
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
    ordered = [records[trial.key] | {"key": trial.key} for trial in games(context.settings)]
    weights = context.run.read("models/classifier.safetensors")
    checksum = hashlib.sha256(weights).hexdigest()[:16]
    floor = _floor(context)
    extra = {"floor_distance": floor, "features": checksum}
    context.write_table("gans", [_row(record) | extra for record in ordered])
    context.write_table("gan_epochs", [row for record in ordered for row in _epoch_rows(record)])
    context.write_table("gan_intervals", intervals(context.run.table("gans")))
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
        **{name: record["config"]["gan"][name] for name in PLAYED_WITH},
        **{name: last.get(name) for name in ("frechet_distance", "precision", "recall", "class_entropy")},
        "num_classes": sum(count > 0 for count in counts) if last else None,
        "collapsed": entropy < math.log(COLLAPSED_CLASSES) or last["recall"] < COLLAPSED_RECALL if last else None,
        "epochs": len(record["epochs"]),
        "seconds": record["seconds"],
        "num_workers": last.get("num_workers"),
        "state": record["state"],
        "error": record["error"],
    }


def intervals(gans: pd.DataFrame) -> list[dict[str, Any]]:
    """Mean distance of each game over its seeds, and of their difference seed by seed, with 95 % t intervals."""
    from scipy.stats import ttest_1samp

    distances = gans.pivot(index="seed", columns="loss", values="frechet_distance")
    floor = gans["floor_distance"].iloc[0]
    if {"minimax", "non_saturating"} <= set(distances):
        distances["difference"] = distances["minimax"] - distances["non_saturating"]
    rows = []
    for loss in distances:
        values = distances[loss].dropna()
        several = len(values) > 1
        interval = ttest_1samp(values, 0).confidence_interval(0.95) if several else (None, None)
        mean = values.mean() if len(values) else None
        rows.append(
            {
                **{"loss": loss, "num_seeds": len(values), "frechet_distance": mean},
                **dict(zip(("low", "high"), interval, strict=True)),
                "floor_ratio": mean / floor if mean and loss != "difference" else None,
            }
        )
    return rows


def _floor(context: Context) -> float:
    """Distance of as many training images as there are test images from these."""
    import torch

    from trainables.autoencoder import as_tensor
    from trainables.gan_scores import features, frechet_distance

    inputs = context.inputs()
    assert inputs is not None
    settings = json.loads(context.run.read("models/classifier.json"))["settings"]
    images = context.data.train_images[: len(context.data.test_images)]
    found = features(scoring_classifier(settings, inputs), as_tensor(images))
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
    name = loss.replace("_", "-")
    every, kept = range(1, len(best["epochs"]) + 1), context.arrays(best["key"])
    drawn = np.stack([kept[f"epoch-{number:03d}.images"] for number in every]) / 255
    context.write_animation(f"gan_animation_{loss}", drawn, [f"{name}, epoch {number}" for number in every])
    context.write_figure(
        f"gan_samples_{loss}",
        image_grid,
        drawn[[number - 1 for number in numbers]],
        [f"epoch {number}" for number in numbers],
        [],
        f"{name}: images of the same random vectors after some epochs",
    )
    nearest = context.data.train_images[_nearest(drawn[-1], context.data.train_images)] / 255
    pairs = np.stack([drawn[-1], nearest])
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


def _nearest(images: Pixels, among: Images) -> Any:
    """For each image with pixels in [0, 1], which of some uint8 ones is nearest."""
    from sklearn.neighbors import NearestNeighbors

    pool = np.divide(among.reshape(len(among), -1), 255, dtype=np.float32)
    nearest = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(pool)
    return nearest.kneighbors(images.reshape(len(images), -1).astype(np.float32), return_distance=False)[:, 0]


def _work(settings: Settings) -> Work:
    trials = games(settings)
    seconds = sum(trial.cost for trial in trials)
    return Work(len(trials), settings.gan.epochs, settings.data.num_train, seconds)


STAGE = Stage(
    name="gan",
    training=training,
    trainings=trainings,
    finish=finish,
    decides=lambda settings: [settings.data, settings.gan.without("inception_weights", *SEARCH)],
    needs=lambda settings: ("classify", "gan_search") if settings.gan.search else ("classify",),
    work=_work,
    shared=True,
)
