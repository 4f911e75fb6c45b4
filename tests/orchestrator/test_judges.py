"""What judges measure and where their bounds lie, each on a table of a few rows, by numbers reckoned by hand."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest

from orchestrator.claims import CLAIMS
from orchestrator.claims.claim import Answer

Rows = Sequence[dict[str, Any]]
NONE = (None, None)


def table(rows: Rows, **same: Any) -> pd.DataFrame:
    return pd.DataFrame([same | row for row in rows])


def answer(number: int, **tables: pd.DataFrame) -> Answer:
    """What the judge of a claim says."""
    (found,) = [claim for claim in CLAIMS if claim.number == number]
    return found.answer(tables)


def knn(latent: float, raw: float) -> dict[str, pd.DataFrame]:
    """Of 10,000 test images; other classifiers are there that are not asked for."""
    rows = [
        {"input": given, "architecture": architecture, "test_accuracy": value - 0.5 * (architecture == "cnn")}
        for given, value in (("latent", latent), ("raw", raw))
        for architecture in ("knn", "cnn")
    ]
    counts = [{"input": given, "architecture": "knn", "count": 5_000} for given in ("raw", "raw", "latent")]
    return {"classifiers": table(rows, state="complete"), "confusion": table(counts)}


def overcomplete(wide: Sequence[tuple[int, float]], *narrow: tuple[int, float]) -> dict[str, pd.DataFrame]:
    """By latent size, errors of autoencoders without and with a narrow layer."""
    rows = [
        {"method": method, "latent_dim": size, "test_mse": error}
        for method, errors in (("wide_autoencoder", wide), ("autoencoder", narrow))
        for size, error in errors
    ]
    return {"reconstruction": table(rows, state="complete", epochs=8), "identity": table([{"latent_dim": 784}])}


def passed(*shares: float) -> dict[str, pd.DataFrame]:
    return {"identity": table([{"noise_passed": share} for share in shares], latent_dim=784)}


def gradient(size: float) -> dict[str, pd.DataFrame]:
    """Of minimax's loss where d(g(z)) is .1 and d(x) is .9."""
    return {"gan_epochs": table([{"loss": "minimax", "d_fake": 0.1, "d_real": 0.9, "g_logit_grad": size}])}


def played(**states: str) -> dict[str, pd.DataFrame]:
    return {"gans": table([{"loss": loss, "state": state} for loss, state in states.items()])}


def pca_ratios(*ratios: tuple[int, float]) -> dict[str, pd.DataFrame]:
    """By latent size, of seeds 1, 2, ... each."""
    rows = [
        {"latent_dim": size, "pca_ratio": ratio, "seed": sum(other == size for other, _ in ratios[:number])}
        for number, (size, ratio) in enumerate(ratios)
    ]
    return {"reconstruction": table(rows, method="autoencoder", state="complete")}


def planes(**accuracies: float) -> dict[str, pd.DataFrame]:
    """Of 100 images."""
    rows = [{"method": method, "knn_accuracy": value} for method, value in accuracies.items()]
    return {"embeddings": table(rows, num_points=100, trustworthiness=0.95, continuity=0.5)}


def losses(*rows: tuple[int, float, float]) -> dict[str, pd.DataFrame]:
    """Of minimax: epoch, the discriminator's, the generator's; the other game has 3 and 9 after its second epoch."""
    names = ("epoch", "d_loss", "g_loss")
    told = [{"loss": "minimax"} | dict(zip(names, row, strict=True)) for row in rows]
    return {"gan_epochs": table([*told, {"loss": "non_saturating", "epoch": 2, "d_loss": 3.0, "g_loss": 9.0}])}


def gains(**ends: Sequence[tuple[float, float]]) -> dict[str, pd.DataFrame]:
    """Of models, at zeroed pixels of levels .1, .2, ...: both ends of the gain's interval."""
    rows = [
        {"model": model, "level": (number + 1) / 10, "gain": (low + high) / 2, "gain_low": low, "gain_high": high}
        for model, of_model in ends.items()
        for number, (low, high) in enumerate(of_model)
    ]
    return {"denoising": table(rows, noise="zeroed", noisy_mse=0.1)}


