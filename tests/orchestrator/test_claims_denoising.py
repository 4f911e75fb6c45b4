"""Denoising's judges: each verdict that a rule can give, on tables of a few rows, and what is measured there."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from orchestrator.claims import CLAIMS
from orchestrator.claims.levels import at_every, at_some, both, decides, told
from orchestrator.statistics.intervals import Outcome
from orchestrator.statistics.resamples import LEAST_P
from tests.orchestrator.made_tables import answer, table

Made = dict[str, Any]
Tables = dict[str, pd.DataFrame]
Ends = tuple[float, float]
"""Of an interval, whose middle is its value."""


def interval(name: str, ends: Ends) -> Made:
    return {name: sum(ends) / 2, f"{name}_low": ends[0], f"{name}_high": ends[1]}


MORE, LESS, SAME = (1.1, 1.3), (0.7, 0.9), (0.9, 1.1)
GAIN, LOSS, NEITHER = (0.01, 0.02), (-0.02, -0.01), (-0.01, 0.01)
FLOOR = table([{"reconstructed_mse": 0.011}, {"reconstructed_mse": 0.013}], model="best", noise="none", level=0.0)
"""Two seeds lose .012 on clean images; other models and noises lose more, and do not count."""
FLOOR = pd.concat(
    [
        FLOOR,
        table(
            [{"model": "paper_table1", "noise": "none"}, {"model": "best", "noise": "zeroed"}], reconstructed_mse=9.0
        ),
    ]
)


def useful(*levels: tuple[float, Ends, Ends], **more: Any) -> Tables:
    """Of the model best: error of the noisy images, gain, error over the better filter's."""
    rows = [
        {"level": number / 10, "noisy_mse": cost} | interval("gain", gain) | interval("filter_ratio", ratio)
        for number, (cost, gain, ratio) in enumerate(levels)
    ]
    found = table(rows, **({"model": "best", "noise": "zeroed", "num_images": 100, "num_seeds": 3} | more))
    other = found.assign(model="denoise_zeroed", gain_low=-9.0, gain_high=-8.0, filter_ratio_low=5.0)
    control = found.assign(noise="zeroed_foreground", gain_high=-8.0, gain_low=-9.0)
    return {"denoising": pd.concat([found, other, control]), "denoising_seeds": FLOOR}


def at_levels(*levels: float) -> Tables:
    return {"denoising": table([{"level": level} for level in levels], noise="zeroed")}


def boot(index: int, **means: Sequence[float]) -> Tables:
    """Of models, the gain at each level: two seeds and twenty draws, a little apart."""
    rows = [
        {"model": model, "level": number / 10, "seed": seed, "draw": draw, "noisy_mse": 1.0}
        | {"reconstructed_mse": 1.0 - mean - 0.001 * (seed - 1.5) - 0.0001 * (draw - 9.5)}
        for model, gains in means.items()
        for number, mean in enumerate(gains)
        for seed in (1, 2)
        for draw in range(20)
    ]
    return {"denoising_boot": table(rows, index=index)}


def gains(**ends: Sequence[Ends]) -> Tables:
    rows = [
        {"model": model, "level": (number + 1) / 10, **interval("gain", gain)}
        for model, of_model in ends.items()
        for number, gain in enumerate(of_model)
    ]
    found = table(rows, noise="zeroed", num_images=100, num_seeds=3)
    found["filter_ratio"] = 1.5 + 7 * (found["model"] != "best")
    return {"denoising": pd.concat([found, found.assign(noise="gaussian", gain_low=-9.0, gain=-8.5, gain_high=-8.0)])}


def repeats(*levels: tuple[float, Ends]) -> Tables:
    """Share of the images that improve, and what of that is theirs."""
    rows = [{"fraction_improved": part, "level": 0.1, **interval("image_share", ends)} for part, ends in levels]
    found = table(rows, model="best", noise="zeroed", num_images=100, num_seeds=3, num_draws=5)
    return {"denoising_repeats": pd.concat([found, found.assign(model="paper_table1", image_share_low=9.0)])}


