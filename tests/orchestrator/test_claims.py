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
from orchestrator.claims.claim import (
    Answer,
    Interval,
    NotTested,
    claim,
    deviation,
    difference_of_shares,
    mean,
    ratio_of_deviations,
)
from orchestrator.paper import suite
from tests.command import Smoke

Made = dict[str, Any]


def table(rows: Sequence[Made], **same: Any) -> pd.DataFrame:
    return pd.DataFrame([same | row for row in rows])


def answer(number: int, **tables: pd.DataFrame) -> Answer:
    """What the judge of a claim says."""
    (found,) = [claim for claim in CLAIMS if claim.number == number]
    return found.answer(tables)


def folds(sequential: Sequence[float], sorted_by_class: Sequence[float]) -> pd.DataFrame:
    orders = {"sequential": sequential, "class_sorted": sorted_by_class}
    return table(
        [
            {"order": order, "fold": fold, "val_mse": value, "test_mse": value, "train_mse": 0.02}
            for order, values in orders.items()
            for fold, value in enumerate(values)
        ],
        seed=1,
        state="complete",
    )


def denoising(gains: dict[str, Sequence[float]], ratio: float = 1.0) -> pd.DataFrame:
    """Of each model its gain at p = .1 and .5, give or take .001; Gaussian noise is `ratio` times as bad."""
    rows = []
    for model, of_model in gains.items():
        for level, gain in zip((0.1, 0.5), of_model, strict=True):
            after = 0.2 - gain
            ends = {"gain": gain, "gain_low": gain - 0.001, "gain_high": gain + 0.001}
            rows += [
                {"model": model, "noise": "zeroed", "level": level, "reconstructed_mse": after} | ends,
                {"model": model, "noise": "gaussian_matched", "level": level, "reconstructed_mse": ratio * after}
                | ends,
            ]
    return table(rows, noisy_mse=0.2, fraction_improved=0.7)


def reconstruction(method: str, ratios: Sequence[float]) -> pd.DataFrame:
    """Table 1's network and one of its ablations, whose error is so many times as large, seed by seed."""
    rows = [{"method": "table1", "seed": seed, "test_mse": 0.02 + 0.001 * seed} for seed in range(len(ratios))]
    rows += [
        {"method": method, "seed": seed, "test_mse": ratio * (0.02 + 0.001 * seed)}
        for seed, ratio in enumerate(ratios)
    ]
    return table(rows, state="complete")


def linear(angle: float, ratio: float) -> pd.DataFrame:
    return table(
        [{"largest_angle_degrees": angle, "pca_ratio": ratio}],
        **{"method": "linear_autoencoder", "latent_dim": 2, "seed": 1, "state": "complete"},
    )


def correlations(uniform: float, foreground: float) -> pd.DataFrame:
    rows = [
        {"noise": noise, "level": level, "spearman_zero_fraction": value}
        for noise, value in (("zeroed", uniform), ("zeroed_foreground", foreground))
        for level in (0.1, 0.5)
    ]
    return table(rows, model="best", partial_spearman_zero_fraction=0.0)


def curves(fall: float, epochs: int = 20, **rough: float) -> pd.DataFrame:
    """Curves of three folds that fall by this share an epoch; some go up and down besides."""
    rows = [
        {"fold": fold, "epoch": epoch}
        | {
            name: 0.02 * (1 - fall - fold * 1e-4) ** epoch + rough.get(name, 0.0) * (-1) ** epoch
            for name in ("last_batch_mse", "train_mse", "val_mse")
        }
        for fold in range(3)
        for epoch in range(1, epochs + 1)
    ]
    return table(rows, order="sequential", seed=1)


def identity(passed: Sequence[float]) -> pd.DataFrame:
    return table([{"noise_passed": value} for value in passed], latent_dim=784)


