"""Convolution, ReLU and batch norm with the batch as the last axis, compiled for the CPU at hand.

Every pixel of a convolution's result is a sum of rows as long as the batch, each times a weight: those pixels of the
input that the kernel finds there. What it finds is one list for the inside of an image and shorter ones along its
edges, or, for a transposed convolution, one for each phase of the stride. So pixels with the same list share their
weights; no patches are gathered, and nothing is padded. Sums are in a fixed order: the same numbers each time on CPUs
of one kind.

Source: the lists are those of Dukhan, The Indirect Convolution Algorithm (2019).
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from trainables.cpu_loops import add_weights_gradient, normalise, normalise_back, sum_rows
from trainables.images import Geometry, Size


def block(
    x: Tensor,
    convolution: nn.Conv2d | nn.ConvTranspose2d,
    geometry: Geometry,
    size: Size,
    *,
    relu: bool = False,
    norm: nn.BatchNorm2d | None = None,
) -> Tensor:
    """What a convolution of either kind makes of x, then ReLU and batch norm where there are these; with gradients.

    Args:
        x: float32 or float64, shape (channels, height, width, batch), as the result.
        convolution: with a bias, without dilation or groups.
        geometry, size: the convolution's, and that of the images it makes.
        norm: one that is training, whose running statistics are updated, or, where gradients are off, one that is
            not, which has its own.
    """
    kind = _Kind(geometry, size, isinstance(convolution, nn.ConvTranspose2d), relu)
    if norm is not None and not norm.training:
        assert convolution.bias is not None
        scale = norm.weight * torch.rsqrt(norm.get_buffer("running_var") + norm.eps)
        shift = norm.bias - norm.get_buffer("running_mean") * scale
        afterwards = relu, _array(scale), _array(shift)
        return _summed(x, convolution.weight, _array(convolution.bias), geometry, size, kind.transposed, *afterwards)
    of_norm = (None, None) if norm is None else (norm.weight, norm.bias)
    result: Tensor = _Block.apply(x, convolution.weight, convolution.bias, *of_norm, kind, norm)
    return result


class _Kind(NamedTuple):
    geometry: Geometry
    size: Size
    """Of the result."""
    transposed: bool
    relu: bool


class _Block(torch.autograd.Function):
    """One kind of convolution's result is made as the other kind's gradient is."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        norm_weight: Tensor | None,
        norm_bias: Tensor | None,
        kind: _Kind,
        norm: nn.BatchNorm2d | None,
    ) -> Tensor:
        y = _summed(x, weight, _array(bias), kind.geometry, kind.size, kind.transposed, kind.relu)
        ctx.kind = kind
        if norm is None:
            ctx.save_for_backward(x, weight, y if kind.relu else None)
            return y
        assert norm_weight is not None
        assert norm_bias is not None
        result, moments = torch.empty_like(y), y.new_empty(2, len(y))
        running = (_array(norm.get_buffer(f"running_{name}")) for name in ("mean", "var"))
        normalise(*map(_array, (y, norm_weight, norm_bias, result, moments)), *running, norm.momentum, norm.eps)
        norm.get_buffer("num_batches_tracked").add_(1)
        ctx.save_for_backward(x, weight, y, norm_weight, moments)
        ctx.eps = norm.eps
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight, y, *of_norm), gradient = ctx.saved_tensors, gradients[0].contiguous()
        geometry, _, transposed, relu = ctx.kind
        if of_norm:
            before, sums = torch.empty_like(gradient), y.new_empty(3, len(y))
            normalise_back(*map(_array, (gradient, y, *of_norm, before, sums)), relu, ctx.eps)
            gradient = before
        else:
            gradient = torch.ops.aten.threshold_backward(gradient, y, 0) if relu else gradient
            sums = gradient.flatten(1).sum(1), None, None
        of_x = None
        if ctx.needs_input_grad[0]:
            nothing = np.zeros(len(x), _array(x).dtype)
            of_x = _summed(gradient, weight, nothing, geometry, x.shape[1:3], not transposed)
        inputs, outputs = (gradient, x) if transposed else (x, gradient)
        of_weight = torch.zeros_like(weight)
        lists = _lists(inputs.shape[1:3], outputs.shape[1:3], geometry, transposed=False)
        add_weights_gradient(_array(inputs), _array(outputs), of_weight.flatten(2).numpy(), *lists)
        return of_x, of_weight, *sums, None, None


def _summed(
    x: Tensor,
    weight: Tensor,
    bias: NDArray[Any],
    geometry: Geometry,
    size: Size,
    transposed: bool,
    relu: bool = False,
    scale: NDArray[Any] | None = None,
    shift: NDArray[Any] | None = None,
) -> Tensor:
    """A convolution's result, or a transposed one's; then scaled and shifted by channels, where that is asked for."""
    weights = weight.detach().numpy().reshape(*weight.shape[:2], -1)
    weights = np.ascontiguousarray(weights.swapaxes(0, 1)) if transposed else weights
    result, none = x.new_empty(len(weights), *size, x.shape[3]), bias[:0]
    afterwards = relu, none if scale is None else scale, none if shift is None else shift
    sum_rows(_array(x), weights, bias, *afterwards, _array(result), *_lists(x.shape[1:3], size, geometry, transposed))
    return result


def _array(x: Tensor) -> NDArray[Any]:
    """The same numbers; images as (channels, pixels, batch)."""
    array: NDArray[Any] = np.ascontiguousarray(x.detach().numpy())
    return array.reshape(len(array), math.prod(array.shape[1:3]), array.shape[3]) if array.ndim == 4 else array


class _Lists(NamedTuple):
    """For every pixel of a result, which pixels of the input the kernel's elements find; by kinds of pixels.

    All pixels of a kind have the same elements. A kind's pixels are `pixels[starts[kind] : starts[kind + 1]]`, its
    elements `elements[kind, : counts[kind]]`; what these find for the pixel at a position is `found[position]`.
    """

    elements: NDArray[np.int64]
    counts: NDArray[np.int64]
    starts: NDArray[np.int64]
    pixels: NDArray[np.int64]
    found: NDArray[np.int64]


@functools.lru_cache(maxsize=1000)
def _lists(before: Size, after: Size, geometry: Geometry, transposed: bool) -> _Lists:
    """Of images of one size that become images of another."""
    kernel, stride, padding = geometry

    def finds(at: int, element: int, side: int) -> int | None:
        """Along one axis: where in the input an element of the kernel is, for a place in the result."""
        place, rest = divmod(at + padding - element, stride) if transposed else (at * stride - padding + element, 0)
        return place if rest == 0 and 0 <= place < side else None

    kinds: dict[tuple[int, ...], list[tuple[int, list[int]]]] = {}
    for row in range(after[0]):
        for column in range(after[1]):
            found = {
                down * kernel + right: above * before[1] + left
                for down in range(kernel)
                for right in range(kernel)
                if (above := finds(row, down, before[0])) is not None
                and (left := finds(column, right, before[1])) is not None
            }
            kinds.setdefault(tuple(found), []).append((row * after[1] + column, list(found.values())))
    members = [member for kind in kinds.values() for member in kind]
    return _Lists(
        _filled(list(kinds), kernel**2),
        np.array([len(kind) for kind in kinds]),
        np.cumsum([0, *(len(kind) for kind in kinds.values())]),
        np.array([pixel for pixel, _ in members]),
        _filled([found for _, found in members], kernel**2),
    )


def _filled(rows: list[Any], length: int) -> NDArray[np.int64]:
    return np.array([[*row, *[0] * (length - len(row))] for row in rows], np.int64)
