"""Tables of a few rows for the judges of claims."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

Rows = Sequence[dict[str, Any]]


def table(rows: Rows, **same: Any) -> pd.DataFrame:
    return pd.DataFrame([same | row for row in rows])
