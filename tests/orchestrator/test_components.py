"""Components of variance, against an analysis by hand and a simulation."""

import numpy as np
import pytest

from orchestrator.statistics.components import mean_of_crossed, ratio_of_components
from orchestrator.statistics.intervals import NotTested, mean_over_folds


def test_components_of_variance_are_those_of_a_two_way_analysis_without_repeats() -> None:
    """Rows 1, 2 and 4, columns 0 and .5, and what is left of them; mean squares are reckoned by hand."""
    left = np.array([[0.1, -0.1], [-0.2, 0.2], [0.1, -0.1]])
    crossed = np.array([[1.0], [2.0], [4.0]]) + np.array([0.0, 0.5]) + left
    of_rows = 2 * np.var([1.0, 2.0, 4.0], ddof=1)
    of_rest = np.square(left).sum() / 2
    found = ratio_of_components(crossed)
    assert found.value == pytest.approx(np.sqrt((of_rows / of_rest - 1) / 2))
    assert (found.kind, found.n) == ("F", 6)
    # F(2, 2) has the distribution x / (1 + x): its quantiles are .025 / .975 and .975 / .025
    assert found.high == pytest.approx(np.sqrt((of_rows / of_rest * 39 - 1) / 2))
    assert found.low == pytest.approx(np.sqrt(max(0, (of_rows / of_rest / 39 - 1) / 2)))
    assert found.below(found.high).p == pytest.approx(0.05)


def test_rows_that_differ_by_chance_alone_have_nothing_of_their_own() -> None:
    crossed = np.random.default_rng(0).normal(size=(6, 400))
    found = ratio_of_components(crossed)
    assert found.value < 0.1
    assert found.low == 0
    assert found.below(0.5).verdict == "supported"
    own = crossed + 3 * np.arange(6)[:, None]
    assert ratio_of_components(own).above(1).verdict == "supported"
    assert ratio_of_components(own).value == pytest.approx(3 * np.std(np.arange(6), ddof=1), rel=0.1)


@pytest.mark.parametrize("shape", [(1, 5), (5, 1)])
def test_components_of_variance_want_two_rows_and_two_columns(shape: tuple[int, int]) -> None:
    with pytest.raises(NotTested):
        ratio_of_components(np.zeros(shape))


def test_mean_of_crossed_values_allows_for_what_seeds_share_over_folds() -> None:
    draws = np.random.default_rng(0)
    inside = {"crossed": 0, "folds alone": 0}
    for _ in range(1000):
        crossed = 1 + draws.normal(size=(6, 4)) + 2 * draws.normal(size=(1, 4)) + 0.5 * draws.normal(size=(6, 1))
        for name, found in (("crossed", mean_of_crossed(crossed)), ("folds alone", mean_over_folds(crossed.mean(1)))):
            assert found.value == pytest.approx(crossed.mean())
            assert found.n == 6
            inside[name] += found.low < 1 < found.high  # type: ignore[operator]
    assert 930 < inside["crossed"] < 990
    assert inside["folds alone"] < 900


def test_mean_of_crossed_values_has_an_end_where_what_seeds_share_all_but_vanishes() -> None:
    """Logarithms of a ratio that was measured: by Satterthwaite's formula alone an interval from -203 to 205."""
    rows = [[1.37, 0.96, 1.40, 0.71], [0.97, 1.25, 1.33, 0.42], [1.10, 1.26, 1.02, 1.06]]
    rows += [[0.79, 1.46, 0.89, 0.99], [0.62, 1.68, 0.37, 1.43], [0.60, 1.05, 0.43, 1.54]]
    crossed = np.array(rows)
    found = mean_of_crossed(crossed)
    assert found.low is not None
    of_folds, of_seeds = 4 * crossed.mean(1).var(ddof=1), 6 * crossed.mean(0).var(ddof=1)
    left = (crossed.var() * 24 - 5 * of_folds - 3 * of_seeds) / 15
    error = np.sqrt((2.2 * of_folds + max(of_seeds - left, 0)) / 24)
    assert found.value - found.low == pytest.approx(3.182446 * error)
    assert found.smallest_effect < 1


def test_mean_of_crossed_values_of_one_seed_is_that_over_folds() -> None:
    values = np.array([1.0, 2.0, 4.0])
    assert mean_of_crossed(values[:, None]).high == mean_over_folds(values).high
    assert mean_of_crossed(np.ones((3, 2))).low == 1
