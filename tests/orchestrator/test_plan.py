"""A change of settings costs the trainings that it decides and no other; what is less than the paper's is told of."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.claims import judged
from orchestrator.command_line import parse
from orchestrator.engine.book import Book
from orchestrator.engine.compare import differences
from orchestrator.engine.manifest import Manifest, StageState
from orchestrator.paper import suite
from orchestrator.report import _scales
from orchestrator.run import main
from orchestrator.stages.gan import Gan
from orchestrator.stages.gan_search import Tuning
from tests.command import REPOSITORY, Smoke, orchestrate
from tests.orchestrator.copies import copy_of

PRESET: Any = suite().preset("smoke")
ON_SEARCH = {"kfold": 12, "refit": 6, "classify": 6, "gan_search": 4, "gan": 4}
"""Trainings of the stages that build on the search's best."""


@pytest.fixture
def to_train(smoke: Smoke, capsys: pytest.CaptureFixture[str]) -> Any:
    """Asks for a plan of the finished smoke run: the trainings of each stage that are to do, where there are any."""

    def planned(*arguments: str) -> dict[str, int]:
        assert main(["plan", *arguments, "--preset", "smoke", "--runs-dir", str(smoke.runs_dir)]) == 0
        out = capsys.readouterr().out
        cells = (line.split() for line in out.splitlines() if " to do " in line)
        numbers = {row[0]: int(row[6]) for row in cells if len(row) > 6}
        total = sum(numbers.values())
        trainings = f"{total} training{'s' if total != 1 else ''} to do; nothing was started"
        assert re.search(rf"^about .* in all, {trainings}$", out, flags=re.MULTILINE)
        return {name: number for name, number in numbers.items() if number}

    return planned


def test_number_of_neighbours_is_no_training_s(to_train: Any) -> None:
    assert to_train("all", "--classify.num-neighbors", "7") == {}


def test_one_more_seed_is_one_training_of_each_fold(to_train: Any) -> None:
    assert to_train("kfold", "--kfold.num-seeds", str(PRESET.kfold.num_seeds + 1)) == {"kfold": 3}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("all --capacity.control-epochs 2", {"capacity": 10}),
        ("all --capacity.latent-dims 2 5 14", {"capacity": 1}),
        ("all --capacity.no-ablations", {}),
        ("all --denoise.num-resamples 100", {}),
        ("all --embed.num-neighbors 7", {}),
        ("all --classify.accuracies .5 .6", {}),
        ("all --gan.paper.epochs 3", {"gan": 2}),
        ("all --gan.tuned.minimax.epochs 3", {"gan": 1}),
        ("all --gan.search.epochs 2", {"gan_search": 4, "gan": 4}),
        ("all --gan.search.trials 3", {"gan_search": 2, "gan": 4}),
        ("all --gan.num-seeds 2", {"gan": 4}),
        ("all --kfold.epochs 3", {"kfold": 12}),
        ("all --kfold.models best paper_table1 author_best", {"kfold": 3}),
        ("all --kfold.models paper_table1", {"kfold": 6}),
        ("all --kfold.orders sequential", {}),
        ("all --kfold.orders sequential class_sorted shuffled", {"kfold": 3}),
        ("all --kfold.orders class_sorted sequential", {"kfold": 6}),
        ("all --search.num-trials 16", {"search": 10} | ON_SEARCH),
        ("all --search.num-trials 7", {"search": 1} | ON_SEARCH),
        ("all --data.num-test 499", {"search": 6, "capacity": 18} | ON_SEARCH),
        ("all --data.num-train 2999", {"search": 6, "capacity": 18} | ON_SEARCH),
        ("all --seed 2", {"search": 6, "capacity": 18} | ON_SEARCH),
    ],
)
def test_change_costs_the_trainings_that_it_decides(to_train: Any, arguments: str, expected: dict[str, int]) -> None:
    """Those that build on trainings to come count as to do, since what they are told is not known yet."""
    assert to_train(*arguments.split()) == expected


