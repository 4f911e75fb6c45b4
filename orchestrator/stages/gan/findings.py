"""What the tables of the GANs come to, in sentences."""

from collections.abc import Iterator

import pandas as pd

from orchestrator.engine.stage import Tables
from orchestrator.figures.names import ARMS, capital, game
from orchestrator.stages.gan.recipes import deviations

EXTRACTORS = {
    "frechet_distance": "the classifier's features",
    "frechet_distance_pixels": "principal components of the pixels",
}


def sentences(tables: Tables) -> Iterator[str]:
    """Each game's distance, beside its floor and what noise has; the games' order; and what is not the author's."""
    table = tables["gans"].dropna(subset=["frechet_distance"])
    if table.empty:
        return
    yield from _distances(tables["gan_intervals"].dropna(subset=["frechet_distance"]), table)
    yield _scores(table, tables["gan_references"].set_index("images"))
    if len(table.groupby(["arm", "loss"], observed=True)) > 1:
        yield _orders(table)
    yield from deviations(table)


def _distances(intervals: pd.DataFrame, table: pd.DataFrame) -> Iterator[str]:
    for row in intervals.to_dict("records"):
        arm, loss, distance = row["arm"], row["loss"], f"{row['frechet_distance']:.2f}"
        if pd.notna(row["low"]):
            distance += f" (95 % t interval {row['low']:.2f} to {row['high']:.2f})"
        if loss == "difference":
            yield f"{capital(ARMS[arm])}: minimax less non-saturating, seed by seed: {distance}."
            continue
        rows = table[(table["arm"] == arm) & (table["loss"] == loss)]
        yield (
            f"{capital(game(arm, loss))}, {len(rows)} seed(s): Fréchet distance {distance}, "
            f"{row['floor_ratio']:.1f} times the floor of {rows['floor_distance'].iloc[0]:.2f}; "
            f"{int(rows['collapsed'].sum())} collapsed."
        )


def _scores(table: pd.DataFrame, references: pd.DataFrame) -> str:
    """Of each arm and loss, beside training images and grey noise: alone they would say little."""
    shown = {"precision": "precision", "recall": "recall", "density": "density", "coverage": "coverage"}
    shown |= {"two_sample_accuracy": "two-sample accuracy"}
    of_games = {game(*which): rows[list(shown)].mean() for which, rows in _games(table)}
    beside = {"training images": references.loc["train"], "grey noise": references.loc["grey_noise"]}
    parts = [
        ", ".join(f"{values[column]:.2f}" for column in shown) + f" ({who})"
        for who, values in (of_games | beside).items()
    ]
    return f"{capital(', '.join(shown.values()))}, of training images and grey noise too: {'; '.join(parts)}."


def _orders(table: pd.DataFrame) -> str:
    """Of the arms and losses, nearest first, in each extractor's features."""
    orders = {}
    for column, extractor in EXTRACTORS.items():
        means = {game(*which): rows[column].mean() for which, rows in _games(table)}
        orders[extractor] = "; ".join(sorted(means, key=lambda name: means[name]))
    (by_features, one), (by_pixels, other) = orders.items()
    if one == other:
        return f"Nearest to the test images first, in {by_features} and in {by_pixels} alike: {one}."
    return f"Nearest to the test images first, in {by_features}: {one}. But in {by_pixels}: {other}."


def _games(table: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    for (arm, loss), rows in table.groupby(["arm", "loss"], observed=True, sort=False):
        yield (str(arm), str(loss)), rows
