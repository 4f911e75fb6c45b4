"""The book of all stages' trials and records, with some settings, in a run folder."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import Any

from orchestrator.engine.records import Record, Records, Trial
from orchestrator.engine.results import Run
from orchestrator.engine.settings import RunSettings
from orchestrator.engine.stage import Context
from orchestrator.engine.study import Find, Study
from orchestrator.engine.suite import Suite


class Book:
    """Of each stage, its trials with some settings and what of them is recorded in a run folder.

    A stage's trials depend on the records of those that it needs: they are looked up when they are asked for.
    """

    def __init__(self, suite: Suite, settings: RunSettings, run: Run, *, set_aside: bool) -> None:
        """Nothing is looked up yet.

        Args:
            suite: the stages.
            settings: of the run.
            run: its folder.
            set_aside: whether damaged records are moved away; else they only do not count.
        """
        self.suite, self.settings, self.run, self._set_aside = suite, settings, run, set_aside
        self.stages = {stage.name: stage for stage in suite.wanted(settings)}
        self.fingerprints = suite.fingerprints(settings)
        self._studies: dict[str, Study] = {}
        self._records = {name: Records(run, name) for name in self.stages}
        self._loading = threading.Lock()

    def needs(self, name: str) -> tuple[str, ...]:
        """Stages whose records a stage reads."""
        stage = self.stages[name]
        return stage.needs(stage.own(self.settings))

    def context(self, name: str) -> Context[Any]:
        """What a stage is given."""
        return Context(self.stages[name], self)

    def records(self, name: str) -> Records:
        """A stage's files."""
        return self._records[name]

    def study(self, name: str) -> Study:
        """A stage's trials; with stand-ins, none of them recorded, while what it needs is not there."""
        if name not in self._studies:
            stage, context = self.stages[name], self.context(name)
            trials = stage.trials(context)
            if context.planning:
                self._studies[name] = Study(trials, find=lambda trial: None, addressed=lambda trial: trial)
            else:
                world = context.world
                self._studies[name] = Study(trials, self._finder(name), lambda trial: trial.addressed(world))
        return self._studies[name]

    def is_complete(self, name: str) -> bool:
        """Whether all of a stage's trials are recorded, and well enough for others to build on them."""
        study = self.study(name)
        return not study.num_missing and self.stages[name].failure(study.in_order()) is None

    def forget(self, name: str) -> Records:
        """Have a stage's trials looked up again, when they are next asked for."""
        self._studies.pop(name, None)
        self._records[name] = Records(self.run, name)
        return self._records[name]

    @cached_property
    def _data(self) -> Any:
        return self.suite.load_data(self.settings)

    @property
    def data(self) -> Any:
        """The data that the settings select, loaded when they are first asked for."""
        with self._loading:
            return self._data

    def _finder(self, name: str) -> Find:
        stage, records = self.stages[name], self._records[name]

        def find(trial: Trial[Any]) -> Record[Any] | None:
            record = records.find(trial, set_aside=self._set_aside)
            again = record is not None and (record.lost or (stage.retries_failed and record.state == "failed"))
            return None if again else record

        return find