def test_new_version_of_a_training_s_code_is_the_trainings_that_it_does(
    to_train: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stage in (Gan, Tuning):
        monkeypatch.setattr(stage, "version", stage.version + 1)
    assert to_train("all") == {"gan_search": 4, "gan": 4}


@pytest.mark.parametrize(
    ("stage", "key", "expected"),
    [
        ("refit", "best-seed-1", {"classify": 6, "gan_search": 4, "gan": 4}),
        ("classify", "raw-cnn", {"gan_search": 4, "gan": 4}),
    ],
)
def test_trainings_that_were_given_what_weights_made_are_missing_where_these_are_others(
    smoke: Smoke, tmp_path: Path, stage: str, key: str, expected: dict[str, int]
) -> None:
    """As after --force with other code, or a damaged record trained again on another processor."""
    run = copy_of(smoke, tmp_path)

    def missing() -> dict[str, int]:
        book = Book(suite(), PRESET, run, set_aside=False)
        return {name: book.study(name).num_missing for name in book.stages if book.study(name).num_missing}

    assert missing() == {}
    (name,) = (name for name in run.list(f"records/{stage}", ".json") if f"/{key}-" in name)
    run.write_json(name, run.read_json(name) | {"digest": "other"})
    assert missing() == expected


def test_change_that_trains_nothing_starts_no_ray_and_writes_its_tables_again(smoke: Smoke, tmp_path: Path) -> None:
    run = copy_of(smoke, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "smoke" / "records").rglob("*")}
    common = ("all", "--preset", "smoke", "--runs-dir", tmp_path)
    done = orchestrate(*common, "--classify.num-neighbors", "7")
    assert done.status == 0, done.err
    assert "Ray: connecting" not in done.err
    assert "classify: done in" in done.err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "smoke" / "records").rglob("*")} == before

    tables = {"classifiers": "architecture == 'knn'", "confusion": "architecture == 'knn'"}
    for name, which in tables.items():
        mine, theirs = run.table(name), smoke.run.table(name)
        assert not mine.query(which).equals(theirs.query(which))
        columns = [column for column in mine.columns if column != "encode_seconds"]
        assert mine.query(f"not ({which})")[columns].equals(theirs.query(f"not ({which})")[columns])
    changed = {line.split(":")[0] for line in differences(run, smoke.run)}
    assert changed - {"claims", "anchors", "key_numbers"} == {
        "classifiers",
        "classifier_predictions",
        "confusion",
        "stages",
    }


def test_less_of_a_control_is_told_of_as_reduced_with_the_claims_that_it_bears_on() -> None:
    settings, _ = parse(["--preset", "paper", "--capacity.control-epochs", "1"], suite())
    reduced = suite().reduced(settings)
    told = {name: lines for name, lines in reduced.items() if lines}
    assert told == {"capacity": ["1 instead of 8 epochs an ablation"]}

    manifest = Manifest(name="made-up")
    for stage in suite().wanted(settings):
        files = {f"tables/{name}.parquet": "" for name in stage.schemas}
        manifest.stages[stage.name] = StageState(state="done", fingerprint="", started="", files=files)
    claims = {claim["claim"]: claim for claim in judged({}, _scales(manifest, reduced))}
    less = {number for number, claim in claims.items() if claim["scale"] == "reduced"}
    assert {8, 9, 18, 19, 24} <= less
    assert all({"reconstruction", "identity"} & set(claims[number]["evidence"].split(", ")) for number in less)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            "--gan.paper.discriminator-filters 2 2 2",
            {"gan": "gan.paper.discriminator_filters 2 2 2 instead of 16 32 64"},
        ),
        ("--capacity.learning-rate .1", {"capacity": "capacity.learning_rate 0.1 instead of 0.003"}),
        ("--search.space.neurons 4 8", {"search": "search.space.neurons 4 8 instead of 32 128"}),
        ("--autoencoder.weight-decay 0", {"capacity": "autoencoder.weight_decay 0.0 instead of 1e-05"}),
        ("--embed.num-neighbors 9", {"embed": "embed.num_neighbors 9 instead of 5"}),
        (
            "--denoise.zeroed .1 .2 .3 .4 .6",
            {"denoise": "without 0.5 among the levels of zeroed pixels"},
        ),
        ("--gan.search.on --gan.search.beta1 .1 .2", {"gan_search": "gan.search.beta1 0.1 0.2 instead of 0.0 0.9"}),
        ("--gan.search.on --gan.num-workers 1", {}),
        ("--refit.epochs 30 --denoise.zeroed .1 .2 .3 .4 .5 .6", {}),
        ("--resources.slots 1 --seed 7", {}),
    ],
)
def test_whatever_is_other_than_the_paper_s_is_told_of(words: str, told: dict[str, str]) -> None:
    settings, _ = parse(["--preset", "paper", *words.split()], suite())
    found = {name: lines for name, lines in suite().reduced(settings).items() if lines}
    assert told.items() <= {name: lines[0] for name, lines in found.items()}.items()
    assert bool(found) == bool(told)


