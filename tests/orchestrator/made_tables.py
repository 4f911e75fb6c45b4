"""Tables of a few rows for the judges of claims, each with what a claim looks at and something that it must not."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

Rows = Sequence[dict[str, Any]]


def table(rows: Rows, **same: Any) -> pd.DataFrame:
    return pd.DataFrame([same | row for row in rows])


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


def zeroed_levels(*levels: float) -> dict[str, pd.DataFrame]:
    return {"denoising": table([{"level": level} for level in levels], noise="zeroed")}


def ranks(*values: float) -> dict[str, pd.DataFrame]:
    rows = [{"spearman_zero_fraction": value, "partial_spearman_zero_fraction": -value} for value in values]
    return {"denoising_correlations": table(rows, noise="zeroed", model="best")}
