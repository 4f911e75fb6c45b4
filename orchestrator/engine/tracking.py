"""Trainings as TensorBoard, MLflow and Weights & Biases show them, by Ray's own callbacks for these."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from orchestrator.engine.checkpoint import Rows
from orchestrator.engine.settings import Tracker, UserError
from orchestrator.engine.shown import in_a_line

PACKAGES: dict[Tracker, str] = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}
WAIT_SECONDS = 60
"""For what is still on its way to Weights & Biases when all is trained."""


class Shown:
    """A training as those callbacks are told of it: what they read of a trial of Tune."""

    def __init__(self, name: str, config: Mapping[str, Any], folder: str) -> None:
        self.name, self.config, self.trial_id, self.num_told = name, dict(config), secrets.token_hex(8), 0
        self.evaluated_params, self.experiment_dir_name = self.config, name.partition("/")[0]
        self.local_path = os.path.join(folder, name)

    def init_local_path(self) -> None:
        """Make the folder for its event files."""
        os.makedirs(self.local_path, exist_ok=True)

    def __str__(self) -> str:
        return self.name


class Tracking:
    """Tells trackers of trainings, by name ("kfold/best-sequential-0-seed-1").

    What a tracker cannot take, since its server is gone say, costs no training: a line says so, and it is told no
    more. MLflow and Weights & Biases are set up by their own variables (MLFLOW_TRACKING_URI, WANDB_MODE, ...).
    """

    def __init__(
        self,
        trackers: Sequence[Tracker] = (),
        run_name: str = "",
        files: str = "",
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Of a run; `files` is a folder on this machine for what they write. UserError where a package is missing."""
        for name in trackers:
            if find_spec(PACKAGES[name]) is None:
                extra = f"pip install 'fashion-mnist-orchestrator[{name}]'"
                raise UserError(f"--track {name}: the package {PACKAGES[name]} is not installed ({extra})")
        self._trackers, self._run_name, self._files, self._say = trackers, run_name, files, say
        self._callbacks: dict[Tracker, Any] = {}
        self._running: dict[str, Shown] = {}

    @contextmanager
    def open(self) -> Iterator[None]:
        """Reach the trackers, and wait in the end until they have it all; UserError where one cannot be reached."""
        if self._trackers:
            self._say(f"{', '.join(self._trackers)}: told of each training; files in {self._files}")
        for name in self._trackers:
            try:
                self._callbacks[name] = _callback(name, self._run_name)
                self._callbacks[name].setup()
            except Exception as error:
                raise UserError(f"--track {name}: {error}") from None
        try:
            yield
        finally:
            self._tell(lambda callback: callback.on_experiment_end([]))

    def started(self, name: str, config: Mapping[str, Any]) -> None:
        """A training begins, or is taken up again."""
        if self._callbacks and name not in self._running:
            shown = self._running[name] = Shown(name, config, self._files)
            self._tell(lambda callback: shown.init_local_path())
            self._tell(lambda callback: callback.log_trial_start(shown))

    def reported(self, name: str, rows: Rows) -> None:
        """All its epochs so far; those that are known are not told again."""
        if shown := self._running.get(name):
            new, shown.num_told = rows[shown.num_told :], max(shown.num_told, len(rows))
            for row in new:
                self._tell_epoch(shown, int(row["epoch"]), row)

    def ended(self, name: str, rows: Rows, *, failed: bool) -> None:
        """It is over, with these epochs."""
        self.reported(name, rows)
        if shown := self._running.pop(name, None):
            self._tell(lambda callback: callback.log_trial_end(shown, failed=failed))

    def _tell_epoch(self, shown: Shown, number: int, row: Mapping[str, float]) -> None:
        metrics = {**row, "training_iteration": number}
        self._tell(lambda callback: callback.log_trial_result(number, shown, metrics))

    def _tell(self, tell: Callable[[Any], object]) -> None:
        for name, callback in list(self._callbacks.items()):
            try:
                tell(callback)
            except Exception as error:
                del self._callbacks[name]
                self._say(f"{name} is told no more: {in_a_line(error)}")


def _callback(name: Tracker, run_name: str) -> Any:
    if name == "tensorboard":
        from ray.tune.logger.tensorboardx import TBXLoggerCallback

        return TBXLoggerCallback()
    if name == "mlflow":
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        return MLflowLoggerCallback(experiment_name=run_name)
    from ray.air.integrations.wandb import WandbLoggerCallback

    project = os.environ.get("WANDB_PROJECT", "fashion-mnist-orchestrator")
    mode = os.environ.get("WANDB_MODE")  # which a Ray that was up before has not got
    return WandbLoggerCallback(project, upload_timeout=WAIT_SECONDS, tags=[run_name], mode=mode)
