"""denoise: errors are against the clean test images, before and after, for every model, kind and level of noise."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import t

from orchestrator.stages.denoise import Denoise
from orchestrator.stages.denoise.errors import AT_ONCE, Errors, median_filter
from orchestrator.stages.denoise.measure import _summaries
from orchestrator.statistics.resamples import Resamples
from tests.stages.known import KNOWN, KnownRefit, given, grey, known_answer, known_latent, known_weights, with_models
from trainables.autoencoder import encode, reconstruct
from trainables.noise import add_noise

IMAGES = grey(120, 40)
CLEAN = IMAGES.test_images / 255
BLACK, ENERGY = (CLEAN == 0).mean(axis=(1, 2)), (CLEAN**2).mean(axis=(1, 2))
SEED = 11
LEVELS = [
    *(("zeroed", level) for level in (0.5, 0.9)),
    *(("gaussian_matched", level) for level in (0.5, 0.9)),
    *(("zeroed_foreground", level) for level in (0.05, 0.5)),
    *((kind, 0.5) for kind in ("gaussian", "gaussian_unclipped")),
]
FILTERS = ["median_filter", "gaussian_filter"]
MODELS = ["best", "paper_table1", "denoise_zeroed", "denoise_gaussian", "denoise_gaussian_unclipped"]
CHANGES: dict[str, Any] = {
    "seed": SEED,
    "refit": {"num_seeds": 2},
    "denoise": {"zeroed": (0.5, 0.9), "foreground": (0.05, 0.5), "gaussian": (0.5,), "num_resamples": 400}
    | {"num_repeats": 3, "image_draws": 4},
}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "orchestrator.stages.measures.AT_ONCE", 7
        )  # so that there are several parts, the last a small one
        return given(with_models(tmp_path_factory.mktemp("denoise"), IMAGES, Denoise(), **CHANGES), "denoise")


def restored(model: str, noisy: NDArray[Any], further: int = 0) -> NDArray[Any]:
    """What a model, of the first seed or of the next, makes of noisy images."""
    if model == "median_filter":
        return np.stack([ndimage.median_filter(image, 3) for image in noisy])
    if model == "gaussian_filter":
        return np.stack([ndimage.gaussian_filter(image, 1) for image in noisy])
    return known_answer(noisy, KnownRefit.bias(model, further))


@pytest.mark.parametrize("shape", [(AT_ONCE + 7, 28, 28), (5, 3, 32, 30), (1, 3, 4), (2, 1, 1)])
def test_median_filter_is_scipy_s(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).normal(size=shape).clip(-0.5).astype(np.float32)
    np.testing.assert_array_equal(
        median_filter(pixels), ndimage.median_filter(pixels, (*[1] * (len(shape) - 2), 3, 3))
    )


def errors(
    model: str, noise: Any, level: float, further: int = 0, draw: int = 0
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Of each test image, before and after."""
    noisy = CLEAN if noise == "none" else add_noise(IMAGES.test_images, noise, level, seed=SEED + draw)
    before, after = (((pixels - CLEAN) ** 2).mean(axis=(1, 2)) for pixels in (noisy, restored(model, noisy, further)))
    return before, after


