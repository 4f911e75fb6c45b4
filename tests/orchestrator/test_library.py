"""A run as a function: what is wrong is told in a line before anything starts, what is finished is not done again."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save
from sklearn.datasets import load_digits
from torch import Tensor, nn

from orchestrator import Run
from orchestrator.engine.settings import UserError
from orchestrator.library import presets, run
from tests.command import REPOSITORY
from trainables.autoencoder import build
from trainables.autoencoder_settings import OwnAutoencoder

QUICK: dict[str, Any] = {
    "preset": "smoke",
    "address": "local",
    "data": {"source": "digits.npz"},
    "kfold": {"models": ("paper_table1",), "orders": ("sequential",), "num_folds": 2, "num_seeds": 1, "epochs": 1},
}
"""Two trainings of a moment."""


@pytest.fixture
def digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of images without labels, in the current folder."""
    monkeypatch.chdir(tmp_path)
    np.savez("digits.npz", images=np.kron(load_digits().images[:300] / 16, np.ones((2, 2))))
    return tmp_path


@pytest.mark.parametrize(
    ("stages", "settings", "said"),
    [
        (["search"], {"preset": "smok"}, "preset: 'smok' is none of laptop, paper, smoke; did you mean smoke?"),
        (["search"], {"preset": None}, "None is no name: "),
        ([["search"]], {}, "['search'] is no name: "),
        ([3], {}, "3 is no name: "),
        (["serach"], {}, "'serach' is no stage; did you mean search?"),
        (["search"], {"force": ("nothing",)}, "'nothing' is no stage"),
        (["search"], {"sead": 2}, "sead: there is no such setting (got 2)"),
        (["search"], {"search": {"epoch": 3}}, "search.epoch: there is no such setting"),
        (["search"], {"search.epochs": 3}, "search.epochs: there is no such setting"),
        (["search"], {"search": {"epochs": 0}}, "search.epochs: Input should be greater than or equal to 1 (got 0)"),
        (["search"], {"search": {"epochs": np.int64(0)}}, "search.epochs: Input should be greater"),
        (["search"], {"search": {"epochs": "two"}}, "search.epochs: a whole number is wanted"),
        (["search"], {"data": "digits.npz"}, "data: Input should be a valid dictionary"),
        (["search"], {"seed": -1}, "seed: Input should be greater than or equal to 0"),
        (["search"], {"name": "a/b"}, "name: 'a/b' is not a run name"),
        (["search"], {"runs_dir": ""}, "runs_dir: '' is neither a folder nor an address"),
        (["search"], {"config": "settings.yaml"}, "config: a file of settings is for the command"),
        (["search"], {"data": {"source": "nowhere.npz"}}, "'nowhere.npz' is neither a file or folder nor one of"),
        (["search"], {"data": {"source": Path("bad.npz")}}, "bad.npz is no sound .npz"),
        (["search"], {"model": "no.such:Model"}, "--model no.such:Model: no is not installed, nor in the current"),
        (["classify"], {}, "classify is not among the stages of this run: it needs labels"),
    ],
)
def test_mistake_is_a_line_and_nothing_is_written(
    digits: Path, stages: list[Any], settings: dict[str, Any], said: str
) -> None:
    (digits / "bad.npz").write_bytes(b"no archive")
    with pytest.raises(UserError) as caught:
        run(*stages, **{"data": {"source": "digits.npz"}} | settings)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert not (digits / "runs").exists()


def test_presets_have_all_settings_by_name() -> None:
    found = presets()
    assert list(found) == ["laptop", "paper", "smoke"]
    for name, settings in found.items():
        assert settings.preset == name
    assert found["paper"].kfold.epochs == 20  # type: ignore[attr-defined]


def test_run_gives_the_run_and_the_same_call_again_does_nothing(
    digits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run("kfold", name="mine", runs_dir=digits / "here", **QUICK)
    assert isinstance(first, Run)
    assert first.location == str(digits / "here" / "mine")
    assert len(first.table("folds")) == 2
    assert "2 trainings done" in capsys.readouterr().out
    before = {path: path.stat().st_mtime_ns for path in (digits / "here" / "mine" / "records").rglob("*")}
    assert before
    again = run("kfold", name="mine", runs_dir=digits / "here", **QUICK)
    assert "everything is done" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (digits / "here" / "mine" / "records").rglob("*")} == before
    assert again.table("folds").equals(first.table("folds"))


def test_stage_that_failed_is_an_error_that_names_it_and_what_was_finished_is_kept(digits: Path) -> None:
    (digits / "failing.py").write_text(FAILING)
    settings = QUICK | {"model": "failing:Failing", "search": {"num_trials": 1, "epochs": 1}}
    with pytest.raises(RuntimeError, match=r"runs/smoke: search failed: no trial came to its end; .*kfold blocked: "):
        run("search", "kfold", **settings | {"kfold": {"models": ("best",)}})
    assert "too many" in Run("runs/smoke").table("trials")["error"].iloc[0]


