"""Small convolutional networks on a CPU, with the batch as the last axis: twice the speed, the same modules.

A layer of ten channels leaves torch's own convolutions little to vectorise over. With activations of shape
(channels, height, width, batch), gathering and scattering patches are copies of rows as long as the batch, and
every convolution is one matrix product. Parameters, buffers and results are those of the ordinary modules.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional


def run_layers(layers: nn.Sequential, inputs: Tensor) -> Tensor:
    """What `layers` gives for inputs whose first axis is the batch, with gradients; by `batch_last` on a CPU."""
    if inputs.device.type == "cpu":
        return batch_last(layers, inputs.movedim(0, -1).contiguous()).movedim(-1, 0)
    outputs: Tensor = layers(inputs)
    return outputs


def batch_last(layers: nn.Sequential, x: Tensor) -> Tensor:
    """What `layers` gives for a batch whose images are the last axis, with gradients.

    Knows the layers of `trainables.autoencoder` and `trainables.classifier`: convolutions and transposed
    convolutions without dilation or groups, batch norm (which updates its running statistics in training, as usual),
    linear layers, ReLU, sigmoid, dropout.

    Args:
        layers: in training or in evaluation mode.
        x: shape (channels, height, width, batch), or (features, batch).

    Returns:
        The same layout; equal to the ordinary result but for the order of float32 sums.

    Raises:
        TypeError: a layer of another kind.
    """
    for layer in layers:
        match layer:
            case nn.Conv2d():
                x = _convolution(x, layer)
            case nn.ConvTranspose2d():
                x = _transposed_convolution(x, layer)
            case nn.BatchNorm2d():
                x = _batch_norm(x, layer)
            case nn.Linear():
                x = torch.addmm(layer.bias[:, None], layer.weight, x)
            case nn.Flatten():
                x = x.flatten(0, -2)
            case nn.Unflatten():
                x = x.view(*cast(tuple[int, ...], layer.unflattened_size), x.shape[-1])
            case nn.ReLU():
                x = functional.relu(x)
            case nn.Sigmoid():
                x = torch.sigmoid(x)
            case nn.Dropout():
                x = functional.dropout(x, layer.p, layer.training)
            case _:
                raise TypeError(f"batch_last knows no layer {type(layer).__name__}")
    return x


Geometry = tuple[int, int, int]
"""Kernel size, stride and padding of a square convolution."""


def _geometry(layer: nn.Conv2d | nn.ConvTranspose2d) -> Geometry:
    return layer.kernel_size[0], layer.stride[0], cast(tuple[int, int], layer.padding)[0]


def _convolution(x: Tensor, layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    kernel, stride, padding = _geometry(layer)
    size = (x.shape[1] + 2 * padding - kernel) // stride + 1
    product: Tensor = _Convolution.apply(x, layer.weight, layer.bias, (kernel, stride, padding), size)
    return product.view(-1, size, size, x.shape[-1])


def _transposed_convolution(x: Tensor, layer: nn.ConvTranspose2d) -> Tensor:
    assert layer.bias is not None
    kernel, stride, padding = _geometry(layer)
    size = (x.shape[1] - 1) * stride - 2 * padding + kernel + layer.output_padding[0]
    image: Tensor = _TransposedConvolution.apply(x, layer.weight, layer.bias, (kernel, stride, padding), size)
    return image


def _batch_norm(x: Tensor, layer: nn.BatchNorm2d) -> Tensor:
    """Batch norm; in training as group norm of one image with a group per channel, the fastest kernel here."""
    channels, count = x.shape[0], x[0].numel()
    assert layer.momentum is not None
    assert layer.running_mean is not None
    assert layer.running_var is not None
    assert layer.num_batches_tracked is not None
    if not layer.training:
        scale = layer.weight * torch.rsqrt(layer.running_var + layer.eps)
        shift = layer.bias - layer.running_mean * scale
        return torch.addcmul(shift.view(-1, 1, 1, 1), x, scale.view(-1, 1, 1, 1))
    y, mean, reciprocal = torch.native_group_norm(
        x.reshape(1, channels, count), layer.weight, layer.bias, 1, channels, count, channels, layer.eps
    )
    with torch.no_grad():
        variance = (reciprocal[0].pow(-2) - layer.eps) * (count / (count - 1))
        layer.running_mean.lerp_(mean[0], layer.momentum)
        layer.running_var.lerp_(variance, layer.momentum)
        layer.num_batches_tracked += 1
    return y.view_as(x)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, geometry: Geometry, size: int) -> Tensor:
        columns = _gather(x, geometry, size)
        ctx.save_for_backward(weight, columns)
        ctx.geometry, ctx.input_shape = geometry, x.shape
        return torch.addmm(bias[:, None], weight.flatten(1), columns)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weight, columns = ctx.saved_tensors
        (gradient,) = gradients
        for_weight = (gradient @ columns.t()).view_as(weight)
        for_input = None
        if ctx.needs_input_grad[0]:
            for_input = _scatter(weight.flatten(1).t() @ gradient, ctx.geometry, ctx.input_shape)
        return for_input, for_weight, gradient.sum(1), None, None


class _TransposedConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, geometry: Geometry, size: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        columns = weight.flatten(1).t() @ x.flatten(1)
        return _scatter(columns, geometry, torch.Size((weight.shape[1], size, size, x.shape[-1])), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        columns = _gather(gradient, ctx.geometry, x.shape[1])
        for_weight = (x.flatten(1) @ columns.t()).view_as(weight)
        return (weight.flatten(1) @ columns).view_as(x), for_weight, gradient.flatten(1).sum(1), None, None


def _gather(x: Tensor, geometry: Geometry, size: int) -> Tensor:
    """Patches as columns: (c, h, w, n) -> (c * k * k, size * size * n), zeros where a patch leaves the image."""
    channels, height, _, batch = x.shape
    kernel = geometry[0]
    columns = x.new_empty(channels, kernel, kernel, size, size, batch)
    for row, rows_in, rows_out in _overlaps(geometry, height, size):
        for column, columns_in, columns_out in _overlaps(geometry, height, size):
            patch = columns[:, row, column]
            _zero_outside(patch, rows_out, columns_out)
            patch[:, rows_out, columns_out] = x[:, rows_in, columns_in]
    return columns.view(channels * kernel * kernel, -1)


def _scatter(columns: Tensor, geometry: Geometry, shape: torch.Size, bias: Tensor | None = None) -> Tensor:
    """The transpose of `_gather`: columns summed into an image of `shape`, on top of the bias."""
    channels, height, _, batch = shape
    kernel = geometry[0]
    size = round((columns.numel() // (channels * kernel * kernel * batch)) ** 0.5)
    columns = columns.view(channels, kernel, kernel, size, size, batch)
    image = columns.new_zeros(shape)
    if bias is not None:
        image += bias.view(-1, 1, 1, 1)
    for row, rows_in, rows_out in _overlaps(geometry, height, size):
        for column, columns_in, columns_out in _overlaps(geometry, height, size):
            image[:, rows_in, columns_in] += columns[:, row, column, rows_out, columns_out]
    return image


def _zero_outside(patch: Tensor, rows: slice, columns: slice) -> None:
    patch[:, : rows.start] = 0
    patch[:, rows.stop :] = 0
    patch[:, rows, : columns.start] = 0
    patch[:, rows, columns.stop :] = 0


def _overlaps(geometry: Geometry, height: int, size: int) -> Iterator[tuple[int, slice, slice]]:
    """For each offset in the kernel: which input rows it meets, and at which output rows."""
    kernel, stride, padding = geometry
    for offset in range(kernel):
        first = max(0, -((offset - padding) // stride))
        stop = min(size, (height - 1 + padding - offset) // stride + 1)
        start = first * stride + offset - padding
        yield offset, slice(start, start + (stop - first - 1) * stride + 1, stride), slice(first, stop)
