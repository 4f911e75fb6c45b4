"""What generators drew, epoch by epoch, and how their trainings went."""

from collections.abc import Iterator

import numpy as np
from sklearn.neighbors import NearestNeighbors

from orchestrator.engine.records import Record
from orchestrator.engine.stage import Context, Picture, Tables
from orchestrator.figures.animation import animation
from orchestrator.figures.images import image_grid
from orchestrator.figures.interactive import curves, frames
from orchestrator.stages.gan import Gan, ScoredGan, best_of, figures
from orchestrator.stages.gan.settings import Settings
from orchestrator.stages.measures import Pixels
from trainables.images import Images, flat_pixels

MOST_SHOWN = 8
"""Epochs in a figure of samples."""


def pictures(context: Context[Settings], tables: Tables) -> Iterator[Picture]:
    """The stage's figures."""
    best = best_of(context.own_records, Gan.metric)
    drawn = {which: _drawn(context, record) for which, record in best.items()}
    for (arm, loss), images in drawn.items():
        name = f"{arm}, {loss.replace('_', '-')}"
        shown = sorted({round(number) for number in np.linspace(1, len(images), min(len(images), MOST_SHOWN))})
        some, names = images[[number - 1 for number in shown]], [f"epoch {number}" for number in shown]
        caption = f"{name}, best seed: the same random vectors as the epochs go by."
        title = f"{name}: images of the same random vectors after some epochs"
        yield Picture(f"gan_samples_{arm}_{loss}", caption, image_grid, some, names, [], title)
        titles = [f"{name}, epoch {number}" for number in range(1, len(images) + 1)]
        yield Picture(f"gan_animation_{arm}_{loss}", f"{name}: the same, every epoch.", animation, images, titles)
    if drawn:
        told = {f"{arm}, {loss.replace('_', '-')}": list(_by_epoch(images)) for (arm, loss), images in drawn.items()}
        yield Picture("gan_drawn", "The same random vectors, epoch by epoch.", frames, told)
    epochs = tables["gan_epochs"]
    caption = "Distance from held-out training images by epoch; it compares within this run only."
    yield Picture("gan_distance", caption, figures.distance, epochs, tables["gans"]["floor_distance"].iloc[0])
    caption = "The same, mean over seeds; to be read off."
    value, label = "val_frechet_distance", "Frechet distance"
    yield Picture("gan_curves", caption, curves, epochs, ["arm", "loss"], value, label, logarithmic=True)
    caption = "What the discriminator makes of real and of generated images."
    yield Picture("gan_probabilities", caption, figures.probabilities, epochs)
    caption = "Why minimax saturates: the gradient's size against d, measured and in theory."
    yield Picture("gan_gradients", caption, figures.gradients, epochs)
    caption = "How much of the generator's gradient is left as the epochs go by."
    yield Picture("gan_weight_gradients", caption, figures.weight_gradients, epochs)
    for (arm, loss), images in drawn.items():
        name = f"{arm}, {loss.replace('_', '-')}"
        pairs = np.stack([images[-1], _nearest(images[-1], context.data.train_images)])
        caption = f"{name}: are images copied from the training images?"
        title = f"{name}: generated images and the training images nearest in pixels"
        yield Picture(f"gan_neighbours_{arm}_{loss}", caption, image_grid, pairs, ["generated", "nearest"], [], title)


def _drawn(context: Context[Settings], record: Record[ScoredGan]) -> Pixels:
    """What a generator drew after each epoch: shape (epochs, images, 28, 28), in [0, 1]."""
    kept = context.arrays(record)
    drawn: Pixels = np.stack([kept[f"epoch-{epoch + 1:03d}.images"] for epoch in range(len(record.epochs))]) / 255
    return drawn


def _by_epoch(images: Pixels) -> Iterator[tuple[str, Pixels, str]]:
    """A frame for each epoch, as interactive.frames takes them."""
    for number, drawn in enumerate(images, start=1):
        yield f"epoch {number}", drawn[None], ""


def _nearest(images: Pixels, among: Images) -> Pixels:
    """Of each image with pixels in [0, 1], the nearest of some uint8 ones, likewise."""
    nearest = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(flat_pixels(among))
    rows = images.reshape(len(images), -1).astype(np.float32)
    found: Pixels = among[nearest.kneighbors(rows, return_distance=False)[:, 0]] / 255
    return found
