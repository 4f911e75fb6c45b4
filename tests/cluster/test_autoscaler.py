"""Ray's autoscaler starts workers for the trainings that wait, all at once, and gives them back."""

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.fake_multi_node.node_provider import (
    FAKE_HEAD_NODE_ID,
    FAKE_HEAD_NODE_TYPE,
    FakeMultiNodeProvider,
)
from ray.autoscaler._private.util import prepare_config
from ray.autoscaler.node_launch_exception import NodeLaunchException
from ray.autoscaler.node_provider import NodeProvider
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig, IConfigReader
from ray.autoscaler.v2.instance_manager.instance_manager import InstanceManager
from ray.autoscaler.v2.instance_manager.instance_storage import InstanceStorage
from ray.autoscaler.v2.instance_manager.node_provider import NodeProviderAdapter
from ray.autoscaler.v2.instance_manager.reconciler import Reconciler
from ray.autoscaler.v2.instance_manager.storage import InMemoryStorage
from ray.autoscaler.v2.instance_manager.subscribers.cloud_instance_updater import CloudInstanceUpdater
from ray.autoscaler.v2.instance_manager.subscribers.cloud_resource_monitor import CloudResourceMonitor
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler
from ray.core.generated.autoscaler_pb2 import (
    ClusterResourceState,
    NodeState,
    NodeStatus,
    ResourceRequest,
    ResourceRequestByCount,
)

from orchestrator.engine.cluster import AUTOSCALER_FILE, grows_to
from orchestrator.engine.results import Run
from tests.cluster.hosts import SHARED, Host, network, skip_where_not_permitted
from tests.command import REPOSITORY

FOLDS = "kfold --preset smoke --kfold.model paper_table1 --kfold.num-folds 6"


def aws() -> dict[str, Any]:
    config: dict[str, Any] = prepare_config(yaml.safe_load((REPOSITORY / "cluster.yaml").read_text()))
    return config


def test_demand_is_what_the_configuration_allows_and_no_more() -> None:
    config = aws()
    assert grows_to(config) == {"CPU": 16.0, "GPU": 4.0}  # four workers, although there are two types of four
    config["available_node_types"]["gpu_spot"]["max_workers"] = 1
    config["available_node_types"]["gpu_on_demand"]["max_workers"] = 2
    assert grows_to(config) == {"CPU": 12.0, "GPU": 3.0}


def test_workers_without_gpus_are_asked_for_where_the_configuration_has_no_others() -> None:
    config = aws()
    for name, kind in config["available_node_types"].items():
        kind["max_workers"] = 4 if name == "cpu_on_demand" else 0
    assert grows_to(config) == {"CPU": 64.0, "GPU": 0.0}


class Ec2(NodeProvider):
    """Starts at once what it is asked for, but for the kinds that it refuses: there is no capacity, or no quota."""

    def __init__(self, refused: Collection[str]) -> None:
        super().__init__({"type": "external"}, "fashion-mnist")
        self.refused = refused
        self.nodes = {"i-head": {"ray-node-type": "head", "ray-user-node-type": "head"}}

    def create_node_with_resources_and_labels(
        self, node_config: Any, tags: dict[str, str], count: int, resources: Any, labels: Any
    ) -> None:
        if tags["ray-user-node-type"] in self.refused:
            raise NodeLaunchException("InsufficientInstanceCapacity", "there is none", None)
        self.nodes |= {f"i-{len(self.nodes) + number}": dict(tags) for number in range(count)}

    def non_terminated_nodes(self, tag_filters: Any) -> list[str]:
        return list(self.nodes)

    def node_tags(self, node_id: str) -> dict[str, str]:
        return self.nodes[node_id]

    def is_running(self, node_id: str) -> bool:
        return True


class Reader(IConfigReader):  # type: ignore[misc]
    def __init__(self, config: dict[str, Any]) -> None:
        self.config = AutoscalingConfig(config | {"provider": {"type": "external", "module": "none"}}, True)

    def get_cached_autoscaling_config(self) -> AutoscalingConfig:
        return self.config

    def refresh_cached_autoscaling_config(self) -> None:
        pass


class AtOnce:
    """In place of a pool of threads."""

    def submit(self, function: Callable[..., Any], *arguments: Any) -> None:
        function(*arguments)


def workers_started(config: dict[str, Any], refused: Collection[str], *, rounds: int) -> dict[str, int]:
    """Workers by kind that Ray's own autoscaler has after so many rounds, of five seconds each on a cluster, while
    sixteen trainings wait for a quarter of a GPU each."""
    ec2, reader, monitor = Ec2(refused), Reader(config), CloudResourceMonitor()
    adapter = NodeProviderAdapter(v1_provider=ec2, config_reader=reader)
    adapter._main_executor = adapter._node_launcher_executors = AtOnce()
    manager = InstanceManager(InstanceStorage("c", InMemoryStorage()), [CloudInstanceUpdater(adapter), monitor])
    training = ResourceRequest(resources_bundle={"CPU": 1, "GPU": 0.25})
    has = {"driver": 1.0, "node:__internal_head__": 1.0}
    head = NodeState(
        **{"node_id": b"head", "instance_id": "i-head", "ray_node_type_name": "head", "status": NodeStatus.RUNNING},
        **{"total_resources": has, "available_resources": has},
    )
    for version in range(rounds):
        state = ClusterResourceState(cluster_resource_state_version=version, node_states=[head])
        state.pending_resource_requests.append(ResourceRequestByCount(request=training, count=16))
        Reconciler.reconcile(
            *(manager, ResourceDemandScheduler(None), adapter, monitor, state, adapter.get_non_terminated()),
            reader.config,
            cloud_provider_errors=adapter.poll_errors(),
        )
    kinds = Counter(tags["ray-user-node-type"] for tags in ec2.nodes.values())
    return {kind: number for kind, number in kinds.items() if kind != "head"}


@pytest.mark.parametrize(
    ("refused", "started"),
    [
        ((), {"gpu_on_demand": 2, "gpu_spot": 2}),
        (("gpu_spot",), {"gpu_on_demand": 4}),
        (("gpu_on_demand",), {"gpu_spot": 3}),
        (("gpu_spot", "gpu_on_demand"), {}),
    ],
)
def test_what_is_refused_as_spot_comes_on_demand_and_nearly_so_the_other_way_round(
    refused: Collection[str], started: dict[str, int]
) -> None:
    assert workers_started(aws(), refused, rounds=8) == started


def test_with_a_priority_ray_would_ask_for_refused_spot_for_ever() -> None:
    config = aws()
    config["available_node_types"]["gpu_spot"]["priority"] = 1
    assert workers_started(config, {"gpu_spot"}, rounds=20) == {}


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
