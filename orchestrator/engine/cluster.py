"""Connects to Ray, or starts it, and says how many trainings can run at once."""

import contextlib
import io
import logging
import os
import platform
import signal
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from orchestrator.engine.kuberay import kuberay_config
from orchestrator.engine.machine import Machine, share_for, slots_for
from orchestrator.engine.provenance import processor
from orchestrator.engine.settings import Resources, UserError

PROBE_SECONDS = 5
AUTOSCALER_FILE = Path("~/ray_bootstrap_config.yaml")
"""Where `ray up` leaves the cluster's configuration on its head, which is where jobs run."""

_DRIVER_ENVIRONMENT = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a training without a GPU share must not see the GPUs
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_TRAIN_ENABLE_STATE_TRACKING": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # its workers wait this long for each report to be taken
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "600",  # a node that the autoscaler starts takes minutes
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours to handle
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a training that failed has none
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # nothing is read back of what Tune writes
}
_WORKER_ENVIRONMENT = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    "OMP_NUM_THREADS": "1",  # how many threads a sum is split among shows in its last digits
    # glibc gives the memory of every tensor back and faults it in again: a tenth of a training step, or more.
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**26),
}


@dataclass(frozen=True)
class Cluster:
    """What Ray has, and each training's share of it."""

    slots: int
    """Trainings at once, on what there is at the start and what the autoscaler would add."""
    cpus_per_training: float
    gpus_per_training: float
    dashboard_url: str | None
    hardware: dict[str, Any]
    """For the manifest: nodes at the start, cores and GPUs with what the autoscaler adds, the driver's machine."""
    resources: Resources
    grows_to: Mapping[str, float]
    """CPU and GPU that the autoscaler adds up to, if there is one."""
    left_out: dict[str, list[Any]] = field(default_factory=dict)
    """Nodes on which nothing more is to run, each with what takes the trainings' place there."""

    @property
    def num_devices(self) -> int:
        """GPUs by now, or cores where there are none."""
        kind = "gpus" if self.gpus_per_training else "cpus"
        return max(1, *(sum(int(getattr(it, kind)) for it in all_) for all_ in self._machines()))

    @property
    def is_empty(self) -> bool:
        """Whether no node is there yet that could train; the autoscaler starts some once trainings wait."""
        import ray

        return not ray.cluster_resources().get("GPU" if self.gpus_per_training else "CPU")

    @property
    def share(self) -> Machine:
        """What each training takes."""
        return Machine(self.cpus_per_training, self.gpus_per_training)

    def slots_now(self) -> int:
        """Trainings at once by now: nodes may have joined or left since the start."""
        return max(slots_for(all_, self.resources, self.share) for all_ in self._machines())

    def _machines(self) -> tuple[list[Machine], list[Machine]]:
        there = [machine for node, machine in nodes().items() if node not in self.left_out]
        return there, [Machine(self.grows_to["CPU"], self.grows_to["GPU"])]


@contextlib.contextmanager
def connect(address: str, resources: Resources, *, log_file: Path) -> Iterator[Cluster]:
    """Ray for as long as the context lasts; a Ray of our own is shut down at its end.

    The address is auto (a cluster that `ray start` began on this machine or RAY_ADDRESS names, else one of our own),
    local or host:port; UserError where nothing answers there. What Ray and Tune print and log in this process goes to
    the log file.
    """
    for name, value in _DRIVER_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    target = _find(address)
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with output_to(log_file), contextlib.ExitStack() as stack:
        if target != "local" and _has_token():
            os.environ.setdefault("RAY_AUTH_MODE", "token")  # `ray start` wants it wherever there is a token
        import ray
        from ray._private import ray_constants
        from ray.exceptions import RayError

        if target == "local":  # ports on the loopback address only, as anyway on Windows and macOS
            os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
            ray_constants.ENABLE_RAY_CLUSTER = False
        try:
            context = ray.init(
                address=target,
                include_dashboard=True if target == "local" else None,
                log_to_driver=False,
                configure_logging=False,
                runtime_env={"env_vars": _WORKER_ENVIRONMENT},
            )
        except (ConnectionError, RuntimeError, TimeoutError, ValueError, RayError) as error:
            if target == "local":
                raise
            raise UserError(f"--address {address}: {' '.join(str(error).split())[:200]}; see {log_file}") from None
        stack.callback(ray.shutdown)
        with contextlib.suppress(ValueError):  # a thread other than the main one has no signals to see to
            signal.signal(signal.SIGTERM, signal.default_int_handler)  # ray.init put a handler of its own
        config = _autoscaler() if target != "local" else None
        yield _describe(context.dashboard_url, resources, grows_to(config) if config else {"CPU": 0.0, "GPU": 0.0})