def improved(*shares: float) -> dict[str, pd.DataFrame]:
    rows = [{"level": (number + 1) / 10, "fraction_improved": share} for number, share in enumerate(shares)]
    return {"denoising": table(rows, noise="zeroed", model="best")}


def after_gaussian_noise(best: Sequence[float], trained: Sequence[float]) -> dict[str, pd.DataFrame]:
    rows = [
        {"model": model, "level": (number + 1) / 10, "reconstructed_mse": error}
        for model, errors in (("best", best), ("denoise_gaussian", trained))
        for number, error in enumerate(errors)
    ]
    return {"denoising": table(rows, noise="gaussian_unclipped")}


def images(num_train: int, num_val: int, of_each: Sequence[int]) -> dict[str, pd.DataFrame]:
    labels = [label for label, number in enumerate(of_each) for _ in range(number)]
    points = [{"index": index, "label": label} for index, label in enumerate(labels)]
    rows = [{"fold": 0, "num_train": num_train, "num_val": num_val}]
    return {"folds": table(rows), "denoising_images": table([*points, *points])}


def layers(*kinds: str) -> dict[str, pd.DataFrame]:
    rows = [{"model": model, "kind": kind} for model in ("best", "paper_table1") for kind in kinds]
    return {"layers": table(rows).assign(kind=lambda it: it["kind"].where(it["model"] == "paper_table1", "Linear"))}


def ablations(**errors: Sequence[float]) -> dict[str, pd.DataFrame]:
    """By seed; Table 1's are 1, 2, 4."""
    of_all = {"table1": (1.0, 2.0, 4.0), "table1_weight_decay_0.01": (2.0, 4.0, 8.0), **errors}
    rows = [
        {"method": method, "seed": seed, "test_mse": error}
        for method, of_method in of_all.items()
        for seed, error in enumerate(of_method)
    ]
    return {"reconstruction": table(rows, state="complete")}


def kernels(*ratios: float) -> dict[str, pd.DataFrame]:
    return ablations(table1_kernel_5=[one * ratio for one, ratio in zip((1.0, 2.0, 4.0), ratios, strict=True)])


def trials(number: int, epochs: int, latent_dim: int = 14) -> dict[str, pd.DataFrame]:
    return {"trials": table([{"epochs": epochs, "params_latent_dim": latent_dim}] * number, state="complete")}


def tuned(**same: Any) -> dict[str, pd.DataFrame]:
    """Two trials that differ in every parameter but these."""
    names = ("filters1", "filters2", "filters3", "neurons", "latent_dim", "optimizer", "learning_rate")
    return {"trials": table([{f"params_{name}": value for name in names} for value in (1, 2)]).assign(**same)}


def tuning(distances: Sequence[float]) -> dict[str, pd.DataFrame]:
    """Of both games alike."""
    rows = [{"loss": loss, "val_frechet_distance": it} for loss in ("minimax", "non_saturating") for it in distances]
    return {"gan_trials": table(rows, state="complete")}


def plane(trustworthiness: float, continuity: float) -> dict[str, pd.DataFrame]:
    found = planes(autoencoder=0.7, pca=0.5)["embeddings"]
    return {"embeddings": found.assign(trustworthiness=[trustworthiness, 0.1], continuity=[continuity, 0.1])}


def models(best: float, table1: float) -> dict[str, pd.DataFrame]:
    sizes = {f"params_{name}": 3 for name in ("filters1", "filters2", "filters3", "neurons", "latent_dim")}
    rows = [{"model": "best", "test_mse": best}, {"model": "paper_table1", "test_mse": table1}]
    return {"models": table(rows, state="complete", **sizes), "trials": table([{"state": "complete"}])}


