"""A run folder that a stranger has made: nothing of it leads outside, is waited for, fills the memory, or acts."""

import io
import json
import os
import pickle
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from orchestrator.engine.checkpoint import Checkpoint
from orchestrator.engine.folder import Damaged, Unusable, digest
from orchestrator.engine.lock import holder, locked
from orchestrator.engine.manifest import Manifest, StageState
from orchestrator.engine.records import Records
from orchestrator.engine.results import Run
from orchestrator.engine.settings import UserError
from orchestrator.engine.shown import shown
from orchestrator.paper import suite
from orchestrator.run import main

SETTINGS = suite().preset("smoke").model_dump(mode="json", exclude={"force", "config"})
SECRET = b"PRIVATE KEY"
ATTACKER = b"ssh-ed25519 ATTACKER"
OUTSIDE = [
    "../../home/id_rsa",
    "tables/../../../home/id_rsa",
    "/etc/passwd",
    "tables//x",
    "./tables/x",
    "tables/..",
    "",
    "tables/x\0y",
    "tables/\x1b[31mx",
    "tables/\N{RIGHT-TO-LEFT OVERRIDE}x",
    "..\\x",
]
OWN = ["manifest.json", "lock", "records/kfold/fold-0.json", "quarantine/x", "ray/driver.log"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder beside the runs, with a file that is nobody's business."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "id_rsa").write_bytes(SECRET)
    return home


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "runs" / "smoke")


def entry(**changes: Any) -> StageState:
    told = {"state": "done", "fingerprint": "f", "started": "2026-01-02T03:04:05+00:00"}
    return StageState.model_validate(told | changes)


def command(run: Run, *words: str) -> list[str]:
    return [*words, "--preset", "smoke", "--runs-dir", str(Path(run.absolute).parent)]


def untouched(home: Path) -> bool:
    return {path.name: path.read_bytes() for path in home.iterdir()} == {"id_rsa": SECRET}


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_that_leads_elsewhere_or_is_not_seen_is_none(run: Run, home: Path, name: str) -> None:
    run.write("tables/x", b"")
    uses: list[Callable[[str], object]] = [
        run.path,
        run.read,
        run.exists,
        run.delete,
        run.delete_folder,
        lambda name: run.write(name, ATTACKER),
        lambda name: run.set_aside(name, "is damaged"),
        lambda name: run.list(name, ""),
        lambda name: run.differing({name: "0"}),
    ]
    for use in uses:
        with pytest.raises(ValueError, match="is no name of a file in a run folder"):
            use(name)
    assert untouched(home)


@pytest.mark.parametrize("name", [*OUTSIDE, *OWN])
@pytest.mark.parametrize("where", ["files", "captions", "report"])
def test_a_manifest_with_a_name_that_no_stage_writes_is_damaged(run: Run, where: str, name: str) -> None:
    if where == "captions" and name in {*OWN, "/etc/passwd"}:
        pytest.skip("is a name below figures/, if a strange one")
    manifest = Manifest(name="smoke", stages={"search": entry(**({where: {name: "0"}} if where != "report" else {}))})
    if where == "report":
        manifest.report = {name: "0"}
    run.write_manifest(manifest)
    with pytest.raises(Damaged, match=r"^manifest.json is damaged$"):
        run.manifest()


def test_two_stages_do_not_claim_one_file(run: Run) -> None:
    both = entry(files={"tables/folds.parquet": "0"})
    run.write_manifest(Manifest(name="smoke", stages={"search": both, "kfold": both}))
    with pytest.raises(Damaged):
        run.manifest()