FAILING = """
from dataclasses import dataclass
from torch import nn

class Failing(nn.Linear):
    @dataclass
    class Settings:
        latent_dim: int = 4

        @classmethod
        def suggest(cls, trial):
            return cls(trial.suggest_int("latent_dim", 2, 4))

    def __init__(self, settings, image_shape):
        super().__init__(256, settings.latent_dim)
        self.image_shape = image_shape

    def encode(self, images):
        assert len(images) < 100, "too many"
        return self(images.flatten(1))

    def decode(self, latent):
        return (latent @ self.weight).sigmoid().unflatten(1, self.image_shape)
"""


@pytest.mark.parametrize(
    "imports",
    [
        "import orchestrator.run; from orchestrator import run",
        "from orchestrator import run; import orchestrator.run",
        "from orchestrator import run",
        "import orchestrator; import orchestrator.run; run = orchestrator.run",
        "import orchestrator.run as run",
    ],
)
def test_run_can_be_called_whatever_was_imported_before(imports: str) -> None:
    source = f"{imports}\ntry:\n    run('search', preset='smok')\nexcept Exception as error:\n    print(error)"
    done = subprocess.run([sys.executable, "-c", source], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.stdout.startswith("preset: 'smok' is none of laptop, paper, smoke"), done.stderr


class Mine(nn.Module):
    """An autoencoder of the user's own."""

    @dataclass
    class Settings:
        latent_dim: int = 3

        @classmethod
        def suggest(cls, trial: Any) -> Any:
            return cls()

    def __init__(self, settings: Any, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(256, settings.latent_dim), nn.BatchNorm1d(3))
        self.decoder = nn.Sequential(
            nn.Linear(settings.latent_dim, 256), nn.Sigmoid(), nn.Dropout(0.5), nn.Unflatten(1, image_shape)
        )

    def encode(self, images: Tensor) -> Tensor:
        return self.encoder(images)  # type: ignore[no-any-return]

    def decode(self, latent: Tensor) -> Tensor:
        return self.decoder(latent)  # type: ignore[no-any-return]


class Others(Mine):
    """Another class, which would fit as well."""


@pytest.fixture
def with_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Run, nn.Module]:
    """A run with a model of that class, and the model."""
    address = f"{Mine.__module__}:Mine"
    monkeypatch.setitem(sys.modules, Mine.__module__, sys.modules[__name__])
    shape = {"image_shape": (1, 16, 16), "parameters": {"latent_dim": 3}, "params": {}, "latent_dim": 3}
    settings = OwnAutoencoder.model_validate({"model": address, "code": "x", "num_parameters": 9, **shape})
    model, written = build(settings, seed=3), Run(tmp_path)
    told = {"class": address, "settings": settings.model_dump(mode="json"), "seed": 3, "test_mse": 0.1}
    written.write("models/best.json", json.dumps(told).encode())
    written.write("models/best.safetensors", save(model.state_dict()))
    return written, model.eval()


def test_model_of_one_s_own_needs_its_class_and_refuses_another(with_model: tuple[Run, nn.Module]) -> None:
    folder, _ = with_model
    address = f"{Mine.__module__}:Mine"
    for kind in (None, Others, nn.Linear):
        with pytest.raises(UserError) as caught:
            folder.model("best", kind)
        assert str(caught.value).startswith(f"{folder.location}/models/best is of the class {address}: ")
    assert type(folder.model("best", Mine)) is Mine


def test_model_of_one_s_own_encodes_and_decodes_arrays_as_it_does_tensors(
    with_model: tuple[Run, nn.Module],
) -> None:
    folder, model = with_model
    loaded: Any = folder.model("best", Mine)
    assert not loaded.training
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16), np.uint8)
    pixels = torch.from_numpy(images).unsqueeze(1) / 255
    with torch.no_grad():
        latent = model.encode(pixels)  # type: ignore[operator]
        decoded = model.decode(latent)  # type: ignore[operator]
        torch.testing.assert_close(loaded.encode(pixels), latent)
    for given in (images, images / 255, images[:, None]):
        found = loaded.encode(given)
        assert (found.shape, found.dtype) == ((5, 3), np.float32)
        np.testing.assert_allclose(found, latent.numpy(), rtol=1e-4, atol=1e-5)
    back = loaded.decode(latent.numpy())
    assert (back.shape, back.dtype) == ((5, 16, 16), np.float32)
    np.testing.assert_allclose(back, decoded.squeeze(1).numpy(), rtol=1e-4, atol=1e-5)
