"""A YAML file of settings, read as it was typed: each setting makes of its text what it makes of a flag's.

YAML itself would take 0100 for 64, 1:30 for 90, no for false and a name's second value for its only one.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import count
from typing import Any

import yaml

from orchestrator.engine.settings import DECIDE_NOTHING, RunSettings, UserError

LARGEST_MANIFEST, LONGEST_BYTES, MOST_VALUES = 2**26, 1_000_000, 10_000
"""What no file of settings is longer than; a few lines of aliases may stand for millions of values."""
PLAIN = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map")}


def read_file(path: str) -> bytes:
    """What a file of settings or a manifest holds, read once, for it may be a pipe; UserError where there is none."""
    try:
        with open(os.path.expanduser(path), "rb") as file:
            return file.read(LARGEST_MANIFEST + 1)
    except (OSError, ValueError) as error:
        raise UserError(f"--config {path}: {getattr(error, 'strerror', None) or error}") from None


def read_settings(path: str, content: bytes, known: Mapping[str, Any]) -> dict[str, Any]:
    """What a file changes of the known settings, nested as they are, its names seen to be settings.

    Values are text, lists of text, and None where nothing or null stands; whole numbers are numbers.

    Raises:
        UserError: the file is not YAML, names a setting that is unknown, or one twice.
    """
    where, root = f"--config {path}", _parsed(path, content)
    if root is None or (isinstance(root, yaml.ScalarNode) and _scalar(root) is None):
        return {}
    if not isinstance(root, yaml.MappingNode):
        kind = "list" if isinstance(root, yaml.SequenceNode) else "str"
        raise UserError(f"{where}: expected settings as 'name: value', found a {kind}")
    try:
        return _Reader(path).section(root, known)
    except RecursionError:
        raise UserError(f"{where}: it is nested without end") from None


def preset_of(path: str, content: bytes) -> str | None:
    """The preset that a file of settings names; None where it names none."""
    root = _parsed(path, content)
    for name, value in root.value if isinstance(root, yaml.MappingNode) else ():
        if getattr(name, "value", "") == "preset":
            return str(value.value) if isinstance(value, yaml.ScalarNode) else ""
    return None


def as_yaml(settings: RunSettings) -> str:
    """A file of settings that makes these again; `config` and `force` are left out, and names that are empty."""
    told = settings.model_dump(mode="json", exclude={"config", "force"})
    return yaml.safe_dump(_without_empty(told), sort_keys=False, allow_unicode=True)


def _without_empty(told: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _without_empty(it) if isinstance(it, Mapping) else it for k, it in told.items() if it != ""}


def manifest_settings(content: bytes) -> dict[str, Any] | None:
    """What a run's manifest.json says that decides results, and preset and name; None where it is no manifest.

    Not where and how that run was done: a manifest of somebody else's leads to no cluster and no folder of theirs.
    """
    with contextlib.suppress(ValueError, RecursionError):
        told = json.loads(content)
        if isinstance(told, dict) and "schema_version" in told and isinstance(told.get("settings"), dict):
            left_out = DECIDE_NOTHING - {"preset", "name"}
            return {name: value for name, value in told["settings"].items() if name not in left_out}
    return None


def similar(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that was probably meant; empty where none is near."""
    close = get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _parsed(path: str, content: bytes) -> yaml.Node | None:
    where = f"--config {path}"
    if len(content) > LONGEST_BYTES:
        raise UserError(f"{where}: is longer than {LONGEST_BYTES:,} bytes, and no file of settings")
    try:
        root: yaml.Node | None = yaml.compose(content, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UserError(f"{where} is not YAML: {' '.join(str(error).split())[:200]}") from None
    if root is not None and root.tag not in PLAIN:
        raise UserError(f"{where} is not YAML without tags: it is a {root.tag}")
    return root


class _Reader:
    def __init__(self, path: str) -> None:
        self._path, self._num_values = path, count()

    def section(self, node: yaml.MappingNode, known: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
        """A section's settings, by name with underscores."""
        told = {}
        if not prefix and any(getattr(name, "value", "") == "schema_version" for name, _ in node.value):
            raise UserError(f"{self._path} is a run's manifest; a file of settings has lines like 'seed: 2'")
        for raw_key, value in self._pairs(node, prefix):
            key = raw_key.replace("-", "_")
            if key not in known or (not prefix and key == "config"):
                rule = "is given on the command line only" if key in known else f"is unknown{similar(key, known)}"
                raise UserError(f"{self._path}: the setting {prefix}{raw_key} {rule}")
            told[key] = self._value(value, f"{prefix}{key}", known[key])
        return told

    def _pairs(self, node: yaml.MappingNode, prefix: str) -> Iterator[tuple[str, yaml.Node]]:
        lines: dict[str, int] = {}
        for name, value in node.value:
            key = name.value if isinstance(name, yaml.ScalarNode) else "that is no text"
            line, same = name.start_mark.line + 1, key.replace("-", "_")
            if same in lines:
                raise UserError(f"{self._path}: {prefix}{key} stands there twice, in lines {lines[same]} and {line}")
            lines[same] = line
            yield key, value

    def _value(self, node: yaml.Node, setting: str, known: object = None) -> Any:
        if node.tag not in PLAIN:
            raise UserError(f"{self._path}: {setting} has the tag {node.tag}; write the value as it is meant")
        if next(self._num_values) > MOST_VALUES:
            raise UserError(f"{self._path}: {setting} has more than {MOST_VALUES:,} values")
        if isinstance(known, Mapping):
            if not isinstance(node, yaml.MappingNode):
                raise UserError(f"{self._path}: {setting} is a section; write its settings below it, indented")
            return self.section(node, known, f"{setting}.")
        if isinstance(node, yaml.SequenceNode):
            return [self._value(value, setting) for value in node.value]
        if isinstance(node, yaml.MappingNode):
            return {key: self._value(value, setting) for key, value in self._pairs(node, f"{setting}.")}
        assert isinstance(node, yaml.ScalarNode)
        return _scalar(node)


def _scalar(node: yaml.ScalarNode) -> str | int | None:
    text, plain = str(node.value), node.style is None
    if not text or (plain and text in {"null", "Null", "NULL"}):
        return None
    return int(text) if plain and re.fullmatch(r"-?(0|[1-9]\d{0,18})", text) else text
