"""A set of stages with their settings: what the engine runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError, create_model

from orchestrator.engine.settings import (
    DECIDE_NOTHING,
    RunSettings,
    UserError,
    changed,
    changes,
    differences,
    is_scale,
    merged,
    section,
)
from orchestrator.engine.stage import Stage
from orchestrator.engine.typed import flag

if TYPE_CHECKING:
    from orchestrator.engine.manifest import Manifest
    from orchestrator.engine.results import Run


NAMES = {"preset", "name", "config", "force"}
"""Settings that a command which follows another has of its own."""


@dataclass(frozen=True)
class Suite:
    """Stages in the order in which they are shown, each after those that it needs."""

    stages: tuple[Stage[Any, Any], ...]
    base: type[RunSettings]
    """Settings that are no stage's."""
    presets: Mapping[str, Mapping[str, Any]]
    """What of the base's settings is other than by default, by preset; the stages have their own. The first preset
    is that of a command that names none."""
    full: str
    """The preset that others are less than."""
    data_checksum: Callable[[Any], str]
    """Identifies the data that some settings select."""
    load_data: Callable[[Any], Any]
    """Loads them; raises UserError where they cannot be had."""
    epilogue: Callable[[Suite, Run, Manifest, Sequence[str]], Mapping[str, bytes]]
    """Makes files, by name, of all that a run has found, and of lines that say in which code, packages
    and devices its results differ: its report."""
    summary: Callable[[Run], Iterable[str]] = lambda run: ()
    """What a run has found, in a few lines for the end of a command."""
    modules: tuple[str, ...] = ()
    """Modules whose code decides results, beside the engine's and the stages' own."""
    further_modules: Callable[[Any], Iterable[str]] = lambda settings: ()
    """Modules that some settings name."""
    complete: Callable[[Any], Any] = lambda settings: settings
    """Adds to settings what only the data can tell; raises UserError where they cannot be had."""
    pace: Callable[[], float] = lambda: 1.0
    """Finds out, in a few seconds, how many of them a core here takes for what stages expect to take one."""
    publish: str = ""
    """A command that shows a run of full scale to others, but for the run's location at its end."""
    apart: Callable[[Any], Mapping[str, Any]] = lambda settings: {}
    """What of some settings is no matter of scale: full scale is with the same."""

    @cached_property
    def settings(self) -> type[RunSettings]:
        """Settings of a run: the base's, and a section for each stage that has one of its own."""
        sections: dict[str, Any] = {}
        for stage in self.stages:
            if "." not in stage.path and stage.path not in self.base.model_fields:
                sections.setdefault(stage.path, (stage.settings, stage.settings()))
        return create_model("Settings", __base__=self.base, **sections)

    def preset(self, name: str) -> RunSettings:
        """All settings as a preset has them."""
        changes = {"preset": name, **self.presets[name]}
        for stage in self.stages:
            nested: Any = stage.presets.get(name, {})
            for part in reversed(stage.path.split(".")):
                nested = {part: nested}
            changes = merged(changes, nested)
        return changed(self.settings(preset=name), **changes)

    def modules_of(self, stage: Stage[Any, Any], settings: RunSettings) -> tuple[str, ...]:
        """Modules whose code decides a stage's results with some settings."""
        own = type(stage).__module__
        of_stage = () if own.startswith(self.modules) else (own.partition(".")[0],)
        return (__name__.rpartition(".")[0], *self.modules, *of_stage, *self.further_modules(settings))

    def wanted(self, settings: RunSettings) -> tuple[Stage[Any, Any], ...]:
        """The stages of a run with these settings."""
        return tuple(stage for stage in self.stages if not stage.absent(settings))

    def in_full(self, settings: RunSettings) -> RunSettings:
        """Settings at full scale that are like these in what is no matter of scale."""
        return changed(self.preset(self.full), **self.apart(settings))

    def typed(self, settings: RunSettings) -> str:
        """What repeats a run's results, typed after the program's name: preset, and every setting that is other than
        the preset's and decides some."""
        return self._all(settings.preset, self._changes(settings))

    def typed_in_full(self, settings: RunSettings) -> str:
        """What does the same at full scale, typed likewise, with all that was told but for what makes it smaller."""
        told = self._changes(settings, left_out=NAMES)
        kept = {path: value for path, value in told.items() if not is_scale(settings, path)}
        named = {"name": f"{settings.name}-{self.full}"} if settings.name else {}
        return self._all(self.full, self._changes(self.in_full(settings)) | kept | named)

    def typed_again(self, settings: RunSettings, **other: Any) -> str:
        """What does the same with all that was told, typed likewise, but for the name and for what is to be other."""
        return self._all(settings.preset, self._changes(settings, left_out=NAMES) | other)

    def _changes(self, settings: RunSettings, left_out: Collection[str] = DECIDE_NOTHING) -> dict[str, Any]:
        mine, usual = (it.model_dump(mode="json") for it in (settings, self.preset(settings.preset)))
        return dict(changes(mine, usual, left_out=left_out))

    def _all(self, preset: str, told: Mapping[str, Any]) -> str:
        flags = (flag(path.replace("_", "-"), value) for path, value in told.items())
        return " ".join(["all", f"--preset {preset}", *flags])

    def reduced(self, settings: RunSettings) -> dict[str, list[str]]:
        """Of each stage of a run, what is other than at full scale in its settings, or in what it builds on."""
        full = self.in_full(settings)
        paths = {type(section): name for name, section in full}
        apart = [stage.path for stage in self.stages if "." in stage.path]
        less: dict[str, list[str]] = {}
        for stage in self.wanted(settings):
            holds_own = type(getattr(settings, stage.path.split(".")[0]))
            lines = [line for name in stage.needs(stage.own(settings)) for line in less[name]]
            for kind in stage.reads:
                also = stage.name if kind is holds_own else ""
                lines += differences(section(kind, settings), section(kind, full), paths[kind], also, apart)
            lines += differences(stage.own(settings), stage.own(full), stage.path, apart=apart)
            less[stage.name] = list(dict.fromkeys(lines))
        return less

    def as_told(self, told: Mapping[str, Any]) -> Any:
        """Settings that a manifest keeps, of the class `settings`; None where they are not this program's."""
        known = self.settings.model_fields
        try:
            return self.settings.model_validate({name: value for name, value in told.items() if name in known})
        except ValidationError:
            return None

    def fingerprints(self, settings: RunSettings) -> dict[str, str]:
        """Of each stage a hash of all that decides its outcome, and of its columns: are its tables up to date?

        Raises UserError where a stage needs one that is not among those before it.
        """
        prints: dict[str, str] = {}
        for stage in self.wanted(settings):
            own = stage.own(settings)
            missing = set(stage.needs(own)) - prints.keys()
            if missing:
                raise UserError(f"the stage {stage.name} needs {missing.pop()}, which is none of those before it")
            decides = {
                "stage": stage.name,
                "settings": [own, *(section(kind, settings) for kind in stage.reads)],
                "seed": settings.seed,
                "data": self.data_checksum(settings),
                "version": stage.version,
                "columns": {name: table.names for name, table in stage.schemas.items()},
                "needs": {name: prints[name] for name in stage.needs(own)},
            }
            content = json.dumps(decides, sort_keys=True, default=lambda it: it.model_dump(mode="json"))
            prints[stage.name] = hashlib.sha256(content.encode()).hexdigest()[:16]
        return prints
