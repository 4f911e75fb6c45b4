"""The book of all stages' trials and records, with some settings, in a run folder."""

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from orchestrator.engine.folder import Damaged, digest
from orchestrator.engine.manifest import Manifest
from orchestrator.engine.records import Record, Records, Trial
from orchestrator.engine.results import Run
from orchestrator.engine.settings import RunSettings
from orchestrator.engine.stage import Context
from orchestrator.engine.study import Study
from orchestrator.engine.suite import Suite
from orchestrator.engine.tables import STAGES, as_parquet
from orchestrator.engine.tracking import Tracking


class Book:
    """Of each stage of a suite, its trials with some settings and what of them is recorded in a run folder.

    A stage's trials depend on the records of those that it needs: they are looked up when they are asked for. Damaged
    records are moved away with `set_aside`; else they only do not count.
    """

    def __init__(self, suite: Suite, settings: RunSettings, run: Run, *, set_aside: bool) -> None:
        self.suite, self.settings, self.run, self._set_aside = suite, settings, run, set_aside
        self.stages = {stage.name: stage for stage in suite.wanted(settings)}
        self.fingerprints = suite.fingerprints(settings)
        self.slots = 0
        """Trainings that can run at once, once Ray is connected."""
        self.tracking = Tracking()
        """What is told of trainings while they run."""
        self._studies: dict[str, Study] = {}
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
        return Records(self.run, name)

    def study(self, name: str) -> Study:
        """A stage's trials; with stand-ins, none of them recorded, while what it needs is not there."""
        if name not in self._studies:
            stage, context, records = self.stages[name], self.context(name), self.records(name)
            world = None if context.planning else context.world

            def addressed(trial: Trial[Any]) -> Trial[Any]:
                return trial if world is None else trial.addressed(world)

            def find(trial: Trial[Any]) -> Record[Any] | None:
                record = records.find(trial, set_aside=self._set_aside, metric=stage.metric)
                again = record is not None and (record.lost or (stage.retries_failed and record.state == "failed"))
                return None if again else record

            self._studies[name] = Study(stage.trials(context), find, addressed)
        return self._studies[name]

    def provides(self, name: str, reader: str) -> bool:
        """Whether all of a stage's trials that another one reads are recorded, and well enough to build on them."""
        study, keys = self.study(name), self._read(name, reader)
        if keys is None:
            return not study.num_missing and self.stages[name].failure(study.in_order()) is None
        return all(key in study.records and study.records[key].state == "complete" for key in keys)

    def lacking(self, name: str, reader: str) -> str:
        """What another stage lacks of one that has failed, for people; empty where it can do without."""
        keys, records = self._read(name, reader), self.study(name).records
        if keys is not None and self.provides(name, reader):
            return ""
        failed = [key for key, record in records.items() if record.state == "failed" and key in (keys or records)]
        return f"{name}'s {', '.join(failed)}" if failed else name

    def _read(self, name: str, reader: str) -> Sequence[str] | None:
        return self.stages[reader].reads_only(self.context(reader)).get(name)

    def was_done(self, name: str, manifest: Manifest | None) -> bool:
        """Whether a manifest has the stage as done with just these settings."""
        entry = manifest.stages.get(name) if manifest else None
        return entry is not None and (entry.state, entry.fingerprint) == ("done", self.fingerprints[name])

    def forget(self, name: str) -> None:
        """Have a stage's trials looked up again, when they are next asked for."""
        self._studies.pop(name, None)

    def manifest(self) -> Manifest | None:
        """The run folder's manifest; None where there is none, or it is damaged."""
        try:
            return self.run.manifest()
        except Damaged:
            if self._set_aside:
                self.run.set_aside("manifest.json", "is damaged")
            else:
                mend = "the next run sets it aside and makes it again"
                self.run.say(f"{self.run.location}/manifest.json is damaged; {mend}")
            return None

    @cached_property
    def _data(self) -> Any:
        return self.suite.load_data(self.settings)

    @property
    def data(self) -> Any:
        """The data that the settings select, loaded when they are first asked for."""
        with self._loading:
            return self._data

    def write_stages(self, manifest: Manifest) -> None:
        """Write the table stages, which tells what the manifest does, unless it stands as it should."""
        rows = [{"stage": name, **manifest.stages[name].row()} for name in self.stages if name in manifest.stages]
        name, content = "tables/stages.parquet", as_parquet(STAGES, rows, manifest.attributes("stages", ""))
        if any(self.run.differing({name: digest(content)})):
            self.run.write(name, content)
