"""The convolutional autoencoder of the paper's Table 1, every size a setting, and its training (Methods)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from trainables.autoencoder_settings import ENCODED_SIZE, AutoencoderSettings
from trainables.batch_last import batch_last
from trainables.epoch import Epoch
from trainables.optimizers import annealed, make_optimizer, random_numbers, resumed, shuffled, snapshot
from trainables.splits import Split

IMAGE_SIZE = 28
NUM_PIXELS = IMAGE_SIZE * IMAGE_SIZE


class Autoencoder(nn.Module):
    """x -> z = encoder(x) -> x' = decoder(z), with images of shape (batch, 1, 28, 28) in [0, 1].

    Each encoder block is convolution, ReLU, batch norm; in the decoder, ReLU and batch norm act on each
    transposed convolution's input. The last activation is a sigmoid.

    Source: the paper, Table 1, read as its author's code has it.
    """

    def __init__(self, settings: AutoencoderSettings) -> None:
        super().__init__()
        f1, f2, f3 = settings.filters
        k, pad = settings.kernel_size, (settings.kernel_size - 1) // 2
        hidden, encoded = settings.neurons, f3 * ENCODED_SIZE**2
        self.encoder = nn.Sequential(
            nn.Conv2d(1, f1, k, stride=2, padding=pad),
            *_activation(settings, f1),
            nn.Conv2d(f1, f2, k, stride=2, padding=pad),
            *_activation(settings, f2),
            nn.Conv2d(f2, f3, k, stride=2, padding=pad - 1),
            *_activation(settings, f3),
            nn.Flatten(),
            nn.Linear(encoded, hidden),
            *_activation(settings),
            nn.Linear(hidden, settings.latent_dim),
        )
        self.decoder = nn.Sequential(
            nn.Linear(settings.latent_dim, hidden),
            *_activation(settings),
            nn.Linear(hidden, encoded),
            nn.Unflatten(1, (f3, ENCODED_SIZE, ENCODED_SIZE)),
            *_activation(settings, f3),
            nn.ConvTranspose2d(f3, f2, k, stride=2, padding=pad - 1),
            *_activation(settings, f2),
            nn.ConvTranspose2d(f2, f1, k, stride=2, padding=pad, output_padding=1),
            *_activation(settings, f1),
            nn.ConvTranspose2d(f1, 1, k, stride=2, padding=pad, output_padding=1),
            nn.Sigmoid(),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruct images, shape (batch, 1, 28, 28) in [0, 1], to the same shape and range."""
        if images.device.type != "cpu":
            return self.decoder(self.encoder(images))  # type: ignore[no-any-return]
        x = images.permute(1, 2, 3, 0).contiguous()
        return batch_last(self.decoder, batch_last(self.encoder, x)).permute(3, 0, 1, 2)

    def encode(self, images: Tensor) -> Tensor:
        """Latent vectors, shape (batch, latent_dim), of images of shape (batch, 1, 28, 28)."""
        if images.device.type != "cpu":
            return self.encoder(images)  # type: ignore[no-any-return]
        return batch_last(self.encoder, images.permute(1, 2, 3, 0).contiguous()).t()


def _activation(settings: AutoencoderSettings, channels: int | None = None) -> Iterator[nn.Module]:
    """What follows a layer: ReLU, and batch norm where it has channels."""
    if settings.relu:
        yield nn.ReLU()
    if settings.batch_norm and channels is not None:
        yield nn.BatchNorm2d(channels)


