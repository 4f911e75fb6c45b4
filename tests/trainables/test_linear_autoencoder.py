"""Without non-linearities an autoencoder finds what PCA finds."""

import io

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA

from trainables.images import Images
from trainables.linear_autoencoder import (
    LinearAutoencoder,
    LinearSettings,
    linear_mse,
    reconstruct_linear,
    train_linear_autoencoder,
)
from trainables.splits import Split, all_images


def blurred(num_images: int, *, seed: int = 0) -> Images:
    """Made-up images whose pixels hang together: a few patterns that differ in strength, and a little noise."""
    draws = np.random.default_rng(seed)
    patterns = np.random.default_rng(99).standard_normal((6, 28 * 28))
    strengths = draws.standard_normal((num_images, 6)) * [45, 32, 22, 8, 4, 2]
    noise = draws.standard_normal((num_images, 28 * 28))
    return np.clip(128 + strengths @ patterns + noise, 0, 255).astype(np.uint8).reshape(-1, 28, 28)


@pytest.mark.parametrize("latent_dim", [1, 3])
def test_the_linear_autoencoder_finds_pca_s_error_and_subspace(latent_dim: int) -> None:
    train, test = blurred(2000), blurred(500, seed=1)
    settings = LinearSettings(latent_dim=latent_dim, learning_rate=5e-3, epochs=40, batch_size=32)
    *_, last = train_linear_autoencoder(settings, all_images(train, test), seed=0)
    pixels, held_out = (images.reshape(len(images), -1) / 255 for images in (train, test))
    pca = PCA(latent_dim).fit(pixels)
    error = np.square(pca.inverse_transform(pca.transform(held_out)) - held_out).mean()
    assert last.metrics["test_mse"] == pytest.approx(error, rel=0.01)
    decoder = last.state()["model"]["decoder.weight"].numpy()
    assert np.degrees(subspace_angles(decoder, pca.components_.T)).max() < 2


def test_it_is_linear_and_has_the_number_of_parameters_that_its_settings_say() -> None:
    model = LinearAutoencoder(LinearSettings(latent_dim=5))
    assert LinearSettings(latent_dim=5).num_parameters == sum(p.numel() for p in model.parameters())
    x, y = torch.rand(3, 784), torch.rand(3, 784)
    torch.testing.assert_close(model((x + y) / 2), (model(x) + model(y)) / 2)


def test_error_has_the_known_value_for_a_model_that_answers_the_same_to_all() -> None:
    model = LinearAutoencoder(LinearSettings(latent_dim=2))
    with torch.no_grad():
        model.decoder.weight.zero_()
        model.mean.fill_(0.5)
    images = torch.full((4, 28, 28), 255, dtype=torch.uint8)
    assert linear_mse(model, images) == pytest.approx(0.25)


def test_reconstructions_are_the_model_s_and_keep_their_shape() -> None:
    model, pixels = (
        LinearAutoencoder(LinearSettings(latent_dim=3)),
        np.random.default_rng(0).uniform(-1, 2, (5, 28, 28)),
    )
    expected = model(torch.from_numpy(pixels.reshape(5, -1)).float()).detach().numpy()
    np.testing.assert_array_equal(reconstruct_linear(model, pixels), expected.reshape(5, 28, 28))


def test_after_the_last_epoch_the_training_images_are_measured_as_the_test_images_are() -> None:
    images = blurred(1200)
    split = Split(images, np.arange(20, 1150), test_images=images[20:1150])
    first, last = train_linear_autoencoder(LinearSettings(latent_dim=2, epochs=2), split, seed=0)
    assert first.metrics.keys() == {"train_mse"}
    assert last.metrics["train_mse_evaluated"] == last.metrics["test_mse"] != last.metrics["train_mse"]


def test_resumed_training_equals_uninterrupted_training() -> None:
    split = all_images(blurred(100), blurred(20, seed=1))
    settings = LinearSettings(latent_dim=3, epochs=4, batch_size=16)
    whole, saved = [], io.BytesIO()
    for epoch in train_linear_autoencoder(settings, split, seed=3):
        whole.append(epoch)
        if epoch.number == 2:
            torch.save(epoch.state(), saved)
    saved.seek(0)
    resume = torch.load(saved, weights_only=True)
    resumed = list(train_linear_autoencoder(settings, split, seed=3, resume=resume))
    assert [epoch.metrics for epoch in resumed] == [epoch.metrics for epoch in whole[2:]]
    for name, weights in whole[-1].state()["model"].items():
        assert torch.equal(resumed[-1].state()["model"][name], weights)


def test_its_centre_is_the_mean_of_the_images_that_train() -> None:
    images = np.random.default_rng(0).integers(0, 256, (30, 28, 28), dtype=np.uint8)
    split = Split(images, np.arange(3, 20), test_images=images)
    (epoch,) = train_linear_autoencoder(LinearSettings(latent_dim=2, epochs=1, batch_size=8), split, seed=0)
    np.testing.assert_allclose(epoch.state()["model"]["mean"], images[3:20].mean(axis=0).ravel() / 255, rtol=1e-5)
