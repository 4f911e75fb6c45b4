"""Many runs are a table: a row for each, with what it was told, its errors, its verdicts, its seconds."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import orchestrator
from orchestrator.engine.manifest import Manifest, StageState
from orchestrator.engine.results import Run
from orchestrator.engine.settings import UserError, merged
from orchestrator.engine.tables import as_parquet
from orchestrator.paper import suite
from orchestrator.run import main
from tests.orchestrator.test_tables import TABLES

SETTINGS = suite().preset("smoke").model_dump(mode="json")


def run_of(folder: Path, seed: int = 1, tables: bool = True, **changes: Any) -> Run:
    """A run of the smoke preset with some settings changed, with known numbers."""
    run = Run(folder)
    stage = StageState(state="done", fingerprint="f", started="2026-01-01T00:00:00+00:00", training_seconds=90.0)
    settings = merged(SETTINGS, changes) | {"seed": seed, "runs_dir": str(folder)}
    manifest = Manifest(
        name="mine", preset="smoke", seed=seed, settings=settings, stages={"search": stage, "kfold": stage}
    )
    run.write_manifest(manifest)
    rows = {
        "trials": [("complete", 0.5), ("complete", 0.25), ("pruned", 0.125)],
        "models": [("best", 0.25), ("best", 0.5), ("two_dim", 1.0)],
        "folds": [("best", 0.25), ("best", 0.75), ("paper_table1", 9.0)],
        "claims": [
            ("measurement", "supported"),
            ("cause", "inconclusive"),
            ("cause", "supported"),
            ("protocol", "partly"),
        ],
    }
    names = {
        "trials": ("state", "val_mse"),
        "models": ("model", "test_mse"),
        "folds": ("model", "test_mse"),
        "claims": ("kind", "verdict"),
    }
    for name, values in rows.items() if tables else ():
        whole = dict.fromkeys(TABLES[name].names) | ({"order": "sequential"} if name == "folds" else {})
        content = [whole | dict(zip(names[name], value, strict=True)) for value in values]
        run.write(f"tables/{name}.parquet", as_parquet(TABLES[name], content, manifest.attributes(name, "f")))
    return run


def test_a_row_has_a_run_s_settings_errors_verdicts_and_seconds(tmp_path: Path) -> None:
    run_of(tmp_path / "a", kfold={"epochs": 7}, capacity={"latent_dims": [2, 5]}, resources={"slots": 1})
    run_of(tmp_path / "b", seed=3, tables=False)
    (tmp_path / "no run").mkdir()
    table = orchestrator.runs(tmp_path)
    assert table["run"].tolist() == [str(tmp_path / "a"), str(tmp_path / "b")]
    assert table["seed"].tolist() == [1, 3]
    assert [f"{date:%Y-%m-%d}" for date in table["date"]] == ["2026-01-01", "2026-01-01"]
    assert table["settings"].tolist() == ["kfold.epochs 7, capacity.latent_dims 2 5", ""]
    first = table.iloc[0]
    assert first[["val_mse", "test_mse", "folds_mse"]].tolist() == [0.25, 0.375, 0.5]
    assert first["folds_sd"] == pytest.approx(0.125**0.5)
    assert first[["supported", "inconclusive", "partly"]].tolist() == [2, 1, 0]
    assert table["seconds"].tolist() == [180.0, 180.0]
    assert table.iloc[1][["val_mse", "test_mse", "folds_mse", "folds_sd"]].isna().all()
    pd.testing.assert_frame_equal(orchestrator.runs([tmp_path / "a", tmp_path / "b"]), table)


def test_more_than_two_runs_are_compared_in_a_table_and_any_number_on_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "abc":
        run_of(tmp_path / name, kfold={"models": ["<best>"]} if name == "c" else {})
    assert main(["compare", "a", "b", "c", "--runs-dir", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert "0.50000 ± 0.35355  2 supported, 1 inconclusive     3 min" in lines[1]
    assert "kfold.models <best>" in lines[3]
    page = tmp_path / "runs.html"
    assert main(["compare", "a", "c", str(page), "--runs-dir", str(tmp_path)]) == 0
    assert f"{page}: 2 runs" in capsys.readouterr().out
    assert "<td>kfold.models &lt;best&gt;</td>" in page.read_text()
    assert page.read_text().count("<tr>") == 2


def test_runs_are_json_of_any_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_of(tmp_path / "a", seed=3)
    run_of(tmp_path / "b", tables=False, kfold={"epochs": 7})
    Run(tmp_path / "c").write_manifest(Manifest(name="c", preset="smoke"))
    assert main(["compare", "a", "b", "c", "--json", "--runs-dir", str(tmp_path)]) == 0
    one, other, empty = json.loads(capsys.readouterr().out)
    assert (one["run"], one["seed"], one["val_mse"], one["supported"]) == (f"{tmp_path}/a", 3, 0.25, 2)
    assert one["folds_sd"] == pytest.approx(0.125**0.5, abs=1e-12)
    assert one["date"].startswith("2026-01-01T00:00:00")
    assert (other["val_mse"], other["settings"]) == (None, "kfold.epochs 7")
    assert empty["date"] is None
    assert main(["compare", "--json", "a", "b", "--runs-dir", str(tmp_path)]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2


def test_in_a_narrow_terminal_what_is_long_stands_below_each_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        run_of(tmp_path / name, kfold={"epochs": 7})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("orchestrator.engine.shown.width", lambda: 80)
    monkeypatch.setattr("orchestrator.comparison.width", lambda: 80)
    assert main(["compare", "a", "b", "c", "--runs-dir", "."]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 3 * 4
    assert lines[1].split() == ["./a", "smoke", "1", "2026-01-01", "0.25000", "0.37500", "3", "min"]
    below = ["folds: 0.50000 ± 0.35355", "verdicts: 2 supported, 1 inconclusive", "settings: kfold.epochs 7"]
    assert [line.strip() for line in lines[2:5]] == below


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a"], "compare takes two names of runs, or their folders; or more of them, for a table"),
        (["--json"], "compare takes two names of runs"),
        (["a", "b", "nothing"], "nothing has no run: is the name right?"),
        (["a", "b", "damaged"], "damaged/manifest.json is damaged"),
    ],
)
def test_what_is_no_run_is_named_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    run_of(tmp_path / "a")
    run_of(tmp_path / "b")
    Run(tmp_path / "damaged").write("manifest.json", b"{")
    assert main(["compare", *words, "--runs-dir", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
    with pytest.raises(UserError, match="has no runs"):
        orchestrator.runs(tmp_path / "a")
