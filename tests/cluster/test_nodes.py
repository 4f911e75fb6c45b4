"""Nodes come while a run goes on."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster as Nodes
from ray.util.state import list_actors

from tests.orchestrator.command import REPOSITORY

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
    """Nodes on which trials run or ran."""
    return {actor.node_id for actor in list_actors() if actor.node_id and "Trainable" in actor.class_name}


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
    try:
        while not trial_nodes():
            assert run.poll() is None
            time.sleep(0.5)
        assert len(trial_nodes()) == 1
        joined = nodes.add_node(num_cpus=1)
        assert run.wait(timeout=200) == 0
        assert joined.node_id in trial_nodes()
        assert len(trial_nodes()) == 2
    finally:
        run.kill()
        run.wait()
