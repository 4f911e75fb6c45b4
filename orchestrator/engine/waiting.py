"""Tells why no training begins, where none does, and that Ray is lost: a run waits or ends with a word."""

import contextlib
import errno
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from orchestrator.engine.beat import every, interrupt
from orchestrator.engine.cluster import Cluster
from orchestrator.engine.progress import duration
from orchestrator.engine.settings import UserError
from orchestrator.engine.typed import beside

LOOK_SECONDS, ANSWER_SECONDS = 5, 2
SAY_SECONDS = 60
OWN_SECONDS, MOST_SECONDS = 110, 600
"""A Ray of our own that has started no worker by then starts none: the first where its workers are known to end by
themselves, the other where they may only be slow. How long other Rays take is not ours to say."""
HEED_SECONDS = 10
"""How long the main thread may take to heed that Ray is lost: it may be waiting for Ray, in C++."""
MOST_APART = "RAY_gcs_rpc_server_reconnect_timeout_s"
"""Ray's variable, 60 by default: after so many seconds without a word from its head Ray ends this process, and
some 10 after the raylet has ended; it says so in its own log only."""
CRASHED = "crashed during start"
ASIDE = "PlacementGroupCleanerMonitor"
"""A thread of Ray Train's that ends with an error beside another Ray on the machine; nothing follows from it."""
_WORKERS = ("ImplicitFunc", "RayTrainWorker")
"""Ray Tune's and Ray Train's, as Ray names them."""


class Watch:
    """Looks every few seconds whether trainings that are to run have workers, and whether Ray is there."""

    def __init__(
        self,
        cluster: Cluster,
        wanted: Callable[[], bool],
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster, self._wanted, self._say, self._clock = cluster, wanted, say, clock
        self._since = self._said = self._answered = clock()
        self.why: UserError | None = None
        """Why nothing can be trained, once that is known."""
        self.lost: float | None = None
        """When Ray was found to be lost, which ends this process if nothing else does."""

    def listen(self, *, raylet: bool, head: bool) -> None:
        """Take note of which of Ray's processes answer: that of this machine, and the cluster's head."""
        now = self._clock()
        if head:
            self._answered = now
        latest = float(os.environ.get(MOST_APART, 60)) / 3
        if raylet and now - self._answered < latest:
            return
        what = "its head does not answer" if raylet else "its process on this machine, the raylet, has ended"
        self.lost = now
        self.why = UserError(f"Ray is lost: {what}; what was finished is kept, and the same command goes on")

    def look(self, num_workers: int, reason: Callable[[], str]) -> None:
        """Take note of how many workers live; where none does for long, say the reason."""
        now = self._clock()
        if num_workers or not self._wanted():
            self._since = self._said = now
            return
        latest = OWN_SECONDS if self._cluster.logs and crashed(self._cluster.logs) else MOST_SECONDS
        if self._cluster.logs and now - self._since >= latest:
            self.why = UserError(f"Ray starts no worker on this machine: {reason()}")
        elif now - self._said >= SAY_SECONDS:
            self._said = now
            self._say(f"waiting for workers, {duration(now - self._since)}: {reason()}")


@contextlib.contextmanager
def watched(cluster: Cluster, wanted: Callable[[], bool], say: Callable[[str], None]) -> Iterator[None]:
    """Watch until the context is left: with UserError where Ray is lost, or one of our own starts no worker for what
    is wanted."""
    import ray
    from ray._private import state
    from ray.exceptions import RayError

    watch, job = Watch(cluster, wanted, say), ray.get_runtime_context().get_job_id()
    node = ray._private.worker._global_node
    assert node is not None
    waits = threading.current_thread() is threading.main_thread()

    def look() -> None:
        if watch.why:
            return
        with contextlib.suppress(RayError, ConnectionError, RuntimeError):
            alive = state.actors(job_id=ray.JobID(bytes.fromhex(job)), actor_state_name="ALIVE").values()
            workers = sum(actor["ActorClassName"].endswith(_WORKERS) for actor in alive)
            watch.look(workers, lambda: why_not(cluster))
        if watch.why:
            end()

    def listen() -> None:  # where Ray is lost the other waits for it
        if watch.lost is None:
            watch.listen(raylet=answers(node.raylet_socket_name), head=answers(node.gcs_address))
            if watch.lost is not None:
                end()
        elif waits and time.monotonic() - watch.lost >= HEED_SECONDS:  # the main thread waits for it too
            say(f"error: {watch.why}")
            os._exit(2)

    def end() -> None:
        if waits:  # an interruption reaches whatever the main thread is at
            interrupt()
        else:
            say(str(watch.why))

    try:
        with every(LOOK_SECONDS, look), every(LOOK_SECONDS, listen):
            yield
    except KeyboardInterrupt:
        if watch.why:
            raise watch.why from None
        raise


def answers(address: str) -> bool:
    """Whether a process listens at host:port, or at the path of a socket."""
    try:
        if address.startswith("/"):
            with socket.socket(socket.AF_UNIX) as there:
                there.connect(address)
        else:
            host, _, port = address.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS).close()
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)  # of files that are open here, which says nothing
    return True


