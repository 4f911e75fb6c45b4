"""Every figure draws from small tables, and from empty ones, without a warning, and says what its axes are."""

import base64
import importlib
import inspect
import io
import pkgutil
import re
import warnings
from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from orchestrator import stages
from orchestrator.engine.drawing import drawn as drawn_files
from orchestrator.engine.drawing import rendered
from orchestrator.engine.stage import Picture
from orchestrator.figures import images, names, style
from orchestrator.figures.animation import animation
from orchestrator.stages.capacity import figures as capacity
from orchestrator.stages.classify import figures as classify
from orchestrator.stages.denoise import figures as denoise
from orchestrator.stages.embed import figures as embed
from orchestrator.stages.gan import figures as gan
from orchestrator.stages.kfold import figures as kfold
from orchestrator.stages.refit import figures as refit
from orchestrator.stages.search import figures as search
from orchestrator.stages.studies import figures as studies
from tests.stages.drawings import (
    CASES,
    EMPTY,
    METHODS,
    SCHEMAS,
    SPACE,
    arms_of_folds,
    classifier_epochs,
    denoising,
    drawn,
    embedding_points,
    embeddings,
    fold_epochs,
    folds,
    gan_epochs,
    gan_trials,
    importances,
    pixels,
    reconstruction,
    study_trials,
    table,
    trial,
    trial_epochs,
    trials,
    two_classes,
)
from trainables.fashion_mnist import CLASS_NAMES


@pytest.fixture(autouse=True)
def no_warning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


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