@pytest.mark.parametrize(
    ("number", "verdict", "tables"),
    [
        (5, "supported", {"identity": identity([0.9, 1.0])}),
        (5, "partly", {"identity": identity([0.4, 1.0])}),
        (5, "contradicted", {"identity": identity([0.1, 0.4])}),
        (5, "not_tested", {"identity": identity([0.1]).assign(latent_dim=14)}),
        (8, "supported", {"reconstruction": linear(0.1, 1.0001)}),
        (8, "contradicted", {"reconstruction": linear(40.0, 1.0001)}),
        (8, "contradicted", {"reconstruction": linear(0.1, 1.1)}),
        (18, "supported", {"reconstruction": reconstruction("table1_no_batch_norm", [1.12, 1.1, 1.13])}),
        (18, "contradicted", {"reconstruction": reconstruction("table1_no_batch_norm", [0.9, 0.91, 0.92])}),
        (18, "inconclusive", {"reconstruction": reconstruction("table1_no_batch_norm", [1.1, 0.9, 1.2])}),
        (18, "inconclusive", {"reconstruction": reconstruction("table1_no_batch_norm", [1.12])}),
        (24, "supported", {"reconstruction": reconstruction("table1_kernel_5", [1.01, 1.0, 1.005])}),
        (24, "contradicted", {"reconstruction": reconstruction("table1_kernel_5", [0.8, 0.81, 0.82])}),
        (24, "inconclusive", {"reconstruction": reconstruction("table1_kernel_5", [0.8, 1.1, 1.0])}),
        (24, "not_tested", {"reconstruction": reconstruction("table1_no_relu", [0.8, 1.1, 1.0])}),
        (40, "supported", {"folds": folds([0.0199, 0.0201, 0.02, 0.0202, 0.02, 0.0198], [])}),
        (40, "contradicted", {"folds": folds([0.01, 0.03, 0.02, 0.04, 0.05, 0.01], [])}),
        (40, "inconclusive", {"folds": folds([0.019, 0.021, 0.02], [])}),
        (41, "supported", {"folds": folds([0.0199, 0.0201, 0.02] * 2, [0.01, 0.03, 0.02] * 2)}),
        (41, "contradicted", {"folds": folds([0.01, 0.03, 0.02] * 2, [0.0199, 0.0201, 0.02] * 2)}),
        (41, "not_tested", {"folds": folds([0.01, 0.03, 0.02] * 2, [])}),
        (42, "partly", {"fold_epochs": curves(0.01, last_batch_mse=1e-3)}),
        (42, "supported", {"fold_epochs": curves(0.01, last_batch_mse=1e-3, train_mse=1e-3)}),
        (42, "contradicted", {"fold_epochs": curves(0.01, val_mse=1e-3)}),
        (43, "supported", {"fold_epochs": curves(0.001)}),
        (43, "contradicted", {"fold_epochs": curves(0.02)}),
        (43, "inconclusive", {"fold_epochs": curves(0.001, epochs=10)}),
        (43, "not_tested", {"fold_epochs": curves(0.001, epochs=5)}),
        (46, "supported", {"denoising": denoising({"best": [0.01, 0.05], "paper_table1": [0.01, 0.02]})}),
        (46, "partly", {"denoising": denoising({"best": [0.01, 0.05], "paper_table1": [-0.01, 0.02]})}),
        (46, "not_tested", {"denoising": denoising({"paper_table1": [0.01, 0.02]})}),
        (46, "contradicted", {"denoising": denoising({"best": [-0.01, -0.05], "paper_table1": [-0.01, -0.02]})}),
        (49, "supported", {"denoising_correlations": correlations(-0.7, 0.1)}),
        (49, "partly", {"denoising_correlations": correlations(-0.7, -0.35)}),
        (49, "contradicted", {"denoising_correlations": correlations(-0.7, -0.6)}),
        (50, "contradicted", {"denoising": denoising({"best": [0.01, 0.05]}, ratio=0.6)}),
        (50, "supported", {"denoising": denoising({"best": [0.01, 0.05]}, ratio=1.3)}),
    ],
)
def test_verdict_follows_from_the_tables(number: int, verdict: str, tables: dict[str, pd.DataFrame]) -> None:
    assert answer(number, **tables).verdict == verdict


def test_every_claim_is_stated_once_and_found_by_a_name_that_speaks() -> None:
    assert sorted(claim.number for claim in CLAIMS) == list(range(1, 53))
    judges = {claim.judge.__name__: claim for claim in CLAIMS}
    assert len(judges) == 52
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
    assert {name for claim in CLAIMS for name in signature(claim.judge).parameters} - {"threshold"} <= tables


def test_an_optional_table_that_is_missing_leaves_an_answer() -> None:
    parameters = ("filters1", "filters2", "filters3", "neurons", "latent_dim", "optimizer", "learning_rate")
    tried = table([{f"params_{name}": value for name in parameters} for value in (3, 14)])
    importances = table([{"param": "neurons", "importance": 0.2}, {"param": "optimizer", "importance": 0.5}])
    errors = table([{"latent_dim": 64, "test_mse": 0.01}], method="autoencoder")
    for without in (answer(20, trials=tried), answer(20, trials=tried, importances=importances.iloc[:0])):
        assert (without.verdict, without.reason) == ("supported", "Filters are three parameters.")
    assert "optimizer's: 0.50" in answer(20, trials=tried, importances=importances).reason
    for without in (answer(22, trials=tried), answer(22, trials=tried, reconstruction=errors.iloc[:0])):
        assert (without.verdict, without.reason) == ("supported", "Undercomplete is anything below 784.")
    assert "beyond 15: 0.0100 at 64" in answer(22, trials=tried, reconstruction=errors).reason


