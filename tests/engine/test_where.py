"""Where a run runs: its part of a machine, a Ray of its own there, and one that is found."""

import contextlib
import fcntl
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from ray._private.node import Node

from orchestrator.engine import allowance, own_ray
from orchestrator.engine.address import check_address, find, has_token
from orchestrator.engine.cluster import _runtime_env
from orchestrator.engine.machine import this_machine
from orchestrator.engine.settings import UserError
from tests.command import REPOSITORY, loaded_after
from tests.servers import grpc_server

CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _groups(root: Path, own: str, **files: str) -> tuple[Path, Path]:
    """A made-up /sys/fs/cgroup and /proc/self/cgroup; a file's name has __ where its path has a slash."""
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (root / "own").write_text(own)
    return root, root / "own"


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/", {}, CPUS),
        ("0::/", {"cpu_dot_max": "max 100000\n"}, CPUS),
        ("0::/", {"cpu_dot_max": "50000 100000\n"}, 1),  # half a core
        ("0::/", {"cpu_dot_max": "99900000 100000\n"}, CPUS),
        ("0::/slurm/job", {"slurm__cpu_dot_max": "150000 100000\n", "slurm__job__cpu_dot_max": "max 100000\n"}, 1),
        ("4:cpu,cpuacct:/", {"cpu__cpu_dot_cfs_quota_us": "-1\n", "cpu__cpu_dot_cfs_period_us": "100000\n"}, CPUS),
        # As docker shows it: the path is the host's, the folder the container's.
        (
            "9:memory:/docker/a\n4:cpu,cpuacct:/docker/a",
            {"cpu__cpu_dot_cfs_quota_us": "90000\n", "cpu__cpu_dot_cfs_period_us": "100000\n"},
            1,
        ),
        ("0::/", {"cpu_dot_max": "nonsense"}, CPUS),
    ],
)
def test_cores_are_those_that_affinity_and_control_groups_leave_and_one_at_least(
    tmp_path: Path, own: str, files: dict[str, str], expected: int
) -> None:
    assert allowance.cores(*_groups(tmp_path, own, **files)) == expected


def test_cores_are_those_of_the_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 7}, raising=False)
    assert allowance.cores(Path("/nowhere"), Path("/nowhere")) == 3
    assert this_machine().cpus <= 3, "which is what plan prints"


def test_memory_is_what_the_tightest_control_group_leaves(tmp_path: Path) -> None:
    files = {"memory_dot_max": "max\n", "a__memory_dot_max": "4000000000\n", "a__b__memory_dot_max": "8000000000\n"}
    assert allowance.memory_bytes(*_groups(tmp_path, "0::/a/b", **files)) == 4e9
    old = {"memory__job__memory_dot_limit_in_bytes": "2000000000\n"}
    assert allowance.memory_bytes(*_groups(tmp_path / "v1", "9:memory:/job", **old)) == 2e9
    assert allowance.memory_bytes(Path("/nowhere"), Path("/nowhere")) == float("inf")


@pytest.mark.parametrize(("visible", "expected"), [(None, 2), ("", 0), ("-1", 0), ("1", 1), ("0,1,2", 2)])
def test_gpus_are_those_that_are_visible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str | None, expected: int
) -> None:
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(allowance, "GPUS", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert allowance.gpus() == expected


def test_python_in_a_folder_with_a_space_is_quoted_for_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/home/me/my projects/.venv/bin/python")
    assert _runtime_env()["py_executable"] == "'/home/me/my projects/.venv/bin/python'"
    monkeypatch.setattr("sys.executable", "/usr/bin/python3")
    assert "py_executable" not in _runtime_env()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a short name, for Ray's."""
    with own_ray._private_folder() as folder:
        monkeypatch.setenv("RAY_TMPDIR", str(folder))
        yield folder


def test_folder_of_our_own_ray_is_private_and_gone_at_the_end(short: Path) -> None:
    with own_ray._private_folder() as folder:
        assert folder.parent == short
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "token").stat().st_mode) == 0o600
        assert len((folder / "token").read_text()) == 64
    with pytest.raises(KeyboardInterrupt), own_ray._private_folder() as folder:
        raise KeyboardInterrupt
    assert list(short.iterdir()) == [short / "token"]


