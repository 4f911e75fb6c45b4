"""The last lines of a run have its main numbers, as far as it has them."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from orchestrator.engine.results import Run
from orchestrator.engine.tables import as_parquet
from orchestrator.summary import summary


def told(folder: Path, **tables: list[dict[str, Any]]) -> list[str]:
    """The lines of a run with these tables."""
    run = Run(folder)
    for name, rows in tables.items():
        run.write(f"tables/{name}.parquet", as_parquet(pa.Table.from_pylist(rows).schema, rows, {}))
    return list(summary(run))


def test_numbers_are_means_over_seeds_and_the_spread_is_the_folds_(tmp_path: Path) -> None:
    folds = [
        {"model": "best", "order": order, "fold": fold, "val_mse": value}
        for order, values in (("sequential", (0.01, 0.03, 0.02, 0.04)), ("shuffled", (9.0, 9.0)))
        for fold, value in enumerate(values, start=0 if order == "shuffled" else -2)
    ]
    folds = [row | {"fold": row["fold"] % 2} for row in folds]  # two folds from two seeds: means .015 and .035
    assert told(
        tmp_path,
        models=[{"model": "best", "test_mse": 0.01}, {"model": "best", "test_mse": 0.02}],
        folds=folds,
        classifiers=[
            {"input": given, "architecture": kind, "test_accuracy": accuracy}
            for given, kind, accuracy in (("latent", "cnn", 0.8), ("raw", "cnn", 0.9), ("raw", "mlp", 0.1))
        ],
        gan_intervals=[
            {"arm": "tuned", "loss": loss, "frechet_distance": value}
            for loss, value in (("non_saturating", 15.04), ("difference", -1.0))
        ],
        claims=[
            {"kind": kind, "verdict": verdict}
            for kind, verdict in (
                ("measurement", "supported"),
                ("cause", "supported"),
                ("cause", "not_tested"),
                ("protocol", "followed"),
                ("definition", "partly"),
            )
        ],
    ) == [
        "test MSE: 0.0150 the search's best",
        "2 folds, best: validation MSE 0.0250, SD 0.0141",
        "CNN's test accuracy: 0.800 on latent vectors, 0.900 on raw images",
        "GANs' Frechet distance from the test images: tuned non-saturating 15.0",
        "what the paper measured or gives as a cause: 2 supported, 1 not tested",
        "what the paper did: 1 followed",
    ]


@pytest.mark.parametrize("content", [None, b"torn"])
def test_of_what_is_missing_or_damaged_nothing_is_said(tmp_path: Path, content: bytes | None) -> None:
    if content:
        Run(tmp_path).write("tables/models.parquet", content)
    assert told(tmp_path) == []
    assert told(tmp_path, models=[{"model": "best", "test_mse": None, "seed": 1}]) == []
