"""How far a training is, and as the bytes of a file, which may be a stranger's."""

import io
import pickle
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from zipfile import BadZipFile, ZipFile

from numpy.typing import NDArray

Rows = list[dict[str, float]]
"""Metrics of the epochs so far, each with its number (`epoch`) and its `seconds`."""
NO_CHECKPOINT = (pickle.UnpicklingError, BadZipFile, RuntimeError, LookupError, TypeError, AttributeError, ValueError)
"""What becomes of reading other bytes as a checkpoint."""


@dataclass
class Checkpoint:
    """How far a training is."""

    rows: Rows = field(default_factory=list)
    state: dict[str, Any] | None = None
    """Of the last epoch; None at the beginning."""
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    """What its epochs gave so far beside metrics, by name."""


def packed(so_far: Checkpoint, made_by: Mapping[str, Any]) -> bytes:
    """A file's content; `made_by` are plain values that who goes on with it must share."""
    import torch

    content = io.BytesIO()
    arrays = {name: torch.from_numpy(array) for name, array in so_far.arrays.items()}
    saved = {"made_by": dict(made_by), "rows": so_far.rows, "state": so_far.state, "arrays": arrays}
    torch.save(saved, content)
    return content.getvalue()


def unpacked(content: bytes, made_by: Mapping[str, Any]) -> Checkpoint:
    """What `packed` made; the beginning, where it is nothing of that, or made by another."""
    import torch

    with suppress(*NO_CHECKPOINT):
        stream = io.BytesIO(content)
        if sum(part.file_size for part in ZipFile(stream).infolist()) > len(content):
            return Checkpoint()  # packed more tightly than torch does it
        stream.seek(0)
        saved = torch.load(stream, weights_only=True, map_location="cpu")
        if saved["made_by"] == dict(made_by):
            arrays = {name: tensor.numpy() for name, tensor in saved["arrays"].items()}
            return Checkpoint(saved["rows"], saved["state"], arrays)
    return Checkpoint()