def relations(*levels: Made, noise: str = "zeroed", **same: Any) -> pd.DataFrame:
    """Of the mean over seeds; a single seed's, and another model's, say the opposite."""
    names = (
        "auc_zero_fraction",
        "spearman_zero_fraction",
        "partial_spearman_zero_fraction",
        "partial_spearman_noisy",
    )
    rows = [
        {"level": (number + 1) / 10} | {key: it for name in names for key, it in interval(name, level[name]).items()}
        for number, level in enumerate(levels)
    ]
    found = table(rows, model="best", noise=noise, seed=None, num_images=100, num_seeds=3, **same)
    opposite = {key: -9.0 for name in names for key in (f"{name}_low", f"{name}_high", name)}
    return pd.concat([found, found.assign(seed=1, **opposite), found.assign(model="paper_table1", **opposite)])


FEWER, AS_MANY, MANY = (0.3, 0.4), (0.45, 0.55), (0.6, 0.7)
NEGATIVE, POSITIVE, AROUND = (-0.4, -0.3), (0.3, 0.4), (-0.05, 0.05)


def black(auc: Ends, partial: Ends, others: Ends | None = None) -> Tables:
    same = {"spearman_zero_fraction": AROUND, "partial_spearman_noisy": AROUND}
    levels = [
        same | {"auc_zero_fraction": it, "partial_spearman_zero_fraction": partial} for it in (auc, others or auc)
    ]
    return {"denoising_correlations": relations(*levels)}


def why(held: Ends, equally: Ends, raw: Ends = NEGATIVE, blank: Ends = NEGATIVE) -> Tables:
    """Zeroed pixels, and the control at a level where no image is blank and at one where some are."""
    same = {"auc_zero_fraction": FEWER, "partial_spearman_zero_fraction": AROUND, "partial_spearman_noisy": AROUND}
    zeroed = same | {"spearman_zero_fraction": raw, "partial_spearman_noisy": held}
    control = [same | {"spearman_zero_fraction": it} for it in (equally, blank)]
    levels = [{"level": 0.1, "num_blanked": 0}, {"level": 0.2, "num_blanked": 5}]
    return {
        "denoising_correlations": pd.concat([relations(zeroed), relations(*control, noise="zeroed_foreground")]),
        "denoising": table(levels, model="best", noise="zeroed_foreground"),
    }


def struggle(noise: str, *ratios: Ends) -> Tables:
    rows = [
        {"level": number / 10, **interval("zeroed_ratio", ratio), **interval("filter_ratio", MORE)}
        for number, ratio in enumerate(ratios)
    ]
    found = table(rows, model="best", noise=noise, num_images=100, num_seeds=3)
    lone = found.assign(zeroed_ratio=None, zeroed_ratio_low=None, zeroed_ratio_high=None)
    others = found.assign(noise="zeroed", zeroed_ratio=0.1, zeroed_ratio_low=0.05, zeroed_ratio_high=9.0)
    return {"denoising": pd.concat([found, lone, others, others.assign(noise=noise, model="paper_table1")])}


def crossed(*ratios: tuple[str, str, float, Ends], num_seeds: int = 3) -> Tables:
    """Trained with, tested with, error of the noisy images, error over that of best."""
    rows = [
        {"trained_with": one, "tested_with": other, "noisy_mse": cost, "level": cost, "ratio": math.sqrt(low * high)}
        | {"low": low, "high": high}
        for one, other, cost, (low, high) in ratios
    ]
    return {"denoising_crossed": table(rows, num_seeds=num_seeds), "denoising_seeds": FLOOR}


