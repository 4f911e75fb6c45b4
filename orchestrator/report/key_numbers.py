"""The run's main numbers beside the paper's, and three sentences of what was found."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from orchestrator.engine.stage import Tables
from orchestrator.statistics.components import mean_of_crossed
from orchestrator.statistics.intervals import Interval, mean

Estimate = Callable[[pd.DataFrame], Interval]


@dataclass(frozen=True)
class KeyNumber:
    """A quantity, and how it follows from a table of the run."""

    quantity: str
    paper: str | None
    table: str
    estimate: Estimate
    elsewhere: str = ""
    """What the quantity is called where the images are not the paper's."""

    def ours(self, tables: Tables) -> Interval | None:
        """The run's; None where it has none."""
        table = tables.get(self.table)
        if table is not None and "state" in table:
            table = table[table["state"] == "complete"]
        if table is None or table.empty:
            return None
        try:
            found = self.estimate(table)
        except (LookupError, ValueError):  # no such row
            return None
        return found if pd.notna(found.value) else None


def _mean(value: str, **which: Any) -> Estimate:
    """Mean of a column over the rows, seeds say, that have some values."""

    def estimate(table: pd.DataFrame) -> Interval:
        return mean(_rows(table, which)[value])

    return estimate


def _over_folds(value: str, of: Callable[[pd.DataFrame], Interval], **which: Any) -> Estimate:
    """Of a column over sequential folds and their seeds, shape (folds, seeds)."""

    def estimate(table: pd.DataFrame) -> Interval:
        rows = _rows(table, {"order": "sequential", **which})
        crossed = rows.pivot(index="fold", columns="seed", values=value).dropna(axis=1)
        if crossed.empty:
            raise LookupError("no seed has every fold")
        return of(crossed)

    return estimate


def _mean_over_folds(crossed: pd.DataFrame) -> Interval:
    return mean_of_crossed(crossed.to_numpy())


def _deviation_over_folds(crossed: pd.DataFrame) -> Interval:
    """Mean over the seeds of each one's standard deviation over its folds, as a single cross-validation has it."""
    return mean(crossed.std(ddof=1))


def _one(value: str, low: str | None = None, high: str | None = None, number: str = "", **which: Any) -> Estimate:
    """A column of the one row that has some values, with its interval's ends and how many it is of."""

    def estimate(table: pd.DataFrame) -> Interval:
        row = _rows(table, which).iloc[0]
        lower, upper = (float(row[end]) if end and pd.notna(row[end]) else None for end in (low, high))
        return Interval(float(row[value]), lower, upper, n=int(row[number]))

    return estimate


def _rows(table: pd.DataFrame, which: Mapping[str, Any]) -> pd.DataFrame:
    for name, value in which.items():
        table = table[table[name] == value]
    if table.empty:
        raise LookupError(f"no row has {which}")
    return table


def _boot(table: pd.DataFrame) -> Interval:
    rows = _rows(table, {"model": "best", "level": 0.1, "index": 7418})
    return mean(rows.groupby("seed")["reconstructed_mse"].mean())


def _distance(arm: str, loss: str) -> KeyNumber:
    words = {"paper": "as the paper plays it", "tuned": "as it is tuned here"}[arm]
    quantity = f"Fréchet distance of the {loss.replace('_', '-')} GAN from test images, {words}"
    estimate = _one("frechet_distance", "low", "high", "num_seeds", arm=arm, loss=loss)
    return KeyNumber(quantity, None, "gan_intervals", estimate)


def _folds(model: str, words: str, paper: str | None) -> KeyNumber:
    estimate = _over_folds("val_mse", _mean_over_folds, model=model)
    return KeyNumber(f"validation MSE over the folds, {words}", paper, "folds", estimate)


