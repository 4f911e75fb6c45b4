"""Which stages a command has to do, and what that will take; starts nothing."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from statistics import mean
from typing import Any, Self

from orchestrator.engine.book import Book
from orchestrator.engine.lock import holder
from orchestrator.engine.machine import Machine, slots_for, this_machine
from orchestrator.engine.manifest import Manifest
from orchestrator.engine.progress import duration
from orchestrator.engine.provenance import made, mixture
from orchestrator.engine.results import Run
from orchestrator.engine.settings import RunSettings
from orchestrator.engine.shown import shown
from orchestrator.engine.stage import Stage

SPEED = {"core": 1.0, "GPU share": 6.0}
"""Of one slot, next to one core of docs/LOG.md's machine; the GPU's is a guess on the safe side."""
STAGE_SECONDS = 8
"""What a stage with trainings takes beside them: starting its workers, writing its tables."""


@dataclass(frozen=True)
class Plan:
    """The stages that a command asks for, and those of them that are still to be done."""

    book: Book
    manifest: Manifest | None
    selected: tuple[Stage[Any, Any], ...]
    to_do: tuple[Stage[Any, Any], ...]
    anew: frozenset[str]
    """Stages whose trainings are done again, although they are recorded."""

    @classmethod
    def make(cls, book: Book, names: Iterable[str], manifest: Manifest | None, damaged: Collection[str] = ()) -> Self:
        """What is needed is brought in; what depends on a stage that is redone, or trains again, is redone with it.

        Stages of which a file is damaged write their files again, from their records, and nothing depends on that.
        """
        wanted, known = set(names), set(manifest.stages if manifest else ())
        for name in reversed(book.stages):
            if name in wanted:
                wanted.update(book.needs(name))
        anew = {name for name in book.settings.force if name in wanted and book.was_done(name, manifest)}
        redo: set[str] = set()
        for name in book.stages:
            asked = name in wanted and (name in anew or not book.was_done(name, manifest))
            if asked or (name in known and redo.intersection(book.needs(name))):
                redo.add(name)
        to_do, so_far = redo | (wanted & set(damaged)), set[str]()
        while to_do != so_far:  # a stage whose records are gone trains again what others build on
            so_far = set(to_do)
            for name in reversed(book.stages):
                if name in to_do:
                    to_do.update(need for need in book.needs(name) if book.study(need).num_missing)
            trained = {name for name in to_do if book.study(name).num_missing}
            to_do.update(name for name in known if name in book.stages and trained.intersection(book.needs(name)))
        selected = tuple(stage for name, stage in book.stages.items() if name in wanted | to_do)
        return cls(book, manifest, selected, tuple(it for it in selected if it.name in to_do), frozenset(anew))

    def num_missing(self, stage: Stage[Any, Any]) -> int:
        """Trainings that the command has to do for a stage."""
        study = self.book.study(stage.name)
        return 0 if stage not in self.to_do else study.num_trials if stage.name in self.anew else study.num_missing


def damage(run: Run, manifest: Manifest | None) -> dict[str, list[str]]:
    """Of each stage that is done and lacks something, the files that are missing or are not what it wrote.

    None of these, where all that it lacks are figures that could not be drawn.
    """
    entries = manifest.stages if manifest else {}
    damaged = {stage: run.differing(it.files) for stage, it in entries.items() if it.state == "done"}
    return {stage: files for stage, files in damaged.items() if files or entries[stage].warnings}


def unused_files(book: Book, manifest: Manifest | None) -> list[str]:
    """Files of records, and what belongs to them, that neither tables nor trials with these settings are made of.

    Of a stage whose trials cannot all be told, since what it needs or an earlier record is missing, all are left.
    """
    unused = []
    for name in book.stages:
        entry, context = manifest.stages.get(name) if manifest else None, book.context(name)
        study = book.study(name)
        if not context.planning and len(study.trials) == study.num_trials:
            used = {trial.address for trial in study.trials} | set(entry.records if entry else ())
            unused += book.records(name).others(used | {context.inputs_address})
    return unused


def mixture_of(book: Book, manifest: Manifest | None) -> list[str]:
    """In which code, packages and devices a run's results differ from each other, or from what is here: lines."""
    trained, written = {}, {}
    for name in book.stages:
        entry = manifest.stages.get(name) if manifest else None
        is_done = entry is not None and entry.state == "done"
        trained[name] = list(entry.trained) if entry and is_done else [it.made for it in book.study(name).in_order()]
        written[name] = [entry.made] if entry and is_done else []
    here = {name: made(book.suite.modules_of(stage)) for name, stage in book.stages.items()}
    return mixture({name: trained[name] + written[name] for name in book.stages}, trained, here)


