"""What judges measure and where their bounds lie, each on a table of a few rows, by numbers reckoned by hand."""

import pandas as pd
import pytest

from orchestrator.claims import CLAIMS
from orchestrator.claims.claim import Answer
from tests.orchestrator.made_tables import (
    ablations,
    after_gaussian_noise,
    folds,
    gains,
    games,
    gradient,
    improved,
    kernels,
    losses,
    overcomplete,
    passed,
    pca_ratios,
    played,
    ranks,
    tuning,
    zeroed_levels,
)

NONE = (None, None)


def answer(number: int, **tables: pd.DataFrame) -> Answer:
    """What the judge of a claim says."""
    (found,) = [claim for claim in CLAIMS if claim.number == number]
    return found.answer(tables)


HALF_T = 12.706204736432095 / 2
"""Of a t interval of two values that differ by 1, half its width: t(.975; 1) times their deviation over sqrt(2)."""
CASES: list[tuple[int, str, dict[str, pd.DataFrame], tuple[float | None, ...] | None]] = [
    (4, "supported", overcomplete([(784, 0.01), (1024, 0.02)], (14, 0.5), (2, 0.9), (64, 0.01)), (0.03, 0.02, 0.04)),
    (4, "contradicted", overcomplete([(784, 0.3), (14, 0.01)], (14, 0.5)), (0.6, 0.6, 0.6)),
    (4, "partly", overcomplete([(784, 0.04), (1024, 0.3)], (14, 0.5)), (0.34, 0.08, 0.6)),
    (5, "supported", passed(0.85, 0.9), (0.875, 0.85, 0.9)),
    (5, "partly", passed(0.75, 0.9), (0.825, 0.75, 0.9)),
    (6, "supported", gains(best=[(0.1, 0.3), (0.1, 0.2)]), (1.0, *NONE)),
    (6, "partly", gains(best=[(-0.1, 0.3), (0.1, 0.2)], paper_table1=[(1, 2), (1, 2)]), (0.5, *NONE)),
    (6, "contradicted", gains(best=[(-0.1, 0.3), (-0.1, 0.2)]), (0.0, *NONE)),
    (9, "supported", pca_ratios((2, 0.8), (2, 0.8), (14, 0.9), (14, 0.9)), (0.85, 0.8, 0.9)),
    (9, "contradicted", pca_ratios((2, 1.2), (14, 1.3)), (1.25, 1.2, 1.3)),
    (9, "partly", pca_ratios((2, 0.8), (14, 1.3)), (1.05, 0.8, 1.3)),
    (9, "partly", pca_ratios((2, 0.5), (2, 0.5), (14, 0.85), (14, 0.95)), (0.7, 0.5, 0.95)),
    (11, "partly", losses((1, 5.0, 7.0), (2, 1.5, 8.0)), (1.5, *NONE)),
    (12, "inconclusive", gradient(0.9), (0.8,)),
    (12, "partly", gradient(0.15), (0.05,)),
    (14, "supported", played(minimax="complete", non_saturating="complete"), (2.0,)),
    (14, "partly", played(minimax="complete", non_saturating="failed"), (1.0,)),
    (18, "contradicted", ablations(table1_no_batch_norm=(0.5, 1.0, 2.0)), (0.5, 0.5, 0.5)),
    (19, "supported", ablations(table1_weight_decay_0=(1.5, 3.0, 6.0)), (1.5, 1.5, 1.5)),
    (19, "contradicted", ablations(table1_weight_decay_0=(0.5, 1.0, 2.0)), (0.5, 0.5, 0.5)),
    (19, "contradicted", ablations(table1_weight_decay_0=(1.005, 2.01, 4.02)), (1.005, 1.005, 1.005)),
    (19, "supported", ablations(table1_weight_decay_0=(1.05, 2.1, 4.2)), (1.05, 1.05, 1.05)),
    (19, "inconclusive", ablations(table1_weight_decay_0=(1.5, 1.0, 5.0)), None),
    (24, "supported", kernels(0.99, 0.99, 0.99), (0.99, 0.99, 0.99)),
    (24, "contradicted", kernels(0.94, 0.94, 0.94), (0.94, 0.94, 0.94)),
    (24, "contradicted", kernels(1.06, 1.06, 1.06), (1.06, 1.06, 1.06)),
    (25, "supported", folds(6, 20), (6,)),
    (25, "partly", folds(6, 2), (6,)),
    (25, "partly", folds(5, 20), (5,)),
    (26, "supported", folds(2, 20, test_mse=(1.0, 2.0)), (1.5, 1.5 - HALF_T, 1.5 + HALF_T)),
    (32, "contradicted", tuning([0.8, 1.0, 1.0, 9.0]), (0.8,)),
    (32, "inconclusive", tuning([0.95, 1.0, 1.0, 9.0]), (0.95,)),
    (32, "not_tested", tuning([0.8, 1.0]), None),
    (34, "supported", games(60.0, 70.0) | folds(1, 20), (13.0,)),
    (34, "inconclusive", games(40.0) | folds(1, 20), (8.0,)),
    (34, "contradicted", games(20.0) | folds(1, 20), (4.0,)),
    (35, "supported", games(1, 1, 1, frechet_distance=[1.0, 1.01, 0.99]), (0.01,)),
    (35, "contradicted", games(1, 1, 1, 1, 1, 1, frechet_distance=[1.0, 5.0, 1.0, 5.0, 1.0, 5.0]), None),
    (35, "inconclusive", games(1, 1, frechet_distance=[1.0, 1.2]), None),
    (40, "contradicted", folds(6, 20, val_mse=[1.0, 1.3, 1.0, 1.3, 1.0, 1.3]), None),
    (44, "supported", folds(2, 20, val_mse=(0.02, 0.02), train_mse=(0.02, 0.02)), (0.0, 0.0, 0.0)),
    (44, "contradicted", folds(2, 20, val_mse=(0.03, 0.03), train_mse=(0.02, 0.02)), (0.5, 0.5, 0.5)),
    (44, "supported", folds(2, 20, val_mse=(0.01, 0.01), train_mse=(0.02, 0.02)), (-0.5, -0.5, -0.5)),
    (45, "supported", zeroed_levels(0.1, 0.2, 0.3, 0.4, 0.5, 0.7), (6,)),
    (45, "partly", zeroed_levels(0.1, 0.2, 0.3), (3,)),
    (46, "supported", gains(best=[(0.1, 0.3), (0.2, 0.5)], paper_table1=[(0.1, 0.3), (0.2, 0.3)]), (0.2, 0.1, 0.3)),
    (46, "partly", gains(best=[(0.1, 0.3), (0.2, 0.5)], paper_table1=[(-0.1, 0.3), (0.2, 0.3)]), (0.2, 0.1, 0.3)),
    (46, "contradicted", gains(best=[(-0.1, 0.3)], paper_table1=[(-0.1, 0.3)]), (0.1, -0.1, 0.3)),
    (47, "supported", improved(0.3, 0.999), (0.3, 0.3, 0.999)),
    (47, "contradicted", improved(0.995, 1.0), (0.995, 0.995, 1.0)),
    (47, "contradicted", improved(0.005, 0.0), (0.005, 0.0, 0.005)),
    (48, "supported", ranks(-0.7, -0.5), (-0.6, -0.7, -0.5)),
    (48, "partly", ranks(-0.7, 0.1), (-0.3, -0.7, 0.1)),
    (48, "contradicted", ranks(0.5, 0.7), (0.6, 0.5, 0.7)),
    (51, "supported", after_gaussian_noise([0.2, 0.4], [0.1, 0.1]), (0.375, 0.25, 0.5)),
    (51, "contradicted", after_gaussian_noise([0.1, 0.1], [0.2, 0.4]), (3.0, 2.0, 4.0)),
    (51, "partly", after_gaussian_noise([0.1, 0.2], [0.2, 0.1]), (1.25, 0.5, 2.0)),
]  # fmt: skip


# Of values that are all alike, scipy warns that their deviation is as good as none.
@pytest.mark.filterwarnings("ignore:Precision loss:RuntimeWarning")
@pytest.mark.parametrize(
    ("number", "verdict", "tables", "measured"), CASES, ids=[f"{number}-{verdict}" for number, verdict, *_ in CASES]
)
def test_judge_measures_what_its_claim_is_about_and_decides_by_its_bound(
    number: int, verdict: str, tables: dict[str, pd.DataFrame], measured: tuple[float | None, ...] | None
) -> None:
    found = answer(number, **tables)
    assert found.verdict == verdict, found.reason
    if measured is not None:
        values = (
            (found.measured.value, found.measured.low, found.measured.high) if found.measured else (found.seconds,)
        )
        for value, expected in zip(values, measured, strict=False):
            assert value == (expected if expected is None else pytest.approx(expected))
