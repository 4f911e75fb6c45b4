"""Ray's autoscaler starts workers for the trainings that wait, all at once, and gives them back."""

import subprocess
import time
from pathlib import Path
from typing import Any

import yaml
from ray.autoscaler._private.fake_multi_node.node_provider import (
    FAKE_HEAD_NODE_ID,
    FAKE_HEAD_NODE_TYPE,
    FakeMultiNodeProvider,
)
from ray.autoscaler._private.util import prepare_config

from orchestrator.engine.cluster import AUTOSCALER_FILE, grows_to
from orchestrator.engine.results import Run
from tests.cluster.hosts import SHARED, Host, network, skip_where_not_permitted
from tests.command import REPOSITORY

FOLDS = "kfold --preset smoke --kfold.model paper_table1 --kfold.num-folds 6"


def test_demand_is_what_the_configuration_allows_and_no_more() -> None:
    config = prepare_config(yaml.safe_load((REPOSITORY / "cluster.yaml").read_text()))
    assert grows_to(config) == {"CPU": 16.0, "GPU": 4.0}  # four workers, although there are two types of four
    config["available_node_types"]["gpu_spot"]["max_workers"] = 1
    config["available_node_types"]["gpu_on_demand"]["max_workers"] = 2
    assert grows_to(config) == {"CPU": 12.0, "GPU": 3.0}


def fake_cluster(num_workers: int, cpus: int) -> dict[str, Any]:
    """A head without cores, and workers that are processes on the head."""
    return {
        "cluster_name": "fake",
        "max_workers": num_workers,
        "upscaling_speed": 100.0,
        "idle_timeout_minutes": 0.25,
        "provider": {
            "type": "external",  # the type fake_multinode wants a file that Ray's wheel has not got
            "module": f"{FakeMultiNodeProvider.__module__}.{FakeMultiNodeProvider.__name__}",
            "launch_multiple": True,
            "head_node_id": FAKE_HEAD_NODE_ID,
            "disable_node_updaters": True,
        },
        "auth": {},
        "docker": {},
        "head_node_type": FAKE_HEAD_NODE_TYPE,
        "available_node_types": {
            FAKE_HEAD_NODE_TYPE: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "worker": {"resources": {"CPU": cpus}, "node_config": {}, "min_workers": 0, "max_workers": num_workers},
        },
        "file_mounts": {},
        "cluster_synced_files": [],
        "setup_commands": [],
        "initialization_commands": [],
        "head_setup_commands": [],
        "worker_setup_commands": [],
        "head_start_ray_commands": [],
        "worker_start_ray_commands": [],
    }


def num_nodes(host: Host) -> int:
    return sum("raylet/raylet " in line for line in host.processes())


def test_cluster_grows_from_the_head_to_what_six_folds_ask_for_and_shrinks(tmp_path: Path) -> None:
    skip_where_not_permitted()
    with network(tmp_path, "head") as (head,):
        (head.home / AUTOSCALER_FILE.name).write_text(yaml.safe_dump(fake_cluster(num_workers=3, cpus=2)))
        (head.home / ".bashrc").write_text(f"export PATH={REPOSITORY}/.venv/bin:$PATH\n")
        head.run(
            "RAY_FAKE_CLUSTER=1 RAY_enable_autoscaler_v2=1 AUTOSCALER_UPDATE_INTERVAL_S=1 "
            f"RAY_CLOUD_INSTANCE_ID={FAKE_HEAD_NODE_ID} RAY_OVERRIDE_NODE_ID_FOR_TESTING={FAKE_HEAD_NODE_ID} "
            f"ray start --head --num-cpus=0 --autoscaling-config={AUTOSCALER_FILE} --disable-usage-stats",
            timeout=120,
        )
        assert num_nodes(head) == 1
        line = f"cd {REPOSITORY}; source ~/.bashrc; exec python -m orchestrator.run {FOLDS} --runs-dir {SHARED}"
        with (tmp_path / "log").open("w") as log:
            run = subprocess.Popen(head.command(line), stdout=log, stderr=log)
            most, deadline = 1, time.monotonic() + 200
            while run.poll() is None and time.monotonic() < deadline:
                most = max(most, num_nodes(head))
                time.sleep(1)
        assert run.poll() == 0, (tmp_path / "log").read_text()
        assert most == 1 + 3
        assert "no machine is there yet that trains" in (tmp_path / "log").read_text()
        folds = Run(tmp_path / "shared" / "smoke").table("folds")
        assert set(folds["fold"]) == set(range(6))
        while num_nodes(head) > 1:
            assert time.monotonic() < deadline + 60, "workers with nothing to do are still there"
            time.sleep(1)
