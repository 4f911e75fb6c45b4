"""How far a stage's trainings are, counted as it is told of them, however many there are."""

from collections import Counter
from typing import Any, get_args

from orchestrator.engine.checkpoint import Rows
from orchestrator.engine.progress import Standing
from orchestrator.engine.records import Outcome, Record, Trial


class Tally:
    """What is known of running trials, and counts of those that are recorded."""

    def __init__(self, metric: str) -> None:
        self._metric = metric
        self.rows: dict[str, Rows] = {}
        """Epochs of the running trials."""
        self._epochs: dict[str, int] = {}
        """How many each of them takes."""
        self._begun = 0.0
        """Share of their epochs that these have behind them, summed."""
        self._states: Counter[Outcome] = Counter()
        self._best: float | None = None
        self._latest: float | None = None
        self._num_epochs = 0
        """Epochs of this session."""
        self._queued: set[str] = set()
        """Trials that a group of workers will come to."""

    def start(self, trial: Trial[Any], *, queued: bool = False) -> None:
        """A trial runs, or is queued until it is heard of."""
        self.rows[trial.key], self._epochs[trial.key] = [], trial.epochs
        if queued:
            self._queued.add(trial.key)

    def report(self, key: str, rows: Rows) -> bool:
        """Take note of a running trial's epochs, of which some may be known; whether any is new."""
        known = self.rows[key]
        self._queued.discard(key)
        new = rows if not known else [row for row in rows if row["epoch"] > known[-1]["epoch"]]
        if new:
            self._num_epochs += len(new) if known else 1  # before a worker's first are those of a checkpoint
            self._begun += len(new) / self._epochs[key]
            known += new
            self._latest = new[-1].get(self._metric, self._latest)
        return bool(new)

    def end(self, key: str) -> None:
        """A trial runs no more."""
        self._begun -= len(self.rows.pop(key)) / self._epochs.pop(key)
        self._queued.discard(key)

    def recorded(self, record: Record[Any]) -> None:
        """A trial is recorded."""
        self._states[record.state] += 1
        value = record.epochs[-1].get(self._metric) if record.epochs else None
        if record.state != "failed" and value is not None:
            self._best = value if self._best is None else min(value, self._best)

    def standing(self, num_trials: int) -> Standing:
        """How far that is, of so many trials."""
        num_recorded, num_running = self._states.total(), len(self.rows) - len(self._queued)
        done = num_recorded + self._begun
        return Standing(
            trainings={"waiting": num_trials - num_recorded - num_running, "running": num_running}
            | {state: self._states[state] for state in get_args(Outcome)},
            share=done / max(1, num_trials),
            num_epochs=self._num_epochs,
            latest=self._latest,
            best=self._best,
        )
