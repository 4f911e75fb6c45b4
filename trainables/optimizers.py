"""Optimizers with their step sizes, which leave torch's compiler unloaded."""

import inspect
import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

Schedule = Literal["constant", "cosine"]


class Descent:
    """adam, adamw or adagrad over a model's parameters, with a step size that stays or falls.

    The schedule cosine takes it from the learning rate down to zero along half a cosine. `options` are torch's own,
    weight_decay or betas say.
    """

    def __init__(self, name: str, model: nn.Module, learning_rate: float, schedule: Schedule, **options: Any) -> None:
        kinds: dict[str, Any] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "adagrad": torch.optim.Adagrad}
        device = next(model.parameters()).device
        self.capturable = device.type == "cuda" and name != "adagrad"
        """Whether a CUDA graph can hold a step."""
        # Adagrad has a fused step on the CPU only.
        fused = name != "adagrad" or device.type == "cpu"
        options |= {"capturable": True} if self.capturable else {}
        _keep_compiler_unloaded()
        self.model, self.learning_rate, self.schedule = model, learning_rate, schedule
        self._rate = torch.tensor(learning_rate, device=device) if self.capturable else None
        self.optimizer = kinds[name](model.parameters(), lr=learning_rate, fused=fused, **options)
        self.optimizer._warned_capturable_if_run_uncaptured = True  # the first steps are not captured
        self._step = inspect.unwrap(type(self.optimizer).step)  # without wrappers for torch's compiler and profiler

    def anneal(self, progress: float) -> None:
        """Set the step size for when a share of the training, from 0 to 1, is done."""
        if self.schedule == "constant":
            return
        rate: float | Tensor = self.learning_rate * (1 + math.cos(math.pi * progress)) / 2
        if self._rate is not None:  # where a graph finds it
            rate = self._rate.fill_(rate)
        self.optimizer.param_groups[0]["lr"] = rate

    def minimise(self, loss: Tensor) -> None:
        """Go one step down the gradient of a scalar loss."""
        self.optimizer.zero_grad()
        loss.backward()
        with torch.no_grad():
            self._step(self.optimizer)


def _keep_compiler_unloaded() -> None:
    """Spare every worker four seconds: optimizers import torch's compiler to be left alone by it.

    Their wrapped methods look up an attribute for what to call, and import the compiler where there is none.
    """
    for method in vars(torch.optim.Optimizer).values():
        if wrapped := getattr(method, "__wrapped__", None):
            vars(wrapped).setdefault("__dynamo_disable", wrapped)
