"""The run folder: files are written whole or not at all, and a manifest that cannot be used is named in one line."""

import errno
import json
import os
from pathlib import Path

import pandas as pd
import pytest

from orchestrator.config import UserError
from orchestrator.results import SCHEMA_VERSION, Manifest, Run, StageState


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "runs" / "mine")


def files(run: Run) -> list[str]:
    """Every file below the run folder, hidden ones too."""
    root = Path(run.absolute)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def manifest(**changes: object) -> Manifest:
    empty = Manifest.empty("mine", "c0ffee").model_dump()
    return Manifest.model_validate(empty | {"preset": "smoke", "seed": 7, "settings": {"a": [1, None]}} | changes)


def complaint(run: Run) -> str:
    with pytest.raises(UserError) as caught:
        run.manifest()
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert f"{run.location}/manifest.json" in message
    return message


def disk_full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_is_written_is_read_back_and_nothing_else_is_left(run: Run) -> None:
    run.write("a/b/c.bin", b"old")
    run.write("a/b/c.bin", b"\x00new")
    run.write("top.txt", b"")
    assert run.read("a/b/c.bin") == b"\x00new"
    assert run.read("top.txt") == b""
    assert files(run) == ["a/b/c.bin", "top.txt"]


def test_files_may_be_read_by_others(run: Run) -> None:
    run.write("tables/a.parquet", b"x")
    assert Path(run.path("tables/a.parquet")).stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("step", ["replace", "fsync"])
