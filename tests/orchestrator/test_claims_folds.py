"""The folds' judges: each verdict that a rule can give, on tables of a few rows, and what is measured there."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from tests.orchestrator.made_tables import answer, table

Made = dict[str, Any]
Tables = dict[str, pd.DataFrame]
SIX = (0.020, 0.0201, 0.0199, 0.0202, 0.0198, 0.02)
WHOLE = {"state": "complete", "order": "sequential", "model": "best"}


def folds(values: Sequence[float] = SIX, *more: Sequence[float], **columns: Sequence[float]) -> pd.DataFrame:
    """Of seed 1, then of other seeds; beside them what must not count: other models and orders, a failed fold."""
    rows = []
    for seed, of_seed in enumerate((values, *more), start=1):
        for fold, value in enumerate(of_seed):
            own = {name: column[fold] for name, column in columns.items()}
            row = {"fold": fold, "seed": seed, "val_mse": value, "test_mse": value, "train_mse_evaluated": value}
            rows.append(WHOLE | row | {"train_mse": 9.0} | own)
    found = table(rows)
    others = [found.assign(model="paper_table1"), found.assign(order="class_sorted"), found.assign(state="failed")]
    wrong = {"val_mse": 9.0 + 10 * found["fold"], "test_mse": 7.0 + 10 * found["fold"], "train_mse_evaluated": 1.0}
    return pd.concat([found, *(other.assign(**wrong) for other in others)], ignore_index=True)


def last_epoch(*epochs: int) -> pd.DataFrame:
    """How many epochs each fold has; another model and order have none."""
    rows = [WHOLE | {"fold": fold, "seed": 1, "epoch": e} for fold, n in enumerate(epochs) for e in range(1, n + 1)]
    found = table(rows, val_mse=0.02)
    return pd.concat(
        [found, found.assign(model="paper_table1", epoch=99), found.assign(order="class_sorted", epoch=99)]
    )


def following(number: int, *epochs: int) -> Tables:
    return {"folds": folds([0.02] * number), "fold_epochs": last_epoch(*epochs)}


def little(values: Sequence[float]) -> Tables:
    return {"folds": folds(values, [2 * np.mean(values) - it for it in values]), "fold_epochs": spread_curves()}


def spread_curves() -> pd.DataFrame:
    """Two folds that are far apart at epoch 1: .01 and .03, whose deviation is .7071 of their mean."""
    rows = [{"fold": fold, "epoch": e, "seed": 1} for fold in (0, 1) for e in (1, 2)]
    values = {(0, 1): 0.01, (1, 1): 0.03, (0, 2): 0.02, (1, 2): 0.02}
    return table([WHOLE | row | {"val_mse": values[row["fold"], row["epoch"]]} for row in rows])


def crossed(of_folds: float, of_seeds: float, num_seeds: int = 4) -> Tables:
    """Six folds whose means have this deviation, and what is left of them and of the seeds that."""
    own, left = np.arange(6.0), np.random.default_rng(1).standard_normal((6, num_seeds))
    left -= left.mean(axis=0)
    left -= left.mean(axis=1, keepdims=True)
    left *= of_seeds / np.sqrt(np.square(left).sum() / max(1, 5 * (num_seeds - 1)) or 1)
    values = 0.02 + of_folds * own[:, None] / own.std(ddof=1) + left + 0.001 * np.arange(num_seeds)
    return {"folds": folds(*values.T)}


def held_out(*ratios: float, test: Sequence[float] = SIX, failed: bool = False) -> Tables:
    """Errors of classes 0, 1, ... in blocks sorted by class over those in two sequential blocks.

    In sequential order fold 0 has 30 images of a class with an error of .01, fold 1 has 10 with .05: .02 in all.
    Sorted, all 40 of a class are in one block.
    """
    rows, balance = [], []
    for order in ("sequential", "class_sorted"):
        for fold in (0, 1):
            row = WHOLE | {
                "order": order,
                "fold": fold,
                "seed": 1,
                "test_mse": test[fold + 2 * (order != "sequential")],
            }
            for label, ratio in enumerate(ratios):
                in_block = label % 2 == fold
                counts = {"sequential": (30, 10)[fold], "class_sorted": 40 * in_block}
                errors = {"sequential": (0.01, 0.05)[fold], "class_sorted": 0.02 * ratio if in_block else None}
                row[f"val_mse_class_{label}"] = errors[order]
                same = {"images": "validation", "order": order, "fold": fold, "label": label}
                balance.append(same | {"num_images": counts[order]})
            rows.append(row)
    found = table(rows)
    other = found.assign(seed=2, **{f"val_mse_class_{label}": 9.0 for label in range(len(ratios))})
    whole = table([{"images": "train", "order": None, "fold": None, "label": 0, "num_images": 10_000}])
    return {"folds": pd.concat([found, other]), "class_balance": pd.concat([table(balance), whole])}


def curves(last: float, mean: float, epochs: int = 20, uneven: float = 0.02, train: Any = None) -> Tables:
    """Six folds whose curves fall along a line and go up and down by so much, validation by .00001; the last batch's
    a little else in each fold. Fold 0's training curve may be another."""
    rows = []
    for fold in range(6):
        for epoch in range(1, epochs + 1):
            base, way = 0.04 - 0.001 * epoch, (-1) ** epoch
            row = {"last_batch_mse": base + last * way * (1 + uneven) ** (fold - 2.5)}
            row |= {"train_mse": base + mean * way * 1.01 ** (fold - 2.5), "val_mse": base + 1e-5 * way}
            rows.append(WHOLE | {"fold": fold, "seed": 1, "epoch": epoch} | row)
    found = table(rows)
    found["last_batch_mse"] = found["last_batch_mse"].where(found["epoch"] > 1, 5.0)  # the first is another thing
    if train is not None:
        found["train_mse"] = found["train_mse"].where(found["fold"] > 0, train(found["epoch"]))
    other = found.assign(last_batch_mse=0.1, train_mse=0.1, val_mse=0.1 * (2 + (-1.0) ** found["epoch"]))
    again = {name: 2 * found[name] for name in ("last_batch_mse", "train_mse", "val_mse")}  # ratios are the same
    unfinished = found[found["fold"] == 0].assign(seed=3, last_batch_mse=0.1)
    return {
        "fold_epochs": pd.concat(
            [found, found.assign(seed=2, **again), unfinished, other.assign(model="paper_table1")]
        )
    }


