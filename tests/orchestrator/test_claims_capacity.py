"""The judges of capacity: every verdict that each can give, on tables of a few rows, by numbers reckoned by hand."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from orchestrator.claims.capacity import _every
from orchestrator.statistics.intervals import Outcome
from tests.orchestrator.made_tables import answer, table

Errors = Sequence[float]
WIDE, LINEAR = "wide_autoencoder", "linear_overcomplete"
STILL, FALLING = (0.4, 0.35, 0.3, 0.298, 0.2979, 0.2945), (0.4, 0.35, 0.3, 0.299, 0.29, 0.2899)
"""Training errors by epoch that fall by .6 % an epoch in the last two, to a plateau, and by 1.5 %."""


def curves(*told: tuple[str, int, int, Errors]) -> pd.DataFrame:
    """By method, latent size and seed."""
    return table(
        [
            {"method": method, "latent_dim": size, "seed": seed, "epoch": epoch, "train_mse": error}
            for method, size, seed, errors in told
            for epoch, error in enumerate(errors, start=1)
        ]
    ).sample(frac=1, random_state=0)


def overcomplete(*models: tuple[str, int, float, Errors]) -> dict[str, pd.DataFrame]:
    """Overcomplete models' errors beside an undercomplete one's of .5; another seed has another curve."""
    found = [(method, size, error, "complete") for method, size, error, _ in models]
    found += [("autoencoder", 14, 0.5, "complete"), ("autoencoder", 2, 0.9, "complete")]
    found += [
        ("autoencoder", 64, 0.001, "complete"),
        ("autoencoder", 5, 0.001, "failed"),
        (WIDE, 14, 0.001, "complete"),
    ]
    names = ("method", "latent_dim", "test_mse", "state")
    told = [(method, size, seed, errors) for method, size, _, errors in models for seed in (1, 2)]
    return {
        "reconstruction": table([dict(zip(names, row, strict=True)) for row in found], seed=1),
        "reconstruction_epochs": curves(*((*it[:3], it[3] if it[2] == 1 else (1.0, 0.01)) for it in told)),
    }


def passing(*shares: tuple[str, float], error: float = 0.01) -> dict[str, pd.DataFrame]:
    """What passes overcomplete models, by method; the wide ones are far from the identity unless told otherwise."""
    errors = {WIDE: error, LINEAR: 0.01}
    rows = [
        {"method": method, "noise_passed": share, "latent_dim": size}
        for method, share in shares
        for size in (784, 14)
        if size == 784 or method == WIDE
    ]
    rows = [row | ({"noise_passed": 0.1} if row["latent_dim"] == 14 else {}) for row in rows]
    tables = overcomplete(*((method, 784, errors[method], STILL) for method in errors))
    nothing = {"method": LINEAR, "latent_dim": 784, "noise_passed": None}
    return tables | {"identity": table([*rows, nothing], seed=1, noise="zeroed")}


def linear(*sizes: tuple[float, float], untuned: float = 40.0) -> dict[str, pd.DataFrame]:
    """Of each latent size three seeds, whose angle and share of PCA's error are about these."""
    rows = [
        {"method": "linear_autoencoder", "latent_dim": size, "seed": seed, "learning_rate": 4e-3}
        | {"largest_angle_degrees": angle * scale, "pca_ratio": 1 + (ratio - 1) * scale}
        for size, (angle, ratio) in enumerate(sizes, start=1)
        for seed, scale in enumerate((0.98, 1.0, 1.02))
    ]
    plain = {"method": "linear_untuned", "latent_dim": 1, "seed": 0, "learning_rate": 1e-3, "pca_ratio": 1.5}
    rows += [plain | {"largest_angle_degrees": untuned}, plain | {"largest_angle_degrees": 0.1, "pca_ratio": 1.2}]
    return {"reconstruction": table(rows, state="complete")}


SEEDS = (0.99, 1.0, 1.01, 1.02, 0.98)
"""What seeds make of an error, in shares of it."""


def the_same(method: str, other: str) -> dict[str, pd.DataFrame]:
    """Two networks whose errors are equal to the last bit, among others that differ."""
    tables = penalties(0.98, 0.98, 0.98)
    found = tables["reconstruction"]
    same = found[found["method"] == other].assign(method=method)
    return {"reconstruction": pd.concat([found[found["method"] != method], same])}


