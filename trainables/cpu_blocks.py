"""Convolution, ReLU and batch norm with the batch as the last axis, compiled for the CPU at hand.

Every pixel of a convolution's result is a sum of rows as long as the batch, each times a weight: those pixels of the
input that the kernel finds there. What it finds is one list for the inside of an image and shorter ones along its
edges, or, for a transposed convolution, one for each phase of the stride. So pixels with the same list share their
weights; no patches are gathered, and nothing is padded. Sums are in a fixed order: the same numbers each time on CPUs
of one kind.

Source: the lists are those of Dukhan, The Indirect Convolution Algorithm (2019).
"""

import contextlib
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from numba.core.caching import FunctionCache
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from trainables.images import Geometry, Size

Loops = Callable[..., None]


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
        _normalise(*map(_array, (y, norm_weight, norm_bias, result, moments)), *running, norm.momentum, norm.eps)
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
            _normalise_back(*map(_array, (gradient, y, *of_norm, before, sums)), relu, ctx.eps)
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
        _add_weights_gradient(_array(inputs), _array(outputs), of_weight.flatten(2).numpy(), *lists)
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
    _sum_rows(
        _array(x), weights, bias, *afterwards, _array(result), *_lists(x.shape[1:3], size, geometry, transposed)
    )
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


class _Kept(FunctionCache):
    """What was compiled, on the disk; where it cannot be read or written, all goes on without it."""

    def load_overload(self, *asked: Any) -> Any:
        try:
            return super().load_overload(*asked)
        except Exception:  # of any class: a file was cut off, or is another's
            with contextlib.suppress(Exception):
                self.flush()
            return None

    def save_overload(self, *given: Any) -> None:
        with contextlib.suppress(Exception):  # a full disk, say
            super().save_overload(*given)


def _compiled(*relaxed: str) -> Callable[[Loops], Loops]:
    """Compiled at its first call for the CPU at hand, and kept on the disk where a place for that can be written."""

    def decorate(function: Loops) -> Loops:
        compiled: Any = numba.njit(nogil=True, error_model="numpy", fastmath=set(relaxed))(function)
        with contextlib.suppress(RuntimeError):  # no such place
            compiled._cache = _Kept(function)
        loops: Loops = compiled
        return loops

    return decorate


