"""report: one self-contained page of what the run found. Reads every table and figure; writes the table claims and
report.html."""

from __future__ import annotations

import base64
from collections import Counter
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from orchestrator.claims import judged
from orchestrator.config import Settings, paper
from orchestrator.findings import FINDINGS
from orchestrator.stage import Context, Record, Stage
from orchestrator.tables import TABLES

SECTIONS: tuple[tuple[str, str, tuple[str, ...], dict[str, str]], ...] = (
    (
        "search",
        "Search for an architecture",
        ("trials", "importances"),
        {
            "search_history": "Validation error of each trial, and the best so far.",
            "search_importances": "How much of the trials' spread each parameter explains (fANOVA).",
            "search_parallel": "The trials by parameter.",
            "search_epochs": "Learning curves of all trials.",
        },
    ),
    (
        "kfold",
        "Six sequential folds (the paper's Figure 1)",
        ("folds",),
        {
            "kfold_epochs": "Learning curves of the folds; hollow marks are the author's values after 20 epochs.",
            "kfold_test": "Error of each fold's model on the test images.",
            "kfold_orders": "The folds when the images are in another order, and one fold over seeds.",
        },
    ),
    (
        "refit",
        "Final models (the paper's Table 1)",
        ("models", "layers"),
        {
            "refit_best": "best: originals over reconstructions, the best and the worst image of each class.",
            "refit_paper_table1": "paper_table1: the same for the paper's architecture.",
            "refit_two_dim": "two_dim: the same for a latent vector of two numbers.",
            "refit_traversals": "best: what each number of the latent vector does.",
            "refit_interpolations": "best: from one image to another through the latent space.",
            "refit_samples": "best: images decoded from random latent vectors.",
        },
    ),
    (
        "denoise",
        "Denoising (the paper's Figure 2)",
        ("denoising", "denoising_correlations"),
        {
            "denoise_boot": "An image with more and more pixels set to zero, and what the model best makes of it.",
            "denoise_classes": "The same for an image of every class.",
            "denoise_gain": "How much nearer the clean images every model comes; bands are 95 % intervals.",
        },
    ),
    (
        "capacity",
        "What the size of the latent vector is worth",
        ("reconstruction", "identity"),
        {
            "capacity_latent": "Test error by latent size, beside PCA; every seed a mark.",
            "capacity_ablations": "Table 1's architecture with one thing changed.",
            "capacity_identity": "Overcomplete models: how much of the input's noise they let through.",
        },
    ),
    (
        "classify",
        "Classification of latent vectors and of raw images",
        ("classifiers", "classifier_targets"),
        {
            "classify_epochs": "Learning curves; hollow marks are the author's after 50 epochs, by latent size.",
            "classify_seconds": "Accuracy by the time it took.",
            "classify_confusion": "What the two convolutional networks confuse.",
        },
    ),
    (
        "embed",
        "The plane: autoencoder, PCA and t-SNE",
        ("embeddings",),
        {
            "embed_planes": "The test images, each class with its letter.",
            "embed_confusion": "What the neighbours in the plane would take each class for.",
        },
    ),
    (
        "gan_search",
        "Tuning the games on one number",
        ("gan_trials",),
        {"gan_trial_losses": "Losses of the trials: the paper would have tuned on these two."},
    ),
    (
        "gan",
        "The two games: minimax and non-saturating",
        ("gan_intervals", "gans", "gan_inception"),
        {
            "gan_samples_minimax": "minimax, best seed: the same random vectors as the epochs go by.",
            "gan_animation_minimax": "minimax: the same, every epoch.",
            "gan_samples_non_saturating": "non-saturating, best seed: images of the same random vectors.",
            "gan_animation_non_saturating": "non-saturating: the same, every epoch.",
            "gan_distance": "Distance from the test images by epoch; it compares within this run only.",
            "gan_probabilities": "What the discriminator makes of real and of generated images.",
            "gan_gradients": "Why minimax saturates: the gradient's size against d, measured and in theory.",
            "gan_neighbours_minimax": "minimax: are images copied from the training images?",
            "gan_neighbours_non_saturating": "non-saturating: the same.",
        },
    ),
    ("stages", "What it took", ("stages",), {}),
)
"""Stage, title, tables and figures with captions, in the page's order; what is not there is left out."""


