"""What help says: of all there is to type, of one stage, of one command, of every setting."""

import contextlib
import inspect
import io
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import Annotated, Any

import tyro
from pydantic import BaseModel, Field, create_model

from orchestrator.engine.provenance import versions
from orchestrator.engine.settings import Found, RunSettings, nested
from orchestrator.engine.stage import Stage
from orchestrator.engine.suite import Suite
from orchestrator.engine.typed import program

COMMANDS = {
    "plan": (
        "plan [STAGE ...] [--print-config]",
        "what would be done, on what, about how long; starts nothing",
        "Times go by what trainings took here in this run or in another of the same folder of runs; where there are "
        "none, a piece of the work is timed, two or three seconds (on GPUs they are a guess). --print-config prints "
        "all settings instead, as YAML that --config takes.",
    ),
    "status": (
        "status",
        "how far each stage is and what it took; starts nothing",
        "Tells too of records that nothing uses, of files that are missing, and of what was made by other code or "
        "packages than are here, or on devices that differ. From begin to end a stage also waits for others.",
    ),
    "compare": (
        "compare A B [C ...] [--json]",
        "whether two runs have the same tables and models, times aside; more of them side by side",
        "A and B are names of runs, or their folders. Each difference is a line; the exit status is 0 where there is "
        "none, else 1. Three runs or more are a table, a row for each; a word like runs.html makes it a page, --json "
        "prints it as JSON, of any number of runs.",
    ),
    "report": (
        "report",
        "writes the report anew, of what there is",
        "A run does so at its end; this is for what was changed since: the program, or the run's name.",
    ),
    "clean": (
        "clean",
        "removes the records of trainings that nothing uses any more",
        "Those of other settings than the tables', and than these, are removed for good; status counts them first.",
    ),
    "doctor": (
        "doctor [STAGE ...]",
        "whether every node of the cluster can do its part",
        "Connects to Ray, or starts it, and looks at versions, GPUs, shared memory and the run folder on every node.",
    ),
}
"""How each is typed, what it does, and what else is to be known."""
FLAGS = {"--json": "compare", "--print-config": "plan"}
"""Flags that are no settings, and the commands that have them."""
UNREAD: dict[str, Any] = {"__cls_kwargs__": {"use_attribute_docstrings": False}}
"""Of models that no source defines: nothing is looked up there, module by module of all that are imported."""
OFTEN = ("preset", "name", "runs_dir", "config", "seed", "force", "address")
EXAMPLES = {
    "plan --preset paper": "how long the paper's scale takes here",
    "all": "a first look, in minutes",
    "kfold --kfold.epochs 4": "kfold with other settings; what it needs is brought in",
    "compare laptop other": "did another seed, or machine, give the same?",
}


def asked(arguments: list[str], suite: Suite, settings: RunSettings) -> bool:
    """Print the help that arguments ask for, the version, or bash's completion; whether they ask for any.

    Nothing at all asks for help.
    """
    if "--version" in arguments:
        print("fmo", versions(("fashion-mnist-orchestrator",))["fashion-mnist-orchestrator"])
    elif "--show-completion" in arguments:
        words = ["all", *(stage.name for stage in suite.stages), *COMMANDS, *FLAGS, *_flags(settings)]
        print(f"complete -o default -W '{' '.join(words)}' fmo")
    elif "--help-all" in arguments:
        _settings_help(suite.settings, settings, program(), "Every setting, with its default for this preset.")
    elif not arguments or arguments[0] == "help" or {"--help", "-h"}.intersection(arguments):
        stages = {stage.name: stage for stage in suite.stages}
        topic = next((word for word in arguments if word in stages or word in COMMANDS), "")
        if topic in stages:
            _stage_help(stages[topic], settings)
        else:
            print("\n".join(_command_help(topic) if topic else _overview(suite)))
    else:
        return False
    return True


def with_flags(kind: type[BaseModel]) -> type[BaseModel]:
    """The same settings as tyro makes flags of them: there is none for what was found where a setting leads."""
    shown: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        if any(isinstance(it, Found) for it in field.metadata):
            shown[name] = (Annotated[field.annotation, tyro.conf.Suppress], field.default)
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            section = with_flags(field.annotation)
            if section is not field.annotation:
                default = section.model_validate(nested(field.default))
                shown[name] = (section, Field(default, description=field.description))
    return create_model(kind.__name__, __base__=kind, __doc__=kind.__doc__, **UNREAD, **shown) if shown else kind


