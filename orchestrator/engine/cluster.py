"""Connects to Ray, or starts it, and says how many trainings can run at once."""

import contextlib
import logging
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from orchestrator.engine.address import find, has_token
from orchestrator.engine.kuberay import kuberay_config
from orchestrator.engine.machine import Machine, share_for, slots_for
from orchestrator.engine.own_ray import RAYS, leave, own_ray, reread_authentication, signals_kept
from orchestrator.engine.settings import Resources, UserError
from orchestrator.engine.shown import Lossy

AUTOSCALER_FILE = Path("~/ray_bootstrap_config.yaml")
"""Where `ray up` leaves the cluster's configuration on its head, which is where jobs run."""

_DRIVER_ENVIRONMENT = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a training without a GPU share must not see the GPUs
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # a process for each group; a lost worker is noticed anyway
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # its workers wait this long for each report to be taken
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "600",  # a node that the autoscaler starts takes minutes
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours to handle
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a training that failed has none
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # nothing is read back of what Tune writes
}
WORKER_ENVIRONMENT = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    # How many threads a sum is split among shows in its last digits.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # glibc gives the memory of every tensor back and faults it in again: a tenth of a training step, or more.
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**24),
    # Every training is a thread of its own, and would keep a heap of its own for good.
    "MALLOC_ARENA_MAX": "1",
}
"""Variables of the processes that train."""