def folds(number: int, epochs: int, **columns: Sequence[float]) -> dict[str, pd.DataFrame]:
    """The first seed's, then one fold of another seed whose values are far off."""
    values = {"val_mse": [0.02] * number, "test_mse": [0.03] * number, "train_mse": [0.02] * number, **columns}
    rows = [{"fold": fold, "seed": 1} | {name: of[fold] for name, of in values.items()} for fold in range(number)]
    rows.append({"fold": 0, "seed": 2} | dict.fromkeys(values, 9.0))
    same = {"order": "sequential", "state": "complete", "num_val": 10, "num_train": 50}
    return {
        "folds": table(rows, seconds=100.0, **same),
        "fold_epochs": table([{"epoch": epochs}], order="sequential"),
    }


def classifiers(epochs: int = 50, **accuracies: Sequence[float]) -> dict[str, pd.DataFrame]:
    """By input and architecture, as in latent_cnn, of seeds 1, 2, ..."""
    rows = [
        dict(zip(("input", "architecture"), pair.split("_"), strict=True)) | {"test_accuracy": value, "seed": seed}
        for pair, values in accuracies.items()
        for seed, value in enumerate(values, start=1)
    ]
    return {"classifiers": table(rows, state="complete", epochs=epochs)}


def targets(**epochs: Sequence[float | None]) -> dict[str, pd.DataFrame]:
    """Of the CNNs, to accuracies .7, .8, .9; a second seed's are others."""
    rows = [
        {"input": given, "accuracy": 0.7 + number / 10, "epoch": epoch, "seed": seed}
        for given, of_input in epochs.items()
        for seed in (1, 2)
        for number, epoch in enumerate(of_input if seed == 1 else (1, 1, 1))
    ]
    return {"classifier_targets": table(rows, architecture="cnn")}


def mistakes(*counts: tuple[int, int, int]) -> dict[str, pd.DataFrame]:
    """How many of a class are taken for another, by PCA; t-SNE takes ten of class 0 for class 6."""
    rows = [{"method": "pca", "label": label, "predicted": other, "count": number} for label, other, number in counts]
    rows.append({"method": "tsne", "label": 0, "predicted": 6, "count": 10})
    return {"embedding_confusion": table(rows)}


def games(*seconds: float, state: str = "complete", **columns: Any) -> dict[str, pd.DataFrame]:
    rows = [{"seed": seed, "seconds": value} for seed, value in enumerate(seconds)]
    same = {"loss": "non_saturating", "num_workers": 2, "epochs": 10, "frechet_distance": 1.0}
    return {"gans": table(rows, state=state, **same).assign(**columns)}


def zeroed_levels(*levels: float) -> dict[str, pd.DataFrame]:
    return {"denoising": table([{"level": level} for level in levels], noise="zeroed")}


def ranks(*values: float) -> dict[str, pd.DataFrame]:
    rows = [{"spearman_zero_fraction": value, "partial_spearman_zero_fraction": -value} for value in values]
    return {"denoising_correlations": table(rows, noise="zeroed", model="best")}


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
    (11, "partly", losses((1, 5.0, 7.0), (2, 1.5, 8.0)), (1.5, *NONE)),
    (12, "inconclusive", gradient(0.9), (0.8,)),
    (12, "partly", gradient(0.15), (0.05,)),
    (14, "supported", played(minimax="complete", non_saturating="complete"), (2.0,)),
    (14, "partly", played(minimax="complete", non_saturating="failed"), (1.0,)),
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
    (32, "contradicted", tuning([0.8, 1.0, 1.0, 9.0]), (0.8,)),
    (32, "inconclusive", tuning([0.95, 1.0, 1.0, 9.0]), (0.95,)),
    (32, "not_tested", tuning([0.8, 1.0]), None),
    (34, "supported", games(60.0, 70.0) | folds(1, 20), (13.0,)),
    (34, "inconclusive", games(40.0) | folds(1, 20), (8.0,)),
    (34, "contradicted", games(20.0) | folds(1, 20), (4.0,)),
    (35, "supported", games(1, 1, 1, frechet_distance=[1.0, 1.01, 0.99]), (0.01,)),
    (35, "contradicted", games(1, 1, 1, 1, 1, 1, frechet_distance=[1.0, 5.0, 1.0, 5.0, 1.0, 5.0]), None),
    (35, "inconclusive", games(1, 1, frechet_distance=[1.0, 1.2]), None),
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
