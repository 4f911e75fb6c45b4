"""What a worker does around a training, whoever runs it: inputs, checkpoints, weights; all in the run folder."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from orchestrator.results import Run

if TYPE_CHECKING:
    from orchestrator.stage import Context, Trial
    from trainables.epoch import Epoch

Rows = list[dict[str, float]]
"""Metrics of the epochs so far, each with its number and seconds."""


@dataclass(frozen=True)
class Job:
    """A trial as a worker is told of it."""

    stage: str
    folder: str
    """Of the stage's records."""
    key: str
    config: dict[str, Any]
    epochs: int
    weights: bool
    """Whether the final weights are kept."""
    compared: str | None = None
    """Metric by which it may be stopped early."""

    @classmethod
    def of(cls, trial: Trial, context: Context, *, compared: str | None = None) -> Self:
        """A stage's trial."""
        stage, folder = context.stage.name, context.records
        return cls(stage, folder, trial.key, trial.config, trial.epochs, trial.weights, compared)


def inputs_name(folder: str) -> str:
    """File in the run folder with the arrays that a stage's trainings are given beside the images."""
    return f"{folder}/inputs.safetensors"


def checkpoint_name(folder: str, key: str) -> str:
    """File in the run folder that a half-done training is taken up again from."""
    return f"{folder}/{key}.checkpoint"


def load_inputs(run: Run, job: Job) -> dict[str, Any]:
    """What the stage has computed for its trainings, as an argument for them; nothing where there is none."""
    from safetensors.numpy import load

    try:
        return {"inputs": load(run.read(inputs_name(job.folder)))}
    except FileNotFoundError:
        return {}


def save_checkpoint(run: Run, job: Job, rows: Rows, state: dict[str, Any]) -> None:
    """Keep how far a training is."""
    import torch

    content = io.BytesIO()
    torch.save({"config": job.config, "rows": rows, "state": state}, content)
    run.write(checkpoint_name(job.folder, job.key), content.getvalue())


def load_checkpoint(run: Run, job: Job) -> tuple[Rows, dict[str, Any] | None]:
    """Where a lost worker left off; the beginning, where there is nothing of this training."""
    import torch

    try:
        content = run.read(checkpoint_name(job.folder, job.key))
    except FileNotFoundError:
        return [], None
    saved = torch.load(io.BytesIO(content), weights_only=True)
    return (saved["rows"], saved["state"]) if saved["config"] == job.config else ([], None)


def save_weights(run: Run, job: Job, state: dict[str, Any]) -> None:
    """Keep the weights of a finished training, where they are wanted."""
    from safetensors.torch import save

    if job.weights:
        tensors = {name: tensor.contiguous().cpu() for name, tensor in state["model"].items()}
        run.write(f"{job.folder}/{job.key}.safetensors", save(tensors))


def save_arrays(run: Run, job: Job, name: str, arrays: dict[str, Any]) -> None:
    """Keep arrays that a training has made, for its stage to look at."""
    from safetensors.numpy import save

    run.write(f"{job.folder}/{job.key}.{name}.safetensors", save(arrays))


def why_diverged(epoch: Epoch) -> str | None:
    """Which metric is no longer a finite number, in a sentence; None where all are."""
    wrong = [name for name, value in epoch.metrics.items() if not math.isfinite(value)]
    return f"diverged: {wrong[0]} is {epoch.metrics[wrong[0]]} after epoch {epoch.number}" if wrong else None