def _overview(suite: Suite) -> Iterator[str]:
    name = program()
    yield f"usage: {name} STAGE ... | COMMAND  [--SETTING VALUE ...]\n"
    yield _wrapped(
        "Runs a study of FashionMNIST, or of images of yours, on Ray. What is finished is kept; the same command "
        "goes on from it."
    )
    yield "\nstages (what they need is brought in):"
    yield _row("all", "every stage, then the report")
    for stage in suite.stages:
        yield _row(stage.name, (stage.title or _about(stage)) + (f"; with {stage.flag}" if stage.flag else ""))
    yield "\ncommands:"
    for typed, does, _ in COMMANDS.values():
        yield _row(typed, does)
    yield "\nsettings that are used most:"
    fields = suite.settings.model_fields
    for field in OFTEN:
        yield _row(f"--{field.replace('_', '-')}", fields[field].description or "")
    yield "\nexamples:"
    for typed, told in EXAMPLES.items():
        yield f"  {name} {typed:<24} # {told}"
    yield "\nmore:"
    yield _row("STAGE --help", "what a stage does, and its settings")
    yield _row("COMMAND --help", "what a command does")
    yield _row("--help-all", "every setting, with its default; with --preset paper the paper's")


def _command_help(name: str) -> Iterator[str]:
    typed, does, more = COMMANDS[name]
    yield f"usage: {program()} {typed}  [--SETTING VALUE ...]\n"
    yield _wrapped(f"{does[0].upper()}{does[1:]}.")
    yield _wrapped(more)
    yield "\n" + _wrapped("--preset, --name and --runs-dir say of which run; --help-all has every setting.")


def _stage_help(stage: Stage[Any, Any], settings: RunSettings) -> None:
    """What the stage is, in its module's words, and its settings."""
    kind, default = stage.settings, stage.own(settings)
    for part in reversed(stage.path.split(".")):
        kind = create_model("Settings", **{part: (kind, default)})  # type: ignore[call-overload]  # by name
        default = kind()
    needs = ", ".join(stage.needs(stage.own(settings)))
    told = [_about(stage), f"Needs {needs}." if needs else "", f"Comes with {stage.flag}." if stage.flag else ""]
    about = "\n\n".join(filter(None, told)).split("\n\n")
    _settings_help(kind, default, f"{program()} {stage.name}", "\n\n".join(map(_indented, about)))


def _about(stage: Stage[Any, Any]) -> str:
    return inspect.cleandoc(sys.modules[type(stage).__module__].__doc__ or type(stage).__doc__ or "")


def _settings_help(kind: type[Any], default: Any, name: str, about: str) -> None:
    kind = with_flags(kind)
    default = kind.model_validate(nested(default))
    plain = io.StringIO()  # tyro knows no NO_COLOR, and has no colours for what is no terminal
    out = plain if os.environ.get("NO_COLOR") else sys.stdout
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(out):
        tyro.cli(kind, args=["--help"], default=default, prog=name, description=about)
    print(plain.getvalue(), end="")


def _flags(settings: BaseModel, prefix: str = "--") -> Iterator[str]:
    for name, value in settings:
        if any(isinstance(it, Found) for it in type(settings).model_fields[name].metadata):
            continue
        if isinstance(value, BaseModel):
            yield from _flags(value, f"{prefix}{name.replace('_', '-')}.")
        else:
            yield f"{prefix}{name.replace('_', '-')}"


def _width() -> int:
    return max(40, min(100, shutil.get_terminal_size().columns))


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _width())


def _indented(text: str) -> str:
    """A paragraph that tyro leaves wrapped: lines that begin with a letter it joins."""
    return textwrap.fill(" ".join(text.split()), _width(), initial_indent="  ", subsequent_indent="  ")


def _row(left: str, right: str) -> str:
    indent = " " * 22
    return textwrap.fill(" ".join(right.split()), _width(), initial_indent=f"  {left:<19} ", subsequent_indent=indent)
