"""Small convolutional networks with the batch as the last axis: twice the speed on a CPU, the same modules.

A layer of ten channels leaves torch's own convolutions little to vectorise over. With activations of shape
(channels, height, width, batch), gathering and scattering patches are copies of rows as long as the batch, and
every convolution is one matrix product. Parameters, buffers and results are those of the ordinary modules. On a GPU
it is as quick as cuDNN, whose quick kernels do not add up in the same order each time, as these do.

Networks of one make, each with a batch of its own, can be members of one (`trainables.ensemble`): then channels are
all members' channels, one member's after another's.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.images import Size

AT_ONCE = 100
"""Images that are evaluated at a time: their patches stay in the processor's caches, where those of a thousand take
hundreds of megabytes. Only where all parts are of this size: products of other sizes end in other last digits."""


def run_layers(layers: nn.Sequential, inputs: Tensor) -> Tensor:
    """What `layers` gives for inputs whose first axis is the batch, with gradients, by `batch_last`.

    torch.export is shown the modules themselves: other programs have kernels of their own for them.
    """
    if torch.compiler.is_exporting():
        return cast(Tensor, layers(inputs))
    whole = inputs.device.type != "cpu" or len(inputs) % AT_ONCE > 0
    if whole or layers.training or torch.is_grad_enabled():
        return batch_last(layers, inputs.movedim(0, -1).contiguous()).movedim(-1, 0)
    parts = [batch_last(layers, part.movedim(0, -1).contiguous()) for part in inputs.split(AT_ONCE)]
    return torch.cat(parts, -1).movedim(-1, 0)


def batch_last(layers: nn.Sequential, x: Tensor, num_members: int = 1) -> Tensor:
    """What `layers` gives for a batch whose images are the last axis, with gradients.

    Knows the layers of `trainables.autoencoder` and `trainables.classifier`: convolutions and transposed
    convolutions without dilation or groups, batch norm (which updates its running statistics in training, as usual),
    linear layers, ReLU, sigmoid, dropout.

    Args:
        layers: in training or in evaluation mode.
        x: shape (members * channels, height, width, batch), or (members * features, batch).
        num_members: of the layers, each of whose tensors is theirs, one after another.

    Returns:
        The same layout; equal to the ordinary result but for the order of float32 sums.

    Raises:
        TypeError: a layer of another kind.
    """
    for layer in layers:
        match layer:
            case nn.Conv2d():
                x = _convolution(x, layer, num_members)
            case nn.ConvTranspose2d():
                x = _transposed_convolution(x, layer, num_members)
            case nn.BatchNorm2d():
                x = _batch_norm(x, layer)
            case nn.Linear():
                x = _product(layer.weight, x, layer.bias, num_members)
            case nn.Flatten():
                x = x.flatten(0, -2)
            case nn.Unflatten():
                channels, *sides = cast(tuple[int, ...], layer.unflattened_size)
                x = x.view(num_members * channels, *sides, x.shape[-1])
            case nn.ReLU() | nn.Sigmoid() | nn.Dropout():
                x = layer(x)
            case _:
                raise TypeError(f"batch_last knows no layer {type(layer).__name__}")
    return x


Geometry = tuple[int, int, int]
"""Kernel size, stride and padding of a convolution, the same along rows and columns."""


def _geometry(layer: nn.Conv2d | nn.ConvTranspose2d) -> Geometry:
    return layer.kernel_size[0], layer.stride[0], cast(tuple[int, int], layer.padding)[0]


def _product(weight: Tensor, columns: Tensor, bias: Tensor, num_members: int) -> Tensor:
    """Every member's weight times its columns, plus its bias: shape (members * outputs, n)."""
    if num_members == 1:
        return torch.addmm(bias[:, None], weight, columns)
    of_each = (it.unflatten(0, (num_members, -1)) for it in (bias[:, None], weight, columns))
    return torch.baddbmm(*of_each).flatten(0, 1)