@_compiled("contract", "nsz")
def _sum_rows(  # type: ignore[no-untyped-def]
    x, weights, bias, relu, scale, shift, result, elements, counts, starts, pixels, found
) -> None:
    """Fill a result, (channels, pixels, batch), from x, likewise, and weights (channels after, before, elements).

    It is rectified, then scaled and shifted by channels, where there is a scale.

    Nine rows at a time go into every channel, into two of them at once: what a processor's registers hold.
    """
    num_before, num_pixels, batch = x.shape
    num_after = len(result)
    rows = x.reshape(num_before * num_pixels, batch)
    most = num_before * elements.shape[1] + 3
    factors = np.zeros((num_after, most), x.dtype)
    at = np.zeros(most, np.uint64)
    for kind in range(len(counts)):
        count = counts[kind]
        num_rows = num_before * count
        in_nines, in_threes = num_rows // 9 * 9, (num_rows + 2) // 3 * 3
        factors[:, num_rows:in_threes] = 0
        for after in range(num_after):
            for before in range(num_before):
                for j in range(count):
                    factors[after, before * count + j] = weights[after, before, elements[kind, j]]
        for position in range(starts[kind], starts[kind + 1]):
            for before in range(num_before):
                for j in range(count):
                    at[before * count + j] = before * num_pixels + found[position, j]
            at[num_rows:in_threes] = at[0]
            pixel = pixels[position]
            for after in range(num_after):
                y, of_channel = result[after, pixel], bias[after]
                for b in range(batch):
                    y[b] = of_channel
            for t in range(0, in_nines, 9):
                x0, x1, x2 = rows[at[t]], rows[at[t + 1]], rows[at[t + 2]]
                x3, x4, x5 = rows[at[t + 3]], rows[at[t + 4]], rows[at[t + 5]]
                x6, x7, x8 = rows[at[t + 6]], rows[at[t + 7]], rows[at[t + 8]]
                for after in range(0, num_after - 1, 2):
                    y, f = result[after, pixel], factors[after]
                    z, g = result[after + 1, pixel], factors[after + 1]
                    f0, f1, f2, f3, f4 = f[t], f[t + 1], f[t + 2], f[t + 3], f[t + 4]
                    f5, f6, f7, f8 = f[t + 5], f[t + 6], f[t + 7], f[t + 8]
                    g0, g1, g2, g3, g4 = g[t], g[t + 1], g[t + 2], g[t + 3], g[t + 4]
                    g5, g6, g7, g8 = g[t + 5], g[t + 6], g[t + 7], g[t + 8]
                    for b in range(batch):
                        y[b] += (
                            f0 * x0[b]
                            + f1 * x1[b]
                            + f2 * x2[b]
                            + f3 * x3[b]
                            + f4 * x4[b]
                            + (f5 * x5[b] + f6 * x6[b] + f7 * x7[b] + f8 * x8[b])
                        )
                        z[b] += (
                            g0 * x0[b]
                            + g1 * x1[b]
                            + g2 * x2[b]
                            + g3 * x3[b]
                            + g4 * x4[b]
                            + (g5 * x5[b] + g6 * x6[b] + g7 * x7[b] + g8 * x8[b])
                        )
                if num_after % 2:
                    y, f = result[num_after - 1, pixel], factors[num_after - 1]
                    f0, f1, f2, f3, f4 = f[t], f[t + 1], f[t + 2], f[t + 3], f[t + 4]
                    f5, f6, f7, f8 = f[t + 5], f[t + 6], f[t + 7], f[t + 8]
                    for b in range(batch):
                        y[b] += (
                            f0 * x0[b]
                            + f1 * x1[b]
                            + f2 * x2[b]
                            + f3 * x3[b]
                            + f4 * x4[b]
                            + (f5 * x5[b] + f6 * x6[b] + f7 * x7[b] + f8 * x8[b])
                        )
            for t in range(in_nines, in_threes, 3):
                x0, x1, x2 = rows[at[t]], rows[at[t + 1]], rows[at[t + 2]]
                for after in range(num_after):
                    y, f = result[after, pixel], factors[after]
                    f0, f1, f2 = f[t], f[t + 1], f[t + 2]
                    for b in range(batch):
                        y[b] += f0 * x0[b] + f1 * x1[b] + f2 * x2[b]
            if relu:
                for after in range(num_after):
                    y = result[after, pixel]
                    for b in range(batch):
                        y[b] = 0 if y[b] < 0 else y[b]  # what is no number stays so
            for after in range(len(scale)):
                y, factor, more = result[after, pixel], scale[after], shift[after]
                for b in range(batch):
                    y[b] = y[b] * factor + more


