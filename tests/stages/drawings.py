"""Every figure of the stages, in every case that it tells apart, of tables that are made up."""

import io
from collections.abc import Callable
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from orchestrator.engine.tables import Row, to_arrow
from orchestrator.figures import images
from orchestrator.paper import STAGES
from orchestrator.stages.capacity import figures as capacity
from orchestrator.stages.classify import figures as classify
from orchestrator.stages.denoise import figures as denoise
from orchestrator.stages.embed import figures as embed
from orchestrator.stages.gan import figures as gan
from orchestrator.stages.kfold import figures as kfold
from orchestrator.stages.refit import figures as refit
from orchestrator.stages.search import Space
from orchestrator.stages.search import figures as search
from orchestrator.stages.studies import figures as studies
from trainables.fashion_mnist import CLASS_NAMES

SPACE = Space().model_dump()
SCHEMAS = {name: schema for stage in STAGES for name, schema in stage.schemas.items()}


def table(name: str, rows: list[Row]) -> pd.DataFrame:
    """A table as a run gives it; columns that are left out are missing values."""
    whole = [dict.fromkeys(SCHEMAS[name].names) | row for row in rows]
    return to_arrow(SCHEMAS[name], whole, {}).to_pandas()


def trial(number: int, state: str, val_mse: float | None, **changes: object) -> Row:
    params = {
        "params_filters1": 4 + number,
        "params_filters2": 8,
        "params_filters3": 16,
        "params_neurons": 32,
        "params_latent_dim": 2 + number,
        "params_optimizer": ["adam", "adamw", "adagrad"][number % 3],
        "params_learning_rate": 10.0 ** -(2 + number % 3),
    }
    return {"trial": number, "state": state, "val_mse": val_mse} | params | changes


def trials(*states: str) -> pd.DataFrame:
    """One trial of each state; each better than the one before, by a fifth."""
    return table(
        "trials",
        [trial(n, state, None if state == "failed" else 0.05 * 0.8**n) for n, state in enumerate(states)],
    )


def study_trials(*states: str) -> pd.DataFrame:
    """The same in the search and in a study of every kind; the first and the last are on the front."""
    studies = ("search", "tpe-2", "random-2", "latent-3")
    rows = [
        trial(n, state, None if state == "failed" else 0.05 * 0.8**n, study=study, on_front=n in {0, len(states) - 1})
        for study in studies
        for n, state in enumerate(states)
    ]
    return table("study_trials", rows)


def trial_epochs(num_trials: int, num_epochs: int) -> pd.DataFrame:
    """Trial 1 is the best of them."""
    return table(
        "trial_epochs",
        [
            {"trial": n, "epoch": e, "train_mse": 0.06 / e, "val_mse": (0.04 + 0.01 * abs(n - 1)) / e}
            for n in range(num_trials)
            for e in range(1, num_epochs + 1)
        ],
    )


def fold_epochs(num_folds: int, num_epochs: int) -> pd.DataFrame:
    return table(
        "fold_epochs",
        [
            {"fold": n, "order": "sequential", "epoch": e, "train_mse": 0.05 / e, "val_mse": (0.05 + n / 100) / e}
            for n in range(num_folds)
            for e in range(1, num_epochs + 1)
        ],
    )


def folds(*test_mse: float | None) -> pd.DataFrame:
    return table(
        "folds",
        [
            {"model": "best", "fold": n, "order": "sequential", "seed": 1, "val_mse": mse, "test_mse": mse}
            for n, mse in enumerate(test_mse)
        ],
    )


def arms_of_folds() -> pd.DataFrame:
    arms = [
        *product(("best",), ("sequential", "class_sorted"), (0, 1), (1,)),
        *product(("paper_table1",), ("sequential",), (0, 1), (1,)),
        *product(("best",), ("sequential",), (0, 1), (2,)),
    ]
    values = [{"val_mse": 0.02 + n / 1000, "test_mse": 0.03 + n / 1000} for n in range(len(arms))]
    names = ("model", "order", "fold", "seed")
    return table("folds", [dict(zip(names, arm, strict=True)) | of for arm, of in zip(arms, values, strict=True)])


def importances(*values: float) -> pd.DataFrame:
    return table("importances", [{"param": f"param{n}", "importance": value} for n, value in enumerate(values)])


def denoising(models: tuple[str, ...], kinds: tuple[str, ...], levels: tuple[float, ...]) -> pd.DataFrame:
    return table(
        "denoising",
        [
            {"model": m, "noise": k, "level": p, "gain": p / 10, "gain_low": p / 11, "gain_high": p / 9}
            for m in models
            for k in kinds
            for p in levels
        ],
    )