def ablations(chance: float = 0.001, **ratios: float | tuple[float, float]) -> dict[str, pd.DataFrame]:
    """Table 1's network, of test MSE about 1 and training MSE about .8, and others with so many times that.

    Two numbers are those of test and of training. Pairs differ by chance, too.
    """
    usual = ("table1", "table1_step_0.002", "table1_adam_l2_0")
    rows = []
    for method, ratio in (dict.fromkeys(usual, 1.0) | ratios).items():
        test, train = ratio if isinstance(ratio, tuple) else (ratio, 1.0)
        for seed, scale in enumerate(SEEDS):
            pair = 1.0 if method in usual else 1 + chance * (-1) ** seed
            errors = {"test_mse": test * scale * pair, "train_mse_evaluated": 0.8 * train * scale}
            rows.append({"method": method, "seed": seed} | errors)
    return {"reconstruction": table(rows, state="complete", latent_dim=3, pca_ratio=0.1)}


def with_pca(*sizes: tuple[float, float], no_relu: float = 1.5) -> dict[str, pd.DataFrame]:
    """Of each latent size the ratio of two seeds; PCA has none of the last."""
    rows = [
        {"method": "autoencoder", "latent_dim": size, "seed": seed, "pca_ratio": ratio}
        for size, pair in enumerate((*sizes, (math.nan, math.nan)), start=1)
        for seed, ratio in enumerate(pair)
    ]
    others = ablations(table1_no_relu=no_relu)["reconstruction"]
    return {"reconstruction": pd.concat([table(rows, state="complete"), others])}


def without_norm(first: tuple[float, float], second: tuple[float, float]) -> dict[str, pd.DataFrame]:
    return ablations(**{"table1_no_batch_norm": first, "table1_no_batch_norm_step_0.002": second})


def penalties(*gaps: float, chance: float = 0.001) -> dict[str, pd.DataFrame]:
    """By strength, the gap between training and test error with the penalty in shares of that without."""
    names = ("table1_adam_l2_1e-05", "table1_adam_l2_0.0001", "table1_adam_l2_0.001")
    return ablations(chance, **{name: (2 * gap, 2.0) for name, gap in zip(names, gaps, strict=True)})


def kernels(error: float, epochs: float) -> dict[str, pd.DataFrame]:
    """Of kernels of 5: how many times the error, and how many times the epochs until the training error is 1/16.

    Errors are halved in every epoch with kernels of 3.
    """
    three = [2.0**-n for n in range(1, 5)]
    five = [2.0 ** -(n / epochs) for n in range(1, 5)]
    told = [
        (method, 3, seed, [it * scale for it in errors])
        for seed, scale in enumerate(SEEDS)
        for method, errors in (("table1", three), ("table1_kernel_5", [it * (1 + seed / 1e4) for it in five]))
    ]
    return ablations(table1_kernel_5=error) | {"reconstruction_epochs": curves(*told)}


