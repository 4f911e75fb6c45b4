"""Imports, one thread at a time: where two begin a circle of modules at different ends, Python fails one of them."""

import ast
import importlib
import inspect
import sys
import threading
from collections.abc import Iterator
from importlib.util import resolve_name
from types import ModuleType
from typing import Any

from orchestrator.engine.stage import Stage

_IMPORTING = threading.Lock()


def import_all(stage: Stage[Any, Any]) -> None:
    """Import what the modules of a stage's package import anywhere, also in their functions.

    What cannot be imported tells of itself where it is used.
    """
    kinds = [kind for kind in type(stage).__mro__ if issubclass(kind, Stage) and kind is not Stage]
    waiting = [kind.__module__ for kind in kinds]
    own = {sys.modules[name].__package__ or name for name in waiting}
    known = set(waiting)
    with _IMPORTING:
        while waiting:
            name = waiting.pop()
            try:
                module = importlib.import_module(name)
            except Exception:
                continue
            if any(f"{name}.".startswith(f"{package}.") for package in own):
                found = set(_imported_by(module)) - known
                waiting += sorted(found)
                known |= found


def _imported_by(module: ModuleType) -> Iterator[str]:
    """Names of the modules that a module's source imports, and of what may be modules."""
    try:
        tree = ast.parse(inspect.getsource(module))
    except OSError:  # there is none
        return
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = resolve_name("." * node.level + (node.module or ""), module.__package__ or "")
            yield package
            yield from (f"{package}.{alias.name}" for alias in node.names)
        elif not (
            isinstance(node, ast.FunctionDef) and node.name in {"train", "train_ensemble"}
        ):  # which runs in workers
            waiting += ast.iter_child_nodes(node)
