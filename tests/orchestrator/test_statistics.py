"""Estimates, intervals and tests, against closed forms, libraries and simulation."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest, t, ttest_1samp, ttest_ind
from statsmodels.stats.multitest import multipletests

from orchestrator.statistics.intervals import (
    Interval,
    NotTested,
    Unchanged,
    deviation,
    holm,
    log_ratio,
    mean,
    mean_over_folds,
    ratio_of_deviations,
    ratio_of_groups,
    spread,
)
from orchestrator.statistics.resamples import Resamples, bootstrapped, of_ends

VALUES = (0.3, 0.5, 0.9, 1.1)


def test_mean_has_the_t_interval_and_the_p_value_of_scipy() -> None:
    found, expected = mean(VALUES), ttest_1samp(VALUES, 0.2)
    interval = ttest_1samp(VALUES, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.above(0.2).p == pytest.approx(expected.pvalue)
    assert (found.kind, found.n) == ("t", 4)


def test_a_test_agrees_with_its_interval_at_both_ends() -> None:
    for found in (
        mean(VALUES),
        log_ratio((1.1, 1.3, 1.2), (1, 1, 1)),
        deviation(VALUES),
        ratio_of_deviations(VALUES, (1.0, 1.1, 1.3)),
    ):
        assert found.low is not None
        assert found.high is not None
        for bound, verdict in (
            (found.low * 0.999, "supported"),
            (found.low * 1.001, "inconclusive"),
            (found.high * 0.999, "inconclusive"),
            (found.high * 1.001, "contradicted"),
        ):
            assert found.above(bound).verdict == verdict, (found.kind, bound)
        assert found.below(found.high * 1.001).verdict == "supported"
        assert found.below(found.low * 0.999).verdict == "contradicted"


def test_one_value_a_range_and_what_is_no_number_decide_nothing() -> None:
    for found in (
        mean((0.5,)),
        spread(VALUES),
        Interval(1.0),
        mean((0.5, math.nan)),
        log_ratio((1, math.nan), (1, 2)),
    ):
        assert {found.above(0).verdict, found.below(0).verdict, found.within(-9, 9).verdict} == {"inconclusive"}
        assert found.above(0).p is None


def test_folds_widen_the_interval_of_their_mean_by_nadeau_and_bengio() -> None:
    six = (1.0, 1.2, 0.9, 1.1, 1.05, 0.95)
    plain, folds = mean(six), mean_over_folds(six)
    assert plain.high is not None
    assert folds.high is not None
    wider = math.sqrt((1 / 6 + 1 / 5) / (1 / 6))
    assert wider == pytest.approx(1.483, abs=1e-3)
    assert (folds.high - folds.value) / (plain.high - plain.value) == pytest.approx(wider)


def test_ratio_is_the_geometric_mean_and_swapping_the_sides_turns_it_over() -> None:
    one, other = (2.0, 3.0, 6.0), (1.0, 2.0, 2.0)
    found, turned = log_ratio(one, other), log_ratio(other, one)
    assert found.value == pytest.approx((2 * 1.5 * 3) ** (1 / 3))
    assert turned.high == pytest.approx(1 / found.low)  # type: ignore[operator]
    assert found.above(1).p == pytest.approx(turned.below(1).p)


def test_groups_that_are_not_paired_are_compared_by_welch_s_test() -> None:
    ones, others = (2.0, 3.0, 2.5), (1.0, 1.2, 1.1, 2.0, 0.9)
    found, expected = ratio_of_groups(ones, others), ttest_ind(np.log(ones), np.log(others), equal_var=False)
    assert found.value == pytest.approx(np.exp(np.log(ones).mean() - np.log(others).mean()))
    assert found.above(1).p == pytest.approx(expected.pvalue)
    ends = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((math.exp(ends.low), math.exp(ends.high)))
    assert found.n == 8


def test_sides_that_are_equal_to_the_last_bit_are_no_comparison() -> None:
    with pytest.raises(Unchanged, match="3 of 3"):
        log_ratio((0.1, 0.2, 0.3), (0.1, 0.2, 0.3))
    assert log_ratio((0.1, 0.2), (0.1, 0.2000001)).value != 1


def test_equivalence_wants_the_90_percent_interval_within_the_bounds() -> None:
    found = mean(VALUES)
    ninety = ttest_1samp(VALUES, 0).confidence_interval(0.9)
    assert found.within(ninety.low - 0.001, ninety.high + 0.001).verdict == "supported"
    assert found.within(ninety.low - 0.001, ninety.high - 0.001).verdict == "inconclusive"
    assert found.within(ninety.low + 0.001, ninety.high + 0.001).verdict == "inconclusive"
    assert found.within(5, 6).verdict == found.within(-6, -5).verdict == "contradicted"


def test_the_smallest_effect_is_seen_with_a_power_of_80_percent() -> None:
    random = np.random.default_rng(0)
    for n in (3, 5):
        effect = mean(np.arange(n)).smallest_effect
        assert effect is not None
        in_deviations = effect / np.arange(n).std(ddof=1)
        seen = [mean(random.normal(in_deviations, 1, n)).above(0).verdict == "supported" for _ in range(2000)]
        assert binomtest(sum(seen), 2000, 0.8).pvalue > 0.001


def test_an_interval_over_seeds_and_images_is_the_images_bootstrap_and_the_seeds_t() -> None:
    random = np.random.default_rng(1)
    images, seeds = random.normal(0, 3, (1, 400)), np.array([[0.0], [0.7], [1.0]])
    of_images, of_seeds, of_both = (
        bootstrapped(values, 4000) for values in (images + 0 * seeds, seeds + 0 * images, seeds + images)
    )
    width = [found.high - found.low for found in (of_images, of_seeds, of_both)]  # type: ignore[operator]
    assert width[0] == pytest.approx(2 * 1.96 * images.std() / 20, rel=0.1)
    expected = mean(seeds[:, 0])
    assert (of_seeds.low, of_seeds.high) == pytest.approx((expected.low, expected.high), abs=0.1)
    assert of_seeds.above(0).p == pytest.approx(expected.above(0).p, rel=0.1)
    assert width[2] > width[0]
    assert of_both.value == pytest.approx(float((seeds + images).mean()))
    assert (of_images.n, bootstrapped(images, 100).n) == (3, 400)


@pytest.mark.parametrize("num_seeds", [2, 3, 5])
@pytest.mark.parametrize("of_seeds", [0.0, 0.1, 1.0])
def test_intervals_over_few_seeds_hold_the_true_mean_in_95_of_100_cases(num_seeds: int, of_seeds: float) -> None:
    """Drawing seeds with replacement does so in 50 (two seeds) and 75 (three), where the seeds decide. With one
    degree of freedom Satterthwaite's is known to be somewhat too narrow."""
    random, held = np.random.default_rng(2), 0
    for _ in range(300):
        values = random.normal(0, of_seeds, (num_seeds, 1)) + random.normal(0, 1, (1, 100))
        found = bootstrapped(values, 300)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0 <= found.high
    assert held / 300 > (0.88 if num_seeds == 2 else 0.91)