def _looked_at(book: Book, names: Iterable[str]) -> Plan:
    """What there is to do, with the run folder left as it is."""
    manifest = book.manifest()
    return Plan.make(book, names, manifest, damage(book.run, manifest))


def print_plan(book: Book, names: Iterable[str]) -> int:
    """Print what a command would run, on what, and about how long."""
    plan, settings = _looked_at(book, names), book.settings
    machine = this_machine()
    slots = slots_for([machine], settings.resources)
    kind = "GPU share" if machine.gpus else "core"
    print(f"run folder  {book.run.location}")
    print(f"preset      {settings.preset}, seed {settings.seed}")
    print(f"slots       {slots} trainings at once, one {kind} each ({_machine(settings, machine)})\n")
    print(f"{'stage':<13} {'state':<10} {'trainings':>9} {'epochs':>7} {'images':>8} {'to train':>9}   about")
    seconds, missing = 0.0, 0
    for stage in plan.selected:
        own_seconds, cells = 0.0, " " * 36
        trials = book.study(stage.name).trials
        if trials:
            own_missing, epochs = plan.num_missing(stage), round(mean(trial.epochs for trial in trials))
            num_trials, num_images = book.study(stage.name).num_trials, max(trial.num_images for trial in trials)
            cells = f"{num_trials:>9} {epochs:>7} {num_images:>8} {own_missing:>9}"
            if stage in plan.to_do:
                rounds = -(-own_missing // slots)
                own_seconds = STAGE_SECONDS + rounds * mean(trial.cost for trial in trials) / SPEED[kind]
                seconds, missing = seconds + own_seconds, missing + own_missing
        state = "to do" if stage in plan.to_do else "done"
        print(f"{stage.name:<13} {state:<10} {cells}   {duration(own_seconds) if own_seconds else '-'}")
    trainings = "1 training" if missing == 1 else f"{missing} trainings"
    print(f"\nabout {duration(seconds)} in all, {trainings} to do; nothing was started")
    return 0


def _machine(settings: RunSettings, machine: Machine) -> str:
    if settings.address not in {"auto", "local"}:
        return f"estimated for this machine; what {settings.address} has is not asked"
    return f"this machine: {machine.cpus:.0f} cores, {machine.gpus:.0f} GPUs"


def print_status(book: Book, names: Iterable[str]) -> int:
    """Print how far each stage is, and how many records nothing uses."""
    plan = _looked_at(book, names)
    if plan.manifest is None:
        print(f"{book.run.location}: no run yet")
        return 0
    busy = holder(book.run)
    if busy:
        print(f"in use by {busy}")
    print(f"{'stage':<13} {'state':<12} {'seconds':>8}")
    for name in book.stages:
        entry = plan.manifest.stages.get(name)
        state, seconds, note = "missing", "", ""
        if entry:
            state = "unfinished" if entry.state == "running" and not busy else entry.state
            seconds = f"{entry.seconds:.0f}"
            note = entry.why or "; ".join(entry.warnings)
        if entry and state == "done" and not book.was_done(name, plan.manifest):
            note = "made with other settings"
        study = book.study(name)
        if study.num_trials and (state != "done" or note):
            note = f"{len(study.records)} of {study.num_trials} trainings recorded  {note}"
        print(shown(f"{name:<13} {state:<12} {seconds:>8}  {note}".rstrip()))
    for line in mixture_of(book, plan.manifest):
        print(shown(line))
    unused = sum(name.endswith(".json") for name in unused_files(book, plan.manifest))
    if unused:
        print(f"{unused} records that nothing uses (clean removes them)")
    return 0