def why_not(cluster: Cluster) -> str:
    """Why no worker starts: from the logs of a Ray of our own, else what the autoscaler could not have."""
    if cluster.logs:
        return logged(cluster.logs)
    import ray
    from ray.autoscaler.v2.sdk import get_cluster_status

    status = get_cluster_status(ray.get_runtime_context().gcs_address)
    if status.failed_launches:
        return refused(status.failed_launches)
    coming = Counter(node.ray_node_type_name for node in status.pending_nodes)
    for launch in status.pending_launches:
        coming[launch.ray_node_type_name] += launch.count
    if coming:
        return ", ".join(f"{number} of {kind} on the way" for kind, number in coming.items())
    kind, share = (
        ("GPU", cluster.gpus_per_training) if cluster.gpus_per_training else ("CPU", cluster.cpus_per_training)
    )
    free, total = status.available_resources().get(kind, 0.0), status.total_resources().get(kind, 0.0)
    there = f"of the cluster's {total:g} there are {free:g} free ({beside('ray')} status)"
    return f"a training takes {share:g} {kind}, and {there}"


def crashed(logs: Path) -> bool:
    """Whether the processes of workers have ended before they were workers, by Ray's logs."""
    return any(CRASHED in file.read_text(errors="replace") for file in logs.glob("raylet.out"))


def refused(launches: Iterable[Any]) -> str:
    """Launches that failed, by the kind of node and what the cloud said, with the mend."""
    times: Counter[tuple[str, str]] = Counter()
    for launch in launches:
        said = " ".join((launch.details or "refused").split())[:150]
        times[launch.ray_node_type_name, said] += launch.count
    (kind, said), number = times.most_common(1)[0]
    return f"{kind}: {said}, {number} times: set its max_workers to 0 and `ray up` again"


def logged(logs: Path) -> str:
    """What Ray's processes wrote of a worker that did not start: the last line of the file that tells most."""
    for pattern, marks in (
        ("raylet.err", ("",)),
        ("runtime_env_*.log", ("ERROR", "Traceback", "Error:")),
        ("worker-*.err", ("Error",)),
        ("raylet.out", ("not registered", " E ", " C ")),
        ("gcs_server.out", (" E ", " C ")),
    ):
        for file in sorted(logs.glob(pattern), key=lambda it: it.stat().st_mtime, reverse=True):
            lines = [line.strip() for line in file.read_text(errors="replace").splitlines()]
            if any(ASIDE in line for line in lines):
                continue
            if file.suffix == ".err":  # where Ray repeats its own errors
                lines = [line for line in lines if not line.startswith("[20")]
            if said := [line for line in lines if line and any(mark in line for mark in marks)]:
                return f"{said[-1][-300:]} ({file.name})"
    return "Ray's logs say nothing of it"