def test_on_a_failing_disk_the_old_content_stands(run: Run, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    run.write("a/b.json", b"old")
    with monkeypatch.context() as broken:
        broken.setattr(os, step, disk_full)
        with pytest.raises(OSError, match="No space left"):
            run.write("a/b.json", b"new")
        with pytest.raises(OSError, match="No space left"):
            run.write("a/other.json", b"new")
    assert run.read("a/b.json") == b"old"
    assert files(run) == ["a/b.json"]


def test_a_file_takes_its_name_only_when_it_is_on_the_disk(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(handle: int) -> None:
        assert os.fstat(handle).st_size == 4
        order.append("fsync")
        fsync(handle)

    def watched_replace(source: str, target: str) -> None:
        assert Path(source).parent == Path(target).parent  # elsewhere could be another disk
        order.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    run.write("a.bin", b"four")
    assert order == ["fsync", "replace"]


def test_reading_what_is_not_there_is_a_file_not_found_error(run: Run) -> None:
    for name in ("no.txt", "no/such.txt"):
        with pytest.raises(FileNotFoundError):
            run.read(name)
    with pytest.raises(FileNotFoundError):
        run.table("trials")


def test_files_exist_until_they_are_deleted_and_folders_are_no_files(run: Run) -> None:
    assert not run.exists("a/b.json")
    run.write("a/b.json", b"{}")
    assert run.exists("a/b.json")
    assert not run.exists("a")
    run.delete("a/b.json")
    assert not run.exists("a/b.json")
    run.delete("a/b.json")
    run.delete("never/was.json")


def test_a_folder_is_deleted_with_all_that_it_holds_and_with_nothing_beside(run: Run) -> None:
    for name in ("ray/a/b.json", "ray/c.json", "rays/d.json"):
        run.write(name, b"{}")
    run.delete_folder("ray")
    run.delete_folder("ray")
    assert files(run) == ["rays/d.json"]


def test_a_folder_s_files_are_listed_in_order_by_their_ending(run: Run) -> None:
    for name in ("r/b.json", "r/a.json", "r/a.safetensors", "r/deeper/c.json", "other/d.json"):
        run.write(name, b"{}")
    assert run.list("r", ".json") == ["r/a.json", "r/b.json"]
    assert run.list("r", ".safetensors") == ["r/a.safetensors"]
    assert run.list("none", ".json") == []


def test_records_round_trip(run: Run) -> None:
    first = {"state": "complete", "epochs": [{"val_mse": 0.1 + 0.2}], "error": None, "text": "ü\n"}
    run.write_record("records/kfold", "fold-0", first)
    run.write_record("records/kfold", "fold-1.5", {"state": "failed"})
    run.write_record("records/kfold/deeper", "fold-2", {})
    assert run.records("records/kfold") == {"fold-0": first, "fold-1.5": {"state": "failed"}}
    assert run.records("records/search") == {}


def test_a_record_written_again_is_one_record(run: Run) -> None:
    run.write_record("r", "trial-000", {"state": "failed"})
    run.write_record("r", "trial-000", {"state": "complete"})
    assert run.records("r") == {"trial-000": {"state": "complete"}}


def test_half_a_record_of_a_killed_process_is_no_record(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed leaves its temporary file, as when removing it fails."""
    run.write_record("r", "trial-000", {})
    monkeypatch.setattr(os, "replace", disk_full)
    monkeypatch.setattr(Path, "unlink", disk_full)
    with pytest.raises(OSError, match="No space left"):
        run.write_record("r", "trial-001", {})
    assert len(files(run)) == 2
    assert run.records("r") == {"trial-000": {}}


def test_a_folder_without_a_manifest_has_none(run: Run) -> None:
    assert run.manifest() is None
    run.write("report.html", b"")
    assert run.manifest() is None


def test_manifest_round_trips(run: Run) -> None:
    state = StageState(state="failed", fingerprint="f", started="2026-01-02T03:04:05+00:00", seconds=1.5, error="why")
    written = manifest(stages={"search": state.model_dump()})
    run.write_manifest(written)
    assert run.manifest() == written
    assert json.loads(run.read("manifest.json"))["schema_version"] == SCHEMA_VERSION


def test_a_stage_s_state_is_a_row_of_the_table_stages() -> None:
    row = StageState(state="done", fingerprint="f", started="2026-01-02T03:04:05+00:00").row()
    assert row["started"] == pd.Timestamp("2026-01-02T03:04:05", tz="UTC")
    assert (row["state"], row["fingerprint"], row["seconds"], row["error"]) == ("done", "f", 0.0, None)


GOOD = json.loads(manifest().model_dump_json())
DAMAGES = {
    "empty": "",
    "cut off": json.dumps(GOOD)[:-20],
    "no JSON": "<html>",
    "null": "null",
    "a list": "[1]",
    "a text": '"schema_version"',
    "nothing in it": "{}",
    "no name": json.dumps({key: value for key, value in GOOD.items() if key != "name"}),
    "no version": json.dumps({key: value for key, value in GOOD.items() if key != "schema_version"}),
    "a field of another": json.dumps(GOOD | {"colour": "red"}),
    "a seed that is none": json.dumps(GOOD | {"seed": "a\nb"}),
    "a state that is none": json.dumps(GOOD | {"stages": {"search": {"state": "maybe"}}}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_manifest_is_named_with_the_way_out(run: Run, damage: str) -> None:
    run.write("manifest.json", DAMAGES[damage].encode())
    assert "is damaged; delete it" in complaint(run)


def test_a_manifest_that_is_no_text_is_damaged(run: Run) -> None:
    run.write("manifest.json", b"\xff\xfe\x00")
    assert "is damaged; delete it" in complaint(run)


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 0, None, "a\nb"])
def test_a_manifest_of_another_version_is_named_with_both_versions(run: Run, version: object) -> None:
    run.write("manifest.json", json.dumps(GOOD | {"schema_version": version}).encode())
    message = complaint(run)
    assert f"has schema version {version!r}, this program writes {SCHEMA_VERSION}" in message
    assert "--name" in message


def test_a_manifest_that_cannot_be_read_is_named(run: Run) -> None:
    run.write("manifest.json/in the way", b"")
    assert "cannot be read" in complaint(run)


def test_a_run_below_a_file_cannot_be_written_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    run = Run(tmp_path / "file" / "mine")
    with pytest.raises(UserError) as caught:
        run.write_manifest(manifest())
    assert str(caught.value) == f"the run folder {tmp_path / 'file' / 'mine'} cannot be written: Not a directory"
    assert "cannot be read" in complaint(run)


def test_a_full_disk_is_the_reason_given_for_a_manifest_that_cannot_be_written(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "replace", disk_full)
    with pytest.raises(UserError, match=r"cannot be written: No space left on device$"):
        run.write_manifest(manifest())


def test_a_location_that_is_none_is_named() -> None:
    with pytest.raises(UserError) as caught:
        Run("nonsense://bucket/run")
    assert str(caught.value).startswith("--runs-dir nonsense://bucket/run: ")
    assert len(str(caught.value).splitlines()) == 1


def test_a_local_run_is_found_from_another_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = Run("runs/mine")
    run.write("a.txt", b"here")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run.read("a.txt") == b"here"
    assert run.absolute == str(tmp_path / "runs" / "mine")
    assert run.location == "runs/mine"
