"""The command line and the YAML file as settings: preset, then file, then flags; a mistake is one line."""

import contextlib
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

import tyro
from pydantic import Field, ValidationError, create_model

from orchestrator.engine.settings import RunSettings, UserError, merged
from orchestrator.engine.suite import Suite
from orchestrator.settings_file import read_manifest, read_settings, similar

HELP = """Run the paper's experiments; everything finished is kept, and the same command goes on where it stopped.

plan prints what would run and about how long; status prints what is done; compare A B tells whether two runs have the
same tables and models, times aside. None of these starts anything. doctor connects to Ray, or starts it, and tells
whether every node can do its part. report writes the page anew from what there is; clean removes records of trainings
that nothing uses any more."""
WORDS = """all, or names of stages (what they need is brought in), also after plan, status or doctor; or report, or
clean; or compare and two runs, or more for a table of them (a word like runs.html makes it a page)."""


def parse(arguments: list[str], suite: Suite) -> tuple[RunSettings, tuple[str, ...]]:
    """Settings from the preset, then the YAML file or a run's manifest, then the flags; and the words.

    UserError for an unknown setting, a value out of range, or a file that is not YAML; SystemExit after --help.
    """
    preset, path = _early("--preset", arguments), _early("--config", arguments)
    manifest = None if path is None else read_manifest(path)
    if manifest is not None:
        if preset not in {None, made_with := str(manifest.get("preset"))}:
            raise UserError(f"--preset {preset}: the manifest {path} is of the preset {made_with}; leave one out")
        preset = made_with
    preset = next(iter(suite.presets)) if preset is None else preset
    if preset not in suite.presets:
        raise UserError(f"--preset: {preset!r} is none of {', '.join(suite.presets)}")
    default = suite.preset(preset).model_dump()
    if path is not None:
        default = merged(default, read_settings(path, default) if manifest is None else manifest)
    words = (tyro.conf.Positional[tuple[str, ...]], Field(("all",), description=WORDS))
    kind: Any = create_model("CommandLine", __base__=suite.settings, __doc__=HELP, stages=words)
    try:
        command_line = kind.model_validate(default)
    except ValidationError as error:
        raise UserError(f"{path}: {_first_error(error)}") from None
    parsed = _tyro(arguments, kind, command_line)
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if not argument or re.fullmatch(r"--[\w.-]+=", argument):
            raise UserError(f"{argument.rstrip('=') or before}: nothing is given after it")
    return suite.settings.model_validate(parsed.model_dump(exclude={"stages"})), parsed.stages


def stage_names(
    suite: Suite, settings: RunSettings, words: Sequence[str], commands: Iterable[str]
) -> tuple[str, ...]:
    """The stages that words name, and those to be forced; UserError where a run with these settings has not such."""
    known = [stage.name for stage in suite.wanted(settings)]
    flags = {stage.name: stage.flag for stage in suite.stages if stage.name not in known}
    for name in [*words, *settings.force]:
        if name in flags:
            raise UserError(f"{name} is not among the stages of this run: {flags[name]} brings it in")
        if name not in {"all", *known}:
            hint = similar(name, ["all", *known, *commands])
            raise UserError(f"{name!r} is no stage{hint}; there are: all, {', '.join(known)}")
    return (*(known if not words or "all" in words else words), *settings.force)


def _early(flag: str, arguments: list[str]) -> str | None:
    """The value of a flag that decides the defaults of all others; tyro sees it again later."""
    values = []
    for position, argument in enumerate(arguments):
        if argument == flag and position + 1 < len(arguments):
            values.append(arguments[position + 1])
        elif argument.startswith(flag + "="):
            values.append(argument.partition("=")[2])
    if len(values) > 1:
        raise UserError(f"{flag} is given {len(values)} times: {', '.join(values)}; leave one")
    return values[0] if values else None


def _first_error(error: ValidationError) -> str:
    """The first of a validation's errors as one line: the setting, the rule, the value."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    rule = str(first["msg"]).removeprefix("Value error, ")
    got = "nothing" if first["input"] is None else str(first["input"])
    told = first["type"] in {"value_error", "missing"}
    return f"{where}: {rule}" + ("" if told else f" (got {got[:100]})") if where else rule


def _tyro(arguments: list[str], kind: Any, default: Any) -> Any:
    """tyro parses; its boxed errors become one line."""
    boxed = io.StringIO()
    try:
        with contextlib.redirect_stderr(boxed):
            return tyro.cli(kind, args=arguments, default=default, prog="python -m orchestrator.run")
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
    raise UserError(_one_line(boxed.getvalue()))


def _one_line(boxed: str) -> str:
    """tyro's error box as one line: title, frame and pydantic's advice away; the frame is ASCII on some terminals.

    Written against the boxes of the version that constraints.txt names; with another one, test_config.py tells.
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", boxed)
    parts = [" ".join(re.sub(r"[│|╭╮╰╯]", " ", part).split()) for part in re.split(r"[─-]{8,}", text)]
    message = next(iter(parts[1:]), parts[0])
    meant = re.search(r"Perhaps you meant: (--[\w.-]+)", " ".join(parts))
    pydantic = re.match(
        r"Error parsing (\S+): \d+ validation errors? for \w+ (?:(\w+)[.\d]* )?"
        r"(?:Value error, (.*?)|([A-Z].*?)) \[type=\w+, input_value=(.*?), input_type",
        message,
    )
    if pydantic:
        section, field, own_words, words, value = pydantic.groups()
        names = [name for name in (section, field) if name and name not in {"CommandLine", "stages"}]
        flag = f"--{'.'.join(names)}".replace("_", "-")
        return f"{flag}: {own_words}" if own_words else f"{flag}: {words} (got {value})"
    return f"{message}; did you mean {meant[1]}?" if meant else f"{message} (see --help)"
