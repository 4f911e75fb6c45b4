"""Runs the commands that fetch published images."""

from pathlib import Path
from subprocess import DEVNULL, TimeoutExpired, run

from trainables.dataset import DataError


def run_command(folder: Path, *command: str, seconds: float) -> None:
    """Run a command in a folder; DataError, its last line on stderr, where it fails or takes longer."""
    try:
        done = run(command, cwd=folder, stdin=DEVNULL, capture_output=True, timeout=seconds)
    except TimeoutExpired:
        raise DataError(f"gave up after {seconds} seconds") from None
    if done.returncode:
        message = done.stderr.decode(errors="replace").strip() or f"exit status {done.returncode}"
        raise DataError(message.splitlines()[-1])
