"""Terminals and pipes of all kinds: closed, broken, without UTF-8, of no width."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.run import BROKEN_PIPE
from tests.command import REPOSITORY

RUN = f"{shlex.quote(sys.executable)} -m orchestrator.run"


def shell(command: str, folder: Path, **environment: str) -> tuple[int, str, str]:
    """Exit status and output of a line of bash, with RUN in it; the status is that of a pipe's first command."""
    line = f"cd '{folder}'; {command.replace('RUN', RUN)}; exit ${{PIPESTATUS[0]}}"
    told = os.environ | {"PYTHONPATH": str(REPOSITORY)} | environment
    done = subprocess.run(["bash", "-c", line], capture_output=True, env=told, timeout=300)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize(
    ("command", "environment"),
    [
        ("RUN --help | true", {}),
        ("RUN plan search | true", {"PYTHONUNBUFFERED": "1"}),
        ("RUN no-stage 2>&1 | true", {}),
    ],
)
def test_reader_that_has_gone_ends_the_command_without_a_word(
    tmp_path: Path, command: str, environment: dict[str, str]
) -> None:
    assert shell(command, tmp_path, **environment) == (BROKEN_PIPE, "", "")


def test_closed_streams_lead_nowhere(tmp_path: Path) -> None:
    assert shell("RUN status >&-", tmp_path) == (0, "", "")
    assert shell("RUN status <&- >&- 2>&-", tmp_path) == (0, "", "")
    assert shell("RUN no-stage <&- 2>&-", tmp_path) == (2, "", "")


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1", "COLUMNS": "1", "TERM": "dumb"},
    ],
    ids=["ascii", "latin-1"],
)
def test_what_a_terminal_cannot_show_it_shows_in_another_way(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "s.yaml").write_text("runs_dir: 日本", encoding="utf-8")
    status, out, err = shell("RUN plan search --config s.yaml; RUN status --config s.yaml", tmp_path, **environment)
    assert (status, err) == (0, "")
    assert out.count("\\u65e5\\u672c/laptop") == 2
    assert "search" in out


def test_without_utf_8_there_is_a_plan_and_folders_that_cannot_be_named_are_refused(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("runs_dir: 日本", encoding="utf-8")
    posix = {"PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "LC_ALL": "POSIX"}
    status, out, err = shell("RUN plan search; RUN status --config s.yaml", tmp_path, **posix)
    assert "nothing was started" in out
    assert (status, len(err.splitlines())) == (2, 1)
    assert "runs_dir: '\\u65e5\\u672c' is not UTF-8 here; with LC_ALL=C.UTF-8 it may be" in err


@pytest.mark.parametrize("columns", ["1", "wide"])
def test_help_is_whole_at_any_width(tmp_path: Path, columns: str) -> None:
    for flag, last in (("--help", "--help-all"), ("--help-all", "--resources.free-gigabytes")):
        status, out, err = shell(f"RUN {flag}", tmp_path, COLUMNS=columns)
        assert (status, err) == (0, "")
        assert last in out