UNCLIPPED, CLIPPED = ("gaussian_unclipped", "gaussian_unclipped"), ("gaussian", "gaussian")
MISMATCH = ("gaussian", "gaussian_unclipped", 0.04, MORE)
NOT_GAUSSIAN = ("zeroed", "zeroed", 0.04, MORE)
PLAIN, CUT, ENERGY = "equal p and sigma, not clipped", "equal p and sigma, clipped", "equal energy"
HIS, ALL = "the author's image", "all test images"
CASES: list[tuple[int, str, str, Tables, float | None]] = [
    (6, "", "supported", useful((0.02, GAIN, LESS), (0.04, GAIN, LESS)), 1.0),
    (6, "", "supported", useful((0.02, GAIN, LESS), (0.0119, LOSS, MORE)), 1.0),
    (6, "", "contradicted", useful((0.0121, LOSS, MORE)), 0.0),
    (6, "", "contradicted", useful((0.02, LOSS, LESS)), 1.0),
    (6, "", "partly", useful((0.02, GAIN, LESS), (0.04, GAIN, MORE)), 0.5),
    (6, "", "partly", useful((0.02, GAIN, MORE), (0.04, GAIN, MORE)), 0.0),
    (6, "", "partly", useful((0.02, GAIN, LESS), (0.04, LOSS, LESS)), 1.0),
    (6, "", "partly", useful((0.02, GAIN, SAME), (0.04, GAIN, (0.4, 0.5))), 0.5),
    (6, "", "partly", useful((0.02, NEITHER, LESS), (0.04, (0.01, 0.012), (0.4, 0.5))), 1.0),
    (6, "", "partly", useful((0.02, GAIN, SAME), (0.04, GAIN, MORE)), 0.0),
    (6, "", "inconclusive", useful((0.02, NEITHER, SAME), (0.04, GAIN, MORE)), 0.0),
    (6, "", "inconclusive", useful((0.02, NEITHER, SAME), (0.04, NEITHER, LESS)), 0.5),
    (6, "", "not_tested", useful((0.0119, GAIN, LESS)), None),
    (6, "", "not_tested", useful((0.02, GAIN, LESS), noise="gaussian_matched"), None),
    (45, "", "followed", at_levels(0.1, 0.2, 0.3, 0.4, 0.5, 0.6) | boot(7418, best=[1.0]), 6.0),
    (45, "", "partly_followed", at_levels(0.1, 0.2, 0.3, 0.4, 0.5) | boot(3, best=[1.0]), 5.0),
    (45, "", "partly_followed", at_levels(0.1, 0.2) | boot(7418, best=[1.0]), 2.0),
    (45, "", "not_followed", at_levels(0.1, 0.2) | boot(3, best=[1.0]), 2.0),
    (46, HIS, "supported", boot(7418, best=[0.5, 0.2], paper_table1=[0.1, 0.4]), 0.2),
    (46, HIS, "partly", boot(7418, best=[0.5, 0.2], paper_table1=[-0.1, 0.4]), 0.2),
    (46, HIS, "contradicted", boot(7418, best=[-0.5, -0.2], paper_table1=[-0.1, -0.1]), -0.5),
    (46, HIS, "inconclusive", boot(7418, best=[0.5, 0.2], paper_table1=[0.0, 0.4]), 0.2),
    (46, HIS, "not_tested", boot(7417, best=[0.5], paper_table1=[0.5]), None),
    (46, HIS, "not_tested", boot(7418, best=[0.5]), None),
    (46, ALL, "supported", gains(best=[GAIN, (0.1, 0.2)], paper_table1=[GAIN, GAIN]), 0.015),
    (46, ALL, "partly", gains(best=[GAIN, GAIN], paper_table1=[LOSS, GAIN]), 0.015),
    (46, ALL, "contradicted", gains(best=[LOSS, NEITHER], paper_table1=[LOSS, LOSS]), -0.015),
    (46, ALL, "inconclusive", gains(best=[GAIN, GAIN], paper_table1=[NEITHER, GAIN]), 0.015),
    (46, ALL, "not_tested", gains(paper_table1=[GAIN]), None),
    (47, "", "supported", repeats((0.9, (0.1, 0.2)), (0.4, (0.6, 0.8)), (0.3, (0.1, 0.2))), 0.7),
    (47, "", "contradicted", repeats((0.9, (0.6, 0.8)), (0.4, (0.3, 0.4)), (0.05, (0.6, 0.8))), 0.35),
    (47, "", "contradicted", repeats((1.0, (math.nan, math.nan))), None),
    (47, "", "inconclusive", repeats((0.5, (0.45, 0.65))), 0.55),
    (48, "", "supported", black(FEWER, NEGATIVE, (0.1, 0.2)), 0.35),
    (48, "", "partly", black(FEWER, POSITIVE), 0.35),
    (48, "", "partly", black(FEWER, NEGATIVE, MANY), 0.65),
    (48, "", "contradicted", black(MANY, NEGATIVE), 0.65),
    (48, "", "inconclusive", black(AS_MANY, NEGATIVE, FEWER), 0.5),
    (48, "", "not_tested", black((math.nan, math.nan), NEGATIVE), None),
    (49, "", "supported", why(POSITIVE, AROUND), 0.35),
    (49, "", "supported", why(AROUND, POSITIVE), 0.0),
    (49, "", "partly", why(AROUND, NEGATIVE), 0.0),
    (49, "", "partly", why(NEGATIVE, AROUND), -0.35),
    (49, "", "contradicted", why(NEGATIVE, NEGATIVE, blank=POSITIVE), -0.35),
    (49, "", "inconclusive", why((-0.15, 0.05), AROUND), -0.05),
    (49, "", "inconclusive", why(AROUND, (-0.15, 0.05)), 0.0),
    (49, "", "not_tested", why(AROUND, AROUND, raw=AROUND), None),
    (49, "", "not_tested", why(AROUND, AROUND, raw=POSITIVE), None),
    *(
        (50, reading, verdict, struggle(noise, *ratios), measured)
        for reading, noise in ((PLAIN, "gaussian_unclipped"), (CUT, "gaussian"), (ENERGY, "gaussian_matched"))
        for verdict, ratios, measured in (
            ("supported", (MORE, (2.0, 3.0)), 1.2),
            ("partly", (LESS, MORE), 0.8),
            ("contradicted", (LESS, SAME), 0.8),
            ("inconclusive", (SAME, MORE), 1.0),
        )
    ),
    (50, ENERGY, "not_tested", struggle("gaussian", MORE), None),
    (
        51,
        "",
        "supported",
        crossed((*CLIPPED, 0.02, LESS), (*UNCLIPPED, 0.04, (0.4, 0.45)), MISMATCH, NOT_GAUSSIAN),
        0.7937,
    ),
    (51, "", "supported", crossed((*CLIPPED, 0.02, LESS), (*UNCLIPPED, 0.0119, MORE)), 0.7937),
    (51, "", "partly", crossed((*CLIPPED, 0.02, LESS), (*UNCLIPPED, 0.0121, MORE)), 1.1958),
    (51, "", "contradicted", crossed((*CLIPPED, 0.02, MORE), (*UNCLIPPED, 0.04, SAME)), 1.1958),
    (51, "", "inconclusive", crossed((*CLIPPED, 0.02, LESS), (*UNCLIPPED, 0.04, SAME)), 0.995),
    (51, "", "inconclusive", crossed((*CLIPPED, 0.02, (math.nan, math.nan)), num_seeds=1), math.nan),
    (51, "", "not_tested", crossed((*CLIPPED, 0.0119, LESS), MISMATCH, NOT_GAUSSIAN), None),
    (52, "", "not_tested", {}, None),
]


