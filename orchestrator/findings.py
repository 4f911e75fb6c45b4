"""What the tables show, in sentences for the report, the paper's and published numbers beside ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

Tables = Mapping[str, pd.DataFrame]


def search(tables: Tables) -> list[str]:
    """How many trials there were, and the best."""
    trials = tables["trials"]
    complete = trials[trials["state"] == "complete"]
    lines = [f"{len(trials)} trials, {len(complete)} of them complete."]
    if len(complete):
        best = complete.sort_values(["val_mse", "trial"]).to_dict("records")[0]
        params = {str(name): value for name, value in best.items() if str(name).startswith("params_")}
        sizes = ", ".join(
            f"{name.removeprefix('params_')} {f'{value:.4g}' if isinstance(value, float) else value}"
            for name, value in params.items()
        )
        lines.append(f"The best is trial {best['trial']}, validation MSE {best['val_mse']:.5f}: {sizes}.")
    return lines


def kfold(tables: Tables) -> list[str]:
    """Spread over folds, over orders of the images and over seeds."""
    folds = tables["folds"].dropna(subset=["val_mse", "test_mse"])
    if folds.empty:
        return []
    first = folds.iloc[0]
    lines = []
    for order, rows in folds[folds["seed"] == first["seed"]].groupby("order", observed=True, sort=False):
        if len(rows) > 1:
            val, test = rows["val_mse"], rows["test_mse"]
            lines.append(
                f"Order {str(order).replace('_', ' ')}, {len(rows)} folds: validation MSE mean {val.mean():.5f}, "
                f"standard deviation {val.std():.5f}; test MSE mean {test.mean():.5f}, standard deviation "
                f"{test.std():.5f}."
            )
    seeds = folds[(folds["order"] == first["order"]) & (folds["fold"] == first["fold"])]
    if len(seeds) > 1:
        lines.append(
            f"Fold {first['fold']} alone over {len(seeds)} seeds: standard deviation {seeds['val_mse'].std():.5f} in "
            f"validation, {seeds['test_mse'].std():.5f} in test: what folds would differ by through chance alone."
        )
    return lines


def refit(tables: Tables) -> list[str]:
    """Each model's error."""
    done = tables["models"].dropna(subset=["test_mse"])
    return [
        f"{row.model}: test MSE {row.test_mse:.5f}, {row.num_parameters:,} parameters." for row in done.itertuples()
    ]


def denoise(tables: Tables) -> list[str]:
    """How near the clean images come; zeroed pixels beside Gaussian noise of the same energy."""
    table = tables["denoising"]
    lines = []
    for model in ("best", "paper_table1"):
        of_model = table[table["model"] == model]
        for noise, name in (("zeroed", "pixels zeroed"), ("gaussian_matched", "Gaussian noise of the same energy")):
            values = ", ".join(
                f"p = {row.level:g}: {row.noisy_mse:.4f} to {row.reconstructed_mse:.4f} ({row.fraction_improved:.0%})"
                for row in of_model[of_model["noise"] == noise].itertuples()
            )
            lines.append(f"{model}, {name}, MSE before and after (and share of images improved): {values}.")
    return lines


def capacity(tables: Tables) -> list[str]:
    """The autoencoder against PCA; the linear one against PCA; how near the identity the overcomplete ones are."""
    table = tables["reconstruction"].dropna(subset=["test_mse"])
    lines = []
    pca = table[table["method"] == "pca"].set_index("latent_dim")["test_mse"]
    published = {2: 0.0461, 64: 0.0104}
    if set(published) <= set(pca.index):
        values = ", ".join(f"{pca[k]:.4f} with {k} components (published {value})" for k, value in published.items())
        lines.append(f"PCA's test MSE: {values}.")
    sizes = table[table["method"] == "autoencoder"].groupby("latent_dim")
    if len(sizes):
        values = ", ".join(
            f"{k}: {rows['test_mse'].mean():.4f} ({rows['pca_ratio'].mean():.2f} of PCA's)" for k, rows in sizes
        )
        lines.append(f"The autoencoder's, mean over seeds, by latent size: {values}.")
    for k, rows in table[table["method"] == "linear_autoencoder"].groupby("latent_dim"):
        lines.append(
            f"The linear autoencoder with {k} numbers: {rows['pca_ratio'].mean():.4f} of PCA's MSE, its subspace at "
            f"most {rows['largest_angle_degrees'].max():.2f} degrees from PCA's (over {len(rows)} seeds)."
        )
    identity = tables.get("identity", pd.DataFrame())
    if len(identity):
        passed = identity.dropna(subset=["noise_passed"]).groupby("latent_dim")["noise_passed"]
        ranges = zip(passed.min().items(), passed.max(), strict=True)
        values = ", ".join(f"{k}: {low:.2f} to {high:.2f}" for (k, low), high in ranges)
        lines.append(
            "Share of the input's noise energy that comes out of the models without a narrow layer, by latent size "
            f"(the identity lets all of it through, 1): {values}."
        )
    return lines


