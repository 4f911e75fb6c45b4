"""The paper's Table 1 of any model, read off its layers."""

from typing import Any

import torch
from torch import nn

from trainables.autoencoder import Autoencoder

NAMES = {nn.Conv2d: "conv", nn.Linear: "lin", nn.ConvTranspose2d: "deconv"}
EMPTY = dict.fromkeys(
    ("in_channels", "out_channels", "kernel", "stride", "padding", "output_padding", "activation", "acts_on")
)


def layer_table(model: Autoencoder) -> list[dict[str, Any]]:
    """The paper's Table 1 for this model: a dictionary per layer, read off the modules themselves.

    As there, ReLU and batch norm stand with the convolution whose output they take, and in the decoder with the
    transposed convolution whose input they give (`acts_on`). The paper's second Lin1 is lin2 and lin3 here.
    """
    rows: list[dict[str, Any]] = []
    x = torch.zeros(1, *model.input_shape)
    waiting: list[nn.Module] = []
    counts = {"conv": 0, "lin": 0, "deconv": 0}
    model.eval()
    for layer in (*model.encoder, *model.decoder):
        with torch.inference_mode():
            x = layer(x)
        if (name := NAMES.get(type(layer))) is None:
            if not isinstance(layer, nn.Flatten | nn.Unflatten):
                waiting.append(layer)
            continue
        if rows and name != "deconv":
            _acts_on(rows[-1], "output", waiting)
        latent = layer is model.encoder[-1]
        counts[name] += not latent
        row = EMPTY | {
            "layer": "latent" if latent else f"{name}{counts[name]}",
            "kind": type(layer).__name__,
            "output_shape": "x".join(str(size) for size in x.shape[1:]),
            "batch_norm": False,
            "num_parameters": sum(p.numel() for p in layer.parameters()),
        }
        if isinstance(layer, nn.Linear):
            row |= {"in_channels": layer.in_features, "out_channels": layer.out_features}
        else:
            row |= {"in_channels": layer.in_channels, "out_channels": layer.out_channels}
            row |= {"kernel": layer.kernel_size[0], "stride": layer.stride[0], "padding": layer.padding[0]}
        if name == "deconv":
            row["output_padding"] = layer.output_padding[0]
            _acts_on(row, "input", waiting)
        rows.append(row)
    output = {"layer": "output", "kind": "Sigmoid", "output_shape": rows[-1]["output_shape"], "num_parameters": 0}
    rows.append(EMPTY | output)
    _acts_on(rows[-1], "output", waiting)
    return rows


def _acts_on(row: dict[str, Any], side: str, layers: list[nn.Module]) -> None:
    """Give the activation and batch norm met since the last layer with weights to this one."""
    activations = [type(layer).__name__ for layer in layers if not isinstance(layer, nn.BatchNorm2d)]
    norms = [layer for layer in layers if isinstance(layer, nn.BatchNorm2d)]
    row["activation"] = activations[0] if activations else None
    row["batch_norm"] = bool(norms)
    row["acts_on"] = side if layers else None
    row["num_parameters"] += sum(p.numel() for norm in norms for p in norm.parameters())
    layers.clear()
