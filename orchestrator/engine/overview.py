"""What a command would do and what a run has done, printed: plan, status. Starts nothing, changes no result."""

import math
from collections.abc import Iterable
from statistics import mean

from orchestrator.engine.book import Book
from orchestrator.engine.estimate import seconds_of, work_of
from orchestrator.engine.lock import holder
from orchestrator.engine.machine import Machine, slots_for, this_machine
from orchestrator.engine.manifest import Manifest
from orchestrator.engine.plan import Plan, damage, mixture_of, unused_files
from orchestrator.engine.progress import duration
from orchestrator.engine.settings import RunSettings
from orchestrator.engine.shown import print_table, shown


def print_plan(book: Book, names: Iterable[str]) -> int:
    """Print what a command would run, on what, and about how long."""
    settings, machine, manifest = book.settings, this_machine(), book.manifest()
    plan = Plan.make(book, names, manifest, damage(book.run, manifest))
    slots, work = slots_for([machine], settings.resources), work_of(plan, machine, calibrate=True)
    kind = "GPU share" if machine.gpus else "core"
    print(f"run folder  {book.run.location}")
    print(f"preset      {settings.preset}, seed {settings.seed}")
    print(f"slots       {slots} trainings at once, one {kind} each ({_machine(settings, machine)})\n")
    rows = []
    for stage in plan.selected:
        trials, numbers, alone = book.study(stage.name).trials, ["", "", "", ""], "-"
        if trials:
            epochs, num_images = round(mean(trial.epochs for trial in trials)), max(it.num_images for it in trials)
            counts = (book.study(stage.name).num_trials, epochs, num_images, plan.num_missing(stage))
            numbers = list(map(str, counts))
        if own := work.get(stage.name):
            alone = duration(own.training / min(slots, own.at_once) + own.own)
        rows.append([stage.name, "to do" if own else "done", *numbers, alone])
    counted = ("trainings", "epochs", "images", "to train")
    print_table(["stage", "state", *counted, "by itself"], rows, right=counted)
    missing = sum(map(plan.num_missing, plan.selected))
    trainings = "1 training" if missing == 1 else f"{missing} trainings"
    seconds = seconds_of(plan, work, machine, slots)
    print(f"\nabout {duration(seconds)} in all, {trainings} to do; nothing was started")
    return 0


def _machine(settings: RunSettings, machine: Machine) -> str:
    if settings.address not in {"auto", "local"}:
        return f"estimated for this machine; what {settings.address} has is not asked"
    return f"this machine: {machine.cpus:.0f} cores, {machine.gpus:.0f} GPUs"


def print_status(book: Book) -> int:
    """Print how far each stage is, what it took, and how many records nothing uses."""
    manifest = book.manifest()
    if manifest is None:
        print(f"{book.run.location}: no run yet")
        return 0
    damaged = damage(book.run, manifest)
    busy = holder(book.run)
    if busy:
        print(f"in use by {busy}")
    rows = []
    for name in book.stages:
        entry = manifest.stages.get(name)
        state, seconds, note = "missing", ["", ""], ""
        if entry:
            state = "unfinished" if entry.state == "running" and not busy else entry.state
            trained = f"{entry.training_seconds:.0f} s" if book.stages[name].config else "-"
            seconds = [trained, f"{entry.seconds:.0f} s"]
            note = entry.why or "; ".join(entry.warnings)
        if entry and state == "done" and not book.was_done(name, manifest):
            note = "made with other settings"
        if damaged.get(name):
            note = f"{', '.join(damaged[name])}: missing or damaged, the next run writes it again"
        study = book.study(name)
        if study.num_trials and (state != "done" or note):
            recorded = f"{len(study.records)} of {study.num_trials} trainings recorded"
            note = "; ".join(filter(None, (recorded, note)))
        rows.append([name, state, *seconds, note])
    if manifest.stages:
        rows.append(_total(manifest))
    times = ("training", "begin to end")
    print_table(["stage", "state", *times, "note"], rows, right=times)
    for line in mixture_of(book, manifest):
        print(shown(line))
    unused = sum(name.endswith(".json") for name in unused_files(book, manifest))
    if unused:
        print(f"{unused} records that nothing uses (clean removes them)")
    return 0


def _total(manifest: Manifest) -> list[str]:
    """A row on all stages: their trainings added up, and the time in which any of them was being done."""
    trained, spent, until = 0.0, 0.0, -math.inf
    for entry in sorted(manifest.stages.values(), key=lambda it: it.began):
        start = entry.began
        trained, end = trained + entry.training_seconds, start + entry.seconds
        spent, until = spent + max(0.0, end - max(start, until)), max(end, until)
    return ["total", "", f"{trained:.0f} s", f"{spent:.0f} s", "stages overlap; waiting counts too"]
