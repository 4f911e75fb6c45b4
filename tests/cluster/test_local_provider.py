"""`ray up cluster-local.yaml` over ssh onto three hosts, a job there, `ray down`; all as docs/cluster.md says."""

import contextlib
import json
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from orchestrator.engine.results import Run
from tests.cluster.hosts import HOME, SHARED, Host, network, skip_where_not_permitted
from tests.command import REPOSITORY

DASHBOARD = "http://127.0.0.1:8265"
ASK = """
import sys, urllib.request
from pathlib import Path
headers = {"Authorization": "Bearer " + Path("~/.ray/auth_token").expanduser().read_text().strip()}
request = urllib.request.Request(sys.argv[1], headers=headers if "--token" in sys.argv else {})
try:
    print(urllib.request.urlopen(request, timeout=20).read().decode())
except urllib.error.HTTPError as error:
    print(error.code)
except urllib.error.URLError as error:
    print(error.reason)
"""


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[list[Host]]:
    """A laptop, a head and two workers of one core each; the laptop has the configuration with their addresses."""
    skip_where_not_permitted()
    with network(tmp_path, "laptop", "head", "worker1", "worker2") as hosts:
        laptop, head, *workers = hosts
        config = yaml.safe_load((REPOSITORY / "cluster-local.yaml").read_text())
        config["provider"] |= {"head_ip": head.address, "worker_ips": [worker.address for worker in workers]}
        config["auth"]["ssh_user"] = "root"
        (laptop.home / "cluster-local.yaml").write_text(yaml.safe_dump(config))
        (laptop.home / ".bashrc").write_text(f"export RAY_AUTH_MODE=token PATH={REPOSITORY}/.venv/bin:$PATH\n")
        for host in (head, *workers):  # which reach no package index; what is to be installed is
            (host.home / ".bashrc").write_text("""export UV_OFFLINE=1 RAY_OVERRIDE_RESOURCES='{"CPU": 1}'\n""")
        yield hosts


def ask(laptop: Host, path: str, *, token: bool = True) -> str:
    """What the dashboard answers to a program on the laptop."""
    return laptop.run(f"python -c {shlex.quote(ASK)} {DASHBOARD}{path} {'--token' if token else ''}")


@contextlib.contextmanager
def tunnel(laptop: Host) -> Iterator[None]:
    """`ray dashboard`, for as long as the context lasts."""
    line = f"cd; source ~/.bashrc; exec ray dashboard {HOME}/cluster-local.yaml"
    dashboard = subprocess.Popen(laptop.command(line), stdin=subprocess.DEVNULL)
    try:
        wait(lambda: "success" in ask(laptop, "/api/gcs_healthz", token=False), seconds=60)
        yield
    finally:
        dashboard.terminate()
        dashboard.wait(timeout=20)


def wait(condition: Callable[[], bool], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(1)


def test_three_hosts_come_up_run_a_job_and_go_down(hosts: list[Host]) -> None:
    laptop, head, *workers = hosts
    laptop.run("ray get-auth-token --generate")
    laptop.run(f"ray up --yes {HOME}/cluster-local.yaml", timeout=240)
    with tunnel(laptop):
        assert ask(laptop, "/api/v0/nodes", token=False) == "401\n"

        def num_nodes() -> int:
            nodes = json.loads(ask(laptop, "/api/v0/nodes"))["data"]["result"]["result"]
            return sum(node["state"] == "ALIVE" for node in nodes)

        wait(lambda: num_nodes() == 3, seconds=180)
        command = f"python -m orchestrator.run all --preset smoke --runs-dir {SHARED}"
        commit = shlex.quote(json.dumps({"env_vars": {"GIT_COMMIT": "c0ffee"}}))
        options = f"--address {DASHBOARD} --working-dir . --runtime-env-json {commit}"
        laptop.run(f"ray job submit {options} -- {command}", timeout=900)
        (job,) = json.loads(ask(laptop, "/api/jobs/"))
        assert job["status"] == "SUCCEEDED"
        assert job["entrypoint"] == command
    run = Run(laptop.folder.parent / "shared" / "smoke")
    manifest = run.manifest()
    assert manifest is not None
    (entry,) = {entry.made.commit for entry in manifest.stages.values()}
    assert entry == "c0ffee"
    assert {stage.state for stage in manifest.stages.values()} == {"done"}
    assert run.table("folds")["test_mse"].notna().all()
    laptop.run(f"ray down --yes {HOME}/cluster-local.yaml", timeout=120)
    deadline = time.monotonic() + 240
    while left := [f"{host.name}: {line}" for host in (head, *workers) for line in host.processes() if "ray" in line]:
        assert time.monotonic() < deadline, left
        time.sleep(2)
