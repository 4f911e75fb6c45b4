"""examples/ has notebooks that run from top to bottom, and are kept without what they gave."""

import os
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.command import REPOSITORY

NOTEBOOKS = {path.stem: path for path in (REPOSITORY / "examples").glob("*.ipynb")}


def executed(name: str, folder: Path) -> nbformat.NotebookNode:
    """A notebook after its cells were executed in a folder; a cell that fails is an error."""
    notebook = nbformat.read(NOTEBOOKS[name], as_version=4)
    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    return notebook


def shown(notebook: nbformat.NotebookNode) -> str:
    """All that its cells gave as text."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "\n".join(str(it.get("text", it.get("data", {}).get("text/plain", ""))) for it in outputs)


def pictures(notebook: nbformat.NotebookNode) -> int:
    """How many images its cells gave."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return sum("image/png" in output.get("data", {}) for output in outputs)


@pytest.fixture(autouse=True)
def checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """The notebooks' kernel imports this checkout."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.delenv("RUN", raising=False)
    monkeypatch.delenv("MPLBACKEND", raising=False)  # which the command sets for itself


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_is_kept_without_its_outputs(name: str) -> None:
    notebook = nbformat.read(NOTEBOOKS[name], as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert cell.cell_type == "markdown" or (not cell.outputs and cell.execution_count is None)


def test_published_run_is_read() -> None:
    notebook = executed("read_a_run", REPOSITORY / "examples")
    assert pictures(notebook) == 2
    assert "stages: search done, " in shown(notebook)
    assert "inconclusive " in shown(notebook)


def test_own_images_are_searched_trained_on_and_decoded(tmp_path: Path) -> None:
    shutil.copy(NOTEBOOKS["your_own_images"], tmp_path)
    notebook = executed("your_own_images", tmp_path)
    assert pictures(notebook) == 2
    assert "everything is done" in shown(notebook)
    assert (tmp_path / "runs" / "digits" / "report.html").is_file()