ZEROED: dict[str, Any] = {"model": "best", "noise": "zeroed", "level": 0.1}
BEST = KeyNumber("test MSE of the best architecture", None, "models", _mean("test_mse", model="best"))
TABLE1 = KeyNumber(
    "test MSE of Table 1's architecture",
    "about .020 (Figure 1: of validation)",
    "models",
    _mean("test_mse", model="paper_table1"),
)
TWO_DIM = KeyNumber(
    "test MSE with two latent numbers", "apparently .0359 (a)", "models", _mean("test_mse", model="two_dim")
)
BOOT = KeyNumber(
    "MSE of the paper's ankle boot, a tenth of its pixels zeroed, after reconstruction",
    ".015, from .019 (a)",
    "denoising_boot",
    _boot,
)
IMPROVED = KeyNumber(
    "share of all test images that this improves",
    "the one that is shown",
    "denoising_seeds",
    _mean("fraction_improved", **ZEROED),
    "share of test images that gain where a tenth of their pixels is zeroed",
)
LATENT = KeyNumber(
    "accuracy of a CNN on the best architecture's latent vectors",
    None,
    "classifiers",
    _mean("test_accuracy", input="latent", architecture="cnn"),
)
RAW = KeyNumber(
    "accuracy of the like CNN on the images",
    None,
    "classifiers",
    _mean("test_accuracy", input="raw", architecture="cnn"),
)
GANS = tuple(_distance(arm, loss) for arm in ("paper", "tuned") for loss in ("minimax", "non_saturating"))
KEY_NUMBERS = (
    BEST,
    TABLE1,
    _folds("best", "best architecture", ".0200, .0197 to .0203 (a)"),
    TWO_DIM,
    LATENT,
    RAW,
    *GANS,
    KeyNumber(
        "standard deviation of the validation MSE over the folds of one seed, best architecture",
        ".0002 (a)",
        "folds",
        _over_folds("val_mse", _deviation_over_folds, model="best"),
    ),
    _folds("paper_table1", "Table 1's architecture", "about .020 (Figure 1)"),
    _folds("author_best", "the author's published best", None),
    BOOT,
    IMPROVED,
    KeyNumber(
        "mean gain in MSE of all test images by it",
        "loss improved in all extents",
        "denoising",
        _one("gain", "gain_low", "gain_high", "num_seeds", **ZEROED),
        "mean gain in MSE of all test images where a tenth of their pixels is zeroed",
    ),
    KeyNumber(
        "error of the best architecture there over that of the better of a median and a Gaussian filter",
        None,
        "denoising",
        _one("filter_ratio", "filter_ratio_low", "filter_ratio_high", "num_seeds", **ZEROED),
    ),
    KeyNumber(
        "test MSE with 64 latent numbers",
        "published by others: .0054",
        "reconstruction",
        _mean("test_mse", method="autoencoder", latent_dim=64),
    ),
)
"""The first ten stand on the page's first screen."""


def key_numbers(tables: Tables, scales: Mapping[str, str], *, papers: bool) -> Iterator[dict[str, Any]]:
    """Rows of the table key_numbers.

    Args:
        tables: of a run.
        scales: full or reduced, by table.
        papers: whether its images are the paper's, so that the paper's numbers may stand beside.
    """
    for number in KEY_NUMBERS:
        if number is BOOT and not papers:
            continue
        ours = number.ours(tables)
        yield {
            "quantity": number.quantity if papers else number.elsewhere or number.quantity,
            "paper": number.paper if papers else None,
            "ours": ours.value if ours else None,
            "low": ours.low if ours else None,
            "high": ours.high if ours else None,
            "n": ours.n if ours else None,
            "scale": scales.get(number.table, "full") if ours else None,
            "evidence": number.table,
        }


def sentences(tables: Tables) -> Iterator[str]:
    """What was found, as far as the run has it: of the autoencoder, of what it is good for, of the GANs."""
    error, table1, two, improved, latent, raw, *distances = (
        ours.value if (ours := number.ours(tables)) else None
        for number in (BEST, TABLE1, TWO_DIM, IMPROVED, LATENT, RAW, *GANS)
    )
    if error is not None and table1 is not None and two is not None:
        yield (
            "The architecture that the search finds reconstructs test images with a mean squared error of "
            f"{error:.4f}, the paper's Table 1 with {table1:.4f}; two latent numbers leave {two:.4f}."
        )
    if latent is not None and raw is not None:
        gain = (
            f"; {improved:.0%} of test images gain where a tenth of their pixels is zeroed"
            if improved is not None
            else ""
        )
        yield f"A CNN tells {latent:.1%} of test images apart by its latent vectors, {raw:.1%} by the images{gain}."
    if None not in distances:
        of_paper, of_tuned = (" and ".join(f"{it:.3g}" for it in pair) for pair in (distances[:2], distances[2:]))
        yield (
            "The minimax and the non-saturating GAN come to a Fréchet distance from test images of "
            f"{of_paper} as the paper plays them, of {of_tuned} as they are tuned here."
        )
