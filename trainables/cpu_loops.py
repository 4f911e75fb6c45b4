"""The loops that cpu_blocks.py calls, compiled by Numba for the CPU at hand."""

import contextlib
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba.core.caching import FunctionCache
from numba.core.compiler import Compiler

Loops = Callable[..., None]


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


class _Apart(Compiler):
    """Has LLVM know that none of a function's arrays overlap, which it would else find out before every loop."""

    def define_pipelines(self) -> Any:
        with contextlib.suppress(AttributeError):  # a Numba without that flag is slower, and as right
            self.state.flags.noalias = True
        return super().define_pipelines()


def _part_of_a_loop(function: Loops) -> Loops:
    """Compiled into its callers; none of its arrays overlap."""
    options: Any = {
        "pipeline_class": _Apart,
        "error_model": "numpy",
        "fastmath": {"contract", "nsz"},
        "forceinline": True,
    }
    part: Loops = numba.njit(**options)(function)
    return part


@_part_of_a_loop
def _nine_at(b, x, f) -> Any:  # type: ignore[no-untyped-def]
    """What nine rows have at b, each times its factor, summed."""
    first = f[0] * x[0][b] + f[1] * x[1][b] + f[2] * x[2][b] + f[3] * x[3][b] + f[4] * x[4][b]
    return first + (f[5] * x[5][b] + f[6] * x[6][b] + f[7] * x[7][b] + f[8] * x[8][b])


@_part_of_a_loop
def _add_nine_to_two(y, z, x, f, g) -> None:  # type: ignore[no-untyped-def]
    """Add nine rows of one length, times f to y, times g to z."""
    to_y = f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], f[8]
    to_z = g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8]
    for b in range(len(y)):
        y[b] += _nine_at(b, x, to_y)
        z[b] += _nine_at(b, x, to_z)


@_part_of_a_loop
def _add_nine(y, x, f) -> None:  # type: ignore[no-untyped-def]
    factors = f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], f[8]
    for b in range(len(y)):
        y[b] += _nine_at(b, x, factors)


@_part_of_a_loop
def _add_three(y, x, f) -> None:  # type: ignore[no-untyped-def]
    f0, f1, f2 = f[0], f[1], f[2]
    for b in range(len(y)):
        y[b] += f0 * x[0][b] + f1 * x[1][b] + f2 * x[2][b]


@_compiled("contract", "nsz")
def sum_rows(  # type: ignore[no-untyped-def]
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
                nine = (
                    *(rows[at[t]], rows[at[t + 1]], rows[at[t + 2]], rows[at[t + 3]], rows[at[t + 4]]),
                    *(rows[at[t + 5]], rows[at[t + 6]], rows[at[t + 7]], rows[at[t + 8]]),
                )
                for after in range(0, num_after - 1, 2):
                    y, z, f, g = result[after, pixel], result[after + 1, pixel], factors[after], factors[after + 1]
                    _add_nine_to_two(y, z, nine, f[t:], g[t:])
                if num_after % 2:
                    _add_nine(result[num_after - 1, pixel], nine, factors[num_after - 1, t:])
            for t in range(in_nines, in_threes, 3):
                three = rows[at[t]], rows[at[t + 1]], rows[at[t + 2]]
                for after in range(num_after):
                    _add_three(result[after, pixel], three, factors[after, t:])
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
def add_weights_gradient(  # type: ignore[no-untyped-def]
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
def normalise(  # type: ignore[no-untyped-def]
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
def normalise_back(  # type: ignore[no-untyped-def]
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