def finish(context: Context, records: dict[str, Record]) -> None:
    """Write the page from what there is."""
    tables = {name: table for name, table in context.run.tables().items() if name != "claims"}
    less = _less(context.settings)
    claims = judged(tables, _scales(context, less))
    context.write_table("claims", claims)
    sections = []
    for name, title, table_names, captions in SECTIONS:
        shown = [_table(table, tables[table]) for table in table_names if table in tables and len(tables[table])]
        pictures = [
            {
                "caption": caption,
                "kind": kind,
                "content": base64.b64encode(context.run.read(f"figures/{figure}.{kind}")).decode(),
            }
            for figure, caption in captions.items()
            for kind in ("png", "gif")
            if context.run.exists(f"figures/{figure}.{kind}")
        ]
        if shown or pictures:
            text = FINDINGS[name](tables) if name in FINDINGS and shown else []
            sections.append({"name": name, "title": title, "text": text, "tables": shown, "figures": pictures})
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("orchestrator"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template("report.html.j2").render(
        manifest=context.manifest,
        sections=sections,
        claims=[claim | {"measured": _measured(claim)} for claim in claims],
        verdicts=Counter(claim["verdict"] for claim in claims).most_common(),
        reduced=f"This run used {', '.join(what for what, _ in less)}." if less else "",
    )
    context.write("report.html", page.encode())


def _measured(claim: dict[str, Any]) -> str:
    """What was measured, with its interval, as people write it."""
    if claim["measured"] is None:
        return "" if claim["seconds"] is None else f"{claim['seconds']:.3g} s"
    low, high = claim["low"], claim["high"]
    ends = "" if low is None or low == high else f" ({_cell(low)} to {_cell(high)})"
    return f"{_cell(claim['measured'])}{ends}"


def _scales(context: Context, less: list[tuple[str, tuple[str, ...]]]) -> dict[str, str]:
    """full or reduced, by table."""
    reduced = {stage for _, stages in less for stage in stages}
    return {
        table: "reduced" if stage in reduced else "full"
        for stage, entry in context.manifest.stages.items()
        for table in (Path(name).stem for name in entry.files if name.startswith("tables/"))
    }


_REFITTED = ("refit", "denoise", "classify", "embed")
_SEARCHED = ("search", "kfold", *_REFITTED)
"""Stages whose outcome hangs on the final models, and on the search."""


def _less(settings: Settings) -> list[tuple[str, tuple[str, ...]]]:
    """What is less than the paper's scale, in words, and the stages whose outcome that decides."""
    full = paper()
    everything = tuple(name for name, *_ in SECTIONS)
    return [
        (f"{mine:,} instead of {theirs:,} {what}", stages)
        for mine, theirs, what, stages in (
            (settings.data.num_train, full.data.num_train, "training images", everything),
            (settings.data.num_test, full.data.num_test, "test images", everything),
            (settings.search.num_trials, full.search.num_trials, "trials", _SEARCHED),
            (settings.search.epochs, full.search.epochs, "epochs a trial", _SEARCHED),
            (settings.kfold.num_folds, full.kfold.num_folds, "folds", ("kfold",)),
            (settings.kfold.epochs, full.kfold.epochs, "epochs a fold", ("kfold",)),
            (len(settings.kfold.orders), len(full.kfold.orders), "orders of the images", ("kfold",)),
            (settings.refit.epochs, full.refit.epochs, "epochs a final model", _REFITTED),
            (settings.capacity.epochs, full.capacity.epochs, "epochs a latent size", ("capacity",)),
            (len(settings.capacity.latent_dims), len(full.capacity.latent_dims), "latent sizes", ("capacity",)),
            (settings.capacity.num_seeds, full.capacity.num_seeds, "seeds of each", ("capacity",)),
            (settings.classify.epochs, full.classify.epochs, "epochs a classifier", ("classify", "gan")),
            (settings.classify.num_seeds, full.classify.num_seeds, "seeds of each classifier", ("classify",)),
            (settings.embed.num_fitted, full.embed.num_fitted, "training images for t-SNE", ("embed",)),
            (settings.gan.search_trials, full.gan.search_trials, "trials of each game", ("gan_search",)),
            (settings.gan.epochs, full.gan.epochs, "epochs a game", ("gan",)),
            (settings.gan.num_seeds, full.gan.num_seeds, "seeds of each game", ("gan",)),
        )
        if mine < theirs
    ]


def _table(name: str, table: pd.DataFrame) -> dict[str, Any]:
    """A table as the template wants it, without columns that are empty throughout."""
    table = table.dropna(axis="columns", how="all")
    schema = TABLES[name]
    columns = [
        {
            "name": column,
            "description": (schema.field(column).metadata or {}).get(b"description", b"").decode(),
        }
        for column in table.columns
    ]
    rows = [[_cell(value) for value in row] for row in table.itertuples(index=False, name=None)]
    return {"name": name, "columns": columns, "rows": rows}


def _cell(value: Any) -> str:
    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return "–"
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e6 else f"{value:.4g}"
    return str(value)


STAGE = Stage(name="report", finish=finish, decides=lambda settings: [settings.data], gathers=True)
