"""Which of a stage's trainings are waiting, running and recorded; each is recorded as it finishes.

Which trials there are is not left to what happens to finish first: trial n is made from the results of the trials
up to n - window, told in order. So a search's suggestions depend on the seed alone, and a resumed search makes them
again from the records. A recorded trial is never run again.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.progress import Bar
from orchestrator.results import Damaged
from orchestrator.stage import Context, Record, Trainings, Trial
from orchestrator.worker import arrays_name, checkpoint_name, record_name, weights_name


@dataclass(frozen=True)
class Standing:
    """How far a stage's trainings are."""

    trainings: dict[str, int]
    """How many are waiting, running, complete, pruned, failed; those that are not known yet wait."""
    progress: float
    """Share of all epochs that are done, between 0 and 1."""
    num_epochs: int
    """That were trained in this session."""
    latest: float | None
    """The stage's metric after the latest epoch that was heard of."""
    best: float | None
    """The least that a finished training had in the end."""


class Ledger:
    """Which of a stage's trials are waiting, running and recorded."""

    def __init__(
        self, context: Context, trainings: Trainings, *, bar: Bar, when_done: Callable[[dict[str, Record]], None]
    ) -> None:
        """Goes on to the first trials that have no record.

        Args:
            context: the stage's.
            trainings: what it trains.
            bar: shows how it goes.
            when_done: called once every trial has its record, with the records by key.
        """
        self.context, self.trainings = context, trainings
        self._bar, self._when_done = bar, when_done
        self._recorded = {
            key: record
            for key, record in context.run.records(context.records).items()
            if not record["lost"] and not (trainings.retry_failed and record["state"] == "failed")
        }
        self._check_checkpoints()
        self._keys: list[str] = []
        self._records: dict[str, Record] = {}
        self.waiting: list[Trial] = []
        self.longest = 0.0
        """Cost of the longest trial that ever waited."""
        self._running: dict[str, Trial] = {}
        self._rows: dict[str, list[dict[str, float]]] = {}
        self._num_lost: Counter[str] = Counter()
        self._latest: float | None = None
        self._num_epochs = 0
        self._go_on()

    def standing(self) -> Standing:
        """How far the trainings are; may be asked for by any thread."""
        records, running, rows = list(self._records.values()), len(self._running), list(self._rows.items())
        states = Counter(record["state"] for record in records)
        values = [
            record["epochs"][-1].get(self.trainings.metric)
            for record in records
            if record["epochs"] and record["state"] != "failed"
        ]
        trials = dict(self._running)
        begun = [len(done) / trials[key].epochs for key, done in rows if key in trials]
        return Standing(
            trainings={
                "waiting": self.trainings.num_trials - len(records) - running,
                "running": running,
                **{state: states[state] for state in ("complete", "pruned", "failed")},
            },
            progress=(len(records) + sum(begun)) / max(1, self.trainings.num_trials),
            num_epochs=self._num_epochs,
            latest=self._latest,
            best=min((value for value in values if value is not None), default=None),
        )

    @property
    def num_missing(self) -> int:
        """Trials without a record."""
        return self.trainings.num_trials - len(self._records)

    def start(self, trial_id: str) -> Trial:
        """Take the first of the waiting trials."""
        trial = self._running[trial_id] = self.waiting.pop(0)
        self._bar.started(trial.key)
        return trial

    def report(self, trial_id: str, rows: list[dict[str, float]]) -> None:
        """Take note of a running trial's epochs."""
        self._rows[trial_id] = rows
        self._num_epochs += 1
        trial = self._running[trial_id]
        self._latest = rows[-1].get(self.trainings.metric, self._latest)
        self._bar.epoch(trial.key, len(rows) / trial.epochs, rows[-1].get(self.trainings.metric))

    def finish(self, trial_id: str, result: Mapping[str, Any] | None) -> None:
        """Record a trial; without a result its worker was lost, and it waits again unless that happened too often."""
        trial = self._running.pop(trial_id)
        rows = self._rows.pop(trial_id, [])
        if result is None:
            self._num_lost[trial.key] += 1
            if self._num_lost[trial.key] <= self.context.settings.resources.retries:
                self.waiting.insert(0, trial)
                return
        run, folder = self.context.run, self.context.records
        error: str | None = f"its worker was lost {self._num_lost[trial.key]} times; see {run.location}/ray"
        if result is not None:
            rows, error = result.get("rows", rows), result.get("error")
        state = "failed" if error else "complete" if len(rows) == trial.epochs else "pruned"
        names = [weights_name(folder, trial.key), arrays_name(folder, trial.key)]
        record = {
            "config": trial.config,
            "state": state,
            "error": error or None,
            "lost": result is None,
            "seconds": math.fsum(row["seconds"] for row in rows),
            "epochs": rows,
            "files": [name for name in names if state == "complete" and run.exists(name)],
        }
        run.write_json(record_name(folder, trial.key), record)
        run.delete(checkpoint_name(folder, trial.key))
        self._add(trial, record)
        self._go_on()

    def _check_checkpoints(self) -> None:
        """A training whose checkpoint is damaged starts anew."""
        run = self.context.run
        for name in run.list(self.context.records, ".checkpoint"):
            try:
                run.read_sealed(name)
            except Damaged:
                run.set_aside(name, "is damaged")

    def _add(self, trial: Trial, record: Record) -> None:
        self._records[trial.key] = record
        value = record["epochs"][-1].get(self.trainings.metric) if record["epochs"] else None
        self._bar.finished(trial.key, record["state"], value, record["error"])

    def _go_on(self) -> None:
        """Make the trials that can be made by now; the recorded ones among them are done at once."""
        while len(self._keys) < self.trainings.num_trials:
            number = len(self._keys)
            needed = self._keys[: max(0, number - self.trainings.window + 1)]
            if not all(key in self._records for key in needed):
                break
            trial = self.trainings.suggest(number, [self._records[key] for key in needed])
            self._keys.append(trial.key)
            record = self._recorded.get(trial.key)
            if record and record["config"] == trial.config:
                self._add(trial, record)
            else:
                self.waiting.append(trial)
        self.longest = max([self.longest, *(trial.cost for trial in self.waiting)])
        if not self.num_missing:
            self._when_done(self._records)
