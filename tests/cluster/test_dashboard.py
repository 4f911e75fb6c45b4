"""What is seen of a run from outside: its gauges in a real Prometheus, its trainings in the dashboard's REST API."""

import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import ray
from ray.cluster_utils import Cluster as Nodes

from orchestrator.engine.metrics import GAUGES, IMAGES
from tests.command import REPOSITORY

BOARD = json.loads((REPOSITORY / "docs" / "grafana.json").read_text())
EXPRESSIONS = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]


def get(address: str) -> Any:
    with urlopen(address, timeout=20) as answer:
        return json.load(answer)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Nodes, int]]:
    """A Ray with two cores and a dashboard, and the port of its metrics."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # as this process found it when it imported ray
    metrics = free_port()
    nodes = Nodes(
        initialize_head=True,
        head_node_args={
            "num_cpus": 2,
            "include_dashboard": True,
            "dashboard_port": free_port(),
            "metrics_export_port": metrics,
            "_system_config": {"metrics_report_interval_ms": 1000},
        },
    )
    yield nodes, metrics
    ray.shutdown()
    nodes.shutdown()


@pytest.fixture
def prometheus(head: tuple[Nodes, int], tmp_path: Path) -> Iterator[str]:
    """The address of a Prometheus that asks Ray every second."""
    if not shutil.which("prometheus"):
        pytest.skip("prometheus is not installed (Debian: prometheus)")
    own = f"127.0.0.1:{free_port()}"
    config = tmp_path / "prometheus.json"
    job = {"job_name": "ray", "scrape_interval": "1s", "scrape_timeout": "1s"}
    targets = [{"targets": [f"{head[0].head_node.node_ip_address}:{head[1]}"]}]
    config.write_text(json.dumps({"scrape_configs": [job | {"static_configs": targets}]}))
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={own}",
    ]
    with (tmp_path / "prometheus.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    yield f"http://{own}/api/v1"
    server.terminate()
    server.wait(timeout=30)


def test_run_is_seen_in_prometheus_and_in_the_dashboard(
    head: tuple[Nodes, int], prometheus: str, tmp_path: Path
) -> None:
    nodes, _ = head
    command = [sys.executable, "-m", "orchestrator.run", "gan", "--preset", "smoke", "--gan.paper.epochs", "4"]
    with (tmp_path / "log").open("w") as log:
        run = subprocess.Popen(
            [*command, "--address", nodes.address, "--runs-dir", str(tmp_path)], cwd=REPOSITORY, stderr=log
        )
    dashboard = f"http://{nodes.head_node.webui_url}"
    names: set[str] = set()
    try:
        deadline = time.monotonic() + 400
        while run.poll() is None and time.monotonic() < deadline:
            actors = get(f"{dashboard}/api/v0/actors?detail=true")["data"]["result"]["result"]
            names |= {str(actor["class_name"]) for actor in actors if actor["state"] == "ALIVE"}
            time.sleep(1)
        assert run.poll() == 0, (tmp_path / "log").read_text()
    finally:
        run.kill()
        run.wait()

    def asked(expression: str) -> list[dict[str, Any]]:
        """What Prometheus answers for each series: the most that there was in the last ten minutes."""
        question = urlencode({"query": f"max_over_time(({expression})[10m:1s])"})
        found: list[dict[str, Any]] = get(f"{prometheus}/query?{question}")["data"]["result"]
        return found

    def most(name: str, *labels: str) -> dict[tuple[str, ...], float]:
        return {
            tuple(series["metric"][label] for label in labels): float(series["value"][1])
            for series in asked(f"max by ({', '.join(labels)}) (ray_{name})")
        }

    trainings = most("orchestrator_trainings", "stage", "state")
    assert max(number for (_, state), number in trainings.items() if state == "running") == 2  # there are two cores
    assert trainings["gan", "complete"] + trainings["gan", "running"] >= 2
    assert all(number == 0 for (_, state), number in trainings.items() if state == "failed")
    progress = most("orchestrator_progress", "run", "stage")
    assert progress["smoke", "search"] == 1
    assert 0.4 < progress["smoke", "gan"] <= 1
    images = most("orchestrator_images_total", "stage")
    assert images["search",] == 6 * 2 * 2_500  # trials, epochs, images
    best = most("orchestrator_best", "stage", "metric")
    assert 0.01 < best["search", "val_mse"] < 0.2
    assert best.keys() <= most("orchestrator_latest", "stage", "metric").keys()
    for expression in EXPRESSIONS:
        if "gpus" not in expression:  # there is none here
            assert asked(expression.replace("$stage", ".*").replace("$run", "smoke")), expression

    assert get(f"{dashboard}/api/version")["ray_version"] == ray.__version__
    assert {"ImplicitFunc", "RayTrainWorker"} <= names


def test_board_shows_every_gauge_and_no_other() -> None:
    named = {name for expression in EXPRESSIONS for name in re.findall(r"ray_(orchestrator_\w+)", expression)}
    assert named == {*GAUGES, f"{IMAGES}_total"}