def one_epoch(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    epochs = tables["reconstruction_epochs"]
    return tables | {"reconstruction_epochs": epochs[epochs["epoch"] == 1]}


CASES: list[tuple[int, str, dict[str, pd.DataFrame], Any]] = [
    (4, "supported", overcomplete((WIDE, 784, 0.02, FALLING), (LINEAR, 1024, 0.04, FALLING)), (0.06, 0.04, 0.08)),
    (4, "partly", overcomplete((WIDE, 784, 0.06, STILL), (LINEAR, 784, 0.04, STILL)), (0.1, 0.08, 0.12)),
    (4, "partly", overcomplete((WIDE, 784, 0.06, FALLING), (LINEAR, 784, 0.04, STILL)), (0.1, 0.08, 0.12)),
    (4, "supported", overcomplete((WIDE, 784, 0.06, FALLING), (WIDE, 1024, 0.04, STILL)), (0.1, 0.08, 0.12)),
    (4, "contradicted", overcomplete((WIDE, 784, 0.06, STILL), (LINEAR, 784, 0.06, FALLING)), (0.12, 0.12, 0.12)),
    (4, "contradicted", overcomplete((WIDE, 784, 0.06, STILL), (LINEAR, 784, 0.06, STILL)), (0.12, 0.12, 0.12)),
    (4, "inconclusive", overcomplete((WIDE, 784, 0.06, FALLING), (LINEAR, 784, 0.06, FALLING)), None),
    (4, "inconclusive", overcomplete((WIDE, 784, 0.06, FALLING), (LINEAR, 784, 0.06, STILL)), None),
    (4, "inconclusive", overcomplete((WIDE, 784, 0.06, (0.3,)), (LINEAR, 784, 0.06, (0.3,))), None),
    (4, "not_tested", overcomplete(), None),
    (5, "supported", passing((WIDE, 0.81), (LINEAR, 0.99)), (0.9, 0.81, 0.99)),
    (5, "partly", passing((WIDE, 0.79), (LINEAR, 0.99)), (0.89, 0.79, 0.99)),
    (5, "contradicted", passing((WIDE, 0.79), (LINEAR, 0.77)), (0.78, 0.77, 0.79)),
    (5, "partly", passing((WIDE, 0.2), (LINEAR, 0.99), error=0.06), (0.99, 0.99, 0.99)),
    (5, "contradicted", passing((WIDE, 0.99), (LINEAR, 0.2), error=0.06), (0.2, 0.2, 0.2)),
    (5, "not_tested", passing((WIDE, 0.2), error=0.06), None),
    (8, "supported", linear((0.2, 1.001), (4.0, 1.01)), (4.0,)),
    (8, "partly", linear((40.0, 1.001), (0.2, 1.001)), (40.0,)),
    (8, "partly", linear((4.0, 1.03)), (4.0,)),
    (8, "contradicted", linear((40.0, 1.1)), (40.0,)),
    (8, "inconclusive", linear((5.0, 1.001)), (5.0,)),
    (9, "supported", with_pca((0.8, 0.81), (0.5, 0.51)), (math.sqrt(0.8 * 0.81),)),
    (9, "partly", with_pca((0.8, 0.81), (0.5, 0.51), no_relu=0.9), (math.sqrt(0.8 * 0.81),)),
    (9, "partly", with_pca((0.8, 0.81), (1.5, 1.51)), (math.sqrt(1.5 * 1.51),)),
    (9, "inconclusive", with_pca((0.8, 0.81), (0.9, 1.05)), (math.sqrt(0.9 * 1.05),)),
    (9, "inconclusive", with_pca((0.8, 0.81), no_relu=1.0), (math.sqrt(0.8 * 0.81),)),
    (9, "contradicted", with_pca((1.2, 1.21), no_relu=0.9), (math.sqrt(1.2 * 1.21),)),
    (18, "supported", without_norm((0.9, 0.8), (0.9, 0.8)), (0.9 / 0.8,)),
    (18, "contradicted", without_norm((1.1, 1.2), (1.1, 1.2)), (1.1 / 1.2,)),
    (18, "partly", without_norm((1.2, 1.1), (1.1, 1.2)), (1.2 / 1.1,)),
    (18, "inconclusive", without_norm((1.2, 1.1), (1.0, 1.0)), (1.2 / 1.1,)),
    (18, "not_tested", ablations(table1_no_batch_norm=1.2), None),
    (19, "supported", penalties(0.98, 1.0, 1.0), (1 / 0.98,)),
    (19, "partly", penalties(1.0, 1.0, 0.98), (1.0,)),
    (19, "contradicted", penalties(1.0, 1.0, 1.0), (1.0,)),
    (19, "contradicted", penalties(1.003, 1.0, 1.0), (1 / 1.003,)),
    (19, "contradicted", penalties(1.0, 1.0, 1.0, chance=0.05), None),
    (19, "contradicted", penalties(1.0, 1.0, 0.93, chance=0.05), None),
    (19, "contradicted", penalties(1.02, 0.9, 0.9), (1 / 1.02,)),
    (19, "inconclusive", penalties(1.0, 1.0, 1.0, chance=0.15), None),
    (19, "inconclusive", penalties(1.0, 1.0, 0.77, chance=0.15), None),
    (19, "not_tested", the_same("table1_adam_l2_1e-05", "table1_adam_l2_0"), None),
    (24, "supported", kernels(1.02, 1.1), (1.02,)),
    (24, "partly", kernels(1.02, 1.5), (1.02,)),
    (24, "partly", kernels(1.2, 1.1), (1.2,)),
    (24, "contradicted", kernels(1.2, 1.5), (1.2,)),
    (24, "contradicted", kernels(0.8, 0.5), (0.8,)),
    (24, "inconclusive", kernels(1.05, 1.1), (1.05,)),
    (24, "not_tested", ablations(table1_kernel_5=1.0), None),
    (24, "not_tested", one_epoch(kernels(1.02, 1.1)), None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "verdict", "tables", "measured"), CASES, ids=[f"{number}-{verdict}" for number, verdict, *_ in CASES]
)
def test_judge_of_capacity_measures_what_its_claim_is_about_and_decides_by_its_bound(
    number: int, verdict: str, tables: dict[str, pd.DataFrame], measured: tuple[float, ...] | None
) -> None:
    found = answer(number, **tables)
    assert found.verdict == verdict, found.reason
    if measured is not None:
        assert found.measured is not None
        values = (found.measured.value, found.measured.low, found.measured.high)
        for value, expected in zip(values, measured, strict=False):
            assert value == pytest.approx(expected, rel=1e-3)


def test_reasons_tell_of_the_untuned_run_and_of_what_is_equal_to_the_last_bit() -> None:
    found = answer(8, **linear((0.2, 1.001), (4.0, 1.01))).reason
    assert "below 1.020 of PCA's; the greatest is 1.0102" in found
    assert "Adam's usual 0.001: up to 40.00 degrees and 1.5000" in found
    both = answer(5, **passing((WIDE, 0.81), (LINEAR, 0.99))).measured
    assert both is not None
    assert both.n == 2, "models, not levels of noise"
    shares = answer(5, **passing((LINEAR, 0.9), (LINEAR, 0.99), error=0.06)).reason
    assert "linear_overcomplete, zeroed: 0.90 to 0.99" in shares
    assert "the least ratio is 0.50" in answer(9, **with_pca((0.8, 0.81), (0.5, 0.51))).reason
    assert "As noisy is 0.8 or more" in answer(5, **passing((WIDE, 0.81), (LINEAR, 0.99))).reason
    unchanged = answer(19, **the_same("table1_adam_l2_1e-05", "table1_adam_l2_0"))
    assert unchanged.reason.startswith("The change changed nothing: 5 of 5 pairs")
    assert answer(24, **one_epoch(kernels(1.02, 1.1))).reason == "This run has no second epoch of an ablation."
    falling = answer(
        4, **overcomplete((WIDE, 784, 0.06, FALLING), (LINEAR, 784, 0.04, STILL), (LINEAR, 1024, 0.06, STILL))
    )
    told = "wide_autoencoder 784: 0.120 and still falling, linear_overcomplete 784: 0.080, linear_overcomplete 1024:"
    assert f"{told} 0.120 at a plateau" in falling.reason


def test_epochs_are_those_until_the_worse_of_two_networks_errors_with_fractions() -> None:
    # Kernels of 3 are at 2 ** -(4 / 1.5) after 2.667 epochs, those of 5 after 4: 1.5, but for what seeds make of it.
    assert "Epochs: 1.5002 (1.5000 to 1.5003)" in answer(24, **kernels(1.0, 1.5)).reason


def p_of(*gaps: float) -> float:
    """Of the test behind the verdict on the penalty."""
    test = answer(19, **penalties(*gaps)).test
    assert test is not None
    assert test.p is not None
    return test.p


def test_p_of_the_stronger_penalties_is_the_least_of_those_that_help_times_two() -> None:
    second, third = p_of(1.0, 0.98, 1.0), p_of(1.0, 1.0, 0.95)
    assert p_of(1.0, 0.98, 0.95) == min(second, third) < max(second, third)
    # The pairs are thousandths above and below 1 / .98, by turns.
    pairs = [math.log(1 / (0.98 * (1 + 0.001 * (-1) ** seed))) for seed in range(5)]
    assert second == pytest.approx(2 * ttest_1samp(pairs, 0).pvalue)


def test_of_several_tests_the_greatest_p_counts_among_those_that_decide() -> None:
    yes, no, unsure = (
        Outcome("supported", 0.01, 0.3),
        Outcome("contradicted", 0.02, 0.1),
        Outcome("inconclusive", 0.4),
    )
    assert _every([yes, Outcome("supported", 0.03, 0.2)]) == Outcome("supported", 0.03, 0.3)
    assert _every([yes, unsure]) == Outcome("inconclusive", 0.4, 0.3)
    assert _every([yes, no, unsure]) == Outcome("partly", 0.02, 0.3)
    assert _every([no]) == no
    assert _every([Outcome("inconclusive")]) == Outcome("inconclusive")
