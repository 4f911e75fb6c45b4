"""Commands as a person types them here: this program's, and of programs that are installed beside it."""

import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

NAME = "fmo"
"""Of this program, where it is installed."""


def program() -> str:
    """How this program was called, to be typed again; in a notebook or a script of others, how it could be."""
    main = getattr(sys.modules["__main__"], "__spec__", None)
    if main is not None and main.name.startswith(f"{__name__.partition('.')[0]}."):  # python -m
        return shlex.join(sys.orig_argv[: len(sys.orig_argv) - len(sys.argv) + 1])
    name = Path(sys.argv[0]).name
    if name != NAME:
        return beside(NAME)
    return shlex.quote(name if shutil.which(name) == sys.argv[0] else sys.argv[0])


def flag(path: str, value: Any) -> str:
    """A setting as it is typed, by its path with dots."""
    if isinstance(value, bool):
        section, _, name = path.rpartition(".")
        return f"--{path}" if value else f"--{section}.no-{name}".replace("--.", "--")
    return f"--{path} {shlex.join(map(str, value)) if isinstance(value, list) else shlex.quote(str(value))}"


def beside(name: str) -> str:
    """A program of this Python's environment, by its name where a shell finds it, else in full."""
    here = Path(sys.executable).with_name(name)
    return name if shutil.which(name) or not here.exists() else shlex.quote(str(here))
