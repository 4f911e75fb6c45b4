"""Published numbers stand beside a run's, the missed ones too."""

from typing import Any

import pandas as pd
import pytest

from orchestrator.claims.anchors import ANCHORS, anchored
from orchestrator.paper import suite
from tests.orchestrator.made_tables import table


def of_quantity(tables: dict[str, pd.DataFrame], start: str, **scales: str) -> list[dict[str, Any]]:
    return [row for row in anchored(tables, scales) if row["quantity"].startswith(start)]


def test_ours_is_the_mean_over_finished_seeds_of_the_same_method_and_size() -> None:
    found = [
        ("autoencoder", 2, 0.02, "complete"),
        ("autoencoder", 2, 0.03, "complete"),
        ("pca", 2, 0.0461, None),  # as Parquet gives it: PCA is no training
    ]
    found += [("autoencoder", 2, 9.0, "failed"), ("autoencoder", 5, 9.0, "complete"), ("table1", 2, 9.0, "complete")]
    names = ("method", "latent_dim", "test_mse", "state")
    tables = {"reconstruction": table([dict(zip(names, row, strict=True)) for row in found])}
    (two,) = of_quantity(tables, "test MSE, 2 numbers", reconstruction="reduced")
    assert two["ours"] == pytest.approx(0.025)
    assert two["difference"] == pytest.approx(0.001)
    assert (two["published"], two["met"], two["scale"]) == (0.024, False, "reduced")
    (pca,) = of_quantity(tables, "test MSE, PCA, 2 numbers")
    assert (pca["met"], pca["difference"], pca["scale"]) == (True, 0, "full")


def test_of_an_accuracy_more_is_better_and_of_an_error_less() -> None:
    for accuracy, met in ((0.73, False), (0.734, True), (0.74, True)):
        planes = table(
            [{"method": "autoencoder", "new_knn_accuracy": accuracy}, {"method": "pca", "new_knn_accuracy": 1}]
        )
        (row,) = of_quantity({"embeddings": planes}, "5 nearest neighbours in the plane of autoencoder")
        assert (row["met"], row["difference"]) == (met, pytest.approx(accuracy - 0.734))
    for error, met in ((0.022, False), (0.0209, True), (0.01, True)):
        noisy = {"model": "denoise_gaussian", "noise": "gaussian", "level": 0.3, "reconstructed_mse": error}
        (row,) = of_quantity(
            {"denoising": table([noisy, noisy | {"level": 0.2, "reconstructed_mse": 9.0}])}, "MSE after"
        )
        assert row["met"] == met


def test_an_anchor_that_a_run_has_nothing_for_is_a_row_too() -> None:
    rows = list(anchored({"reconstruction": table([]), "embeddings": table([{"method": "pca"}])}, {}))
    assert len(rows) == len(ANCHORS)
    assert all(row["ours"] is row["difference"] is row["met"] is row["scale"] is None for row in rows)
    assert all(row["source"] and row["published"] for row in rows)


def test_of_several_arms_the_tuned_one_counts_and_a_table_without_arms_counts_whole() -> None:
    games = table([{"loss": "minimax", "inception_fid": 20.0}, {"loss": "minimax", "inception_fid": 40.0}])
    (row,) = of_quantity({"gan_inception": games}, "Inception distance, minimax")
    assert (row["ours"], row["met"]) == (30.0, False)
    (row,) = of_quantity({"gan_inception": games.assign(arm=["tuned", "paper"])}, "Inception distance, minimax")
    assert (row["ours"], row["met"]) == (20.0, True)


def test_every_anchor_names_columns_that_its_table_has() -> None:
    schemas = {name: schema for stage in suite().stages for name, schema in stage.schemas.items()}
    for anchor in ANCHORS:
        names = {anchor.column, *anchor.rows} - {"arm"}
        assert names <= set(schemas[anchor.table].names), anchor
