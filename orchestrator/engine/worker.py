"""What a worker does around a training, whoever runs it: watches it, tells of it, sees that its machine can do it."""

import contextlib
import faulthandler
import functools
import math
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.engine.checkpoint import Checkpoint, Rows
from orchestrator.engine.folder import Folder, Unusable
from orchestrator.engine.provenance import made
from orchestrator.engine.records import Records, Trial
from orchestrator.engine.shown import in_a_line
from orchestrator.engine.stage import Stage, Worker

GRACE_SECONDS = 15
"""How long a stuck worker has to end itself before it is ended."""
REPORT_SECONDS = 1
"""How often the driver is told of new epochs, at most."""
NO_MEMORY = ("DefaultCPUAllocator", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
"""What torch says in a plain RuntimeError where memory ran out."""
UNSEEN = "does not see the run folder: it must lie on a disk that all nodes share, or on s3://"
"""What is said of a node that has no access to the run folder."""


@dataclass(frozen=True)
class Job:
    """A trial as a worker is told of it."""

    stage: Stage[Any, Any]
    trial: Trial[Any]
    inputs: str
    """Address of the arrays that the stage's trainings are given; empty where there are none."""
    stuck_seconds: float
    """After which a worker that finished no epoch counts as stuck."""
    modules: tuple[str, ...]
    """Whose code decides the outcome."""
    stops_weak_trials: bool
    begun: bool = False
    """Whether an earlier worker may have left a checkpoint."""

    def __deepcopy__(self, memo: object) -> "Job":
        return self  # Tune copies what it is given, four times; nothing here changes

    def epochs(
        self,
        data: Any,
        records: Records,
        so_far: Checkpoint,
        worker: Worker,
        said: list[str] | None = None,
    ) -> Iterator[tuple[Any, str | None]]:
        """The training's epochs, watched, and for each why it has diverged, if it has.

        It goes on from what there is `so_far`, to which every epoch is added, but for its state. Where it cannot, as
        from what older code left, it begins anew, which is `said`. The stage's inputs are among its records.
        """
        self.watch()
        worker = replace(worker, inputs=records.arrays(self.inputs) if self.inputs else {})
        resume, num_before = so_far.state, len(so_far.rows)
        try:
            yield from self._epochs(data, so_far, worker)
        except Exception as error:
            if resume is None or len(so_far.rows) > num_before or is_of_the_machine(error):
                raise
            if worker.num_workers > 1:  # all of them begin anew together, in another group
                of_a_peer = isinstance(error, RuntimeError) and "state_dict" not in str(error)  # that was lost
                if worker.rank == 0 and not of_a_peer:
                    records.delete_checkpoint(self.trial.address)
                raise
            if said is not None:
                said.append(f"{self.trial.key} cannot go on from its checkpoint and begins anew: {in_a_line(error)}")
            so_far.rows.clear()
            so_far.arrays.clear()
            so_far.state = None
            yield from self._epochs(data, so_far, worker)

    def _epochs(self, data: Any, so_far: Checkpoint, worker: Worker) -> Iterator[tuple[Any, str | None]]:
        started, log = time.perf_counter(), self.log if worker.rank == 0 else lambda line: None
        log(f"begins: epochs {len(so_far.rows) + 1} to {self.trial.epochs}, on the {worker.device}")
        for epoch in self.stage.train(self.trial, data, replace(worker, resume=so_far.state)):
            self.watch()
            yield epoch, self.note(epoch, so_far, time.perf_counter() - started, log)
            started = time.perf_counter()

    def note(self, epoch: Any, so_far: Checkpoint, seconds: float, log: Callable[[str], None]) -> str | None:
        """Add an epoch to what there is so far, but for its state; why the training has diverged, if it has."""
        so_far.rows.append({"epoch": epoch.number, **epoch.metrics, "seconds": seconds})
        so_far.arrays.update(epoch.arrays)
        measured = [f", {name} {value:.5f}" for name, value in epoch.metrics.items() if name == self.stage.metric]
        log(f"epoch {epoch.number} of {self.trial.epochs}{''.join(measured)}")
        wrong = [f"{name} is {value}" for name, value in epoch.metrics.items() if not math.isfinite(value)]
        return f"diverged: {wrong[0]} after epoch {epoch.number}" if wrong else None

    def log(self, line: str) -> None:
        """A line for the worker's own log, which Ray's dashboard shows."""
        with contextlib.suppress(OSError):
            print(f"{self.stage.name} {self.trial.key}: {line}", flush=True)

    def watch(self) -> None:
        """Unless called again in time, have a stuck process write where it is stuck into its log, and end."""
        faulthandler.dump_traceback_later(self.stuck_seconds, exit=True, file=sys.__stderr__ or 2)


def unwatch() -> None:
    """The training is over."""
    faulthandler.cancel_dump_traceback_later()


class News:
    """Tells the driver of a training: at once of its first epoch, then a second apart, each time what is new."""

    def __init__(self, send: Callable[[dict[str, Any]], Any], **always: Any) -> None:
        self._send = send
        self.always = always
        """Facts that are told each time."""
        self.said: list[str] = []
        """Lines for the user, to be told with what comes next."""
        self._num_told, self._told_at = 0, -math.inf

    def due(self, rows: Rows, seconds: float = REPORT_SECONDS) -> bool:
        """Whether any of the epochs so far are new, and the last news so long ago."""
        return len(rows) > self._num_told and time.monotonic() - self._told_at >= seconds

    def tell(self, rows: Rows, **facts: Any) -> None:
        """Tell what is new of the epochs so far, and these facts."""
        new, said = rows[self._num_told :], tuple(self.said)
        self._num_told = len(rows)
        self.said.clear()
        self._send({"rows": new, "said": said, **self.always, **facts})
        self._told_at = time.monotonic()


class Unfit(Exception):
    """This machine cannot train, whatever the training."""


def check_device(device: str) -> None:
    """See that torch computes on a device at all, with one thread and the same digits each time; else Unfit."""
    try:
        import torch  # by workers only: the driver does without

        torch.set_num_threads(1)
        torch.backends.cudnn.deterministic = True
        torch.ones(1, device=device).add(1).item()
    except Exception as error:
        raise Unfit(f"torch cannot use the {device}: {in_a_line(error)}") from error


def is_of_the_machine(error: BaseException) -> bool:
    """Whether the machine is at fault, so that the training is taken up again, by another one if there is one."""
    if isinstance(error, Unfit | OSError | MemoryError | ImportError):
        return True
    import torch

    no_memory = isinstance(error, RuntimeError) and any(said in str(error) for said in NO_MEMORY)
    return no_memory or isinstance(error, torch.AcceleratorError | torch.OutOfMemoryError)


def here(device: str) -> str:
    """This machine and the device, for people."""
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return f"{socket.gethostname()} ({f'GPU {gpus}' if device.startswith('cuda') and gpus else device})"


def made_by(job: Job, worker: Worker) -> dict[str, Any]:
    """What must be the same for a checkpoint to be gone on with, since results depend on it: the code, the packages,
    the kind of device, the number of workers."""
    code = made(job.modules, worker.device)
    kind = worker.device.partition(":")[0]
    return {"sources": code.sources, "versions": code.versions, "device": kind, "num_workers": worker.num_workers}


@functools.cache
def _seen(location: str) -> None:
    folder = Folder(location)
    if not folder.exists("manifest.json"):
        raise Unusable(f"{socket.gethostname()} {UNSEEN} (--runs-dir)")


def check_reach(folder: Folder) -> None:
    """See, once, that this node sees the run folder, in which the driver has written a manifest; else Unusable."""
    _seen(folder.absolute)
