"""What the latent size is worth (tables reconstruction, identity) as figures."""

import pandas as pd
from matplotlib.axes import Axes

from orchestrator.figures.style import COLOURS, MARKERS, MSE, describe, drawing, look

AUTHOR_MSE = ((2, 4, 4, 5, 6, 7, 15, 20), (0.0359, 0.0213, 0.0223, 0.0201, 0.0182, 0.0166, 0.0136, 0.0133))
"""Latent sizes and test errors of the author's autoencoders (source: author's repository; 2 apparently)."""
PUBLISHED_MSE = ((2, 64), (0.0244, 0.0054))
"""Of convolutional autoencoders trained on 50,000 images (source: timsainb/ParametricUMAP_paper)."""
LINES = {
    "autoencoder": "-",
    "wide_autoencoder": ":",
    "linear_autoencoder": "none",
    "wide_no_batch_norm": "none",
    "linear_overcomplete": "none",
}


@drawing(8, 5, rows="test_mse.notna()", empty="no model came to its end")
def error_by_latent_dim(axes: Axes, table: pd.DataFrame) -> None:
    """Test error by latent size, of autoencoders and of PCA, the author's beside (table reconstruction)."""
    pca = table[table["method"] == "pca"].sort_values("latent_dim")
    axes.plot(pca["latent_dim"], pca["test_mse"], color="0.3", linestyle="--", label="PCA")
    for number, (method, line) in enumerate(LINES.items()):
        rows = table[table["method"] == method]
        if len(rows):
            mean, colour = rows.groupby("latent_dim")["test_mse"].mean(), COLOURS[number]
            axes.plot(mean.index, mean, color=colour, linestyle=line)
            label = {"linear_autoencoder": "linear"}.get(method, method.replace("_", " "))
            axes.plot(rows["latent_dim"], rows["test_mse"], MARKERS[number], color=colour, markersize=5, label=label)
    axes.plot(*AUTHOR_MSE, "D", color="0.2", markersize=6, markerfacecolor="none", label="author")
    axes.plot(*PUBLISHED_MSE, "*", color="0.2", markersize=10, label="published autoencoders")
    axes.set(xscale="log", xlabel="size of the latent vector", ylabel=f"test {MSE}")
    sizes = [k for k in (1, 2, 3, 5, 10, 14, 32, 64, 144, 784) if k <= table["latent_dim"].max()]
    axes.set_xticks(sizes, [str(k) for k in sizes])
    describe(axes, title="Reconstruction error by latent size", yscale="log")
    axes.legend()


@drawing(8, 4, rows="test_mse.notna() and method.str.startswith('table1')", empty="no ablation came to its end")
def ablations(axes: Axes, table: pd.DataFrame) -> None:
    """Test error of the paper's architecture with one thing changed, every seed a mark (table reconstruction)."""
    names = []
    for place, (method, rows) in enumerate(table.groupby("method", observed=True, sort=False)):
        mean, colour = rows["test_mse"].mean(), COLOURS[0] if method == "table1" else COLOURS[1]
        axes.plot(rows["test_mse"], [place] * len(rows), "o", color=colour, alpha=0.7)
        axes.plot([mean] * 2, [place - 0.3, place + 0.3], color=colour, linewidth=2)
        changed = str(method).removeprefix("table1").strip("_").replace("_", " ").replace("relu", "ReLU")
        names.append(changed or "as in Table 1")
    if "as in Table 1" in names:
        usual = table.loc[table["method"] == "table1", "test_mse"].mean()
        axes.axvline(usual, color=COLOURS[0], linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlabel=f"test {MSE}", title="Table 1's architecture with one thing changed (line: mean over seeds)")


@drawing(9, 4.2, 2, rows="noise_passed.notna()", empty="no wide model came to its end")
def identity(axes: list[Axes], table: pd.DataFrame) -> None:
    """How much of the input's noise comes out, by latent size, beside the identity and none (table identity)."""
    for panel, (kind, level) in zip(axes, {"zeroed": "p", "gaussian_unclipped": "sigma"}.items(), strict=True):
        panel.axhline(1, color="0.3", linewidth=0.8)
        panel.annotate("the identity", (0.02, 1), xycoords=("axes fraction", "data"), va="bottom", fontsize=8)
        for number, ((method, k), of_model) in enumerate(table.groupby(["method", "latent_dim"], observed=True)):
            rows = of_model[of_model["noise"] == kind].sort_values("level")
            label = f"{str(method).replace('_', ' ')}, {k}"
            panel.plot(rows["level"], rows["noise_passed"], label=label, **look(number))
        panel.set(xlabel=level, title=kind.replace("_", ", "), ylim=(0, None))
    axes[0].set_ylabel("noise energy that comes out, share")
    axes[1].legend()