def over_seeds(model: str, noise: Any, level: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """The same, after that of each seed's model: shape (seeds, images)."""
    (before, one), (_, other) = (errors(model, noise, level, further) for further in (0, 1))
    return before, np.stack([one] if model in FILTERS else [one, other])


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
    assert list(table["model"]) == [*MODELS, *FILTERS] * len(LEVELS)
    assert set(table["num_images"]) == {40}
    for row in table.itertuples():
        before, after = over_seeds(row.model, row.noise, row.level)
        assert row.num_seeds == len(after)
        assert row.noisy_mse == pytest.approx(before.mean(), rel=1e-5)
        assert row.reconstructed_mse == pytest.approx(after.mean(), rel=1e-5)
        assert row.gain == pytest.approx(before.mean() - after.mean(), abs=1e-7)
        assert row.fraction_improved == pytest.approx((after < before).mean())
    assert table["fraction_improved"].between(0.01, 0.99).any()


def test_each_seed_s_model_is_a_row_and_so_is_what_it_loses_by_itself(tables: dict[str, pd.DataFrame]) -> None:
    table = tables["denoising_seeds"]
    assert [tuple(it) for it in table[["noise", "level"]].drop_duplicates().to_numpy()] == [("none", 0.0), *LEVELS]
    told = [(model, seed) for model in MODELS for seed in (SEED, SEED + 1)]
    for _, rows in table.groupby(["noise", "level"], observed=True, sort=False):
        assert list(zip(rows["model"], rows["seed"], strict=True))[:10] == told
        assert list(rows["model"])[10:] == FILTERS
        assert rows["seed"].isna().tolist() == [False] * 10 + [True] * 2
    for row in table.itertuples():
        further = 0 if pd.isna(row.seed) else int(row.seed) - SEED
        before, after = errors(row.model, row.noise, row.level, further)
        assert row.noisy_mse == pytest.approx(before.mean(), rel=1e-5, abs=1e-12)
        assert row.reconstructed_mse == pytest.approx(after.mean(), rel=1e-5)
        assert row.gain == pytest.approx(before.mean() - after.mean(), abs=1e-7)
        assert row.fraction_improved == (after < before).mean()


def test_an_interval_is_as_wide_as_the_spread_over_images_and_seeds_makes_it(tables: dict[str, pd.DataFrame]) -> None:
    """The variance of the mean is s^2 / images + s^2 / seeds; t has Satterthwaite's degrees of freedom."""
    for row in tables["denoising"].itertuples():
        before, after = over_seeds(row.model, row.noise, row.level)
        gain = before - after
        of_images, of_seeds = gain.mean(axis=0).var() / 40, gain.mean(axis=1)
        of_seeds = of_seeds.var(ddof=1) / len(gain) if len(gain) > 1 else 0.0
        df = (of_images + of_seeds) ** 2 / of_seeds**2 if of_seeds else np.inf
        half = (t.ppf(0.975, df) if np.isfinite(df) else 1.96) * (of_images + of_seeds) ** 0.5
        assert row.gain_low < row.gain < row.gain_high
        assert (row.gain_high - row.gain_low) / 2 == pytest.approx(half, rel=0.4), row
        if df < 10:
            assert row.gain_df == pytest.approx(df, rel=0.4)


def test_a_model_stands_beside_the_better_filter_and_beside_zeroed_pixels(tables: dict[str, pd.DataFrame]) -> None:
    for row in tables["denoising"].itertuples():
        mine = over_seeds(row.model, row.noise, row.level)[1].mean()
        filters = {name: errors(name, row.noise, row.level)[1].mean() for name in FILTERS}
        assert row.best_filter == min(filters, key=lambda name: filters[name])
        assert row.filter_ratio == pytest.approx(mine / min(filters.values()), rel=1e-5)
        assert (row.filter_ratio_low == row.filter_ratio_high) == (row.model == row.best_filter)
        if row.level == 0.05:
            assert np.isnan([row.zeroed_ratio, row.zeroed_ratio_low, row.zeroed_ratio_high]).all()
        else:
            zeroed = over_seeds(row.model, "zeroed", row.level)[1].mean()
            assert row.zeroed_ratio == pytest.approx(mine / zeroed, rel=1e-5)
            assert row.zeroed_ratio_low <= row.zeroed_ratio <= row.zeroed_ratio_high


def test_the_better_filter_is_that_which_leaves_the_smaller_error_at_that_noise() -> None:
    after = {"best": [[[0.2, 0.4]], [[0.2, 0.4]]], "median_filter": [[[0.3, 0.3]], [[0.1, 0.3]]]}
    after |= {"gaussian_filter": [[[0.1, 0.2]], [[0.9, 0.9]]]}
    noises = [("none", 0.0), ("zeroed", 0.1)]
    found = Errors(noises, np.array([[0.0, 0.0], [0.5, 0.5]]), {name: np.array(it) for name, it in after.items()})
    rows = _summaries(found, np.array([0.5, 0.6]), Resamples(10, 1, 2, seed=1))
    told = {row["model"]: (row["best_filter"], row["filter_ratio"], row["num_blanked"]) for row in rows}
    assert told == {
        "best": ("median_filter", pytest.approx(1.5), 1),
        "median_filter": ("median_filter", 1.0, 1),
        "gaussian_filter": ("median_filter", pytest.approx(4.5), 1),
    }


def test_ratios_are_paired_by_image_and_by_seed(tables: dict[str, pd.DataFrame]) -> None:
    """A model beside itself has no spread; and images differ more than what a model makes of two noises does."""
    zeroed = tables["denoising"].query("noise == 'zeroed'")
    np.testing.assert_allclose(zeroed[["zeroed_ratio", "zeroed_ratio_low", "zeroed_ratio_high"]], 1)
    clipped = tables["denoising"].query("noise == 'gaussian' and model == 'best'").iloc[0]
    (_, gaussian), (_, beside) = over_seeds("best", "gaussian", 0.5), over_seeds("best", "zeroed", 0.5)
    apart = (gaussian.mean(axis=0).var() + beside.mean(axis=0).var()) ** 0.5 / 40**0.5 / beside.mean()
    assert clipped.zeroed_ratio_high - clipped.zeroed_ratio_low < 0.7 * 2 * 1.96 * apart


def test_images_that_zeroing_leaves_blank_are_counted(tables: dict[str, pd.DataFrame]) -> None:
    blanked = tables["denoising"].query("model == 'best'").set_index(["noise", "level"])["num_blanked"]
    pixels = (IMAGES.test_images > 0).sum(axis=(1, 2))
    assert blanked["zeroed_foreground", 0.5] == (pixels <= 392).sum() > 0
    assert list(blanked[[("zeroed_foreground", 0.05), ("zeroed", 0.5), ("zeroed", 0.9)]]) == [0, 0, 0]
    assert blanked[["gaussian", "gaussian_unclipped", "gaussian_matched"]].isna().all()


def test_models_trained_with_each_noise_are_tested_with_each_beside_the_best_of_their_seed(
    tables: dict[str, pd.DataFrame],
) -> None:
    table = tables["denoising_crossed"]
    trained = ["zeroed", "gaussian", "gaussian_unclipped"]
    assert list(table["trained_with"]) == [name for name in trained for _ in range(1 + len(LEVELS))]
    assert list(zip(table["tested_with"], table["level"], strict=True)) == [("none", 0.0), *LEVELS] * 3
    for row in table.itertuples():
        before, mine = over_seeds(f"denoise_{row.trained_with}", row.tested_with, row.level)
        _, best = over_seeds("best", row.tested_with, row.level)
        ratios = mine.mean(axis=1) / best.mean(axis=1)
        assert row.noisy_mse == pytest.approx(before.mean(), rel=1e-5, abs=1e-12)
        assert row.ratio == pytest.approx((ratios[0] * ratios[1]) ** 0.5, rel=1e-5)
        # two values: half their difference is the standard error, and t is 12.706 for one degree of freedom
        margin = np.exp(12.706 * abs(np.log(ratios[0] / ratios[1])) / 2)
        assert (row.low, row.high) == pytest.approx((row.ratio / margin, row.ratio * margin), rel=1e-3)
        assert row.num_seeds == 2


def test_each_image_is_a_row_with_its_own_errors_of_the_first_seed(tables: dict[str, pd.DataFrame]) -> None:
    table = tables["denoising_images"]
    assert len(table) == 40 * 2 * len(LEVELS)
    for (noise, level), of_noise in table.groupby(["noise", "level"], observed=True, sort=False):
        for model, rows in of_noise.groupby("model", observed=True, sort=False):
            assert list(rows["index"]) == list(range(40))
            assert list(rows["label"]) == list(IMAGES.test_labels)
            before, after = errors(str(model), noise, float(level))
            np.testing.assert_allclose(rows["noisy_mse"], before, rtol=1e-5)
            np.testing.assert_allclose(rows["reconstructed_mse"], after, rtol=1e-5)
            np.testing.assert_allclose(rows["zero_fraction"], BLACK)
            np.testing.assert_allclose(rows["energy"], ENERGY, rtol=1e-6)
    assert list(table["model"].unique()) == ["best", "paper_table1"]


def relations(before: NDArray[Any], after: NDArray[Any]) -> dict[str, float]:
    """Partial correlation of x and y given z: (xy - xz yz) / sqrt((1 - xz^2)(1 - yz^2))."""
    of = np.corrcoef([ranks(before - after), ranks(BLACK), ranks(ENERGY), ranks(before)])

    def without(other: int) -> float:
        gain, black = of[0, other], of[1, other]
        return float((of[0, 1] - gain * black) / ((1 - gain**2) * (1 - black**2)) ** 0.5)

    improved, others = BLACK[after < before], BLACK[after >= before]
    both = len(improved) and len(others)
    more = ((improved[:, None] > others) + (improved[:, None] == others) / 2).mean() if both else np.nan
    return {
        "spearman_zero_fraction": float(of[0, 1]),
        "spearman_energy": float(of[0, 2]),
        "partial_spearman_zero_fraction": without(2),
        "partial_spearman_noisy": without(3),
        "auc_zero_fraction": float(more),
    }


def test_gains_are_related_by_rank_to_black_pixels_to_energy_and_to_what_the_noise_changed(
    tables: dict[str, pd.DataFrame],
) -> None:
    table = tables["denoising_correlations"]
    assert len(table) == 3 * 2 * len(LEVELS)
    both_outcomes = 0
    for (model, noise, level), rows in table.groupby(["model", "noise", "level"], observed=True, sort=False):
        before, after = over_seeds(str(model), noise, float(level))
        mine = pd.DataFrame([relations(before, of_seed) for of_seed in after])
        assert list(rows["seed"].astype("Float64").fillna(-1)) == [SEED, SEED + 1, -1]
        for name in mine:
            found = rows[name].to_numpy()
            np.testing.assert_allclose(found[:2], mine[name], atol=5e-3)
            np.testing.assert_allclose(found[2], mine[name].mean(skipna=False), atol=5e-3)
            low, high = rows[f"{name}_low"].to_numpy(), rows[f"{name}_high"].to_numpy()
            whole = ~np.isnan(low)
            both_outcomes += int(whole[2] and name == "auc_zero_fraction")
            assert (low[whole] <= found[whole] + 0.03).all()
            assert (high[whole] >= found[whole] - 0.03).all()
    assert both_outcomes


def test_a_rank_correlation_s_interval_is_about_fisher_s(tables: dict[str, pd.DataFrame]) -> None:
    """Whose half width is 1.96 / sqrt(n - 3), on the scale of its inverse hyperbolic tangent."""
    table = tables["denoising_correlations"].dropna(subset="seed")
    for row in table[table["spearman_zero_fraction"].abs() < 0.8].itertuples():
        low, high = np.arctanh([row.spearman_zero_fraction_low, row.spearman_zero_fraction_high])
        assert (high - low) / 2 == pytest.approx(1.96 / 37**0.5, rel=0.45)


def test_the_image_s_part_in_whether_it_improves_is_told_from_the_noise_s_by_draws_of_it(
    tables: dict[str, pd.DataFrame],
) -> None:
    table = tables["denoising_repeats"]
    assert list(table["model"]) == ["best", "paper_table1"] * 2
    assert list(table["level"]) == [0.5, 0.5, 0.9, 0.9]
    known = 0
    for row in table.itertuples():
        shares, improved = [], []
        for further in (0, 1):
            pairs = [errors(row.model, "zeroed", row.level, further, draw) for draw in range(3)]
            values = np.stack([after < before for before, after in pairs]).astype(float)  # (draws, images)
            between = 3 * values.mean(axis=0).var(ddof=1)
            within = values.var(axis=0, ddof=1).mean()
            improved.append(values.mean())
            shares.append((between - within) / (between + 2 * within) if between + within else np.nan)
        assert (row.num_draws, row.num_images, row.num_seeds) == (3, 40, 2)
        assert row.fraction_improved == pytest.approx(np.mean(improved))
        np.testing.assert_allclose(row.image_share, np.mean(shares), atol=1e-6)
        if not np.isnan(row.image_share_low):
            known += 1
            assert row.image_share_low <= row.image_share <= row.image_share_high
    assert known


def test_the_image_shown_is_measured_with_many_draws_of_the_noise(tables: dict[str, pd.DataFrame]) -> None:
    table = tables["denoising_boot"]
    index = int(np.flatnonzero(IMAGES.test_labels == IMAGES.test_labels.max())[0])
    assert set(table["index"]) == {index}
    assert len(table) == 2 * (2 * 2 + 2) * 4, "levels, two models of two seeds and two filters, draws"
    assert not table.duplicated(["model", "seed", "level", "draw"]).any()
    for (model, seed, level), rows in table.groupby(["model", "seed", "level"], observed=True, dropna=False):
        assert pd.isna(seed) == (model in FILTERS)
        noisy = add_noise(IMAGES.test_images[[index] * 4], "zeroed", float(level), seed=SEED)
        assert list(rows["draw"]) == [0, 1, 2, 3]
        before = ((noisy - CLEAN[index]) ** 2).mean(axis=(1, 2))
        further = 0 if pd.isna(seed) else int(seed) - SEED
        after = ((restored(str(model), noisy, further) - CLEAN[index]) ** 2).mean(axis=(1, 2))
        np.testing.assert_allclose(rows["noisy_mse"], before, rtol=1e-5)
        np.testing.assert_allclose(rows["reconstructed_mse"], after, rtol=1e-5)
        assert len(set(before)) == 4


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
        np.testing.assert_allclose(answer, known_answer(image[None], KnownRefit.bias("best"))[0], atol=1e-6)
    assert (level, len(names)) == (0.5, len(classes))
    np.testing.assert_allclose(noisy, drawn[0.5][of_class])
    np.testing.assert_allclose(after, known_answer(noisy, KnownRefit.bias("best")), atol=1e-6)
