"""Figures that readers move, as dictionaries that become JSON; the report's page draws them (templates/page.js).

Each says its kind: `curves` are lines whose values are read off, `frames` are images that a slider goes through,
`plane` are points with an image each. The page is whole without them: every one stands beside a figure that is not
moved.
"""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from orchestrator.figures.tiles import Pixels, tiled

Moved = dict[str, Any]


def png(pixels: NDArray[np.uint8]) -> str:
    """A grey image, shape (height, width), or one with colours, (height, width, 3), as PNG in base64."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG", optimize=True)
    return base64.b64encode(content.getvalue()).decode()


def sheet(pixels: Pixels) -> str:
    """Images in [0, 1], of the shape that `tiled` takes, as one, without a frame."""
    return png(tiled((255 * pixels.clip(0, 1)).round().astype(np.uint8)))


def frames(groups: Mapping[str, Sequence[tuple[str, Pixels, str]]], *, rows: Sequence[str] = ()) -> Moved:
    """Images that a slider goes through.

    Args:
        groups: by name, one shown at a time; in each, frames: what the slider says, images in rows and columns in
            [0, 1], and a line of text below.
        rows: a name for each row of images.
    """
    told = [
        {"name": name, "frames": [{"label": label, "text": text, "png": sheet(of)} for label, of, text in parts]}
        for name, parts in groups.items()
    ]
    shape = next(of.shape for parts in groups.values() for _, of, _ in parts)
    return {"kind": "frames", "rows": list(rows), "shape": shape[:2], "groups": told}


def curves(table: pd.DataFrame, by: Sequence[str], value: str, label: str, *, logarithmic: bool = False) -> Moved:
    """Lines over epochs, one for each combination of the columns `by`; missing values are left out."""
    lines = []
    for names, rows in table.dropna(subset=[value]).groupby(list(by), observed=True, sort=False):
        points = rows.groupby("epoch")[value].mean()
        lines.append({"name": ", ".join(map(str, names)), "x": points.index.tolist(), "y": _short(points)})
    return {"kind": "curves", "label": label, "logarithmic": logarithmic, "lines": lines}


def plane(
    planes: Mapping[str, pd.DataFrame],
    classes: Mapping[str, str],
    images: Pixels,
    decoded: tuple[str, Pixels, tuple[float, float, float, float]] | None = None,
) -> Moved:
    """Points in planes with an image each.

    Args:
        planes: by method, columns x, y and label, a row for each image in the order of `images`.
        classes: each one's colour by its name, in the order of their labels.
        images: shape (n, height, width) or (n, 3, height, width).
        decoded: of one method, what a grid of its plane's points decodes to: images in rows and columns, the first
            row at the top, and the left, right, lower and upper edge of the grid.
    """
    columns = 50
    padded = np.pad(images, ((0, -len(images) % columns), *[(0, 0)] * (images.ndim - 1)))
    told: Moved = {
        "kind": "plane",
        "names": list(classes),
        "colours": list(classes.values()),
        "labels": next(iter(planes.values()))["label"].tolist(),
        "planes": {name: {"x": _short(it["x"]), "y": _short(it["y"])} for name, it in planes.items()},
        "columns": columns,
        "height": images.shape[-2] / images.shape[-1],
        "png": sheet(padded.reshape(-1, columns, *images.shape[1:])),
    }
    if decoded:
        method, grid, edges = decoded
        told["decoded"] = {"of": method, "png": sheet(grid), "shape": grid.shape[:2], "edges": _short(edges)}
    return told


def _short(values: Iterable[float]) -> list[float]:
    """Numbers to the five digits that a screen shows."""
    return [float(f"{value:.5g}") for value in values]
