"""Every figure draws from small tables, and from empty ones, without a warning, and says what its axes are."""

import base64
import importlib
import inspect
import io
import pkgutil
import re
import warnings
from collections.abc import Callable, Iterator
from itertools import combinations, pairwise, product
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import Image

from orchestrator import stages
from orchestrator.engine.drawing import drawn as drawn_files
from orchestrator.engine.drawing import rendered
from orchestrator.engine.stage import Picture
from orchestrator.engine.tables import Row, to_arrow
from orchestrator.figures import images, names, style
from orchestrator.figures.animation import animation
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
    "accuracy_by_time": {"some": lambda: classify.accuracy_by_time(classifier_epochs(3), classifiers())},
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


@pytest.fixture(autouse=True)
def no_warning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def drawn(figure: Figure) -> Figure:
    """The figure, drawn as a file of each kind."""
    for suffix in ("png", "svg"):
        content = io.BytesIO()
        figure.savefig(content, format=suffix)
        assert len(content.getvalue()) > 1000
    return figure


def texts(figure: Figure) -> list[str]:
    """All that is to be read in a figure."""
    found = (text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_visible())
    return [text.get_text() for text in found if text.get_text().strip()]


def says_what_it_shows(axes: Axes, direction: str) -> bool:
    """Whether an axis has a label, or words in place of numbers at its ticks."""
    axis = getattr(axes, f"{direction}axis")
    ticks = "".join(tick.get_text() for tick in axis.get_ticklabels())
    return bool(axis.get_label_text()) or any(letter.isalpha() for letter in ticks)


def curves(axes: Axes) -> dict[str, list[tuple[float, float]]]:
    """The points of each labelled line."""
    return {
        str(line.get_label()): [(float(x), float(y)) for x, y in line.get_xydata()]  # type: ignore[union-attr]
        for line in axes.get_lines()
        if not str(line.get_label()).startswith("_")
    }


def test_every_figure_stands_in_these_tests() -> None:
    modules = [module.name for module in pkgutil.walk_packages(stages.__path__, f"{stages.__name__}.")]
    drawing = [importlib.import_module(name) for name in modules if name.endswith(".figures")]
    public = {
        name
        for module in (images, *drawing)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }
    assert public == set(CASES)


@pytest.mark.parametrize(("name", "case"), [(name, case) for name, cases in CASES.items() for case in cases])
def test_figure_draws_without_a_warning_and_can_be_read(name: str, case: str) -> None:
    figure = drawn(CASES[name][case]())
    title = figure.get_suptitle() or "".join(axes.get_title() for axes in figure.axes)
    assert title
    assert len(texts(figure)) >= 3
    assert not any("nan" in text.split() for text in texts(figure))
    # A reader sees what each panel's horizontal axis is, and on the first what the vertical one is.
    plots = [axes for axes in figure.axes if axes.axison and not axes.images and axes.get_label() != "<colorbar>"]
    if plots:
        assert all(says_what_it_shows(axes, "x") for axes in plots if axes.has_data())
        assert figure.get_supylabel() or any(says_what_it_shows(axes, "y") for axes in figure.axes)


@pytest.mark.parametrize(("name", "case"), [(name, case) for name, cases in CASES.items() for case in cases])
def test_text_is_large_enough_within_the_figure_and_not_upon_other_text(name: str, case: str) -> None:
    figure = CASES[name][case]()
    assert figure.get_figwidth() == style.WIDTH
    figure.draw_without_rendering()
    axes = [one for parent in figure.axes for one in (parent, *parent.child_axes)]
    ticks = [(axis, tick) for one in axes for axis in (one.xaxis, one.yaxis) for tick in axis.get_major_ticks()]
    far = {tick.label1 for axis, tick in ticks if not in_view(axis, tick)}
    found = [text for text in figure.findobj(Text) if isinstance(text, Text) and text not in far]
    shown = {text: text.get_window_extent() for text in found if text.get_visible() and text.get_text().strip()}
    for text, box in shown.items():
        assert text.get_fontsize() >= style.SMALL, text.get_text()
        assert figure.bbox.padded(1).contains(box.x0, box.y0), text.get_text()
        assert figure.bbox.padded(1).contains(box.x1, box.y1), text.get_text()
    upright = [(text, box) for text, box in shown.items() if text.get_rotation() % 90 == 0]
    for (one, of_one), (other, of_other) in combinations(upright, 2):
        assert not of_one.padded(-1).overlaps(of_other.padded(-1)), (one.get_text(), other.get_text())


