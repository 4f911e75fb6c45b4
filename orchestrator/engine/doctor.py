"""Whether every node can do its part: `python -m orchestrator.run doctor`, and before each run on several nodes."""

import contextlib
import getpass
import shutil
import socket
import tempfile
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from orchestrator.engine.book import Book
from orchestrator.engine.cluster import Cluster, connect
from orchestrator.engine.progress import Progress
from orchestrator.engine.provenance import versions
from orchestrator.engine.results import Run
from orchestrator.engine.settings import UserError
from orchestrator.engine.worker import UNSEEN

SHARED_MEMORY = "/dev/shm"
MIN_SHARED_GIGABYTES = 0.5
"""The images take .06 GB in each node's object store, weights and arrays less."""
TIMEOUT_SECONDS = 120
COMPARED = ("ray", "torch")
"""Packages that must be the same on every node."""


@dataclass(frozen=True)
class Node:
    """What one node of the cluster says of itself."""

    host: str
    versions: dict[str, str]
    """Of python, ray and torch, or "not installed"."""
    gpus: int
    shared_gigabytes: float | None
    """Free in shared memory; None where there is no such folder."""
    storage: str | None
    """Why it cannot use the run folder; None where it can."""


def look(location: str, probe: str, gpus: int) -> Node:
    """On a node: its versions, and whether it reads the driver's probe in the run folder and can leave its own."""
    shared = None
    with contextlib.suppress(OSError):
        shared = shutil.disk_usage(SHARED_MEMORY).free / 1e9
    storage = None
    try:
        run = Run(location)
        run.read(f"{probe}/driver")
        run.write(f"{probe}/{uuid.uuid4()}", b"")
    except FileNotFoundError:
        storage = UNSEEN
    except (OSError, UserError) as error:
        storage = f"cannot use the run folder: {error}"
    return Node(socket.gethostname(), versions(COMPARED), gpus, shared, storage)


def examine(run: Run) -> list[Node]:
    """Have every node of the cluster look; the driver's is the first. UserError where one does not answer."""
    import ray
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    probe = f"probe-{uuid.uuid4()}"
    run.write(f"{probe}/driver", b"")
    own = ray.get_runtime_context().get_node_id()
    nodes = sorted((node for node in ray.nodes() if node["Alive"]), key=lambda node: node["NodeID"] != own)
    looking, seen = [], []
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        task = ray.remote(look).options(num_cpus=0, scheduling_strategy=there)
        looking.append(task.remote(run.absolute, probe, int(node["Resources"].get("GPU", 0))))
    try:
        for result in looking:
            seen.append(ray.get(result, timeout=TIMEOUT_SECONDS))
    except RayError as error:
        host, reason = nodes[len(seen)]["NodeManagerHostname"], " ".join(str(error).split())[:200]
        raise UserError(f"node {host} cannot run a task: {reason}") from None
    finally:
        run.delete_folder(probe)
    return seen


def complaints(nodes: Sequence[Node]) -> Iterator[str]:
    """What keeps the nodes from doing their part, a line each with the mend; the first node is the driver's."""
    driver = nodes[0]
    for node in nodes:
        for name, expected in driver.versions.items():
            own = node.versions.get(name, "not installed")
            if own != expected:
                mend = "install constraints.txt on every node (cluster.yaml's setup_commands do)"
                yield f"{node.host} has {name} {own}, the driver {expected}: {mend}"
        if node.storage:
            yield f"{node.host} {node.storage} (--runs-dir)"
        if node.shared_gigabytes is not None and node.shared_gigabytes < MIN_SHARED_GIGABYTES:
            left = f"{node.shared_gigabytes:.1f} GB of shared memory left, {MIN_SHARED_GIGABYTES} are needed"
            yield f"{node.host} has {left}: start its container with --shm-size"


def check(run: Run) -> list[Node]:
    """The nodes, all of which can do their part; else UserError."""
    nodes = examine(run)
    if wrong := list(complaints(nodes)):
        raise UserError("; ".join(wrong))
    return nodes


def connected(stack: ExitStack, book: Book, progress: Progress) -> Cluster:
    """Ray until the stack is left, with nodes that can all do their part; what it says goes to a file.

    UserError where nothing answers at the address, or a node cannot do its part.
    """
    settings, run = book.settings, book.run
    progress.say("Ray: connecting")
    log_file = Path(run.absolute, "ray", "driver.log")
    if not run.is_local:
        log_file = Path(tempfile.gettempdir(), f"{getpass.getuser()}-{settings.run_name}-ray-driver.log")
    cluster = stack.enter_context(connect(settings.address, settings.resources, log_file=log_file))
    for stage in book.stages.values():
        wanted = stage.num_workers(stage.own(settings))
        if wanted and cluster.gpus_per_training and wanted > cluster.num_devices:
            flag = f"--{stage.path}.num-workers"
            raise UserError(f"{flag} {wanted}: each takes a GPU, and there are {cluster.num_devices}")
    if cluster.hardware["nodes"] > 1:
        check(run)
    where = f"; dashboard {cluster.dashboard_url} (its token: ray get-auth-token)" if cluster.dashboard_url else ""
    progress.say(f"Ray: {cluster.slots} trainings at once{where}")
    if cluster.is_empty:
        waits = "the autoscaler starts some, which takes minutes (ray status: which)"
        progress.say(f"Ray: no machine is there yet that trains; {waits}")
    return cluster


def print_examination(book: Book, names: Collection[str]) -> int:
    """Print what every node has, and how many rounds each stage's trainings take."""
    run = book.run
    run.check_space(book.settings.resources.free_gigabytes * 1e9)
    with ExitStack() as stack:
        cluster = connected(stack, book, stack.enter_context(Progress()))
        nodes = check(run)
    print(f"{'node':<24} {'python':<10} {'ray':<10} {'torch':<12} {'GPUs':>4} {'shared memory':>14}")
    for node in nodes:
        python, ray, torch = (node.versions.get(name, "") for name in ("python", *COMPARED))
        columns = f"{python:<10} {ray:<10} {torch:<12} {node.gpus:>4} {node.shared_gigabytes or 0:>11.1f} GB"
        print(f"{node.host:<24} {columns}")
    free = run.free_bytes()
    space = f"; {free / 1e9:.0f} GB free" if free is not None else ""
    print(f"run folder {run.location}: every node reads and writes it{space}\n")
    for name, stage in book.stages.items():
        if stage.config and name in names:
            number = book.study(name).num_trials
            rounds = f"{cluster.slots} at once: {-(-number // cluster.slots)} rounds"
            print(f"{name:<13} {number:>4} trainings, {'each by several workers' if stage.shared else rounds}")
    return 0
