"""Runs the experiments of a FashionMNIST study on Ray; `Run("runs/laptop").table("folds")` is a DataFrame of a run's."""

from orchestrator.engine.results import Run

__all__ = ["Run"]
