"""Images that change, as a GIF."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from orchestrator.figures.tiles import Pixels, framed, tiled


def animation(pixels: Pixels, titles: Sequence[str]) -> bytes:
    """Rows of images, one after the other: a GIF that begins again after the last.

    Args:
        pixels: shape (frames, columns, height, width) or (frames, columns, 3, height, width), in [0, 1].
        titles: one for each frame, written above it.
    """
    scale, above, milliseconds = 3, 18, 500
    frames = []
    for row, title in zip(pixels, titles, strict=True):
        levels = (255 * tiled(framed(row[None]))).round().astype(np.uint8)
        drawn = levels.repeat(scale, axis=0).repeat(scale, axis=1)
        frames.append(Image.fromarray(np.pad(drawn, ((above, 0), *[(0, 0)] * (drawn.ndim - 1)))))
        ImageDraw.Draw(frames[-1]).text((4, 3), title, fill="white")
    content = io.BytesIO()
    durations = [milliseconds] * (len(frames) - 1) + [4 * milliseconds]
    frames[0].save(content, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
    return content.getvalue()
