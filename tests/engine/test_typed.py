"""Commands that are printed work as they stand."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.engine.typed import beside


def test_program_of_this_environment_is_named_in_full_where_a_shell_does_not_find_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = Path(sys.executable).parent
    monkeypatch.setenv("PATH", str(tmp_path))
    assert beside("ray") == shlex.quote(str(folder / "ray"))
    told = f"{beside('ray')} get-auth-token --help"
    assert "token" in subprocess.run(["/bin/sh", "-c", told], capture_output=True, text=True, check=True).stdout
    monkeypatch.setenv("PATH", f"{tmp_path}:{folder}")
    assert beside("ray") == "ray"
    assert beside("no-such-program") == "no-such-program"


@pytest.mark.parametrize(
    ("source", "arguments"),
    [("from orchestrator.engine.typed import program; print(program())", ["-c"]), (None, ["-m", "reading"])],
)
def test_program_of_a_notebook_or_a_script_of_others_is_ours(
    tmp_path: Path, source: str | None, arguments: list[str]
) -> None:
    (tmp_path / "reading.py").write_text("from orchestrator.engine.typed import program; print(program())")
    done = subprocess.run(
        [sys.executable, *arguments, *([source] if source else [])],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{Path(__file__).parents[2]}:{tmp_path}", "PATH": str(Path(sys.executable).parent)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "fmo\n", done.stderr
