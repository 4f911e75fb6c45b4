"""What the latent size is worth (tables reconstruction, identity) as figures."""

from __future__ import annotations

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from orchestrator.figures.style import COLOURS, MARKERS, MSE, STYLE, panels, placeholder, plain_log_ticks

AUTHOR_MSE = (
    (2, 0.0359), (4, 0.0213), (4, 0.0223), (5, 0.0201), (6, 0.0182), (7, 0.0166), (15, 0.0136), (20, 0.0133),
)  # fmt: skip
"""Test error of the author's autoencoders by latent size (source: author's repository; 2 apparently)."""
PUBLISHED_MSE = {2: 0.0244, 64: 0.0054}
"""Test error of convolutional autoencoders trained on 50,000 images (source: timsainb/ParametricUMAP_paper)."""


@rc_context(STYLE)
def error_by_latent_dim(table: pd.DataFrame) -> Figure:
    """Test error by latent size, of autoencoders and of PCA, the author's beside (table reconstruction)."""
    figure, (axes,) = panels(8, 5)
    table = table.dropna(subset=["test_mse"])
    if table.empty:
        return placeholder(figure, axes, "no model came to its end")
    pca = table[table["method"] == "pca"].sort_values("latent_dim")
    axes.plot(pca["latent_dim"], pca["test_mse"], color="0.3", linestyle="--", label="PCA")
    for number, (method, label) in enumerate(
        (("autoencoder", "autoencoder"), ("wide_autoencoder", "wide autoencoder"), ("linear_autoencoder", "linear"))
    ):
        rows = table[table["method"] == method]
        if len(rows):
            mean = rows.groupby("latent_dim")["test_mse"].mean()
            line = "-" if method == "autoencoder" else ":" if method == "wide_autoencoder" else "none"
            axes.plot(mean.index, mean, color=COLOURS[number], linestyle=line)
            seeds = (rows["latent_dim"], rows["test_mse"])
            axes.plot(*seeds, MARKERS[number], color=COLOURS[number], markersize=5, label=label)
    (author,) = axes.plot(*zip(*AUTHOR_MSE, strict=True), "D", color="0.2", markersize=6, label="author")
    author.set_markerfacecolor("none")
    axes.plot(
        *zip(*PUBLISHED_MSE.items(), strict=True), "*", color="0.2", markersize=10, label="published autoencoders"
    )
    axes.set(
        xscale="log", yscale="log", xlabel="size of the latent vector", ylabel=f"test {MSE}",
        title="Reconstruction error by latent size",
    )  # fmt: skip
    sizes = [k for k in (1, 2, 3, 5, 10, 14, 32, 64, 144, 784) if k <= table["latent_dim"].max()]
    axes.set_xticks(sizes, [str(k) for k in sizes])
    plain_log_ticks(axes)
    axes.legend()
    return figure


@rc_context(STYLE)
def ablations(table: pd.DataFrame) -> Figure:
    """Test error of the paper's architecture with one thing changed, every seed a mark (table reconstruction)."""
    figure, (axes,) = panels(8, 4)
    rows = table[table["method"].astype(str).str.startswith("table1")].dropna(subset=["test_mse"])
    if rows.empty:
        return placeholder(figure, axes, "no ablation came to its end")
    methods = [str(method) for method in rows["method"].unique()]
    for place, method in enumerate(methods):
        values = rows.loc[rows["method"] == method, "test_mse"]
        colour = COLOURS[0] if method == "table1" else COLOURS[1]
        axes.plot(values, [place] * len(values), "o", color=colour, alpha=0.7)
        axes.plot([values.mean()] * 2, [place - 0.3, place + 0.3], color=colour, linewidth=2)
    usual = rows.loc[rows["method"] == "table1", "test_mse"]
    if len(usual):
        axes.axvline(usual.mean(), color=COLOURS[0], linewidth=0.8, linestyle="--")
    names = [
        method.removeprefix("table1").strip("_").replace("_", " ").replace("relu", "ReLU") or "as in Table 1"
        for method in methods
    ]
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlabel=f"test {MSE}", title="Table 1's architecture with one thing changed (line: mean over seeds)")
    return figure


@rc_context(STYLE)
def identity(table: pd.DataFrame) -> Figure:
    """How much of the input's noise comes out, by latent size, beside the identity and none (table identity)."""
    kinds = [(kind, name) for kind, name in (("zeroed", "p"), ("gaussian_unclipped", "sigma"))]
    figure, axes = panels(9, 4.2, columns=2)
    table = table.dropna(subset=["noise_passed"])
    if table.empty:
        return placeholder(figure, axes[0], "no wide model came to its end")
    sizes = sorted(table["latent_dim"].unique())
    for panel, (kind, level) in zip(axes, kinds, strict=True):
        panel.axhline(1, color="0.3", linewidth=0.8)
        panel.annotate("the identity", (0.02, 1), xycoords=("axes fraction", "data"), va="bottom", fontsize=8)
        for number, k in enumerate(sizes):
            rows = table[(table["noise"] == kind) & (table["latent_dim"] == k)].sort_values("level")
            (line,) = panel.plot(rows["level"], rows["noise_passed"], label=f"latent size {k}", markersize=4)
            line.set(color=COLOURS[number % 6], marker=MARKERS[number % 6])
        panel.set(xlabel=level, title=kind.replace("_", ", "), ylim=(0, None))
    axes[0].set_ylabel("noise energy that comes out, share")
    axes[1].legend()
    return figure
