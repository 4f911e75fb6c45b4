"""cluster-kuberay.yaml against the fields of KubeRay's RayJob and of Kubernetes' pods that it uses.

The schema here is our own and covers only these: the operator's is a megabyte. Names and types are those of KubeRay's
docs/reference/api.md and its sample with authOptions (2.53), and of the Kubernetes API v1.28.
"""

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import requests
import yaml
from ray.autoscaler._private.kuberay.node_provider import KubernetesHttpApiClient

from orchestrator.engine import kuberay
from orchestrator.engine.cluster import grows_to
from orchestrator.engine.kuberay import kuberay_config
from tests.command import REPOSITORY

TEXT, WHOLE, TRUTH = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}


def thing(*required: str, **properties: Any) -> dict[str, Any]:
    """An object with these properties and no others."""
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def several(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of, "minItems": 1}


def texts(pattern: str = "") -> dict[str, Any]:
    """An object whose values are strings."""
    return {"type": "object", "additionalProperties": {"type": "string", "pattern": pattern}}


QUANTITY = r"^[0-9]+(\.[0-9]+)?([KMGT]i|[kMGTm])?$"
RESOURCES = thing(requests=texts(QUANTITY), limits=texts(QUANTITY))
CONTAINER = thing("name", "image", name=TEXT, image=TEXT, resources=RESOURCES)
TOLERATION = thing(key=TEXT, operator={"enum": ["Exists", "Equal"]}, value=TEXT, effect=TEXT)
POD = thing(
    "containers",
    containers=several(CONTAINER),
    serviceAccountName=TEXT,
    restartPolicy={"enum": ["Always", "OnFailure", "Never"]},
    tolerations=several(TOLERATION),
)
TEMPLATE = thing("spec", spec=POD)
WORKERS = thing(
    *("groupName", "template", "minReplicas", "maxReplicas"),
    groupName=TEXT,
    replicas=WHOLE,
    minReplicas=WHOLE,
    maxReplicas=WHOLE,
    rayStartParams=texts(),
    template=TEMPLATE,
)
CLUSTER = thing(
    "headGroupSpec",
    rayVersion=TEXT,
    authOptions=thing("mode", mode={"enum": ["token", "disabled"]}, secretName=TEXT),
    enableInTreeAutoscaling=TRUTH,
    autoscalerOptions=thing(version={"enum": ["v1", "v2"]}, idleTimeoutSeconds=WHOLE),
    headGroupSpec=thing("template", rayStartParams=texts(), template=TEMPLATE),
    workerGroupSpecs=several(WORKERS),
)
JOB = thing(
    *("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=thing(name=TEXT, generateName=TEXT),
    spec=thing(
        "rayClusterSpec",
        entrypoint=TEXT,
        backoffLimit=WHOLE,
        activeDeadlineSeconds={"type": "integer", "minimum": 1},
        shutdownAfterJobFinishes=TRUTH,
        rayClusterSpec=CLUSTER,
    ),
)


def manifest() -> dict[str, Any]:
    job: dict[str, Any] = yaml.safe_load((REPOSITORY / "cluster-kuberay.yaml").read_text())
    return job


def test_manifest_is_a_rayjob() -> None:
    jsonschema.validate(manifest(), JOB)


@pytest.mark.parametrize(("name", "value"), [("replicas", "4"), ("rayStartParams", {"num-cpus": 0}), ("replica", 4)])
def test_schema_refuses_what_kubernetes_would(name: str, value: Any) -> None:
    wrong = copy.deepcopy(manifest())
    wrong["spec"]["rayClusterSpec"]["workerGroupSpecs"][0][name] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, JOB)


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What Kubernetes answers in a pod of the cluster to whoever asks for the cluster: may be changed."""
    (tmp_path / "namespace").write_text("students\n")
    monkeypatch.setattr(kuberay, "NAMESPACE_FILE", tmp_path / "namespace")
    monkeypatch.setenv("RAY_CLUSTER_NAME", "fashion-mnist-x")
    spec = manifest()["spec"]["rayClusterSpec"]
    answer = {"metadata": {"name": "fashion-mnist-x", "namespace": "students"}, "spec": spec}

    def get(client: KubernetesHttpApiClient, path: str) -> dict[str, Any]:
        assert (client._namespace, path) == ("students", "rayclusters/fashion-mnist-x")
        if not answer:
            raise requests.HTTPError("403 Client Error: Forbidden")
        return answer

    monkeypatch.setattr(KubernetesHttpApiClient, "get", get)
    return answer


def test_run_on_the_head_asks_for_the_gpus_that_the_autoscaler_may_start(pod: dict[str, Any]) -> None:
    config = kuberay_config()
    assert config is not None
    assert grows_to(config) == {"CPU": 16.0, "GPU": 4.0}
    assert config["available_node_types"]["gpu"]["min_workers"] == 0
    assert config["idle_timeout_minutes"] == 15


def test_cluster_of_a_fixed_size_is_taken_as_it_is(pod: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    del pod["spec"]["enableInTreeAutoscaling"]
    assert kuberay_config() is None
    pod.clear()  # nor may a pod look, then
    assert kuberay_config() is None
    monkeypatch.delenv("RAY_CLUSTER_NAME")
    assert kuberay_config() is None


def test_manifest_has_the_ray_that_is_tested_and_ends() -> None:
    spec = manifest()["spec"]
    version = spec["rayClusterSpec"]["rayVersion"]
    assert f"ray=={version}" in (REPOSITORY / "constraints.txt").read_text().split()
    groups = [spec["rayClusterSpec"]["headGroupSpec"], *spec["rayClusterSpec"]["workerGroupSpecs"]]
    images = {group["template"]["spec"]["containers"][0]["image"] for group in groups}
    assert all(image.endswith(f":{version}") for image in images)
    assert spec["shutdownAfterJobFinishes"]
    assert spec["activeDeadlineSeconds"]
