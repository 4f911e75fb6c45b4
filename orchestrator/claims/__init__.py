"""Tables -> a verdict for each of the paper's claims, in the order of its text."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from orchestrator.claims import architecture, capacity, denoising, folds, gans, gaussian_noise, introduction, latent
from orchestrator.claims.claim import Answer, Claim, Tables
from orchestrator.statistics.intervals import LEVEL, holm

MODULES = (introduction, capacity, architecture, folds, latent, gans, denoising, gaussian_noise)
STATED = (claim for module in MODULES for claim in vars(module).values() if isinstance(claim, Claim))
CLAIMS = tuple(sorted(STATED, key=lambda claim: claim.number))
RULES_VERSION = 5
"""Raised where a rule or a threshold is changed."""
EVIDENCE = ("measurement", "cause")
"""Kinds of claims that a run's results speak for or against; only these are counted."""


@cache
def rules_version() -> str:
    """The rules' number, and a hash of the code that they are."""
    package = Path(__file__).parent
    sources = sorted(path for room in (package, package.with_name("statistics")) for path in room.glob("*.py"))
    return f"{RULES_VERSION}-{hashlib.sha256(b''.join(path.read_bytes() for path in sources)).hexdigest()[:8]}"


def judged(tables: Tables, scales: Mapping[str, str], flags: Mapping[str, str] = {}) -> list[dict[str, Any]]:
    """Rows of the table claims.

    A verdict that follows from a test is `inconclusive` where that does not stand Holm's correction over all tests of
    measurements and causes; at reduced scale every verdict is that scale decides.

    Args:
        tables: of a run.
        scales: full or reduced, by table.
        flags: by table, the flag that brings in the stage that makes it, where a run has not got it.
    """
    answers = [claim.answer(tables, flags) for claim in CLAIMS]
    corrected = _corrected(answers)
    judgements = []
    for position, (claim, answer, p_holm) in enumerate(zip(CLAIMS, answers, corrected, strict=True)):
        looked_at = {*claim.evidence, *(name for name in claim.looked_at if name in tables)}
        reduced = "reduced" in {scales.get(name) for name in looked_at}
        final = _at_scale(claim, _after_holm(answer, p_holm), reduced)
        measured, test = answer.measured, answer.test
        judgements.append(
            {
                "claim": claim.number,
                "reading": claim.reading or None,
                "kind": claim.kind,
                "statement": claim.statement,
                "paper": claim.paper or None,
                "quantity": claim.quantity or None,
                "measured": measured.value if measured else None,
                "low": measured.low if measured else None,
                "high": measured.high if measured else None,
                "interval": measured.kind if measured else None,
                "n": measured.n if measured else None,
                "p": test.p if test else None,
                "p_holm": p_holm,
                "smallest_effect": test.smallest_effect if test else None,
                "threshold": claim.threshold,
                "sensitivity": _sensitivity(position, tables, answers, reduced),
                "seconds": answer.seconds,
                "verdict": final.verdict,
                "scale": "reduced" if reduced else None if final.verdict == "not_tested" else "full",
                "reason": final.reason,
                "evidence": ", ".join(claim.evidence) or None,
                "rules_version": rules_version(),
            }
        )
    return judgements


def _corrected(answers: Sequence[Answer]) -> list[float | None]:
    """Of each answer, the p value of its test after Holm's correction over all tests; None where it has none."""
    tested = {
        number: answer.test.p
        for number, (claim, answer) in enumerate(zip(CLAIMS, answers, strict=True))
        if claim.kind in EVIDENCE and answer.test is not None and answer.test.p is not None
    }
    by_number = dict(zip(tested, holm(tested.values()), strict=True))
    return [by_number.get(number) for number in range(len(answers))]


def _after_holm(answer: Answer, p_holm: float | None) -> Answer:
    if p_holm is None or p_holm < LEVEL or answer.verdict in {"inconclusive", "not_tested"}:
        return answer
    words = f"By itself it would be {answer.verdict}, but among all tests p is {p_holm:.2g} (Holm)."
    return replace(answer, verdict="inconclusive", reason=f"{answer.reason} {words}")


def _at_scale(claim: Claim, answer: Answer, reduced: bool) -> Answer:
    if (
        not reduced
        or claim.scale_free
        or claim.kind == "definition"
        or answer.verdict not in {"supported", "partly", "contradicted"}
    ):
        return answer
    words = f"At this scale it looks {answer.verdict}: less than the paper's decides nothing."
    return replace(answer, verdict="inconclusive", reason=f"{words} {answer.reason}")


def _sensitivity(position: int, tables: Tables, answers: Sequence[Answer], reduced: bool) -> str | None:
    """What half and twice the threshold would have made of a claim's verdict, after Holm's correction and at this
    scale; None where nobody chose one."""
    claim = CLAIMS[position]
    if claim.threshold is None or answers[position].verdict == "not_tested":
        return None

    def final(answer: Answer) -> str:
        corrected = _corrected([*answers[:position], answer, *answers[position + 1 :]])
        return _at_scale(claim, _after_holm(answer, corrected[position]), reduced).verdict

    others = {
        name: times for name, times in (("half", 0.5), ("double", 2.0)) if claim.threshold * times < claim.limit
    }
    changed = {name: final(claim.answer(tables, times=times)) for name, times in others.items()}
    told = [f"{name}: {verdict}" for name, verdict in changed.items() if verdict != final(answers[position])]
    return ", ".join(told) or "none"
