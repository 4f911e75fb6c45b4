"""A run on several nodes is the run on one; nodes come while it goes on."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster as Nodes
from ray.util import placement_group_table

from orchestrator.engine.compare import differences
from orchestrator.engine.results import Run
from tests.command import REPOSITORY, Smoke

FOLDS = ("kfold", "--preset", "smoke", "--kfold.model", "paper_table1", "--kfold.epochs", "30")


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    """A Ray with one node of one core."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # as this process found it when it imported ray
    nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 1})
    ray.init(address=nodes.address, log_to_driver=False)
    yield nodes
    ray.shutdown()
    nodes.shutdown()


def trial_nodes() -> set[str]:
    """Nodes on which trials run now."""
    groups = [group for group in placement_group_table().values() if group["state"] == "CREATED"]
    return {node for group in groups for node in group["bundles_to_node_id"].values()}


def test_three_nodes_without_a_common_disk_make_the_tables_of_one(smoke: Smoke, bucket: str, nodes: Nodes) -> None:
    others = [nodes.add_node(num_cpus=1), nodes.add_node(num_cpus=1)]
    arguments = ("all", "--preset", "smoke", "--address", nodes.address, "--runs-dir", bucket)
    used: set[str] = set()
    with subprocess.Popen([sys.executable, "-m", "orchestrator.run", *map(str, arguments)], cwd=REPOSITORY) as run:
        try:
            deadline = time.monotonic() + 500
            while run.poll() is None and time.monotonic() < deadline:
                used |= trial_nodes()
                time.sleep(0.5)
        finally:
            run.kill()
    assert run.returncode == 0
    assert used == {node.node_id for node in (nodes.head_node, *others)}
    made = Run(f"{bucket}/smoke")
    assert list(differences(made, smoke.run)) == []


def test_node_that_joins_is_used(nodes: Nodes, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "orchestrator.run",
        *FOLDS,
        "--address",
        nodes.address,
        "--runs-dir",
        str(tmp_path),
    ]
    run = subprocess.Popen(command, cwd=REPOSITORY)
    used: set[str] = set()
    joined = None
    try:
        deadline = time.monotonic() + 200
        while run.poll() is None and time.monotonic() < deadline:
            used |= trial_nodes()
            if used and joined is None:
                joined = nodes.add_node(num_cpus=1)
            time.sleep(0.5)
        assert run.poll() == 0
        assert joined is not None
        assert used == {nodes.head_node.node_id, joined.node_id}
    finally:
        run.kill()
        run.wait()
