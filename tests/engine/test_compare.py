"""What differs between two runs is listed, times are not, and nothing else is passed over."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save

from orchestrator.engine.compare import differences
from orchestrator.engine.manifest import Manifest
from orchestrator.engine.results import Run
from orchestrator.engine.settings import UserError
from orchestrator.engine.tables import as_parquet
from orchestrator.run import main
from orchestrator.stages.kfold import Kfold

MANIFEST = Manifest(name="mine")
FOLDS = Kfold.schemas["folds"]


def rows(**changes: Any) -> list[dict[str, Any]]:
    """Two folds, of which the second is as it is told."""
    whole: dict[str, Any] = dict.fromkeys(FOLDS.names)
    fold = whole | {
        "order": "sequential",
        "state": "complete",
        "test_mse": 0.25,
        "train_mse": float("nan"),
        "seconds": 1.0,
    }
    return [fold | {"fold": 0}, fold | {"fold": 1, **changes}]


def folds(content: list[dict[str, Any]]) -> bytes:
    return as_parquet(FOLDS, content, MANIFEST.attributes("folds", "f"))


def run_of(folder: Path, **changes: Any) -> Run:
    run = Run(folder)
    run.write("tables/folds.parquet", folds(rows(**changes)))
    run.write("models/best.safetensors", b"weights")
    return run


def test_runs_that_differ_in_times_only_are_equal(tmp_path: Path) -> None:
    one, other = run_of(tmp_path / "one"), run_of(tmp_path / "other", seconds=77.0)
    assert list(differences(one, other)) == []


def test_models_of_the_same_weights_are_equal_whatever_their_files_say_beside(tmp_path: Path) -> None:
    one, other = run_of(tmp_path / "one"), run_of(tmp_path / "other")
    one.write("models/best.safetensors", save({"a": np.ones(2), "b": np.zeros(3)}))
    other.write("models/best.safetensors", save({"a": np.ones(2), "b": np.zeros(3)}, {"description": "{}"}))
    assert list(differences(one, other)) == []
    other.write("models/best.safetensors", save({"a": np.ones(2), "b": np.zeros(2)}))
    assert list(differences(one, other)) == ["models/best.safetensors differs"]


def _without_column(run: Run) -> None:
    path = run.path("tables/folds.parquet")
    pq.write_table(pq.read_table(path).drop_columns(["order"]), path)


@pytest.mark.parametrize(
    ("changes", "change", "said"),
    [
        (
            {"test_mse": 0.25 + 2**-54},
            None,
            "test_mse differs in 1 of 2 rows, first in row 1: 0.25 and 0.2500",
        ),
        ({"order": "shuffled"}, None, "folds: order differs in 1 of 2 rows"),
        ({"test_mse": None}, None, "folds: test_mse differs in 1 of 2 rows, first in row 1: 0.25 and None"),
        ({"train_mse": 0.5}, None, "folds: train_mse differs in 1 of 2 rows, first in row 1: nan and 0.5"),
        ({}, _without_column, "folds: columns order are only in one of them"),
        (
            {},
            lambda run: run.write("tables/folds.parquet", folds(rows()[:1])),
            "2 rows and 1",
        ),
        ({}, lambda run: run.write("models/best.safetensors", b"weighty"), "models/best.safetensors differs"),
        ({}, lambda run: run.delete("models/best.safetensors"), "models/best.safetensors is only in"),
        ({}, lambda run: run.write("tables/more.parquet", b""), "tables/more.parquet is only in"),
    ],
)
def test_any_other_difference_is_told(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    change: Callable[[Run], object] | None,
    said: str,
) -> None:
    one, other = run_of(tmp_path / "one"), run_of(tmp_path / "other", **changes)
    if change:
        change(other)
    (line,) = differences(one, other)
    assert said in line
    assert main(["compare", "one", "other", "--runs-dir", str(tmp_path)]) == 1
    assert said in capsys.readouterr().out
    assert main(["compare", one.location, one.location]) == 0
    assert "are equal" in capsys.readouterr().out


def test_table_that_is_none_is_named(tmp_path: Path) -> None:
    one, other = run_of(tmp_path / "one"), run_of(tmp_path / "other")
    other.write("tables/folds.parquet", b"PAR1")
    with pytest.raises(UserError, match=r"other/tables/folds.parquet is no Parquet file"):
        list(differences(one, other))