class _Log(io.TextIOWrapper):
    """Drops what its disk does not take: that must not hide the reason why the run ends."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            return super().write(text)
        return len(text)


@contextlib.contextmanager
def output_to(log_file: Path) -> Iterator[None]:
    """Send what this process prints and logs, Ray's C++ part included, to a file instead of the terminal."""
    with _Log(log_file.open("ab", buffering=0), write_through=True) as log:
        handler = logging.StreamHandler(log)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger = logging.getLogger("ray")
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
        terminal = os.dup(2)
        os.dup2(log.fileno(), 2)
        try:
            with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            logger.handlers = []


def _has_token() -> bool:
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    return bool(named) or Path("~/.ray/auth_token").expanduser().exists()


def check_address(address: str) -> None:
    """See that something listens at an address that was given; else UserError."""
    if address not in {"auto", "local"} and not _answers(address):
        ask = "is the cluster up, and the port right? (--address local starts Ray on this machine)"
        raise UserError(f"--address {address}: nothing answers there; {ask}")


def _find(address: str) -> str:
    """The address to give to Ray, once something is known to listen there."""
    check_address(address)
    if address != "auto":
        return address
    from ray._private.services import find_bootstrap_address

    named = os.environ.get("RAY_ADDRESS") or "auto"
    if named != "auto":
        return _find(named)
    started = find_bootstrap_address(None)
    return started if started and _answers(started) else "local"


def _answers(address: str) -> bool:
    parts = urlsplit(address if "://" in address else f"//{address}")
    if parts.scheme == "ray":
        instead = "give host:port on one of the cluster's machines, or submit a job (docs/cluster.md)"
        raise UserError(f"--address {address}: Ray's client cannot do this; {instead}")
    host = port = None
    with contextlib.suppress(ValueError):
        host, port = parts.hostname, parts.port
    if not host or not port:
        raise UserError(f"--address {address!r} is none of auto, local, host:port")
    import grpc

    with contextlib.suppress(OSError, grpc.FutureTimeoutError):
        socket.create_connection((host, port), timeout=PROBE_SECONDS).close()
        if os.environ.get("RAY_USE_TLS") != "1":  # Ray waits for minutes for a port that is open but is not Ray's
            with grpc.insecure_channel(f"{host}:{port}") as channel:
                grpc.channel_ready_future(channel).result(timeout=PROBE_SECONDS)
        return True
    return False


def _describe(dashboard_url: str | None, resources: Resources, added: Mapping[str, float]) -> Cluster:
    import ray

    total, there, grown = ray.cluster_resources(), list(nodes().values()), [Machine(added["CPU"], added["GPU"])]
    share = share_for(there + grown, resources)
    slots = max(slots_for(all_, resources, share) for all_ in (there, grown))
    cpus, gpus = (max(sum(getattr(it, kind) for it in all_) for all_ in (there, grown)) for kind in ("cpus", "gpus"))
    accelerators = [key.removeprefix("accelerator_type:") for key in total if key.startswith("accelerator_type:")]
    return Cluster(
        slots=slots,
        cpus_per_training=share.cpus,
        gpus_per_training=share.gpus,
        dashboard_url=f"http://{dashboard_url}" if dashboard_url else None,
        hardware={
            "nodes": sum(node["Alive"] for node in ray.nodes()),
            "cpus": int(cpus),
            "gpus": int(gpus),
            "accelerators": sorted(accelerators),
            "slots": slots,
            "driver": processor(),
            "system": f"{platform.system()} {platform.machine()}",
        },
        resources=resources,
        grows_to=added,
    )


def nodes() -> dict[str, Machine]:
    """Ray's nodes by now, by their ids."""
    import ray

    there = {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}
    return {name: Machine(own.get("CPU", 0.0), own.get("GPU", 0.0)) for name, own in there.items()}


def _autoscaler() -> dict[str, Any] | None:
    """The configuration of what starts and ends the cluster's nodes, if there is one."""
    file = AUTOSCALER_FILE.expanduser()
    return kuberay_config() or (yaml.safe_load(file.read_text()) if file.exists() else None)


def grows_to(config: Mapping[str, Any]) -> dict[str, float]:
    """CPU and GPU of a cluster that has every worker which its configuration for `ray up`, made complete, allows."""

    kinds = dict(config["available_node_types"])
    head = kinds.pop(config["head_node_type"])

    def most(resource: str) -> float:
        workers = [kind["resources"].get(resource, 0) for kind in kinds.values() for _ in range(kind["max_workers"])]
        of_workers = sum(sorted(workers, reverse=True)[: config["max_workers"]])
        return float(head["resources"].get(resource, 0) + of_workers)

    return {"CPU": most("CPU"), "GPU": most("GPU")}
