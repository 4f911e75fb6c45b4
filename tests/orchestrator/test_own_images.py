"""Images and networks of the user's own through the whole command: every stage, a kill, and a page that fits them."""

import os
import re
import signal
import subprocess
import sys
import time
from html import unescape
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

import orchestrator
from orchestrator.engine.results import Run
from orchestrator.engine.settings import UserError
from tests.command import REPOSITORY

SMALL = (
    *("--preset", "smoke", "--search.num-trials", "3", "--capacity.no-ablations", "--kfold.models", "best"),
    *("--kfold.num-seeds", "1", "--denoise.num-resamples", "50"),
)
PAPERS = (
    *("FashionMNIST", "Fashion-MNIST", "Zalando", "Padova", "Homework", "T-shirt", "Trouser", "Ankle", "ankle boot"),
    *("clothes", "garment", "Figure 1,", "epoch 50", "author's MLPs", "contradicted", "supported", "anchors"),
)
"""Words of a page on the paper's images."""
NETWORKS = re.findall(r"^```python\n(.*?)^```", (REPOSITORY / "docs" / "your-own.md").read_text(), re.M | re.S)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "orchestrator.run", *arguments]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(REPOSITORY), "RAY_ADDRESS": ""}


def done(folder: Path, *arguments: str) -> str:
    """What a command that ends well says."""
    ended = subprocess.run(
        command(*arguments), cwd=folder, env=environment(), capture_output=True, text=True, timeout=900
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def words_of(run: Run) -> str:
    """What a reader sees of a page, captions and descriptions too."""
    page = run.read("report.html").decode()
    page = re.sub(r"data:[a-z/]+;base64,[\w+/=]+", "", page)
    page = re.sub(r"(?s)<style>.*?</style>|<script>.*?</script>|<details><summary>Settings.*?</details>", "", page)
    return unescape(page)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside the project, in which are scikit-learn's digits, with labels and without, and networks."""
    folder = tmp_path_factory.mktemp("beside")
    digits = load_digits()
    images = np.kron(digits.images / 16 * 255, np.ones((2, 2))).round().astype(np.uint8)
    np.savez(folder / "digits.npz", images=images, labels=digits.target)
    np.savez(folder / "unlabelled.npz", images=images[:400])
    for name, content in zip(("my_vae.py", "my_networks.py"), NETWORKS, strict=False):
        (folder / name).write_text(content)
    return folder


@pytest.fixture(scope="module")
def coloured(folder: Path) -> Path:
    """A folder of small colour PNGs, one of which is a class."""
    draws, (y, x) = np.random.default_rng(0), np.mgrid[:16, :24]
    for channel, name in enumerate(("red", "green", "blue")):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(120):
            pixels = draws.integers(0, 60, (16, 24, 3))
            row, column = draws.integers(4, 12), draws.integers(4, 20)
            pixels[..., channel] += (190 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 30)).astype(int)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "photos" / name / f"{number}.png")
    return folder / "photos"


def test_every_stage_takes_images_and_networks_of_ones_own_and_the_page_says_nothing_of_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ("--model", "my_vae:Vae", "--classify.model", "my_networks:Classifier", "--gan.model", "my_networks:Gan")
    out = done(folder, "all", *SMALL, "--data.source", "digits.npz", *own, "--name", "digits")
    assert "--data.source digits.npz" in out.splitlines()[-1], "what to do next is with the same images"
    run = Run(folder / "runs" / "digits")
    manifest = run.manifest()
    assert manifest is not None
    assert {name: it.state for name, it in manifest.stages.items()} == dict.fromkeys(
        ("search", "kfold", "refit", "denoise", "capacity", "classify", "embed", "gan_search", "gan"), "done"
    )
    assert not any(it.warnings for it in manifest.stages.values()), "every figure could be drawn"
    page = words_of(run)
    assert [word for word in PAPERS if word in page] == []
    assert "Autoencoders and GANs on digits" in page
    assert "1,540 training and 257 test images" in page
    assert not {"tables/claims.parquet", "tables/anchors.parquet"} & set(run.list("tables", ".parquet"))
    assert set(run.table("key_numbers")["paper"].isna()) == {True}
    assert set(run.table("trial_params")["param"]) == {
        "latent_dim",
        "width",
        "kl_weight",
        "learning_rate",
        "optimizer",
    }
    results = orchestrator.Run(run.location)
    with pytest.raises(UserError, match="search is of the class my_vae:Vae: give that class"):
        results.study()
    monkeypatch.syspath_prepend(folder)
    study = results.study(kind=import_module("my_vae").Vae)
    assert set(study.best_params) == set(run.table("trial_params")["param"])
    assert study.best_value == run.table("trials")["val_mse"].min()
    assert set(run.table("classifiers")["architecture"]) == {"cnn", "mlp", "linear", "own", "knn"}
    assert set(run.table("gans")["arm"]) == {"own"}
    assert "everything is done" in done(
        folder, "all", *SMALL, "--data.source", "digits.npz", *own, "--name", "digits"
    )