@pytest.mark.parametrize(
    ("number", "reading", "verdict", "tables", "measured"), CASES, ids=[f"{it[0]}-{it[1]}-{it[2]}" for it in CASES]
)
def test_the_verdict_and_what_is_measured_follow_from_the_tables(
    number: int, reading: str, verdict: str, tables: Tables, measured: float | None
) -> None:
    found = answer(number, reading, **tables)
    assert found.verdict == verdict, found.reason
    value = None if found.measured is None else found.measured.value
    assert value == (None if measured is None else pytest.approx(measured, abs=1e-4, nan_ok=True))


def test_gaussian_noise_is_judged_by_three_readings_and_the_gain_by_two() -> None:
    readings = {number: [it.reading for it in CLAIMS if it.number == number] for number in (46, 50)}
    assert readings == {46: [HIS, ALL], 50: [PLAIN, CUT, ENERGY]}


def test_the_better_filter_is_named_beside_the_gain() -> None:
    reason = answer(46, ALL, **gains(best=[GAIN, GAIN], paper_table1=[GAIN, GAIN])).reason
    assert "over the better filter's, by p: 0.1: 1.50, 0.2: 1.50." in reason


def test_a_verdict_of_two_tests_has_the_greater_p_and_the_least_relation_is_told() -> None:
    sure, unsure = answer(48, **black(FEWER, POSITIVE)), answer(48, **black((0.3, 0.499), POSITIVE))
    assert (sure.verdict, unsure.verdict) == ("partly", "partly")
    assert unsure.test is not None
    assert unsure.test.p == pytest.approx(answer(48, **black((0.3, 0.499), NEGATIVE)).test.p)  # type: ignore[union-attr]
    levels = why(POSITIVE, POSITIVE)["denoising_correlations"]
    more = levels[levels["noise"] == "zeroed"].assign(level=0.2, partial_spearman_noisy=0.39)
    tables = why(POSITIVE, POSITIVE) | {"denoising_correlations": pd.concat([levels, more])}
    least = answer(49, **tables).measured
    assert least is not None
    assert least.value == pytest.approx(0.35)


