"""What generators drew, epoch by epoch, and how their trainings went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from orchestrator.engine.records import Record
from orchestrator.engine.stage import Context, Picture, Tables
from orchestrator.figures.animation import animation
from orchestrator.figures.images import image_grid
from orchestrator.stages.gan import ScoredGan, figures
from orchestrator.stages.gan.measure import best_of
from orchestrator.stages.measures import Pixels
from trainables.images import Images, flat_pixels

if TYPE_CHECKING:
    from orchestrator.stages.gan import Settings

MOST_SHOWN = 8
"""Epochs in a figure of samples."""


def pictures(context: Context[Settings], tables: Tables) -> Iterator[Picture]:
    """The stage's figures."""
    records, losses = context.own_records, context.own.losses
    best = {loss: record for loss in losses if (record := best_of(loss, records)) is not None}
    drawn = {loss: _drawn(context, record) for loss, record in best.items()}
    for loss, images in drawn.items():
        yield from _samples(loss, images)
    epochs = tables["gan_epochs"]
    caption = "Distance from the test images by epoch; it compares within this run only."
    yield Picture("gan_distance", caption, figures.distance, epochs, tables["gans"]["floor_distance"].iloc[0])
    caption = "What the discriminator makes of real and of generated images."
    yield Picture("gan_probabilities", caption, figures.probabilities, epochs)
    caption = "Why minimax saturates: the gradient's size against d, measured and in theory."
    yield Picture("gan_gradients", caption, figures.gradients, epochs)
    for loss, images in drawn.items():
        name, train_images = loss.replace("_", "-"), context.data.train_images
        nearest = train_images[_nearest(images[-1], train_images)] / 255
        yield Picture(
            f"gan_neighbours_{loss}",
            f"{name}: are images copied from the training images?",
            image_grid,
            np.stack([images[-1], nearest]),
            ["generated", "nearest"],
            [],
            f"{name}: generated images and the training images nearest in pixels",
        )


def _drawn(context: Context[Settings], record: Record[ScoredGan]) -> Pixels:
    """What a generator drew after each epoch: shape (epochs, images, 28, 28), in [0, 1]."""
    kept = context.arrays(record)
    drawn: Pixels = np.stack([kept[f"epoch-{epoch + 1:03d}.images"] for epoch in range(len(record.epochs))]) / 255
    return drawn


def _samples(loss: str, drawn: Pixels) -> Iterator[Picture]:
    name = loss.replace("_", "-")
    numbers = _spread(len(drawn), at_most=MOST_SHOWN)
    yield Picture(
        f"gan_samples_{loss}",
        f"{name}, best seed: the same random vectors as the epochs go by.",
        image_grid,
        drawn[[number - 1 for number in numbers]],
        [f"epoch {number}" for number in numbers],
        [],
        f"{name}: images of the same random vectors after some epochs",
    )
    titles = [f"{name}, epoch {number}" for number in range(1, len(drawn) + 1)]
    yield Picture(f"gan_animation_{loss}", f"{name}: the same, every epoch.", animation, drawn, titles)


def _spread(last: int, at_most: int) -> Sequence[int]:
    """Numbers from 1 to the last, evenly spread."""
    return sorted({round(number) for number in np.linspace(1, last, min(last, at_most))})


def _nearest(images: Pixels, among: Images) -> NDArray[np.int64]:
    """For each image with pixels in [0, 1], which of some uint8 ones is nearest."""
    nearest = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(flat_pixels(among))
    found: NDArray[np.int64] = nearest.kneighbors(
        images.reshape(len(images), -1).astype(np.float32), return_distance=False
    )
    return found[:, 0]
