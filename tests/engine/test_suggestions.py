"""Optuna is told what trials came to at last, of the right trials, and to minimise it."""

from collections.abc import Callable, Container
from typing import Any

import numpy as np
import pytest
from optuna.distributions import FloatDistribution

from orchestrator.engine.records import Outcome, Record
from orchestrator.engine.suggestions import OptunaSuggestions, tpe
from tests.engine.toy import Nothing

NUM_TRIALS = 40
Curve = Callable[[float], list[float]]
"""A trial's loss epoch by epoch, of its parameter."""


def suggested(curve: Curve, *, failing: Container[int] = (), window: int = 1, seed: int = 1) -> list[float]:
    """What is suggested to trials between 0 and 1 that go so, each made from those up to `window` before it."""
    suggest = OptunaSuggestions({"x": FloatDistribution(0, 1)}, tpe(5, seed), "loss")
    found: list[float] = []
    records: list[Record[Any]] = []
    for number in range(NUM_TRIALS):
        found.append(suggest(number, records[: max(0, number - window + 1)])["x"])
        state: Outcome = "failed" if number in failing else "complete"
        rows = [{"loss": loss} for loss in curve(found[-1])]
        records.append(Record(f"trial-{number}", Nothing(), 1, state, rows))
    return found


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("window", [1, 4])
@pytest.mark.parametrize("best", [0.1, 0.8])
def test_trials_gather_where_the_loss_is_least_after_the_last_epoch(best: float, window: int, seed: int) -> None:
    """After the first epoch it is least at the other end."""
    late = suggested(lambda x: [(x - 1 + best) ** 2, (x - best) ** 2], window=window, seed=seed)[NUM_TRIALS // 2 :]
    assert np.median(np.abs(np.array(late) - best)) < 0.15


def test_a_failed_trial_has_no_loss_whatever_its_epochs_were() -> None:
    """The first, which are drawn at random, fail and would have been the best."""
    first = suggested(lambda x: [x])[:5]
    assert max(first) > 0.5
    late = suggested(lambda x: [-9.0 if x in first else (x - 0.1) ** 2], failing=range(5))[NUM_TRIALS // 2 :]
    assert np.median(np.abs(np.array(late) - 0.1)) < 0.15


def test_another_seed_suggests_other_trials_and_the_same_seed_the_same() -> None:
    one, same, other = (suggested(lambda x: [x], seed=seed) for seed in (1, 1, 2))
    assert one == same
    assert not set(one) & set(other)
