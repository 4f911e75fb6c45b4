"""What machines have, and how many trainings that is room for; starts no Ray."""

import contextlib
import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orchestrator.engine import allowance
from orchestrator.engine.settings import Resources

MOST_ON_A_GPU = 8
"""Trainings that share a GPU by default, at most: each takes some of its memory, up to a gigabyte."""


@dataclass(frozen=True)
class Machine:
    """What trainings can have of it; or, of what there is, what each of them takes."""

    cpus: float
    gpus: float = 0.0

    def room_for(self, share: "Machine") -> int:
        """How many trainings with this share run here at once: whole ones on each GPU, and on its cores."""
        on_cpus = _whole(self.cpus / share.cpus)
        return min(on_cpus, int(self.gpus) * _whole(1 / share.gpus)) if share.gpus else on_cpus


def share_for(machines: Sequence[Machine], resources: Resources) -> Machine:
    """What a training takes: a core, or of each GPU's cores and the GPU the same share, or less for more slots."""
    with_gpus = [machine for machine in machines if machine.gpus >= 1]
    if not with_gpus:
        cpus, slots = [machine.cpus for machine in machines if machine.cpus], resources.slots or 1
        shares = [1.0, *(own / number for own in set(cpus) for number in range(1, slots + 1))]
        enough = [share for share in shares if sum(_whole(own / share) for own in cpus) >= slots]
        return Machine(_floor(min(1.0, max(enough, default=1.0))))
    on_each = min(MOST_ON_A_GPU, *(max(1, int(machine.cpus // machine.gpus)) for machine in with_gpus))
    on_each = _whole(1 / resources.gpus_per_training) if resources.gpus_per_training else on_each
    if resources.slots:
        on_each = max(on_each, math.ceil(resources.slots / sum(int(machine.gpus) for machine in with_gpus)))
    cores = min(machine.cpus / (int(machine.gpus) * on_each) for machine in with_gpus)
    return Machine(_floor(min(1.0, cores or 1.0)), _floor(1 / on_each))


def slots_for(machines: Sequence[Machine], resources: Resources, share: Machine | None = None) -> int:
    """How many trainings run at once on these machines, each with this share, or with that which suits them."""
    share = share or share_for(machines, resources)
    return resources.slots or max(1, sum(machine.room_for(share) for machine in machines))


def _whole(number: float) -> int:
    return int(number + 1e-9)  # 1 / .1 is less than 10, as floats are


def _floor(share: float) -> float:
    return math.floor(share * 1e4 + 1e-5) / 1e4  # Ray counts in ten thousandths


def this_machine() -> Machine:
    """What a Ray of our own has: the cores and GPUs that this process may use."""
    return Machine(allowance.cores(), allowance.gpus())


@contextlib.contextmanager
def scratch() -> Iterator[str]:
    """A folder of this machine for what Ray writes and nobody reads."""
    # Where Ray is our own the variable names its folder, which goes even if this process is killed.
    place = os.environ.get("TMPDIR", "")
    within = place if os.path.isdir(place) else None
    with tempfile.TemporaryDirectory(prefix="orchestrator-", dir=within, ignore_cleanup_errors=True) as path:
        yield path
