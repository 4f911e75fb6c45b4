"""The sentences of the report say of tables of a few rows what these say."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from orchestrator.stages.capacity import Capacity
from orchestrator.stages.classify import Classify
from orchestrator.stages.denoise import Denoise
from orchestrator.stages.embed import Embed
from orchestrator.stages.gan import Gan
from orchestrator.stages.gan.recipes import told
from orchestrator.stages.kfold import Kfold
from orchestrator.stages.refit import Refit
from orchestrator.stages.search import Search
from trainables.gan_settings import AUTHOR, GanSettings


def table(rows: Sequence[dict[str, Any]], **same: Any) -> pd.DataFrame:
    return pd.DataFrame([same | row for row in rows])


def test_the_search_tells_its_best_complete_trial_with_its_parameters() -> None:
    states = (("complete", 0.03), ("failed", 0.01), ("complete", 0.02), ("pruned", 0.015), ("complete", 0.025))
    rows = [
        {"trial": n, "state": state, "val_mse": value, "params_neurons": 10 + n, "params_learning_rate": n / 1000}
        for n, (state, value) in enumerate(states)
    ]
    number, best = Search().findings({"trials": table(rows)})
    assert number == "5 trials, 3 of them complete."
    assert best == "The best is trial 2, validation MSE 0.02000: neurons 12, learning rate 0.002."


def test_kfold_tells_the_mean_over_folds_of_each_model_and_order_and_what_of_their_spread_is_chance() -> None:
    """Nadeau and Bengio's error of three folds is their deviation times sqrt(1/3 + 1/2); t is 4.303."""
    rows = [
        {"model": "best", "order": order, "fold": fold, "seed": 1}
        | {"val_mse": value + fold / 100, "test_mse": 1 + value + fold / 10}
        for order, value in (("sequential", 0.5), ("class_sorted", 0.75))
        for fold in (0, 1, 2)
    ]
    rows += [row | {"model": "paper_table1"} for row in rows[:3]]
    further = [
        {"val_mse": 0.8, "test_mse": 1.5},
        {"val_mse": 0.81, "test_mse": 1.6},
        {"val_mse": 0.821, "test_mse": 1.7},
    ]
    rows += [row | {"seed": 2} | values for row, values in zip(rows[:3], further, strict=True)]
    sequential, chance, by_class, table1 = Kfold().findings({"folds": table(rows)})
    half = 4.303 * 0.01 * (1 / 3 + 1 / 2) ** 0.5
    assert by_class.startswith(
        "The search's best, class sorted, 3 folds, 1 seed(s) of each: validation MSE 0.76000 "
        f"({0.76 - half:.5f} to {0.76 + half:.5f}), deviation 0.01000; test MSE 1.85000"
    )
    assert sequential.startswith("The search's best, sequential, 3 folds, 2 seed(s) of each: validation MSE 0.66017")
    assert table1.startswith("Table 1, sequential, 3 folds, 1 seed(s) of each: validation MSE 0.51000")
    assert chance.startswith("The search's best, sequential: what is the folds' own in their validation errors is ")


def test_kfold_tells_of_seeds_that_have_every_fold_only() -> None:
    rows = [
        {"model": "best", "order": "sequential", "fold": fold, "seed": seed, "val_mse": 0.5, "test_mse": 0.5}
        for seed, folds in ((1, (0, 1)), (2, (1, 2)))
        for fold in folds
    ]
    assert list(Kfold().findings({"folds": table(rows)})) == []
    rows += [rows[0] | {"fold": 2, "val_mse": 0.8}]
    (found,) = Kfold().findings({"folds": table(rows)})
    assert "3 folds, 1 seed(s) of each: validation MSE 0.60000" in found