def reconstruction() -> pd.DataFrame:
    """PCA, and three methods of which one failed for a seed."""
    rows: list[Row] = [{"method": "pca", "latent_dim": k, "test_mse": 0.06 / k**0.5} for k in range(1, 65)]
    for method in ("autoencoder", "linear_autoencoder", "table1", "table1_kernel_5"):
        for seed in (1, 2):
            for k in (2, 5):
                mse = None if (method, seed) == ("table1", 2) else 0.05 / k + seed / 1000
                rows.append({"method": method, "latent_dim": k, "seed": seed, "test_mse": mse})
    return table("reconstruction", rows)


def identity_table() -> pd.DataFrame:
    return table(
        "identity",
        [
            {"method": method, "latent_dim": k, "noise": noise, "level": level, "noise_passed": 0.001 * k}
            for method, k in (("wide_autoencoder", 14), ("wide_autoencoder", 784), ("linear_overcomplete", 784))
            for noise in ("zeroed", "gaussian_unclipped")
            for level in (0.1, 0.2)
        ],
    )


def classifier_epochs(num_epochs: int) -> pd.DataFrame:
    return table(
        "classifier_epochs",
        [
            {
                "input": kind,
                "architecture": architecture,
                "seed": seed,
                "epoch": epoch,
                "test_loss": 1 / epoch,
                "test_accuracy": 1 - 0.5 / epoch,
                "seconds": 2.0,
            }
            for kind in ("latent", "raw")
            for architecture in ("cnn", "mlp", "linear")
            for seed in (1, 2)
            for epoch in range(1, num_epochs + 1)
        ],
    )


def classifiers() -> pd.DataFrame:
    return table(
        "classifiers",
        [{"input": kind, "encode_seconds": seconds} for kind, seconds in (("latent", 2.0), ("raw", 0.0))],
    )


def confusion_counts(name: str, columns: dict[str, list[str]]) -> pd.DataFrame:
    """A confusion for each combination of the first columns: nine tenths right."""
    (first, values), *others = columns.items()
    return table(
        name,
        [
            {first: value, "label": label, "predicted": other, "count": 90 if label == other else 1}
            | {column: just for column, (just,) in others}
            for value in values
            for label in range(10)
            for other in range(10)
        ],
    )


def gan_epochs(num_epochs: int) -> pd.DataFrame:
    return table(
        "gan_epochs",
        [
            {
                **{"arm": arm, "loss": loss, "seed": seed, "epoch": epoch},
                **{"val_frechet_distance": 100 / epoch + seed, "g_weight_grad": 1 / epoch},
                **{"d_real": 0.8, "d_fake": 0.2 + 0.01 * epoch, "g_logit_grad": 0.3},
            }
            for arm in ("paper", "tuned")
            for loss in ("minimax", "non_saturating")
            for seed in (1, 2)
            for epoch in range(1, num_epochs + 1)
        ],
    )


def gan_trials(*distances: float | None) -> pd.DataFrame:
    """Trials of both games, of the second one better."""
    return table(
        "gan_trials",
        [
            {
                **{
                    "trial": 2 * n + game,
                    "loss": loss,
                    "d_loss": 1 + n / 10,
                    "g_loss": (-0.3, 1.2)[game] + n**2 / 50,
                },
                **{"val_frechet_distance": value and value - game, "state": "complete" if value else "failed"},
            }
            for n, value in enumerate(distances)
            for game, loss in enumerate(("minimax", "non_saturating"))
        ],
    )


METHODS = ["autoencoder", "pca", "tsne"]


def embedding_points() -> pd.DataFrame:
    draws = np.random.default_rng(0)
    return table(
        "embedding_points",
        [
            {"method": method, "index": n, "label": n % 10, "x": draws.normal(n % 10), "y": draws.normal()}
            for method in METHODS
            for n in range(60)
        ],
    )


def embeddings() -> pd.DataFrame:
    return table("embeddings", [{"method": method, "knn_accuracy": 0.5} for method in METHODS])


def pictures(num_images: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (num_images, 28, 28), dtype=np.uint8)


