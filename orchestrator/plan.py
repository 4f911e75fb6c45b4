"""Which stages a command has to do, and what that will take; starts nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from orchestrator.cluster import slots_for, this_machine
from orchestrator.command_line import CommandLine
from orchestrator.lock import holder
from orchestrator.progress import duration
from orchestrator.results import Manifest, Run
from orchestrator.stage import Stage, fingerprint
from trainables.fashion_mnist import CHECKSUM

SPEED = {"core": 1.0, "GPU share": 6.0}
"""Of one slot, next to one core of docs/LOG.md's machine; the GPU's is a guess on the safe side."""
STAGE_SECONDS = 8
"""What a stage with trainings takes beside them: starting its workers, writing its tables."""


@dataclass(frozen=True)
class Plan:
    """The stages, those that the command asks for, and those of them that are still to be done."""

    stages: tuple[Stage, ...]
    selected: tuple[Stage, ...]
    to_do: tuple[Stage, ...]
    manifest: Manifest | None
    settings: CommandLine

    @classmethod
    def make(
        cls,
        stages: tuple[Stage, ...],
        names: Sequence[str],
        settings: CommandLine,
        manifest: Manifest | None,
        damaged: Collection[str] = (),
    ) -> Plan:
        """What is needed is brought in; what hangs on a stage that is redone is redone with it.

        Stages of which a file is damaged write their files again, from their records; nothing hangs on that.
        """
        by_name = {stage.name: stage for stage in stages}
        wanted = set(names)
        for stage in reversed(stages):
            if stage.name in wanted:
                wanted.update(stage.needs(settings))
        plan = cls(stages, stages, (), manifest, settings)
        redo: set[str] = set()
        for stage in stages:
            known = manifest is not None and stage.name in manifest.stages
            asked = stage.name in wanted and (stage.name in settings.force or not plan.was_done(stage))
            hangs_on = known and any(name in redo for name in stage.needs(settings))
            gathers = stage.gathers and (bool(redo) or not plan.was_done(stage))
            if asked or hangs_on or gathers:
                redo.add(stage.name)
        wanted |= redo
        to_do = redo | (wanted & set(damaged))
        assert wanted <= set(by_name)
        return cls(
            stages,
            tuple(stage for stage in stages if stage.name in wanted),
            tuple(stage for stage in stages if stage.name in to_do),
            manifest,
            settings,
        )

    def fingerprint(self, stage: Stage, manifest: Manifest | None) -> str:
        """Hash of what decides the stage's outcome; of a gathering stage's, the other stages' as they stand."""
        if stage.gathers:
            entries = (manifest.stages if manifest else {}).items()
            needed = {name: f"{it.state} {it.fingerprint}" for name, it in entries if name != stage.name}
        else:
            by_name = {stage.name: stage for stage in self.stages}
            names = stage.needs(self.settings)
            needed = {name: self.fingerprint(by_name[name], manifest) for name in names}
        return fingerprint(stage, self.settings, needed, CHECKSUM)

    def was_done(self, stage: Stage) -> bool:
        """Whether the manifest has the stage as done with just these settings."""
        entry = self.manifest.stages.get(stage.name) if self.manifest else None
        return bool(entry and entry.state == "done" and entry.fingerprint == self.fingerprint(stage, self.manifest))


def damage(run: Run, manifest: Manifest | None) -> dict[str, list[str]]:
    """Of each stage that is done, the files that are missing or are not what it wrote."""
    entries = (manifest.stages if manifest else {}).items()
    found = {stage: list(run.differing(entry.files)) for stage, entry in entries if entry.state == "done"}
    return {stage: files for stage, files in found.items() if files}


def print_plan(plan: Plan, run: Run) -> None:
    """Print what the command would run, on what, and about how long."""
    settings = plan.settings
    cpus, gpus = this_machine()
    slots = slots_for(cpus, gpus, settings.resources)
    kind = "GPU share" if gpus else "core"
    print(f"run folder  {run.location}")
    print(f"preset      {settings.preset}, seed {settings.seed}")
    print(f"slots       {slots} trainings at once, one {kind} each ({_machine(settings, cpus, gpus)})\n")
    print(f"{'stage':<13} {'state':<10} {'trainings':>9} {'epochs':>7} {'images':>8}   about")
    total = 0.0
    for stage in plan.selected:
        state = "to do" if stage in plan.to_do else "done"
        work = stage.work(settings) if stage.work else None
        seconds = 0.0
        if work and stage in plan.to_do:
            turns = -(-max(0, work.units - _num_recorded(plan, stage, run)) // slots)
            seconds = STAGE_SECONDS + turns * work.core_seconds / work.units / SPEED[kind]
        total += seconds
        columns = (work.units, work.epochs, work.images) if work else ("", "", "")
        about = duration(seconds) if seconds else "–"
        print(f"{stage.name:<13} {state:<10} {columns[0]:>9} {columns[1]:>7} {columns[2]:>8}   {about}")
    print(f"\nabout {duration(total)} in all; nothing was started")


def _num_recorded(plan: Plan, stage: Stage, run: Run) -> int:
    """Trainings that a command with these settings finds done."""
    if stage.name in plan.settings.force:
        return 0
    return len(run.list(f"records/{stage.name}/{plan.fingerprint(stage, plan.manifest)}", ".json"))


def _machine(settings: CommandLine, cpus: int, gpus: int) -> str:
    if settings.address not in {"auto", "local"}:
        return f"estimated for this machine; what {settings.address} has is not asked"
    return f"this machine: {cpus} cores, {gpus} GPUs"


def print_status(plan: Plan, run: Run) -> None:
    """Print how far each stage is."""
    if plan.manifest is None:
        print(f"{run.location}: no run yet")
        return
    busy = holder(run)
    if busy:
        print(f"in use by {busy}")
    print(f"{'stage':<13} {'state':<12} {'seconds':>8}")
    for stage in plan.stages:
        entry = plan.manifest.stages.get(stage.name)
        state, seconds, note = "missing", "", ""
        if entry:
            state = "unfinished" if entry.state == "running" and not busy else entry.state
            seconds = f"{entry.seconds:.0f}"
            note = (entry.error or "").strip().splitlines()[-1] if entry.error else ""
        if entry and state == "done" and not plan.was_done(stage):
            note = "made with other settings"
        if stage.work and state != "done":
            units = stage.work(plan.settings).units
            note = f"{_num_recorded(plan, stage, run)} of {units} trainings recorded  {note}"
        print(f"{stage.name:<13} {state:<12} {seconds:>8}  {note}".rstrip())