def test_missing_table_is_named_with_the_flag_that_makes_it() -> None:
    reasons = {row["claim"]: row["reason"] for row in judged({}, {}, {"gan_trials": "--gan.search.on"})}
    assert reasons[33] == "This run has no table gan_trials (--gan.search.on makes it)."
    assert reasons[34] == "This run has no table gans, gan_layers, layers."


def test_trainings_that_failed_are_left_out() -> None:
    whole = folds([0.0199, 0.0201, 0.02, 0.0202, 0.02, 0.0198], [])
    wrong = whole.assign(val_mse=[0.0199, 0.0201, 0.02, 0.0202, 0.02, 9.0], state=["complete"] * 5 + ["failed"])
    assert answer(40, folds=wrong).verdict == "supported"
    assert answer(40, folds=wrong.assign(state="failed")).verdict == "not_tested"


def test_without_its_tables_a_claim_is_not_tested_and_says_which_are_missing() -> None:
    found = judged({}, {})
    assert [row["claim"] for row in found] == list(range(1, 53))
    assert {row["verdict"] for row in found} == {"not_tested"}
    assert answer(40).reason == "This run has no table folds."


def test_scale_is_that_of_the_least_of_its_tables() -> None:
    scales = {row["claim"]: row["scale"] for row in judged({}, {"folds": "reduced", "fold_epochs": "full"})}
    assert (scales[40], scales[42], scales[25], scales[1]) == ("reduced", "full", "reduced", "full")


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
    d = difference_of_shares(0.5, 0.4, 100)
    assert (d.value, d.low, d.high) == pytest.approx((0.1, 0.1 - 0.1372, 0.1 + 0.1372), abs=1e-4)
    with pytest.raises(NotTested):
        difference_of_shares(0.5, 0.4, 0)


def test_a_bound_within_the_interval_decides_nothing() -> None:
    found = Interval(2.0, 1.0, 3.0)
    assert [found.is_above(bound) for bound in (0.5, 2.0, 3.5)] == ["supported", "inconclusive", "contradicted"]
    assert [found.is_below(bound, "partly") for bound in (0.5, 2.0, 3.5)] == ["contradicted", "partly", "supported"]
    assert Interval(2.0).is_above(0.0) == "inconclusive"
    assert Interval(math.nan, math.nan, math.nan).is_above(0.0) == "inconclusive"
    assert Interval(math.nan, math.nan, math.nan).is_below(0.0, "partly") == "partly"
    assert found.is_within(0.5, 3.5)
    assert not found.is_within(1.5, 3.5)


def test_run_judges_every_claim_and_shows_it_on_the_page(smoke: Smoke) -> None:
    claims = smoke.run.table("claims")
    assert list(claims["claim"]) == list(range(1, 53))
    assert set(claims["scale"][claims["evidence"].notna()]) == {"reduced"}
    tested = claims[claims["verdict"] != "not_tested"]
    assert len(tested) >= 40
    missing = claims[claims["reason"].str.startswith("This run has no")]
    assert set(missing["claim"]) <= {29, 32, 33, 35, 42, 43}, "what a run as small as this cannot tell"
    row = claims.set_index("claim").loc[26]
    sequential = smoke.run.table("folds").query("order == 'sequential'")
    of_first = sequential[sequential["seed"] == sequential["seed"].iloc[0]]["test_mse"]
    assert row["measured"] == pytest.approx(of_first.mean())
    page = smoke.run.read("report.html").decode()
    assert 'id="claims"' in page
    assert all(f"<td>{statement}" in page for statement in ("The title calls this", "The model struggles more"))


def test_every_claim_has_an_answer_whatever_trainings_failed(smoke: Smoke) -> None:
    tables = smoke.run.tables()
    for name, whole in tables.items():
        kinds = [column for column in ("method", "model", "order", "loss", "noise", "input") if column in whole]
        fewer = [whole[whole[column] != kind] for column in kinds for kind in whole[column].unique()]
        fewer += [whole.assign(state="failed")] if "state" in whole else []
        fewer.append(whole.iloc[:0])
        for table in fewer:
            assert len(judged(tables | {name: table}, {})) == 52