def test_another_code_of_a_model_is_another_model(folder: Path) -> None:
    arguments = ("search", *SMALL, "--data.source", "digits.npz", "--model", "my_vae:Vae", "--name", "another")
    assert "3 trainings done" in done(folder, *arguments)
    module = folder / "my_vae.py"
    content = module.read_text()
    module.write_text(content.replace("error + self.kl_weight", "2 * error + self.kl_weight"))
    try:
        assert "3 trainings done" in done(folder, *arguments)
    finally:
        module.write_text(content)
    assert "0 trainings done" in done(folder, *arguments), "the first one's records are still there"


def test_images_without_labels_go_through_all_that_needs_none(folder: Path) -> None:
    done(folder, "all", *SMALL, "--data.source", "unlabelled.npz", "--name", "unlabelled")
    run = Run(folder / "runs" / "unlabelled")
    manifest = run.manifest()
    assert manifest is not None
    assert set(manifest.stages) == {"search", "kfold", "refit", "denoise", "capacity", "embed"}
    assert not any(it.warnings for it in manifest.stages.values())
    page = words_of(run)
    assert [word for word in PAPERS if word in page] == []
    assert "Left out: classify, gan, since it needs labels, and these images have none." in page
    assert run.table("embeddings")["knn_accuracy"].isna().all()
    assert set(run.table("folds")["order"]) == {"sequential"}
    assert run.table("class_balance").empty


def test_a_killed_run_of_ones_own_images_goes_on_and_ends_as_one_that_was_not(folder: Path, coloured: Path) -> None:
    arguments = ("search", "refit", "classify", *SMALL, "--data.source", coloured.name)
    with subprocess.Popen(
        command(*arguments, "--name", "killed"),
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as running:
        killed, until = Run(folder / "runs" / "killed"), time.monotonic() + 300
        while len(list((folder / "runs" / "killed").glob("records/*/*.json"))) < 2:
            assert time.monotonic() < until
            assert running.poll() is None
            time.sleep(0.1)
        os.killpg(running.pid, signal.SIGKILL)
    done(folder, *arguments, "--name", "killed")
    done(folder, *arguments, "--name", "whole")
    out = done(folder, "compare", "killed", "whole")
    assert "are equal" in out
    model = killed.table("models").query("model == 'best'")
    assert model["test_mse"].notna().all()
    assert "in colour" in words_of(killed)
    assert "16 × 24 pixels" in words_of(killed)


def idx(images: NDArray[np.uint8]) -> bytes:
    """Bytes of an idx file."""
    return np.array([0x0800 + images.ndim, *images.shape], ">u4").tobytes() + images.tobytes()


def test_files_of_mnists_format_are_mnist(folder: Path) -> None:
    draws, place = np.random.default_rng(0), folder / "files"
    place.mkdir()
    for part, number in (("train", 300), ("t10k", 60)):
        images = draws.integers(0, 256, (number, 28, 28)).astype(np.uint8)
        labels = (np.arange(number) % 10).astype(np.uint8)
        (place / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
        (place / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
    done(folder, "refit", *SMALL, "--data.source", "mnist", "--data-dir", str(place), "--name", "mnist")
    page = words_of(Run(folder / "runs" / "mnist"))
    assert "Autoencoders and GANs on MNIST" in page
    assert [word for word in PAPERS if word in page] == []
