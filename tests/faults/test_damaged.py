"""A damaged file of a run folder, or of the data, is noticed, and what it held is made again or missed in a line."""

import gzip
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from orchestrator.engine.checkpoint import Checkpoint
from orchestrator.engine.compare import differences
from orchestrator.engine.records import Records, Trial
from orchestrator.engine.results import Run
from orchestrator.run import main
from tests.command import Smoke
from tests.engine.toy import Nothing, Toy, begun
from trainables.dataset import DataError
from trainables.fashion_mnist import _FILES as FILES
from trainables.fashion_mnist import load

NUM_MUTATIONS = int(os.environ.get("FAULTS_MUTATIONS", "6"))
"""`make test-all` has 200."""

Mutation = Callable[[random.Random, Path, list[Path]], None]


def truncate(dice: random.Random, path: Path, others: list[Path]) -> None:
    os.truncate(path, dice.randrange(path.stat().st_size))


def flip(dice: random.Random, path: Path, others: list[Path]) -> None:
    content = bytearray(path.read_bytes())
    content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    path.write_bytes(content)


def empty(dice: random.Random, path: Path, others: list[Path]) -> None:
    path.write_bytes(b"")


def swap(dice: random.Random, path: Path, others: list[Path]) -> None:
    other = dice.choice([it for it in others if it.suffix == path.suffix and it != path] or [path])
    first, second = path.read_bytes(), other.read_bytes()
    path.write_bytes(second)
    other.write_bytes(first)


MUTATIONS: tuple[Mutation, ...] = (truncate, flip, empty, swap)


@pytest.fixture
def copy(smoke: Smoke, tmp_path: Path) -> Path:
    shutil.copytree(smoke.runs_dir / "smoke", tmp_path / "smoke", ignore=shutil.ignore_patterns("ray"))
    return tmp_path


def files(run: Path, *, records: bool) -> list[Path]:
    found = [path for path in sorted(run.rglob("*")) if path.is_file() and path.name != "lock"]
    top = {path: path.relative_to(run).parts[0] for path in found}
    return [path for path in found if top[path] not in {"quarantine", "ray"} and (top[path] == "records") == records]


