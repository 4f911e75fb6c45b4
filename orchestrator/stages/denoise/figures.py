"""Denoising (table denoising, and images) as figures; among them the paper's Figure 2."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from orchestrator.figures.images import image_grid
from orchestrator.figures.names import MODELS, NOISES
from orchestrator.figures.style import STYLE, legend_below, look, panels, placeholder
from orchestrator.figures.tiles import Pixels, broken
from orchestrator.stages.measures import mse_of_each

AUTHOR_DENOISED = {
    0.1: (0.019, 0.015),
    0.2: (0.048, 0.023),
    0.3: (0.076, 0.044),
    0.4: (0.080, 0.042),
    0.5: (0.105, 0.064),
}
"""Noisy and reconstructed error of the author's Figure 2 by probability (source: author's repository)."""


def denoised_image(
    clean: Pixels, columns: Sequence[tuple[float, Pixels, Pixels]], with_author: bool, model: str
) -> Figure:
    """The paper's Figure 2: an image with more and more pixels set to zero, and what the model makes of it.

    Args:
        clean: shape (rows, columns), or (channels, rows, columns).
        columns: probability, noisy image and reconstruction, for each.
        with_author: whether it is the author's image, so that his errors are put beside ours.
        model: which, and how good it is.
    """
    levels, *pictures = zip(*columns, strict=True)
    below = []
    for row, images in enumerate(pictures):
        authors = [AUTHOR_DENOISED.get(level) if with_author else None for level in levels]
        errors = [f"{np.square(image - clean).mean():.4f}" for image in images]
        beside = [f"\nauthor {author[row]:.3f}" if author else "" for author in authors]
        below.append(["", *map("".join, zip(errors, beside, strict=True))])
    pixels = np.array([[clean, *pictures[0]], [np.full_like(clean, np.nan), *pictures[1]]])
    names = ["clean", *(f"p = {level:g}" for level in levels)]
    title = f"{model}\npixels set to zero with probability p; below: MSE against the clean image"
    return image_grid(pixels, ["noisy", "recon-\nstructed"], names, title, below=below)


def denoised_classes(
    clean: Pixels, noisy: Pixels, restored: Pixels, names: Sequence[str], level: float, model: str
) -> Figure:
    """Images that have names, of a class each say, noisy and reconstructed; all of shape (images, rows, columns)."""
    rows, pixels = ["clean", "noisy", "recon-\nstructed"], np.stack([clean, noisy, restored])
    below = [[f"{error:.4f}" for error in mse_of_each(of_row, clean)] for of_row in pixels]
    title = f"{model}\npixels set to zero with p = {level:g}; below: MSE"
    return image_grid(pixels, rows, broken(names), title, below=[[""] * len(names), *below[1:]])


@rc_context(STYLE)
def denoising_gain(table: pd.DataFrame) -> Figure:
    """Gain of every model by level, with its bootstrap band, a panel for each kind of noise (table denoising)."""
    kinds = [str(kind) for kind in table["noise"].unique()]
    number = max(1, len(kinds))
    figure, axes = panels(0.8 + 2.3 * -(-number // 2), number, shared=False)
    if table.empty:
        placeholder(axes, "no kind of noise was measured")
        return figure
    for panel, kind in zip(axes, kinds, strict=False):
        title, level = NOISES[kind]
        panel.axhline(0, color="0.3", linewidth=0.8)
        for number, model in enumerate(table["model"].unique()):
            rows = table[(table["noise"] == kind) & (table["model"] == model)].sort_values("level")
            panel.plot(rows["level"], rows["gain"], label=MODELS[str(model)], linewidth=1.2, **look(number))
            colour = look(number)["color"]
            panel.fill_between(rows["level"], rows["gain_low"], rows["gain_high"], color=colour, alpha=0.25)
        panel.xaxis.set_major_locator(MaxNLocator(5))
        panel.set(xlabel=level, title=title)
    figure.supylabel("gain: MSE before \N{MINUS SIGN} MSE after", fontsize=9)
    figure.suptitle("Denoising: above 0, what comes out is nearer the clean image than what went in")
    if len(axes) > len(kinds):
        axes[-1].legend(*axes[0].get_legend_handles_labels(), loc="center")
    else:
        legend_below(axes[0], 3)
    return figure
