"""The layers of generator and discriminator, read off the networks themselves."""

from collections.abc import Iterator
from typing import Any, cast

import torch

from trainables.gan import Convolution, Discriminator, Generator, build
from trainables.gan_settings import GanRecipe

EMPTY = dict.fromkeys(("in_channels", "out_channels", "kernel", "stride", "padding"))
"""Of a layer that is no convolution."""


def gan_layer_table(settings: GanRecipe) -> list[dict[str, Any]]:
    """A dictionary per layer of both networks, in the order that one random vector and one image go through them.

    The generator is given a vector, the discriminator an image; `output_shape` is what a layer makes of it.
    """
    generator, discriminator = cast(tuple[Generator, Discriminator], build(settings, seed=0))
    z, image = torch.zeros(1, settings.latent_dim, 1, 1), torch.zeros(1, *settings.image_shape)
    return [*_rows("generator", generator, z), *_rows("discriminator", discriminator, image)]


def _rows(name: str, network: Generator | Discriminator, x: torch.Tensor) -> Iterator[dict[str, Any]]:
    """Of one network, by a pass through its layers in evaluation mode."""
    network.eval()
    for number, layer in enumerate(network.layers, start=1):
        with torch.inference_mode():
            x = layer(x)
        kind = type(layer).__name__.removeprefix("Parametrized")  # by spectral norm
        row: dict[str, Any] = EMPTY | {"network": name, "layer": number, "kind": kind}
        if isinstance(layer, Convolution):
            row |= {"in_channels": layer.in_channels, "out_channels": layer.out_channels}
            row |= {"kernel": layer.kernel_size[0], "stride": layer.stride[0], "padding": layer.padding[0]}
        row["output_shape"] = "x".join(str(size) for size in x.shape[1:])
        yield row | {"num_parameters": sum(p.numel() for p in layer.parameters())}
