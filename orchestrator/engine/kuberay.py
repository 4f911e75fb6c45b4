"""What a cluster on Kubernetes may grow to."""

import os
from pathlib import Path
from typing import Any

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""In every pod."""


def kuberay_config() -> dict[str, Any] | None:
    """The configuration, in the words of `ray up`, of a cluster that KubeRay's autoscaler scales; else None.

    Read as the autoscaler reads it, whose rights the head's pod has, where jobs run.
    """
    name = os.environ.get("RAY_CLUSTER_NAME")  # in KubeRay's pods
    if not name or not NAMESPACE_FILE.exists():
        return None
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
    from ray.autoscaler._private.kuberay.node_provider import KubernetesHttpApiClient

    try:
        resource = KubernetesHttpApiClient(NAMESPACE_FILE.read_text().strip()).get(f"rayclusters/{name}")
    except OSError:  # without an autoscaler, the pod has no right to it
        return None
    if not resource["spec"].get("enableInTreeAutoscaling"):
        return None
    config: dict[str, Any] = _derive_autoscaling_config_from_ray_cr(resource)
    return config
