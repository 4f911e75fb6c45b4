"""What a worker does around a training, whoever runs it: watches it, and sees that its node has the run folder."""

import faulthandler
import math
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.engine.folder import Folder, Unusable
from orchestrator.engine.records import Checkpoint, Records, Trial
from orchestrator.engine.stage import Stage, Worker

GRACE_SECONDS = 15
"""How long a stuck worker has to end itself before it is ended."""
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

    def epochs(
        self, data: Any, records: Records, so_far: Checkpoint, worker: Worker
    ) -> Iterator[tuple[Any, str | None]]:
        """The training's epochs, watched, and for each why it has diverged, if it has.

        It goes on from what there is `so_far`, to which every epoch is added, but for its state. The stage's inputs
        are among its records.
        """
        self.watch()
        inputs = records.arrays(self.inputs) if self.inputs else {}
        started = time.perf_counter()
        for epoch in self.stage.train(self.trial, data, replace(worker, resume=so_far.state, inputs=inputs)):
            self.watch()
            so_far.rows.append({"epoch": epoch.number, **epoch.metrics, "seconds": time.perf_counter() - started})
            so_far.arrays.update(epoch.arrays)
            wrong = [f"{name} is {value}" for name, value in epoch.metrics.items() if not math.isfinite(value)]
            yield epoch, f"diverged: {wrong[0]} after epoch {epoch.number}" if wrong else None
            started = time.perf_counter()

    def watch(self) -> None:
        """Unless called again in time, have a stuck process write where it is stuck into its log, and end."""
        faulthandler.dump_traceback_later(self.stuck_seconds, exit=True, file=sys.__stderr__ or 2)


def unwatch() -> None:
    """The training is over."""
    faulthandler.cancel_dump_traceback_later()


def check_reach(folder: Folder) -> None:
    """See that this node sees the run folder, in which the driver has written a manifest first; else Unusable."""
    if not folder.exists("manifest.json"):
        raise Unusable(f"{socket.gethostname()} {UNSEEN} (--runs-dir)")
