"""What a worker does around a training, whoever runs it: inputs, checkpoints, weights; sealed, in the run folder."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import math
import pickle
import socket
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import NDArray

from orchestrator.results import Damaged, Run, Unusable

if TYPE_CHECKING:
    from orchestrator.stage import Context, Trial
    from trainables.epoch import Epoch

GRACE_SECONDS = 15
"""That a stuck worker has to end itself before it is ended."""
UNSEEN = "does not see the run folder: it must lie on a disk that all nodes share, or on s3://"
"""What a node is told of."""
Rows = list[dict[str, float]]
"""Metrics of the epochs so far, each with its number and seconds."""
Arrays = dict[str, NDArray[Any]]
"""By name."""
Checkpoint = tuple[Rows, dict[str, Any] | None, Arrays]
"""Epochs so far, the state after the last of them, and the arrays kept until then."""


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
    stuck_seconds: float
    """After which a worker that finished no epoch counts as stuck."""
    retries: int
    """Times that a lost worker's training is taken up again."""
    compared: str | None = None
    """Metric by which it may be stopped early."""

    @classmethod
    def of(cls, trial: Trial, context: Context, *, compared: str | None = None) -> Self:
        """A stage's trial."""
        return cls(
            stage=context.stage.name,
            folder=context.records,
            key=trial.key,
            config=trial.config,
            epochs=trial.epochs,
            weights=trial.weights,
            stuck_seconds=60 * context.settings.resources.stuck_minutes,
            retries=context.settings.resources.retries,
            compared=compared,
        )


def inputs_name(folder: str) -> str:
    """File in the run folder with the arrays that a stage's trainings are given beside the images."""
    return f"{folder}/inputs.safetensors"


def record_name(folder: str, key: str) -> str:
    """File in the run folder that says how a training went, once it is over."""
    return f"{folder}/{key}.json"


def checkpoint_name(folder: str, key: str) -> str:
    """File in the run folder that a half-done training is taken up again from."""
    return f"{folder}/{key}.checkpoint"


def weights_name(folder: str, key: str) -> str:
    """File in the run folder with a training's final weights."""
    return f"{folder}/{key}.safetensors"


def arrays_name(folder: str, key: str) -> str:
    """File in the run folder with the arrays that a training kept for its stage to look at."""
    return f"{folder}/{key}.arrays.safetensors"


def load_inputs(run: Run, folder: str) -> Arrays | None:
    """What a stage has computed for its trainings; None where there is nothing, or nothing whole."""
    from safetensors.numpy import load

    try:
        return load(run.read_sealed(inputs_name(folder)))
    except (FileNotFoundError, Damaged):
        return None


def inputs_of(run: Run, job: Job) -> dict[str, Arrays]:
    """The inputs as an argument for the job's training; nothing where its stage has none."""
    inputs = load_inputs(run, job.folder)
    return {} if inputs is None else {"inputs": inputs}


def save_checkpoint(run: Run, job: Job, rows: Rows, state: dict[str, Any], kept: Arrays | None = None) -> None:
    """Keep how far a training is."""
    import torch

    content = io.BytesIO()
    arrays = {name: torch.from_numpy(array) for name, array in (kept or {}).items()}
    torch.save({"config": job.config, "rows": rows, "state": state, "kept": arrays}, content)
    run.write_sealed(checkpoint_name(job.folder, job.key), content.getvalue())


def load_checkpoint(run: Run, job: Job) -> Checkpoint:
    """Where a lost worker left off; the beginning, where there is nothing of this."""
    import torch

    try:
        content = run.read_sealed(checkpoint_name(job.folder, job.key))
    except (FileNotFoundError, Damaged):
        return [], None, {}
    with contextlib.suppress(pickle.UnpicklingError, RuntimeError, KeyError):  # a stranger's, or an older program's
        saved = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
        if saved["config"] == job.config:
            return saved["rows"], saved["state"], {name: tensor.numpy() for name, tensor in saved["kept"].items()}
    return [], None, {}


def save_results(run: Run, job: Job, state: dict[str, Any], kept: Arrays | None = None) -> None:
    """Keep the weights of a finished training, where they are wanted, and the arrays that it kept."""
    from safetensors.numpy import save as save_arrays
    from safetensors.torch import save as save_tensors

    if job.weights:
        tensors = {name: tensor.contiguous().cpu() for name, tensor in state["model"].items()}
        run.write_sealed(weights_name(job.folder, job.key), save_tensors(tensors))
    if kept:
        run.write_sealed(arrays_name(job.folder, job.key), save_arrays(kept))


def check_reach(run: Run) -> None:
    """See that this node sees the run folder, in which the driver has written a manifest before anything else.

    Raises:
        Unusable: it does not.
    """
    if not run.exists("manifest.json"):
        raise Unusable(f"{socket.gethostname()} {UNSEEN} (--runs-dir)")


def watch(job: Job) -> None:
    """From now on, unless called again in time, a stuck process writes where it is stuck into its log and ends."""
    faulthandler.dump_traceback_later(job.stuck_seconds, exit=True, file=sys.__stderr__ or 2)


def unwatch() -> None:
    """The training is over."""
    faulthandler.cancel_dump_traceback_later()


def why_diverged(epoch: Epoch) -> str | None:
    """Which metric is no longer a finite number, in a sentence; None where all are."""
    wrong = [name for name, value in epoch.metrics.items() if not math.isfinite(value)]
    return f"diverged: {wrong[0]} is {epoch.metrics[wrong[0]]} after epoch {epoch.number}" if wrong else None