@_compiled("contract", "nsz", "reassoc")
def _add_weights_gradient(  # type: ignore[no-untyped-def]
    x, gradient, of_weights, elements, counts, starts, pixels, found
) -> None:
    """Add the gradient of a convolution's weights, (channels after, before, elements): six of two channels at a time.

    Here, sums over the batch may be made of several, one for each place of the processor's vectors.
    """
    num_before, num_pixels, batch = x.shape
    rows = x.reshape(num_before * num_pixels, batch)
    first, j = np.empty(6, np.int64), np.empty(6, np.int64)
    for kind in range(len(counts)):
        count = counts[kind]
        num_rows = num_before * count
        for t in range(0, num_rows, 6):
            for u in range(6):
                before, j[u] = divmod(min(t + u, num_rows - 1), count)
                first[u] = before * num_pixels
            for after in range(0, len(gradient), 2):
                channels = after, min(after + 1, len(gradient) - 1)
                s0 = s1 = s2 = s3 = s4 = s5 = x.dtype.type(0)
                z0 = z1 = z2 = z3 = z4 = z5 = x.dtype.type(0)
                for position in range(starts[kind], starts[kind + 1]):
                    pixel, at = pixels[position], found[position]
                    g, h = gradient[channels[0], pixel], gradient[channels[1], pixel]
                    x0, x1, x2 = rows[first[0] + at[j[0]]], rows[first[1] + at[j[1]]], rows[first[2] + at[j[2]]]
                    x3, x4, x5 = rows[first[3] + at[j[3]]], rows[first[4] + at[j[4]]], rows[first[5] + at[j[5]]]
                    for b in range(batch):
                        s0 += g[b] * x0[b]
                        s1 += g[b] * x1[b]
                        s2 += g[b] * x2[b]
                        s3 += g[b] * x3[b]
                        s4 += g[b] * x4[b]
                        s5 += g[b] * x5[b]
                        z0 += h[b] * x0[b]
                        z1 += h[b] * x1[b]
                        z2 += h[b] * x2[b]
                        z3 += h[b] * x3[b]
                        z4 += h[b] * x4[b]
                        z5 += h[b] * x5[b]
                sums = (s0, s1, s2, s3, s4, s5), (z0, z1, z2, z3, z4, z5)
                for c in range(min(2, len(gradient) - after)):
                    for u in range(min(6, num_rows - t)):
                        of_weights[after + c, first[u] // num_pixels, elements[kind, j[u]]] += sums[c][u]


@_compiled("contract", "nsz", "reassoc")
def _normalise(  # type: ignore[no-untyped-def]
    x, weight, bias, result, moments, running_mean, running_var, momentum, eps
) -> None:
    """Batch norm of x, (channels, pixels, batch), in training; `moments` are channels' means and variances."""
    num_channels, num_pixels, batch = x.shape
    count = num_pixels * batch
    for channel in range(num_channels):
        total = 0.0
        for pixel in range(num_pixels):
            row, of_row = x[channel, pixel], x.dtype.type(0)
            for b in range(batch):
                of_row += row[b]
            total += of_row
        mean = x.dtype.type(total / count)
        total = 0.0
        for pixel in range(num_pixels):
            row, of_row = x[channel, pixel], x.dtype.type(0)
            for b in range(batch):
                of_row += (row[b] - mean) * (row[b] - mean)
            total += of_row
        moments[0, channel], moments[1, channel] = mean, total / count
        running_mean[channel] += momentum * (mean - running_mean[channel])
        running_var[channel] += momentum * (total / (count - 1) - running_var[channel])
        scale = x.dtype.type(weight[channel] / np.sqrt(total / count + eps))
        shift = bias[channel] - mean * scale
        for pixel in range(num_pixels):
            row, out = x[channel, pixel], result[channel, pixel]
            for b in range(batch):
                out[b] = row[b] * scale + shift


@_compiled("contract", "nsz", "reassoc")
def _normalise_back(  # type: ignore[no-untyped-def]
    gradient, x, weight, moments, before, sums, relu, eps
) -> None:
    """Gradients of batch norm: `before` it and before the ReLU that made x, where one did.

    `sums` are those over channels, which are the gradient of a bias before both, and batch norm's weights and biases.
    """
    num_channels, num_pixels, batch = x.shape
    count = num_pixels * batch
    for channel in range(num_channels):
        mean, reciprocal = moments[0, channel], 1 / np.sqrt(moments[1, channel] + eps)
        total = along = 0.0
        for pixel in range(num_pixels):
            row, given = x[channel, pixel], gradient[channel, pixel]
            of_row = along_row = x.dtype.type(0)
            for b in range(batch):
                of_row += given[b]
                along_row += given[b] * (row[b] - mean)
            total += of_row
            along += along_row
        sums[1, channel], sums[2, channel] = along * reciprocal, total
        scale = x.dtype.type(weight[channel] * reciprocal)
        level, slope = x.dtype.type(total / count), x.dtype.type(along * reciprocal * reciprocal / count)
        total = 0.0
        for pixel in range(num_pixels):
            row, given, out = x[channel, pixel], gradient[channel, pixel], before[channel, pixel]
            of_row = x.dtype.type(0)
            for b in range(batch):
                value = (given[b] - level - (row[b] - mean) * slope) * scale
                out[b] = x.dtype.type(0) if relu and row[b] <= 0 else value
                of_row += out[b]
            total += of_row
        sums[0, channel] = total
