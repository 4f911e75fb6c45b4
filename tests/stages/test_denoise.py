"""denoise: errors are against the clean test images, before and after, for every model, kind and level of noise."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from orchestrator.stages.denoise import Denoise
from tests.stages.known import KNOWN, KnownRefit, given, grey, known_answer, known_latent, known_weights, with_models
from trainables.autoencoder import encode, reconstruct
from trainables.noise import add_noise

IMAGES = grey(120, 40)
CLEAN = IMAGES.test_images / 255
SEED = 11
LEVELS = [
    *(("zeroed", level) for level in (0.3, 0.5)),
    *(("zeroed_foreground", level) for level in (0.3, 0.5)),
    *(("gaussian_matched", level) for level in (0.3, 0.5)),
    *((kind, 0.2) for kind in ("gaussian", "gaussian_unclipped")),
]
MODELS = ("best", "paper_table1", "denoise_zeroed", "denoise_gaussian", "median_filter", "gaussian_filter")


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    denoise = {"zeroed": (0.3, 0.5), "gaussian": (0.2,), "num_resamples": 400}
    book = with_models(tmp_path_factory.mktemp("denoise"), IMAGES, Denoise(), denoise=denoise, seed=SEED)
    return given(book, "denoise")


def restored(model: str, noisy: NDArray[Any]) -> NDArray[Any]:
    """What a model makes of noisy images."""
    if model == "median_filter":
        return np.stack([ndimage.median_filter(image, 3) for image in noisy])
    if model == "gaussian_filter":
        return np.stack([ndimage.gaussian_filter(image, 1) for image in noisy])
    return known_answer(noisy, KnownRefit.biases[model])


def errors(model: str, noise: Any, level: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Of each test image, before and after."""
    noisy = add_noise(IMAGES.test_images, noise, level, seed=SEED)
    before, after = (((pixels - CLEAN) ** 2).mean(axis=(1, 2)) for pixels in (noisy, restored(model, noisy)))
    return before, after


def ranks(values: NDArray[Any]) -> NDArray[Any]:
    """Equals share the mean of theirs."""
    return np.array([(values < value).sum() + (values <= value).sum() for value in values]) / 2


def test_a_known_model_sees_two_pixels_and_answers_as_it_is_reckoned() -> None:
    """What the other tests of known models build on."""
    from trainables.autoencoder import build

    model = build(KNOWN, seed=0)
    model.load_state_dict(known_weights(0.7))
    np.testing.assert_allclose(encode(model, IMAGES.test_images), known_latent(IMAGES.test_images, 0.7), atol=1e-6)
    np.testing.assert_allclose(reconstruct(model, IMAGES.test_images), known_answer(CLEAN, 0.7), atol=1e-6)
    assert len({tuple(it) for it in known_latent(IMAGES.test_images, 0.7)}) > 20


def test_errors_before_and_after_are_against_the_clean_test_images(tables: dict[str, pd.DataFrame]) -> None:
    table = tables["denoising"]
    assert [tuple(it) for it in table[["noise", "level"]].drop_duplicates().to_numpy()] == LEVELS
    assert list(table["model"]) == list(MODELS) * len(LEVELS)
    assert set(table["num_images"]) == {40}
    for row in table.itertuples():
        before, after = errors(row.model, row.noise, row.level)
        assert row.noisy_mse == pytest.approx(before.mean(), rel=1e-5)
        assert row.reconstructed_mse == pytest.approx(after.mean(), rel=1e-5)
        assert row.gain == pytest.approx(before.mean() - after.mean(), abs=1e-7)
        assert row.fraction_improved == sum(after < before) / 40
    assert table["fraction_improved"].between(0.01, 0.99).any()


