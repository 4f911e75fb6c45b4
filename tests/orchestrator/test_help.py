"""What can be typed is told, quickly; commands that are printed can be typed as they stand; shells complete them."""

import contextlib
import os
import pty
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from pydantic import BaseModel

import orchestrator
from orchestrator.engine.settings import Found
from orchestrator.engine.stage import Stage
from orchestrator.help import COMMANDS
from orchestrator.paper import suite
from orchestrator.run import main
from tests.command import REPOSITORY, orchestrate

STAGES = suite().stages


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 0
    out, err = capsys.readouterr()
    assert not err
    return out


def lines_of(model: BaseModel, prefix: str = "") -> Iterator[str]:
    """Every setting as a flag."""
    for name, value in model:
        if any(isinstance(it, Found) for it in type(model).model_fields[name].metadata):
            continue
        if isinstance(value, BaseModel):
            yield from lines_of(value, f"{prefix}{name}.")
        else:
            yield f"--{prefix}{name} ".replace("_", "-")


def test_nothing_typed_shows_what_can_be_typed_and_starts_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "orchestrator.run"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {shlex.quote(sys.executable)} -m orchestrator.run STAGE ... | COMMAND")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",), ("help",), ("--preset", "paper", "--help")])
def test_every_stage_and_command_has_a_line_and_there_are_examples(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    lines = shown(capsys, *arguments).splitlines()
    for stage in STAGES:
        (line,) = [line for line in lines if line.startswith(f"  {stage.name} ")]
        assert " ".join(stage.title.split()[:3]) in line
    for name in COMMANDS:
        assert [line for line in lines if line.startswith(f"  {name} ")], name
    assert any("kfold --kfold.epochs 4" in line for line in lines)
    assert len(lines) < 60, "a short help"
    assert max(map(len, lines)) <= 160


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_says_what_it_does(capsys: pytest.CaptureFixture[str], name: str) -> None:
    out = shown(capsys, name, "--help")
    typed, does, _ = COMMANDS[name]
    assert f" {typed} " in out.splitlines()[0]
    assert does.split(";")[0].split(",")[0][1:] in " ".join(out.split())
    assert "--kfold" not in out
    assert shown(capsys, "help", name) == out


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_help_of_a_stage_is_its_docstring_and_its_settings(
    capsys: pytest.CaptureFixture[str], stage: Stage[BaseModel, BaseModel]
) -> None:
    out = shown(capsys, stage.name, "--preset", "paper", "--help")
    doc = import_module(type(stage).__module__).__doc__
    assert doc is not None
    assert " ".join(doc.split()) in " ".join(out.split())
    for flag in lines_of(stage.own(suite().preset("paper")), f"{stage.path}."):
        assert flag in out.replace(",", " "), flag
    assert "--resources" not in out


@pytest.mark.parametrize("name", [*(stage.name for stage in STAGES), *COMMANDS, ""])
def test_help_is_no_wider_than_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    out = shown(capsys, *filter(None, [name]), "--preset", "paper", "--help")
    told = [line for line in out.splitlines() if not line.startswith("usage: ") and " # " not in line]
    assert max(map(len, told)) <= 60
    assert any(len(line) > 50 for line in told), "lines are filled"


def test_help_all_has_every_setting_with_the_defaults_of_the_preset(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, "--preset", "paper", "--help-all")
    for flag in lines_of(suite().preset("paper")):
        assert flag in out.replace(",", " "), flag
    assert "(default: 20)" in out


@pytest.mark.parametrize("no_color", ["", "1"])
@pytest.mark.parametrize(
    ("arguments", "part"), [(("kfold", "--help"), b"--kfold.epochs"), (("plan", "search"), b"to do")]
)
def test_there_are_colours_in_a_terminal_but_where_none_are_wanted(
    arguments: tuple[str, ...], part: bytes, no_color: str
) -> None:
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "orchestrator.run", *arguments]
    environment, out = os.environ | {"NO_COLOR": no_color, "TERM": "xterm"}, b""
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=end):
        os.close(end)
        with contextlib.suppress(OSError):  # at its end
            while more := os.read(terminal, 10_000):
                out += more
    os.close(terminal)
    assert part in out
    assert (b"\x1b[3" in out or b"\x1b[9" in out) == (not no_color)


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "--version") == f"fmo {orchestrator.__version__}\n"


@pytest.fixture
def fmo(tmp_path: Path) -> Path:
    """The program as pip installs it, from what pyproject.toml says."""
    module, _, function = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["scripts"][
        "fmo"
    ].partition(":")
    script = tmp_path / "bin" / "fmo"
    script.parent.mkdir()
    # A first line may name nothing with spaces: the shell hands the file to Python, which reads a string there.
    first = f"#!/bin/sh\n'''exec' {shlex.quote(sys.executable)} \"$0\" \"$@\"\n' '''\n"
    program = f"import sys\nfrom {module} import {function}\nif __name__ == '__main__':\n    sys.exit({function}())\n"
    script.write_text(first + program)
    script.chmod(0o755)
    return script


def bash(line: str, fmo: Path) -> subprocess.CompletedProcess[str]:
    """A line of bash with the program on the path."""
    told = os.environ | {
        "PYTHONPATH": str(REPOSITORY),
        "PATH": f"{fmo.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    return subprocess.run(["bash", "-c", line], cwd=fmo.parent.parent, env=told, capture_output=True, text=True)


@pytest.mark.parametrize("typed", ["fmo", "bin/fmo", "python -m orchestrator.run"])
def test_commands_that_are_printed_are_as_the_user_typed_them(fmo: Path, typed: str) -> None:
    done = bash(f"{typed} --preset 'smoke'", fmo)
    assert done.stderr == f"error: no stage is named: {typed} all --preset smoke does all of them\n"
    assert done.returncode == 2
    assert bash(f"{typed}", fmo).stdout.startswith(f"usage: {typed} STAGE")


def test_shell_completes_stages_commands_and_settings_of_fmo_and_leaves_python_alone(fmo: Path) -> None:
    def completed(word: str) -> set[str]:
        words = "sed -n \"s/.* -W '\\(.*\\)' fmo$/\\1/p\""
        done = bash(
            f'source <(fmo --show-completion); complete -p; compgen -W "$(complete -p fmo | {words})" -- {word}', fmo
        )
        registered, *found = done.stdout.splitlines()
        assert registered.startswith("complete ")
        assert registered.endswith(" fmo"), "the only one"
        return set(found)

    assert completed("kf") == {"kfold"}
    assert completed("sta") == {"status"}
    assert completed("--kfold.ep") == {"--kfold.epochs"}
    run = f"{shlex.quote(sys.executable)} -m orchestrator.run"
    assert "python" not in bash(f"{run} --tyro-print-completion bash | grep ^complete", fmo).stdout


def test_a_run_s_name_is_still_a_word(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["compare", "one", "other", "--runs-dir", str(tmp_path)]) == 2
    assert "one has no tables" in capsys.readouterr().err


def test_an_unknown_word_beside_help_is_no_stage_s_help() -> None:
    assert orchestrate("serach", "--help").out.startswith("usage: ")