def _convolution(x: Tensor, layer: nn.Conv2d, num_members: int) -> Tensor:
    assert layer.bias is not None
    columns: Tensor = _Gather.apply(x, _geometry(layer))
    product = _product(layer.weight.flatten(1), columns.flatten(3).flatten(0, 2), layer.bias, num_members)
    return product.view(num_members * layer.out_channels, *columns.shape[3:])


def _transposed_convolution(x: Tensor, layer: nn.ConvTranspose2d, num_members: int) -> Tensor:
    kernel, stride, padding = geometry = _geometry(layer)
    rows, columns = ((side - 1) * stride - 2 * padding + kernel for side in x.shape[1:3])
    size = (rows + layer.output_padding[0], columns + layer.output_padding[1])
    weight, flat = layer.weight.flatten(1), x.flatten(1)
    if num_members == 1:
        product = weight.t() @ flat
    else:
        weight, flat = (it.unflatten(0, (num_members, -1)) for it in (weight, flat))
        product = (weight.transpose(1, 2) @ flat).flatten(0, 1)
    patches = product.view(num_members * layer.out_channels, kernel, kernel, *x.shape[1:])
    image: Tensor = _Scatter.apply(patches, geometry, size, layer.bias)
    return image


def _batch_norm(x: Tensor, layer: nn.BatchNorm2d) -> Tensor:
    """Batch norm; in training as group norm of one image with a group per channel, the fastest kernel here."""
    mean, variance = layer.get_buffer("running_mean"), layer.get_buffer("running_var")
    if not layer.training:
        scale = layer.weight * torch.rsqrt(variance + layer.eps)
        shift = layer.bias - mean * scale
        return torch.addcmul(shift.view(-1, 1, 1, 1), x, scale.view(-1, 1, 1, 1))
    channels, count = x.shape[0], x[0].numel()
    y, batch_mean, reciprocal = torch.native_group_norm(
        x.reshape(1, channels, count), layer.weight, layer.bias, 1, channels, count, channels, layer.eps
    )
    with torch.no_grad():
        assert layer.momentum is not None
        mean.lerp_(batch_mean[0], layer.momentum)
        variance.lerp_((reciprocal[0].pow(-2) - layer.eps) * (count / (count - 1)), layer.momentum)
        layer.get_buffer("num_batches_tracked").add_(1)
    return y.view_as(x)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, geometry: Geometry) -> Tensor:
        ctx.geometry, ctx.size = geometry, x.shape[1:3]
        return _gather(x, geometry)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return _scatter(gradients[0], ctx.geometry, ctx.size), None


class _Scatter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, columns: Tensor, geometry: Geometry, size: Size, bias: Tensor) -> Tensor:
        ctx.geometry = geometry
        return _scatter(columns, geometry, size, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return _gather(gradients[0], ctx.geometry), None, None, gradients[0].flatten(1).sum(1)


def _gather(x: Tensor, geometry: Geometry) -> Tensor:
    """Patches: (channels, height, width, n) -> (channels, k, k, rows, columns, n), zeros beyond the image's edges."""
    kernel, stride, padding = geometry
    padded = functional.pad(x, (0, 0, padding, padding, padding, padding))
    patches = padded.unfold(1, kernel, stride).unfold(2, kernel, stride)
    return patches.permute(0, 4, 5, 1, 2, 3).contiguous()


def _scatter(patches: Tensor, geometry: Geometry, size: Size, bias: Tensor | None = None) -> Tensor:
    """The transpose of `_gather`: patches summed into images of a size, on top of the bias."""
    kernel, stride, padding = geometry
    channels, _, _, num_rows, num_columns, batch = patches.shape
    padded = patches.new_zeros(channels, size[0] + 2 * padding, size[1] + 2 * padding, batch)
    if bias is not None:
        padded += bias.view(-1, 1, 1, 1)
    for row in range(kernel):
        for column in range(kernel):
            rows = slice(row, row + num_rows * stride, stride)
            padded[:, rows, column : column + num_columns * stride : stride] += patches[:, row, column]
    return padded[:, padding : padding + size[0], padding : padding + size[1]].contiguous()
