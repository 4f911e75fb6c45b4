"""The paper's main numbers and the count of verdicts, as far as a run has them: lines for the end of a command."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestrator.engine.folder import Damaged
from orchestrator.engine.results import Run

if TYPE_CHECKING:
    import pandas as pd

NETWORKS = {"best": "the search's best", "paper_table1": "Table 1's network", "two_dim": "with two latent numbers"}


def summary(run: Run) -> Iterator[str]:
    """A line for each table that there is of claims, models, folds, classifiers and gan_intervals."""
    for name, told in (
        ("models", _models),
        ("folds", _folds),
        ("classifiers", _classifiers),
        ("gan_intervals", _gans),
        ("claims", _claims),
    ):
        with contextlib.suppress(FileNotFoundError, Damaged):
            yield from told(run.table(name))


def _models(models: pd.DataFrame) -> Iterator[str]:
    means = models.dropna(subset="test_mse").groupby("model", observed=True, sort=False)["test_mse"].mean()
    shown = [f"{means[name]:.4f} {what}" for name, what in NETWORKS.items() if name in means]
    if shown:
        yield f"test MSE: {', '.join(shown)}"


def _folds(folds: pd.DataFrame) -> Iterator[str]:
    of_paper = folds[folds["order"] == folds["order"].iloc[0]].dropna(subset="val_mse")
    for model, rows in of_paper.groupby("model", observed=True, sort=False):
        of_folds = rows.groupby("fold")["val_mse"].mean()
        yield f"{len(of_folds)} folds, {model}: validation MSE {of_folds.mean():.4f}, SD {of_folds.std():.4f}"


def _classifiers(classifiers: pd.DataFrame) -> Iterator[str]:
    cnn = classifiers[classifiers["architecture"] == "cnn"].groupby("input", observed=True)["test_accuracy"].mean()
    if {"latent", "raw"} <= set(cnn.dropna().index):
        yield f"CNN's test accuracy: {cnn['latent']:.3f} on latent vectors, {cnn['raw']:.3f} on raw images"


def _gans(intervals: pd.DataFrame) -> Iterator[str]:
    rows = intervals[intervals["loss"] != "difference"].dropna(subset="frechet_distance")
    shown = [f"{row.arm} {row.loss} {row.frechet_distance:.1f}" for row in rows.itertuples()]
    if shown:
        yield f"GANs' Frechet distance from the test images: {', '.join(shown).replace('_', '-')}"


def _claims(claims: pd.DataFrame) -> Iterator[str]:
    for what, kinds in (("measured or gives as a cause", ("measurement", "cause")), ("did", ("protocol",))):
        counts = claims[claims["kind"].isin(kinds)]["verdict"].value_counts()
        shown = [f"{number} {verdict}" for verdict, number in counts.items() if number]
        if shown:
            yield f"what the paper {what}: {', '.join(shown).replace('_', ' ')}"
