"""What stages do differently for images and networks of the user's own."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from orchestrator.engine.settings import UserError, changed
from orchestrator.figures.images import image_grid
from orchestrator.figures.style import class_colours, confusions
from orchestrator.figures.tiles import framed, tiled
from orchestrator.paper import suite
from orchestrator.run import main
from orchestrator.stages.capacity.models import models
from orchestrator.stages.components import MOST_COMPONENTS, fit_pca
from orchestrator.stages.gan.settings import Settings as Gan
from orchestrator.stages.kfold import Settings as Kfold
from orchestrator.stages.kfold import orders
from orchestrator.stages.measures import mse_of_each
from orchestrator.stages.sections import Data, Images
from tests.stages.made_up import book_of
from trainables.images import unit_pixels
from trainables.own_models import ModelError, model_class


def data(shape: tuple[int, int, int], *classes: str) -> Data:
    found = Images(name="mine", checksum="c0ffee", shape=shape, class_names=classes, num_train=600, num_test=100)
    return Data(source="mine.npz", found=found, num_train=600, num_test=100)


def test_the_papers_images_are_known_without_being_looked_at_and_leave_no_trace_in_files() -> None:
    usual = Data()
    assert (usual.shape, usual.num_values, usual.name, len(usual.class_names)) == (
        (1, 28, 28),
        784,
        "FashionMNIST",
        10,
    )
    assert usual.is_papers
    assert usual.model_dump(mode="json") == {"num_train": 60_000, "num_test": 10_000}
    mine = data((3, 32, 20), "cat", "dog")
    assert (mine.shape, mine.num_values, mine.name, mine.is_papers) == ((3, 32, 20), 1920, "mine", False)
    assert Data.model_validate(mine.model_dump(mode="json")) == mine


def test_orders_by_class_are_left_out_without_labels_and_refused_where_there_are_no_others() -> None:
    own = Kfold(orders=("class_sorted", "shuffled", "stratified"))
    assert orders(own, data((1, 16, 16), "a", "b")) == own.orders
    assert orders(own, data((1, 16, 16))) == ("shuffled",)
    with pytest.raises(UserError, match=r"^--kfold.orders: these images have no labels; there are: seq"):
        orders(Kfold(orders=("class_sorted",)), data((1, 16, 16)))


def test_stages_that_need_labels_are_absent_without_them_and_say_why() -> None:
    smoke = suite().preset("smoke")
    labelled = changed(smoke, data=data((1, 16, 16), "a", "b").model_dump())
    without = changed(smoke, data=data((1, 16, 16)).model_dump())
    gone = {stage.name for stage in suite().wanted(labelled)} - {stage.name for stage in suite().wanted(without)}
    assert gone == {"classify", "gan", "gan_search"}
    reasons = {stage.absent(without) for stage in suite().stages if stage.name in gone}
    assert reasons == {"it needs labels, and these images have none"}


def test_full_scale_is_with_the_same_images_as_many_as_there_are() -> None:
    smoke = changed(suite().preset("smoke"), data=data((1, 16, 16), "a", "b").model_dump())
    lines = {line for of_stage in suite().reduced(smoke).values() for line in of_stage}
    assert not [line for line in lines if line.endswith(("training images", "test images"))]
    less = changed(smoke, data={"num_train": 300})
    assert "300 instead of 600 training images" in suite().reduced(less)["search"]


def test_no_batch_of_a_gan_is_of_more_images_than_there_are() -> None:
    usual = Gan()
    assert changed(usual, **usual.at_most(50_000)) == usual
    few = changed(usual, **usual.at_most(100))
    assert few.paper.batch_size == 64
    assert (few.tuned.minimax.batch_size, few.search.batch_sizes) == (64, (32, 64))
    assert all(size <= 100 for _, size in few.batch_sizes())
    assert changed(usual, **usual.at_most(20)).search.batch_sizes == (16,)


def test_models_without_a_narrow_layer_are_had_of_small_images_only(tmp_path_factory: pytest.TempPathFactory) -> None:
    def methods(shape: tuple[int, int, int]) -> set[str]:
        of = book_of(tmp_path_factory.mktemp("run"), data=data(shape, "a", "b").model_dump())
        found = list(models(of.context("capacity")))
        assert {model.image_shape for _, model, _ in found} == {shape}
        return {method for method, _, _ in found}

    assert {"wide_autoencoder", "linear_overcomplete", "wide_no_batch_norm"} <= methods((1, 16, 16))
    assert not {"wide_autoencoder", "linear_overcomplete", "wide_no_batch_norm"} & methods((3, 64, 64))


def test_components_of_small_images_are_all_exact_and_of_large_ones_the_first() -> None:
    draws = np.random.default_rng(0)
    small = draws.integers(0, 256, (300, 16, 16)).astype(np.uint8)
    assert len(fit_pca(small).axes) == 256
    large = (draws.random((200, 4)) @ draws.random((4, 3 * 40 * 40)) * 60).reshape(200, 3, 40, 40).astype(np.uint8)
    found = fit_pca(large)
    assert len(found.axes) == MOST_COMPONENTS
    assert found.of(large, 4).var(axis=0).sum() > 0.99 * unit_pixels(large).var(axis=0).sum()


def test_errors_are_of_all_numbers_of_an_image_whatever_its_shape() -> None:
    draws = np.random.default_rng(0)
    one, other = draws.random((2, 5, 3, 17, 20))
    expected = [float(((a - b) ** 2).mean()) for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(mse_of_each(one, other), expected)


def test_images_beside_each_other_keep_their_colours_and_their_places() -> None:
    grey = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    sheet = tiled(grey)
    assert sheet.shape == (8, 15)
    np.testing.assert_array_equal(sheet[4:, 5:10], grey[1, 1])
    coloured = np.arange(2 * 3 * 3 * 4 * 5).reshape(2, 3, 3, 4, 5)
    assert tiled(coloured).shape == (8, 15, 3)
    np.testing.assert_array_equal(tiled(coloured)[:4, 10:, 2], coloured[0, 2, 2])
    assert framed(np.zeros((2, 3, 4, 5))).shape == (2, 3, 6, 7)


@pytest.mark.parametrize("number", [2, 10, 11, 26, 47])
def test_every_class_has_a_colour_of_its_own(number: int) -> None:
    colours = [to_rgb(colour) for colour in class_colours(number)]
    assert len(set(colours)) == number


def test_a_matrix_of_many_classes_is_drawn_without_its_numbers() -> None:
    import pandas as pd

    names = [f"class {number}" for number in range(47)]
    rows = [{"label": a, "predicted": b, "count": 3 * (a == b)} for a in range(47) for b in range(47)]
    figure = confusions(4.2, {"CNN": pd.DataFrame(rows)}, names, "right", "none")
    (axes,) = figure.axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == names
    assert not axes.texts


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("--model", {"model": "evil:Model"}),
        ("--classify.model", {"classify": {"model": "evil:Model"}}),
        ("--gan.model", {"gan": {"model": "evil:Model"}}),
    ],
)
def test_a_strangers_manifest_has_no_code_imported_that_is_not_named_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flag: str,
    told: dict[str, Any],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("open('was-here', 'w').close()\nclass Model: pass\n")
    manifest = {"schema_version": 4, "settings": {"preset": "smoke"} | told}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    repeat = ["plan", "--config", "manifest.json"]
    assert main(repeat) == 2
    assert f"manifest.json is of a run with {flag} evil:Model: name it too" in capsys.readouterr().err
    assert main([*repeat, flag, "other:Model"]) == 2
    assert f"is of a run with {flag} evil:Model" in capsys.readouterr().err
    assert not (tmp_path / "was-here").exists()
    assert main([*repeat, flag, "evil:Model"]) == 2
    assert "evil:Model is no class of torch.nn.Module" in capsys.readouterr().err
    assert (tmp_path / "was-here").exists(), "who names it wants it imported"
    del sys.modules["evil"]


def test_a_module_that_ends_the_program_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "ends_here.py").write_text("import sys\nsys.exit(0)\n")
    with pytest.raises(ModelError, match=r"^ends_here:Model: importing ends_here failed: SystemExit: 0$"):
        model_class("ends_here:Model")


@pytest.mark.parametrize(
    ("flag", "settings", "said"),
    [
        ("--gan.model", "latent_dim: int = 0", "latent_dim: Input should be greater than or equal to 1 (got 0)"),
        ("--classify.model", "learning_rate: float = -1.0", "learning_rate: Input should be greater than 0"),
        (
            "--gan.model",
            "latent_dim: int = 4\n    def __post_init__(self):\n        assert not self",
            "suggest(trial) failed",
        ),
    ],
)
def test_settings_of_ones_own_that_cannot_be_are_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flag: str,
    settings: str,
    said: str,
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    name = f"bad_{abs(hash(settings))}"
    (tmp_path / f"{name}.py").write_text(
        "from dataclasses import dataclass\nfrom torch import nn\n\n\n@dataclass\nclass Settings:\n"
        f"    {settings}\n    @classmethod\n    def suggest(cls, trial):\n        return cls()\n\n\n"
        "class Net(nn.Module):\n    Settings = Settings\n"
        "    def __init__(self, *given):\n        super().__init__()\n"
    )
    assert main(["plan", flag, f"{name}:Net", "--runs-dir", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {flag}")
    assert said in line


def test_what_does_not_go_with_few_images_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = np.arange(140) % 2
    images = np.random.default_rng(0).integers(0, 256, (140, 16, 16)).astype(np.uint8)
    np.savez(tmp_path / "few.npz", images=images, labels=labels)
    command = ["plan", "--data.source", str(tmp_path / "few.npz"), "--runs-dir", str(tmp_path)]
    batches = ["--gan.paper.batch-size", "96", "--gan.tuned.minimax.batch-size", "96"]
    batches += ["--gan.tuned.non-saturating.batch-size", "126"]
    assert main([*command, *batches, "--gan.num-workers", "3"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "64 images cannot be shared evenly by 3 workers" in line


def test_names_that_look_like_formulas_are_drawn_as_they_stand() -> None:
    import pandas as pd

    names = ["$a", "$5 to $10", r"$\frac$"]
    rows = [{"label": a, "predicted": b, "count": 3 * (a == b)} for a in range(3) for b in range(3)]
    matrix = confusions(4.2, {"CNN": pd.DataFrame(rows)}, names, "right", "none")
    grid = image_grid(np.zeros((2, 3, 16, 16)), ["$x$ $", "y"], names, r"$\frac$ and $")
    for figure in (matrix, grid):
        figure.draw_without_rendering()
        assert {r"\$5 to \$10", r"\$\frac\$"} <= {text.get_text() for text in figure.findobj(Text)}  # type: ignore[union-attr]
