"""The loop of every training of one model, what it draws at random, and the loop that evaluates a model."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from trainables.cuda_graph import Captured
from trainables.epoch import State
from trainables.optimizers import Descent

Device = torch.device | str


def random_numbers(*seed: int, device: Device = "cpu") -> torch.Generator:
    """Random numbers as a function of seed, epoch and purpose, so that a resumed training needs no other state."""
    return torch.Generator(device).manual_seed(combined(*seed))


def combined(*seed: int) -> int:
    """One number that a seed, an epoch and a purpose decide."""
    return int(np.random.SeedSequence(seed).generate_state(1)[0])


def shuffled(index: Tensor, batch_size: int, *seed: int) -> tuple[Tensor, ...]:
    """The index in an order that the seed decides, in batches on its device; the last may be smaller."""
    order = torch.randperm(len(index), generator=random_numbers(*seed)).to(index.device)
    return torch.split(index[order], batch_size)


def two_at_least(batch: Tensor) -> Tensor:
    """Indices of a batch, along the first axis; a single one twice, for batch norm wants a second number."""
    return torch.cat([batch, batch]) if len(batch) == 1 else batch


class Lengths(Protocol):
    """The settings of a training, as far as the loop reads them."""

    batch_size: int
    epochs: int


def passes(
    descent: Descent,
    index: Tensor,
    batch_loss: Callable[[Tensor], Tensor],
    settings: Lengths,
    *,
    seed: int,
    resume: State | None,
    own: bool = False,
) -> Iterator[tuple[int, float, float, Callable[[], State]]]:
    """Train a model, one pass over the examples at a time: for every batch one step down its loss.

    Args:
        descent: the model and its optimizer.
        index: shape (n,), the examples to learn from, on the model's device.
        batch_loss: mean loss of the examples with some indices. It may draw from torch's own generators, as dropout
            does: seed and pass decide what, and afterwards they go on as if nothing had been drawn.
        settings, seed, resume: the training's own (`trainables.epoch`).
        own: whether the model is the user's, who may do in it what a CUDA graph cannot.

    Yields:
        Number of the pass, from 1; mean loss over its examples, while the weights move; last batch's loss; state.
    """
    model, optimizer = descent.model, descent.optimizer

    def state(number: int) -> State:
        return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": number}

    if resume is not None:
        model.load_state_dict(resume["model"])
        optimizer.load_state_dict(resume["optimizer"])
    total = torch.zeros((), dtype=torch.float64, device=index.device)

    def step(batch: Tensor) -> Tensor:
        loss = batch_loss(batch)
        descent.minimise(loss)
        total.add_(loss.detach() * len(batch))
        return loss.detach()

    taken = step if own or not descent.capturable else Captured(step, index.device)
    for number in range(1 if resume is None else resume["epoch"] + 1, settings.epochs + 1):
        model.train()
        total.zero_()
        batches = shuffled(index, settings.batch_size, seed, number)
        with torch.random.fork_rng(devices=[index.device] if index.is_cuda else []):
            torch.manual_seed(combined(seed, number, 1))
            for position, batch in enumerate(batches):
                descent.anneal((number - 1 + position / len(batches)) / settings.epochs)
                last = taken(batch)
        yield number, total.item() / len(index), last.item(), partial(state, number)


def evaluated(
    model: nn.Module, function: Callable[[Tensor], Tensor], inputs: Tensor, *, at_once: int = 1000
) -> Tensor:
    """What a function of a model gives in evaluation mode, for so many inputs at a time, on the model's device."""
    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        return in_parts(lambda part: function(part.to(device)), inputs, at_once)


def in_parts(function: Callable[[Tensor], Tensor], inputs: Tensor, at_once: int) -> Tensor:
    """What a function gives for so many rows at a time, shape (n, ...).

    It is put where it belongs at once: kept by itself, each part's would stand between what the next parts take for a
    moment, and hold up the memory of all of that.
    """
    parts = inputs.split(at_once)
    first = function(parts[0])
    outputs = first.new_empty((len(inputs), *first.shape[1:]))
    outputs[: len(first)] = first
    for number, part in enumerate(parts[1:], start=1):
        outputs[number * at_once : number * at_once + len(part)] = function(part)
    return outputs