def build(settings: AutoencoderSettings, *, seed: int) -> Autoencoder:
    """A fresh model on the CPU; its weights depend on the seed alone, not on torch's global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Autoencoder(settings)


def layer_table(model: Autoencoder) -> list[dict[str, Any]]:
    """The paper's Table 1 for this model: a dictionary per layer, read off the modules themselves.

    As there, ReLU and batch norm stand with the convolution whose output they take, and in the decoder with the
    transposed convolution whose input they give (`acts_on`). The paper's second Lin1 is lin2 and lin3 here.
    """
    rows: list[dict[str, Any]] = []
    x = torch.zeros(1, 1, IMAGE_SIZE, IMAGE_SIZE)
    waiting: list[nn.Module] = []
    counts = {"conv": 0, "lin": 0, "deconv": 0}
    names = {nn.Conv2d: "conv", nn.Linear: "lin", nn.ConvTranspose2d: "deconv"}
    model.eval()
    for layer in (*model.encoder, *model.decoder):
        with torch.inference_mode():
            x = layer(x)
        if (name := names.get(type(layer))) is None:
            if not isinstance(layer, nn.Flatten | nn.Unflatten):
                waiting.append(layer)
            continue
        if rows and name != "deconv":
            _acts_on(rows[-1], "output", waiting)
        latent = layer is model.encoder[-1]
        counts[name] += not latent
        convolution = isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
        rows.append(
            {
                "layer": "latent" if latent else f"{name}{counts[name]}",
                "kind": type(layer).__name__,
                "in_channels": layer.in_channels if convolution else layer.in_features,
                "out_channels": layer.out_channels if convolution else layer.out_features,
                "kernel": layer.kernel_size[0] if convolution else None,
                "stride": layer.stride[0] if convolution else None,
                "padding": layer.padding[0] if convolution else None,
                "output_padding": layer.output_padding[0] if name == "deconv" else None,
                "output_shape": "x".join(str(size) for size in x.shape[1:]),
                "activation": None,
                "batch_norm": False,
                "acts_on": None,
                "num_parameters": sum(p.numel() for p in layer.parameters()),
            }
        )
        if name == "deconv":
            _acts_on(rows[-1], "input", waiting)
    rows.append(
        dict.fromkeys(rows[-1])
        | {
            "layer": "output",
            "kind": "Sigmoid",
            "output_shape": rows[-1]["output_shape"],
            "num_parameters": 0,
        }
    )
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


def as_pixels(images: Tensor) -> Tensor:
    """uint8 images of shape (n, 28, 28) or (n, 784) as floats in [0, 1] of shape (n, 1, 28, 28).

    On a CPU the batch is the last axis in memory, as `Autoencoder` computes there.
    """
    if images.device.type != "cpu":
        return (images.float() / 255).view(-1, 1, IMAGE_SIZE, IMAGE_SIZE)
    columns = images.reshape(-1, NUM_PIXELS).t().contiguous().float().div_(255)
    return columns.view(1, IMAGE_SIZE, IMAGE_SIZE, -1).permute(3, 0, 1, 2)


def encode(model: Autoencoder, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The model's latent vectors, in evaluation mode: uint8 (n, 28, 28) -> float32 (n, latent_dim)."""
    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        batches = [model.encode(as_pixels(batch)) for batch in as_tensor(images).to(device).flatten(1).split(1000)]
    return torch.cat(batches).cpu().numpy()


