"""Scores of generated images have their known values where there are such."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.classifier import ClassifierSettings, build, features, predict
from trainables.gan import build as build_gan
from trainables.gan_scores import (
    NUM_COMPONENTS,
    SCORES,
    Extractor,
    Scores,
    Vectors,
    class_entropy,
    frechet_distance,
    gaussian,
    gaussian_distance,
    kernel_distance,
    neighbour_scores,
    scores,
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


def test_distances_are_torch_fidelity_s() -> None:
    """Which computes as much, and loads torch's compiler into every worker for it."""
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    one, other = vectors(700, width=40) * 1.2 + 0.1, vectors(900, width=40, seed=1).abs()
    fits = map(fid_features_to_statistics, (one, other))
    assert frechet_distance(one, other) == fid_statistics_to_metric(*fits, verbose=False)[KEY_METRIC_FID]
    for generated, real in ((one, other), (vectors(1500, width=40), vectors(3000, width=40, seed=1))):
        options = {"kid_subsets": 100, "kid_subset_size": min(1000, len(generated)), "rng_seed": 0, "verbose": False}
        expected = kid_features_to_metric(generated, real, **options)[KEY_METRIC_KID_MEAN]
        assert kernel_distance(generated, real) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def precision_recall(generated: Tensor, real: Tensor) -> tuple[float, float]:
    return neighbour_scores(generated, real)[:2]


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


def test_precision_and_recall_are_torch_fidelity_s_for_more_vectors_than_are_taken_at_a_time() -> None:
    from torch_fidelity.metric_prc import prc_features_to_metric

    generated, real = vectors(1300, width=8) * 0.8, vectors(2100, width=8, seed=1)
    options = {"prc_neighborhood": 3, "prc_batch_size": 10_000, "save_cpu_ram": False, "verbose": False}
    found = prc_features_to_metric(generated, real, **options)
    assert precision_recall(generated, real) == pytest.approx((found["precision"], found["recall"]), abs=1e-6)


def line(*places: float) -> Tensor:
    return torch.tensor(places)[:, None] * torch.ones(1, 1)


def test_neighbour_scores_are_what_can_be_counted_on_a_line() -> None:
    """Real vectors at 0, 1, ..., 9: their third neighbour is 2 or 3 away, their fifth 3, 4 or 5."""
    real = line(*range(10))
    # -3.5 is nearer than its fifth neighbour to 0 alone, which has that at 5; 4.5 is to all ten.
    generated = line(-3.5, *[4.5] * 3, *[50.0] * 6)
    precision, recall, density, coverage, accuracy = neighbour_scores(generated, real)
    assert precision == 0.3, "-3.5 is farther from 0 than 3, its third neighbour"
    assert density == pytest.approx((1 + 3 * 10) / 5 / 10)
    assert coverage == 1
    # Generated balls up to the third neighbour: of -3.5 to 8, of those at 4.5 and at 50 to 8 (one more) and to 0.
    assert recall == 1
    # Its own kind is nearest to six at 50 and three at 4.5, not to -3.5; to every real one but 4 and 5, half away.
    assert accuracy == pytest.approx((0.9 + 0.8) / 2)


def test_density_counts_neighbourhoods_and_coverage_those_that_are_reached() -> None:
    real = torch.cat([line(*range(6)), line(*range(1000, 1006))])
    _, _, density, coverage, _ = neighbour_scores(line(*[0.0] * 12), real)
    assert coverage == 3 / 12, "from 3, 4 and 5, 0 is as far as their fifth neighbour, and not nearer"
    assert density == pytest.approx(3 / 5)


def test_sets_that_are_one_cannot_be_told_apart_and_sets_far_apart_always() -> None:
    one, other = vectors(1000), vectors(1000, seed=1)
    assert neighbour_scores(one, other)[4] == pytest.approx(0.5, abs=0.03)
    assert neighbour_scores(one, other)[2] == pytest.approx(1, abs=0.03)
    assert neighbour_scores(one + 50, other)[2:] == (0, 0, 1)


