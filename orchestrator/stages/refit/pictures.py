"""What the final models make of images, and of latent vectors that no image was encoded to."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.engine.records import Record
from orchestrator.engine.stage import Context, Picture
from orchestrator.figures.images import image_grid
from orchestrator.figures.names import MODELS, capital
from orchestrator.stages.architectures import described
from orchestrator.stages.measures import Pixels
from orchestrator.stages.refit import figures
from orchestrator.stages.sections import Data
from trainables.autoencoder import Coder, coder, decode, encode, reconstruct
from trainables.images import unit_pixels
from trainables.models import restored

NUM_SHOWN = 16
"""Test images that interpolations go between."""
SHOWN = ("best", "paper_table1", "two_dim")
"""Models whose reconstructions are drawn."""


def pictures(context: Context[Any], trained: Mapping[str, Record[Any]]) -> Iterator[Picture]:
    """The stage's figures, of models by their names."""
    images, labels, names = context.data.test_images, context.data.test_labels, context.section(Data).class_names
    records = {name: trained[name] for name in SHOWN if name in trained}
    models = {name: restored(coder, it.config, context.weights(it)) for name, it in records.items()}
    for name, model in models.items():
        which = "of each class the test image" if names else "the test images"
        caption = f"{capital(MODELS[name])}: {which} with the least and with the greatest error."
        title = capital(f"{MODELS[name]}: {described(records[name])}")
        arguments = (images, reconstruct(model, images), labels, names[: figures.NUM_COLUMNS], title)
        yield Picture(f"refit_{name}", caption, figures.reconstructions, *arguments)
    if "best" in models:
        title = f"The search's best: {described(records['best'])}\n"
        named = [names[label] for label in labels[:NUM_SHOWN]] if names else [f"image {n}" for n in range(NUM_SHOWN)]
        yield from _of_decoder(models["best"], context.data, named, context.seed, title)


def _of_decoder(model: Coder, data: Any, names: Sequence[str], seed: int, which: str) -> Iterator[Picture]:
    """What the decoder makes of latent vectors; the first test images are called by these names."""
    latent = encode(model, data.train_images)
    of_test = encode(model, data.test_images[:NUM_SHOWN])
    size = latent.shape[1]

    def decoded(vectors: NDArray[Any]) -> Pixels:
        """Images in rows and columns, of latent vectors in as many rows and columns."""
        return decode(model, vectors.reshape(-1, size)).reshape(*vectors.shape[:2], *data.test_images.shape[1:])

    # Traversals: one number of an image's latent vector goes from its lowest to its highest hundredth.
    levels = np.linspace(0.01, 0.99, 9)
    walks = np.tile(of_test[0], (size, len(levels), 1))
    for number in range(size):
        walks[number, :, number] = np.quantile(latent[:, number], levels)
    rows, columns = [f"z{number}" for number in range(1, size + 1)], [f"{level:.2f}" for level in levels]
    caption = "The search's best: what each number of the latent vector does to a reconstruction."
    title = f"{which}test image 0 ({names[0]}), one latent number changed at a time"
    across = "quantile of that number over the training images"
    yield Picture("refit_traversals", caption, image_grid, decoded(walks), rows, columns, title, horizontal=across)

    # Interpolations between test images 2n and 2n + 1.
    steps = np.linspace(0, 1, 9)
    first, second = of_test[0::2, None], of_test[1::2, None]
    between = (1 - steps[:, None]) * first + steps[:, None] * second
    rows = [f"{one} \N{RIGHTWARDS ARROW} {other}" for one, other in zip(names[0::2], names[1::2], strict=True)]
    columns = ["one", *(f"{step:.2f}" for step in steps), "other"]
    caption = (
        "The search's best: from one test image to another through the latent space, the images themselves at the "
        "ends."
    )
    title, across = f"{which}on the straight line between two latent vectors", "share of the other image's vector"
    real = unit_pixels(data.test_images[: 2 * len(first)]).reshape(-1, 2, 1, *data.test_images.shape[1:])
    shown = np.concatenate([real[:, 0], decoded(between), real[:, 1]], axis=1)
    yield Picture("refit_interpolations", caption, image_grid, shown, rows, columns, title, horizontal=across)

    # Samples: from the Gaussian that fits the training images' latent vectors, and from the one that was hoped for.
    draws = np.random.default_rng(seed)
    fitted = draws.multivariate_normal(latent.mean(axis=0), np.atleast_2d(np.cov(latent.T)), (4, 10))
    standard = draws.standard_normal((4, 10, size))
    rows = ["real", *["fitted"] * 4, *["N(0, I)"] * 4]
    caption = (
        "The search's best: images decoded from random latent vectors, of the Gaussian that fits those of the "
        "training images, and of the one that was hoped for; on top test images."
    )
    title = f"{which}decoded from random vectors: fitted Gaussian, and N(0, I)"
    real = unit_pixels(data.test_images[:10])[None]
    shown = np.concatenate([real, decoded(np.concatenate([fitted, standard]))])
    yield Picture("refit_samples", caption, image_grid, shown, rows, [], title)
