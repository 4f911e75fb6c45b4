"""NVIDIA's Multi-Process Service, by which the trainings that share a GPU compute on it at once, not by turns."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

CONTROL = "nvidia-cuda-mps-control"
"""The program that comes with NVIDIA's driver."""
DEFAULT_PIPES = Path("/tmp/nvidia-mps")
"""Where programs look for a service unless they are told of another."""
PIPES = "CUDA_MPS_PIPE_DIRECTORY"
SECONDS = 10
"""How long the service has to answer."""


@contextlib.contextmanager
def served(folder: Path) -> Iterator[dict[str, str]]:
    """A service with its files in this folder, until the context is left: variables for those who are to use it.

    None, where there is no such program, or another service already, which everybody finds; or where it does not
    start: then the trainings take turns.
    """
    if PIPES in os.environ or DEFAULT_PIPES.exists() or not shutil.which(CONTROL):
        yield {}
        return
    folder.mkdir()
    if not _said(folder, "-d"):
        yield {}
        return
    try:
        yield _variables(folder)
    finally:
        end(folder)


def end(folder: Path) -> None:
    """End a service with its files in this folder, if there is one, as of a run that was killed."""
    if folder.exists() and shutil.which(CONTROL):
        _said(folder, words="quit -t 5\n")


def _said(folder: Path, *arguments: str, words: str = "") -> bool:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        environment = os.environ | _variables(folder)
        subprocess.run(
            [CONTROL, *arguments],
            input=words.encode(),
            env=environment,
            check=True,
            timeout=SECONDS,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return True
    return False


def _variables(folder: Path) -> dict[str, str]:
    return {PIPES: str(folder), "CUDA_MPS_LOG_DIRECTORY": str(folder)}
