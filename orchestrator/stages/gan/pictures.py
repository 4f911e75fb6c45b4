"""What generators drew, epoch by epoch, and how their trainings went."""

from collections.abc import Iterator

import numpy as np

from orchestrator.engine.records import Record
from orchestrator.engine.stage import Context, Picture, Tables
from orchestrator.figures.animation import animation
from orchestrator.figures.images import image_grid
from orchestrator.figures.interactive import curves, frames
from orchestrator.figures.names import capital, game
from orchestrator.stages.gan import Gan, ScoredGan, best_of, figures
from orchestrator.stages.gan.settings import Settings
from orchestrator.stages.measures import Pixels
from orchestrator.stages.neighbours import nearest
from trainables.images import Images

MOST_SHOWN = 8
"""Epochs in a figure of samples."""
NUM_DRAWN = 10
"""Real images beside them, at most."""


def pictures(context: Context[Settings], tables: Tables) -> Iterator[Picture]:
    """The stage's figures."""
    best = best_of(context.own_records, Gan.metric)
    games = [(f"{arm}_{loss}", _words(record), _drawn(context, record)) for (arm, loss), record in best.items()]
    held_out = context.data.train_images[-NUM_DRAWN:] / 255
    for which, words, images in games:
        shown = sorted({round(number) for number in np.linspace(1, len(images), min(len(images), MOST_SHOWN))})
        rows = np.concatenate([held_out[None, : images.shape[1]], images[[number - 1 for number in shown]]])
        names = ["real", *(f"epoch {number}" for number in shown)]
        caption = f"{words}, the best seed: images of the same random vectors as the epochs go by, below real ones."
        title = f"{words}\nimages of the same random vectors as the epochs go by; on top held-out real ones"
        yield Picture(f"gan_samples_{which}", caption, image_grid, rows, names, [], title)
        titles = [f"{words}, epoch {number}" for number in range(1, len(images) + 1)]
        caption = f"{words}, the best seed: images of the same random vectors, every epoch."
        yield Picture(f"gan_animation_{which}", caption, animation, images, titles)
    if games:
        caption = "Images of the same random vectors, epoch by epoch, of each GAN's best seed."
        yield Picture("gan_drawn", caption, frames, {words: list(_by_epoch(images)) for _, words, images in games})
    epochs = tables["gan_epochs"]
    caption = (
        "Distance of generated images from held-out training images by epoch, in the features of this run's "
        "classifier: it compares within this run only. The floor is that of as many training images from the test "
        "images."
    )
    yield Picture("gan_distance", caption, figures.distance, epochs, tables["gans"]["floor_distance"].iloc[0])
    caption = "Distance of generated images from held-out training images by epoch, mean over seeds; to be read off."
    value, label = "val_frechet_distance", "Fréchet distance"
    named = epochs.assign(name=[game(*which) for which in zip(epochs["arm"], epochs["loss"], strict=True)])
    yield Picture("gan_curves", caption, curves, named, ["name"], value, label, logarithmic=True)
    caption = "What the discriminator makes of real and of generated images, mean of an epoch; every seed a line."
    yield Picture("gan_probabilities", caption, figures.probabilities, epochs)
    low, high = epochs["d_fake"].min(), epochs["d_fake"].max()
    caption = (
        "How large the generator's gradient in the logit is: minimax saturates where d nears 0, non-saturating "
        f"where it nears 1. Lines: in theory, at a given d. Marks: epochs of this run, whose d was {low:.2f} to "
        f"{high:.2f}; d is the discriminator's step's and the gradient the generator's, after it, hence marks "
        "beside the lines."
    )
    yield Picture("gan_gradients", caption, figures.gradients, epochs)
    caption = "Norm of the generator's gradient in its weights as the epochs go by, on a logarithmic scale."
    yield Picture("gan_weight_gradients", caption, figures.weight_gradients, epochs)
    for which, words, images in games:
        pairs = np.stack([images[-1], _nearest(images[-1], context.data.train_images)])
        caption = f"{words}, the best seed: are images copied from the training images?"
        title = f"{words}\ngenerated images, and the training images nearest to them in pixels"
        yield Picture(
            f"gan_neighbours_{which}", caption, image_grid, pairs, ["generated", "nearest\nreal"], [], title
        )


def _words(record: Record[ScoredGan]) -> str:
    """Which GAN a training is of."""
    return f"{capital(game(record.config.arm, record.config.gan.loss))}, seed {record.seed}"


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
    rows = images.reshape(len(images), -1).astype(np.float32)
    found: Pixels = among[nearest(rows, among, 1)[:, 0]] / 255
    return found
