"""The service that lets trainings share a GPU: started for a Ray of our own, ended with it. No GPU is here: a program
of the same name writes down what it is told."""

import os
from pathlib import Path

import pytest

from orchestrator.engine import mps
from orchestrator.engine.own_ray import _private_folder

CONTROL = """#!/bin/sh
echo "$* in $CUDA_MPS_PIPE_DIRECTORY: $(cat)" >> "$TOLD"
exit {status}
"""


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with what the program is told."""
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv(mps.PIPES, raising=False)
    monkeypatch.setattr(mps, "DEFAULT_PIPES", tmp_path / "somebody's")
    install(tmp_path, status=0)
    return tmp_path / "told"


def install(folder: Path, status: int) -> None:
    (folder / mps.CONTROL).write_text(CONTROL.format(status=status))
    (folder / mps.CONTROL).chmod(0o755)


def test_service_lasts_as_long_as_its_context(told: Path, tmp_path: Path) -> None:
    with mps.served(tmp_path / "m") as variables:
        assert told.read_text() == f"-d in {tmp_path}/m: \n"
        assert variables == {mps.PIPES: f"{tmp_path}/m", "CUDA_MPS_LOG_DIRECTORY": f"{tmp_path}/m"}
        assert mps.PIPES not in os.environ, "it is Ray that is to have them"
    assert told.read_text().splitlines()[1:] == [f" in {tmp_path}/m: quit -t 5"]


def test_service_that_does_not_start_is_done_without(told: Path, tmp_path: Path) -> None:
    install(tmp_path, status=1)
    with mps.served(tmp_path / "m") as variables:
        assert variables == {}
    assert told.read_text() == f"-d in {tmp_path}/m: \n"


@pytest.mark.parametrize("how", ["named", "where all look", "no program"])
def test_somebody_else_s_service_is_left_alone_and_none_is_no_fault(
    told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "named":
        monkeypatch.setenv(mps.PIPES, "/elsewhere")
    elif how == "where all look":
        mps.DEFAULT_PIPES.mkdir()
    else:
        monkeypatch.setenv("PATH", "")
    with mps.served(tmp_path / "m") as variables:
        assert variables == {}
    assert not told.exists()


def test_service_of_a_killed_run_is_ended_by_the_next(
    told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    left = Path("/tmp", f"fm-ray-{tmp_path.name[-8:]}")
    (left / "m").mkdir(parents=True)
    (left / "token").touch()
    os.utime(left / "token", (0, 0))
    with _private_folder():
        assert not left.exists()
    assert told.read_text() == f" in {left}/m: quit -t 5\n"
