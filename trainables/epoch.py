"""The contract between a training and whoever runs it: a training is a generator of epochs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Epoch:
    """What a training yields at the end of each epoch."""

    number: int
    """1-based, counted over the whole training, resumed or not."""
    metrics: Mapping[str, float]
    """Plain floats; the names are the tables' column names."""
    state: Callable[[], dict[str, Any]]
    """Feeds `resume`: tensors and plain values, to be used before the next epoch is asked for."""
