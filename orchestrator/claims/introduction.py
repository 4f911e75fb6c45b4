"""What the paper's Introduction claims."""

from __future__ import annotations

from orchestrator.claims.claim import (
    Answer,
    Interval,
    NotTested,
    Tables,
    Verdict,
    claim,
    difference_in_the_plane,
    difference_of_shares,
    mean,
    rows,
    spread,
)

OVERCOMPLETE = 784
"""Latent size from which on an autoencoder of these images is overcomplete."""


@claim(1, "The title calls this Homework 1.")
def _(tables: Tables) -> Answer:
    return Answer("not_tested", "A name, nothing to measure; the author's repository has it as homework 2.")


@claim(
    2, "The mean squared error tells how faithful a reconstruction is (equation 1).", "models",
    quantity="test MSE of the model best, pixels in [0, 1]",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    best = rows(tables["models"], "model best", model="best")["test_mse"]
    return Answer(
        "not_tested",
        "A definition. It is read as the mean over pixels and images, and everything here is measured by it.",
        Interval(float(best.iloc[0])),
    )


@claim(
    3, "An undercomplete autoencoder learns the most prominent features.", "classifiers", "confusion",
    quantity="accuracy of the nearest neighbours by latent vectors less that by raw images",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    knn = rows(tables["classifiers"], "nearest neighbours", architecture="knn").groupby("input", observed=True)
    accuracy = knn["test_accuracy"].mean()
    if not {"latent", "raw"} <= set(accuracy.index):
        raise NotTested("nearest neighbours in both")
    table = tables["confusion"]
    count = int(table[(table["input"] == "raw") & (table["architecture"] == "knn")]["count"].sum())
    found = difference_of_shares(accuracy["latent"], accuracy["raw"], count)
    return Answer(
        found.is_above(-0.05),
        "Supported where less than .05 of the accuracy is lost.",
        found,
    )


@claim(
    4, "An overcomplete autoencoder converges to the identity.", "identity", "reconstruction",
    quantity="its test MSE over that of the undercomplete one; the identity has 0",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    table = rows(tables["reconstruction"], "wide autoencoder", method="wide_autoencoder")
    wide = table[table["latent_dim"] >= OVERCOMPLETE]
    narrow = rows(tables["reconstruction"], "autoencoder", method="autoencoder")
    if wide.empty:
        raise NotTested("overcomplete autoencoder")
    narrow = narrow[narrow["latent_dim"] <= 14]
    if narrow.empty:
        raise NotTested("undercomplete autoencoder")
    found = spread(wide["test_mse"] / narrow["test_mse"].min())
    return Answer(
        found.is_below(0.1, "partly"),
        f"Supported up to a tenth. Trained for {wide['epochs'].max():.0f} epochs: what it would come to in the end "
        "is not known. The ends are the range over latent sizes.",
        found,
    )


@claim(
    5, "An overcomplete autoencoder's output is as noisy as its input.", "identity",
    quantity="noise energy that comes out over what went in",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    table = tables["identity"].dropna(subset=["noise_passed"])
    passed = table[table["latent_dim"] >= OVERCOMPLETE]["noise_passed"]
    if passed.empty:
        raise NotTested("overcomplete autoencoder")
    found = spread(passed)
    return Answer(
        found.is_above(0.8, "partly"),
        "As noisy is .8 or more; the ends are the range over noises and latent sizes.",
        found,
    )


@claim(
    6, "Undercomplete autoencoders are useful for taking noise away.", "denoising",
    quantity="share of the noises and levels at which the model best helps",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    table = rows(tables["denoising"], "model best", model="best")
    helps = float((table["gain_low"] > 0).mean())
    verdict: Verdict = "supported" if helps == 1 else "contradicted" if helps == 0 else "partly"
    reason = "It helps where the whole 95 % interval of the mean gain is above 0."
    if verdict == "partly":
        weak = table[table["gain_low"] <= 0]
        reason += f" It does not at noise with an MSE up to {weak['noisy_mse'].max():.4f}: less than the model's own."
    return Answer(verdict, reason, Interval(helps))


@claim(7, "An undercomplete autoencoder can be compared with PCA and with t-SNE.", "embeddings", "reconstruction")
def _(tables: Tables) -> Answer:
    rows(tables["embeddings"], "t-SNE", method="tsne")
    return Answer(
        "partly",
        "By the neighbours in the plane, all three; by reconstruction only with PCA, since t-SNE has no decoder.",
    )


@claim(
    8, "Without non-linearities an autoencoder learns PCA's subspace.", "reconstruction", paper="expected",
    quantity="largest principal angle to PCA's subspace, degrees",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    table = rows(tables["reconstruction"], "linear autoencoder", method="linear_autoencoder")
    angle, ratio = spread(table["largest_angle_degrees"]), table["pca_ratio"].max()
    near = angle.is_below(5) == "supported" and ratio <= 1.02
    return Answer(
        "supported" if near else "contradicted",
        f"Supported up to 5 degrees and 1.02 of PCA's MSE; the greatest is {ratio:.4f}. It is the subspace that is "
        "learned, not the axes. The ends are the range over sizes and seeds.",
        angle,
    )


@claim(
    9, "Non-linearity makes an autoencoder describe more than PCA does.", "reconstruction", paper="arguably",
    quantity="its test MSE over that of PCA with as many numbers",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    table = rows(tables["reconstruction"], "autoencoder", method="autoencoder").dropna(subset=["pca_ratio"])
    if table.empty:
        raise NotTested("latent size that PCA was measured at")
    found = spread(table["pca_ratio"])
    by_size = table.groupby("latent_dim")["pca_ratio"].agg(mean)
    highest = max(it.value if it.high is None else it.high for it in by_size)
    seeds = table["seed"].nunique()
    verdict = Interval(found.value, found.low, highest).is_below(1, "partly")
    reason = f"At every latent size, {seeds} seed(s); the ends are the range over sizes and seeds."
    without = tables["reconstruction"][tables["reconstruction"]["method"] == "table1_no_relu"]["pca_ratio"].mean()
    if without == without:
        reason += f" Table 1's network without ReLU: {without:.2f}."
    return Answer(verdict, reason, found)


@claim(
    10, "t-SNE is the non-linear method to be measured against.", "embeddings", paper="well-established",
    quantity="accuracy of the nearest neighbours in t-SNE's plane less that in the autoencoder's",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    found = difference_in_the_plane(tables["embeddings"], "tsne", "autoencoder")
    return Answer(
        found.is_above(0), "Supported where its plane keeps the classes apart better than the autoencoder's.", found
    )


@claim(
    11, "The games' payoff is (3), which the discriminator maximises (equations 2 and 3).", "gan_epochs",
    quantity="(3) after the last epoch, minimax; 1.386 where d is 1/2",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    table = tables["gan_epochs"]
    table = rows(table[table["epoch"] == table["epoch"].max()], "game of minimax", loss="minimax")
    return Answer(
        "partly",
        "The game is (2); but (3) as it is printed is what the discriminator minimises, and the generator maximises "
        "its second term: its sign is the other way round. A better discriminator has less of it.",
        mean(table["d_loss"]),
    )


@claim(
    12, "Minimax's gradient quickly diverges away from d = 1/2.", "gan_epochs",
    quantity="size of the gradient of the generator's loss in the logit, less d(g(z))",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    table = rows(tables["gan_epochs"], "game of minimax", loss="minimax")
    found, least = spread(table["g_logit_grad"] - table["d_fake"]), table["d_fake"].min()
    return Answer(
        "partly" if found.is_within(-0.1, 0.1) else "inconclusive",
        "There is such an issue, but the gradient vanishes and does not diverge: it is d itself, 1/2 at 1/2 and "
        f"nothing at 0. In this run d(g(z)) went down to {least:.2g}. The ends are the range over epochs.",
        found,
    )


@claim(
    13, "The non-saturating loss mends minimax's gradient.", "gan_intervals",
    quantity="Frechet distance of minimax less that of non-saturating, mean over seeds",
)  # fmt: skip
def _(tables: Tables) -> Answer:
    row = rows(tables["gan_intervals"], "game of each kind", loss="difference").iloc[0]
    if not row["num_seeds"]:
        raise NotTested("seed with both games played to the end")
    ends = () if row["num_seeds"] < 2 else (float(row["low"]), float(row["high"]))
    found = Interval(float(row["frechet_distance"]), *ends)
    return Answer(
        found.is_above(0),
        f"{row['num_seeds']} seed(s). Minimax is minimax here; in the author's code both runs trained the "
        "non-saturating loss.",
        found,
    )


@claim(14, "Both formulations are explored.", "gans", quantity="games played to the end")
def _(tables: Tables) -> Answer:
    games = tables["gans"]
    done = games[games["state"] == "complete"]
    both = {"minimax", "non_saturating"} <= set(done["loss"])
    return Answer("supported" if both else "partly", "Here they are.", Interval(float(len(done))))