def test_noise_that_a_model_was_not_trained_with_is_told_but_does_not_decide() -> None:
    found = answer(51, **crossed((*CLIPPED, 0.02, LESS), MISMATCH))
    assert found.verdict == "supported"
    assert "Trained on clipped noise and tested on noise that is not: 0.04: 1.20. The test" in found.reason


def test_a_told_interval_decides_just_where_its_ends_are() -> None:
    row = {"num_seeds": 7} | interval("gain", (0.2, 0.6))
    found = told(row, "gain")
    assert (found.value, found.low, found.high, found.kind, found.n) == (0.4, 0.2, 0.6, "bootstrap", 7)
    assert found.above(0.2).p == pytest.approx(0.05)
    assert found.above(0.6).p == pytest.approx(0.05)
    assert found.above(0.4).p == pytest.approx(1)
    assert found.above(0.1).p == pytest.approx(2 * 0.0016408, rel=1e-3)  # 2.94 standard errors away
    assert found.above(-9.0).p == pytest.approx(LEAST_P)
    assert [found.above(bound).verdict for bound in (0.19, 0.21, 0.59, 0.61)] == [
        *("supported", "inconclusive", "inconclusive", "contradicted"),
    ]
    assert told(row | {"gain_low": 0.3}, "gain").above(0.2).p < found.above(0.2).p  # type: ignore[operator]
    few = told(row | {"gain_df": 2.0}, "gain")
    assert [few.above(bound).p for bound in (0.2, 0.6)] == pytest.approx([0.05, 0.05])
    # twice 4.303 with two degrees of freedom
    assert few.above(0.0).p == pytest.approx(1 - 8.6053 / math.sqrt(8.6053**2 + 2), rel=1e-3)


def test_a_told_ratio_is_tested_on_its_logarithm_and_a_told_t_interval_by_t() -> None:
    row = {"num_seeds": 3, "ratio": 0.5, "low": 0.25, "high": 1.0}
    ratio = told(row, "ratio", by="num_seeds", ratio=True, ends="")
    assert ratio.below(1).p == pytest.approx(0.05)
    assert ratio.below(0.5 / 2**1.5).p == pytest.approx(2 * 0.0016408, rel=1e-3)
    assert ratio.below(0).p == 0
    by_t = told(row, "ratio", by="num_seeds", ratio=True, ends="", kind="t")
    assert by_t.below(1).p == pytest.approx(0.05)
    # twice 4.303 with two degrees of freedom: the tail is 1/2 - x / (2 sqrt(x^2 + 2))
    assert by_t.below(0.125).p == pytest.approx(1 - 8.6053 / math.sqrt(8.6053**2 + 2), rel=1e-3)


def test_what_holds_at_every_level_has_the_greatest_p_and_what_fails_at_some_the_least_times_their_number() -> None:
    yes, no, perhaps = (
        Outcome("supported", 0.001, 2.0),
        Outcome("contradicted", 0.02, 3.0),
        Outcome("inconclusive", 0.5),
    )
    assert at_every([yes, Outcome("supported", 0.01, 1.0)]) == Outcome("supported", 0.01, 2.0)
    assert at_every([no, no]) == Outcome("contradicted", 0.04, 3.0)
    assert at_every([no, perhaps]) == Outcome("contradicted", 0.04, 3.0)
    assert at_every([no, yes]) == Outcome("partly", 0.04, 3.0)
    assert at_every([yes, perhaps]) == Outcome("inconclusive", 0.5, 2.0)
    assert at_every([no, yes, perhaps]) == Outcome("inconclusive", 0.5, 3.0), "3 times .02 is more than .05"
    assert at_every([Outcome("contradicted", 0.001), Outcome("supported", 0.04), perhaps]).verdict == "contradicted"
    assert at_every([Outcome("contradicted", 0.001), no]) == Outcome("contradicted", 0.002, 3.0)


def test_what_holds_at_some_level_has_the_least_p_times_their_number() -> None:
    yes, no = Outcome("supported", 0.02, 2.0), Outcome("contradicted", 0.001, 3.0)
    assert at_some([yes, no]) == Outcome("supported", 0.04, 3.0)
    assert at_some([yes, no, Outcome("inconclusive", 0.5)]) == Outcome("inconclusive", 0.06, 3.0)
    assert at_some([no]) == Outcome("inconclusive", 1.0, 3.0)


