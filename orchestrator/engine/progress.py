"""What a person sees while a run goes on, on stderr: in a terminal a bar for the whole and one for each stage, with
how long it may still take; elsewhere lines with the time of day."""

import os
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from orchestrator.engine.beat import every
from orchestrator.engine.estimate import Work
from orchestrator.engine.shown import Lossy, shown

BEAT_SECONDS = 1
HEARTBEAT_SECONDS = 30
"""After which a line says how far all is, where there is no terminal and nothing else was said."""
WHOLE = "all"


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

    def __str__(self) -> str:
        """In words, for people."""
        num_trainings = sum(self.trainings.values())
        num_done = num_trainings - self.trainings["waiting"] - self.trainings["running"]
        if not num_trainings:
            return "making its tables and figures"
        running = f"{self.trainings['running']} running" if num_done < num_trainings else "making its tables"
        parts = [f"{num_done}/{num_trainings} done", running]
        if self.best is not None:
            parts.append(f"best {self.best:.5f}")
        return ", ".join(parts)


class Progress:
    """The bar of the whole run and those of its stages, and the lines between them."""

    def __init__(self, console: Console | None = None, work: Mapping[str, Work] | None = None) -> None:
        """`work` is what is to be done of each stage, which says how far the whole is."""
        self._console = console or Console(file=_own_stderr(), highlight=False, soft_wrap=True)
        self._plain = not self._console.is_terminal
        self.bars = Bars(
            TextColumn("{task.description:<13}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[detail]}", markup=False),
            console=self._console,
            disable=self._plain,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._shown = ExitStack()
        self._work = dict(work or {})
        self.seconds = 0.0
        """How long all of it is expected to take."""
        self._tasks: dict[str, TaskID] = {}
        self._standings: dict[str, tuple[float, Standing]] = {}
        """Of stages that are being done, the share that was done before, and how far they are."""
        self._over: set[str] = set()
        self._begun = self._last_line = time.monotonic()
        """When it began, and when there last was a line."""

    def __enter__(self) -> Self:
        self._shown.enter_context(self.bars)
        self._console.show_cursor()  # which bars hide until their end: a process that is killed has none
        self.beat()
        self._shown.enter_context(every(BEAT_SECONDS, self.beat))
        return self

    def __exit__(self, *error: object) -> None:
        self._shown.close()

    def __str__(self) -> str:
        """How far the whole is, in words."""
        spent, share = time.monotonic() - self._begun, self.share
        # What the plan expects counts for the less, the more is done.
        left = (1 - share) * ((1 - share) * self.seconds + spent)
        return f"{duration(spent)} so far" + (f", about {duration(left)} left" if self.seconds else "")

    @property
    def share(self) -> float:
        """Share of all work that is done, between 0 and 1."""
        done = 0.0
        for stage, work in self._work.items():
            before, standing = self._standings.get(stage, (0.0, None))
            if stage in self._over:
                done += work.total
            elif standing and before < 1:
                done += work.training * (standing.share - before) / (1 - before)
        return max(0.0, done / max(1e-9, sum(work.total for work in self._work.values())))

    def beat(self) -> None:
        """Say how far the whole is; without a terminal only where there was no line for a while."""
        if not self._plain and self._work:
            self._update(WHOLE, self.share, str(self))
        elif self._work and time.monotonic() - self._last_line > HEARTBEAT_SECONDS:
            at = [f"{name} {it}" for name, (_, it) in list(self._standings.items()) if name not in self._over]
            self.say(f"{WHOLE}: {'; '.join([f'{self.share:.0%} done, {self}', *at])}")

    def say(self, line: str) -> None:
        """A line that stays; without a terminal it begins with the time of day."""
        if self._plain:  # what a console puts in order for a terminal takes it a millisecond
            # In one write: `print` makes two, between which another thread's line may come.
            self._console.file.write(f"{datetime.now():%H:%M:%S} {shown(line)}\n")
            self._console.file.flush()
        else:
            self._console.print(shown(line), markup=False, emoji=False)
        self._last_line = time.monotonic()

    def start(self, stage: str, num_trainings: int, standing: Standing) -> None:
        """A stage begins, some of whose trainings may be recorded."""
        if self._plain:
            counted = f", {num_trainings} trainings" if num_trainings else ""
            recorded = ", all recorded" if num_trainings and not standing.trainings["waiting"] else ""
            self.say(f"{stage}: started{counted}{recorded}")
        self._standings[stage] = standing.share, standing
        self.show(stage, standing)

    def show(self, stage: str, standing: Standing) -> None:
        """How far a stage is."""
        self._standings[stage] = self._standings[stage][0], standing
        self._update(stage, standing.share, str(standing))

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
        self._over.add(stage)
        self._update(stage, 1.0, outcome)
        if self._plain:
            self.say(f"{stage}: {outcome}")

    def _update(self, stage: str, share: float, detail: str) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self.bars.add_task(stage, total=1.0, detail="starting")
        self.bars.update(self._tasks[stage], completed=share, detail=shown(detail))


def _own_stderr() -> TextIO:
    """A stream to where stderr goes now; later it is redirected to Ray's log."""
    try:
        where = os.fdopen(os.dup(sys.stderr.fileno()), "wb", buffering=0)
        return Lossy(where, write_through=True, encoding=sys.stderr.encoding, errors="backslashreplace")
    except OSError:  # not a file, in a notebook say
        return sys.stderr


def duration(seconds: float) -> str:
    """A length of time for people: 45 s, 3 min, 2.5 h."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