def in_view(axis: Any, tick: Any) -> bool:
    """Whether a tick lies between the ends of its axis."""
    low, high = sorted(axis.get_view_interval())
    return bool(low <= tick.get_loc() <= high)


@pytest.mark.parametrize("name", EMPTY)
def test_empty_table_is_a_sentence_in_place_of_data(name: str) -> None:
    figure = drawn(EMPTY[name]())
    (sentence,) = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert len(sentence.split()) >= 5
    assert not any(axes.has_data() for axes in figure.axes)
    assert not any(axes.axison for axes in figure.axes)


def test_trial_losses_show_every_complete_trial_and_ring_the_nearest_of_each_game() -> None:
    trials = gan_trials(30.0, None, 7.0, 200.0)
    complete = trials.dropna(subset=["val_frechet_distance"])
    panels = [axes for axes in gan.trial_losses(trials).axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == ["minimax", "non-saturating"]
    for axes, loss in zip(panels, ("minimax", "non_saturating"), strict=True):
        rows = complete[complete["loss"] == loss]
        ring, marks = axes.collections
        np.testing.assert_allclose(marks.get_offsets(), rows[["d_loss", "g_loss"]])
        np.testing.assert_allclose(marks.get_array(), rows["val_frechet_distance"])
        np.testing.assert_allclose(ring.get_offsets(), rows[rows["val_frechet_distance"] < 10][["d_loss", "g_loss"]])


def test_every_study_is_a_line_of_its_least_error_so_far_and_only_what_none_beats_is_on_the_front() -> None:
    found = study_trials("complete", "failed", "complete")
    (axes,) = studies.history(found).axes
    assert [line.get_label() for line in axes.lines] == [
        *("the search", "TPE from other seeds", "at random", "TPE, Table 1's latent size"),
    ]
    for line in axes.lines:
        np.testing.assert_allclose(line.get_ydata(), [0.05, 0.05 * 0.8**2])
    (axes,) = studies.front(found.assign(on_front=found["on_front"] & (found["study"] == "search"))).axes
    everything, best = axes.lines
    assert len(everything.get_xdata()) == 8
    np.testing.assert_allclose(best.get_xdata(), [2, 4])


@pytest.mark.parametrize(
    ("draw", "column"), [(gan.distance, "val_frechet_distance"), (gan.weight_gradients, "g_weight_grad")]
)
def test_games_are_drawn_by_arm_and_loss_each_as_its_mean_over_seeds(draw: Any, column: str) -> None:
    table = gan_epochs(3)
    factor = {("paper", "minimax"): 1, ("paper", "non_saturating"): 2, ("tuned", "minimax"): 4}
    table[column] *= [factor.get((row.arm, row.loss), 8) for row in table.itertuples()]
    figure = draw(table, 1.0) if column == "val_frechet_distance" else draw(table)
    one = table[(table["arm"] == "paper") & (table["loss"] == "minimax")].groupby("epoch")[column].mean()
    for axes, arm, factors in zip(figure.axes, ("paper", "tuned"), ((1, 2), (4, 8)), strict=True):
        assert axes.get_title() == names.ARMS[arm]
        for line, times in zip(axes.lines, factors, strict=False):
            np.testing.assert_allclose(line.get_ydata(), one * times)


def test_animation_shows_each_row_of_images_in_a_frame_and_begins_again() -> None:
    drawn = np.stack([np.full((4, 28, 28), level) for level in (0.2, 0.9, 0.5)])
    with Image.open(io.BytesIO(animation(drawn, ["one", "two", "three"]))) as gif:
        assert gif.n_frames == 3
        assert gif.info["loop"] == 0
        for number, level in enumerate((0.2, 0.9, 0.5)):
            gif.seek(number)
            grey = np.asarray(gif.convert("L"))
            assert grey.shape[1] == 4 * 30 * 3
            assert np.median(grey) == pytest.approx(255 * level, abs=3)
            assert grey[:14].max() > 200, "the title"


def test_optimisation_history_shows_every_complete_trial_and_the_best_so_far() -> None:
    rows = [
        trial(0, "complete", 0.03),
        trial(1, "failed", None),
        trial(2, "complete", 0.05),
        trial(3, "pruned", 0.04),
    ]
    (axes,) = drawn(search.optimisation_history(table("trials", [*rows, trial(4, "complete", 0.02)]))).axes
    shown = curves(axes)
    assert shown["trial"] == [(0, 0.03), (2, 0.05), (4, 0.02)]
    assert shown["best so far"] == [(0, 0.03), (2, 0.03), (4, 0.02)]
    # Trials without a value stand on the horizontal axis, whatever the vertical one says.
    for label, number in (("failed, no value", 1), ("pruned, no value", 3)):
        assert shown[label] == [(number, 0)]
        (line,) = [line for line in axes.get_lines() if line.get_label() == label]
        assert line.get_transform() == axes.get_xaxis_transform()


def test_importances_stand_beside_their_parameters_the_largest_on_top() -> None:
    (axes,) = drawn(search.importances(importances(0.2, 0.7, 0.1), 20)).axes
    labels = [tick.get_text() for tick in axes.get_yticklabels()]
    widths = [float(bar.get_width()) for bar in axes.patches]  # type: ignore[attr-defined]
    assert list(zip(labels, widths, strict=True)) == [("param2", 0.1), ("param0", 0.2), ("param1", 0.7)]


def test_parallel_coordinates_has_a_line_for_each_complete_trial_and_draws_the_best_thick() -> None:
    figure = drawn(search.parallel_coordinates(trials("complete", "complete", "failed", "complete"), SPACE))
    axes, colours = figure.axes
    names = [tick.get_text().replace("\n", "_") for tick in axes.get_xticklabels()]
    assert names == [column.removeprefix("params_") for column in SCHEMAS["trials"].names if "params_" in column]
    lines = [line for line in axes.get_lines() if len(line.get_xdata()) == len(names)]  # type: ignore[arg-type]
    assert len(lines) == 3
    (best,) = [line for line in lines if line.get_linewidth() == 3]
    latent_dim = names.index("latent_dim")
    # Trial 3, the best, has latent size 5 and step size .01, of 2 to 14 and .0001 to .01 that were searched.
    assert best.get_ydata()[latent_dim] == pytest.approx(3 / 12)  # type: ignore[index]
    assert best.get_ydata()[names.index("learning_rate")] == pytest.approx(1)  # type: ignore[index]
    assert {"2", "14", "4", "16", "0.0001", "0.01", "adamw"} <= set(texts(figure))
    assert "MSE" in colours.get_ylabel()


def test_trial_curves_show_each_error_in_its_panel_and_name_the_best_trial() -> None:
    epochs = trial_epochs(3, 2)
    figure = drawn(search.trial_curves(epochs))
    for axes, column in zip(figure.axes, ("train_mse", "val_mse"), strict=True):
        assert curves(axes)["trial 1 (best)"] == list(
            epochs[epochs["trial"] == 1][["epoch", column]].itertuples(index=False, name=None)
        )
        assert len(axes.get_lines()) == 3


def test_fold_curves_show_each_fold_s_errors_and_the_author_s_beside_the_validation_errors() -> None:
    epochs = fold_epochs(6, 2)
    training, validation = drawn(kfold.fold_curves(epochs, "best", with_author=True)).axes
    for axes, column in ((training, "train_mse"), (validation, "val_mse")):
        for fold in range(6):
            rows = epochs[epochs["fold"] == fold]
            assert curves(axes)[f"fold {fold}"] == list(rows[["epoch", column]].itertuples(index=False, name=None))
        assert len(axes.get_lines()) == 6
    (strip,) = validation.child_axes
    assert [line.get_ydata()[0] for line in strip.get_lines()] == list(kfold.AUTHOR_FOLD_MSE)  # type: ignore[index]
    assert [tick.get_text() for tick in strip.get_xticklabels()] == ["Figure 1,\nepoch 20"]
    assert strip.get_ylim() == validation.get_ylim()


def test_fold_test_shows_each_fold_with_mean_and_standard_deviation() -> None:
    (axes,) = drawn(kfold.fold_test(folds(0.019, None, 0.021), "best")).axes
    assert [point for point in curves(axes)["fold"] if not np.isnan(point[1])] == [(0, 0.019), (2, 0.021)]
    assert "mean 0.02000" in texts(axes.figure)  # type: ignore[arg-type]
    assert "mean \N{PLUS-MINUS SIGN} standard deviation 0.00141" in texts(axes.figure)  # type: ignore[arg-type]


def test_fold_orders_has_a_group_for_each_model_and_order_and_the_first_fold_s_seeds() -> None:
    validation, test = drawn(kfold.fold_orders(arms_of_folds())).axes
    groups = [[0, 1], [2, 3], [4, 5], [0, 6]]
    names = ["the search's best,\nsequential", "the search's best,\nclass sorted", "Table 1,\nsequential"]
    assert [label.get_text() for label in validation.get_yticklabels()] == [
        *names,
        "fold 0 of the first,\nevery seed",
    ]
    for axes, least in ((validation, 0.02), (test, 0.03)):
        points = [line.get_xdata() for line in axes.get_lines() if line.get_linestyle() == "None"]
        assert [list(it) for it in points] == [[least + n / 1000 for n in group] for group in groups]  # type: ignore[arg-type]


def test_reconstructions_are_the_best_and_the_worst_of_each_class() -> None:
    """Images of one grey, reconstructed darker by a step of their own; the steps tell them apart."""
    greys = np.array([51, 102, 153, 204, 51, 102], np.uint8)
    steps = np.array([0.1, 0.02, 0.05, 0.06, 0.2, 0.01])
    labels = np.array([0, 0, 0, 1, 1, 1], np.uint8)
    images = np.broadcast_to(greys[:, None, None], (6, 28, 28))
    reconstructed = (images / 255 - steps[:, None, None]).astype(np.float32)
    figure = drawn(refit.reconstructions(images, reconstructed, labels, ["Bag", "Coat"], "A model"))
    shown = [np.asarray(image.get_array()).reshape(30, 2, 30)[1:-1, :, 1:-1] for image in figure.axes[0].images]
    for column, (best, worst) in enumerate([(1, 0), (5, 4)]):
        for row, expected in enumerate(
            [images[best] / 255, reconstructed[best], images[worst] / 255, reconstructed[worst]]
        ):
            np.testing.assert_allclose(shown[row][:, column], expected, rtol=1e-6)
    rows = ["least\nMSE", "recon-\nstructed", "greatest\nMSE", "recon-\nstructed"]
    errors = [[f"{steps[number] ** 2:.4f}" for number in numbers] for numbers in ([1, 5], [0, 4])]
    assert texts(figure)[:-1] == [rows[0], rows[1], *errors[0], rows[2], rows[3], *errors[1], "Bag", "Coat"]
    assert texts(figure)[-1].startswith("A model\n")


def test_pictures_of_one_figure_share_their_scale_of_grey() -> None:
    for axes in two_classes().axes:
        assert {image.get_clim() for image in axes.images} == {(0, 1)}


def test_denoised_image_puts_the_author_s_errors_beside_ours_for_his_image_only() -> None:
    level, (noisy, reconstructed) = next(iter(denoise.AUTHOR_DENOISED.items()))
    clean, spoilt = np.zeros((28, 28)), np.full((28, 28), 0.5)
    for with_author in (True, False):
        figure = denoise.denoised_image(clean, [(level, spoilt, spoilt / 2)], with_author, "A model")
        below = [text for text in texts(drawn(figure)) if text.startswith("0.")]
        ours = ["0.2500", "0.0625"]
        his = [f"author {noisy:.3f}", f"author {reconstructed:.3f}"]
        assert below == ([f"{a}\n{b}" for a, b in zip(ours, his, strict=True)] if with_author else ours)


def test_denoising_gain_has_a_panel_for_each_noise_and_a_curve_for_each_model() -> None:
    models, kinds, levels = ("best", "median_filter"), ("zeroed", "gaussian"), (0.1, 0.2)
    figure = drawn(denoise.denoising_gain(denoising(models, kinds, levels)))
    assert [axes.get_title() for axes in figure.axes] == [names.NOISES[kind][0] for kind in kinds]
    for axes in figure.axes:
        for model in models:
            assert curves(axes)[names.MODELS[model]] == [(level, level / 10) for level in levels]
    assert {names.MODELS[model] for model in models} <= set(texts(figure))


def test_planes_have_one_scale_mixed_points_letters_that_stand_apart_and_pca_s_shares_of_the_variance() -> None:
    points = embedding_points()
    points["x"] *= 0.01  # every class's letter is wanted at about the same place
    points["y"] *= 0.01
    figure = embed.planes(points, embeddings(), variance=0.01, names=CLASS_NAMES)
    figure.draw_without_rendering()
    *planes, legend = figure.axes
    assert legend.get_legend() is not None
    for axes, method in zip(planes, METHODS, strict=True):
        assert axes.get_aspect() == 1
        (marks,) = axes.collections
        rows = points[points["method"] == method]
        drawn_points = [tuple(point) for point in np.asarray(marks.get_offsets())]
        assert sorted(drawn_points) == sorted(rows[["x", "y"]].itertuples(index=False, name=None))
        labels = [style.CLASS_COLOURS.index(to_hex(colour[:3]).upper()) for colour in marks.get_facecolors()]
        assert labels != sorted(labels)
        assert sum(a == b for a, b in pairwise(labels)) < len(labels) / 4, "no class lies upon another"
        boxes = [text.get_window_extent() for text in axes.texts]
        assert len(boxes) == 10
        assert not any(one.padded(-1).overlaps(other.padded(-1)) for one, other in combinations(boxes, 2))
    share = points[points["method"] == "pca"]["x"].var(ddof=0) / 0.01
    assert planes[1].get_xlabel() == f"first component, {100 * share:.0f} % of the variance"
    assert [list(axes.get_xticks()) for axes in (planes[0], planes[2])] == [[], []]


def test_no_line_runs_through_latent_sizes_that_nobody_measured() -> None:
    (axes,) = drawn(capacity.error_by_latent_dim(reconstruction(), with_published=True)).axes
    lines = {str(line.get_label()): line for line in axes.get_lines()}
    assert [name for name, line in lines.items() if line.get_linestyle() != "None"] == ["PCA"]
    assert list(lines["PCA"].get_xdata()) == list(range(1, 65))
    assert {float(place) for place in axes.get_xticks()} <= {1, 2, 5, 64}


def test_author_s_classifiers_stand_in_a_margin_of_their_own() -> None:
    epochs = classifier_epochs(3)
    left, _ = drawn(classify.learning_curves(epochs, with_author=True)).axes
    assert max(line.get_xdata().max() for line in left.get_lines()) == 3  # type: ignore[union-attr]
    (strip,) = left.child_axes
    losses = [loss for pair in classify.AUTHOR_LOSS.values() for loss in pair]
    assert [line.get_ydata()[0] for line in strip.get_lines()] == losses  # type: ignore[index]


def test_eight_models_of_a_panel_look_different() -> None:
    looks = [tuple(style.look(number).items()) for number in range(14)]
    assert len(set(looks)) == 14


def test_files_say_what_they_show_and_of_which_run_and_their_text_is_text() -> None:
    stamp, caption = "run a$b$ & <c>, preset laptop, seed 1", "What each fold came to."
    files = drawn_files(Picture("folds", caption, kfold.fold_test, folds(0.02, 0.021), "best"), stamp, "c0ffee")
    bare = drawn_files(Picture("folds", caption, kfold.fold_test, folds(0.02, 0.021), "best"))
    root = ElementTree.fromstring(files["svg"])
    words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    title, told = "Test error of the folds of the search's best", f"{caption} {stamp}, commit c0ffee"
    assert {stamp, "fold", title} <= set(words)
    assert {title, told} <= {element.text for element in root.iter()}
    with Image.open(io.BytesIO(files["png"])) as image, Image.open(io.BytesIO(bare["png"])) as other:
        assert {key: image.info[key] for key in ("Title", "Description")} == {
            "Title": title,
            "Description": told,
        }
        assert not {"Date", "Creation Time"} & image.info.keys()
        # The stamp stands above the figure, not in it.
        assert image.width == other.width == 200 * style.WIDTH
        assert image.height == other.height + 24
        grey, without = np.asarray(image.convert("L"), int), np.asarray(other.convert("L"), int)
        assert abs(grey[24:] - without).max() < 10
        assert grey[:24].min() < 160


def test_images_stand_in_a_vector_file_as_they_are() -> None:
    shown = pixels(20).reshape(2, 10, 28, 28)
    svg = rendered("grid", images.image_grid(shown, ["one", "other"], [], "Images"))["svg"].decode()
    for content in re.findall(r"data:image/png;base64,([^\"]+)", svg):
        with Image.open(io.BytesIO(base64.b64decode(content))) as image:
            assert image.size == (300, 30)


@pytest.mark.parametrize("name", CASES)
def test_figure_drawn_twice_is_the_same_file_twice(name: str) -> None:
    one, other = (rendered(name, next(iter(CASES[name].values()))()) for _ in range(2))
    assert one["svg"] == other["svg"]
    assert one["svg"].startswith(b"<?xml")
    assert one["png"].startswith(b"\x89PNG")
    assert one["pdf"] == other["pdf"]
    assert b"CreationDate" not in one["pdf"]
    assert b"/FontFile2" in one["pdf"]
    assert len(one["pdf"]) < len(one["png"])


def test_figures_leave_matplotlib_s_settings_as_they_were() -> None:
    from matplotlib import rcParams

    before: dict[str, Any] = dict(rcParams)
    for cases in CASES.values():
        next(iter(cases.values()))()
    assert dict(rcParams) == before
