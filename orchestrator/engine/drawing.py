"""Figures as files: the same bytes on every machine."""

from __future__ import annotations

import io
import json
import threading
from typing import TYPE_CHECKING, Any

from orchestrator.engine.stage import Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DRAWING = threading.Lock()
"""matplotlib draws one figure at a time."""


def drawn(picture: Picture) -> dict[str, bytes]:
    """A picture's files by suffix; the same on every machine, whatever the user's matplotlibrc says."""
    from matplotlib import rc_context, rcParamsDefault

    defaults: Any = {name: value for name, value in rcParamsDefault.items() if name != "backend"}
    with _DRAWING, rc_context(defaults):
        content = picture.draw()
        if isinstance(content, bytes):
            return {"gif": content}
        if isinstance(content, dict):
            return {"json": json.dumps(content, separators=(",", ":")).encode()}
        return rendered(picture.name, content)


def rendered(name: str, figure: Figure) -> dict[str, bytes]:
    """A figure as PNG and as SVG, by suffix; the same figure is the same bytes."""
    from matplotlib import rc_context

    files = {}
    for suffix in ("png", "svg"):
        content = io.BytesIO()
        with rc_context({"svg.hashsalt": name}):
            figure.savefig(content, format=suffix, dpi=150, metadata={"Date": None} if suffix == "svg" else None)
        files[suffix] = content.getvalue()
    return files
