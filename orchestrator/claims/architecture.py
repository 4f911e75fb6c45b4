"""What the paper claims of the data, the autoencoder's architecture and its search."""

import pandas as pd

from orchestrator.claims.claim import Answer, Interval, Verdict, claim, first_seed, rows, spread

TUNED = ("filters1", "filters2", "filters3", "neurons", "latent_dim", "optimizer", "learning_rate")

EQUIVALENT = 0.05
"""Relative difference of a test MSE below which two models are alike."""

FIRST_LAYERS = (("conv1", 7), ("conv2", 10), ("conv3", 16), ("lin1", 32), ("latent", 3))
"""Of the paper's Table 1, with their outputs; then the decoder's, with its transposed convolutions' inputs."""

TABLE1 = (*FIRST_LAYERS, ("lin2", 32), ("deconv1", 16), ("deconv2", 10), ("deconv3", 7))


@claim(
    15,
    "60,000 equally distributed images to train with, 10,000 with the same properties to test.",
    paper="60000, 10000",
)
def images_are_equally_distributed(folds: pd.DataFrame, denoising_images: pd.DataFrame) -> Answer:
    """training images"""
    number = int(folds["num_train"].iloc[0] + folds["num_val"].iloc[0])
    classes = denoising_images.drop_duplicates("index")["label"].value_counts()
    whole = number == 60_000 and len(classes) == 10 and set(classes) == {1000}
    reason = f"The test images have {classes.min()} to {classes.max()} of each class."
    return Answer("supported" if whole else "partly", reason, Interval(number))


@claim(16, "The training images are sectioned for validation.", paper="six folds")
def images_of_each_section(folds: pd.DataFrame) -> Answer:
    """images of each section"""
    sections = first_seed(rows(folds, "fold in sequential order", order="sequential"))
    return Answer("supported", f"Into {len(sections)} sections; the rest trains.", spread(sections["num_val"]))


@claim(17, "Three convolutional layers, then two fully connected ones.")
def layers_of_the_encoder(layers: pd.DataFrame) -> Answer:
    """layers of the encoder of paper_table1"""
    kinds = list(layers[layers["model"] == "paper_table1"]["kind"])[: len(FIRST_LAYERS)]
    verdict: Verdict = "supported" if kinds == ["Conv2d"] * 3 + ["Linear"] * 2 else "contradicted"
    return Answer(verdict, "The second of the two is the latent layer.", Interval(float(len(kinds))))


@claim(
    20, "Optuna tunes filters, neurons, optimizer, learning rate and latent size.", paper="four, and the latent size"
)
def parameters_that_are_tuned(trials: pd.DataFrame, importances: pd.DataFrame | None = None) -> Answer:
    """parameters that took several values"""
    varied = [name for name in TUNED if trials[f"params_{name}"].nunique() > 1]
    reason = "Filters are three parameters."
    if importances is not None:
        most = importances.sort_values("importance").iloc[-1]
        reason += f" Most of the trials' spread is {most['param']}'s: {most['importance']:.2f} (fANOVA)."
    return Answer("supported" if len(varied) == len(TUNED) else "partly", reason, Interval(float(len(varied))))


@claim(21, "20 sets of parameters are tried, each model trained over five epochs.", paper="20, 5")
def trials_and_their_epochs(trials: pd.DataFrame) -> Answer:
    """trials that were finished"""
    epochs = rows(trials, "finished trial")["epochs"]
    return Answer(
        "supported" if len(epochs) == 20 and set(epochs) == {5} else "partly",
        f"Each over {epochs.max()} epochs. This is one study: how much of its "
        "order of the trials is chance was not measured.",
        Interval(float(len(epochs))),
    )


@claim(22, "The latent size is kept below 15, so that the model is undercomplete.", paper="below 15")
def largest_latent_size_tried(trials: pd.DataFrame, reconstruction: pd.DataFrame | None = None) -> Answer:
    """largest latent size tried"""
    most = int(trials["params_latent_dim"].max())
    reason = "Undercomplete is anything below 784."
    if reconstruction is not None:
        autoencoders = reconstruction[reconstruction["method"] == "autoencoder"]
        errors = autoencoders.groupby("latent_dim")["test_mse"].mean()
        if len(errors) and errors.index.max() > 15:
            reason += f" The error goes on falling beyond 15: {errors.iloc[-1]:.4f} at {errors.index[-1]}."
    return Answer("supported" if most < 15 else "contradicted", reason, Interval(most))


@claim(23, "Two latent numbers make the images easy to look at.")
def trustworthiness_of_the_plane(embeddings: pd.DataFrame) -> Answer:
    """trustworthiness of the autoencoder's plane"""
    plane = rows(embeddings, "autoencoder's plane", method="autoencoder").iloc[0]
    return Answer(
        "supported" if plane["trustworthiness"] >= 0.9 else "partly",
        f"Supported from .9 on. {plane['knn_accuracy']:.0%} of the images have the class of those nearest.",
        Interval(float(plane["trustworthiness"])),
    )


@claim(38, "The best architecture found is Table 1's.", paper="7-10-16, 32, 3")
def best_architecture_beside_table1(models: pd.DataFrame, trials: pd.DataFrame) -> Answer:
    """test MSE of this run's best over that of Table 1's"""
    best, table1 = (rows(models, name, model=name).iloc[0] for name in ("best", "paper_table1"))
    ratio = float(best["test_mse"] / table1["test_mse"])
    sizes = "-".join(str(best[f"params_filters{number}"]) for number in (1, 2, 3))
    return Answer(
        "contradicted" if ratio < 1 - EQUIVALENT else "supported" if ratio >= 1 else "inconclusive",
        f"This run's best is {sizes}, {best['params_neurons']}, {best['params_latent_dim']}. With three latent "
        f"numbers Table 1's gets {table1['test_mse']:.4f}, not Figure 1's .020; the author's with four got .0213.",
        Interval(ratio),
    )


@claim(39, "Table 1's rows: channels, neurons, kernels, strides, paddings.", paper="9 rows")
def table1_as_printed(layers: pd.DataFrame) -> Answer:
    """trainable numbers of such a network"""
    table1 = rows(layers, "model paper_table1", model="paper_table1").set_index("layer")
    sides = {name: "in_channels" if name.startswith("deconv") else "out_channels" for name, _ in TABLE1}
    convolutions = table1[table1["kernel"].notna()]
    as_printed = (
        {name: table1.loc[name, side] for name, side in sides.items()} == dict(TABLE1)
        and set(convolutions["kernel"]) == {3}
        and set(convolutions["stride"]) == {2}
        and list(convolutions["padding"]) == [1, 1, 0, 0, 1, 1]
    )
    return Answer(
        "partly" if as_printed else "contradicted",
        "It can be built as printed once three things are added: output paddings of 0, 1, 1; a layer from the second "
        "Lin1's 32 to 144; a sigmoid at the end.",
        Interval(float(table1["num_parameters"].sum())),
    )