@dataclass(frozen=True)
class Cluster:
    """What Ray has, and each training's share of it."""

    slots: int
    """Trainings at once, on what there is at the start and what the autoscaler would add."""
    cpus_per_training: float
    gpus_per_training: float
    dashboard_url: str | None
    """Of a Ray that was there before; where a Ray of our own has it, is said once it is known."""
    resources: Resources
    grows_to: Mapping[str, float]
    """CPU and GPU that the autoscaler adds up to, if there is one."""
    left_out: dict[str, list[Any]] = field(default_factory=dict)
    """Nodes on which nothing more is to run, each with what takes the trainings' place there."""
    logs: Path | None = None
    """Where the processes of a Ray of our own write."""

    @property
    def num_devices(self) -> int:
        """GPUs by now, or cores where there are none."""
        kind = "gpus" if self.gpus_per_training else "cpus"
        return max(1, *(sum(int(getattr(it, kind)) for it in all_) for all_ in self._machines()))

    @property
    def num_nodes(self) -> int:
        """Nodes by now."""
        import ray

        return sum(node["Alive"] for node in ray.nodes())

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

    def room_in_each(self, num_trainings: int) -> int:
        """Workers that each of so many trainings can have while all run at once; one where there is not even that.

        Two workers cannot share a GPU, as two trainings can.
        """
        return max(1, min(self.slots_now(), self.num_devices) // num_trainings)

    def _machines(self) -> tuple[list[Machine], list[Machine]]:
        there = [machine for node, machine in nodes().items() if node not in self.left_out]
        return there, [Machine(self.grows_to["CPU"], self.grows_to["GPU"])]


@contextlib.contextmanager
def connect(
    address: str, resources: Resources, *, log_file: Path, say: Callable[[str], None] = lambda line: None
) -> Iterator[Cluster]:
    """Ray for as long as the context lasts; a Ray of our own is shut down at its end.

    The address is auto (a cluster that `ray start` began on this machine or RAY_ADDRESS names, else one of our own),
    local or host:port; UserError where no Ray answers there. What Ray and Tune print and log in this process goes to
    the log file.
    """
    for name, value in _DRIVER_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    target, named = find(address, say)
    handler = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL  # None where it is not Python's
    log_file.parent.mkdir(parents=True, exist_ok=True)
    arguments = {"log_to_driver": False, "configure_logging": False, "runtime_env": _runtime_env()}
    with output_to(log_file), contextlib.ExitStack() as stack:
        with contextlib.suppress(ValueError):  # a thread other than the main one has no signals to see to
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            stack.callback(signal.signal, signal.SIGTERM, handler)
        if target == "local":
            own = own_ray(log_file, resources.niceness, say, use_mps=resources.mps, **arguments)
            dashboard, logs = None, stack.enter_context(own) / RAYS / "session_latest" / "logs"
        else:
            dashboard, logs = _joined(target, named, log_file, **arguments).dashboard_url, None
            stack.callback(leave)
        added = {"CPU": 0.0, "GPU": 0.0} if target == "local" else _grows_to()
        yield replace(_describe(dashboard, resources, added), logs=logs)


def _runtime_env() -> dict[str, Any]:
    """What Ray is to start workers with."""
    quoted = shlex.quote(sys.executable)  # Ray hands it to bash as it stands, and where it has a space starts nothing
    return {"env_vars": WORKER_ENVIRONMENT} | ({"py_executable": quoted} if quoted != sys.executable else {})


def _joined(target: str, named: str, log_file: Path, **arguments: Any) -> Any:
    if has_token():
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # `ray start` wants it wherever there is a token
    import ray
    from ray.exceptions import RayError

    reread_authentication()
    logged = log_file.stat().st_size
    try:
        with signals_kept():
            return ray.init(address=target, **arguments)
    except (ConnectionError, RuntimeError, TimeoutError, ValueError, RayError) as error:
        with log_file.open("rb") as log:
            log.seek(logged)
            refused = b"Unauthenticated" in log.read() or "oken" in str(error)
        mend = "it wants a token (InvalidAuthToken): put that of its head's ~/.ray/auth_token into yours"
        reason = mend if refused else " ".join(str(error).split())[:200]
        raise UserError(f"{named}: {reason}; see {log_file}") from None


def _grows_to() -> dict[str, float]:
    """CPU and GPU that the cluster's autoscaler adds up to, as Ray, KubeRay or the file of `ray up` has it."""
    from ray._private.state import state

    known = state.get_max_resources_from_cluster_config()  # None with Ray's own autoscalers (ray-project/ray#63012)
    if known and max(known.values()) < sys.maxsize:
        return {kind: float(known.get(kind, 0)) for kind in ("CPU", "GPU")}
    if config := kuberay_config():
        return grows_to(config)
    with contextlib.suppress(OSError, RuntimeError):
        return grows_to(yaml.safe_load(AUTOSCALER_FILE.expanduser().read_text()))
    return {"CPU": 0.0, "GPU": 0.0}


@contextlib.contextmanager
def output_to(log_file: Path) -> Iterator[None]:
    """Send what this process prints and logs, Ray's C++ part included, to a file instead of the terminal."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    with Lossy(os.fdopen(os.open(log_file, flags, 0o666), "ab", buffering=0), write_through=True) as log:
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


def _describe(dashboard_url: str | None, resources: Resources, added: Mapping[str, float]) -> Cluster:
    there, grown = list(nodes().values()), [Machine(added["CPU"], added["GPU"])]
    share = share_for(there + grown, resources)
    slots = max(slots_for(all_, resources, share) for all_ in (there, grown))
    return Cluster(
        slots=slots,
        cpus_per_training=share.cpus,
        gpus_per_training=share.gpus,
        dashboard_url=f"http://{dashboard_url}" if dashboard_url else None,
        resources=resources,
        grows_to=added,
    )


def nodes() -> dict[str, Machine]:
    """Ray's nodes by now, by their ids."""
    import ray

    there = {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}
    return {name: Machine(own.get("CPU", 0.0), own.get("GPU", 0.0)) for name, own in there.items()}


def grows_to(config: Mapping[str, Any]) -> dict[str, float]:
    """CPU and GPU of a cluster that has every worker which its configuration for `ray up`, made complete, allows."""

    kinds = dict(config["available_node_types"])
    head = kinds.pop(config["head_node_type"])

    def most(resource: str) -> float:
        workers = [kind["resources"].get(resource, 0) for kind in kinds.values() for _ in range(kind["max_workers"])]
        of_workers = sum(sorted(workers, reverse=True)[: config["max_workers"]])
        return float(head["resources"].get(resource, 0) + of_workers)

    return {"CPU": most("CPU"), "GPU": most("GPU")}
