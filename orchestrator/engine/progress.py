"""What a person sees while a run goes on: a bar per stage in a terminal, plain lines elsewhere; all on stderr."""

import os
import sys
import time
from dataclasses import dataclass
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from orchestrator.engine.shown import shown

HEARTBEAT_SECONDS = 15


@dataclass(frozen=True)
class Standing:
    """How far a stage's trainings are."""

    trainings: dict[str, int]
    """How many are waiting, running, complete, pruned, failed; those that are not known yet wait."""
    share: float
    """Share of all epochs that are done, between 0 and 1."""
    num_epochs: int = 0
    """Epochs that were trained in this session."""
    latest: float | None = None
    """The stage's metric after the latest epoch that was heard of."""
    best: float | None = None
    """The least that the metric was after a training."""
    seconds_left: float | None = None
    """About how long the rest takes; None while that cannot be told."""

    def __str__(self) -> str:
        """In words, for people."""
        num_trainings = sum(self.trainings.values())
        num_done = num_trainings - self.trainings["waiting"] - self.trainings["running"]
        parts = [f"{num_done}/{num_trainings} done", f"{self.trainings['running']} running"]
        if self.best is not None:
            parts.append(f"best {self.best:.5f}")
        if self.seconds_left is not None:
            parts.append(f"about {duration(self.seconds_left)} left")
        return ", ".join(parts)


class Progress:
    """The bars of all stages, and the lines between them."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(file=_own_stderr(), highlight=False, soft_wrap=True)
        self._plain = not self._console.is_terminal
        self.bars = Bars(
            TextColumn("{task.description:<13}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            console=self._console,
            disable=self._plain,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._tasks: dict[str, TaskID] = {}
        self._last_line = time.monotonic()
        """When there last was one."""

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bars.stop()

    def say(self, line: str) -> None:
        """A line that stays."""
        self._console.print(shown(line), markup=False, emoji=False)
        self._last_line = time.monotonic()

    def start(self, stage: str, num_trainings: int, standing: Standing) -> None:
        """A stage begins, some of whose trainings may be recorded."""
        if self._plain:
            counted = f", {num_trainings} trainings" if num_trainings else ""
            recorded = ", all recorded" if num_trainings and not standing.trainings["waiting"] else ""
            self.say(f"{stage}: started{counted}{recorded}")
        self.show(stage, standing)

    def show(self, stage: str, standing: Standing) -> None:
        """How far a stage is; without a terminal only where there was no line for a while."""
        self._update(stage, standing.share, str(standing) if sum(standing.trainings.values()) else "")
        if self._plain and time.monotonic() - self._last_line > HEARTBEAT_SECONDS and standing.num_epochs:
            self.say(f"{stage}: {standing}")

    def trained(
        self, stage: str, key: str, state: str, value: float | None, error: str | None, standing: Standing
    ) -> None:
        """A training is over; `value` is the stage's metric after it."""
        if error:
            self.say(f"{stage}: {key} failed: {error.strip().splitlines()[-1]}")
        elif self._plain:
            measured = "" if value is None else f" {value:.5f}"
            self.say(f"{stage}: {key} {state}{measured} ({standing})")
        self.show(stage, standing)

    def over(self, stage: str, outcome: str) -> None:
        """A stage is over."""
        self._update(stage, 1.0, outcome)
        self.bars.stop_task(self._tasks[stage])
        if self._plain:
            self.say(f"{stage}: {outcome}")

    def _update(self, stage: str, share: float, detail: str) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self.bars.add_task(stage, total=1.0, detail="starting")
        self.bars.update(self._tasks[stage], completed=share, detail=shown(detail))


def _own_stderr() -> TextIO:
    """A stream to where stderr goes now; later it is redirected to Ray's log."""
    try:
        where, errors = os.dup(sys.stderr.fileno()), "backslashreplace"
        return os.fdopen(where, "w", buffering=1, encoding=sys.stderr.encoding, errors=errors)
    except OSError:  # not a file, in a notebook say
        return sys.stderr


def duration(seconds: float) -> str:
    """A length of time for people: 45 s, 3 min, 2.5 h."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