@pytest.mark.parametrize(
    "words",
    ["--help", "kfold --help", "--help-all", "plan --preset paper", "plan --preset smoke", "status --preset smoke"],
)
def test_help_and_plans_are_quick_since_they_load_nothing_heavy(smoke: Smoke, words: str) -> None:
    code = (
        "import contextlib, sys; from orchestrator.run import main\n"
        "with contextlib.suppress(SystemExit): main(sys.argv[1:])\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, *words.split(), "--runs-dir", str(smoke.runs_dir)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout
    loaded = set(done.stderr.split())
    assert "orchestrator" in loaded
    assert not loaded & {"matplotlib", "pandas", "torch", "ray", "sklearn", "torchvision"}


@pytest.mark.parametrize("damaged", [True, False])
def test_clean_removes_nothing_where_no_manifest_says_what_the_tables_are_made_of(
    smoke: Smoke, capsys: pytest.CaptureFixture[str], tmp_path: Path, damaged: bool
) -> None:
    run = copy_of(smoke, tmp_path)
    before = run.list("records/capacity", "")
    if damaged:
        (tmp_path / "smoke" / "manifest.json").write_text("{")
    else:
        run.delete("manifest.json")
    assert main(["clean", "--preset", "smoke", "--capacity.epochs", "7", "--runs-dir", str(tmp_path)]) == 2
    said = (
        "has no sound manifest.json, which says what" if damaged else "there is no run yet, or no manifest.json of it"
    )
    assert said in capsys.readouterr().err
    assert run.list("records/capacity", "") == before


def test_clean_leaves_a_stage_whose_tables_the_manifest_says_nothing_of(
    smoke: Smoke, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As after a damaged manifest, in whose place `report` has written an empty one."""
    run = copy_of(smoke, tmp_path)
    before = run.list("records/capacity", "")
    (tmp_path / "smoke" / "manifest.json").write_text("{")
    common = ["--preset", "smoke", "--runs-dir", str(tmp_path)]
    assert main(["report", *common]) == 0
    assert main(["clean", *common, "--capacity.epochs", "7"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("0 records")
    assert run.list("records/capacity", "") == before


def test_force_all_does_every_stage_again(to_train: Any) -> None:
    every, kfold = to_train("all", "--force", "all"), to_train("kfold", "--force", "kfold")
    assert kfold == {"kfold": 12}
    assert to_train("kfold", "--force", "all") == every
    assert set(every) == {"search", "kfold", "refit", "capacity", "classify", "gan_search", "gan"}


def test_clean_leaves_trials_of_a_search_that_only_its_first_ones_can_tell_of(
    smoke: Smoke, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As after an interrupted search whose first record was lost: trained again, it leads to the same trials."""
    run = copy_of(smoke, tmp_path)
    manifest = run.manifest()
    assert manifest is not None
    entry = manifest.stages["search"]
    manifest.stages["search"] = entry.model_copy(update={"state": "running", "records": entry.records[:4]})
    run.write_manifest(manifest)
    run.delete(f"records/search/{entry.records[0]}.json")
    assert main(["clean", "--preset", "smoke", "--runs-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("0 records")
    assert len(run.list("records/search", ".json")) == PRESET.search.num_trials - 1
