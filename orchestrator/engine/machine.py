"""What this machine has, and how many trainings that is room for; starts no Ray."""

import os
from pathlib import Path

from orchestrator.engine.settings import Resources


def slots_for(cpus: float, gpus: float, resources: Resources) -> int:
    """How many trainings run at once on this many cores and GPUs."""
    by_default = gpus // resources.gpus_per_training if gpus else cpus
    return resources.slots or max(1, int(by_default))


def this_machine() -> tuple[int, int]:
    """Cores and GPUs that a Ray of our own would have."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cpus, len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