def classify(tables: Tables) -> list[str]:
    """Accuracy of every pair, latent beside raw."""
    table = tables["classifiers"].dropna(subset=["test_accuracy"])
    means = table.groupby(["architecture", "input"], observed=True)[["test_accuracy", "test_loss", "seconds"]].mean()
    lines = []
    for architecture in table["architecture"].unique():
        if not {(architecture, "latent"), (architecture, "raw")} <= set(means.index):
            continue
        latent, raw = means.loc[(architecture, "latent")], means.loc[(architecture, "raw")]
        losses = f", cross-entropy {latent['test_loss']:.3f} and {raw['test_loss']:.3f}"
        lines.append(
            f"{architecture}: accuracy {latent['test_accuracy']:.4f} on latent vectors, {raw['test_accuracy']:.4f} "
            f"on raw images{'' if pd.isna(raw['test_loss']) else losses}; {latent['seconds']:.0f} s and "
            f"{raw['seconds']:.0f} s."
        )
    encode = table["encode_seconds"].max()
    return [*lines, f"Encoding all images took {encode:.1f} s, once, and is not in these seconds."] if lines else []


PUBLISHED_EMBEDDINGS = {
    "autoencoder": (0.734, 0.970, 0.041),
    "pca": (0.506, 0.913, -0.033),
    "tsne": (0.804, 0.991, 0.125),
}
"""5-NN accuracy (fitted to training images, scored on test images), trustworthiness and silhouette (of training
images but for the autoencoder's); source: timsainb/ParametricUMAP_paper, whose autoencoder is a larger one."""


def embed(tables: Tables) -> list[str]:
    """Each plane's measures beside published ones, and whether new points have a place in it."""
    lines = []
    for row in tables["embeddings"].itertuples():
        accuracy, trust, silhouette = PUBLISHED_EMBEDDINGS[str(row.method)]
        lines.append(
            f"{row.method}: accuracy of the nearest neighbours {row.knn_accuracy:.3f} among test images, "
            f"{row.new_knn_accuracy:.3f} for new points (published {accuracy}); trustworthiness "
            f"{row.trustworthiness:.3f} (published {trust}), continuity {row.continuity:.3f}, silhouette "
            f"{row.silhouette:.3f} (published {silhouette}). New points: {row.new_points}."
        )
    return lines


def gan_search(tables: Tables) -> list[str]:
    """The best trial of each game, and whether a loss orders its trials as the distance does."""
    from scipy.stats import spearmanr

    lines, distance = [], "val_frechet_distance"
    for loss, rows in tables["gan_trials"].dropna(subset=[distance]).groupby("loss", observed=True):
        best = rows.sort_values([distance, "trial"]).iloc[0]
        lines.append(
            f"{str(loss).replace('_', '-')}, {len(rows)} complete trials: the best is {best['trial']}, distance "
            f"{best[distance]:.2f} from the validation images (the worst {rows[distance].max():.2f}): "
            f"learning_rate {best['params_learning_rate']:.2g}, beta1 {best['params_beta1']:.2f}, "
            f"batch_size {best['params_batch_size']}."
        )
        if len(rows) > 2:
            order = {name: spearmanr(rows[name], rows[distance]).statistic for name in ("d_loss", "g_loss")}
            against = spearmanr(rows["d_loss"], rows["g_loss"]).statistic
            lines.append(
                f"Rank correlation of the distance with the discriminator's loss {order['d_loss']:.2f}, with the "
                f"generator's {order['g_loss']:.2f}; of the two losses {against:.2f}. "
                "A loss could stand for the distance only where it ordered the trials as that does (1 or -1). "
                f"The best trial's discriminator has a loss of {best['d_loss']:.2f}; in equilibrium it is 1.39."
            )
    return lines


def gan(tables: Tables) -> list[str]:
    """Each game's distance over seeds, beside the floor, and their difference; Inception's where asked for."""
    table = tables["gans"].dropna(subset=["frechet_distance"])
    intervals = tables["gan_intervals"].set_index("loss")

    def distance(loss: str) -> str:
        row = intervals.loc[loss]
        interval: str = "" if pd.isna(row["low"]) else f" (95 % t interval {row['low']:.2f} to {row['high']:.2f})"
        return f"{row['frechet_distance']:.2f}{interval}"

    lines = []
    for loss, rows in table.groupby("loss", observed=True):
        floor, ratio = rows["floor_distance"].iloc[0], intervals["floor_ratio"][loss]
        lines.append(
            f"{str(loss).replace('_', '-')}, {len(rows)} seed(s): Frechet distance {distance(str(loss))}, "
            f"{ratio:.1f} times the floor of {floor:.2f}; precision {rows['precision'].mean():.2f}, "
            f"recall {rows['recall'].mean():.2f}; {int(rows['collapsed'].sum())} collapsed."
        )
    if "difference" in intervals.index and intervals["num_seeds"]["difference"]:
        lines.append(f"Minimax less non-saturating, seed by seed: {distance('difference')}.")
    if table["r1_penalty"].any():
        weight = table["r1_penalty"].max()
        lines.append(f"The discriminators have an R1 penalty of weight {weight:g}, which the paper's have not.")
    for loss, rows in tables.get("gan_inception", table.iloc[:0]).groupby("loss", observed=True):
        lines.append(
            f"{str(loss).replace('_', '-')} in the features of Inception-v3 (weights {rows['features'].iloc[0]}): "
            f"FID {rows['inception_fid'].mean():.2f}, the floor {rows['floor_fid'].iloc[0]:.2f}."
        )
    return lines


FINDINGS: dict[str, Callable[[Tables], list[str]]] = {
    function.__name__: function
    for function in (search, kfold, refit, denoise, capacity, classify, embed, gan_search, gan)
}
"""By the report's section."""
