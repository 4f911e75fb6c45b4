"""How good and how varied a generator's images are, in features that learned of classes and in others."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainables.classifier import Classifier, features
from trainables.gan_training import generate
from trainables.images import as_rows
from trainables.loop import in_parts

NEIGHBOURHOOD = 3
"""k of precision and recall, as Kynkaanniemi et al. 2019 have it."""
DENSITY_NEIGHBOURHOOD = 5
"""k of density and coverage, as Naeem et al. 2020 have it."""
NUM_COMPONENTS = 64
"""Principal components of the pixels that the second features are."""
SUBSETS, SUBSET_SIZE = 100, 1000
"""Of the kernel distance: how many subsets of each set of images it is the mean over, and of how many images."""
AT_ONCE = 200
"""Vectors whose distances from all others are taken at a time."""
SCORES = (
    "frechet_distance",
    "frechet_distance_pixels",
    "kernel_distance",
    "precision",
    "recall",
    "density",
    "coverage",
    "two_sample_accuracy",
)
"""Names of all that `scores` gives."""


@dataclass(frozen=True)
class Vectors:
    """What two extractors make of the same n images."""

    features: Tensor
    """Of the classifier, which learned what tells classes apart: shape (n, width)."""
    pixels: Tensor
    """Coordinates along the principal components of pixels, which know no labels: shape (n, NUM_COMPONENTS)."""

    def __getitem__(self, which: slice | Tensor) -> "Vectors":
        return Vectors(self.features[which], self.pixels[which])


@dataclass(frozen=True)
class Extractor:
    """A classifier of real images, and principal components of their pixels.

    The classifier's features leave out what does not tell one class from another; the components, which are found
    without labels and need no training, keep what most of the pixels' variance is in. An order of generators that is
    the same in both is no whim of one extractor.
    """

    classifier: Classifier
    components: Tensor
    """Shape (pixels of an image, in all channels, NUM_COMPONENTS), orthonormal columns."""

    def __call__(self, images: Tensor) -> Vectors:
        """Of uint8 images; on the classifier's device."""
        device = self.components.device
        pixels = in_parts(lambda part: as_rows(part.to(device)) @ self.components, images, 1000)
        return Vectors(features(self.classifier, images), pixels)


def scores(generated: Vectors, real: Vectors) -> dict[str, float]:
    """All scores of some images beside real ones: see the functions that measure them."""
    values = frechet_distance(generated.features, real.features), frechet_distance(generated.pixels, real.pixels)
    neighbours = neighbour_scores(generated.features, real.features)
    kernel = kernel_distance(generated.features, real.features)
    return dict(zip(SCORES, (*values, kernel, *neighbours), strict=True))


def frechet_distance(generated: Tensor, real: Tensor) -> float:
    """Frechet distance of the Gaussians that fit two sets of feature vectors, each of shape (n, width).

    |m1 - m2|^2 + trace(C1 + C2 - 2 (C1 C2)^(1/2)). Distances in the features of different networks never compare.

    Source: Heusel et al. 2017.
    """
    return gaussian_distance(gaussian(generated), gaussian(real))


def gaussian(vectors: Tensor) -> dict[str, NDArray[Any]]:
    """mu, shape (width,), and sigma, shape (width, width), of the Gaussian that fits vectors of shape (n, width)."""
    array = vectors.cpu().numpy()
    return {"mu": array.mean(0), "sigma": np.cov(array, rowvar=False)}


def gaussian_distance(one: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]]) -> float:
    """Frechet distance of two Gaussians, each with its mu and its sigma."""
    between, product = one["mu"] - other["mu"], one["sigma"] @ other["sigma"]
    # A matrix's root has the roots of its eigenvalues, whose sum is its trace; rounding may make some complex.
    trace_of_root = np.sqrt(np.linalg.eigvals(product).astype(complex)).real.sum()
    return float(between @ between + np.trace(one["sigma"]) + np.trace(other["sigma"]) - 2 * trace_of_root)


def kernel_distance(generated: Tensor, real: Tensor) -> float:
    """Squared maximum mean discrepancy of two sets of feature vectors, each of shape (n, width): KID.

    The kernel is (x . y / width + 1)^3; mean of the unbiased estimates of SUBSETS random subsets, the same in every
    call; it is 0 on average, and may fall below, where both sets are of one distribution.

    Source: Binkowski et al. 2018.
    """
    x, y = generated.cpu().numpy(), real.cpu().numpy()
    size, width = min(SUBSET_SIZE, len(x), len(y)), x.shape[1]
    draws, estimates = np.random.RandomState(0), []
    for _ in range(SUBSETS):
        some_x, some_y = (it[draws.choice(len(it), size, replace=False)] for it in (x, y))
        of_x, of_y, of_both = (
            (one @ other.T / width + 1) ** 3 for one, other in ((some_x, some_x), (some_y, some_y), (some_x, some_y))
        )
        within = of_x.sum() - np.trace(of_x) + of_y.sum() - np.trace(of_y)
        estimates.append(within / (size * (size - 1)) - 2 * of_both.mean())
    return float(np.mean(estimates))


