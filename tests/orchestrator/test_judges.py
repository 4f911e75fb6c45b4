"""What judges measure and where their bounds lie, each on a table of a few rows, by numbers reckoned by hand."""

import math

import pandas as pd
import pytest

from orchestrator.claims import CLAIMS
from orchestrator.claims.claim import Answer
from tests.orchestrator.made_tables import (
    ablations,
    after_gaussian_noise,
    classifiers,
    folds,
    gains,
    images,
    improved,
    kernels,
    knn,
    layers,
    mistakes,
    models,
    overcomplete,
    passed,
    pca_ratios,
    plane,
    planes,
    ranks,
    table,
    targets,
    trials,
    tuned,
    zeroed_levels,
)

NONE = (None, None)


def answer(number: int, **tables: pd.DataFrame) -> Answer:
    """What the judge of a claim says."""
    (found,) = [claim for claim in CLAIMS if claim.number == number]
    return found.answer(tables)


MARGIN = 1.96 * math.sqrt((0.8 * 0.2 + 0.7 * 0.3) / 100)
HALF_T = 12.706204736432095 / 2
"""Of a t interval of two values that differ by 1, half its width: t(.975; 1) times their deviation over sqrt(2)."""
FIVE = ("Conv2d",) * 3 + ("Linear",) * 2
CASES: list[tuple[int, str, dict[str, pd.DataFrame], tuple[float | None, ...] | None]] = [
    (3, "supported", knn(0.82, 0.85), (-0.03,)),
    (3, "contradicted", knn(0.75, 0.85), (-0.10,)),
    (3, "inconclusive", knn(0.80, 0.85), (-0.05,)),
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
    (10, "supported", planes(tsne=0.8, autoencoder=0.2, pca=0.9), (0.6,)),
    (10, "contradicted", planes(tsne=0.2, autoencoder=0.8, pca=0.1), (-0.6,)),
    (10, "inconclusive", planes(tsne=0.8, autoencoder=0.7), (0.1, 0.1 - MARGIN, 0.1 + MARGIN)),
    (15, "supported", images(50_000, 10_000, [1000] * 10), (60_000,)),
    (15, "partly", images(50_000, 10_000, [999, 1001] + [1000] * 8), (60_000,)),
    (15, "partly", images(40_000, 10_000, [1000] * 10), (50_000,)),
    (16, "supported", folds(6, 20), (10, 10, 10)),
    (17, "supported", layers(*FIVE, "Linear", "ConvTranspose2d"), (5,)),
    (17, "contradicted", layers("Conv2d", "Conv2d", *FIVE), (5,)),
    (18, "contradicted", ablations(table1_no_batch_norm=(0.5, 1.0, 2.0)), (0.5, 0.5, 0.5)),
    (19, "supported", ablations(table1_weight_decay_0=(1.5, 3.0, 6.0)), (1.5, 1.5, 1.5)),
    (19, "contradicted", ablations(table1_weight_decay_0=(0.5, 1.0, 2.0)), (0.5, 0.5, 0.5)),
    (19, "contradicted", ablations(table1_weight_decay_0=(1.005, 2.01, 4.02)), (1.005, 1.005, 1.005)),
    (19, "supported", ablations(table1_weight_decay_0=(1.05, 2.1, 4.2)), (1.05, 1.05, 1.05)),
    (19, "inconclusive", ablations(table1_weight_decay_0=(1.5, 1.0, 5.0)), None),
    (20, "supported", tuned(), (7,)),
    (20, "partly", tuned(params_optimizer="adam"), (6,)),
    (21, "supported", trials(20, 5), (20,)),
    (21, "partly", trials(20, 2), (20,)),
    (21, "partly", trials(8, 5), (8,)),
    (22, "supported", trials(3, 5, latent_dim=14), (14,)),
    (22, "contradicted", trials(3, 5, latent_dim=15), (15,)),
    (23, "supported", plane(0.9, 0.5), (0.9,)),
    (23, "partly", plane(0.89, 0.99), (0.89,)),
    (24, "supported", kernels(0.99, 0.99, 0.99), (0.99, 0.99, 0.99)),
    (24, "contradicted", kernels(0.94, 0.94, 0.94), (0.94, 0.94, 0.94)),
    (24, "contradicted", kernels(1.06, 1.06, 1.06), (1.06, 1.06, 1.06)),
    (25, "supported", folds(6, 20), (6,)),
    (25, "partly", folds(6, 2), (6,)),
    (25, "partly", folds(5, 20), (5,)),
    (26, "supported", folds(2, 20, test_mse=(1.0, 2.0)), (1.5, 1.5 - HALF_T, 1.5 + HALF_T)),
    (27, "supported", classifiers(latent_cnn=(0.8, 0.8), latent_linear=(0.7, 0.7), raw_cnn=(0.1,)), (0.8, 0.8, 0.8)),
    (27, "contradicted", classifiers(latent_cnn=(0.6,), latent_linear=(0.7,), raw_cnn=(0.9,)), (0.6, *NONE)),
    (28, "supported", classifiers(latent_cnn=(0.75, 0.5), raw_cnn=(1.0, 0.75), raw_mlp=(0.1,)), (0.25,) * 3),
    (28, "partly", classifiers(49, latent_cnn=(0.75,), raw_cnn=(1.0,)), (0.25, *NONE)),
    (29, "supported", targets(latent=(2, 8, None), raw=(1, 2, 5)), (4.0,)),
    (29, "not_tested", targets(latent=(None, None, None), raw=(1, 2, 5)), None),
    (30, "supported", planes(autoencoder=0.8, pca=0.2, tsne=0.9), (0.6,)),
    (30, "contradicted", planes(autoencoder=0.2, pca=0.8, tsne=0.1), (-0.6,)),
    (31, "supported", mistakes((0, 0, 90), (0, 6, 6), (5, 7, 3), (0, 9, 1)), (0.95, 0.9, 1.0)),
    (31, "partly", mistakes((0, 0, 90), (0, 6, 1), (0, 9, 9)), (0.55, 0.1, 1.0)),
    (38, "supported", models(best=0.02, table1=0.02), (1.0,)),
    (38, "contradicted", models(best=0.01, table1=0.02), (0.5,)),
    (38, "inconclusive", models(best=0.0196, table1=0.02), (0.98,)),
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


def test_table_1_is_as_printed_by_what_convolutions_take_and_transposed_ones_are_given() -> None:
    from orchestrator.stages.refit.layers import layer_table
    from trainables.autoencoder import build
    from trainables.autoencoder_settings import PAPER_TABLE1

    rows = layer_table(build(PAPER_TABLE1, seed=0))
    found = answer(39, layers=table(rows, model="paper_table1"))
    assert (found.verdict, found.measured and found.measured.value) == ("partly", 14_068)
    for change in ({"filters": (7, 10, 17)}, {"neurons": 33}, {"kernel_size": 5}):
        other = layer_table(build(PAPER_TABLE1.model_copy(update=change), seed=0))
        assert answer(39, layers=table(other, model="paper_table1")).verdict == "contradicted"
