"""Tables of a few rows for the judges of claims."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from orchestrator.claims import CLAIMS
from orchestrator.claims.claim import Answer

Rows = Sequence[dict[str, Any]]


def table(rows: Rows, **same: Any) -> pd.DataFrame:
    return pd.DataFrame([same | row for row in rows])


def answer(number: int, reading: str = "", **tables: pd.DataFrame) -> Answer:
    """What the judge of a claim, or of one reading of it, says."""
    (found,) = [claim for claim in CLAIMS if (claim.number, claim.reading) == (number, reading)]
    return found.answer(tables)
