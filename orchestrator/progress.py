"""What a person sees while a run goes on: a bar per stage in a terminal, plain lines elsewhere; all on stderr."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

HEARTBEAT_SECONDS = 15


class Progress:
    """The bars of all stages, and the lines between them."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(file=_own_stderr(), highlight=False, soft_wrap=True)
        self.bars = Bars(
            TextColumn("{task.description:<8}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}"),
            console=self._console,
            disable=not self._console.is_terminal,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self.plain = not self._console.is_terminal
        self.spoke = time.monotonic()
        """When there last was a line."""

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def say(self, line: str) -> None:
        """A line that stays."""
        self._console.print(escape(line))
        self.spoke = time.monotonic()


def _own_stderr() -> TextIO:
    """A stream to where stderr goes now; later it is redirected to Ray's log."""
    try:
        return os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1, encoding=sys.stderr.encoding)
    except OSError:  # not a file, in a notebook say
        return sys.stderr


class Bar:
    """One stage's trainings. Values are those of the stage's metric, the lower the better."""

    def __init__(self, progress: Progress, name: str, *, units: int = 0) -> None:
        self._progress, self._name, self._units = progress, name, units
        self._done = 0
        self._trained = 0.0
        """Trainings' worth of epochs since the first epoch of this session."""
        self._running: dict[str, float] = {}
        self._best: float | None = None
        self._first: float | None = None
        self._task = progress.bars.add_task(name, total=max(1, units), detail="starting")
        if progress.plain:
            progress.say(f"{name}: started" + (f", {units} trainings" if units else ""))

    def over(self, outcome: str) -> None:
        """The stage is over."""
        self._progress.bars.update(self._task, completed=max(1, self._units), detail=outcome)
        self._progress.bars.stop_task(self._task)
        if self._progress.plain:
            self._progress.say(f"{self._name}: {outcome}")

    def started(self, key: str) -> None:
        """A training begins."""
        self._running[key] = 0.0
        self._show()

    def epoch(self, key: str, share: float, value: float | None) -> None:
        """A running training has done this share of its epochs."""
        if self._first is None:
            self._first = time.monotonic()
        else:
            self._trained += share - self._running[key]
        self._running[key] = share
        self._show()
        if self._progress.plain and time.monotonic() - self._progress.spoke > HEARTBEAT_SECONDS:
            self._progress.say(f"{self._name}: {self._detail()}")

    def finished(self, key: str, state: str, value: float | None, error: str | None) -> None:
        """A training is over, or was found recorded."""
        recorded = key not in self._running
        self._running.pop(key, None)
        self._done += 1
        if value is not None and state != "failed":
            self._best = value if self._best is None else min(self._best, value)
        self._show()
        if error:
            self._progress.say(f"{self._name}: {key} failed: {error.strip().splitlines()[-1]}")
        elif self._progress.plain and not recorded:
            measured = "" if value is None else f" {value:.5f}"
            self._progress.say(f"{self._name}: {key} {state}{measured} ({self._detail()})")

    def _show(self) -> None:
        completed = self._done + sum(self._running.values())
        self._progress.bars.update(self._task, completed=completed, detail=self._detail())

    def _detail(self) -> str:
        parts = [f"{self._done}/{self._units} done", f"{len(self._running)} running"]
        if self._best is not None:
            parts.append(f"best {self._best:.5f}")
        left = self._units - self._done - sum(self._running.values())
        if self._first is not None and self._trained > 0 and left > 0:
            seconds = left * (time.monotonic() - self._first) / self._trained
            parts.append(f"about {duration(seconds)} left")
        return ", ".join(parts)


def duration(seconds: float) -> str:
    """A length of time for people: 45 s, 3 min, 2.5 h."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
