"""The best numbers that others published on FashionMNIST, beside a run's: met or missed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from orchestrator.claims.claim import Tables

PARAMETRIC_UMAP = "timsainb/ParametricUMAP_paper"
FOURNIER = "Fournier and Aloise 2021, arXiv 2103.04874"
AUTHOR = "author's repository"
OSAKE = "OSAKE-0"
ZALANDO = "zalandoresearch/fashion-mnist"
LUCIC = "Lucic et al. 2018, arXiv 1711.10337"


@dataclass(frozen=True)
class Anchor:
    """A published number, and where a run has the like of it."""

    quantity: str
    published: float
    source: str
    better: Literal["lower", "higher"]
    table: str
    column: str
    rows: Mapping[str, Any]
    """Values of other columns; ours is the mean over the rows that have them and were finished."""

    def ours(self, tables: Tables) -> float | None:
        """The run's; None where it has none."""
        table = tables.get(self.table)
        if table is None or table.empty or self.column not in table:
            return None
        for name, value in self.rows.items():
            if name in table:
                table = table[table[name] == value]
        if "state" in table:
            table = table[table["state"].isna() | (table["state"] == "complete")]  # PCA is no training
        value = table[self.column].mean()
        return float(value) if pd.notna(value) else None

    def met(self, ours: float) -> bool:
        """Whether a number is as good as the published one."""
        return ours <= self.published if self.better == "lower" else ours >= self.published


def _error(size: int, published: float, source: str, of: str = "autoencoder", ours: int = 0) -> Anchor:
    """Of reconstructions; `ours` is the latent size that stands beside it, where it is another."""
    note = f" (here {ours})" if ours else ""
    where = {"method": of, "latent_dim": ours or size}
    words = f"test MSE, {'PCA, ' if of == 'pca' else ''}{size} numbers{note}"
    return Anchor(words, published, source, "lower", "reconstruction", "test_mse", where)


def _codes(size: int, published: float, of: str = "autoencoder", source: str = FOURNIER) -> Anchor:
    where = {"method": of, "latent_dim": size}
    words = f"nearest neighbours by codes of {size} numbers, accuracy ({of.replace('_', '-')})"
    return Anchor(words, published, source, "higher", "reconstruction", "knn_accuracy", where)


def _raw(words: str, architecture: str, published: float, source: str) -> Anchor:
    where = {"input": "raw", "architecture": architecture}
    return Anchor(words, published, source, "higher", "classifiers", "test_accuracy", where)


def _plane(method: str, published: float) -> Anchor:
    words = f"5 nearest neighbours in the plane of {method}, accuracy of new points"
    return Anchor(words, published, PARAMETRIC_UMAP, "higher", "embeddings", "new_knn_accuracy", {"method": method})


def _inception(loss: str, published: float, source: str) -> Anchor:
    words, where = f"Inception distance, {loss.replace('_', '-')}", {"loss": loss, "arm": "tuned"}
    return Anchor(words, published, source, "lower", "gan_inception", "inception_fid", where)


ANCHORS = (
    _error(2, 0.0240, PARAMETRIC_UMAP),
    _error(10, 0.021, OSAKE, ours=9),
    _error(14, 0.0091, AUTHOR),
    _error(16, 0.0108, AUTHOR, ours=15),
    _error(16, 0.0116, "StTom88/FashionMNIST-autoencoder", ours=15),
    _error(64, 0.0054, PARAMETRIC_UMAP),
    _error(2, 0.0461, PARAMETRIC_UMAP, of="pca"),
    _error(64, 0.0104, PARAMETRIC_UMAP, of="pca"),
    _codes(5, 0.830),
    _codes(9, 0.856),
    _codes(15, 0.868),
    _codes(9, 0.856, of="cross_entropy"),
    _codes(15, 0.868, of="cross_entropy"),
    _codes(9, 0.805, of="pca"),
    _codes(15, 0.836, of="pca"),
    _raw("5 nearest neighbours by raw images, accuracy", "knn", 0.8534, FOURNIER),
    _raw("CNN of raw images, accuracy (2 convolutions)", "cnn", 0.925, ZALANDO),
    _raw("CNN of raw images, accuracy (3 convolutions, batch norm)", "cnn", 0.921, ZALANDO),
    _raw("CNN of raw images, accuracy (2 convolutions, 3 fully connected)", "cnn", 0.932, ZALANDO),
    _plane("tsne", 0.804),
    _plane("autoencoder", 0.734),
    _codes(2, 0.734, of="cross_entropy", source=PARAMETRIC_UMAP),
    _plane("pca", 0.506),
    Anchor(
        "trustworthiness of the autoencoder's plane",
        0.970,
        PARAMETRIC_UMAP,
        "higher",
        "embeddings",
        "trustworthiness",
        {"method": "autoencoder"},
    ),
    Anchor(
        "MSE after Gaussian noise of .3, trained with noise (10 numbers; here those of the best architecture)",
        0.0209,
        OSAKE,
        "lower",
        "denoising",
        "reconstructed_mse",
        {"model": "denoise_gaussian", "noise": "gaussian", "level": 0.3},
    ),
    _inception("minimax", 29.6, LUCIC),
    _inception("non_saturating", 26.5, LUCIC),
    _inception("non_saturating", 15.8, "arXiv 1901.10422, trained longer"),
)


def anchored(tables: Tables, scales: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Rows of the table anchors.

    Args:
        tables: of a run.
        scales: full or reduced, by table.
    """
    for anchor in ANCHORS:
        ours = anchor.ours(tables)
        yield {
            "quantity": anchor.quantity,
            "published": anchor.published,
            "source": anchor.source,
            "better": anchor.better,
            "ours": ours,
            "difference": None if ours is None else ours - anchor.published,
            "met": None if ours is None else anchor.met(ours),
            "scale": None if ours is None else scales.get(anchor.table, "full"),
            "evidence": anchor.table,
        }
