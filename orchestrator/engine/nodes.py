"""Ray's nodes as trainings see them: how many fit by now, and which are left out, since they fail whatever it is."""

import math
import time
from collections import Counter

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.engine.cluster import Cluster, nodes

FAILURES_IN_A_ROW = 2
"""After which no more trainings run on a node."""
ASK_SECONDS = 1
"""How often Ray is asked what there is."""


class _Placeholder:
    """Takes the place of a training where none is to run: Ray has no other way to keep Tune's trials from a node."""


class Nodes:
    """The nodes of a cluster, but for those that are left out."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._failures: Counter[str] = Counter()
        """Trainings in a row that each node could not even begin."""
        self._slots, self._asked = 0, -math.inf

    @property
    def slots(self) -> int:
        """How many trainings run at once by now."""
        if time.monotonic() - self._asked >= ASK_SECONDS:
            self._slots, self._asked = self._cluster.slots_now(), time.monotonic()
        return self._slots

    def worked(self, node: str) -> None:
        """A node has done a training."""
        self._failures.pop(node, None)

    def failed(self, node: str) -> bool:
        """A node could not even begin a training; whether it is left out by now, which the last one never is."""
        left_out, share = self._cluster.left_out, self._cluster.share
        self._failures[node] += 1
        if node not in left_out and self._failures[node] >= FAILURES_IN_A_ROW:
            room = {name: own.room_for(share) for name, own in nodes().items() if name not in left_out}
            here = room.pop(node, 0)
            if any(room.values()):
                there = NodeAffinitySchedulingStrategy(node, soft=False)
                placeholder = ray.remote(_Placeholder).options(
                    num_cpus=share.cpus, num_gpus=share.gpus, scheduling_strategy=there
                )
                left_out[node] = [placeholder.remote() for _ in range(here)]
                self._asked = -math.inf
        return node in left_out
