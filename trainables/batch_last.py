"""Small convolutional networks with the batch as the last axis: the same modules, at a multiple of a CPU's speed.

A layer of ten channels leaves torch's own convolutions little to vectorise over; a batch of images, as the last axis
of activations (channels, height, width, batch), leaves much. On a CPU convolutions are `trainables.cpu_blocks`'.
On a GPU patches are gathered and scattered, rows as long as the batch, and every convolution is one matrix product:
as quick as cuDNN, whose quick kernels do not add up in the same order each time, as these do. Parameters, buffers
and results are those of the ordinary modules.

Networks of one make, each with a batch of its own, can be members of one (`trainables.ensemble`): then channels are
all members' channels, one member's after another's.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.images import Geometry, Size


def run_layers(layers: nn.Sequential, inputs: Tensor, *, gather: bool | None = None) -> Tensor:
    """What `layers` gives for inputs whose first axis is the batch, with gradients, by `batch_last` (also `gather`).

    torch.export is shown the modules themselves: other programs have kernels of their own for them.
    """
    if torch.compiler.is_exporting():
        return cast(Tensor, layers(inputs))
    return batch_last(layers, inputs.movedim(0, -1).contiguous(), gather=gather).movedim(-1, 0)


def batch_last(layers: nn.Sequential, x: Tensor, num_members: int = 1, *, gather: bool | None = None) -> Tensor:
    """What `layers` gives for a batch whose images are the last axis, with gradients.

    Knows the layers of `trainables.autoencoder`, `trainables.classifier` and the generator of `trainables.gan`:
    convolutions and transposed convolutions without dilation or groups, batch norm (which updates its running
    statistics in training, as usual), linear layers, ReLU, sigmoid, tanh, dropout.

    Args:
        layers: in training or in evaluation mode.
        x: shape (members * channels, height, width, batch), or (members * features, batch).
        num_members: of the layers, each of whose tensors is theirs, one after another.
        gather: whether patches are gathered and scattered, as on GPUs, or convolutions are those for CPUs; by default
            what suits the device and networks as small as an autoencoder. Where neither of a convolution's numbers of
            channels is small, gathering is quicker on a CPU too.

    Returns:
        The same layout; equal to the ordinary result but for the order of float32 sums.

    Raises:
        TypeError: a layer of another kind.
    """
    gather = num_members > 1 or x.device.type != "cpu" if gather is None else gather
    rest = list(layers)
    while rest:
        layer = rest.pop(0)
        match layer:
            case nn.Conv2d() | nn.ConvTranspose2d() if not gather:
                relu = bool(rest) and isinstance(rest[0], nn.ReLU)
                rest = rest[relu:]
                match rest:
                    case [nn.BatchNorm2d() as norm, *further] if norm.training or not torch.is_grad_enabled():
                        x, rest = _block(x, layer, relu=relu, norm=norm), further
                    case _:
                        x = _block(x, layer, relu=relu)
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
            case nn.ReLU() | nn.Sigmoid() | nn.Tanh() | nn.Dropout():
                x = layer(x)
            case _:
                raise TypeError(f"batch_last knows no layer {type(layer).__name__}")
    return x


def _geometry(layer: nn.Conv2d | nn.ConvTranspose2d) -> Geometry:
    return layer.kernel_size[0], layer.stride[0], cast(tuple[int, int], layer.padding)[0]


def _size_after(x: Tensor, layer: nn.Conv2d | nn.ConvTranspose2d) -> Size:
    """Of the images that a convolution of either kind makes of x."""
    kernel, stride, padding = _geometry(layer)
    if isinstance(layer, nn.ConvTranspose2d):
        rows, columns = ((side - 1) * stride - 2 * padding + kernel for side in x.shape[1:3])
        return rows + layer.output_padding[0], columns + layer.output_padding[1]
    rows, columns = ((side + 2 * padding - kernel) // stride + 1 for side in x.shape[1:3])
    return rows, columns


def _block(
    x: Tensor, layer: nn.Conv2d | nn.ConvTranspose2d, *, relu: bool, norm: nn.BatchNorm2d | None = None
) -> Tensor:
    from trainables.cpu_blocks import block  # whose compiler is loaded only where it is used

    return block(x, layer, _geometry(layer), _size_after(x, layer), relu=relu, norm=norm)


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
    kernel, _, _ = geometry = _geometry(layer)
    weight, flat = layer.weight.flatten(1), x.flatten(1)
    if num_members == 1:
        product = weight.t() @ flat
    else:
        weight, flat = (it.unflatten(0, (num_members, -1)) for it in (weight, flat))
        product = (weight.transpose(1, 2) @ flat).flatten(0, 1)
    patches = product.view(num_members * layer.out_channels, kernel, kernel, *x.shape[1:])
    image: Tensor = _Scatter.apply(patches, geometry, _size_after(x, layer), layer.bias)
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
    def forward(ctx: Any, columns: Tensor, geometry: Geometry, size: Size, bias: Tensor | None) -> Tensor:
        ctx.geometry = geometry
        return _scatter(columns, geometry, size, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        of_bias = gradients[0].flatten(1).sum(1) if ctx.needs_input_grad[3] else None
        return _gather(gradients[0], ctx.geometry), None, None, of_bias


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
