"""Runs a study of images on Ray: `run("all")`; `Run("runs/laptop").table("folds")` is one of its tables."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.comparison import runs
    from orchestrator.engine.results import pooled
    from orchestrator.library import presets, run
    from orchestrator.results import Run

__version__ = "0.2.0"
__all__ = ["Run", "__version__", "pooled", "presets", "run", "runs"]
_HOMES = {
    "Run": "orchestrator.results",
    "pooled": "orchestrator.engine.results",
    "presets": "orchestrator.library",
    "run": "orchestrator.library",
    "runs": "orchestrator.comparison",
}


def __getattr__(name: str) -> Any:
    """What this package offers, imported when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
