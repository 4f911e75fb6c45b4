"""What all trainings share: optimizers, step sizes, random numbers, batches, and states to go on from."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def random_numbers(*seed: int) -> torch.Generator:
    """Random numbers as a function of seed, epoch and purpose, so that a resumed training needs no other state."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))


def shuffled(index: Tensor, batch_size: int, *seed: int) -> tuple[Tensor, ...]:
    """The index in an order that the seed decides, in batches on its device; the last may be smaller."""
    order = torch.randperm(len(index), generator=random_numbers(*seed)).to(index.device)
    batches: tuple[Tensor, ...] = index[order].split(batch_size)
    return batches


def resumed(model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any] | None) -> int:
    """The epoch to go on with, once model and optimizer are as the state has them; 1 where there is none."""
    if state is None:
        return 1
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["epoch"]) + 1


def snapshot(model: nn.Module, optimizer: torch.optim.Optimizer, number: int) -> Callable[[], dict[str, Any]]:
    """What an epoch gives as its state: for `resumed`."""
    return lambda: {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": number}


def annealed(learning_rate: float, progress: float) -> float:
    """Step size once a share of the training is done: down to zero along half a cosine."""
    return learning_rate * (1 + math.cos(math.pi * progress)) / 2


def make_optimizer(
    name: str, model: nn.Module, *, learning_rate: float, device: torch.device | str, **options: Any
) -> tuple[torch.optim.Optimizer, Callable[[], None]]:
    """adam, adamw or adagrad over all parameters of a model, and its step, to be called after `backward`.

    `options` are torch's own, weight_decay or betas say.
    """
    kinds: dict[str, Any] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "adagrad": torch.optim.Adagrad}
    # Adagrad has a fused step on the CPU only.
    fused = name != "adagrad" or torch.device(device).type == "cpu"
    _keep_compiler_unloaded()
    optimizer: torch.optim.Optimizer = kinds[name](model.parameters(), lr=learning_rate, fused=fused, **options)
    step = inspect.unwrap(type(optimizer).step)  # without the wrappers for torch's compiler and profiler
    return optimizer, torch.no_grad()(lambda: step(optimizer))


def _keep_compiler_unloaded() -> None:
    """Spare every worker four seconds: optimizers import torch's compiler to be left alone by it.

    Their wrapped methods look up an attribute for what to call, and import the compiler where there is none.
    """
    for method in vars(torch.optim.Optimizer).values():
        wrapped = getattr(method, "__wrapped__", None)
        if wrapped is not None:
            vars(wrapped).setdefault("__dynamo_disable", wrapped)
