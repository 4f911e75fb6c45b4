"""Batch norm that does not depend on how many workers share a batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd import Function
from torch.nn import functional

PIXELS = (0, 2, 3)
"""The dimensions over which a channel is averaged: images, rows, columns."""


def shared() -> bool:
    """Whether other workers have shares of each batch."""
    return distributed.is_initialized() and distributed.get_world_size() > 1


class BatchNorm(nn.BatchNorm2d):
    """Batch norm over the whole batch, of which each worker has an equal share.

    y = w (x - m) / sqrt(v + eps) + b, with the mean m and the variance v of each channel over all workers' images of
    shape (share, channels, height, width). Sums of shares are added up among the workers, forward and backward: what
    any number of workers computes is what one does, but for rounding, and the paper's batch of 256 stays one batch.
    Ghost batches (Hoffer et al. 2017) would need no such sums, and would be another network than the paper's. torch's
    own SyncBatchNorm is the same thing for GPUs only.
    """

    held = False
    """Whether the batch's mean and variance count as constants, and leave the running ones alone."""

    def forward(self, x: Tensor) -> Tensor:
        """y, of the same shape."""
        if not self.training or not (shared() or self.held):
            return super().forward(x)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.held):
            mean = self._over_workers(x.mean(PIXELS))
            centred = x - mean[:, None, None]
            var = self._over_workers(centred.square().mean(PIXELS))
        if self.held:
            return functional.batch_norm(x, mean, var, self.weight, self.bias, eps=self.eps)
        self._remember(mean.detach(), var.detach(), x.numel() // len(mean) * distributed.get_world_size())
        scale = self.weight * torch.rsqrt(var + self.eps)
        return centred * scale[:, None, None] + self.bias[:, None, None]

    def _over_workers(self, of_share: Tensor) -> Tensor:
        if not shared():
            return of_share
        total: Tensor = _Total.apply(of_share)
        return total / distributed.get_world_size()

    def _remember(self, mean: Tensor, var: Tensor, number: int) -> None:
        """As torch does, with the variance that has no bias."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var * number / (number - 1), self.momentum)


class _Total(Function):
    """Sum over the workers of a tensor that each has, and of the gradients that come back."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total: Tensor = _Total.apply(gradient)
        return total


@contextmanager
def held_statistics(network: nn.Module) -> Iterator[None]:
    """Have a network's batch norms take each batch's mean and variance for constants."""
    norms = [module for module in network.modules() if isinstance(module, BatchNorm)]
    for norm in norms:
        norm.held = True
    try:
        yield
    finally:
        for norm in norms:
            norm.held = False
