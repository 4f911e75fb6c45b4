"""From answers to the table claims: Holm's correction, scale, thresholds, versions."""

from typing import Any

import pandas as pd
import pytest

from orchestrator import claims
from orchestrator.claims import judged, rules_version
from orchestrator.claims.claim import Answer, Claim, claim
from orchestrator.statistics.intervals import Interval, Outcome, Unchanged

TABLES = {"folds": pd.DataFrame({"value": [0.4]})}


def made(number: int, verdict: Any = "supported", p: float | None = None, **options: Any) -> Claim:
    def judge(folds: pd.DataFrame) -> Answer:
        """a number"""
        return Answer(verdict, "So.", Interval(1.0), test=None if p is None else Outcome(verdict, p, 0.25))

    return claim(number, f"statement {number}", **options)(judge)


def table(monkeypatch: pytest.MonkeyPatch, *stated: Claim, scale: str = "full") -> pd.DataFrame:
    monkeypatch.setattr(claims, "CLAIMS", stated)
    return pd.DataFrame(judged(TABLES, {"folds": scale})).set_index("claim")


def test_a_verdict_that_does_not_stand_holm_s_correction_is_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    found = table(
        monkeypatch,
        made(1, p=0.001),
        made(2, p=0.03, kind="cause"),
        made(3, "contradicted", p=0.02),
        made(4, "inconclusive", p=0.5),
        made(5, "followed", p=0.001, kind="protocol"),
        made(6),
    )
    assert found["p_holm"].tolist()[:4] == pytest.approx([0.004, 0.06, 0.06, 0.5])
    assert found["p_holm"][4:].isna().all()
    assert found["verdict"].tolist() == [
        "supported",
        "inconclusive",
        "inconclusive",
        "inconclusive",
        "followed",
        "supported",
    ]
    assert "by itself it would be contradicted" in found["reason"][3].lower()
    assert found["smallest_effect"][1] == 0.25


def test_at_reduced_scale_nothing_is_supported_or_contradicted_where_scale_decides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stated = (
        made(1, "contradicted"),
        made(2, "partly"),
        made(3, "supported", scale_free=True),
        made(4, "followed", kind="protocol"),
        made(5, "partly", kind="definition"),
    )
    found = table(monkeypatch, *stated, scale="reduced")
    assert found["verdict"].tolist() == ["inconclusive", "inconclusive", "supported", "followed", "partly"]
    assert found["reason"][1].startswith("At this scale it looks contradicted")
    assert set(found["scale"]) == {"reduced"}


def test_sensitivity_is_of_verdicts_after_holm_s_correction_and_of_bounds_that_can_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def judge(folds: pd.DataFrame, *, threshold: float) -> Answer:
        """a number"""
        verdict, p = ("supported", 0.04) if threshold > 0.5 else ("inconclusive", 0.5)
        return Answer(verdict, "So.", test=Outcome(verdict, p))

    stated = [claim(1, "", threshold=0.6)(judge), claim(2, "", threshold=0.6, limit=1)(judge)]
    found = table(monkeypatch, *stated)
    assert found["verdict"].tolist() == ["inconclusive", "inconclusive"], "two tests with .04 each"
    assert found["sensitivity"].tolist() == ["none", "none"]
    alone = table(monkeypatch, claim(1, "", threshold=0.4, limit=0.7)(judge))
    assert alone["sensitivity"].tolist() == ["none"], "twice the bound is beyond the limit"
    assert table(monkeypatch, claim(1, "", threshold=0.4)(judge))["sensitivity"].tolist() == ["double: supported"]


def test_sensitivity_tells_what_half_and_twice_the_threshold_would_say(monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(folds: pd.DataFrame, *, threshold: float) -> Answer:
        """a number"""
        return Answer("supported" if folds["value"].iloc[0] < threshold else "contradicted", "So.")

    stated = [claim(number, "", threshold=bound)(judge) for number, bound in enumerate((0.5, 3.0, 0.3))]
    found = table(monkeypatch, *stated, made(9))
    assert found["sensitivity"].tolist()[:3] == ["half: contradicted", "none", "double: supported"]
    assert pd.isna(found["sensitivity"][9])
    assert found["threshold"].tolist()[:3] == [0.5, 3.0, 0.3]
    assert found["evidence"][0] == "folds"


def test_a_change_that_changed_nothing_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(folds: pd.DataFrame) -> Answer:
        """a number"""
        raise Unchanged("5 of 5 pairs are equal to the last bit")

    found = table(monkeypatch, claim(1, "")(judge))
    assert found["verdict"][1] == "not_tested"
    assert found["reason"][1] == "The change changed nothing: 5 of 5 pairs are equal to the last bit."


def test_every_row_names_the_rules_it_is_judged_by(monkeypatch: pytest.MonkeyPatch) -> None:
    found = table(monkeypatch, made(1), made(2))
    assert set(found["rules_version"]) == {rules_version()}
    assert rules_version().startswith(f"{claims.RULES_VERSION}-")