def levels_off(fall: float, apart: float, epochs: int = 20) -> Tables:
    """Six folds whose validation error falls by a share an epoch, give or take a little in each fold."""
    rows = [
        WHOLE
        | {"fold": fold, "seed": 1, "epoch": epoch, "val_mse": 0.04 * (1 - fall - apart * (fold - 2.5)) ** epoch}
        for fold in range(6)
        for epoch in range(1, epochs + 1)
    ]
    found = table(rows, train_mse=0.02)
    first = found["epoch"] <= epochs - 6  # what was before the last five epochs is another thing
    return {"fold_epochs": found.assign(val_mse=found["val_mse"].where(~first, 9.0))}


def gap(*shares: float, epochs: int = 20) -> Tables:
    """Validation error over training error less 1, by fold; a second seed has the same on average."""
    train = [0.02 + 0.001 * fold for fold in range(len(shares))]
    values = [one * (1 + share) for one, share in zip(train, shares, strict=True)]
    return {
        "folds": folds(values, values, train_mse_evaluated=train),
        "fold_epochs": last_epoch(*[epochs] * len(shares)),
    }


BESIDE_MEAN, BESIDE_CHANCE, LEVEL, MEET = "beside their mean", "beside chance", "each levels off", "they meet"
NEAR = (0.019, 0.020, 0.021, 0.018, 0.022, 0.020)
FAR = (0.01, 0.02, 0.03, 0.015, 0.025, 0.02)
SOME = (0.0195, 0.02, 0.0205, 0.019, 0.021, 0.02)
CASES: list[tuple[int, str, str, Tables, float | None]] = [
    (25, "", "followed", following(6, 20, 20, 20, 20, 20, 20), 6.0),
    (25, "", "partly_followed", following(6, 20, 20, 20, 20, 20, 19), 6.0),
    (25, "", "partly_followed", following(6, *[21] * 6), 6.0),
    (25, "", "partly_followed", following(5, *[20] * 5), 5.0),
    (25, "", "not_followed", following(3, 2, 2, 2), 3.0),
    (26, "", "followed", {"folds": folds([0.01, 0.02], [0.03, 0.04])}, 0.025),
    (26, "", "not_followed", {"folds": folds([0.01, 0.02]).assign(test_mse=[None, 0.02] * 4)}, None),
    (26, "", "not_tested", {"folds": folds().assign(order="class_sorted")}, None),
    (40, BESIDE_MEAN, "supported", little(SIX), 0.00707),
    (40, BESIDE_MEAN, "contradicted", little(FAR), 0.3536),
    (40, BESIDE_MEAN, "inconclusive", little(NEAR), 0.0707),
    (40, BESIDE_MEAN, "inconclusive", little(SOME), 0.03536),
    (40, BESIDE_CHANCE, "supported", crossed(0.0001, 0.0004), 0.0),
    (40, BESIDE_CHANCE, "contradicted", crossed(0.004, 0.0002), 19.9937),
    (40, BESIDE_CHANCE, "inconclusive", crossed(0.0004, 0.0002), 1.93649),
    (40, BESIDE_CHANCE, "not_tested", crossed(0.0004, 0.0002, num_seeds=1), None),
    (41, "", "supported", held_out(1.2, 1.3, 1.25, 1.2), 1.2369),
    (41, "", "contradicted", held_out(0.8, 0.85, 0.8, 0.75), 0.7993),
    (41, "", "inconclusive", held_out(1.2, 0.8, 1.3, 0.9), 1.0292),
    (41, "", "not_tested", held_out(1.0, 1.0, 1.0), None),
    (42, "", "supported", curves(1e-3, 1e-4), 100.0),
    (42, "", "partly", curves(1e-3, 5e-6), 100.0),
    (42, "", "partly", curves(1e-3, 1e-4, train=lambda epoch: 0.02 + 0.001 * (epoch % 3)), 100.0),
    (42, "", "inconclusive", curves(1e-5, 1e-4, uneven=0.2), 1.0),
    (42, "", "contradicted", curves(5e-6, 1e-4), 0.5),
    (42, "", "not_tested", curves(1e-3, 1e-4, epochs=5), None),
    (43, LEVEL, "supported", levels_off(0.003, 1e-4), 0.003),
    (43, LEVEL, "contradicted", levels_off(0.007, 1e-4), 0.007),
    (43, LEVEL, "inconclusive", levels_off(0.0045, 2e-3), 0.0045),
    (43, LEVEL, "inconclusive", levels_off(0.003, 1e-4, epochs=19), 0.003),
    (43, LEVEL, "not_tested", levels_off(0.003, 1e-4, epochs=5), None),
    (43, MEET, "supported", gap(0.01, 0.02, 0.03, 0.01, 0.02, 0.03), 0.02),
    (43, MEET, "contradicted", gap(0.10, 0.11, 0.12, 0.10, 0.11, 0.12), 0.11),
    (43, MEET, "contradicted", gap(-0.10, -0.11, -0.12, -0.10, -0.11, -0.12), -0.11),
    (43, MEET, "inconclusive", gap(0.01, 0.09, 0.05, 0.02, 0.08, 0.04), 0.04833),
    (43, MEET, "inconclusive", gap(0.01, 0.02, 0.03, 0.01, 0.02, 0.03, epochs=19), 0.02),
    (44, "", "supported", gap(0.01, 0.02, 0.03, 0.01, 0.02, 0.03), 0.02),
    (44, "", "supported", gap(-0.10, -0.11, -0.12, -0.10, -0.11, -0.12), -0.11),
    (44, "", "contradicted", gap(0.10, 0.11, 0.12, 0.10, 0.11, 0.12), 0.11),
    (44, "", "inconclusive", gap(0.01, 0.09, 0.05, 0.02, 0.08, 0.04), 0.04833),
]