def test_final_models_tell_their_test_errors() -> None:
    rows = [
        {"model": "best", "test_mse": 0.0125, "num_parameters": 12_345},
        {"model": "paper_table1", "test_mse": 0.2, "num_parameters": 14_068},
        {"model": "two_dim", "test_mse": None, "num_parameters": 1},
        {"model": "best", "test_mse": 0.0127, "num_parameters": 12_345},
    ]
    assert list(Refit().findings({"models": table(rows, train_mse=0.5)})) == [
        "The search's best: test MSE 0.01260, standard deviation 0.00014 over 2 seeds; 12,345 parameters.",
        "Table 1: test MSE 0.20000; 14,068 parameters.",
    ]


def test_denoising_tells_errors_before_and_after_of_each_model_at_each_level() -> None:
    rows = [
        {"model": model, "noise": noise, "level": level, "noisy_mse": 0.1 + level, "reconstructed_mse": after}
        | {"fraction_improved": 0.75, "best_filter": "median_filter", "filter_ratio": 0.5, "num_blanked": None}
        for model, noise, after in (
            ("best", "zeroed", 0.01),
            ("best", "gaussian_matched", 0.02),
            ("paper_table1", "zeroed", 0.03),
            ("paper_table1", "gaussian_matched", 0.04),
            ("best", "gaussian", 0.99),
        )
        for level in (0.1, 0.5)
    ]
    blank = {"model": "best", "noise": "zeroed_foreground", "level": 0.2, "num_blanked": 136}
    rows += [blank, blank | {"model": "paper_table1"}, blank | {"level": 0.1, "num_blanked": 0}]
    seeds = [row | {"seed": seed, "fraction_improved": seed / 2} for row in rows[:2] for seed in (1, 2)]
    *found, left_out = Denoise().findings({"denoising": table(rows), "denoising_seeds": table(seeds)})
    assert [it.partition(",")[0] for it in found] == ["The search's best"] * 2 + ["Table 1"] * 2
    assert found[0].endswith(
        "p = 0.1: 0.2000 to 0.0100 (75%: 50% 100%; median 0.0200), "
        "p = 0.5: 0.6000 to 0.0100 (75%: 50% 100%; median 0.0200)."
    )
    assert "Gaussian noise of the same energy" in found[3]
    assert found[3].endswith(
        "p = 0.1: 0.2000 to 0.0400 (75%; median 0.0800), p = 0.5: 0.6000 to 0.0400 (75%; median 0.0800)."
    )
    assert (
        left_out == "Level 0.2 of pixels set to zero, black ones spared leaves 136 images blank: it decides no claim."
    )


def test_capacity_tells_errors_beside_pca_angles_and_noise_that_passes() -> None:
    rows: list[dict[str, Any]] = [
        {"method": "pca", "latent_dim": 2, "test_mse": 0.0461, "pca_ratio": 1.0},
        {"method": "pca", "latent_dim": 64, "test_mse": 0.0104, "pca_ratio": 1.0},
        *({"method": "autoencoder", "latent_dim": 2, "test_mse": it, "pca_ratio": it * 10} for it in (0.02, 0.04)),
        *(
            {"method": "linear_autoencoder", "latent_dim": 2, "test_mse": 0.05, "pca_ratio": 1 + it / 10}
            | {"largest_angle_degrees": it}
            for it in (0.5, 1.5)
        ),
    ]
    rows += [
        {"method": method, "latent_dim": 9, "test_mse": 0.01, "pca_ratio": 1.0, "knn_accuracy": accuracy}
        for method, accuracy in (("pca", 0.5), ("autoencoder", 0.75), ("autoencoder", 0.85))
    ]
    same = {"method": "wide_autoencoder", "latent_dim": 784}
    passed = [same | {"noise_passed": share} for share in (0.25, None, 0.75)]
    pca, sizes, linear, codes, of_pca, noise = Capacity().findings(
        {"reconstruction": table(rows), "identity": table(passed)}
    )
    assert pca == "PCA's test MSE: 0.0461 with 2 components, 0.0104 with 64."
    assert sizes.endswith("by latent size: 2: 0.0300 (0.30 of PCA's), 9: 0.0100 (1.00 of PCA's).")
    assert codes == "5 nearest neighbours by codes of autoencoder, accuracy by latent size: 9: 0.800."
    assert of_pca == "5 nearest neighbours by codes of PCA, accuracy by latent size: 9: 0.500."
    assert (
        "with 2 numbers: 1.1000 of PCA's MSE, its subspace at most 1.50 degrees from PCA's (over 2 seeds)" in linear
    )
    assert noise.endswith("wide autoencoder 784: 0.25 to 0.75.")


