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
STRIP = 0.12
"""Inches above a figure, for the stamp."""


def drawn(picture: Picture, stamp: str = "", commit: str | None = None) -> dict[str, bytes]:
    """A picture's files by suffix; the same on every machine, whatever the user's matplotlibrc says.

    `stamp` says which run it is of: it stands above the figure, small, and in the files; these name the commit too.
    """
    from matplotlib import rc_context, rcParamsDefault

    defaults: Any = {name: value for name, value in rcParamsDefault.items() if name != "backend"}
    with _DRAWING, rc_context(defaults):
        content = picture.draw()
        if isinstance(content, bytes):
            return {"gif": content}
        if isinstance(content, dict):
            return {"json": json.dumps(content, separators=(",", ":")).encode()}
        told = ", ".join(filter(None, (stamp, commit and f"commit {commit}")))
        return rendered(picture.name, content, stamp, f"{picture.caption} {told}".strip())


def rendered(name: str, figure: Figure, stamp: str = "", description: str = "") -> dict[str, bytes]:
    """A figure as PNG, and as SVG and PDF, whose text is text, by suffix; the same figure is the same bytes."""
    from matplotlib import rc_context
    from matplotlib.transforms import Bbox

    width, height = figure.get_size_inches()
    strip = STRIP if stamp else 0
    figure.text(0.995, 1 + strip / height, stamp, ha="right", va="top", fontsize=6, color="0.5", parse_math=False)
    whole, files = Bbox([[0, 0], [width, height + strip]]), {}
    title = titled(figure) or name
    told: Any = {"Title": title, "Description": description, "Date": None}
    of_pdf: Any = {"Title": title, "Subject": description, "CreationDate": None}
    for suffix, dpi, metadata in (("png", 200, told), ("svg", 150, told), ("pdf", 150, of_pdf)):
        content = io.BytesIO()
        with rc_context({"svg.hashsalt": name, "svg.fonttype": "none", "pdf.fonttype": 42}):
            figure.savefig(content, format=suffix, dpi=dpi, bbox_inches=whole, metadata=metadata)
        files[suffix] = content.getvalue()
    return files


def titled(figure: Figure) -> str:
    """A figure's title in a line, or its panels'."""
    titles = [figure.get_suptitle()] if figure.get_suptitle() else [axes.get_title() for axes in figure.axes]
    return "; ".join(title.replace("\n", ", ").replace(r"\$", "$") for title in titles if title)
