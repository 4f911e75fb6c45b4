"""Runs a FashionMNIST study on Ray; `Run("runs/laptop").table("folds")` is the DataFrame of one of its tables."""

from orchestrator.engine.results import Run, pooled

__all__ = ["Run", "pooled"]