def decode(model: Autoencoder, latent: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Images of latent vectors, in evaluation mode: (n, latent_dim) -> float32 (n, 28, 28) in [0, 1]."""
    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        images = model.decoder(torch.from_numpy(latent.astype(np.float32)).to(device))
    return images.squeeze(1).cpu().numpy()  # type: ignore[no-any-return]


def reconstruct(model: Autoencoder, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The model's reconstructions, in evaluation mode: uint8 (n, 28, 28) -> float32 (n, 28, 28) in [0, 1]."""
    return reconstruct_pixels(model, images.astype(np.float32) / 255)


def reconstruct_pixels(model: Autoencoder, pixels: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """The same for pixels, shape (n, 28, 28), in [0, 1] or beyond it where they are noisy."""
    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        batches = [
            model(batch.to(device))
            for batch in torch.from_numpy(pixels.astype(np.float32, copy=False)).unsqueeze(1).split(1000)
        ]
    return torch.cat(batches).squeeze(1).cpu().numpy()


def reconstruction_mse(model: Autoencoder, images: Tensor, index: Tensor | None = None) -> float:
    """Mean over pixels and images of (x' - x)^2, in evaluation mode; equation 1 of the paper.

    Args:
        model: left in evaluation mode.
        images: uint8, shape (n, 28, 28), on the model's device.
        index: which of the images count; all, where it is left out.
    """
    index = torch.arange(len(images), device=images.device) if index is None else index
    flat = images.view(len(images), NUM_PIXELS)
    total = torch.zeros((), dtype=torch.float64, device=images.device)
    model.eval()
    with torch.inference_mode():
        for batch in index.split(1000):
            pixels = as_pixels(flat.index_select(0, batch))
            total += (model(pixels) - pixels).square_().sum(dtype=torch.float64)
    return total.item() / (len(index) * NUM_PIXELS)


def as_tensor(array: NDArray[Any]) -> Tensor:
    """A tensor over a read-only array (one from a shared object store, say) without a copy; never write to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given (NumPy array|buffer) is not writable")
        return torch.from_numpy(array)


def train_autoencoder(
    settings: AutoencoderSettings,
    split: Split,
    *,
    device: torch.device | str = "cpu",
    seed: int,
    resume: dict[str, Any] | None = None,
) -> Iterator[Epoch]:
    """Train on `split.train`, one epoch at a time; the gradient is that of equation 1.

    Metrics of an epoch: train_mse (mean over the epoch's batches, measured while the weights move),
    last_batch_mse (what the paper's Figure 1 plots as training loss), val_mse where the split has validation
    images, and test_mse after the last epoch where it has test images.

    Args:
        settings: the model and its training.
        split: which images to learn from and to measure.
        device: where to train. The order of the batches is the same on every device.
        seed: decides the initial weights and the order of the batches, and nothing else does.
        resume: the state of an earlier epoch; training goes on after it, bit for bit on the CPU as if it had
            never stopped.
    """
    model = build(settings, seed=seed).to(device)
    optimizer, step = make_optimizer(
        settings.optimizer,
        model,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        device=device,
    )
    first = resumed(model, optimizer, resume)
    images = as_tensor(split.images).to(device)
    flat = images.view(len(images), NUM_PIXELS)
    train, validation = (
        None if index is None else torch.from_numpy(index).to(device) for index in (split.train, split.validation)
    )
    assert train is not None
    for number in range(first, settings.epochs + 1):
        model.train()
        draws = random_numbers(seed, number, 1)
        total = torch.zeros((), dtype=torch.float64, device=device)
        batches = shuffled(train, settings.batch_size, seed, number)
        for position, batch in enumerate(batches):
            if settings.schedule == "cosine":
                progress = (number - 1 + position / len(batches)) / settings.epochs
                optimizer.param_groups[0]["lr"] = annealed(settings.learning_rate, progress)
            pixels = as_pixels(flat.index_select(0, batch))
            loss = functional.mse_loss(model(_spoilt(pixels, settings, draws)), pixels)
            optimizer.zero_grad()
            loss.backward()
            step()
            total += loss.detach() * len(batch)
        metrics = {"train_mse": total.item() / len(train), "last_batch_mse": loss.item()}
        if validation is not None:
            metrics["val_mse"] = reconstruction_mse(model, images, validation)
        if split.test_images is not None and number == settings.epochs:
            metrics["test_mse"] = reconstruction_mse(model, as_tensor(split.test_images).to(device))
        yield Epoch(number, metrics, snapshot(model, optimizer, number))


def _spoilt(pixels: Tensor, settings: AutoencoderSettings, draws: torch.Generator) -> Tensor:
    """Training images with the noise of the settings; itself where there is none."""
    if settings.noise == "none":
        return pixels
    levels = (torch.rand(len(pixels), 1, 1, 1, generator=draws) * settings.max_noise).to(pixels.device)
    if settings.noise == "zeroed":
        return pixels * (torch.rand(pixels.shape, generator=draws).to(pixels.device) >= levels)
    return (pixels + torch.randn(pixels.shape, generator=draws).to(pixels.device) * levels).clamp_(0, 1)
