"""The run folder: files are written whole or not at all, and a manifest that cannot be used is named in one line."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from orchestrator.engine.folder import Damaged, Unusable
from orchestrator.engine.manifest import SCHEMA_VERSION, Manifest, StageState
from orchestrator.engine.results import Run
from orchestrator.engine.settings import UserError
from orchestrator.engine.tables import as_parquet
from tests.command import REPOSITORY


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "runs" / "mine")


def files(run: Run) -> list[str]:
    """Every file below the run folder, hidden ones too."""
    root = Path(run.absolute)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def manifest(**changes: object) -> Manifest:
    empty = Manifest(name="mine", data_checksum="c0ffee").model_dump()
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
        for name in ("a/b.json", "a/other.json"):
            with pytest.raises(Unusable, match=f"{name} cannot be written: No space left on device; mend that"):
                run.write(name, b"new")
    assert run.read("a/b.json") == b"old"
    assert files(run) == ["a/b.json"]


def test_a_file_takes_its_name_only_when_it_is_on_the_disk(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(handle: int) -> None:
        assert os.fstat(handle).st_size == 4 or order[-1] == "replace"
        order.append("fsync")
        fsync(handle)

    def watched_replace(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        assert (src_dir_fd, Path(source).parent) == (
            dst_dir_fd,
            Path(target).parent,
        )  # not another disk
        order.append("replace")
        replace(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    run.write("a.bin", b"four")
    assert order == ["fsync", "replace", "fsync"], "and the folder with its new name"


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


def damaged(content: bytes) -> Iterator[bytes]:
    """The content, damaged in every way that one bit or one cut can."""
    yield b""
    yield from (content[:length] for length in range(1, len(content)))
    for position in range(len(content)):
        for bit in range(8):
            yield content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :]


def test_every_flipped_bit_and_every_cut_of_a_sealed_file_is_noticed(run: Run) -> None:
    run.write_sealed("r/a.checkpoint", b"\x00state\n")
    content = run.read("r/a.checkpoint")
    assert run.read_sealed("r/a.checkpoint") == b"\x00state\n"
    for other in damaged(content):
        run.write("r/a.checkpoint", other)
        with pytest.raises(Damaged, match=r"^r/a.checkpoint is damaged$"):
            run.read_sealed("r/a.checkpoint")


def test_every_flipped_bit_and_every_cut_of_a_sealed_json_file_is_noticed_or_means_the_same(run: Run) -> None:
    written = {"state": "complete", "epochs": [{"mse": 0.25}]}
    run.write_json("r/a.json", written)
    content = run.read("r/a.json")
    num_noticed = 0
    for other in damaged(content):
        run.write("r/a.json", other)
        try:
            assert run.read_json("r/a.json") == written, "a blank for a line's end, say"
        except Damaged:
            num_noticed += 1
    assert num_noticed > 8 * 0.8 * len(content)


def test_a_sealed_file_under_another_s_name_is_damaged(run: Run) -> None:
    run.write_sealed("r/a.safetensors", b"one")
    run.write("r/b.safetensors", run.read("r/a.safetensors"))
    with pytest.raises(Damaged):
        run.read_sealed("r/b.safetensors")
    run.write_json("r/a.json", {})
    run.write("r/b.json", run.read("r/a.json"))
    with pytest.raises(Damaged):
        run.read_json("r/b.json")


READING = """
import sys, psutil, pandas, pyarrow.parquet
from orchestrator import Run
from orchestrator.engine.compare import differences

run, process = Run(sys.argv[1]), psutil.Process()
before = process.num_threads()
assert run.table("some")["b"].sum() == 1000
assert len(run.describe("some")) == 3
assert list(differences(run, run)) == []
print(process.num_threads() - before)
"""


def test_no_thread_that_outlasts_it_reads_a_table(run: Run) -> None:
    """One of Arrow's that still has Python's bytes when the interpreter ends aborts the process."""
    run.write(
        "tables/some.parquet",
        as_parquet(pa.schema([(name, "f8") for name in "abc"]), {name: [1.0] * 1000 for name in "abc"}, {}),
    )
    run.write_manifest(manifest())
    command = [sys.executable, "-c", READING, run.location]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


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
@pytest.mark.parametrize("sealed", [False, True])
def test_a_damaged_manifest_is_named(run: Run, damage: str, sealed: bool) -> None:
    content = DAMAGES[damage]
    if sealed and content.startswith("{") and damage != "cut off":
        run.write_json("manifest.json", json.loads(content))
    else:
        run.write("manifest.json", content.encode())
    with pytest.raises(Damaged, match=r"^manifest.json is damaged$"):
        run.manifest()


def test_a_manifest_that_is_no_text_is_damaged(run: Run) -> None:
    run.write("manifest.json", b"\xff\xfe\x00")
    with pytest.raises(Damaged):
        run.manifest()


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 0, 1, 2, "a\nb"])
def test_a_manifest_of_another_version_is_named_with_both_versions(run: Run, version: object) -> None:
    run.write_json("manifest.json", GOOD | {"schema_version": version})
    sealed = complaint(run)
    run.write("manifest.json", json.dumps(GOOD | {"schema_version": version}).encode())
    assert complaint(run) == sealed, "also of a version whose manifests were not sealed"
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
    assert f"{tmp_path / 'file' / 'mine'}/manifest.json cannot be written: Not a directory" in str(caught.value)
    assert "cannot be read" in complaint(run)


def test_a_disk_without_the_space_that_a_run_needs_is_named(run: Run) -> None:
    free = run.free_bytes()
    assert free is not None
    run.check_space(free / 2)
    with pytest.raises(Unusable, match=r"^the disk of .* has .* GB left and needs 1e\+06; mend that"):
        run.check_space(1e15)


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