def test_kernel_distance_is_the_unbiased_estimate_of_the_cubic_kernel_s() -> None:
    one, other = vectors(60, width=4), vectors(50, width=4, seed=1) + 0.5

    def kernels(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / 4 + 1) ** 3

    assert kernel_distance(vectors(5000), vectors(5000, seed=1)) == pytest.approx(0, abs=1e-2)
    of_one, of_other = kernels(one[:50], one[:50]), kernels(other, other)
    expected = sum((of - of.diag().diag()).sum() / (50 * 49) for of in (of_one, of_other))
    expected -= 2 * kernels(one[:50], other).mean()
    assert kernel_distance(one[:50], other) == pytest.approx(float(expected), rel=1e-4)
    assert kernel_distance(one, other) == kernel_distance(one, other) > 0


@pytest.mark.parametrize(
    ("counts", "entropy"), [([5] * 10, math.log(10)), ([7, 7] + [0] * 8, math.log(2)), ([9] + [0] * 9, 0.0)]
)
def test_class_entropy_is_the_logarithm_of_equally_frequent_classes(counts: list[int], entropy: float) -> None:
    assert class_entropy(np.array(counts)) == pytest.approx(entropy)


def test_a_generator_is_scored_by_validation_images_and_at_the_end_by_test_images() -> None:
    classifier = build(ClassifierSettings(input="raw", num_features=784, architecture="cnn"), seed=0)
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (40, 28, 28), dtype=np.uint8))
    extractor = Extractor(classifier, torch.eye(784)[:, :NUM_COMPONENTS].contiguous())
    real = extractor(images)
    assert (real.features.shape, real.pixels.shape) == ((40, 128), (40, NUM_COMPONENTS))
    torch.testing.assert_close(real.features, features(classifier, images))
    torch.testing.assert_close(real.pixels, images.reshape(40, 784)[:, :NUM_COMPONENTS] / 255)
    settings = GanSettings(loss="minimax", generator_filters=(8, 8, 8), latent_dim=4)
    val, test = real.features[:30], real[10:]
    score = Scores(extractor, val, test, random_vectors(40, settings, 1), last_epoch=2)
    generator, _ = build_gan(settings, seed=0)
    first, last = score(generator, 1), score(generator, 2)
    images = generate(generator, score.z)
    guesses = predict(classifier, images).argmax(1)
    assert first["num_classes"] == len(guesses.unique())
    assert first["class_entropy"] == class_entropy(guesses.bincount(minlength=10).numpy())
    assert first["val_frechet_distance"] == frechet_distance(features(classifier, images)[:30], val) > 0
    assert set(first) == {"val_frechet_distance", "class_entropy", "num_classes"}
    assert last == first | scores(extractor(images[:30]), test)
    assert set(last) - set(first) == set(SCORES)
    assert {type(value) for value in last.values()} == {float}
    assert Scores(extractor, val, None, score.z, last_epoch=2)(generator, 2) == first


def test_each_score_has_its_own_name_and_features() -> None:
    one, other = (Vectors(vectors(200, 8, seed=n) + n, vectors(200, 3, seed=n + 2) * (1 + n)) for n in (0, 1))
    found = scores(one, other)
    assert found["frechet_distance"] == frechet_distance(one.features, other.features)
    assert found["frechet_distance_pixels"] == frechet_distance(one.pixels, other.pixels)
    assert found["kernel_distance"] == kernel_distance(one.features, other.features)
    names = ("precision", "recall", "density", "coverage", "two_sample_accuracy")
    assert tuple(found[name] for name in names) == neighbour_scores(one.features, other.features)


def test_an_image_lies_among_the_real_ones_where_it_is_nearer_to_one_than_its_third_neighbour() -> None:
    real = torch.arange(30.0)[:, None] * torch.ones(1, 3)  # the first one's third neighbour is 3 away along each axis
    near, far = -2.9 * torch.ones(10, 3), -3.1 * torch.ones(30, 3)
    precision, _ = precision_recall(torch.cat([near, far]), real)
    assert precision == 0.25
