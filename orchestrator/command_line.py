"""The command line and the YAML file as settings: preset, then file, then flags; a mistake is one line."""

import contextlib
import io
import re
from collections.abc import Collection, Sequence
from typing import Any

import tyro
from pydantic import Field, ValidationError, create_model

from orchestrator.engine.settings import RunSettings, UserError, first_mistake, merged, nested
from orchestrator.engine.suite import Suite
from orchestrator.help import UNREAD, with_flags
from orchestrator.settings_file import manifest_settings, preset_of, read_file, read_settings, similar

CLASSES = {"--model": "", "--classify.model": "classify", "--gan.model": "gan"}
"""Flags that name classes of the user's own, and the sections that these stand in."""


def defaults(arguments: list[str], suite: Suite) -> RunSettings:
    """Settings from the preset and the YAML file, or a run's manifest, that arguments name; without the flags."""
    preset, path = _early("--preset", arguments), _early("--config", arguments)
    content = b"" if path is None else read_file(path)
    manifest, where = manifest_settings(content), "--preset"
    if manifest is not None:
        if preset not in {None, made_with := str(manifest.get("preset"))}:
            raise UserError(f"--preset {preset}: the manifest {path} is of the preset {made_with}; leave one out")
        preset = made_with
    elif preset is None and path is not None:
        preset, where = preset_of(path, content), f"{path}: preset"
    preset = next(iter(suite.presets)) if preset is None else preset
    if preset not in suite.presets:
        hint = similar(preset, suite.presets)
        raise UserError(f"{where}: {preset!r} is none of {', '.join(suite.presets)}{hint}")
    settings = suite.preset(preset)
    if path is None:
        return settings
    known = nested(settings)
    if manifest is not None:
        _check_classes(path, manifest, arguments)
    try:
        told = read_settings(path, content, known) if manifest is None else manifest
        return suite.settings.model_validate(merged(known, told) | {"preset": preset})
    except ValidationError as error:
        raise UserError(f"{path}: {first_mistake(error)}") from None


def _check_classes(path: str, manifest: dict[str, Any], arguments: list[str]) -> None:
    """See that classes which a manifest names are named by the arguments too: importing them runs their code."""
    sections = {flag: manifest.get(section) if section else manifest for flag, section in CLASSES.items()}
    for flag, told in sections.items():
        named = told.get("model") if isinstance(told, dict) else None
        if named and _early(flag, arguments) != named:
            raise UserError(f"{path} is of a run with {flag} {named}: name it too, if you know that code")


def parse(
    arguments: list[str], suite: Suite, default: RunSettings | None = None
) -> tuple[RunSettings, tuple[str, ...]]:
    """Settings from the preset, then the YAML file, then the flags; and the words that are no flags.

    UserError for an unknown setting, a value out of range, or a file that is not YAML.
    """
    default = default or defaults(arguments, suite)
    words: Any = (tyro.conf.Positional[tuple[str, ...]], Field(()))
    kind: Any = create_model("CommandLine", __base__=with_flags(suite.settings), **UNREAD, stages=words)
    parsed = _tyro(arguments, kind, kind.model_validate(default.model_dump()))
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if not argument or re.fullmatch(r"--[\w.-]+=", argument):
            raise UserError(f"{argument.rstrip('=') or before}: nothing is given after it")
    return suite.settings.model_validate(parsed.model_dump(exclude={"stages"})), parsed.stages


def stage_names(
    suite: Suite, settings: RunSettings, words: Sequence[str], commands: Collection[str] = ()
) -> tuple[str, ...]:
    """The stages that words name, and those to be forced; UserError where a run with these settings has not such.

    `commands` are what the words may have been meant to be.
    """
    known = [stage.name for stage in suite.wanted(settings)]
    absent = {stage.name: stage.absent(settings) for stage in suite.stages if stage.name not in known}
    for name in [*words, *settings.force]:
        if name in absent:
            raise UserError(f"{name} is not among the stages of this run: {absent[name]}")
        if name not in {"all", *known}:
            others = commands if name in words else ()
            kind, there = f"stage{' or command' if others else ''}", ["all", *known, *others]
            hint = similar(name, there)
            if set(name.split(",")) <= {"all", *known}:
                hint = f"; stages are separated by spaces: {name.replace(',', ' ')}"
            raise UserError(f"{name!r} is no {kind}{hint}; there are: {', '.join(there)}")
    return tuple(known) if not words or "all" in {*words, *settings.force} else (*words, *settings.force)


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


def _tyro(arguments: list[str], kind: Any, default: Any) -> Any:
    """tyro parses; its boxed errors become one line."""
    boxed = io.StringIO()
    try:
        with contextlib.redirect_stderr(boxed):
            return tyro.cli(kind, args=arguments, default=default, prog="fmo")
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
    raise UserError(_one_line(boxed.getvalue(), arguments, default))


def _one_line(boxed: str, arguments: list[str], default: Any) -> str:
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
    return _in_plain_words(message, arguments, default) or (
        f"{message}; did you mean {meant[1]}?" if meant else f"{message} (see --help)"
    )


def _in_plain_words(message: str, arguments: list[str], default: Any) -> str:
    """What tyro says of a flag's value, with the mend; empty where it is of something else."""
    found = re.match(r"(?:Error parsing|.*for argument) '?(--[\w.-]+)", message)
    given = [part for it in arguments for part in it.split("=", 1)]
    if found:
        flag = found[1]
        values = given[given.index(flag) + 1 :][:1] if flag in given else []
        if values and "," in values[0] and isinstance(_value(flag, default), tuple):
            return f"{flag}: values are separated by spaces: {flag} {' '.join(values[0].replace(',', ' ').split())}"
        if number := re.search(r"(invalid literal for int|could not convert string to float).*?('.*?')", message):
            kind = "whole number" if "int" in number[1] and "float" not in number[1] else "number"
            return f"{flag}: a {kind} is wanted, not {number[2]}"
        if choice := re.match(r"invalid choice '(.*?)' for .* one of \((.*?),?\)", message):
            known = [name.strip(" '") for name in choice[2].split(",")]
            return f"{flag}: {choice[1]!r} is none of {', '.join(known)}{similar(choice[1], known)}"
        if wanted := re.match(r"Missing value for .* Expected (\d+) values", message):
            return f"{flag}: {'a value is' if wanted[1] == '1' else f'{wanted[1]} values are'} wanted after it"
    elif (unknown := re.match(r"Unrecognized options: ([^-\s][^,]*)$", message)) and unknown[1] in given:
        before = given[given.index(unknown[1]) - 1]
        if isinstance(_value(before, default), bool):
            section, dot, name = before.removeprefix("--").rpartition(".")
            return f"{before}: takes no value: it means yes as it is, and --{section}{dot}no-{name} no"
        return f"{unknown[1]!r} stands apart: stages and commands stand together, before the settings"
    return ""


def _value(flag: str, default: Any) -> Any:
    """A setting's value by its flag; None where there is no such."""
    for name in flag.removeprefix("--").replace("-", "_").split("."):
        default = getattr(default, name, None)
    return default