def test_where_images_decide_the_interval_is_no_wider_for_having_few_seeds() -> None:
    random = np.random.default_rng(3)
    values = np.array([[-0.01], [0.0], [0.01]]) + random.normal(0, 1, (1, 400))
    found = bootstrapped(values, 2000)
    assert found.high - found.low == pytest.approx(2 * 1.96 / 20, rel=0.15)  # type: ignore[operator]


def test_a_ratio_s_ends_are_taken_farther_in_its_logarithm_and_are_never_negative() -> None:
    resamples, value = Resamples(1000, 3, 50, seed=1), 2.0
    random = np.random.default_rng(4)
    draws = np.exp(np.log(value) + np.concatenate([random.normal(0, 0.4, 1000), np.zeros(1000)]))
    low, high, df = resamples.ends(value, draws, ratio=True)
    farther = t.ppf(0.975, 2) / 1.96
    assert df == pytest.approx(2)
    assert (low, high) == pytest.approx(
        (2 * np.exp(-1.96 * 0.4 * farther), 2 * np.exp(1.96 * 0.4 * farther)), rel=0.25
    )
    assert resamples.ends(value, draws).low < 0
    assert resamples.ends(value, np.where(draws > 3, -1.0, draws), ratio=True).low == 0


def test_ends_are_half_a_test_each_and_no_p_value_is_nothing() -> None:
    found = of_ends(0.5, 0.3, 0.9, 4)
    assert found.above(0.3).p == pytest.approx(0.05)
    assert found.below(0.9).p == pytest.approx(0.05)
    assert found.above(-9).p == pytest.approx(1e-6)
    few = of_ends(0.5, 0.3, 0.9, 4, df=2)
    assert few.above(0.3).p == pytest.approx(0.05)
    assert few.above(0.1).p > found.above(0.1).p  # type: ignore[operator]
    ratio = of_ends(0.5, 0.25, 1.0, 4, ratio=True)
    assert ratio.below(1).p == pytest.approx(0.05)
    assert of_ends(0.5, 0.0, 1.1, 4, ratio=True).above(0.01).verdict == "inconclusive"


def test_a_spread_of_one_value_is_not_tested() -> None:
    with pytest.raises(NotTested):
        deviation((1.0,))
    with pytest.raises(NotTested):
        ratio_of_deviations((1.0, 2.0), (1.0,))


def test_holm_s_correction_is_that_of_statsmodels() -> None:
    dice = np.random.default_rng(1)
    for number in (1, 2, 7, 40):
        p = np.append(dice.uniform(0, 0.2, number), [0.01, 0.01, 1e-9])
        assert holm(p) == pytest.approx(multipletests(p, method="holm")[1], rel=1e-12)
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []
