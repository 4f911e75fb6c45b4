"""What a notebook gets of a run: tables and their columns, figures, models; a wrong name is answered in a line."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from unittest.mock import ANY

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import nn

import orchestrator
from orchestrator import Run
from orchestrator.engine.folder import Damaged, digest
from orchestrator.engine.settings import UserError
from tests.command import REPOSITORY, Smoke
from tests.orchestrator.copies import copy_of
from tests.orchestrator.test_tables import TABLES, made_up_rows, written
from trainables.autoencoder import Autoencoder
from trainables.autoencoder_settings import AutoencoderSettings

TINY = AutoencoderSettings(filters=(2, 3, 4), neurons=5, latent_dim=2)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with two tables and a model."""
    for name in ("folds", "models"):
        written(tmp_path, name, made_up_rows(name))
    run, settings = Run(tmp_path), TINY.model_dump(mode="json")
    run.write(
        "models/best.json", json.dumps({"class": "trainables.autoencoder.Autoencoder", "settings": settings}).encode()
    )
    run.write("models/best.safetensors", save(Autoencoder(TINY).state_dict()))
    return run


def test_the_package_offers_its_names_and_loads_nothing_heavy_before_they_are_used() -> None:
    source = (
        "import sys, orchestrator; print(orchestrator.__version__, *dir(orchestrator), orchestrator.Run.__name__, "
        "{'torch', 'ray', 'pandas', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", source], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.stdout.split() == [orchestrator.__version__, *sorted(orchestrator.__all__), "Run", "set()"], (
        done.stderr
    )
    for name in orchestrator.__all__:
        assert getattr(orchestrator, name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        orchestrator.nothing  # noqa: B018


def test_a_run_shows_its_stages_tables_and_models(run: Run) -> None:
    assert repr(run) == (f'Run("{run.location}")\n  tables: folds, models\n  models: best\n  figures: none')
    assert "<th>tables</th><td>folds, models</td>" in run._repr_html_()
    run.write("manifest.json", b"<b>")
    assert "  manifest: manifest.json is damaged\n" in repr(run)
    assert "<b>" not in Run("<b>")._repr_html_()


def test_completion_offers_what_is_for_users_and_all_of_it_says_what_it_is(run: Run) -> None:
    assert {"table", "claims", "figure", "model", "study", "describe", "card", "export"} <= set(dir(run))
    assert not {"write_sealed", "set_aside", "before_writing"} & set(dir(run))
    assert not any(name.startswith("_") for name in dir(run))
    for name in dir(run):
        assert name == "location" or getattr(Run, name).__doc__, name


def test_a_table_s_columns_are_described(run: Run) -> None:
    columns = run.describe("folds")
    assert list(columns["column"]) == TABLES["folds"].names
    by_name = columns.set_index("column")
    assert by_name.loc["seconds"].tolist() == ["float", "s", "time spent training and measuring"]
    assert by_name["type"][["fold", "model", "error"]].tolist() == ["integer", "category", "text"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (lambda run: run.table("fold"), "no table 'fold'; did you mean folds?"),
        (lambda run: run.describe("model"), "no table 'model'; did you mean models?"),
        (lambda run: run.claims, "no table 'claims'; there are: folds, models"),
        (lambda run: run.model("bets"), "no model 'bets'; did you mean best?"),
        (lambda run: run.model("../records/x"), "no model '../records/x'; there are: best"),
        (lambda run: run.figure("kfold"), "no figure 'kfold'; there are: none"),
        (lambda run: run.study(), "no study 'search'"),
    ],
)
def test_a_name_that_is_none_is_told_with_what_was_meant(run: Run, asked: object, said: str) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        asked(run)  # type: ignore[operator]
    assert str(caught.value) == f"{run.location} has {said}"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"class": "os.system", "settings": {}}',
        b'{"class": "trainables.autoencoder.Autoencoder", "settings": {"filters": 1}}',
        json.dumps(
            {
                "class": "trainables.autoencoder.Autoencoder",
                "settings": {"filters": [9, 9, 9], "neurons": 5, "latent_dim": 2},
            }
        ).encode(),
    ],
)
def test_files_that_are_no_model_s_are_told_in_a_line_and_build_nothing_else(run: Run, content: bytes) -> None:
    assert isinstance(run.model("best"), nn.Module)
    run.write("models/best.json", content)
    with pytest.raises(Damaged, match="models/best is no model of this program, or is damaged"):
        run.model("best")


