"""How long it is from a command to its first training, what runs take, and what their processes hold in memory."""

import statistics
from collections.abc import Iterator

from benchmarks.commands import bare_torch, command
from benchmarks.rows import Row, spread
from orchestrator import Run

MOST = {"smoke": 300, "laptop": 500, "paper": 500}
"""Megabytes that a worker may have to itself beyond a bare `import torch`, by preset."""
SHORT = ("--search.epochs", "1", "--kfold.epochs", "1", "--refit.epochs", "1")


def rows(full: bool) -> Iterator[Row]:
    """Starts, then whole runs whose memory is watched; the paper's kfold and refit with one epoch a training."""
    began = []
    for _ in range(5 if full else 3):
        with command("search", "--preset", "smoke") as took:
            began.append(took.training_began())
    yield Row(
        "a fresh command to its first training, seconds", spread(began, 1), "<= 12", statistics.median(began) <= 12
    )
    trained = Run("docs/results/paper").table("stages")["training_seconds"].sum() / 60
    what = "paper: core minutes of all trainings of docs/results/paper (200 is 100 minutes on two cores)"
    yield Row(what, f"{trained:.0f}", "<= 200", trained <= 200)
    bare = bare_torch()
    yield Row("`import torch` alone, MB to itself", f"{bare:.0f}")
    for preset, most in MOST.items():
        if preset == "smoke" or full:
            words = ("all",) if preset != "paper" else ("kfold", "refit", *SHORT)
            with command(*words, "--preset", preset) as took:
                extra = took.memory.workers - bare
                what = f"{preset}: a worker's memory beyond `import torch`, MB"
                yield Row(what, f"{extra:.0f}", f"<= {most}", extra <= most)
                of = f"{preset}, {' and '.join(words[:2])} only" if preset == "paper" else preset
                goal, met = ("<= 800", took.memory.driver <= 800) if preset != "smoke" else ("", None)
                yield Row(f"{of}: the driver's memory, MB", f"{took.memory.driver:.0f}", goal, met)
                if preset == "laptop":
                    minutes = took.seconds / 60
                    yield Row("laptop: all stages, minutes", f"{minutes:.1f}", "<= 6", minutes <= 6)
