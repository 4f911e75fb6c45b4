"""The command line, run as a person runs it."""

import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from threading import Thread

import numpy as np
import psutil

from benchmarks.commands import Memory
from orchestrator.engine.results import Run
from trainables.dataset import Dataset

REPOSITORY = Path(__file__).parents[1]
NO_IMAGES = Dataset(*(np.zeros(shape, np.uint8) for shape in ((2, 28, 28), (2,), (2, 28, 28), (2,))), "none")
"""For trainings that do not look at them."""


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    status: int
    out: str
    err: str
    seconds: float


def loaded_after(statements: str) -> set[str]:
    """Modules that a fresh process has imported after these statements."""
    printing = f"{statements}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", printing], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def orchestrate(
    *arguments: str | Path,
    timeout: float = 600,
    memory: Memory | None = None,
    environment: Mapping[str, str] | None = None,
) -> Finished:
    """`python -m orchestrator.run` as a person types it; its memory is watched where someone asks.

    A thread gives it the environment: this process's may be that of a Ray by then.
    """
    command = [sys.executable, "-m", "orchestrator.run", *map(str, arguments)]
    started = time.monotonic()
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=PIPE, stderr=PIPE, text=True, env=environment) as process:
        if memory is not None:
            Thread(target=memory.watch, args=(psutil.Process(process.pid),), daemon=True).start()
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return Finished(process.returncode, out, err, time.monotonic() - started)


@dataclass(frozen=True)
class Smoke:
    """The finished smoke run."""

    runs_dir: Path
    finished: Finished
    memory: Memory

    @property
    def run(self) -> Run:
        return Run(self.runs_dir / "smoke")