def test_a_study_is_what_the_journal_has_and_damage_in_its_records_is_told(smoke: Smoke, tmp_path: Path) -> None:
    from optuna import load_study
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    run = Run(copy_of(smoke, tmp_path).location)
    for name, file, told in (("search", "optuna", "smoke"), ("minimax", "optuna-gan", "smoke-minimax")):
        storage = JournalStorage(JournalFileBackend(run.path(f"{file}.journal")))
        written, study = load_study(study_name=told, storage=storage), run.study(name)
        assert (study.study_name, study.user_attrs) == (written.study_name, written.user_attrs)
        assert study.best_params == written.best_params
        of_both = zip(study.trials, written.trials, strict=True)
        for one, other in of_both:
            assert (one.params, one.value, one.state) == (other.params, other.value, other.state)
            assert (one.intermediate_values, one.duration) == (other.intermediate_values, other.duration)
            assert one.distributions == other.distributions
    with pytest.raises(FileNotFoundError, match=r"has no study 'minimx'; did you mean minimax\?"):
        run.study("minimx")
    manifest = run.manifest()
    assert manifest is not None
    name = f"records/search/{manifest.stages['search'].records[0]}.json"
    run.write(name, run.read(name).replace(b"val_mse", b"vale_se"))
    with pytest.raises(Damaged, match=f"{name} is damaged"):
        run.study()


def test_weights_that_were_cut_short_are_told(run: Run) -> None:
    run.write("models/best.safetensors", run.read("models/best.safetensors")[:-5])
    with pytest.raises(Damaged, match="is damaged"):
        run.model("best")


def test_every_model_of_a_run_loads_and_its_card_says_how_it_is_loaded_and_measured(smoke: Smoke) -> None:
    run = Run(smoke.run.location)
    models = run._names("models")
    assert {"best", "classifier", "generator_paper_minimax"} <= set(models)
    manifest = run.manifest()
    assert manifest is not None
    num_train = manifest.settings["data"]["num_train"]
    for name in models:
        model, card = run.model(name), run.card(name)
        with torch.inference_mode():
            assert model(torch.rand(2, *model.input_shape)).isfinite().all()  # type: ignore[misc]
        assert f'Run("{run.location}").model("{name}")' in card
        assert "Less than the paper's scale: " in card
        assert f"{num_train:,} training images" in card
        with safe_open(run.path(f"models/{name}.safetensors"), "pt") as file:
            description = json.loads(file.metadata()["description"])
        assert description | {"fingerprint": ANY} == json.loads(run.read_model(name)[0])
        told = json.loads(run.read(f"models/{name}.json"))
        (metric,) = told.keys() - {"class", "settings", "seed", "fingerprint"}
        assert f"| {metric} | {told[metric]:.5g} | " in card
    assert run.figure("kfold_test").size[0] > 100
    assert run.figure("gan_animation_paper_minimax").format == "GIF"


def test_a_model_is_exported_with_its_card_and_another_ending_is_refused(smoke: Smoke, tmp_path: Path) -> None:
    run = Run(smoke.run.location)
    path = run.export("best", tmp_path / "out" / "best.pt2")
    inputs = torch.rand(5, 1, 28, 28)
    exported = torch.export.load(path).module()
    torch.testing.assert_close(exported(inputs), run.model("best")(inputs), rtol=1e-4, atol=1e-5)
    assert (tmp_path / "out" / "best.md").read_text() == run.card("best")
    with pytest.raises(UserError, match=r"exported as \.pt2 \(torch\.export\) or \.onnx"):
        run.export("best", tmp_path / "best.pkl")
    if importlib.util.find_spec("onnxruntime") is None:
        with pytest.raises(UserError, match=r"the package \w+ is not installed \(pip install .*\[export\]"):
            run.export("best", tmp_path / "best.onnx")
    else:
        assert run.export("best", tmp_path / "best.onnx").stat().st_size > 1000
    assert not list(tmp_path.glob("*.pkl"))


@pytest.mark.skipif(importlib.util.find_spec("rocrate") is None, reason="the extra rocrate is not installed")
def test_a_run_folder_becomes_a_crate_of_its_files_and_of_what_made_them(smoke: Smoke, tmp_path: Path) -> None:
    from rocrate.rocrate import ROCrate

    run = Run(copy_of(smoke, tmp_path).location)
    assert run.crate() == tmp_path / "smoke" / "ro-crate-metadata.json"
    crate, manifest = ROCrate(str(tmp_path / "smoke")), run.manifest()
    assert manifest is not None
    for name, entry in manifest.stages.items():
        action = crate.get(f"#{name}")
        assert action["startTime"] == entry.started
        assert action["instrument"]["version"] == (entry.made.commit or entry.made.sources)
        assert {file.id for file in action["result"]} == entry.files.keys()
        for file in action["result"]:
            assert file.get("sha256") == (None if file.id.endswith(".journal") else entry.files[file.id])
    assert crate.get("report.html")["sha256"] == digest(run.read("report.html"))
    assert crate.get("figures/kfold_test.png")["description"] == manifest.stages["kfold"].captions["kfold_test"]


def test_a_folder_without_a_run_is_no_crate_and_has_nothing_to_track(run: Run) -> None:
    for asked in (run.crate, lambda: run.track("tensorboard")):
        with pytest.raises(UserError, match="has no run: is the name right"):
            asked()
