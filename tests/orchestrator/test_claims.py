"""Each verdict follows from the tables by its rule; tables are made up here, with known answers."""

import math
import re
import sys
from collections.abc import Sequence
from inspect import signature
from typing import Any

import pandas as pd
import pytest

from orchestrator.claims import CLAIMS, judged
from orchestrator.claims.claim import Answer, claim
from orchestrator.paper import suite
from orchestrator.statistics.intervals import deviation, mean, ratio_of_deviations
from tests.command import Smoke
from tests.orchestrator.made_tables import answer, table

Made = dict[str, Any]


def folds(val_mse: Sequence[float], state: Sequence[str]) -> pd.DataFrame:
    rows = [{"fold": n, "val_mse": it[0], "state": it[1]} for n, it in enumerate(zip(val_mse, state, strict=True))]
    return table(rows, model="best", order="sequential", seed=1, train_mse_evaluated=0.02)


def test_every_claim_is_stated_once_and_found_by_a_name_that_speaks() -> None:
    assert sorted({claim.number for claim in CLAIMS}) == list(range(1, 53))
    assert len({(claim.number, claim.reading) for claim in CLAIMS}) == len(CLAIMS)
    judges = {claim.judge.__name__: claim for claim in CLAIMS}
    assert len(judges) == len(CLAIMS)
    for name, stated in judges.items():
        assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+){2,}", name), "three words or more"
        assert getattr(sys.modules[stated.judge.__module__], name) is stated


def test_evidence_of_a_claim_is_its_judges_required_arguments() -> None:
    @claim(1, "Made up.")
    def more_folds_than_trials(folds: Any, trials: Any, importances: Any = None) -> Answer:
        return Answer("supported", "")

    assert more_folds_than_trials.evidence == ("folds", "trials")
    evidence = {claim.number: claim.evidence for claim in CLAIMS}
    assert evidence[20] == ("trials",)
    assert evidence[34] == ("gans", "gan_layers", "layers")
    assert evidence[52] == ()
    assert {row["claim"]: row["evidence"] for row in judged({}, {})}[34] == "gans, gan_layers, layers"
    tables = {name for stage in suite().stages for name in stage.schemas}
    assert {name for claim in CLAIMS for name in signature(claim.judge).parameters} <= tables | {"threshold"}


def test_an_optional_table_that_is_missing_leaves_an_answer() -> None:
    errors = table([{"latent_dim": 64, "test_mse": 0.01}], method="autoencoder")
    tried = table([{"params_latent_dim": value} for value in (3, 14)])
    for without in (answer(22, trials=tried), answer(22, trials=tried, reconstruction=errors.iloc[:0])):
        assert (without.verdict, "Beyond" in without.reason) == ("followed", False)
    assert "Beyond it the error is 0.0100 at 64" in answer(22, trials=tried, reconstruction=errors).reason


def test_missing_table_is_named_with_the_flag_that_makes_it() -> None:
    reasons = {row["claim"]: row["reason"] for row in judged({}, {}, {"gan_trials": "--gan.search.on"})}
    assert reasons[33] == "This run has no table gan_trials (--gan.search.on makes it)."
    assert reasons[34] == "This run has no table gans, gan_layers, layers."


def test_trainings_that_failed_are_left_out() -> None:
    wrong = folds([0.0199, 0.0201, 0.02, 0.0202, 0.02, 9.0], ["complete"] * 5 + ["failed"])
    assert answer(44, folds=wrong).verdict == "supported"
    assert answer(44, folds=wrong.assign(state="failed")).verdict == "not_tested"


def test_without_its_tables_a_claim_is_not_tested_and_says_which_are_missing() -> None:
    found = judged({}, {})
    assert [row["claim"] for row in found] == sorted(claim.number for claim in CLAIMS)
    assert {row["verdict"] for row in found} == {"not_tested"}
    assert answer(44).reason == "This run has no table folds."