def run_again(runs_dir: Path, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    status = main(["all", "--preset", "smoke", "--address", "local", "--runs-dir", str(runs_dir)])
    out, err = capsys.readouterr()
    assert status == 0, (out, err)
    assert "Traceback" not in out + err
    return err


def test_every_damage_to_what_a_run_gives_is_noticed_and_mended(
    smoke: Smoke, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dice = random.Random(5)
    names = {path.relative_to(smoke.runs_dir) for path in files(smoke.runs_dir / "smoke", records=False)}
    for number in range(NUM_MUTATIONS * 2 // 3):
        candidates = files(copy / "smoke", records=False)
        path = dice.choice(candidates)
        before = {it: it.read_bytes() for it in candidates}
        mutate = MUTATIONS[number % len(MUTATIONS)]
        mutate(dice, path, candidates)
        changed = [it for it in candidates if it.read_bytes() != before[it]]
        err = run_again(copy, capsys)
        what = f"{mutate.__name__} {path.relative_to(copy)}"
        for it in changed:
            name = str(it.relative_to(copy / "smoke"))
            assert name in err or name == "tables/stages.parquet" or it.read_bytes() == before[it], what
        assert list(differences(Run(copy / "smoke"), smoke.run)) == [], what
    assert {path.relative_to(copy) for path in files(copy / "smoke", records=False)} == names


@pytest.mark.long
def test_every_damage_to_records_is_noticed_where_they_are_read_and_only_these_trainings_are_repeated(
    smoke: Smoke, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dice = random.Random(6)
    for _ in range(-(-NUM_MUTATIONS // 3 // 8)):
        candidates = files(copy / "smoke", records=True)
        before = {it: it.read_bytes() for it in candidates}
        for number in range(8):
            path = dice.choice([it for it in candidates if it.stat().st_size])
            MUTATIONS[number % len(MUTATIONS)](dice, path, candidates)
        (copy / "smoke" / "manifest.json").write_bytes(b"gone, so that every record is read again")
        changed = {it for it in candidates if it.read_bytes() != before[it]}
        err = run_again(copy, capsys)
        assert list(differences(Run(copy / "smoke"), smoke.run)) == [], changed
        for it in candidates:
            trained_again = it.suffix == ".json" and it.read_bytes() != before[it]
            touched = any(other.name.split(".")[0] == it.name.split(".")[0] for other in changed)
            assert touched or not trained_again, f"{it.name} was whole and is trained again"
        assert "manifest.json is damaged" in err


def test_a_folder_without_its_tables_and_manifest_makes_them_from_the_records(
    smoke: Smoke, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(copy / "smoke" / "tables")
    (copy / "smoke" / "manifest.json").unlink()
    assert "Ray" not in run_again(copy, capsys), "nothing is trained"
    assert list(differences(Run(copy / "smoke"), smoke.run)) == []


def test_report_does_without_a_damaged_table_and_without_one_that_no_stage_wrote(
    smoke: Smoke, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(copy / "smoke")
    run.write("tables/gans.parquet", b"PAR1")
    run.write("tables/trials.parquet", run.read("tables/folds.parquet"))  # a table, but not this one
    run.write("tables/stranger.parquet", b"PAR1")
    assert main(["report", "--preset", "smoke", "--runs-dir", str(copy)]) == 0
    assert capsys.readouterr().err.splitlines() == [
        f"tables/{name}.parquet is damaged or missing; the report does without it" for name in ("trials", "gans")
    ]
    claims, undisturbed = (it.table("claims").astype({"verdict": str}) for it in (run, smoke.run))
    missed = claims["evidence"].fillna("").str.contains(r"\b(?:gans|trials)\b")
    assert set(claims[missed]["verdict"]) == {"not_tested"} != set(undisturbed[missed]["verdict"])
    pd.testing.assert_frame_equal(claims[~missed], undisturbed[~missed])
    run.delete("tables/stranger.parquet")
    run_again(copy, capsys)
    assert list(differences(run, smoke.run)) == []


@pytest.mark.parametrize("mutate", MUTATIONS)
def test_damaged_checkpoint_is_set_aside_and_its_training_starts_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mutate: Mutation
) -> None:
    run, stage = Run(tmp_path), Toy([Trial(key, Nothing(), seed=1, epochs=3, cost=1) for key in ("ill", "other")])
    stage_run, _ = begun(tmp_path, stage)
    records, trials = Records(run, "toy"), stage_run.study.trials
    for trial in trials:
        state = {"epoch": 1, "key": trial.key}
        rows = [{"epoch": 1, "seconds": 0.5}]
        records.save_checkpoint(trial.address, Checkpoint(rows, state, {"a": np.ones(3)}))
        found = records.load_checkpoint(trial.address)
        assert (found.rows[0]["epoch"], found.state, found.arrays["a"].tolist()) == (1, state, [1, 1, 1])
    names = [records.name(trial.address, ".checkpoint") for trial in trials]
    path, other = (Path(run.path(name)) for name in names)
    mutate(random.Random(8), path, [path, other])
    assert records.load_checkpoint(trials[0].address) == Checkpoint()
    stage_run, _ = begun(tmp_path, stage)
    assert stage_run.study.num_missing == 2
    assert f"{names[0]} is damaged; set aside as" in capsys.readouterr().err
    assert not path.exists()


@pytest.mark.parametrize("packed", [False, True])
def test_every_damage_to_the_images_is_named_or_makes_no_difference(tmp_path: Path, packed: bool) -> None:
    data, dice = load(), random.Random(7)
    whole = data.checksum
    arrays = (data.train_images, data.train_labels, data.test_images, data.test_labels)
    for file, array in zip(FILES, arrays, strict=True):
        content = file.header + array.tobytes()
        name = f"{file.name}.gz" if packed else file.name
        (tmp_path / name).write_bytes(gzip.compress(content, compresslevel=1) if packed else content)
    paths = sorted(tmp_path.iterdir())
    for number in range(NUM_MUTATIONS // 4):
        before = {path: path.read_bytes() for path in paths}
        MUTATIONS[number % len(MUTATIONS)](dice, dice.choice(paths), paths)
        changed = [path for path in paths if path.read_bytes() != before[path]]
        error = ""
        try:
            assert load(tmp_path).checksum == whole
        except DataError as refused:
            error = str(refused)
        assert any(path.name in error for path in changed) or (packed and not error), "a byte of gzip's header"
        assert len(error.splitlines()) <= 1
        for path in changed:
            path.write_bytes(before[path])
