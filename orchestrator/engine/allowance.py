"""The part of this machine that this process may use: its control groups bound it, of either version."""

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
GPUS = Path("/proc/driver/nvidia/gpus")


def cores(root: Path = ROOT, own: Path = OWN) -> int:
    """Whole cores, one at least: those of its affinity, or fewer where a quota gives it less time than they have."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [math.inf]
    for folder in _groups("cpu", root, own):
        periods = _numbers(folder / "cpu.max"), _numbers(folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us")
        quotas += [numbers[0] / numbers[1] for numbers in periods if len(numbers) == 2 and min(numbers) > 0]
    return max(1, int(min(there, *quotas)))


def memory_bytes(root: Path = ROOT, own: Path = OWN) -> float:
    """Memory that its control groups let it have; infinite where they set no bound."""
    folders = list(_groups("memory", root, own))
    bounds = [_numbers(folder / name) for folder in folders for name in ("memory.max", "memory.limit_in_bytes")]
    return min((bound for numbers in bounds for bound in numbers), default=math.inf)


def gpus() -> int:
    """GPUs that the variable CUDA_VISIBLE_DEVICES leaves."""
    there, visible = len(list(GPUS.glob("*"))), os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return there
    return min(there, sum(name.strip() not in {"", "-1", "NoDevFiles"} for name in visible.split(",")))


def _groups(controller: str, root: Path, own: Path) -> Iterator[Path]:
    """The folders of a controller's groups, from that of this process up to the topmost that is seen from here."""
    lines: list[str] = []
    with contextlib.suppress(OSError):
        lines = own.read_text().splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers or controller in controllers.split(","):
            top = root / controller if controllers else root
            folder = top / path.strip("/")
            yield from (it for it in (folder, *folder.parents) if it.is_relative_to(top))


def _numbers(*files: Path) -> list[float]:
    """What stands in the files, one after the other; nothing where one is not there."""
    with contextlib.suppress(OSError, ValueError):
        return [float(word.replace("max", "inf")) for file in files for word in file.read_text().split()]
    return []
