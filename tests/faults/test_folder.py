"""A run folder on a disk that fills up, that is in use, or that a stranger has prepared."""

import contextlib
import json
import logging
import os
import pickle
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE

import psutil
import pytest
from ray._private.ray_constants import DEFAULT_DASHBOARD_AGENT_LISTEN_PORT

from orchestrator.engine.checkpoint import Checkpoint
from orchestrator.engine.cluster import output_to
from orchestrator.engine.compare import differences
from orchestrator.engine.folder import Unusable
from orchestrator.engine.lock import locked
from orchestrator.engine.manifest import Manifest
from orchestrator.engine.records import Records
from orchestrator.engine.results import Run
from orchestrator.engine.settings import UserError
from orchestrator.run import main
from tests.command import REPOSITORY, Smoke, orchestrate


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 48 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_disk_below_the_stated_margin_is_refused(small_disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["all", "--preset", "smoke", "--runs-dir", str(small_disk)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "smoke has 0.05 GB left and needs 1; mend that, and give the same command again" in line
    assert [path.name for path in (small_disk / "smoke").iterdir()] == ["lock"]


@pytest.mark.long
def test_disk_that_fills_up_stops_the_run_which_goes_on_when_there_is_space(smoke: Smoke, small_disk: Path) -> None:
    arguments = ("--preset", "smoke", "--address", "local", "--runs-dir", small_disk)
    margin = ("--resources.free-gigabytes", "0.01")

    def fill() -> None:
        while not list(small_disk.glob("smoke/records/search/trial-001-*.json")):
            time.sleep(0.05)
        with open(small_disk / "ballast", "wb") as ballast:
            try:
                while True:
                    ballast.write(bytes(2**14))
                    ballast.flush()
            except OSError:
                return

    filling = threading.Thread(target=fill, daemon=True)
    filling.start()
    stopped = orchestrate("all", *arguments, *margin)
    filling.join(timeout=10)
    assert stopped.status == 2, stopped.err
    assert "Traceback" not in stopped.err
    last = stopped.err.splitlines()[-1]
    assert last.startswith("error: ")
    assert "mend that, and give the same command again" in last
    before = {path: path.read_bytes() for path in small_disk.glob("smoke/records/**/*.json")}
    assert before

    assert orchestrate("all", *arguments, *margin).status == 2, "still full"
    (small_disk / "ballast").unlink()
    again = orchestrate("all", *arguments, *margin)
    assert again.status == 0, again.err
    assert {path: path.read_bytes() for path in before} == before
    assert list(differences(Run(small_disk / "smoke"), smoke.run)) == []


def test_log_on_a_full_disk_hides_nothing() -> None:
    """/dev/full takes no byte; without room for the last lines of the log, the reason is still what is told."""

    def fail() -> None:
        with output_to(Path("/dev/full")):
            print("what Ray prints")
            logging.getLogger("ray").warning("what Ray logs")
            raise Unusable("the reason")

    with pytest.raises(Unusable, match="the reason"):
        fail()


def test_full_disk_below_what_is_printed_ends_no_run_and_is_one_line(tmp_path: Path) -> None:
    saying = "from orchestrator.engine.progress import Progress; Progress().say('how far'); print('to the end')"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", saying], cwd=REPOSITORY, stderr=full, stdout=PIPE, text=True)
        assert (done.returncode, done.stdout) == (0, "to the end\n")
        planned = [sys.executable, "-m", "orchestrator.run", "status", "--runs-dir", str(tmp_path)]
        done = subprocess.run(planned, cwd=REPOSITORY, stdout=full, stderr=PIPE, text=True)
    told = "error: what is printed cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, told)


def test_log_has_what_is_printed_and_logged(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for word in ("first", "second"):
        with output_to(tmp_path / "driver.log"):
            print(word, "printed")
            logging.getLogger("ray").warning("%s logged", word)
            os.write(2, f"{word} from C\n".encode())
    log = (tmp_path / "driver.log").read_text()
    assert all(f"{word} {how}" in log for word in ("first", "second") for how in ("printed", "logged", "from C"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("on_s3", [False, True])
def test_what_a_command_still_computes_when_it_is_over_is_not_written(
    tmp_path: Path, bucket: str, on_s3: bool
) -> None:
    run = Run(bucket if on_s3 else tmp_path / "run")
    with contextlib.suppress(KeyboardInterrupt), locked(run):
        run.write("manifest.json", b"{}")
        raise KeyboardInterrupt
    with pytest.raises(UserError, match="written no more by a command that is over"):
        run.write("manifest.json", b"[]")
    assert run.read("manifest.json") == b"{}"
    with locked(run):
        run.write("manifest.json", b"[1]")
    assert run.read("manifest.json") == b"[1]"


def test_second_run_on_a_folder_is_refused_and_a_killed_run_s_lock_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time\n"
            "from orchestrator.engine.lock import locked; from orchestrator.engine.results import Run\n"
            "with locked(Run(sys.argv[1])): print('locked', flush=True); time.sleep(600)",
            tmp_path / "smoke",
        ],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"locked\n"
    arguments = ["report", "--preset", "smoke", "--runs-dir", str(tmp_path)]
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{tmp_path}/smoke is in use by process {holder.pid} on " in line
    Run(tmp_path / "smoke").write_manifest(Manifest(name="smoke"))
    assert main(["status", *arguments[1:]]) == 0, "looking is allowed"
    assert f"in use by process {holder.pid} on " in capsys.readouterr().out
    Run(tmp_path / "other").write_manifest(Manifest(name="other"))
    assert main(["clean", *arguments[1:], "--name", "other"]) == 0
    (tmp_path / "smoke" / "tables").mkdir()
    (tmp_path / "smoke" / "tables" / ".writing-abc").touch()
    holder.kill()
    holder.wait()
    assert main(arguments) == 0
    assert not list((tmp_path / "smoke").rglob(".writing-*")), "what it was writing is cleared away"


class Bomb:
    """Leaves a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_nothing_in_a_run_folder_is_run(smoke: Smoke, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every file that is read back is replaced by a pickle, sealed as ours are where ours are sealed."""
    bomb = pickle.dumps(Bomb(tmp_path / "exploded"))
    shutil.copytree(smoke.runs_dir / "smoke", tmp_path / "smoke", ignore=shutil.ignore_patterns("ray"))
    run = Run(tmp_path / "smoke")
    for path in sorted(Path(run.absolute).rglob("*")):
        name = str(path.relative_to(run.absolute))
        if name.startswith("records/") and path.suffix == ".safetensors":
            run.write_sealed(name, bomb)
        elif path.is_file() and not name.startswith("records/"):
            path.write_bytes(bomb)
    run.write_sealed("records/toy/a.checkpoint", bomb)
    assert Records(run, "toy").load_checkpoint("a") == Checkpoint()
    arguments = ["--preset", "smoke", "--runs-dir", str(tmp_path), "--address", "local"]
    assert main(["status", *arguments]) == main(["plan", *arguments]) == 0
    assert main(["compare", str(tmp_path / "smoke"), str(smoke.runs_dir / "smoke")]) == 2
    assert main(["denoise", *arguments]) == 1, "refit's weights are none"
    out, err = capsys.readouterr()
    assert "manifest.json is damaged" in err
    assert "refit failed" in out
    assert "Traceback" not in out + err
    assert not (tmp_path / "exploded").exists()
    pickle.loads(bomb)
    assert (tmp_path / "exploded").exists(), "it would have"


@contextlib.contextmanager
def as_another_ray() -> Iterator[None]:
    """The port that every Ray wants for its dashboard's agent is taken, as by another user's."""
    with socket.socket() as port:
        with contextlib.suppress(OSError):  # another test's Ray has it
            port.bind(("127.0.0.1", DEFAULT_DASHBOARD_AGENT_LISTEN_PORT))
        port.listen()
        yield


def test_every_port_is_open_to_this_machine_only_and_no_token_is_kept(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "orchestrator.run", "search", "--preset", "smoke", "--address", "local"]
    command += ["--runs-dir", str(tmp_path)]
    with as_another_ray(), subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True) as driver:
        assert driver.stderr is not None
        lines = iter(driver.stderr)
        said = r"(http://[\d.]+:\d+) \(its token: cat (\S+)\)"
        url, file = next(match.groups() for line in lines if (match := re.search(said, line)))
        token = Path(file).read_bytes()
        assert stat.S_IMODE(Path(file).stat().st_mode) == 0o600
        assert stat.S_IMODE(Path(file).parent.stat().st_mode) == 0o700
        assert any("complete" in line for line in lines)
        own = [psutil.Process(driver.pid), *psutil.Process(driver.pid).children(recursive=True)]
        assert not any("log_monitor" in " ".join(process.cmdline()) for process in own)
        listening = [
            connection.laddr
            for process in own
            for connection in process.net_connections(kind="tcp")
            if connection.status == psutil.CONN_LISTEN
        ]
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{url}/api/v0/nodes", timeout=10)

        def known(path: str) -> bytes:
            request = urllib.request.Request(f"{url}{path}", headers={"Authorization": f"Bearer {token.decode()}"})
            with urllib.request.urlopen(request, timeout=10) as answer:
                return bytes(answer.read())

        actors = json.loads(known("/api/v0/actors"))["data"]["result"]["result"]
        actor = next(actor["actor_id"] for actor in actors if actor["state"] == "ALIVE")
        assert b": begins" in known(f"/api/v0/logs/file?actor_id={actor}&suffix=out&lines=20")
        driver.send_signal(signal.SIGINT)
        assert driver.wait(timeout=30) == 130
    assert not Path(file).parent.exists(), "and with it whatever Ray wrote"
    assert list((tmp_path / "smoke" / "ray" / "logs").glob("raylet*")), "but for its logs"
    assert len(listening) > 5
    assert {address.ip for address in listening} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    kept = [path for path in (tmp_path / "smoke").rglob("*") if path.is_file()]
    assert kept
    assert not [path for path in kept if token in path.read_bytes()]
