"""The command line, run as a person runs it."""

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orchestrator.engine.results import Run
from trainables.fashion_mnist import FashionMnist

REPOSITORY = Path(__file__).parents[1]
NO_IMAGES = FashionMnist(*(np.zeros(shape, np.uint8) for shape in ((2, 28, 28), (2,), (2, 28, 28), (2,))), "none")
"""For trainings that do not look at them."""


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    status: int
    out: str
    err: str
    seconds: float


def orchestrate(*arguments: str | Path, timeout: float = 600) -> Finished:
    """`python -m orchestrator.run` as a person types it."""
    command = [sys.executable, "-m", "orchestrator.run", *map(str, arguments)]
    started = time.monotonic()
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=timeout)
    return Finished(done.returncode, done.stdout, done.stderr, time.monotonic() - started)


@dataclass(frozen=True)
class Smoke:
    """The finished smoke run."""

    runs_dir: Path
    finished: Finished

    @property
    def run(self) -> Run:
        return Run(self.runs_dir / "smoke")