def pixels(num_images: int, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((num_images, 28, 28), dtype=np.float32)


def two_classes() -> Figure:
    return refit.reconstructions(pictures(6), pixels(6), np.array([0, 1] * 3, np.uint8), ["Bag", "Coat"], "A model")


def denoised_image(*, with_author: bool) -> Figure:
    columns = [(level, pixels(1)[0], pixels(1, seed=2)[0]) for level in (0.1, 0.25)]
    return denoise.denoised_image(pixels(1, seed=3)[0], columns, with_author, "A model")


CASES: dict[str, dict[str, Callable[[], Figure]]] = {
    "optimisation_history": {
        "every state": lambda: search.optimisation_history(trials("complete", "pruned", "failed", "complete")),
        "one trial": lambda: search.optimisation_history(trials("complete")),
    },
    "importances": {
        "some": lambda: search.importances(importances(0.7, 0.2, 0.1), 20),
        "nothing matters": lambda: search.importances(importances(0.0, 0.0), 20),
    },
    "parallel_coordinates": {
        "every state": lambda: search.parallel_coordinates(trials("complete", "pruned", "failed", "complete"), SPACE),
        "one trial": lambda: search.parallel_coordinates(trials("complete"), SPACE),
    },
    "trial_curves": {
        "some": lambda: search.trial_curves(trial_epochs(3, 2)),
        "one point": lambda: search.trial_curves(trial_epochs(1, 1)),
    },
    "history": {
        "every state": lambda: studies.history(study_trials("complete", "failed", "complete")),
        "one trial": lambda: studies.history(study_trials("complete")),
    },
    "front": {
        "every state": lambda: studies.front(study_trials("complete", "failed", "complete")),
        "one trial": lambda: studies.front(study_trials("complete")),
    },
    "fold_curves": {
        "own images": lambda: kfold.fold_curves(fold_epochs(6, 3), "best", with_author=False),
        "six": lambda: kfold.fold_curves(fold_epochs(6, 3), "best", with_author=True),
        "eight": lambda: kfold.fold_curves(fold_epochs(8, 1), "best", with_author=True),
    },
    "fold_test": {
        "some": lambda: kfold.fold_test(folds(0.02, None, 0.021), "best"),
        "one": lambda: kfold.fold_test(folds(0.02), "best"),
    },
    "fold_orders": {
        "one order": lambda: kfold.fold_orders(folds(0.019, None, 0.021)),
        "two models, two orders and two seeds": lambda: kfold.fold_orders(arms_of_folds()),
    },
    "image_grid": {
        "named": lambda: images.image_grid(
            pixels(6).reshape(2, 3, 28, 28), ["one", "other"], ["a", "b", "c"], "Six images", horizontal="letter"
        ),
        "rows only": lambda: images.image_grid(pixels(2).reshape(2, 1, 28, 28), ["one", "other"], [], "Two images"),
    },
    "error_by_latent_dim": {
        "own images": lambda: capacity.error_by_latent_dim(reconstruction(), with_published=False),
        "some": lambda: capacity.error_by_latent_dim(reconstruction(), with_published=True),
    },
    "ablations": {"some": lambda: capacity.ablations(reconstruction())},
    "identity": {"two sizes": lambda: capacity.identity(identity_table())},
    "learning_curves": {
        "own images": lambda: classify.learning_curves(classifier_epochs(3), with_author=False),
        "some": lambda: classify.learning_curves(classifier_epochs(3), with_author=True),
        "one point": lambda: classify.learning_curves(classifier_epochs(1), with_author=True),
    },
    "accuracy_by_time": {
        "some": lambda: classify.accuracy_by_time(classifier_epochs(3), classifiers()),
        "from a second to a minute": lambda: classify.accuracy_by_time(
            classifier_epochs(3).assign(seconds=[*np.repeat([23.0, 3.0, 1.3], 6)] * 2), classifiers()
        ),
    },
    "confusion_matrices": {
        "both": lambda: classify.confusion_matrices(
            confusion_counts("confusion", {"input": ["latent", "raw"], "architecture": ["cnn"]}),
            CLASS_NAMES,
        ),
        "one": lambda: classify.confusion_matrices(
            confusion_counts("confusion", {"input": ["raw"], "architecture": ["cnn"]}),
            CLASS_NAMES,
        ),
    },
    "distance": {
        "some": lambda: gan.distance(gan_epochs(4), floor=1.0),
        "one epoch": lambda: gan.distance(gan_epochs(1), floor=1.0),
    },
    "probabilities": {
        "some": lambda: gan.probabilities(gan_epochs(4)),
        "one game": lambda: gan.probabilities(gan_epochs(1).query("loss == 'minimax'")),
    },
    "gradients": {"some": lambda: gan.gradients(gan_epochs(4))},
    "weight_gradients": {
        "some": lambda: gan.weight_gradients(gan_epochs(4)),
        "one arm": lambda: gan.weight_gradients(gan_epochs(4).query("arm == 'tuned'")),
    },
    "trial_losses": {
        "some": lambda: gan.trial_losses(gan_trials(30.0, None, 7.0, 200.0)),
        "one trial": lambda: gan.trial_losses(gan_trials(30.0)),
        "one game": lambda: gan.trial_losses(gan_trials(30.0, 4.0).query("loss == 'minimax'")),
    },
    "planes": {
        "without labels": lambda: embed.planes(embedding_points().assign(label=None), embeddings(), 20.0, ()),
        "three": lambda: embed.planes(embedding_points(), embeddings(), 20.0, CLASS_NAMES),
    },
    "confusions": {
        "three": lambda: embed.confusions(confusion_counts("embedding_confusion", {"method": METHODS}), CLASS_NAMES),
    },
    "reconstructions": {
        "two classes": two_classes,
        "a class without images": lambda: refit.reconstructions(
            pictures(2), pixels(2), np.zeros(2, np.uint8), ["Bag", "Coat"], "A model"
        ),
        "no images": lambda: refit.reconstructions(
            pictures(0), pixels(0), np.zeros(0, np.uint8), ["Bag", "Coat"], "A model"
        ),
    },
    "denoised_image": {
        "the author's": lambda: denoised_image(with_author=True),
        "another": lambda: denoised_image(with_author=False),
    },
    "denoised_classes": {
        "two": lambda: denoise.denoised_classes(
            pixels(2), pixels(2, 2), pixels(2, 3), ["Bag", "Coat"], 0.3, "A model"
        ),
        "one": lambda: denoise.denoised_classes(pixels(1), pixels(1, 2), pixels(1, 3), ["Bag"], 0.3, "A model"),
    },
    "denoising_gain": {
        "some": lambda: denoise.denoising_gain(
            denoising(("best", "median_filter"), ("zeroed", "gaussian"), (0.1, 0.2))
        ),
        "one point": lambda: denoise.denoising_gain(denoising(("best",), ("zeroed",), (0.1,))),
    },
}
EMPTY: dict[str, Callable[[], Figure]] = {
    "optimisation_history": lambda: search.optimisation_history(table("trials", [])),
    "optimisation_history, all failed": lambda: search.optimisation_history(trials("failed", "pruned")),
    "importances": lambda: search.importances(table("importances", []), 20),
    "importances, few trials": lambda: search.importances(importances(0.7, 0.3), 19),
    "parallel_coordinates": lambda: search.parallel_coordinates(table("trials", []), SPACE),
    "parallel_coordinates, all failed": lambda: search.parallel_coordinates(trials("failed", "pruned"), SPACE),
    "trial_curves": lambda: search.trial_curves(table("trial_epochs", [])),
    "history": lambda: studies.history(table("study_trials", [])),
    "front, all failed": lambda: studies.front(study_trials("failed", "failed")),
    "fold_curves": lambda: kfold.fold_curves(table("fold_epochs", []), "best", with_author=True),
    "fold_test": lambda: kfold.fold_test(table("folds", []), "best"),
    "fold_test, all failed": lambda: kfold.fold_test(folds(None, None), "best"),
    "fold_orders": lambda: kfold.fold_orders(table("folds", [])),
    "fold_orders, all failed": lambda: kfold.fold_orders(folds(None, None)),
    "denoising_gain": lambda: denoise.denoising_gain(table("denoising", [])),
    "error_by_latent_dim": lambda: capacity.error_by_latent_dim(table("reconstruction", []), with_published=True),
    "ablations": lambda: capacity.ablations(table("reconstruction", [])),
    "identity": lambda: capacity.identity(table("identity", [])),
    "learning_curves": lambda: classify.learning_curves(table("classifier_epochs", []), with_author=True),
    "accuracy_by_time": lambda: classify.accuracy_by_time(table("classifier_epochs", []), classifiers()),
    "distance": lambda: gan.distance(table("gan_epochs", []), floor=1.0),
    "probabilities": lambda: gan.probabilities(table("gan_epochs", [])),
    "gradients": lambda: gan.gradients(table("gan_epochs", [])),
    "weight_gradients": lambda: gan.weight_gradients(table("gan_epochs", [])),
    "trial_losses": lambda: gan.trial_losses(table("gan_trials", [])),
    "trial_losses, all failed": lambda: gan.trial_losses(gan_trials(None, None)),
    "planes": lambda: embed.planes(table("embedding_points", []), embeddings(), 20.0, CLASS_NAMES),
}


def drawn(figure: Figure) -> Figure:
    """The figure, drawn as a file of each kind."""
    for suffix in ("png", "svg"):
        content = io.BytesIO()
        figure.savefig(content, format=suffix)
        assert len(content.getvalue()) > 1000
    return figure
