"""The contract between a training and whoever runs it: a training is a generator of epochs::

    train_x(settings, data, *, device="cpu", seed, resume=None) -> Iterator[Epoch]

The settings say what is trained and how, the data what it learns from, `device` where. The seed decides the initial
weights, the order of the batches (the same on every device) and all else that is drawn, and nothing else does.
`resume` is the state of an earlier epoch: the training goes on after it, on the CPU bit for bit as if it had never
stopped.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

State = dict[str, Any]
"""Of a training after an epoch: tensors and plain values."""


@dataclass(frozen=True)
class Epoch:
    """What a training yields at the end of each epoch."""

    number: int
    """1-based, counted over the whole training, resumed or not."""
    metrics: Mapping[str, float]
    """Plain floats; the names are the tables' column names."""
    state: Callable[[], State]
    """Feeds `resume`; to be used before the next epoch is asked for."""
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """What the epoch gave beside its metrics, by name, such as a confusion matrix or images; kept beside the
    training's record, where a name that comes again replaces the earlier."""
