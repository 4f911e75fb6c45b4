"""The main numbers beside the paper's, on tables made up and on the smoke run's."""

from typing import Any

import pandas as pd
import pytest

from orchestrator.report.key_numbers import KEY_NUMBERS, key_numbers, sentences
from orchestrator.report.words import cell, interval, name
from tests.command import Smoke


def test_numbers_are_those_of_the_tables(smoke: Smoke) -> None:
    tables = smoke.run.tables()
    rows = {row["quantity"]: row for row in key_numbers(tables, {"models": "reduced"}, papers=True)}
    models, folds = tables["models"], tables["folds"].query("model == 'best' and order == 'sequential'")
    best = rows["test MSE of the best architecture"]
    assert best["ours"] == pytest.approx(models[models["model"] == "best"]["test_mse"].mean())
    assert best["scale"] == "reduced"
    over = rows["validation MSE over the folds, best architecture"]
    by_fold = folds.groupby("fold")["val_mse"].mean()
    assert (over["ours"], over["n"]) == (pytest.approx(by_fold.mean()), len(by_fold))
    assert over["low"] < over["ours"] < over["high"]
    of_seeds = folds.groupby("seed")["val_mse"].std()
    deviation = rows["standard deviation of the validation MSE over the folds of one seed, best architecture"]
    assert deviation["ours"] == pytest.approx(of_seeds.mean())
    gan = rows["Fréchet distance of the minimax GAN from test images, as the paper plays it"]
    gans = tables["gans"].query("arm == 'paper' and loss == 'minimax'")
    assert gan["ours"] == pytest.approx(gans["frechet_distance"].mean())
    missing = [quantity for quantity, row in rows.items() if row["ours"] is None]
    assert missing == [
        "validation MSE over the folds, the author's published best",
        "MSE of the paper's ankle boot, a tenth of its pixels zeroed, after reconstruction",
        "test MSE with 64 latent numbers",
    ], "a run as small as this has no such folds and latent sizes, and not image 7418"
    assert len(list(sentences(tables))) == 3
    assert list(smoke.run.table("key_numbers")["quantity"]) == list(rows)
    of_others = list(key_numbers(tables, {}, papers=False))
    boot = "MSE of the paper's ankle boot"
    assert [row["ours"] for row in of_others] == [it["ours"] for name, it in rows.items() if boot not in name]
    assert {row["paper"] for row in of_others} == {None}
    assert not any("boot" in row["quantity"] or "by it" in row["quantity"] for row in of_others)


def test_the_share_that_improves_has_an_interval_over_seeds() -> None:
    which = {"model": "best", "noise": "zeroed", "level": 0.1}

    def share(*seeds: float) -> dict[str, Any]:
        tables = {"denoising_seeds": pd.DataFrame([which | {"fraction_improved": it} for it in seeds])}
        found = key_numbers(tables, {}, papers=True)
        return next(row for row in found if row["quantity"] == "share of all test images that this improves")

    several = share(0.3, 0.5, 0.7)
    # the standard error is .2 / sqrt(3), and t is 4.303 for two degrees of freedom
    assert (several["low"], several["high"], several["n"]) == (
        pytest.approx(0.0032, abs=1e-4),
        pytest.approx(0.9968, abs=1e-4),
        3,
    )
    assert (share(0.5)["ours"], share(0.5)["low"]) == (0.5, None)


def test_a_run_without_tables_rows_or_finished_trainings_has_no_number_and_no_sentence(smoke: Smoke) -> None:
    whole = smoke.run.tables()
    failed = {it: table.assign(state="failed") if "state" in table else table.iloc[:0] for it, table in whole.items()}
    for tables in ({}, failed, {it: table.iloc[:0] for it, table in whole.items()}):
        assert [row["ours"] for row in key_numbers(tables, {}, papers=True)] == [None] * len(KEY_NUMBERS)
        assert list(sentences(tables)) == []


def test_a_number_has_as_many_decimals_as_its_interval_tells() -> None:
    assert interval(0.020941, 0.020478, 0.021402) == "0.02094 (0.02048 to 0.02140)"
    assert interval(-0.016, -0.0224, -0.0099) == "−0.0160 (−0.0224 to −0.0099)"
    assert interval(0.9, 0.04, 1.33, spread=True) == "0.90 (range 0.04 to 1.33)"
    assert interval(1234.5, 1100.0, 1400.0) == "1234 (1100 to 1400)"
    assert interval(0.5, None, None) == "0.5"
    assert cell(-0.25) == "−0.25"
    assert [cell(it) for it in (None, float("nan"), pd.NaT, True, 3.0, 1e9)] == ["–", "–", "–", "yes", "3", "1e+09"]


def test_columns_have_names_in_words() -> None:
    assert name("params_learning_rate") == "learning rate"
    assert name("val_mse") == "validation MSE"
    assert name("num_images") == "number of images"
