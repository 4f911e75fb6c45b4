"""Whole commands of this project in a folder of their own, and what they took."""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from subprocess import PIPE

import psutil

REPOSITORY = Path(__file__).parents[1]
LOOK_SECONDS = 0.25
WORKERS = ("ray::ImplicitFunc", "ray::RayTrainWorker")
"""What Ray calls the processes that train, of Tune and of Train."""


@dataclass
class Memory:
    """Most megabytes that a command's processes had to themselves."""

    workers: float = 0.0
    """Any of those that train."""
    driver: float = 0.0
    """The process that was started."""

    def watch(self, driver: psutil.Process) -> None:
        """Look again and again until the driver has ended."""
        while driver.is_running():
            with contextlib.suppress(psutil.Error, OSError):
                self.driver = max(self.driver, own_megabytes(driver))
                for process in driver.children(recursive=True):
                    if process.name().startswith(WORKERS):
                        self.workers = max(self.workers, own_megabytes(process))
            time.sleep(LOOK_SECONDS)


@dataclass
class Took:
    """Of a command that is over."""

    folder: Path
    started: float
    """Seconds since 1970."""
    seconds: float = 0.0
    memory: Memory = field(default_factory=Memory)

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
        took = Took(Path(folder), time.time())
        took.seconds = timed(whole, took.memory)
        yield took


def timed(arguments: Sequence[str], memory: Memory | None = None) -> float:
    """Seconds of a program, which must succeed; its memory is watched where someone asks."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(arguments, stdout=said, stderr=subprocess.STDOUT, start_new_session=True)
        if memory is not None:
            threading.Thread(target=memory.watch, args=(psutil.Process(process.pid),), daemon=True).start()
        if process.wait():
            said.seek(0)
            raise RuntimeError(f"{' '.join(arguments)} ended with {process.returncode}:\n{said.read().decode()}")
    return time.perf_counter() - started


def own_megabytes(process: psutil.Process) -> float:
    """What a process has written itself: its anonymous memory, without files that it has mapped.

    Mapped code would count as its own as long as nobody else runs it: half of what `import torch` seems to take.
    """
    status = Path(f"/proc/{process.pid}/status").read_text()
    (kilobytes,) = re.findall(r"^RssAnon:\s+(\d+) kB", status, flags=re.MULTILINE) or ["0"]
    return int(kilobytes) / 1024


def bare_torch() -> float:
    """Megabytes that a Python has to itself after `import torch`."""
    program = "import psutil, torch; from benchmarks import commands as it; print(it.own_megabytes(psutil.Process()))"
    environment, command = os.environ | {"OMP_NUM_THREADS": "1"}, [sys.executable, "-c", program]
    return float(subprocess.run(command, env=environment, check=True, cwd=REPOSITORY, stdout=PIPE, text=True).stdout)