def test_classifiers_tell_both_accuracies_of_a_pair_and_the_time_to_encode() -> None:
    rows = [
        {
            "architecture": "cnn",
            "input": given,
            "test_accuracy": value,
            "test_loss": 1 - value,
            "seconds": 100 * value,
        }
        | {"encode_seconds": 3.0 * (given == "latent")}
        for given, values in (("latent", (0.7, 0.8)), ("raw", (0.85, 0.95)))
        for value in values
    ]
    pair, encoding = Classify().findings({"classifiers": table(rows)})
    assert pair == (
        "CNN: accuracy 0.7500 on latent vectors, 0.9000 on raw images, cross-entropy 0.250 and 0.100; 75 s and 90 s."
    )
    assert encoding == "Encoding all images took 3.0 s, once, and is not in these seconds."


def test_planes_tell_each_measure_by_its_name_and_without_labels_what_needs_none() -> None:
    names = ("knn_accuracy", "new_knn_accuracy", "trustworthiness", "continuity", "silhouette")
    row = {name: (n + 1) / 10 for n, name in enumerate(names)}
    other = {name: value + 0.2 for name, value in row.items()}
    both = [it | {"method": "tsne", "new_points": "none"} for it in (row, other)]
    rows = [row | {"method": "pca", "new_points": "the way it is"}, *both]
    found, of_two = Embed().findings({"embeddings": table(rows)})
    assert of_two.startswith(
        "t-SNE: accuracy of the nearest neighbours 0.200 among test images, 0.300 for new points"
    )
    assert "silhouette 0.600 (means over 2 seeds). New" in of_two
    assert found == (
        "PCA: accuracy of the nearest neighbours 0.100 among test images, 0.200 for new points; "
        "trustworthiness 0.300, continuity 0.400, silhouette 0.500. New points: the way it is."
    )
    unlabelled = [rows[0] | dict.fromkeys(("knn_accuracy", "new_knn_accuracy", "silhouette"))]
    (without,) = Embed().findings({"embeddings": table(unlabelled)})
    assert without == "PCA: trustworthiness 0.300, continuity 0.400. New points: the way it is."


def scored(precision: float, others: float) -> dict[str, float]:
    names = ("recall", "density", "coverage", "two_sample_accuracy")
    return {"precision": precision} | dict.fromkeys(names, others)


GAMES = [
    {"arm": arm, "loss": loss, "frechet_distance": distance, "frechet_distance_pixels": pixels}
    | {"collapsed": collapsed, **scored(distance / 10, 0.5)}
    for arm, loss, distance, pixels, collapsed in (
        ("paper", "minimax", 4.0, 1.0, True),
        ("paper", "minimax", 8.0, 2.0, True),
        ("paper", "non_saturating", 3.0, 1.2, False),
        ("tuned", "minimax", 9.0, 9.0, False),
    )
]