def test_scale_is_that_of_the_least_of_its_tables_and_none_where_nothing_was_tested() -> None:
    same = {"model": "best", "order": "sequential", "seed": 1}
    epochs = [
        same
        | {"fold": fold, "epoch": epoch, "val_mse": 1 / epoch + fold}
        | {name: (1 + epoch % 2) / epoch + fold for name in ("train_mse", "last_batch_mse")}
        for fold in range(3)
        for epoch in range(1, 8)
    ]
    errors = {name: 1.0 for name in ("test_mse", "val_mse", "train_mse_evaluated", "num_train", "num_val")}
    folds = [same | errors | {"fold": fold, "val_mse": 1.0 + fold} for fold in range(3)]
    tables = {"folds": table(folds), "fold_epochs": table(epochs)}
    scales = {row["claim"]: row["scale"] for row in judged(tables, {"folds": "reduced", "fold_epochs": "full"})}
    assert (scales[25], scales[26], scales[42], scales[1]) == ("reduced", "reduced", "full", None)


def test_intervals_are_those_of_the_textbook() -> None:
    t = mean([1.0, 2.0, 3.0])  # t(.975; 2) = 4.303
    assert (t.value, t.low, t.high) == pytest.approx(
        (2, 2 - 4.303 / math.sqrt(3), 2 + 4.303 / math.sqrt(3)), abs=1e-3
    )
    s = deviation([1.0, 2.0, 3.0], unit=2)  # chi-squared(2): .0506 and 7.378
    assert (s.value, s.low, s.high) == pytest.approx(
        (0.5, 0.5 * math.sqrt(2 / 7.378), 0.5 * math.sqrt(2 / 0.05064)), abs=1e-3
    )
    f = ratio_of_deviations([0.0, 4.0, 8.0], [1.0, 2.0, 3.0])  # F(.975; 2, 2) = 39
    assert (f.value, f.low, f.high) == pytest.approx((4, 4 / math.sqrt(39), 4 * math.sqrt(39)), abs=1e-3)


def test_run_judges_every_claim_and_shows_it_on_the_page(smoke: Smoke) -> None:
    claims = smoke.run.table("claims")
    assert list(claims["claim"]) == sorted(claim.number for claim in CLAIMS)
    tested = claims[claims["verdict"] != "not_tested"]
    assert set(tested["scale"][tested["evidence"].notna()]) == {"reduced"}
    assert len(tested) >= 40
    missing = claims[claims["reason"].str.startswith("This run has no")]
    assert set(missing["claim"]) <= {5, 24, 29, 32, 33, 35, 42, 43, 46}, "what a run as small as this cannot tell"
    row = claims.set_index("claim").loc[26]
    sequential = smoke.run.table("folds").query("model == 'best' and order == 'sequential'")
    assert row["measured"] == pytest.approx(sequential["test_mse"].mean())
    page = smoke.run.read("report.html").decode()
    assert 'id="claims"' in page
    assert all(f"<td>{statement}" in page for statement in ("The title calls this", "The model struggles more"))


def test_every_claim_has_an_answer_whatever_trainings_failed(smoke: Smoke) -> None:
    tables = smoke.run.tables()
    for name, whole in tables.items():
        concerned = [claim for claim in CLAIMS if name in signature(claim.judge).parameters]
        kinds = [column for column in ("method", "model", "order", "loss", "noise", "input") if column in whole]
        fewer = [whole[whole[column] != kind] for column in kinds for kind in whole[column].unique()]
        fewer += [whole.assign(state="failed")] if "state" in whole else []
        fewer.append(whole.iloc[:0])
        for part in fewer:
            assert all(claim.answer(tables | {name: part}).reason for claim in concerned)


def test_a_slower_machine_changes_no_claim_but_its_seconds(smoke: Smoke) -> None:
    """Two runs of one seed are to have the same table of claims, times aside."""
    tables = smoke.run.tables()
    slower = {
        name: it.assign(**{column: 7.5 * it[column] for column in it if str(column).endswith("seconds")})
        for name, it in tables.items()
    }
    mine, theirs = ([row | {"seconds": None} for row in judged(each, {})] for each in (tables, slower))
    assert str(mine) == str(theirs)
