"""Whole commands of this project in a folder of their own, and what they took."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil

LOOK_SECONDS = 0.25


@dataclass
class Took:
    """Of a command that is over."""

    seconds: float
    folder: Path
    started: float
    """Seconds since 1970."""
    workers: float = 0.0
    """Most megabytes that a worker had to itself."""
    driver: float = 0.0
    """And the process that the command started."""

    def training_began(self) -> float:
        """Seconds from the command until the first of its trainings began."""
        return min(ended - took for ended, took in self._trainings()) - self.started

    def training_ended(self) -> float:
        """Seconds from the command until the last of its trainings was recorded."""
        return max(ended for ended, _ in self._trainings()) - self.started

    def _trainings(self) -> Iterator[tuple[float, float]]:
        for path in self.folder.glob("*/records/*/*.json"):
            record = json.loads(path.read_text())
            ended = datetime.fromisoformat(record["ended"]).timestamp()
            yield ended, sum(epoch["seconds"] for epoch in record["epochs"])


@contextmanager
def command(*arguments: str) -> Iterator[Took]:
    """Run the orchestrator with these arguments; its run folder is there for as long as the context lasts."""
    with tempfile.TemporaryDirectory() as folder:
        whole = [sys.executable, "-m", "orchestrator.run", *arguments, "--runs-dir", folder, "--address", "local"]
        took = Took(0.0, Path(folder), time.time())
        took.seconds = timed(whole, took)
        yield took


def timed(arguments: Sequence[str], took: Took | None = None) -> float:
    """Seconds of a program, which must succeed; its memory is watched where someone asks."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(arguments, stdout=said, stderr=subprocess.STDOUT, start_new_session=True)
        if took is not None:
            threading.Thread(target=_watch, args=(psutil.Process(process.pid), took), daemon=True).start()
        if process.wait():
            said.seek(0)
            raise RuntimeError(f"{' '.join(arguments)} ended with {process.returncode}:\n{said.read().decode()}")
    return time.perf_counter() - started


def _watch(driver: psutil.Process, took: Took) -> None:
    while driver.is_running():
        try:
            took.driver = max(took.driver, own_megabytes(driver))
            for process in driver.children(recursive=True):
                if (
                    process.name().startswith("ray::")
                    and process.name() != "ray::IDLE"
                    and "Agent" not in process.name()
                ):
                    took.workers = max(took.workers, own_megabytes(process))
        except psutil.Error:
            pass
        time.sleep(LOOK_SECONDS)


def own_megabytes(process: psutil.Process) -> float:
    """What a process has to itself: memory that its end would give back."""
    return float(process.memory_full_info().uss) / 2**20


def bare_torch() -> float:
    """Megabytes that a Python has to itself after `import torch`."""
    program = "import os, psutil, torch; print(psutil.Process().memory_full_info().uss)"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    said = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
    )
    return float(said.stdout) / 2**20
