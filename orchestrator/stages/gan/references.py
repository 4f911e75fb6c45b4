"""What the GANs' scores are of images that no GAN made, and how far sections of the training images lie apart."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from trainables.gan_scores import Extractor, Vectors, frechet_distance, scores
from trainables.images import Images, as_tensor

NUM_BLOCKS, NUM_PARTITIONS = 6, 20
"""Blocks that the training images are cut into, as for the paper's folds, and random orders to be cut likewise."""
GREY, DEVIATION = 127, 10
"""Mean and standard deviation of the pixels of grey noise."""


def reference_rows(extractor: Extractor, train: Images, test: Images, real: Vectors) -> Iterator[dict[str, Any]]:
    """Rows of gan_references: training images, grey noise and the test images upside down, beside these."""
    upside_down = np.ascontiguousarray(test[..., ::-1, :])
    named = {"train": train[: len(test)], "grey_noise": grey_noise(test.shape), "upside_down": upside_down}
    for name, images in named.items():
        yield {"images": name, "num_images": len(images), **scores(extractor(as_tensor(images)), real)}


def grey_noise(shape: tuple[int, ...]) -> Images:
    """Images of this shape whose pixels are from N(GREY, DEVIATION^2), rounded down; the same in every run."""
    pixels = np.random.default_rng(0).normal(GREY, DEVIATION, shape)
    return pixels.astype(np.uint8)


def section_rows(train: Vectors, real: Vectors, seed: int) -> Iterator[dict[str, Any]]:
    """Rows of gan_sections: blocks of the training images, in their order and at random, beside the test's."""
    draws, in_order = np.random.default_rng(seed), np.arange(len(train.features))
    orders = [in_order, *(draws.permutation(in_order) for _ in range(NUM_PARTITIONS))]
    for partition, order in enumerate(orders):
        for number, block in enumerate(np.array_split(order, NUM_BLOCKS)):
            vectors = train[as_tensor(block)]
            yield {
                "blocks": "random" if partition else "sequential",
                "partition": partition,
                "number": number,
                "num_images": len(block),
                "frechet_distance": frechet_distance(vectors.features, real.features),
                "frechet_distance_pixels": frechet_distance(vectors.pixels, real.pixels),
            }
