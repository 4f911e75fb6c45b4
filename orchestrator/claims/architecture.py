"""What the paper claims of the data, the autoencoder's architecture and its search."""

from __future__ import annotations

from orchestrator.claims.claim import (
    Answer,
    Interval,
    NotTested,
    Tables,
    Verdict,
    claim,
    first_seed,
    paired_ratio,
    rows,
    spread,
)

TUNED = ("filters1", "filters2", "filters3", "neurons", "latent_dim", "optimizer", "learning_rate")

EQUIVALENT = 0.05
"""Relative difference of a test MSE below which two models are alike."""

FIRST_LAYERS = (("conv1", 7), ("conv2", 10), ("conv3", 16), ("lin1", 32), ("latent", 3))
"""Of the paper's Table 1, with their outputs; then the decoder's, with its transposed convolutions' inputs."""

TABLE1 = (*FIRST_LAYERS, ("lin2", 32), ("deconv1", 16), ("deconv2", 10), ("deconv3", 7))


@claim(
    15, "60,000 equally distributed images to train with, 10,000 with the same properties to test.", "folds",
    "denoising_images", paper="60000, 10000", quantity="training images",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    fold, images = tables["folds"].iloc[0], tables["denoising_images"]
    number = int(fold["num_train"] + fold["num_val"])
    classes = images.drop_duplicates("index")["label"].value_counts()
    whole = number == 60_000 and len(classes) == 10 and set(classes) == {1000}
    return Answer(
        "supported" if whole else "partly",
        f"The test images have {classes.min()} to {classes.max()} of each class.",
        Interval(number),
    )


@claim(
    16, "The training images are sectioned for validation.", "folds", paper="six folds",
    quantity="images of each section",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    folds = first_seed(rows(tables["folds"], "fold in sequential order", order="sequential"))
    return Answer("supported", f"Into {len(folds)} sections; the rest trains.", spread(folds["num_val"]))


@claim(
    17, "Three convolutional layers, then two fully connected ones.", "layers",
    quantity="layers of the encoder of paper_table1",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    table = tables["layers"]
    kinds = list(table[table["model"] == "paper_table1"]["kind"])[: len(FIRST_LAYERS)]
    as_said = kinds == ["Conv2d"] * 3 + ["Linear"] * 2
    return Answer(
        "supported" if as_said else "contradicted",
        "The second of the two is the latent layer.",
        Interval(float(len(kinds))),
    )


@claim(
    18, "Batch norm on the convolutions regularises.", "reconstruction",
    quantity="test MSE of Table 1's network without batch norm over that with it",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    found = _beside_table1(tables, "table1_no_batch_norm")
    return Answer(found.is_above(1), "Supported where the network is worse without it, by the interval.", found)


@claim(
    19, "An L2 penalty on the loss regularises.", "reconstruction",
    quantity="test MSE of Table 1's network without the penalty over that with it",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    found, strong = (_beside_table1(tables, f"table1_weight_decay_{weight}") for weight in ("0", "0.01"))
    return Answer(
        "contradicted" if found.is_within(0.99, 1.01) else found.is_above(1),
        "Supported where the network is worse without it, by the interval; contradicted also where all of that lies "
        f"within 1 % of 1. With a penalty of .01: {strong.value:.3f}. With AdamW it is decoupled from the loss.",
        found,
    )


@claim(
    20, "Optuna tunes filters, neurons, optimizer, learning rate and latent size.", "trials",
    paper="four, and the latent size", quantity="parameters that took several values",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    varied = [name for name in TUNED if tables["trials"][f"params_{name}"].nunique() > 1]
    reason = "Filters are three parameters."
    if "importances" in tables and len(tables["importances"]):
        most = tables["importances"].sort_values("importance").iloc[-1]
        reason += f" Most of the trials' spread is {most['param']}'s: {most['importance']:.2f} (fANOVA)."
    return Answer("supported" if len(varied) == len(TUNED) else "partly", reason, Interval(float(len(varied))))


@claim(
    21, "20 sets of parameters are tried, each model trained over five epochs.", "trials", paper="20, 5",
    quantity="trials that were finished",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    table = rows(tables["trials"], "finished trial")
    as_said = len(table) == 20 and set(table["epochs"]) == {5}
    return Answer(
        "supported" if as_said else "partly",
        f"Each over {table['epochs'].max()} epochs. This is one study: how much of its "
        "order of the trials is chance was not measured.",
        Interval(float(len(table))),
    )


@claim(
    22, "The latent size is kept below 15, so that the model is undercomplete.", "trials", paper="below 15",
    quantity="largest latent size tried",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    most = int(tables["trials"]["params_latent_dim"].max())
    reason = "Undercomplete is anything below 784."
    if "reconstruction" in tables:
        table = tables["reconstruction"]
        errors = table[table["method"] == "autoencoder"].groupby("latent_dim")["test_mse"].mean()
        if len(errors) and errors.index.max() > 15:
            reason += f" The error goes on falling beyond 15: {errors.iloc[-1]:.4f} at {errors.index[-1]}."
    return Answer("supported" if most < 15 else "contradicted", reason, Interval(most))


@claim(
    23, "Two latent numbers make the images easy to look at.", "embeddings",
    quantity="trustworthiness of the autoencoder's plane",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    plane = rows(tables["embeddings"], "autoencoder's plane", method="autoencoder").iloc[0]
    return Answer(
        "supported" if plane["trustworthiness"] >= 0.9 else "partly",
        f"Supported from .9 on. {plane['knn_accuracy']:.0%} of the images have the class of those nearest.",
        Interval(float(plane["trustworthiness"])),
    )


@claim(
    24, "Other kernel sizes make no discernible difference.", "reconstruction", paper="preliminary attempts",
    quantity="test MSE of Table 1's network with kernels of 5 over that with kernels of 3",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    found = _beside_table1(tables, "table1_kernel_5")
    differs = found.is_above(1) != "inconclusive"
    alike = found.is_within(1 - EQUIVALENT, 1 + EQUIVALENT)
    verdict: Verdict = "supported" if alike else "contradicted" if differs else "inconclusive"
    return Answer(verdict, f"Supported where the whole interval lies within {EQUIVALENT:.0%} of 1.", found)


@claim(
    38, "The best architecture found is Table 1's.", "models", "trials", paper="7-10-16, 32, 3",
    quantity="test MSE of this run's best over that of Table 1's",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    best, table1 = (rows(tables["models"], name, model=name).iloc[0] for name in ("best", "paper_table1"))
    ratio = float(best["test_mse"] / table1["test_mse"])
    sizes = "-".join(str(best[f"params_filters{number}"]) for number in (1, 2, 3))
    return Answer(
        "contradicted" if ratio < 1 - EQUIVALENT else "supported" if ratio >= 1 else "inconclusive",
        f"This run's best is {sizes}, {best['params_neurons']}, {best['params_latent_dim']}. With three latent "
        f"numbers Table 1's gets {table1['test_mse']:.4f}, not Figure 1's .020; the author's with four got .0213.",
        Interval(ratio),
    )


@claim(
    39, "Table 1's rows: channels, neurons, kernels, strides, paddings.", "layers", paper="9 rows",
    quantity="trainable numbers of such a network",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    table = tables["layers"]
    table = table[table["model"] == "paper_table1"].set_index("layer")
    if table.empty:
        raise NotTested("model paper_table1")
    widths = {
        name: table.loc[name, "in_channels" if name.startswith("deconv") else "out_channels"] for name, _ in TABLE1
    }
    convolutions = table[table["kernel"].notna()]
    as_printed = (
        widths == dict(TABLE1)
        and set(convolutions["kernel"]) == {3}
        and set(convolutions["stride"]) == {2}
        and list(convolutions["padding"]) == [1, 1, 0, 0, 1, 1]
    )
    return Answer(
        "partly" if as_printed else "contradicted",
        "It can be built as printed once three things are added: output paddings of 0, 1, 1; a layer from the second "
        "Lin1's 32 to 144; a sigmoid at the end.",
        Interval(float(table["num_parameters"].sum())),
    )


def _beside_table1(tables: Tables, change: str) -> Interval:
    """Test error of Table 1's network with a change over that without, seed by seed."""
    table = rows(tables["reconstruction"], "ablation", method=("table1", change))
    return paired_ratio(table, "test_mse", "method", change, "table1")
