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
