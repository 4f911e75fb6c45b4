"""How good and how varied a generator's images are, in the features of a classifier of real ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainables.classifier import NUM_CLASSES, Classifier, prepared
from trainables.gan_training import generate
from trainables.loop import evaluated

NEIGHBOURHOOD = 3
"""k of precision and recall, as Kynkaanniemi et al. 2019 have it."""


def features(classifier: Classifier, images: Tensor) -> Tensor:
    """Feature vectors, shape (n, width), of uint8 images of shape (n, 28, 28); on the classifier's device."""
    return evaluated(classifier, lambda part: classifier.features(prepared(part)), images)


def frechet_distance(generated: Tensor, real: Tensor) -> float:
    """Frechet distance of the Gaussians that fit two sets of feature vectors, each of shape (n, width).

    |m1 - m2|^2 + trace(C1 + C2 - 2 (C1 C2)^(1/2)). Distances in the features of different networks never compare.

    Source: Heusel et al. 2017; torch-fidelity computes it.
    """
    return gaussian_distance(gaussian(generated), gaussian(real))


def gaussian(vectors: Tensor) -> dict[str, NDArray[Any]]:
    """mu, shape (width,), and sigma, shape (width, width), of the Gaussian that fits vectors of shape (n, width)."""
    from torch_fidelity.metric_fid import fid_features_to_statistics

    return cast(dict[str, NDArray[Any]], fid_features_to_statistics(vectors.cpu()))


def gaussian_distance(one: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]]) -> float:
    """Frechet distance of two Gaussians, each with its mu and its sigma."""
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

    return float(fid_statistics_to_metric(one, other, False)[KEY_METRIC_FID])


def precision_recall(generated: Tensor, real: Tensor) -> tuple[float, float]:
    """Share of generated images that lie among the real ones, and of real ones that lie among the generated.

    Where an image lies is told by its feature vector: both sets have shape (n, width), each with an n of its own.

    Source: Kynkaanniemi et al. 2019; torch-fidelity computes it.
    """
    from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

    shares = prc_features_to_metric(
        generated, real, prc_neighborhood=NEIGHBOURHOOD, prc_batch_size=2000, save_cpu_ram=False, verbose=False
    )
    return float(shares[KEY_METRIC_PRECISION]), float(shares[KEY_METRIC_RECALL])


def class_entropy(counts: NDArray[np.integer[Any]]) -> float:
    """Entropy, in nats, of how many images are taken for each class, shape (10,): log 10 where it is equally many."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


@dataclass(frozen=True)
class Scores:
    """Scores a generator by its images of fixed random vectors."""

    classifier: Classifier
    real_features: Tensor
    """Feature vectors of real images, shape (n, width)."""
    z: Tensor
    """Random vectors that the scored images are made from, shape (m, latent_dim)."""
    last_epoch: int | None
    """Number of the epoch after which precision and recall are measured too, which take longest; None for never."""

    def __call__(self, generator: nn.Module, number: int) -> dict[str, float]:
        """frechet_distance, class_entropy and num_classes (which any image is taken for), precision and recall.

        `generator` gives images of random vectors; `number` is that of the epoch that it comes from.
        """
        generated = features(self.classifier, generate(generator, self.z))
        with torch.inference_mode():
            guesses = self.classifier.head(generated).argmax(1).cpu().numpy()
        counts = np.bincount(guesses, minlength=NUM_CLASSES)
        scores = {
            "frechet_distance": frechet_distance(generated, self.real_features),
            "class_entropy": class_entropy(counts),
            "num_classes": float(np.count_nonzero(counts)),
        }
        if number == self.last_epoch:
            scores["precision"], scores["recall"] = precision_recall(generated, self.real_features)
        return scores
