"""Whether every node can do its part: `python -m orchestrator.run doctor`, and before each run on several nodes."""

import contextlib
import os
import shutil
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.engine.book import Book
from orchestrator.engine.cluster import Cluster, connect
from orchestrator.engine.disk import Disk
from orchestrator.engine.folder import reason
from orchestrator.engine.lock import SCRATCH, holder
from orchestrator.engine.progress import Progress
from orchestrator.engine.provenance import sources, versions
from orchestrator.engine.results import Run
from orchestrator.engine.settings import UserError
from orchestrator.engine.shown import print_table
from orchestrator.engine.stage import Stage
from orchestrator.engine.typed import beside, program
from orchestrator.engine.waiting import why_not
from orchestrator.engine.worker import UNSEEN

SHARED_MEMORY = "/dev/shm"
SHARE = 0.01
"""Of a GPU, to look at it."""
MIN_SHARED_GIGABYTES = 0.5
"""The images take .06 GB in each node's object store, weights and arrays less."""
TIMEOUT_SECONDS = 120
COMPARED, CODE = ("ray", "torch", "numba"), "code"
"""What must be the same on every node, beside Python: packages, and this program."""


@dataclass(frozen=True)
class Node:
    """What one node of the cluster says of itself."""

    host: str
    versions: dict[str, str]
    """Of python, ray, torch and numba, or "not installed"; and CODE, a hash of this program's sources."""
    gpus: int
    device: str | None
    """Name of the GPU that it was given; None where it has none, or all are in use."""
    unusable: str | None
    """Why torch cannot use that GPU; None where it can."""
    shared_gigabytes: float | None
    """Free in shared memory; None where there is no such folder."""
    storage: str | None
    """Why it cannot use the run folder; None where it can."""
    id: str = ""
    """Ray's name for it."""


def look(location: str, probe: str, gpus: int, modules: tuple[str, ...] = ()) -> Node:
    """On a node: its versions, its GPU, and whether it reads the driver's probe in the run folder, leaves its own."""
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
    looks = gpus and os.environ.get("CUDA_VISIBLE_DEVICES")  # which Ray sets where it gives a share of a GPU
    device, unusable = _device() if looks else (None, None)
    own = versions(COMPARED) | {CODE: sources(modules)}
    return Node(socket.gethostname(), own, gpus, device, unusable, shared, storage)


def _device() -> tuple[str | None, str | None]:
    """The GPU's name, or why torch cannot use it."""
    try:
        import torch

        (torch.ones(1, device="cuda") + 1).item()
        return torch.cuda.get_device_name(), None
    except Exception as error:  # of any class, from the import on; it is handed on
        return None, " ".join(str(error).split())[:150] or type(error).__name__


def examine(book: Book, cluster: Cluster) -> list[Node]:
    """Have every node of the cluster look; the driver's is the first. UserError where one does not answer."""
    import ray
    from ray._private.state import available_resources_per_node
    from ray.exceptions import GetTimeoutError, RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    run, probe = book.run, f"probe-{uuid.uuid4()}"
    of_stages = (book.suite.modules_of(stage, book.settings) for stage in book.stages.values())
    modules = tuple(dict.fromkeys(module for of_stage in of_stages for module in of_stage))
    own = ray.get_runtime_context().get_node_id()
    nodes = sorted((node for node in ray.nodes() if node["Alive"]), key=lambda node: node["NodeID"] != own)
    looking, free = [], available_resources_per_node()
    seen: list[Node] = []
    try:
        run.write(f"{probe}/driver", b"")
        for node in nodes:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            # The GPU that a training would get; where others use all of it, the rest is looked at.
            share = SHARE if free.get(node["NodeID"], {}).get("GPU", 0) >= SHARE else 0
            task: Any = ray.remote(look).options(num_cpus=0, num_gpus=share, scheduling_strategy=there)
            looking.append(task.remote(run.absolute, probe, int(node["Resources"].get("GPU", 0)), modules))
        for result in looking:
            seen.append(replace(ray.get(result, timeout=TIMEOUT_SECONDS), id=nodes[len(seen)]["NodeID"]))
    except RayError as error:
        host, told = nodes[len(seen)]["NodeManagerHostname"], " ".join(str(error).split())[:200]
        if isinstance(error, GetTimeoutError):
            why = why_not(cluster) if cluster.logs else "none starts there, or all are busy"
            told = f"no worker has answered for {TIMEOUT_SECONDS} s ({why})"
        raise UserError(f"node {host} cannot run a task: {told}") from None
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
                if name == CODE:
                    mend = "install this checkout there, or submit the command as a job (docs/cluster.md)"
                yield f"{node.host} has {name} {own}, the driver {expected}: {mend}"
        if node.storage:
            yield f"{node.host} {node.storage} (--runs-dir)"
        if node.unusable:
            mend = "update its driver, or start its container with GPUs, or its Ray with --num-gpus=0"
            yield f"{node.host}: torch cannot use its GPU ({node.unusable}): {mend}"


def warnings(nodes: Sequence[Node]) -> Iterator[str]:
    """What is less than nodes should have, though all is done without."""
    for node in nodes:
        if node.shared_gigabytes is not None and node.shared_gigabytes < MIN_SHARED_GIGABYTES:
            left = f"{node.shared_gigabytes:.1f} GB of shared memory left, {MIN_SHARED_GIGABYTES} are advised"
            yield f"{node.host} has {left}: start its container with --shm-size"


