"""A run as a function, for notebooks and scripts: `orchestrator.run("all", preset="smoke")`."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from orchestrator.command_line import stage_names
from orchestrator.engine import execute
from orchestrator.engine.book import Book
from orchestrator.engine.settings import RunSettings, UserError, changed, first_mistake
from orchestrator.paper import suite
from orchestrator.results import Run
from orchestrator.settings_file import similar


def run(*stages: str, preset: str = "laptop", **settings: Any) -> Run:
    """Do stages and what they need, as the command does, and give the run: what is finished is not done again.

    `run("kfold", preset="smoke", name="mine", seed=2, data={"source": "digits.npz"}, kfold={"epochs": 3})`

    Args:
        stages: their names; all of them where none is given.
        preset: laptop, paper or smoke.
        settings: what is other than the preset's, as in a YAML file: those of a section as a dictionary.

    Raises:
        UserError: a name or a value is wrong, or the images, or the model; one line that says how to mend it.
        RuntimeError: a stage failed; what was finished is kept, and the same call goes on from it.
    """
    for name in (preset, *stages):
        if not isinstance(name, str):
            raise UserError(f'{name!r} is no name: run("search", "refit", preset="smoke") has one after the other')
    if preset not in suite().presets:
        raise UserError(
            f"preset: {preset!r} is none of {', '.join(suite().presets)}{similar(preset, suite().presets)}"
        )
    if "config" in settings:
        raise UserError("config: a file of settings is for the command; here they are arguments")
    try:
        told = changed(suite().preset(preset), **_plain(settings))
    except ValidationError as error:
        raise UserError(first_mistake(error)) from None
    told = suite().complete(told)
    names = stage_names(suite(), told, stages)
    folder = Run(f"{told.runs_dir.rstrip('/')}/{told.run_name}")
    book = Book(suite(), told, folder, set_aside=True)
    if execute.run(book, names):
        manifest = book.manifest()
        entries = manifest.stages.items() if manifest else ()
        why = "; ".join(f"{name} {it.state}: {it.why}" for name, it in entries if it.state in {"failed", "blocked"})
        raise RuntimeError(f"{folder.location}: {why}")
    return folder


def presets() -> dict[str, RunSettings]:
    """All settings of each preset, by its name: `presets()["paper"].kfold.epochs`."""
    return {name: suite().preset(name) for name in suite().presets}


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Paths and the like as text, sections as dictionaries."""
    return {
        name: _plain(value) if isinstance(value, Mapping) else str(value) if hasattr(value, "__fspath__") else value
        for name, value in settings.items()
    }