def neighbour_scores(generated: Tensor, real: Tensor) -> tuple[float, float, float, float, float]:
    """Precision, recall, density, coverage and two-sample accuracy of vectors of shapes (n, width) and (m, width).

    A vector's ball reaches to its kth nearest neighbour in its own set. Precision: share of generated vectors in any
    real one's ball. Recall: share of real ones in any generated one's. Density: number of real balls that a generated
    vector is in, over k, mean; may exceed 1. Coverage: share of real balls that any generated vector is in. The
    accuracy is that with which the nearest neighbour among all others tells which set a vector is of, mean of both
    sets' shares: 1/2 where it cannot be told, 1 where they lie apart.

    Precision looks at no more than where single images fall: noise of one grey may have 1 where a few lie far apart.

    Source: Kynkaanniemi et al. 2019 (precision, recall); Naeem et al. 2020 (density, coverage); Lopez-Paz and Oquab
    2017 (the accuracy, leaving one out).
    """
    of_generated, of_real = _own_neighbours(generated), _own_neighbours(real)
    to_real = torch.empty_like(of_generated[0])
    precise, density = torch.empty_like(to_real), torch.empty_like(to_real)
    to_generated = torch.full_like(of_real[0], torch.inf)
    recalled = torch.zeros_like(to_generated, dtype=torch.bool)
    for start in range(0, len(generated), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        distances = torch.cdist(generated[part], real)
        to_real[part] = distances.amin(1)
        to_generated = to_generated.minimum(distances.amin(0))
        precise[part] = (distances <= of_real[1]).any(1).float()
        recalled |= (distances <= of_generated[1][part, None]).any(0)
        density[part] = (distances < of_real[2]).float().sum(1) / DENSITY_NEIGHBOURHOOD
    shares = precise, recalled, density, to_generated < of_real[2]
    told = [(of_generated[0] < to_real).double().mean(), (of_real[0] < to_generated).double().mean()]
    precision, recall, mean_density, coverage = (float(share.double().mean()) for share in shares)
    return precision, recall, mean_density, coverage, float(sum(told) / 2)


def _own_neighbours(vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Distances, each of shape (n,), to the nearest, the 3rd and the 5th nearest of the other vectors of a set."""
    count = DENSITY_NEIGHBOURHOOD + 1  # a vector's nearest is itself
    nearest = in_parts(lambda part: torch.cdist(part, vectors).topk(count, largest=False).values, vectors, AT_ONCE)
    return nearest[:, 1], nearest[:, NEIGHBOURHOOD], nearest[:, DENSITY_NEIGHBOURHOOD]


def class_entropy(counts: NDArray[np.integer[Any]]) -> float:
    """Entropy, in nats, of how many images are taken for each class, shape (classes,): the logarithm of their
    number where it is equally many."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


@dataclass(frozen=True)
class Scores:
    """Scores a generator by its images of fixed random vectors: by validation images after every epoch, at the end by
    test images too."""

    extractor: Extractor
    val: Tensor
    """Feature vectors of the classifier of validation images, shape (n, width)."""
    test: Vectors | None
    """Of test images; None where these are not looked at."""
    z: Tensor
    """Random vectors, shape (m, latent_dim), no fewer than there are validation or test images."""
    last_epoch: int
    """Number of the epoch after which the test images are looked at."""

    def __call__(self, generator: nn.Module, number: int) -> dict[str, float]:
        """val_frechet_distance, class_entropy and num_classes (which any image is taken for), at the end all SCORES.

        `generator` gives images of random vectors; `number` is that of the epoch that it comes from. As many images
        are scored as there are real ones to be held against.
        """
        images = generate(generator, self.z)
        generated = features(self.extractor.classifier, images)
        with torch.inference_mode():
            guesses = self.extractor.classifier.head(generated).argmax(1).cpu().numpy()
        counts = np.bincount(guesses)
        found = {
            "val_frechet_distance": frechet_distance(generated[: len(self.val)], self.val),
            "class_entropy": class_entropy(counts),
            "num_classes": float(np.count_nonzero(counts)),
        }
        if self.test is not None and number == self.last_epoch:
            found |= scores(self.extractor(images[: len(self.test.features)]), self.test)
        return found
