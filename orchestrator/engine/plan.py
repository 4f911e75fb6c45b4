"""Which stages a command has to do; starts nothing."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Self

from orchestrator.engine.book import Book
from orchestrator.engine.manifest import Manifest
from orchestrator.engine.provenance import made, mixture
from orchestrator.engine.results import Run
from orchestrator.engine.stage import Stage


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

        Raises:
            UserError: a stage cannot do with the run's settings.
        """
        wanted, known = set(names), set(manifest.stages if manifest else ())
        for name in reversed(book.stages):
            if name in wanted:
                wanted.update(book.needs(name))
        forced = wanted if "all" in book.settings.force else wanted.intersection(book.settings.force)
        anew = {name for name in forced if book.was_done(name, manifest)}
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
        plan = cls(book, manifest, selected, tuple(it for it in selected if it.name in to_do), frozenset(anew))
        for stage in plan.to_do:
            stage.check(book.settings)
        return plan

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

    Of a stage whose trials cannot all be told, since what it needs or an earlier record is missing, all are left, and
    of one whose tables stand there while the manifest does not say what they are made of.
    """
    unused = []
    for name, stage in book.stages.items():
        entry, context = manifest.stages.get(name) if manifest else None, book.context(name)
        if entry is None and any(book.run.exists(f"tables/{table}.parquet") for table in stage.schemas):
            continue
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
    here = {name: made(book.suite.modules_of(stage, book.settings)) for name, stage in book.stages.items()}
    return mixture({name: trained[name] + written[name] for name in book.stages}, trained, here)
