"""The repeated search (table study_trials) as figures."""

import pandas as pd
from matplotlib.axes import Axes

from orchestrator.figures.style import COLOURS, MSE, describe, drawing, legend_below

LINES = {
    "search": ("the search", COLOURS[6], "-"),
    "tpe": ("TPE from other seeds", COLOURS[0], "-"),
    "random": ("at random", COLOURS[1], "--"),
    "latent": ("TPE, Table 1's latent size", COLOURS[2], ":"),
}
"""Name, colour and dashes by the first word of a study's name."""
NO_TRIAL = "no trial came to its end"


@drawing(4.2, rows="state == 'complete'", empty=NO_TRIAL)
def history(axes: Axes, trials: pd.DataFrame) -> None:
    """Least error so far of every study, by trial; studies of a kind look alike."""
    named = set()
    for study, rows in trials.astype({"study": str}).sort_values("trial", kind="stable").groupby("study", sort=False):
        name, colour, line = LINES[str(study).split("-")[0]]
        label = None if name in named else name
        named.add(name)
        axes.step(rows["trial"], rows["val_mse"].cummin(), line, where="post", color=colour, label=label)
    title = "The search repeated: best so far"
    describe(axes, counts=True, xlabel="trial", ylabel=f"validation {MSE}", title=title, yscale="log")
    legend_below(axes, 4)


@drawing(4, rows="state == 'complete'", empty=NO_TRIAL)
def front(axes: Axes, trials: pd.DataFrame) -> None:
    """Error by latent size of all trials, and the front of those that no other beats in both."""
    axes.plot(trials["params_latent_dim"], trials["val_mse"], "o", color="0.6", markersize=4, label="trial")
    best = trials[trials["on_front"]].sort_values("params_latent_dim")
    sizes, errors = best["params_latent_dim"], best["val_mse"]
    axes.plot(sizes, errors, "-o", drawstyle="steps-post", color=COLOURS[1], label="beaten by none")
    title = "Searches: what a latent number is worth"
    describe(
        axes,
        counts=True,
        xlabel="numbers in the latent vector",
        ylabel=f"validation {MSE}",
        title=title,
        yscale="log",
    )
    legend_below(axes, 2)
