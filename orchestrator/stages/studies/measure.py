"""What the repeated search came to: its studies' rows, and how far the trials' order is theirs and not chance's."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations, product
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from orchestrator.engine.records import Record
from orchestrator.engine.stage import Context, Table, Tables
from orchestrator.stages.architectures import model_row
from orchestrator.stages.search import Settings as Search
from orchestrator.stages.studies import FIXED, RETRAINED, SEARCH, Settings, Tried, num_alike
from trainables.autoencoder_settings import PAPER_TABLE1

Row = dict[str, Any]
MOST_DRAWS = 3125
"""Bootstrap draws of seeds: five have so many different ones."""


def measured(context: Context[Settings], records: Sequence[Record[Tried]]) -> Iterator[Table]:
    """The stage's tables."""
    searched = list(context.records(SEARCH).values())
    rows = [_row(SEARCH, number, record) for number, record in enumerate(searched)]
    alike = num_alike(context.section(Search))
    for record in records:
        study, number = record.config.study, record.config.number
        if study != RETRAINED:
            of_model: Record[Any] = replace(cast("Record[Any]", record), config=record.config.model)
            rows.append(_row(study, number, of_model))
            if study.startswith("tpe-") and number < alike:
                rows.append(_row(study.replace("tpe", "random"), number, of_model))
    rows.sort(key=lambda row: (row["study"] != SEARCH, row["study"], row["trial"]))
    complete = [row for row in rows if row["state"] == "complete"]
    for row in rows:
        row["on_front"] = row["state"] == "complete" and not any(_beats(other, row) for other in complete)
    yield Table("study_trials", rows)
    yield Table("studies", [_study(name, rows) for name in dict.fromkeys(row["study"] for row in rows)])
    top = [
        {"trial": r.config.number, "search_val_mse": searched[r.config.number].last["val_mse"]}
        | {"seed": r.seed, "val_mse": r.last.get("val_mse")}
        | r.outcome
        for r in records
        if r.config.study == RETRAINED
    ]
    yield Table("study_top", top)
    yield Table("study_ranks", ranks(top))


def _row(study: str, number: int, record: Record[Any]) -> Row:
    reached = record.epochs[-1]["val_mse"] if record.epochs else None
    return model_row(record, study=study, trial=number, val_mse=reached)


def _beats(one: Row, other: Row) -> bool:
    """With as few latent numbers, and less error."""
    fewer = one["params_latent_dim"] <= other["params_latent_dim"]
    return bool(fewer and one["val_mse"] < other["val_mse"])


def _study(name: str, rows: Sequence[Row]) -> Row:
    mine = [row for row in rows if row["study"] == name]
    complete = [row for row in mine if row["state"] == "complete"]
    best = min(complete, key=lambda row: row["val_mse"], default={})
    params = {column: best.get(column) for column in mine[0] if column.startswith("params_")}
    return params | {
        "study": name,
        "sampler": "random" if name.startswith("random") else "tpe",
        "seed": mine[0]["seed"],
        "latent_dim": PAPER_TABLE1.latent_dim if name == FIXED else None,
        "num_trials": len(complete),
        "best_val_mse": best.get("val_mse"),
        "num_parameters": best.get("num_parameters"),
    }


def ranks(top: Sequence[Row]) -> list[Row]:
    """Rows of the table study_ranks, of the trials that came to their end from every seed; none of fewer than two."""
    seeds = sorted({row["seed"] for row in top})
    reached = {(row["trial"], row["seed"]): row["val_mse"] for row in top if row["state"] == "complete"}
    whole = [
        trial for trial in dict.fromkeys(row["trial"] for row in top) if all((trial, s) in reached for s in seeds)
    ]
    if len(whole) < 2:
        return []
    before = np.array([next(row["search_val_mse"] for row in top if row["trial"] == trial) for trial in whole])
    after = np.array([[reached[trial, seed] for seed in seeds] for trial in whole])
    draws = [_tau(before, after[:, drawn].mean(axis=1)) for drawn in _draws_of_seeds(len(seeds))]
    told = {"search_and_retrained": (_tau(before, after.mean(axis=1)), *np.quantile(draws, (0.025, 0.975)))}
    if len(seeds) > 1:
        pairs = [_tau(one, other) for one, other in combinations(after.T, 2)]
        told["between_seeds"] = float(np.mean(pairs)), min(pairs), max(pairs)
    return [
        {"what": what, "kendall_tau": tau, "low": low, "high": high, "n": len(whole)}
        for what, (tau, low, high) in told.items()
    ]


def _draws_of_seeds(number: int) -> NDArray[np.int64]:
    """With replacement, as many as there are: all such draws, or of many some; shape (n, number)."""
    if number**number <= MOST_DRAWS:
        return np.array(list(product(range(number), repeat=number)))
    return np.random.default_rng(0).integers(number, size=(MOST_DRAWS, number))


def _tau(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(kendalltau(one, other).statistic)


def sentences(tables: Tables) -> Iterator[str]:
    """The stage's findings."""
    studies = tables["studies"].dropna(subset=["best_val_mse"]).astype({"study": str})
    for sampler, what in (("tpe", "TPE"), ("random", "random sampling")):
        best = studies[studies["study"].str.startswith(f"{sampler}-")]["best_val_mse"]
        if len(best):
            each = ", ".join(f"{value:.5f}" for value in best)
            yield f"Least validation MSE of each study of {studies['num_trials'].max()} trials by {what}: {each}."
    for row in tables["study_ranks"].itertuples():
        against = "their means over new seeds" if row.what == "search_and_retrained" else "one seed against another"
        yield (
            f"The order of the search's best {row.n} trials, {against}: Kendall's tau {row.kendall_tau:.2f} "
            f"({row.low:.2f} to {row.high:.2f})."
        )
    trials = tables["study_trials"].query("state == 'complete'")
    at_three = trials[trials["study"] == FIXED]
    of_table1 = at_three[has_table1_widths(at_three)]
    if len(of_table1) and len(at_three) > len(of_table1):
        others = at_three.drop(index=of_table1.index)["val_mse"].min()
        yield (
            f"With {PAPER_TABLE1.latent_dim} latent numbers in every trial the least validation MSE is "
            f"{of_table1['val_mse'].min():.5f} with Table 1's widths, {others:.5f} with others."
        )
    front = trials[trials["on_front"]].drop_duplicates("params_latent_dim").sort_values("params_latent_dim")
    if len(front):
        points = ", ".join(f"{row.params_latent_dim}: {row.val_mse:.5f}" for row in front.itertuples())
        yield f"Least validation MSE by latent size, where fewer numbers do not do as well: {points}."


def has_table1_widths(trials: Any) -> Any:
    """Which rows of trials have the widths of the paper's Table 1."""
    widths = {f"filters{number}": width for number, width in enumerate(PAPER_TABLE1.filters, start=1)}
    widths["neurons"] = PAPER_TABLE1.neurons
    return np.logical_and.reduce([trials[f"params_{name}"] == width for name, width in widths.items()])
