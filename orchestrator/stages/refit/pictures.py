"""What the final models make of images, and of latent vectors that no image was encoded to."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.engine.records import Record
from orchestrator.engine.stage import Context, Picture
from orchestrator.figures.images import image_grid
from orchestrator.stages.measures import Pixels
from orchestrator.stages.refit import figures
from trainables.autoencoder import Autoencoder, decode, encode, reconstruct
from trainables.fashion_mnist import CLASS_NAMES
from trainables.images import IMAGE_SIZE
from trainables.models import restored

NUM_SHOWN = 16
"""Test images that interpolations go between."""
CAPTIONS = {
    "best": "best: originals over reconstructions, the best and the worst image of each class.",
    "paper_table1": "paper_table1: the same for the paper's architecture.",
    "two_dim": "two_dim: the same for a latent vector of two numbers.",
}


def pictures(context: Context[Any], trained: Mapping[str, Record[Any]]) -> Iterator[Picture]:
    """The stage's figures, of models by their names."""
    images, labels = context.data.test_images, context.data.test_labels
    records = {name: trained[name] for name in CAPTIONS if name in trained}
    models = {name: restored(Autoencoder, it.config, context.weights(it)) for name, it in records.items()}
    for name, model in models.items():
        arguments = (images, reconstruct(model, images), labels, CLASS_NAMES)
        yield Picture(f"refit_{name}", CAPTIONS[name], figures.reconstructions, *arguments)
    if "best" in models:
        yield from _of_decoder(models["best"], context.data, context.seed)


def _of_decoder(model: Autoencoder, data: Any, seed: int) -> Iterator[Picture]:
    latent = encode(model, data.train_images)
    of_test = encode(model, data.test_images[:NUM_SHOWN])
    size = latent.shape[1]

    def decoded(vectors: NDArray[Any]) -> Pixels:
        """Images in rows and columns, of latent vectors in as many rows and columns."""
        return decode(model, vectors.reshape(-1, size)).reshape(*vectors.shape[:2], IMAGE_SIZE, IMAGE_SIZE)

    # Traversals: one number of an image's latent vector goes from its lowest to its highest hundredth.
    levels = np.linspace(0.01, 0.99, 9)
    walks = np.tile(of_test[0], (size, len(levels), 1))
    for number in range(size):
        walks[number, :, number] = np.quantile(latent[:, number], levels)
    rows, columns = [f"z{number}" for number in range(1, size + 1)], [f"{level:.2f}" for level in levels]
    caption, title = (
        "best: what each number of the latent vector does.",
        "Test image 0, one latent number changed at a time",
    )
    across = "quantile of that number over the training images"
    yield Picture("refit_traversals", caption, image_grid, decoded(walks), rows, columns, title, horizontal=across)

    # Interpolations between test images 2n and 2n + 1.
    steps = np.linspace(0, 1, 9)
    first, second = of_test[0::2, None], of_test[1::2, None]
    between = (1 - steps[:, None]) * first + steps[:, None] * second
    classes = [CLASS_NAMES[label] for label in data.test_labels[:NUM_SHOWN]]
    rows = [f"{one} \N{RIGHTWARDS ARROW} {other}" for one, other in zip(classes[0::2], classes[1::2], strict=True)]
    columns, across = [f"{step:.2f}" for step in steps], "share of the second image"
    caption = "best: from one image to another through the latent space."
    title = "Between pairs of test images, on the straight line between their latent vectors"
    yield Picture(
        "refit_interpolations", caption, image_grid, decoded(between), rows, columns, title, horizontal=across
    )

    # Samples: from the Gaussian that fits the training images' latent vectors, and from the one that was hoped for.
    draws = np.random.default_rng(seed)
    fitted = draws.multivariate_normal(latent.mean(axis=0), np.atleast_2d(np.cov(latent.T)), (4, 10))
    standard = draws.standard_normal((4, 10, size))
    rows, caption = ["fitted"] * 4 + ["N(0, I)"] * 4, "best: images decoded from random latent vectors."
    title = "Decoded from random vectors: of the Gaussian that fits the training images, and of N(0, I)"
    yield Picture("refit_samples", caption, image_grid, decoded(np.concatenate([fitted, standard])), rows, [], title)
