"""A run on several nodes is the run on one; nodes come while it goes on."""

import io
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import cloudpickle
from ray.cluster_utils import Cluster as Nodes
from ray.util import placement_group_table
from rich.console import Console

from orchestrator.engine.cluster import connect
from orchestrator.engine.compare import differences
from orchestrator.engine.nodes import FAILURES_IN_A_ROW
from orchestrator.engine.progress import Progress
from orchestrator.engine.ray_tune import run_trials
from orchestrator.engine.records import Trial
from orchestrator.engine.results import Run
from orchestrator.engine.settings import Resources, Section
from orchestrator.engine.stage import Worker
from tests.command import NO_IMAGES, REPOSITORY, Smoke
from tests.engine import toy
from tests.engine.toy import Toy
from trainables.epoch import Epoch

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


class Told(Section):
    """What a trial is told."""

    ill: str
    folder: Path


class Picky(Toy):
    """Cannot be done on one of the nodes, and elsewhere only once that has shown twice."""

    config = Told

    def train(self, trial: Trial[Told], data: Any, worker: Worker) -> Iterator[Epoch]:
        node = ray.get_runtime_context().get_node_id()
        (trial.config.folder / f"{node}-{time.time_ns()}").touch()
        if node == trial.config.ill:
            raise ModuleNotFoundError("no torch here")
        until = time.monotonic() + 150
        while len(list(trial.config.folder.glob(f"{trial.config.ill}-*"))) < 2 and time.monotonic() < until:
            time.sleep(0.1)
        yield Epoch(1, {"loss": 1.0}, lambda: {})


def test_node_that_fails_whatever_it_is_given_is_left_out_and_every_training_is_done_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    for module in (sys.modules[__name__], toy):
        cloudpickle.register_pickle_by_value(module)
    nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 1})
    ill = nodes.add_node(num_cpus=1).node_id
    begun = tmp_path / "begun"
    begun.mkdir()
    stream = io.StringIO()
    trials = [Trial(f"trial-{number:02d}", Told(ill=ill, folder=begun), 1, 1) for number in range(8)]
    try:
        with connect(nodes.address, Resources(retries=1), log_file=tmp_path / "driver.log") as cluster:
            assert cluster.slots == 2
            progress = Progress(Console(file=stream, width=300))
            stage_run, records = toy.begun(tmp_path / "run", Picky(trials), Resources(retries=1), progress)
            run_trials(toy.OneStage(stage_run), cluster, NO_IMAGES, Run(tmp_path / "run"))
            assert (cluster.slots_now(), cluster.num_devices) == (1, 1)
    finally:
        nodes.shutdown()
    assert {record.state for record in records.values()} == {"complete"}
    assert len(records) == 8
    assert len(list(begun.glob(f"{ill}-*"))) == FAILURES_IN_A_ROW
    lines = [line for line in stream.getvalue().splitlines() if "is taken up again" in line]
    assert len(lines) == FAILURES_IN_A_ROW
    assert lines[-1].endswith("(cpu): ModuleNotFoundError: no torch here; no more trainings there")


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
