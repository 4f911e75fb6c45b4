"""A cluster that `ray start` began is joined whatever the environment has: its token, proxies, GPUs that are none."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
import torch
from ray.cluster_utils import Cluster as Nodes

from orchestrator.engine.doctor import leave_out
from tests.command import REPOSITORY, orchestrate
from trainables.fashion_mnist import user_cache_dir

DOCTOR = ("doctor", "search", "--preset", "smoke")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home with a token, and temporary files of its own; a proxy that is none."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(user_cache_dir().parent))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_ADDRESS", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("0" * 64)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    temporary = tempfile.mkdtemp(prefix="t-", dir="/tmp")
    monkeypatch.setenv("RAY_TMPDIR", temporary)
    yield tmp_path
    shutil.rmtree(temporary, ignore_errors=True)


@pytest.fixture
def address(home: Path) -> Iterator[str]:
    """Where a Ray of one core is, that wants the home's token and that RAY_TMPDIR leads to."""
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--num-cpus=1", "--port=0"]
    command += ["--include-dashboard=false", "--disable-usage-stats"]
    with (home / "log").open("w") as log:
        head = subprocess.Popen(command, stdout=log, stderr=log, cwd=REPOSITORY, start_new_session=True)
    file = Path(os.environ["RAY_TMPDIR"], "ray", "ray_current_cluster")
    try:
        deadline = time.monotonic() + 120
        while "--block" not in (home / "log").read_text() or not file.exists():
            assert head.poll() is None, (home / "log").read_text()
            assert time.monotonic() < deadline, (home / "log").read_text()
            time.sleep(0.2)
        yield file.read_text()
    finally:
        head.send_signal(signal.SIGTERM)
        head.wait(timeout=60)


def test_cluster_with_a_token_is_joined_and_one_with_another_says_so(address: str, home: Path) -> None:
    done = orchestrate(*DOCTOR, "--runs-dir", home / "runs")
    assert done.status == 0, done.err
    assert "Ray: 1 trainings at once" in done.err, "the machine has more"
    (home / ".ray" / "auth_token").write_text("1" * 64)
    done = orchestrate(*DOCTOR, "--runs-dir", home / "runs", "--address", address)
    assert done.status == 2, done.err
    assert f"error: --address {address}: it wants a token (InvalidAuthToken)" in done.err.splitlines()[-1]


@pytest.mark.skipif(torch.cuda.is_available(), reason="here torch can use it")
def test_doctor_and_run_name_the_node_whose_gpu_torch_cannot_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 1, "include_dashboard": False})
    try:
        for command in (DOCTOR, DOCTOR[1:]):
            done = orchestrate(*command, "--address", nodes.address, "--runs-dir", tmp_path)
            assert done.status == 2, done.err
            assert "torch cannot use its GPU (" in done.err.splitlines()[-1]
            assert not list(tmp_path.rglob("records/*/*.json"))
    finally:
        nodes.shutdown()


@pytest.mark.skipif(torch.cuda.is_available(), reason="here torch can use it")
def test_node_that_is_left_out_gets_no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 1, "include_dashboard": False})
    try:
        other = nodes.add_node(num_cpus=1, num_gpus=1)
        ray.init(address=nodes.address, log_to_driver=False)
        leave_out(other.node_id)
        where = ray.remote(lambda: ray.get_runtime_context().get_node_id()).options(num_cpus=0.25, num_gpus=0.25)
        time.sleep(1)
        assert set(ray.get([where.remote() for _ in range(6)])) == {nodes.head_node.node_id}
    finally:
        ray.shutdown()
        nodes.shutdown()