def test_a_manifest_moves_and_overwrites_nothing_outside(
    run: Run, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The two ways that led to another's authorized_keys: a name with .., and links beside it."""
    (home / "id_rsa").rename(home / "authorized_keys")
    root = Path(run.absolute)
    (root / "a/b/c").mkdir(parents=True)
    (root / "d").symlink_to(root / "a/b/c")
    (root / "a/authorized_keys").write_bytes(ATTACKER)
    (root / "quarantine").symlink_to(home)
    for name in ("d/../../authorized_keys", "../../home/authorized_keys"):
        run.write_manifest(Manifest(name="smoke", report={name: "0"}))
        assert main(command(run, "report")) == 2, "the damaged manifest cannot be set aside"
        (line,) = capsys.readouterr().err.splitlines()
        assert "manifest.json cannot be moved to quarantine/" in line
        assert "quarantine is a link, which is not followed" in line
        assert {path.name: path.read_bytes() for path in home.iterdir()} == {"authorized_keys": SECRET}
    (root / "quarantine").unlink()
    assert main(command(run, "report")) == 0
    assert "manifest.json is damaged; set aside as" in capsys.readouterr().err
    assert (home / "authorized_keys").read_bytes() == SECRET
    assert (root / "a/authorized_keys").read_bytes() == ATTACKER


def test_a_link_among_the_files_is_no_file_and_is_replaced_not_followed(run: Run, home: Path) -> None:
    for name in ("tables/folds.parquet", "report.html"):
        path = Path(run.path(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(home / "id_rsa")
        assert not run.exists(name)
        with pytest.raises(Damaged, match=f"^{name} is a link$"):
            run.read(name)
        assert run.differing({name: digest(SECRET)}) == [name]
        run.set_aside(name, "is damaged")
        assert not path.is_symlink()
        path.symlink_to(home / "id_rsa")
        run.write(name, b"ours")
        assert (path.read_bytes(), path.is_symlink()) == (b"ours", False)
        path.unlink()
        path.symlink_to(home / "id_rsa")
        run.delete(name)
        assert not path.is_symlink()
    assert untouched(home)


def test_a_folder_that_is_a_link_is_not_entered(run: Run, home: Path) -> None:
    run.write("x", b"")
    Path(run.path("tables")).symlink_to(home)
    uses: list[Callable[[], object]] = [
        lambda: run.read("tables/id_rsa"),
        lambda: run.write("tables/new", ATTACKER),
        lambda: run.write("tables/deeper/new", ATTACKER),
        lambda: run.delete("tables/id_rsa"),
        lambda: run.delete_folder("tables"),
        lambda: run.set_aside("tables/id_rsa", "is damaged"),
        lambda: run.list("tables", ""),
        lambda: run.differing({"tables/id_rsa": digest(SECRET)}),
    ]
    for use in uses:
        with pytest.raises(Unusable):
            use()
    with pytest.raises(Unusable, match=r"tables is a link, which is not followed \(put the folder itself there\)"):
        run.list("tables", "")
    assert untouched(home)


def test_the_run_folder_itself_may_be_a_link(tmp_path: Path, run: Run) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "runs").mkdir()
    Path(run.absolute).symlink_to(tmp_path / "scratch")
    run.write("tables/a.bin", b"1")
    assert (tmp_path / "scratch/tables/a.bin").read_bytes() == run.read("tables/a.bin") == b"1"
    (tmp_path / "scratch/tables/.writing-killed").touch()
    (tmp_path / "scratch/ray").mkdir()
    (tmp_path / "scratch/ray/driver.log").symlink_to(tmp_path / "elsewhere")
    with locked(run):
        assert holder(run)
        assert not (tmp_path / "scratch/tables/.writing-killed").exists()
        assert not (tmp_path / "scratch/ray/driver.log").is_symlink()


def test_doctor_does_not_follow_a_link_in_a_stranger_s_run_folder(
    tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "home/logs").mkdir(parents=True)
    (tmp_path / "home/logs/precious").touch()
    Path(run.absolute).mkdir(parents=True)
    Path(run.absolute, "ray").symlink_to(tmp_path / "home")
    assert main([*command(run, "doctor"), "--address", "local"]) == 2
    assert "ray is a link, which is not followed" in capsys.readouterr().err
    assert (tmp_path / "home/logs/precious").exists()


@pytest.mark.parametrize("level", ["runs", "runs/smoke"])
def test_a_link_to_a_purged_folder_is_named(
    tmp_path: Path, run: Run, level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / level).parent.mkdir(exist_ok=True)
    (tmp_path / level).symlink_to("/scratch/purged")
    for word in ("report", "status"):
        assert main(command(run, word)) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{tmp_path / level} is a link to /scratch/purged, which is not there (make that folder, or" in line


def lock(run: Run) -> None:
    with locked(run):
        pass


def test_a_lock_that_is_a_link_is_not_written(run: Run, home: Path) -> None:
    path = Path(run.path("lock"))
    path.parent.mkdir(parents=True)
    for link in (path.symlink_to, path.hardlink_to):
        link(home / "id_rsa")
        with pytest.raises(Unusable, match="lock cannot be written: it is a link"):
            lock(run)
        path.unlink()
    os.mkfifo(path)
    with pytest.raises(Unusable, match="lock cannot be written: it is a pipe or a device"):
        lock(run)
    path.unlink()
    lock(run)
    assert untouched(home)


def test_where_ray_writes_are_no_links_and_no_pipes(run: Run, home: Path) -> None:
    ray = Path(run.path("ray"))
    run.write("ray/kept/by.ray", b"")
    (ray / "logs").symlink_to(home)
    (ray / "kept/dangling").symlink_to(home / "new")
    (ray / "driver.log").hardlink_to(home / "id_rsa")
    os.mkfifo(ray / "kept/pipe")
    lock(run)
    assert sorted(path.name for path in ray.rglob("*")) == ["by.ray", "kept"]
    assert untouched(home)
    shutil.rmtree(ray)
    ray.symlink_to(home)
    with pytest.raises(Unusable, match="ray is a link, which is not followed"):
        lock(run)
    assert untouched(home)


def strange(path: Path, kind: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link to a device":
        path.symlink_to("/dev/zero")
    elif kind == "terabyte":
        with open(path, "wb") as file:
            file.truncate(2**40)
    elif kind == "device":
        try:
            os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 5))
        except PermissionError:
            pytest.skip("only root makes a device")


@pytest.mark.parametrize("kind", ["pipe", "link to a device", "terabyte", "device"])
def test_nothing_is_waited_for_and_nothing_fills_the_memory(
    run: Run, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("manifest.json", "tables/folds.parquet", "figures/folds.png", "records/kfold/fold-0.json")
    for name in names:
        strange(Path(run.path(name)), kind)
        with pytest.raises(Damaged):
            run.read(name)
    assert run.differing(dict.fromkeys(names, "0")) == list(names)
    with pytest.raises(Damaged):
        run.table("folds")
    strange(Path(run.path("lock")), kind)
    assert main(command(run, "status")) == 0
    assert "manifest.json is damaged" in capsys.readouterr().err
    if kind != "terabyte":
        with pytest.raises(UserError, match=r"smoke: lock is a .*: remove it, and give the same command again"):
            holder(run)
        assert main(command(run, "report")) == 2
    Path(run.path("lock")).unlink()
    capsys.readouterr()
    assert main(command(run, "report")) == (0 if kind == "terabyte" else 2)
    assert ("there is no run yet" in capsys.readouterr().err) == (kind != "terabyte")


def test_what_a_manifest_a_lock_or_a_table_says_is_shown_and_not_done(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = "\x1b]0;owned\x07[red]\x9b31m\N{RIGHT-TO-LEFT OVERRIDE}txt.exe\r<script>alert(1)</script>"
    stages = {"search": entry(state="failed", error=f"why {bad}", fingerprint=bad), f"gone {bad}": entry(error=bad)}
    run.write_manifest(Manifest(name=bad, stages=stages, preset=bad, settings=SETTINGS))
    lock = {"host": bad, "process": os.getpid(), "since": bad}
    with locked(run):
        Path(run.path("lock")).write_text(json.dumps(lock))
        assert main(command(run, "status")) == 0
        assert main(command(run, "plan")) == 0
        assert main(command(run, "report")) == 2
    assert main(command(run, "report")) == 0
    printed = capsys.readouterr()
    page = run.read("report.html").decode()
    for text in (printed.out, printed.err, page):
        assert {letter for letter in text if not letter.isprintable()} <= {"\n"}
    assert r"in use by process" in printed.out
    assert r"\x1b]0;owned\x07[red]\x9b31m\u202etxt.exe\r<script>" in printed.out + printed.err
    assert r"\x1b]0;owned\x07[red]\x9b31m\u202etxt.exe" in page
    assert page.count("<script>") == 1, "the page's own"


def test_letters_of_every_language_are_shown_as_they_are() -> None:
    assert shown("größer – 日本 'x'") == "größer – 日本 'x'"
    assert shown("a\nb\N{LINE SEPARATOR}\ud800") == r"a\nb\u2028\ud800"


@pytest.mark.parametrize(
    "changes",
    [
        {"started": "yesterday"},
        {"slots": 10**300},
        {"seconds": 10**400},
        {"state": "owned"},
        {"error": "\ud800"},
    ],
)
def test_a_manifest_of_which_no_table_can_be_made_is_damaged(run: Run, changes: dict[str, Any]) -> None:
    content = json.loads(Manifest(name="x", stages={"search": entry()}).model_dump_json())
    content["stages"]["search"].update(changes)
    run.write_json("manifest.json", content)
    with pytest.raises(Damaged):
        run.manifest()


@pytest.mark.parametrize("content", [b"[" * 10**6, b'{"a":' * 10**5, b'{"a": ' + b"9" * 10**5 + b"}", b"\xff\xfe"])
def test_json_that_no_run_writes_is_damaged(run: Run, content: bytes) -> None:
    run.write("manifest.json", content)
    with pytest.raises(Damaged):
        run.manifest()
    with pytest.raises(Damaged):
        run.read_json("manifest.json")


def parquet(table: pa.Table, **metadata: str) -> bytes:
    content = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata), content)
    return content.getvalue()


CRAFTED = {
    "attributes that are no JSON": parquet(pa.table({"a": [1]}), PANDAS_ATTRS="{"),
    "attributes that are a list": parquet(pa.table({"a": [1]}), PANDAS_ATTRS="[1]"),
    "attributes without a bottom": parquet(pa.table({"a": [1]}), PANDAS_ATTRS="[" * 10**6),
    "an index": parquet(pa.table({"a": [1]}), pandas='{"index_columns": ["nothing"]}'),
    "two columns of one name": parquet(pa.table([[1], [2]], names=["a", "a"])),
    "millions of rows": parquet(pa.table({"a": pa.nulls(2**25, pa.int8())})),
    "a list without an end": parquet(pa.table({"a": [[None] * 2**25]})),
    "a pickle": pickle.dumps({}),
    "cut off": parquet(pa.table({"a": [1]}))[:-9],
}


@pytest.mark.parametrize("kind", CRAFTED)
def test_a_crafted_table_is_damaged_and_compares_in_one_line(
    run: Run, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Run(f"{run.absolute}-other")
    run.write("tables/folds.parquet", CRAFTED[kind])
    other.write("tables/folds.parquet", parquet(pa.table({"a": [1]})))
    with pytest.raises(Damaged, match=r"^tables/folds.parquet is no table of a run$"):
        run.table("folds")
    assert main(["compare", run.absolute, other.absolute]) in ({0, 1, 2} if "attributes" in kind else {2})
    assert len(capsys.readouterr().err.splitlines()) <= 1


def test_a_table_of_other_columns_than_its_stage_s_is_not_in_the_report(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    content = parquet(pa.table({"fold": [1]}))
    run.write("tables/folds.parquet", content)
    stages = {"kfold": entry(files={"tables/folds.parquet": digest(content)})}
    run.write_manifest(Manifest(name="smoke", stages=stages, settings=SETTINGS))
    assert main(command(run, "report")) == 0
    assert "tables/folds.parquet is damaged or missing; the report does without it" in capsys.readouterr().err


def test_the_page_has_only_pictures_that_a_stage_drew(run: Run, home: Path) -> None:
    root = Path(run.absolute)
    (root / "figures").mkdir(parents=True)
    (root / "figures/linked.png").symlink_to(home / "id_rsa")
    run.write("figures/other.png", b"not what was drawn")
    run.write("figures/drawn.png", b"drawn")
    run.write("figures/vector.svg", b"<svg onload='alert(1)'/>")
    vector = run.read("figures/vector.svg")
    moved = {
        "list.json": b'["kind"]',
        "kind.json": b'{"kind": []}',
        "deep.json": b"[" * 100_000,
        "bytes.json": b"\xff",
    }
    for name, content in moved.items():
        run.write(f"figures/{name}", content)
    kinds = moved | {"linked.png": SECRET, "other.png": b"was", "drawn.png": b"drawn", "vector.svg": vector}
    files = {f"figures/{name}": digest(content) for name, content in kinds.items()}
    captions = {name.split(".")[0]: "one" for name in kinds} | {"never": "one"}
    run.write_manifest(
        Manifest(name="smoke", settings=SETTINGS, stages={"kfold": entry(files=files, captions=captions)})
    )
    assert main(command(run, "report")) == 0
    page = run.read("report.html").decode()
    assert page.count('src="data:image') == page.count('src="data:image/png;base64,ZHJhd24="') == 1
    assert "onload" not in page
    assert 'class="moved"' not in page


def test_a_checkpoint_that_unpacks_to_more_than_it_is_is_none(run: Run) -> None:
    kept = Checkpoint([{"epoch": 1.0}], {"model": {"w": torch.zeros(2**16)}}, {})
    records = Records(run, "toy")
    records.save_checkpoint("a", kept)
    assert records.load_checkpoint("a").rows == kept.rows
    packed = io.BytesIO()
    plain = zipfile.ZipFile(io.BytesIO(run.read_sealed("records/toy/a.checkpoint")))
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as bomb:
        for part in plain.infolist():
            bomb.writestr(part.filename, plain.read(part))
    run.write_sealed("records/toy/a.checkpoint", packed.getvalue())
    assert records.load_checkpoint("a") == Checkpoint()
    for content in (b"", b"PK", pickle.dumps([1]), _saved([1]), _saved({"rows": [], "state": None, "arrays": 3})):
        run.write_sealed("records/toy/a.checkpoint", content)
        assert records.load_checkpoint("a") == Checkpoint()


def _saved(content: Any) -> bytes:
    saved = io.BytesIO()
    torch.save(content, saved)
    return saved.getvalue()


def test_arrays_that_are_none_are_damaged(run: Run) -> None:
    for content in (b"", b"\xff" * 64, (2**60).to_bytes(8, "little") + b"{}", pickle.dumps({})):
        run.write_sealed("records/toy/a.arrays.safetensors", content)
        with pytest.raises(Damaged):
            Records(run, "toy").arrays("a")


def test_files_in_records_that_no_run_names_so_are_left_alone(run: Run, home: Path) -> None:
    run.write("records/toy/a.json", b"{}")
    for name in ("\x1b[31m.json", "b\\c.json", "\N{RIGHT-TO-LEFT OVERRIDE}.json"):
        (Path(run.absolute) / "records/toy" / name).write_bytes(b"")
    (Path(run.absolute) / "records/toy/folder.json").mkdir()
    assert run.list("records/toy", ".json") == ["records/toy/a.json"]


def test_files_and_folders_have_the_modes_that_the_umask_leaves(run: Run) -> None:
    for umask, file_mode, folder_mode in ((0o022, 0o644, 0o755), (0o077, 0o600, 0o700), (0o002, 0o664, 0o775)):
        shutil.rmtree(run.absolute, ignore_errors=True)
        before = os.umask(umask)
        try:
            with locked(run):
                run.write("tables/a.parquet", b"x")
                run.write_json("records/toy/a.json", {})
        finally:
            os.umask(before)
        paths = list(Path(run.absolute).rglob("*"))
        assert len(paths) == 6
        modes = {(path.is_dir(), path.stat().st_mode & 0o777) for path in paths}
        assert modes == {(False, file_mode), (True, folder_mode)}


def test_a_quarantine_that_is_a_file_is_named(run: Run) -> None:
    run.write("quarantine", b"")
    run.write("a", b"")
    with pytest.raises(Unusable, match=r"smoke/a cannot be moved to quarantine/\w+/a: Not a directory; mend that"):
        run.set_aside("a", "is damaged")


@pytest.mark.skipif(os.getuid() != 0, reason="only root becomes others")
def test_two_members_of_a_group_share_a_folder() -> None:
    shared = Path(tempfile.mkdtemp())  # pytest's own folders are closed to others
    os.chown(shared, -1, 4242)
    shared.chmod(0o2770)

    def work(user: int) -> int:
        """As one of the group, in a process of its own."""
        child = os.fork()
        if child:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        try:
            os.setgroups([4242])
            os.setgid(user)
            os.setuid(user)
            os.umask(0o002)
            run = Run(shared / "smoke")
            with locked(run):
                run.write("tables/a.parquet", str(user).encode())
                run.write(f"records/toy/{user}.json", b"")
                run.set_aside("tables/a.parquet", "is damaged")
                run.write("tables/a.parquet", str(user).encode())
            os._exit(0)
        finally:
            os._exit(1)

    try:
        assert [work(user) for user in (5001, 5002, 5001)] == [0, 0, 0]
        assert Run(shared / "smoke").list("records/toy", "") == ["records/toy/5001.json", "records/toy/5002.json"]
        assert {path.stat().st_gid for path in shared.rglob("*")} == {4242}
    finally:
        shutil.rmtree(shared)


def test_a_file_that_cannot_be_written_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    run.write("x", b"")
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(UserError, match="smoke/lock cannot be written: Permission denied; mend that"), locked(run):
        pass


def test_an_ordinary_table_is_read_as_pandas_reads_it(run: Run) -> None:
    content = parquet(pa.table({"a": ["x", None], "b": [1, 2]}), PANDAS_ATTRS='{"run": "smoke"}')
    run.write("tables/folds.parquet", content)
    frame = run.table("folds")
    pd.testing.assert_frame_equal(frame, pd.read_parquet(run.path("tables/folds.parquet")))
    assert frame.attrs == {"run": "smoke"}
