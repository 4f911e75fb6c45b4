"""The engine knows no paper: it can be imported, and read, without the experiments; and no module needs itself."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.command import REPOSITORY

STRANGERS = ("orchestrator.stages", "orchestrator.claims", "trainables")
LOADED = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted(sys.modules)))
"""


@cache
def modules() -> dict[str, Path]:
    """Every module of the program, by name."""
    paths = [path for top in ("orchestrator", "trainables") for path in sorted((REPOSITORY / top).rglob("*.py"))]
    parts = {path: path.relative_to(REPOSITORY).with_suffix("").parts for path in paths}
    return {".".join(names[:-1] if names[-1] == "__init__" else names): path for path, names in parts.items()}


ENGINE = [name for name in modules() if name.split(".")[:2] == ["orchestrator", "engine"]]


def is_in(name: str, packages: tuple[str, ...]) -> bool:
    return any(f"{name}.".startswith(f"{package}.") for package in packages)


def loaded_by(*names: str) -> set[str]:
    """Modules that a Python has loaded once these are imported."""
    command = [sys.executable, "-c", LOADED, *names]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def test_engine_is_imported_without_the_experiments_and_without_torch() -> None:
    loaded = loaded_by(*(name for name in ENGINE if name != "orchestrator.engine.ray_train"))
    assert {"orchestrator.engine.ray_tune", "orchestrator.engine.scheduler", "ray"} <= loaded
    assert not {name for name in loaded if is_in(name, (*STRANGERS, "torch"))}


def test_what_runs_shared_trainings_is_imported_without_the_experiments() -> None:
    loaded = loaded_by(*ENGINE)
    assert "torch" in loaded
    assert not {name for name in loaded if is_in(name, STRANGERS)}


def test_commands_are_imported_without_what_only_trainings_tables_and_figures_need() -> None:
    heavy = ("matplotlib", "pandas", "sklearn", "scipy", "torch", "ray", "optuna")
    assert not {name for name in loaded_by("orchestrator.run") if is_in(name, heavy)}


def imports(tree: ast.AST, *, in_functions: bool) -> Iterator[str]:
    """What a module imports, also under TYPE_CHECKING: modules, and names that may be modules."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif in_functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imports(node, in_functions=in_functions)


@pytest.mark.parametrize("name", ENGINE)
def test_module_of_the_engine_names_nothing_of_the_program_but_the_engine(name: str) -> None:
    found = set(imports(ast.parse(modules()[name].read_text()), in_functions=True))
    assert found or name in {"orchestrator.engine", "orchestrator.engine.shown"}
    assert not {it for it in found if is_in(it, STRANGERS)}
    assert not {it for it in found if is_in(it, ("orchestrator",)) and not is_in(it, ("orchestrator.engine",))}


def module_of(imported: str) -> str | None:
    """The program's module that an import means: itself, or that whose name it is."""
    while imported and imported not in modules():
        imported = imported.rpartition(".")[0]
    return imported or None


def test_no_module_imports_itself_by_way_of_others() -> None:
    """At module level, also for annotations; a package is not taken to import what its modules do."""
    graph = {}
    for name, path in modules().items():
        found = map(module_of, imports(ast.parse(path.read_text()), in_functions=False))
        graph[name] = {it for it in found if it is not None}
    assert {"orchestrator.engine.folder", "orchestrator.engine.manifest"} <= graph["orchestrator.engine.results"]
    assert {"orchestrator.engine.suite", "orchestrator.stages.kfold"} <= graph["orchestrator.paper"]
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))
    assert set(order) == set(modules())