@pytest.mark.parametrize(
    "place", ["{tmp}/a-folder-of-a-job-with-a-long-name/1355700", "{tmp} x", "/nowhere", "/proc"]
)
def test_folder_of_our_own_ray_has_a_short_name_wherever_temporary_files_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    place = place.format(tmp=tmp_path)
    if str(tmp_path) in place:
        Path(place).mkdir(parents=True)
    monkeypatch.setenv("RAY_TMPDIR", place)
    with own_ray._private_folder() as folder:
        assert not folder.is_relative_to(place)
        assert (
            len(
                str(folder / own_ray.RAYS / "session_2026-01-01_00-00-00_000000_4194304" / "sockets" / "plasma_store")
            )
            <= 103
        )


def test_what_a_killed_run_left_is_removed_and_what_a_running_one_uses_is_not(short: Path) -> None:
    left, used = short / "fm-ray-left", short / "fm-ray-used"
    for folder in (left, used):
        folder.mkdir()
        (folder / "token").touch()
        os.utime(folder / "token", (0, 0))
    with (used / "token").open() as token:
        fcntl.flock(token, fcntl.LOCK_EX)
        with own_ray._private_folder():
            assert not left.exists()
            assert used.exists()


def test_what_ray_s_processes_wrote_is_kept_in_place_of_what_the_last_ones_did(tmp_path: Path) -> None:
    logs, kept = tmp_path / own_ray.RAYS / "session_2026-01-01" / "logs", tmp_path / "kept"
    logs.mkdir(parents=True)
    for name, content in {"worker-1.err": "Timeout!", "worker-2.err": ""}.items():
        (logs / name).write_text(content)
        logs.chmod(0o777)  # as Ray makes it
    kept.mkdir()
    (kept / "old").touch()
    own_ray._keep_logs(tmp_path, kept)
    assert [path.name for path in kept.iterdir()] == ["worker-1.err"]
    assert not stat.S_IMODE(kept.stat().st_mode) & stat.S_IWOTH
    own_ray._keep_logs(tmp_path, tmp_path / "file" / "kept")


def test_environment_is_as_it_was_when_our_own_ray_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "another cluster's")
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    with own_ray._environment(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH="/a/token"):
        assert "RAY_AUTH_TOKEN" not in os.environ, "which Ray would read first"
        assert os.environ["RAY_AUTH_TOKEN_PATH"] == "/a/token"
    assert os.environ["RAY_AUTH_TOKEN"] == "another cluster's"
    assert "RAY_AUTH_TOKEN_PATH" not in os.environ


@pytest.mark.parametrize("num_failures", [2, 3])
def test_ray_that_does_not_start_is_started_again_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_failures: int
) -> None:
    given: list[dict[str, Any]] = []

    def init(**arguments: Any) -> str:
        given.append(arguments)
        if len(given) <= num_failures:
            raise Exception("The current node timed out during startup.")  # as Ray does
        return "ray"

    monkeypatch.setattr("ray.init", init)
    monkeypatch.setattr("ray.shutdown", lambda **arguments: None)
    monkeypatch.setattr(allowance, "memory_bytes", lambda: 2e9)
    with contextlib.ExitStack() as stack:
        if num_failures == 3:
            with pytest.raises(UserError, match=r"Ray does not start on this machine: .*timed out during startup"):
                stack.enter_context(own_ray.own_ray(tmp_path / "driver.log", 0, print))
        else:
            folder = stack.enter_context(own_ray.own_ray(tmp_path / "driver.log", 0, print))
            assert given[-1]["_temp_dir"] == str(folder / own_ray.RAYS)
    assert len(given) == 3
    assert given[0]["num_cpus"] == this_machine().cpus
    assert given[0]["object_store_memory"] == 600_000_000, "a share of what its control group leaves"


@pytest.mark.parametrize("starts", [True, False])
def test_the_dashboard_starts_beside_and_is_waited_for_before_ray_is_gone(
    monkeypatch: pytest.MonkeyPatch, starts: bool
) -> None:
    may, said = threading.Event(), list[str]()

    def start(node: Any, **arguments: Any) -> None:
        may.wait(10)
        if not starts:
            raise Exception("Failed to start the dashboard")
        node.webui_url = "127.0.0.1:8265"

    monkeypatch.setattr(Node, "start_api_server", start)
    dashboard = own_ray._Dashboard(said.append)
    with dashboard.beside():
        Node.start_api_server(SimpleNamespace(), include_dashboard=True)  # type: ignore[call-arg, arg-type]
    assert Node.start_api_server is start
    assert not said, "it is not waited for"
    threading.Timer(0.2, may.set).start()
    dashboard.wait()
    assert said == (["127.0.0.1:8265"] if starts else [])
    (thread,) = (it for it in threading.enumerate() if it.name == "dashboard")
    assert thread.is_alive(), "Ray has the kernel end it with its thread"
    dashboard.leave()
    thread.join(10)
    assert not thread.is_alive()


