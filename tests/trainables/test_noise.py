"""Noise is what its name says, and the same for the same seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.autoencoder import build, reconstruct_pixels, train_autoencoder
from trainables.autoencoder_settings import AutoencoderSettings
from trainables.fashion_mnist import load
from trainables.noise import NOISES, Noise, add_noise
from trainables.splits import all_images

IMAGES = load().test_images[:2000]
CLEAN = IMAGES.astype(np.float32) / 255


def _cost(noisy: np.ndarray) -> np.ndarray:
    return np.square(noisy - CLEAN).mean(axis=(1, 2))


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5])
def test_zeroing_costs_p_times_the_mean_square_on_average(p: float) -> None:
    expected = p * np.square(CLEAN).mean()
    assert _cost(add_noise(IMAGES, "zeroed", p, seed=1)).mean() == pytest.approx(expected, rel=0.01)
    assert _cost(add_noise(IMAGES, "gaussian_matched", p, seed=1)).mean() == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("sigma", [0.05, 0.5])
def test_gaussian_noise_costs_its_variance_and_less_where_it_is_clipped(sigma: float) -> None:
    free = _cost(add_noise(IMAGES, "gaussian_unclipped", sigma, seed=1)).mean()
    clipped = add_noise(IMAGES, "gaussian", sigma, seed=1)
    assert free == pytest.approx(sigma**2, rel=0.01)
    assert _cost(clipped).mean() < 0.8 * free
    assert clipped.min() == 0
    assert clipped.max() == 1


def test_foreground_zeroing_takes_as_many_pixels_of_every_image_that_has_them() -> None:
    noisy = add_noise(IMAGES, "zeroed_foreground", 0.2, seed=1)
    lost = ((noisy == 0) & (CLEAN > 0)).sum(axis=(1, 2))
    np.testing.assert_array_equal(lost, np.minimum((CLEAN > 0).sum(axis=(1, 2)), round(0.2 * 784)))
    kept = noisy > 0
    np.testing.assert_array_equal(noisy[kept], CLEAN[kept])


@given(noise=st.sampled_from(NOISES), level=st.floats(0, 1), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_noise_is_decided_by_seed_kind_and_level_and_leaves_the_images_alone(
    noise: Noise, level: float, seed: int
) -> None:
    images = IMAGES[:20].copy()
    first, again = (add_noise(images, noise, level, seed=seed) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(images, IMAGES[:20])
    assert first.shape == images.shape
    assert first.dtype == np.float32
    if level == 0:
        np.testing.assert_array_equal(first, CLEAN[:20])


@pytest.mark.parametrize("noise", NOISES)
def test_another_seed_gives_other_noise(noise: Noise) -> None:
    assert not np.array_equal(add_noise(IMAGES, noise, 0.3, seed=1), add_noise(IMAGES, noise, 0.3, seed=2))


@pytest.mark.parametrize(
    ("noise", "level"), [("zeroed", 1.1), ("zeroed", -0.1), ("gaussian", -1.0), ("gaussian", np.nan)]
)
def test_level_out_of_range_is_refused(noise: Noise, level: float) -> None:
    with pytest.raises(ValueError, match=f"out of range for {noise} noise"):
        add_noise(IMAGES, noise, level, seed=1)


@pytest.mark.parametrize("noise", ["zeroed", "gaussian"])
def test_training_on_noise_goes_on_exactly_and_takes_the_noise_away(noise: Noise) -> None:
    settings = AutoencoderSettings(
        filters=(8, 16, 32), neurons=64, latent_dim=10, learning_rate=3e-3, epochs=6, noise=noise
    )
    split = all_images(load().train_images[:4000])
    whole = list(train_autoencoder(settings, split, seed=1))
    first, *_ = train_autoencoder(settings.model_copy(update={"epochs": 1}), split, seed=1)
    resumed = list(train_autoencoder(settings, split, seed=1, resume=first.state()))
    assert [epoch.metrics for epoch in resumed] == [epoch.metrics for epoch in whole[1:]]

    clean_settings = settings.model_copy(update={"noise": "none"})
    *_, clean = train_autoencoder(clean_settings, split, seed=1)
    noisy = add_noise(IMAGES, noise, 0.5, seed=1)
    errors = []
    for trained, of in ((whole[-1], settings), (clean, clean_settings)):
        model = build(of, seed=1)
        model.load_state_dict(trained.state()["model"])
        errors.append(_cost(reconstruct_pixels(model, noisy)).mean())
    assert errors[0] < 0.8 * errors[1]


def test_noise_of_one_level_is_not_that_of_another_scaled() -> None:
    """Else what levels tell of chance would be told once."""
    clean = IMAGES / 255
    one, other = (add_noise(IMAGES, "gaussian_unclipped", level, seed=1) - clean for level in (0.1, 0.2))
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.05
    lost = [(add_noise(IMAGES, "zeroed", level, seed=1) == 0) & (clean > 0) for level in (0.1, 0.2)]
    assert (lost[0] & ~lost[1]).any()
