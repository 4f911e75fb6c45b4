"""docs/your-own.md as it stands: installed by pip into a folder, and typed beside a folder of images."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from tests.command import REPOSITORY

PAGE = (REPOSITORY / "docs" / "your-own.md").read_text()
BLOCK = re.compile(r"^```python\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
PYTHON = BLOCK.findall(PAGE)
COMMANDS = re.findall(r"^    (\S.*)$", BLOCK.sub("", PAGE), flags=re.MULTILINE)


def typed(words: str, folder: Path, environment: dict[str, str]) -> str:
    """What a command of the page says, which ends well."""
    done = subprocess.run(
        ["/bin/sh", "-c", words], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a person who typed the page's first line; what this package needs is there already."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    for name in ("orchestrator", "trainables"):
        shutil.copytree(REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    assert COMMANDS[0] == "pip install ."
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--target", str(target)]
    typed(shlex.join([sys.executable, "-m", *COMMANDS[0].split(), *options]), source, dict(os.environ))
    path = f"{target / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(target), "RAY_ADDRESS": ""}
    return environment


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which are the page's files, and its folder of digits."""
    folder = tmp_path_factory.mktemp("beside")
    digits = load_digits()
    for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        enlarged = np.kron(image / 16 * 255, np.ones((2, 2))).round().astype(np.uint8)
        (folder / "digits" / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(enlarged).save(folder / "digits" / str(label) / f"{number:04d}.png")
    assert f"{len(digits.images):,} handwritten digits of 16 x 16 pixels" in PAGE
    for name, content in zip(("my_vae.py", "my_networks.py", "read.py"), PYTHON, strict=True):
        assert name == "read.py" or f"This is `{name}`" in PAGE
        (folder / name).write_text(content)
    return folder


def test_page_leads_from_a_folder_of_images_to_a_report_and_to_arrays(
    installed: dict[str, str], folder: Path
) -> None:
    """All commands, in their order, then what is written for Python; what is recorded is not trained again."""
    _, run, networks, contracts = COMMANDS

    said = typed(run, folder, installed)
    for stage in ("search", "refit", "embed"):
        assert f"{stage}: done in " in said
    assert "next: fmo all --preset paper --model my_vae:Vae --data.source digits" in said
    said = typed(networks, folder, installed)
    assert re.search(r"^gan +to do +2 +\d+ +1283 ", said, flags=re.MULTILINE)
    assert "nothing was started" in said

    tables = folder / "runs" / "smoke" / "tables"
    params = pd.read_parquet(tables / "trial_params.parquet")
    assert set(params["param"]) >= {"width", "kl_weight", "latent_dim", "learning_rate"}
    assert not (tables / "claims.parquet").exists(), "the paper's verdicts are of FashionMNIST"
    page = (folder / "runs" / "smoke" / "report.html").read_text()
    assert "digits" in page

    read = typed("python read.py", folder, installed)
    assert "everything is done" in read
    assert "next: fmo all" in read
    best = pd.read_parquet(tables / "trials.parquet").sort_values("val_mse").iloc[0]
    assert read.splitlines()[-1] == f"{best['val_mse']} (5, {best['params_latent_dim']:.0f}) (5, 16, 16)"

    assert re.search(r"^=+ \d\d passed in ", typed(contracts, folder, installed), flags=re.MULTILINE)


def test_mistakes_with_a_model_are_told_before_anything_starts(installed: dict[str, str], folder: Path) -> None:
    for model, said in {
        "my_vae:Vea": "my_vae has no Vea; did you mean Vae?",
        "my_networks:Gan": "has no method encode",
    }.items():
        done = subprocess.run(
            ["fmo", "search", "--data.source", "digits", "--model", model, "--name", "none"],
            cwd=folder,
            env=installed,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: --model")
        assert said in line
        assert not (folder / "runs" / "none").exists()
