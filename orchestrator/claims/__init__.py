"""Tables -> a verdict for each of the paper's claims, in the order of its text."""

from collections.abc import Mapping
from typing import Any

from orchestrator.claims import architecture, denoising, folds, gans, introduction, latent
from orchestrator.claims.claim import Claim, Tables

MODULES = (introduction, architecture, folds, latent, gans, denoising)
STATED = (claim for module in MODULES for claim in vars(module).values() if isinstance(claim, Claim))
CLAIMS = tuple(sorted(STATED, key=lambda claim: claim.number))


def judged(tables: Tables, scales: Mapping[str, str], flags: Mapping[str, str] = {}) -> list[dict[str, Any]]:
    """Rows of the table claims.

    Args:
        tables: of a run.
        scales: full or reduced, by table.
        flags: by table, the flag that brings in the stage that makes it, where a run has not got it.
    """
    judgements = []
    for claim in CLAIMS:
        answer = claim.answer(tables, flags)
        measured = answer.measured
        reduced = "reduced" in {scales.get(name) for name in claim.evidence}
        judgements.append(
            {
                "claim": claim.number,
                "statement": claim.statement,
                "paper": claim.paper or None,
                "quantity": claim.quantity or None,
                "measured": measured.value if measured else None,
                "low": measured.low if measured else None,
                "high": measured.high if measured else None,
                "seconds": answer.seconds,
                "verdict": answer.verdict,
                "scale": "reduced" if reduced else "full",
                "reason": answer.reason,
                "evidence": ", ".join(claim.evidence) or None,
            }
        )
    return judgements
