"""The principal components of images, which autoencoders are held against."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.stages.measures import parts_of
from trainables.images import Images, flat_pixels

MOST_COMPONENTS = 64
"""Components of PCA that errors are told of."""
MOST_EXACT = 4096
"""Numbers of an image up to which components are exact; their covariance has the square of it."""


@dataclass(frozen=True)
class Components:
    """Directions of the most variance, the greatest first; of each the number farthest from 0 is positive."""

    mean: NDArray[np.float32]
    """Of the pixels, in [0, 1]; shape (numbers of an image,)."""
    axes: NDArray[np.float32]
    """Of length 1; shape (components, numbers of an image)."""

    def of(self, images: Images, number: int | None = None) -> NDArray[np.float32]:
        """The images' first `number` coordinates, or all: shape (n, number)."""
        axes = self.axes[:number].T
        return np.concatenate([(flat_pixels(some) - self.mean) @ axes for (some,) in parts_of(images)])


def fit_pca(images: Images, number: int | None = None) -> Components:
    """So many principal components, or all of them, exact, of the images' whole covariance.

    The covariance is made of sums of bytes and of their products, which floats of 64 bits hold exactly: it is the
    same on every machine, and no more than a part of the images is held as floats. Images of more than MOST_EXACT
    numbers are all held so, and random projections find the first MOST_COMPONENTS.
    """
    num_images, num_values = len(images), images[0].size
    if num_values > MOST_EXACT:
        from sklearn.decomposition import PCA  # by whoever fits: workers do without

        found = PCA(min(number or MOST_COMPONENTS, num_images), svd_solver="randomized", random_state=0, copy=False)
        found.fit(flat_pixels(images))
        return Components(found.mean_, found.components_)
    total, products = np.zeros(num_values), np.zeros((num_values, num_values))
    for (some,) in parts_of(images):
        rows = some.reshape(len(some), -1).astype(np.float64)
        total += rows.sum(axis=0)
        products += rows.T @ rows
    products -= np.outer(total, total) / num_images
    kept = min(number or num_values, num_values, num_images)
    axes = np.linalg.eigh(products).eigenvectors.T[::-1][:kept]  # lets other threads go on, as scipy's does not
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1, keepdims=True), axis=1)
    return Components((total / (255 * num_images)).astype(np.float32), (axes * np.sign(largest)).astype(np.float32))
