"""Tables of a few rows for the judges of claims, each with what a claim looks at and something that it must not."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

Rows = Sequence[dict[str, Any]]


def table(rows: Rows, **same: Any) -> pd.DataFrame:
    return pd.DataFrame([same | row for row in rows])


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


def tuning(distances: Sequence[float]) -> dict[str, pd.DataFrame]:
    """Of both games alike."""
    rows = [{"loss": loss, "val_frechet_distance": it} for loss in ("minimax", "non_saturating") for it in distances]
    return {"gan_trials": table(rows, state="complete")}


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


def games(*seconds: float, state: str = "complete", **columns: Any) -> dict[str, pd.DataFrame]:
    rows = [{"seed": seed, "seconds": value} for seed, value in enumerate(seconds)]
    same = {"loss": "non_saturating", "num_workers": 2, "epochs": 10, "frechet_distance": 1.0}
    return {"gans": table(rows, state=state, **same).assign(**columns)}


def zeroed_levels(*levels: float) -> dict[str, pd.DataFrame]:
    return {"denoising": table([{"level": level} for level in levels], noise="zeroed")}


def ranks(*values: float) -> dict[str, pd.DataFrame]:
    rows = [{"spearman_zero_fraction": value, "partial_spearman_zero_fraction": -value} for value in values]
    return {"denoising_correlations": table(rows, noise="zeroed", model="best")}
