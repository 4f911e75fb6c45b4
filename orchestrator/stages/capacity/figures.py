"""What the latent size is worth (tables reconstruction, identity) as figures."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from orchestrator.figures.names import METHODS, NOISES
from orchestrator.figures.style import COLOURS, MARKERS, MSE, describe, drawing, legend_below, look

AUTHOR_MSE = ((2, 4, 4, 5, 6, 7, 15, 20), (0.0359, 0.0213, 0.0223, 0.0201, 0.0182, 0.0166, 0.0136, 0.0133))
"""Latent sizes and test errors of the author's autoencoders after 20 epochs (source: author's repository; 2
apparently)."""
PUBLISHED_MSE = ((2, 64), (0.0244, 0.0054))
"""Of convolutional autoencoders trained on 50,000 images (source: timsainb/ParametricUMAP_paper)."""
MARKED = ("autoencoder", "wide_autoencoder", "linear_autoencoder", "wide_no_batch_norm", "linear_overcomplete")
"""Methods that are drawn by latent size."""


@drawing(4.6, rows="test_mse.notna()", empty="no model came to its end")
def error_by_latent_dim(axes: Axes, table: pd.DataFrame, *, with_published: bool) -> None:
    """Test error by latent size, of autoencoders and of PCA, the author's beside or not (table reconstruction).

    PCA is there for every size, hence a line; all others are marks, since nobody measured what lies between.
    """
    pca = table[table["method"] == "pca"].sort_values("latent_dim")
    axes.plot(pca["latent_dim"], pca["test_mse"], color="0.3", linestyle="--", label="PCA")
    if with_published:
        hollow: dict[str, Any] = {"color": "0.3", "markerfacecolor": "none"}
        axes.plot(*AUTHOR_MSE, "D", markersize=6, label="author, 20 epochs", **hollow)
        axes.plot(*PUBLISHED_MSE, "*", markersize=9, label="published autoencoder", **hollow)
    for number, method in enumerate(MARKED):
        rows = table[table["method"] == method]
        if len(rows):
            axes.plot(
                rows["latent_dim"], rows["test_mse"], MARKERS[number], color=COLOURS[number], label=METHODS[method]
            )
    least = table.loc[table["method"] != "pca", "test_mse"].min()
    if pca["test_mse"].min() < least / 10:  # images that few components are all of
        axes.set_ylim(bottom=least / 10)
    axes.set(xscale="log", xlabel="numbers in the latent vector", ylabel=f"test {MSE}")
    axes.minorticks_off()
    ticks = [1, 64]
    for size in sorted(table.loc[table["method"].isin(MARKED), "latent_dim"].unique()):
        if min(max(size / tick, tick / size) for tick in ticks) > 1.4:
            ticks.append(size)
    axes.set_xticks(ticks, [str(size) for size in ticks])
    describe(axes, title="Reconstruction error by latent size", yscale="log")
    legend_below(axes, 3)


@drawing(3.8, rows="test_mse.notna() and method.str.startswith('table1')", empty="no ablation came to its end")
def ablations(axes: Axes, table: pd.DataFrame) -> None:
    """Test error of the paper's architecture and of what was changed in it, every seed a mark (reconstruction)."""
    names = []
    for place, (method, rows) in enumerate(table.groupby("method", observed=True, sort=False)):
        mean, colour = rows["test_mse"].mean(), COLOURS[0] if method == "table1" else COLOURS[1]
        axes.plot(rows["test_mse"], [place] * len(rows), "o", color=colour, alpha=0.7)
        axes.plot([mean] * 2, [place - 0.3, place + 0.3], color=colour, linewidth=2)
        changed = str(method).removeprefix("table1").strip("_").replace("_", " ")
        for ours, said in (
            ("relu", "ReLU"),
            ("adam l2", "Adam, L2 penalty"),
            ("step", "step size"),
            ("1e-05", "0.00001"),
        ):
            changed = changed.replace(ours, said)
        names.append(changed.replace("norm step", "norm, step") or "as in Table 1 (AdamW, step size 0.0005)")
    usual = table.loc[table["method"] == "table1", "test_mse"]
    if len(usual):
        axes.axvline(usual.mean(), color=COLOURS[0], linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlabel=f"test {MSE}; line: mean over seeds", title="Table 1's architecture, and what was changed in it")


@drawing(3.8, 2, rows="noise_passed.notna()", empty="no wide model came to its end")
def identity(axes: list[Axes], table: pd.DataFrame) -> None:
    """How much of the input's noise comes out, by latent size, beside the identity and none (table identity)."""
    for panel, kind in zip(axes, ("zeroed", "gaussian_unclipped"), strict=True):
        title, level = NOISES[kind]
        panel.axhline(1, color="0.3", linewidth=0.8)
        panel.annotate("the identity", (0.02, 1), xycoords=("axes fraction", "data"), va="bottom", fontsize=8)
        for number, ((method, k), of_model) in enumerate(table.groupby(["method", "latent_dim"], observed=True)):
            rows = of_model[of_model["noise"] == kind].sort_values("level")
            panel.plot(rows["level"], rows["noise_passed"], label=f"{METHODS[str(method)]}, {k}", **look(number))
        panel.xaxis.set_major_locator(MaxNLocator(5))
        panel.set(xlabel=level, title=title, ylim=(0, None))
    axes[0].set_ylabel("share of the noise's energy that comes out")
    legend_below(axes[1], 3)
