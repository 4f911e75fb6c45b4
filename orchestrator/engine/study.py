"""A stage's trials, asked for and told: which of them wait, run and are recorded.

Which trials there are is not left to what happens to finish first: trial n is made from the records of the trials up
to n - window, in order. So the same seed suggests the same trials on one core and on eight GPUs, and a resumed search
suggests them again from the records. A recorded trial is never run again.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from orchestrator.engine.records import Record, Trial

Find = Callable[[Trial[Any]], Record[Any] | None]
"""Finds the record of a trial that has its address."""


@dataclass(frozen=True)
class Suggested:
    """Trials that are made from the records of earlier ones; a stage gives this in place of a list."""

    num_trials: int
    window: int
    """How far trials run ahead of the records that they are made from."""
    suggest: Callable[[int, Sequence[Record[Any]]], Trial[Any]]
    """Makes trial n from the records of the trials 0 to n - window; called for 0, 1, 2, ..."""


class Study:
    """The book of one stage's trials, which gets their addresses and records by two functions.

    Knows no disk, no Ray and no progress bar.
    """

    def __init__(
        self, trials: Iterable[Trial[Any]] | Suggested, find: Find, addressed: Callable[[Trial[Any]], Trial[Any]]
    ) -> None:
        listed = [] if isinstance(trials, Suggested) else list(trials)
        if not isinstance(trials, Suggested):
            trials = Suggested(len(listed), len(listed), lambda number, _: listed[number])
        self._source, self._find, self._addressed = trials, find, addressed
        self.trials: list[Trial[Any]] = []
        """Those that could be made so far, in order."""
        self.records: dict[str, Record[Any]] = {}
        """By the trials' keys."""
        self.waiting: list[Trial[Any]] = []
        self.running: dict[str, Trial[Any]] = {}
        self._keys: set[str] = set()
        self._told: list[Record[Any]] = []
        """Records that the latest trial was made from."""
        self._make()
        if listed:  # the longest start first: slots then end together
            self.waiting.sort(key=lambda trial: -trial.cost)

    @property
    def num_trials(self) -> int:
        """All trials, also those that are not made yet."""
        return self._source.num_trials

    @property
    def at_once(self) -> int:
        """Trials that can run at once, if there is room."""
        return min(self._source.window, self.num_trials)

    @property
    def num_missing(self) -> int:
        """Trials without a record."""
        return self.num_trials - len(self.records)

    def ask(self) -> Trial[Any]:
        """Take the first of the waiting trials."""
        trial = self.waiting.pop(0)
        self.running[trial.key] = trial
        return trial

    def ask_alike(self, alike: Callable[[Trial[Any]], Hashable | None], most: int) -> list[Trial[Any]]:
        """Take the first of the waiting trials and, up to so many, others of which `alike` says the same, if any."""
        first = self.ask()
        if most == 1:
            return [first]
        kind = alike(first)
        others = list(
            islice((trial for trial in self.waiting if kind is not None and alike(trial) == kind), most - 1)
        )
        self.running |= {trial.key: trial for trial in others}
        for trial in others:
            self.waiting.remove(trial)
        return [first, *others]

    def give_back(self, key: str) -> None:
        """A running trial's worker was lost; it waits again, before all others."""
        self.waiting.insert(0, self.running.pop(key))

    def tell(self, record: Record[Any]) -> None:
        """A running trial is over."""
        del self.running[record.key]
        self.records[record.key] = record
        self._make()

    def in_order(self) -> list[Record[Any]]:
        """The records in the order in which their trials were made."""
        return [self.records[trial.key] for trial in self.trials if trial.key in self.records]

    def _make(self) -> None:
        """Make the trials that can be made by now; the recorded ones among them are done at once."""
        while len(self.trials) < self.num_trials:
            number = len(self.trials)
            while len(self._told) <= number - self._source.window:
                record = self.records.get(self.trials[len(self._told)].key)
                if record is None:
                    return
                self._told.append(record)
            trial = self._addressed(self._source.suggest(number, self._told))
            assert trial.key not in self._keys, f"two trials are called {trial.key}"
            self._keys.add(trial.key)
            self.trials.append(trial)
            record = self._find(trial)
            if record is not None:
                self.records[trial.key] = record
            else:
                self.waiting.append(trial)