@pytest.mark.parametrize(
    ("number", "reading", "verdict", "tables", "measured"), CASES, ids=[f"{it[0]}-{it[1]}-{it[2]}" for it in CASES]
)
def test_the_verdict_and_what_is_measured_follow_from_the_tables(
    number: int, reading: str, verdict: str, tables: Tables, measured: float | None
) -> None:
    found = answer(number, reading, **tables)
    assert found.verdict == verdict, found.reason
    if measured is not None:
        assert found.measured is not None
        assert found.measured.value == pytest.approx(measured, rel=1e-3)


def test_folds_spread_by_the_mean_variance_of_each_seed_s() -> None:
    even, uneven = [0.02, 0.02, 0.02], [0.01, 0.02, 0.03]
    found = answer(40, BESIDE_MEAN, folds=folds(even, uneven), fold_epochs=spread_curves()).measured
    assert found is not None
    assert found.value == pytest.approx(0.01 / 2**0.5 / 0.02)
    assert found.n == 3


def test_the_greatest_spread_at_any_epoch_is_told() -> None:
    assert "The greatest at any epoch is 0.707." in answer(40, BESIDE_MEAN, **little(SIX)).reason


def test_a_fold_s_own_part_is_told_from_chance_by_an_analysis_of_variance() -> None:
    """(4 times .0004^2 over .0002^2, less 1) over 4 is 3.75, the square of it."""
    found = answer(40, BESIDE_CHANCE, **crossed(0.0004, 0.0002)).measured
    assert found is not None
    assert found.value == pytest.approx(3.75**0.5)
    assert (found.kind, found.n) == ("F", 24)


def test_means_over_folds_allow_for_the_images_that_these_share() -> None:
    """Mean squares are 1e-4 of folds and 4e-4 of seeds, with nothing left: (3e-4 + 4e-4) / 4 is the mean's variance,
    of 7**2 / (3**2 + 4**2) degrees of freedom."""
    found = answer(26, folds=folds([0.01, 0.02], [0.03, 0.04]))
    assert found.measured is not None
    half = t.ppf(0.975, 49 / 25) * (7e-4 / 4) ** 0.5
    assert found.measured.high == pytest.approx(0.025 + half, rel=1e-4)
    assert "paper_table1 12.0000" in found.reason


def test_the_test_errors_spread_is_told_and_does_not_decide() -> None:
    found = answer(41, **held_out(1.2, 1.3, 1.25, 1.2, test=(0.01, 0.02, 0.01, 0.04)))
    assert found.verdict == "supported"
    assert "is 3.00 times as great" in found.reason
    assert "over 4 classes" in found.reason


def test_the_gap_of_other_models_is_told() -> None:
    reason = answer(44, **gap(0.01, 0.02, 0.03)).reason
    assert reason.endswith(" paper_table1: 18.0000.")


def test_the_least_correlation_of_the_curves_and_the_epoch_mean_s_roughness_are_told() -> None:
    reason = answer(42, **curves(1e-3, 1e-4)).reason
    assert "are rougher (10.00 for this)" in reason
    assert "(least 1.000)" in reason