def refuse(nodes: Sequence[Node], say: Callable[[str], None]) -> None:
    """See that all nodes can do their part; else UserError."""
    if wrong := list(complaints(nodes)):
        raise UserError("; ".join(wrong))
    for line in warnings(nodes):
        say(line)


def connected(stack: ExitStack, book: Book, progress: Progress) -> Cluster:
    """Ray until the stack is left, with nodes that can all do their part; what it says goes to a file.

    A node whose GPU is no good is left out where there are others. UserError where no Ray answers at the address, or
    a node cannot do its part.
    """
    cluster = _connected(stack, book, progress)
    if cluster.num_nodes > 1 or cluster.gpus_per_training:
        nodes = examine(book, cluster)
        bad = [node for node in nodes if node.unusable]
        if any(node.gpus and not node.unusable for node in nodes):
            for node in bad:
                cluster.left_out[node.id] = [leave_out(node.id)]
                progress.say(f"{''.join(complaints([node]))}; it is left out")
            nodes = [node for node in nodes if node not in bad]
        refuse(nodes, progress.say)
    return cluster


def leave_out(node_id: str) -> Any:
    """Keep trainings off a node until this process disconnects, by taking all that it has; what takes it."""
    import ray
    from ray.util import placement_group

    (has,) = (node["Resources"] for node in ray.nodes() if node["NodeID"] == node_id)
    taken = {kind: has[kind] for kind in ("CPU", "GPU") if has.get(kind)}
    return placement_group([taken], bundle_label_selector=[{"ray.io/node-id": node_id}])


def _connected(stack: ExitStack, book: Book, progress: Progress, *, apart: bool = False) -> Cluster:
    """`apart`: what Ray says does not go to the run folder, where another process is at work."""
    settings, run = book.settings, book.run
    try:
        inside = run.is_local and not apart
        place = Path(run.absolute, SCRATCH) if inside else Path(tempfile.mkdtemp(prefix=f"{settings.run_name}-"))
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"there is no place for what Ray says: {reason(error)}") from None
    log_file = place / "driver.log"
    progress.say(f"Ray: connecting; what it says goes to {log_file}")
    ray = connect(settings.address, settings.resources, log_file=log_file, say=progress.say)
    cluster = stack.enter_context(ray)
    for stage in book.stages.values():
        wanted = stage.num_workers(stage.own(settings), 1)
        if cluster.gpus_per_training and wanted > cluster.num_devices:
            flag = f"--{stage.path}.num-workers"
            raise UserError(f"{flag} {wanted}: each takes a GPU, and there are {cluster.num_devices}")
    token = f"its token: {beside('ray')} get-auth-token"
    where = f"; dashboard {cluster.dashboard_url} ({token})" if cluster.dashboard_url else ""
    progress.say(f"Ray: {cluster.slots} trainings at once{where}")
    if cluster.is_empty:
        grows = (
            "the autoscaler starts some, which takes minutes" if any(cluster.grows_to.values()) else "one must join"
        )
        progress.say(f"Ray: no machine is there yet that trains; {grows} ({beside('ray')} status: which)")
    return cluster


def _rounds(name: str, stage: Stage[Any, Any], book: Book, cluster: Cluster) -> list[str]:
    """A row: how many trainings a stage has, and how the cluster shares in them."""
    number = book.study(name).num_trials
    workers = stage.num_workers(stage.own(book.settings), cluster.room_in_each(number)) if stage.shared else 1
    rounds = f"{cluster.slots} at once: {-(-number // cluster.slots)} rounds"
    return [name, str(number), f"each by {workers} workers" if workers > 1 else rounds]


def print_examination(book: Book) -> int:
    """Print what every node has, and how many rounds each stage's trainings take."""
    run = book.run
    run.check_space(book.settings.resources.free_gigabytes * 1e9)
    book.data  # noqa: B018  (what cannot be had is told of)
    busy = holder(run) is not None
    if not busy and isinstance(run.files, Disk) and Path(run.absolute).is_dir():
        with run.changing(SCRATCH, "written"):
            run.files.clear(SCRATCH)
    with ExitStack() as stack:
        progress = stack.enter_context(Progress())
        cluster = _connected(stack, book, progress, apart=busy)
        nodes = examine(book, cluster)
        refuse(nodes, progress.say)
        rounds = [_rounds(name, stage, book, cluster) for name, stage in book.stages.items() if stage.config]
    right = ("GPUs", "shared memory")
    cells = []
    for node in nodes:
        memory = f"{node.shared_gigabytes or 0:.1f} GB"
        found = [node.versions.get(name, "") for name in ("python", *COMPARED)]
        cells.append([node.host, *found, str(node.gpus), memory, node.device or ""])
    print_table(["node", "python", *COMPARED, *right, "GPU"], cells, right)
    if any(cluster.grows_to.values()):
        print("nodes that join later are looked at by their first training")
    free = run.free_bytes()
    space = f"; {free / 1e9:.0f} GB free" if free is not None else ""
    print(f"run folder {run.location}: every node reads and writes it{space}\n")
    print_table(["stage", "trainings", "how many at a time"], rounds, right=["trainings"])
    print(f"\nthe data are there, and all is well; next: {program()} all")
    return 0
