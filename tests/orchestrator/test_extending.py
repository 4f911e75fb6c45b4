"""docs/extending.md as it stands is a package with an experiment, which gets all that the paper's have."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from orchestrator.engine.results import Run

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "extending.md").read_text()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The page's files as a package, installed by pip into a folder of its own; the environment that finds it."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    files = re.findall(r"^`([\w/.]+)`(?:[^\n]|\n(?!\n))*\n\n```\w+\n(.*?)^```", PAGE, re.M | re.S)
    assert [name for name, _ in files] == ["pyproject.toml", "how_many/__init__.py", "how_many/figures.py"]
    for name, content in files:
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(content)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True, timeout=300)
    return os.environ | {"PYTHONPATH": f"{REPOSITORY}:{target}"}


def command(installed: dict[str, str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestrator.run", *map(str, arguments), "--preset", "smoke", "--address", "local"],
        cwd=REPOSITORY,
        env=installed,
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_experiment_of_another_package_gets_all_that_the_paper_s_have(
    installed: dict[str, str], tmp_path: Path
) -> None:
    def run(*words: str) -> str:
        done = command(installed, *words, "--runs-dir", tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    assert re.search(r"^  how_many ", run("--help"), flags=re.MULTILINE)
    assert "--how-many.epochs" in run("how_many", "--help")
    assert re.search(r"^how_many +to do +2 +\d+ +2000 +2 ", run("plan", "how_many"), flags=re.MULTILINE)
    assert "how_many: images-500 complete" in run("how_many")

    folder = Run(tmp_path / "smoke")
    table = folder.table("sizes")
    assert list(table["num_images"]) == [500, 2000]
    assert table["test_mse"].is_monotonic_decreasing
    assert table.attrs["table"] == "sizes"
    field = pq.read_schema(tmp_path / "smoke" / "tables" / "sizes.parquet").field("num_images")
    assert field.metadata[b"description"] == b"training images"
    assert folder.exists("figures/how_many_images.png")
    page = folder.read("report.html").decode()
    assert "How many images does it take?" in page
    assert f"2,000 training images: test MSE {table['test_mse'].iloc[1]:.4f}." in page
    assert "instead of 4 training sets" in page
    assert re.search(r"^how_many +done", run("status"), flags=re.MULTILINE)

    # What is recorded is not trained again; what is new is.
    more = ("how_many", "--how-many.sizes", "500", "1000", "2000")
    assert "2 of 3 trainings recorded" in run("status", *more[1:])
    assert re.search(r"^how_many +to do +3 +\d+ +2000 +1 ", run("plan", *more), flags=re.MULTILINE)
    assert "are equal" in run("compare", str(tmp_path / "smoke"), str(tmp_path / "smoke"))


def test_bad_setting_of_such_an_experiment_is_one_line(installed: dict[str, str], tmp_path: Path) -> None:
    done = command(installed, "how_many", "--how-many.epochs", "0", "--runs-dir", tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "--how-many.epochs" in line


@pytest.mark.parametrize(
    ("value", "said"),
    [("no_such:Stage", "No module named 'no_such'"), ("pathlib:Path", "is none, or is called like")],
)
def test_entry_point_that_gives_no_stage_is_one_line(tmp_path: Path, value: str, said: str) -> None:
    (tmp_path / "bad-1.0.dist-info").mkdir()
    (tmp_path / "bad-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n")
    (tmp_path / "bad-1.0.dist-info" / "entry_points.txt").write_text(f"[orchestrator.stages]\nbad = {value}\n")
    done = command(os.environ | {"PYTHONPATH": f"{REPOSITORY}:{tmp_path}"}, "plan", "--runs-dir", tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: the stage bad ({value})")
    assert said in line
