"""What this machine has, and how many trainings that is room for; starts no Ray."""

from orchestrator.engine import allowance
from orchestrator.engine.settings import Resources


def slots_for(cpus: float, gpus: float, resources: Resources) -> int:
    """How many trainings run at once on this many cores and GPUs."""
    by_default = gpus // resources.gpus_per_training if gpus else cpus
    return resources.slots or max(1, int(by_default))


def this_machine() -> tuple[int, int]:
    """Cores and GPUs that a Ray of our own has: those that this process may use."""
    return allowance.cores(), allowance.gpus()
