"""How much folds differ, and how much of that is chance."""

from collections.abc import Iterator

import pandas as pd

from orchestrator.figures.names import MODELS, capital
from orchestrator.statistics.components import mean_of_crossed, ratio_of_components


def findings(folds: pd.DataFrame) -> Iterator[str]:
    """Sentences on the table folds, of finished trainings."""
    for (model, order), rows in folds.groupby(["model", "order"], observed=True, sort=False):
        which = f"{capital(MODELS[str(model)])}, {str(order).replace('_', ' ')}"
        crossed = {name: rows.pivot(index="fold", columns="seed", values=name) for name in ("val_mse", "test_mse")}
        num_folds, num_seeds = crossed["val_mse"].shape
        if num_folds < 2:
            continue
        told = []
        for name, what in (("val_mse", "validation"), ("test_mse", "test")):
            mean, spread = mean_of_crossed(crossed[name].dropna(axis=1).to_numpy()), crossed[name].std().mean()
            told.append(f"{what} MSE {mean.value:.5f} ({mean.low:.5f} to {mean.high:.5f}), deviation {spread:.5f}")
        yield f"{which}, {num_folds} folds, {num_seeds} seed(s) of each: {'; '.join(told)}."
        whole = crossed["val_mse"].dropna(axis=1)
        if whole.shape[1] > 1:
            found = ratio_of_components(whole.to_numpy())
            yield (
                f"{which}: what is the folds' own in their validation errors is {found.value:.2f} times "
                f"({found.low:.2f} to {found.high:.2f}) what seeds make of a fold, by an analysis of variance."
            )
