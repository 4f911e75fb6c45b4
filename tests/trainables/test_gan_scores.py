"""Scores of generated images have their known values where there are such."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.classifier import ClassifierSettings, build, predict
from trainables.gan import build as build_gan
from trainables.gan_scores import (
    Scores,
    class_entropy,
    features,
    frechet_distance,
    gaussian,
    gaussian_distance,
    precision_recall,
)
from trainables.gan_settings import GanSettings
from trainables.gan_training import generate, random_vectors


def vectors(count: int = 4000, width: int = 3, seed: int = 0) -> Tensor:
    """From N(0, I), made exactly so: mean 0 and covariance I."""
    draws = np.random.default_rng(seed).standard_normal((count, width))
    draws -= draws.mean(axis=0)
    whitened = draws @ np.linalg.inv(np.linalg.cholesky(np.cov(draws.T))).T
    return torch.from_numpy(whitened.astype(np.float32))


def test_frechet_distance_of_two_gaussians_is_that_of_their_means_and_deviations() -> None:
    """|m1 - m2|^2 + (s1 - s2)^2 in every direction where the covariances are s1^2 I and s2^2 I."""
    assert frechet_distance(vectors(), vectors(seed=1)) == pytest.approx(0, abs=1e-4)
    assert frechet_distance(vectors() + torch.tensor([1.0, 2.0, 0.0]), vectors()) == pytest.approx(5, rel=1e-4)
    assert frechet_distance(vectors() * 3, vectors()) == pytest.approx(3 * (3 - 1) ** 2, rel=1e-4)


def test_a_gaussian_is_mean_and_covariance_and_can_be_kept_to_measure_distances_from() -> None:
    one, other = vectors() * 2 + torch.tensor([1.0, 2.0, 0.0]), vectors(seed=1)
    fit = gaussian(one)
    assert {name: array.shape for name, array in fit.items()} == {"mu": (3,), "sigma": (3, 3)}
    np.testing.assert_allclose(fit["mu"], [1, 2, 0], atol=1e-5)
    np.testing.assert_allclose(fit["sigma"], 4 * np.eye(3), atol=1e-4)
    assert fit["sigma"].dtype == np.float64
    assert gaussian_distance(fit, gaussian(other)) == frechet_distance(one, other)


def test_precision_is_of_the_generated_and_recall_of_the_real() -> None:
    real, far = vectors(500, seed=1), vectors(500, seed=2) + 100
    assert precision_recall(real, real) == (1.0, 1.0)
    assert precision_recall(far, real) == (0.0, 0.0)
    one_place = real[:1] + 1e-3 * vectors(500, seed=3)
    precision, recall = precision_recall(one_place, real)
    assert precision > 0.9, "all that is generated lies among the real ones"
    assert recall < 0.1, "and is like few of them"
    half = torch.cat([vectors(250, seed=4), vectors(250, seed=5) + 100])
    precision, recall = precision_recall(half, real)
    assert precision == pytest.approx(0.5, abs=0.05)
    assert recall > 0.8


@pytest.mark.parametrize(
    ("counts", "entropy"), [([5] * 10, math.log(10)), ([7, 7] + [0] * 8, math.log(2)), ([9] + [0] * 9, 0.0)]
)
def test_class_entropy_is_the_logarithm_of_equally_frequent_classes(counts: list[int], entropy: float) -> None:
    assert class_entropy(np.array(counts)) == pytest.approx(entropy)


def test_a_generator_is_scored_by_as_many_images_as_vectors_and_last_by_precision_and_recall() -> None:
    classifier = build(ClassifierSettings(input="raw", num_features=784, architecture="cnn"), seed=0)
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (40, 28, 28), dtype=np.uint8))
    real = features(classifier, images)
    assert real.shape == (40, 128)
    settings = GanSettings(loss="minimax", generator_filters=(8, 8, 8), latent_dim=4)
    scores = Scores(classifier, real, random_vectors(30, settings, 1), last_epoch=2)
    generator, _ = build_gan(settings, seed=0)
    first, last = scores(generator, 1), scores(generator, 2)
    guesses = predict(classifier, generate(generator, scores.z)).argmax(1)
    assert first["num_classes"] == len(guesses.unique())
    assert first["class_entropy"] == class_entropy(guesses.bincount(minlength=10).numpy())
    assert set(first) == {"frechet_distance", "class_entropy", "num_classes"}
    assert set(last) - set(first) == {"precision", "recall"}
    assert {type(score) for score in last.values()} == {float}
    assert first["frechet_distance"] == last["frechet_distance"] > 0


def test_an_image_lies_among_the_real_ones_where_it_is_nearer_to_one_than_its_third_neighbour() -> None:
    real = torch.arange(30.0)[:, None] * torch.ones(1, 3)  # the first one's third neighbour is 3 away along each axis
    near, far = -2.9 * torch.ones(10, 3), -3.1 * torch.ones(30, 3)
    precision, _ = precision_recall(torch.cat([near, far]), real)
    assert precision == 0.25
