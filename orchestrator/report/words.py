"""Numbers and names as people write them."""

import math
from typing import Any

import pandas as pd

from orchestrator.statistics.intervals import LEVEL

MINUS = "\N{MINUS SIGN}"
WORDS = {
    "mse": "MSE",
    "knn": "kNN",
    "pca": "PCA",
    "auc": "AUC",
    "frechet": "Fréchet",
    "num": "number of",
    "val": "validation",
    "train": "training",
}
WHOLE = {"num_train": "training images", "num_val": "validation images", "n": "n", "p_holm": "p (Holm)"}
"""Names of columns in words."""

VERDICTS = {
    "contradicted": "contradicted",
    "partly": "partly supported",
    "supported": "supported",
    "inconclusive": "inconclusive",
    "not_tested": "not tested",
    "not_followed": "protocol not followed",
    "partly_followed": "protocol partly followed",
    "followed": "protocol followed",
}
"""In words, in the order in which the page has them."""


def cell(value: Any) -> str:
    """A value of a table."""
    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return "–"
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        whole = value.is_integer() and abs(value) < 1e6
        return (f"{value:.0f}" if whole else f"{value:.4g}").replace("-", MINUS)
    return str(value)


def name(column: str) -> str:
    """A column's name in words."""
    words = column.removeprefix("params_").split("_")
    return WHOLE.get(column) or " ".join(WORDS.get(word, word) for word in words)


def interval(value: float, low: float | None, high: float | None, *, spread: bool = False) -> str:
    """A number with its interval's ends, or a range's, all with as many decimals as their distance tells."""
    if low is None or high is None or not low < high:  # or missing
        return cell(value)
    decimals = min(8, max(0, 2 - round(math.log10(high - low))))
    number, *ends = (f"{it:.{decimals}f}".replace("-", MINUS) for it in (value, low, high))
    return f"{number} ({'range ' if spread else ''}{' to '.join(ends)})"


def measured(claim: dict[str, Any]) -> str:
    """What was measured for a claim."""
    if claim["measured"] is None:
        return "" if claim["seconds"] is None else f"{claim['seconds']:.3g} s"
    return interval(claim["measured"], claim["low"], claim["high"], spread=claim["interval"] == "range")


def tested(claim: dict[str, Any]) -> str:
    """How many observations there were, and what the test and another threshold say."""
    told = []
    if claim["n"] is not None:
        told.append(f"n = {claim['n']:,}")
    if claim["p"] is not None:
        among = "" if claim["p_holm"] is None else f", among all tests {_p(claim['p_holm'])}"
        told.append(f"p {_p(claim['p'])}{among}")
    if (claim["p"] or 0) >= LEVEL and claim["smallest_effect"] is not None:
        told.append(f"smallest effect that would have been seen {cell(claim['smallest_effect'])}")
    if claim["sensitivity"] not in (None, "none"):
        told.append(f"threshold {cell(claim['threshold'])}; {claim['sensitivity']}")
    return "; ".join(told)


def _p(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else f"= {value:.2g}"