def test_a_gain_has_the_interval_that_its_spread_over_the_images_gives(tables: dict[str, pd.DataFrame]) -> None:
    """A percentile bootstrap's is about that of the normal distribution: 1.96 standard errors to either side."""
    for row in tables["denoising"].itertuples():
        before, after = errors(row.model, row.noise, row.level)
        half = 1.96 * (before - after).std(ddof=1) / 40**0.5
        assert row.gain_low == pytest.approx(row.gain - half, abs=0.35 * half)
        assert row.gain_high == pytest.approx(row.gain + half, abs=0.35 * half)


def test_each_image_is_a_row_with_its_own_errors(tables: dict[str, pd.DataFrame]) -> None:
    table = tables["denoising_images"]
    assert len(table) == 40 * 2 * len(LEVELS)
    for (noise, level), of_noise in table.groupby(["noise", "level"], observed=True, sort=False):
        for model, rows in of_noise.groupby("model", observed=True, sort=False):
            assert list(rows["index"]) == list(range(40))
            assert list(rows["label"]) == list(IMAGES.test_labels)
            before, after = errors(str(model), noise, float(level))
            np.testing.assert_allclose(rows["noisy_mse"], before, rtol=1e-5)
            np.testing.assert_allclose(rows["reconstructed_mse"], after, rtol=1e-5)
            np.testing.assert_allclose(rows["zero_fraction"], [(image == 0).mean() for image in CLEAN])
            np.testing.assert_allclose(rows["energy"], [(image**2).mean() for image in CLEAN], rtol=1e-6)
    assert list(table["model"].unique()) == ["best", "paper_table1"]


def test_gains_are_correlated_by_rank_with_black_pixels_and_energy_and_with_its_part_taken_out(
    tables: dict[str, pd.DataFrame],
) -> None:
    """Partial correlation of x and y given z: (xy - xz yz) / sqrt((1 - xz^2)(1 - yz^2))."""
    black, energy = (CLEAN == 0).mean(axis=(1, 2)), (CLEAN**2).mean(axis=(1, 2))
    table = tables["denoising_correlations"]
    assert len(table) == 2 * len(LEVELS)
    for row in table.itertuples():
        before, after = errors(row.model, row.noise, row.level)
        of = np.corrcoef([ranks(before - after), ranks(black), ranks(energy)])
        gain_black, gain_energy, black_energy = of[0, 1], of[0, 2], of[1, 2]
        assert row.spearman_zero_fraction == pytest.approx(gain_black, abs=1e-3)
        assert row.spearman_energy == pytest.approx(gain_energy, abs=1e-3)
        left = gain_black - gain_energy * black_energy
        left /= ((1 - gain_energy**2) * (1 - black_energy**2)) ** 0.5
        assert row.partial_spearman_zero_fraction == pytest.approx(left, abs=5e-3)


def test_the_figure_s_noisy_image_is_that_which_the_models_saw(tmp_path: Path) -> None:
    from orchestrator.stages.denoise.measure import shown_images

    book = with_models(tmp_path, IMAGES, Denoise(), denoise={"zeroed": (0.3, 0.5)}, seed=SEED)
    (clean, columns, authors), (firsts, noisy, after, names, level) = shown_images(book.context("denoise"))
    classes = sorted(set(IMAGES.test_labels.tolist()))
    of_class = [IMAGES.test_labels.tolist().index(label) for label in classes]
    assert not authors
    np.testing.assert_allclose(clean, CLEAN[of_class[-1]], atol=1e-6)
    np.testing.assert_allclose(firsts, CLEAN[of_class], atol=1e-6)
    drawn = {level: add_noise(IMAGES.test_images, "zeroed", level, seed=SEED) for level in (0.3, 0.5)}
    for of_level, image, answer in columns:
        np.testing.assert_allclose(image, drawn[of_level][of_class[-1]])
        np.testing.assert_allclose(answer, known_answer(image[None], KnownRefit.biases["best"])[0], atol=1e-6)
    assert (level, len(names)) == (0.5, len(classes))
    np.testing.assert_allclose(noisy, drawn[0.5][of_class])
    np.testing.assert_allclose(after, known_answer(noisy, KnownRefit.biases["best"]), atol=1e-6)
