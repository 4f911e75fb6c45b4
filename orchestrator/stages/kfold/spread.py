"""How much folds differ, and how much of that is chance."""

from collections.abc import Iterator

import pandas as pd

from orchestrator.figures.names import MODELS, capital
from orchestrator.statistics.components import mean_of_crossed, ratio_of_components


def findings(folds: pd.DataFrame) -> Iterator[str]:
    """Sentences on the table folds, of finished trainings."""
    for (model, order), rows in folds.groupby(["model", "order"], observed=True, sort=False):
        which = f"{capital(MODELS[str(model)])}, {str(order).replace('_', ' ')}"
        pivoted = {name: rows.pivot(index="fold", columns="seed", values=name) for name in ("val_mse", "test_mse")}
        crossed = {name: table.dropna(axis=1) for name, table in pivoted.items()}  # seeds that have every fold
        if len(crossed["val_mse"]) < 2 or crossed["val_mse"].empty:
            continue
        told = []
        for name, what in (("val_mse", "validation"), ("test_mse", "test")):
            mean, spread = mean_of_crossed(crossed[name].to_numpy()), crossed[name].std().mean()
            told.append(f"{what} MSE {mean.value:.5f} ({mean.low:.5f} to {mean.high:.5f}), deviation {spread:.5f}")
        num_folds, num_seeds = crossed["val_mse"].shape
        yield f"{which}, {num_folds} folds, {num_seeds} seed(s) of each: {'; '.join(told)}."
        if num_seeds > 1:
            found = ratio_of_components(crossed["val_mse"].to_numpy())
            yield (
                f"{which}: what is the folds' own in their validation errors is {found.value:.2f} times "
                f"({found.low:.2f} to {found.high:.2f}) what seeds make of a fold, by an analysis of variance."
            )