LETTING_GO = """
import gc, threading, time
import ray
from orchestrator.engine import own_ray

ray.init(address="local", num_cpus=1, include_dashboard=False, configure_logging=False)
name = ray.put("an object").binary()
references, over = [ray.ObjectRef(name) for _ in range(30_000)], threading.Event()
gc.set_threshold(10)

def let_go():
    while references and not over.is_set():
        for _ in range(5):
            cycle = [references.pop()]
            cycle.append(cycle)
        time.sleep(0.0005)

thread = threading.Thread(target=let_go)
thread.start()
own_ray.leave()
over.set()
thread.join()
print("some left" if references else "none left", "and collected" if gc.isenabled() else "for good")
"""
"""A thread that computes with what refers to Ray's objects while the main one leaves Ray."""


def test_ray_is_left_while_other_threads_let_go_of_its_objects() -> None:
    done = subprocess.run([sys.executable, "-c", LETTING_GO], cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "some left and collected\n"), done.stderr


def test_ray_looks_for_tokens_again_although_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._raylet import AuthenticationMode, get_authentication_mode

    for mode, expected in (("token", AuthenticationMode.TOKEN), ("disabled", AuthenticationMode.DISABLED)):
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
        own_ray.reread_authentication()
        assert get_authentication_mode() == expected


def test_sigterm_interrupts_also_while_ray_starts() -> None:
    """Ray's own handlers end the process without a word."""
    from ray._private import utils

    before = signal.getsignal(signal.SIGTERM)
    with own_ray.signals_kept():
        utils.set_sigterm_handler(signal.SIG_IGN)
        assert signal.getsignal(signal.SIGTERM) is before
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as Ray's C++ does
    assert signal.getsignal(signal.SIGTERM) is before


def test_ray_is_not_imported_to_look_for_tokens_again() -> None:
    """Where Ctrl-C has cut its import short it cannot be."""
    assert "ray" not in loaded_after("from orchestrator.engine import own_ray\nwith own_ray._environment(): pass")


def test_account_without_a_home_has_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    assert not has_token()


class _Answers(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Answers whatever Ray would be asked, or refuses as a Ray does whose token is another."""

    def __init__(self, refused: grpc.StatusCode | None) -> None:
        self._refused = refused

    def service(self, details: Any) -> Any:
        if not details.method.startswith("/ray."):
            return None

        def answer(asked: bytes, context: grpc.ServicerContext) -> bytes:
            if self._refused:
                context.abort(self._refused, "InvalidAuthToken")
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


@contextlib.contextmanager
def _ray(refused: grpc.StatusCode | None = None) -> Iterator[str]:
    with grpc_server(_Answers(refused)) as address:
        yield address


def test_proxy_does_not_stand_between_a_run_and_its_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("grpc_proxy", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with _ray() as address:
        check_address(address)


def test_ray_that_wants_a_token_answers_and_what_is_no_ray_does_not() -> None:
    with _ray(grpc.StatusCode.UNAUTHENTICATED) as address:
        check_address(address)
    with grpc_server() as address, pytest.raises(UserError, match="no Ray answers there"):
        check_address(address)


def test_address_of_the_environment_is_named_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(UserError, match=r"^RAY_ADDRESS=127.0.0.1:9: no Ray answers there"):
        find("auto", print)
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:8265")  # as `ray job submit` wants it
    with pytest.raises(UserError, match=r"^RAY_ADDRESS=http://127.0.0.1:8265 is the address of a dashboard"):
        find("auto", print)
    assert find("local", print)[0] == "local", "whatever the environment says"


def test_cluster_that_was_started_here_and_does_not_answer_is_told_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:9")
    said: list[str] = []
    assert find("auto", said.append)[0] == "local"
    assert "127.0.0.1:9, where `ray start` began one, does not answer" in said[0]
    with _ray() as address:
        (tmp_path / "ray" / "ray_current_cluster").write_text(address)
        assert find("auto", said.append) == (address, f"--address auto ({address})")
    assert len(said) == 1