def test_the_level_that_decides_is_the_worst_against_a_claim_or_the_weakest_for_it() -> None:
    strong, weak = Outcome("supported", 0.001), Outcome("supported", 0.04)
    no, more = Outcome("contradicted", 0.02), Outcome("contradicted", 0.003)
    assert decides([0.1, 0.25], [strong, weak]) == " The test that decides is at 0.25."
    assert decides(["a", "b", "c", "d"], [strong, no, more, weak]) == " The test that decides is at c."
    assert decides([1, 2], [strong, Outcome("inconclusive")]) == " The test that decides is at 2."


def test_harder_noise_is_told_by_seed_and_beside_filters() -> None:
    errors = {("gaussian", 1): 0.02, ("zeroed", 1): 0.04, ("gaussian", 2): 0.09, ("zeroed", 2): 0.03}
    seeds = [{"noise": noise, "seed": seed, "reconstructed_mse": it} for (noise, seed), it in errors.items()]
    told_of = struggle("gaussian", MORE) | {"denoising_seeds": table(seeds, model="best", level=0.0)}
    found = answer(50, "equal p and sigma, clipped", **told_of)
    assert " seed 1 0.50; seed 2 3.00." in found.reason
    assert "of the better of a median and a Gaussian filter: 0: 1.20" in found.reason


def test_what_two_tests_are_to_show_has_the_greater_p() -> None:
    yes, also = Outcome("supported", 0.001, 2.0), Outcome("supported", 0.01, 1.0)
    assert both(yes, also) == both(also, yes) == Outcome("supported", 0.01, 2.0)
    assert both(yes, Outcome("contradicted", 0.02)) == Outcome("partly", 0.02, 2.0)
    assert both(yes, Outcome("inconclusive", 0.5)) == Outcome("inconclusive", 0.5, 2.0)


def test_an_interval_without_width_is_its_value() -> None:
    found = told({"num_seeds": 7} | interval("gain", (0.2, 0.2)), "gain")
    assert [found.above(bound).p for bound in (0.1, 0.2, 0.3)] == pytest.approx([LEAST_P, 1, LEAST_P])
    assert (found.within(0.1, 0.3).verdict, found.within(0.3, 0.4).verdict) == ("supported", "contradicted")
    assert [found.above(bound).verdict for bound in (0.1, 0.2, 0.3)] == ["supported", "inconclusive", "contradicted"]


def test_means_on_the_author_s_image_are_over_draws_and_seeds() -> None:
    found = answer(46, HIS, **boot(7418, best=[0.5, 0.2], paper_table1=[0.1, 0.4]))
    assert found.measured is not None
    assert found.measured.n == 2
    assert found.measured.low is not None
    # two seeds .0005 from their mean: that is its standard error, and t is 12.706 for one degree of freedom
    assert found.measured.low == pytest.approx(0.2 - 12.706 * 0.0005, rel=0.02)
    assert "2 of 2 for best, 2 of 2 for paper_table1" in found.reason
    assert np.isfinite(found.test.p or math.nan)  # type: ignore[union-attr]


def test_filters_on_the_author_s_image_are_told_and_decide_nothing() -> None:
    models = boot(7418, best=[0.5, 0.2], paper_table1=[0.1, 0.4])
    filters = [
        {"model": model, "level": level, "seed": None, "draw": 0, "noisy_mse": 1.0, "reconstructed_mse": error}
        for model, errors in (("median_filter", (0.25, 1.6)), ("gaussian_filter", (0.5, 0.4)))
        for level, error in zip((0.0, 0.1), errors, strict=True)
    ]
    with_filters = pd.concat([models["denoising_boot"], table(filters, index=7418)])
    found, without = answer(46, HIS, denoising_boot=with_filters), answer(46, HIS, **models)
    assert (found.verdict, found.test) == (without.verdict, without.test)
    assert "The error of best over the better filter's, by p: 0: 2.00, 0.1: 2.00." in found.reason
    assert "filter" not in without.reason


def test_filters_are_told_where_training_on_noise_is_judged() -> None:
    rows = [{"model": "denoise_gaussian", "noise": "gaussian"}, {"model": "best", "noise": "gaussian"}]
    beside = table(rows, level=0.3, filter_ratio=0.8)
    tables = crossed((*CLIPPED, 0.02, LESS), (*UNCLIPPED, 0.04, (0.4, 0.45)))
    assert (
        "Their error over the better filter's: gaussian 0.3: 0.80." in answer(51, **tables, denoising=beside).reason
    )
