"""Denoising (table denoising, and images) as figures; among them the paper's Figure 2."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from orchestrator.figures.style import MSE, STYLE, Pixels, look, panels, placeholder, show

AUTHOR_DENOISED = {
    0.1: (0.019, 0.015),
    0.2: (0.048, 0.023),
    0.3: (0.076, 0.044),
    0.4: (0.080, 0.042),
    0.5: (0.105, 0.064),
}
"""Noisy and reconstructed error of the author's Figure 2 by probability (source: author's repository)."""


@rc_context(STYLE)
def denoised_image(clean: Pixels, columns: Sequence[tuple[float, Pixels, Pixels]], with_author: bool) -> Figure:
    """The paper's Figure 2: an image with more and more pixels set to zero, and what the model makes of it.

    Args:
        clean: shape (28, 28).
        columns: probability, noisy image and reconstruction, for each.
        with_author: whether it is the author's image, so that his errors are put beside ours.
    """
    figure = Figure(figsize=(1.7 * (len(columns) + 1), 4.3), layout="constrained")
    grid = figure.subplots(2, len(columns) + 1)
    show(grid[0, 0], clean, "clean")
    grid[1, 0].set_axis_off()
    for column, (level, *pictures) in enumerate(columns, start=1):
        author = AUTHOR_DENOISED.get(level) if with_author else None
        for row, picture in enumerate(pictures):
            beside = f"{np.square(picture - clean).mean():.4f}" + (f"\nauthor {author[row]:.3f}" if author else "")
            show(grid[row, column], picture, "" if row else f"p = {level:g}", beside)
    grid[0, 1].set_ylabel("noisy")
    grid[1, 1].set_ylabel("reconstructed")
    figure.suptitle("Pixels set to zero with probability p; MSE against the clean image below", fontsize=11)
    return figure


@rc_context(STYLE)
def denoised_classes(clean: Pixels, noisy: Pixels, restored: Pixels, names: Sequence[str], level: float) -> Figure:
    """An image of every class, noisy and reconstructed; all of shape (classes, 28, 28)."""
    figure = Figure(figsize=(1.05 * len(names) + 1.1, 4.6), layout="constrained")
    grid = figure.subplots(3, len(names), squeeze=False)
    for column, name in enumerate(names):
        show(grid[0, column], clean[column], name)
        for row, picture in ((1, noisy[column]), (2, restored[column])):
            show(grid[row, column], picture, "", f"{np.square(picture - clean[column]).mean():.4f}")
    for row, label in enumerate(("clean", "noisy", "reconstructed")):
        grid[row, 0].set_ylabel(label)
    title = f"The first test image of each class, pixels set to zero with p = {level:g}; MSE below"
    figure.suptitle(title, fontsize=11)
    return figure


@rc_context(STYLE)
def denoising_gain(table: pd.DataFrame) -> Figure:
    """Gain of every model by level, with its bootstrap band, a panel for each kind of noise (table denoising)."""
    kinds = [str(kind) for kind in table["noise"].unique()]
    figure, axes = panels(3.4 * max(2, len(kinds)), 4.2, max(1, len(kinds)))
    if table.empty:
        return placeholder(figure, axes[0], "no kind of noise was measured")
    for panel, kind in zip(axes, kinds, strict=True):
        panel.axhline(0, color="0.3", linewidth=0.8)
        for number, model in enumerate(table["model"].unique()):
            rows = table[(table["noise"] == kind) & (table["model"] == model)].sort_values("level")
            panel.plot(rows["level"], rows["gain"], label=str(model), **look(number))
            colour = look(number)["color"]
            panel.fill_between(rows["level"], rows["gain_low"], rows["gain_high"], color=colour, alpha=0.25)
        level = "sigma" if kind in {"gaussian", "gaussian_unclipped"} else "p"
        panel.set(xlabel=level, title=kind.replace("_", ", "))
    axes[0].set_ylabel(f"gain in {MSE}")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    return figure