def of_games(rows: list[dict[str, Any]]) -> dict[str, pd.DataFrame]:
    """Tables of games that are played by the author's own recipe, beside a floor of 2."""
    names = ["arm", "loss", "num_seeds", "frechet_distance", "low", "high", "floor_ratio"]
    intervals = [
        ("paper", "minimax", 2, 6.0, 1.0, 11.0, 3.0),
        ("paper", "non_saturating", 1, 3.0, None, None, 1.5),
        ("paper", "difference", 1, 1.0, None, None, None),
        ("tuned", "minimax", 1, 9.0, None, None, 4.5),
        ("tuned", "non_saturating", 0, None, None, None, None),
    ]
    recipe = told(GanSettings(loss="minimax", **AUTHOR.model_dump())) | {
        "epochs": AUTHOR.epochs,
        "num_images": 60_000,
    }
    del recipe["loss"]
    references = [{"images": "train"} | scored(0.84, 0.9), {"images": "grey_noise"} | scored(1.0, 0.0)]
    shown = [row for row in intervals if len(rows) == len(GAMES) or row[:2] == ("paper", "minimax")]
    return {
        "gans": table(rows, floor_distance=2.0, **recipe),
        "gan_intervals": pd.DataFrame(shown, columns=names),
        "gan_references": table(references),
    }


def test_games_tell_their_distance_beside_the_floor_and_how_many_of_their_own_have_collapsed() -> None:
    found = list(Gan().findings(of_games(GAMES)))
    assert found[:4] == [
        "Minimax GAN, the paper's recipe, 2 seed(s): Fréchet distance 6.00 (95 % t interval 1.00 to 11.00), 3.0 "
        "times the floor of 2.00; 2 collapsed.",
        "Non-saturating GAN, the paper's recipe, 1 seed(s): Fréchet distance 3.00, 1.5 times the floor of 2.00; "
        "0 collapsed.",
        "The paper's recipe: minimax less non-saturating, seed by seed: 1.00.",
        "Minimax GAN, tuned recipe, 1 seed(s): Fréchet distance 9.00, 4.5 times the floor of 2.00; 0 collapsed.",
    ]
    assert all("is the author's code's" in line for line in found[6:])


def test_precision_is_never_told_without_what_training_images_and_grey_noise_have() -> None:
    found = list(Gan().findings(of_games(GAMES)))
    assert found[4] == (
        "Precision, recall, density, coverage, two-sample accuracy, of training images and grey noise too: "
        "0.60, 0.50, 0.50, 0.50, 0.50 (minimax GAN, the paper's recipe); "
        "0.30, 0.50, 0.50, 0.50, 0.50 (non-saturating GAN, the paper's recipe); "
        "0.90, 0.50, 0.50, 0.50, 0.50 (minimax GAN, tuned recipe); "
        "0.84, 0.90, 0.90, 0.90, 0.90 (training images); 1.00, 0.00, 0.00, 0.00, 0.00 (grey noise)."
    )
    assert not any("recision" in line for line in found[:4] + found[5:])


def test_the_order_of_the_games_is_told_where_it_is_another_in_features_that_learned_no_labels() -> None:
    alike = list(Gan().findings(of_games(GAMES)))[5]
    assert alike == (
        "Nearest to the test images first, in the classifier's features and in principal components of the pixels "
        "alike: non-saturating GAN, the paper's recipe; minimax GAN, the paper's recipe; minimax GAN, tuned recipe."
    )
    other = [row | {"frechet_distance_pixels": 10 - row["frechet_distance_pixels"]} for row in GAMES]
    assert list(Gan().findings(of_games(other)))[5] == (
        "Nearest to the test images first, in the classifier's features: non-saturating GAN, the paper's recipe; "
        "minimax GAN, the paper's recipe; minimax GAN, tuned recipe. But in principal components of the pixels: "
        "minimax GAN, tuned recipe; minimax GAN, the paper's recipe; non-saturating GAN, the paper's recipe."
    )
    assert not any("Nearest" in line for line in Gan().findings(of_games(GAMES[:2]))), "a single game has no order"


def test_without_a_game_that_was_played_to_its_end_there_is_nothing_to_tell() -> None:
    assert list(Gan().findings(of_games([row | {"frechet_distance": None} for row in GAMES]))) == []
