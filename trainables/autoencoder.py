"""The convolutional autoencoder of the paper's Table 1, every size a setting, and its training (Methods)."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from trainables.autoencoder_settings import (
    AutoencoderSettings,
    AutoencoderTraining,
    OwnAutoencoder,
    convolved_sizes,
)
from trainables.batch_last import run_layers
from trainables.epoch import Epoch, State
from trainables.images import Images, Size, as_pixels, as_tensor, check_inputs, part_size, unit_pixels
from trainables.loop import Device, evaluated, passes, two_at_least
from trainables.optimizers import Descent
from trainables.splits import Index, Split


class Autoencoder(nn.Module):
    """x -> z = encoder(x) -> x' = decoder(z), with images of shape (batch, channels, rows, columns) in [0, 1].

    Each encoder block is convolution, ReLU, batch norm; in the decoder, ReLU and batch norm act on each
    transposed convolution's input. The last activation is a sigmoid. Sizes are those of
    `trainables.autoencoder_settings.convolved_sizes`, there and back: the paper's 28-14-7-3-7-14-28.

    Source: the paper, Table 1, read as its author's code has it.
    """

    def __init__(self, settings: AutoencoderSettings) -> None:
        super().__init__()
        self.input_shape = settings.image_shape
        channels, rows, columns = settings.image_shape
        size1, size2, _ = convolved_sizes(settings.image_shape)
        f1, f2, f3 = settings.filters
        k, pad = settings.kernel_size, (settings.kernel_size - 1) // 2
        hidden, encoded = settings.neurons, math.prod(settings.encoded_shape)
        block, up = partial(_block, settings), partial(_up, k)
        self.encoder = nn.Sequential(
            *block(nn.Conv2d(channels, f1, k, stride=2, padding=pad), f1),
            *block(nn.Conv2d(f1, f2, k, stride=2, padding=pad), f2),
            *block(nn.Conv2d(f2, f3, k, stride=2, padding=pad - 1), f3),
            nn.Flatten(),
            *block(nn.Linear(encoded, hidden)),
            nn.Linear(hidden, settings.latent_dim),
        )
        self.decoder = nn.Sequential(
            *block(nn.Linear(settings.latent_dim, hidden)),
            nn.Linear(hidden, encoded),
            *block(nn.Unflatten(1, settings.encoded_shape), f3),
            *block(up(f3, f2, pad - 1, size2), f2),
            *block(up(f2, f1, pad, size1), f1),
            up(f1, channels, pad, (rows, columns)),
            nn.Sigmoid(),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruct images, shape (batch, channels, rows, columns) in [0, 1], to the same shape and range."""
        return self.decode(self.encode(images))

    def encode(self, images: Tensor) -> Tensor:
        """Latent vectors of the same images, shape (batch, latent_dim)."""
        check_inputs(self, images, *self.input_shape)
        return run_layers(self.encoder, images)

    def decode(self, latent: Tensor) -> Tensor:
        """Images of latent vectors, shape (batch, latent_dim)."""
        return run_layers(self.decoder, latent)

    def logits(self, images: Tensor) -> Tensor:
        """Reconstructions before the last sigmoid."""
        return run_layers(self.decoder[:-1], self.encode(images))


def _block(settings: AutoencoderSettings, layer: nn.Module, channels: int | None = None) -> Iterator[nn.Module]:
    """A layer, ReLU and batch norm, as far as the settings have them; a fully connected layer has no channels."""
    yield layer
    if settings.relu:
        yield nn.ReLU()
    if settings.batch_norm and channels is not None:
        yield nn.BatchNorm2d(channels)


def _up(kernel: int, before: int, after: int, padding: int, size: Size) -> nn.ConvTranspose2d:
    """A transposed convolution to this size: without output padding it would give odd numbers of rows and columns."""
    even = (1 - size[0] % 2, 1 - size[1] % 2)
    return nn.ConvTranspose2d(before, after, kernel, stride=2, padding=padding, output_padding=even)


Coder = Any
"""The paper's autoencoder, or one of the user's own (`trainables.own_models`): a module that encodes and decodes."""


def coder(settings: AutoencoderTraining) -> Coder:
    """The autoencoder that the settings are of, its weights from torch's own generator."""
    if isinstance(settings, OwnAutoencoder):
        from trainables.own_models import network

        return network(settings)
    assert isinstance(settings, AutoencoderSettings)
    return Autoencoder(settings)


def build(settings: AutoencoderTraining, *, seed: int) -> Coder:
    """A fresh model on the CPU; its weights depend on the seed alone, not on torch's global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return coder(settings)


def reconstructed(model: Coder, pixels: Tensor) -> Tensor:
    """The model's reconstructions of pixels, shape (batch, channels, rows, columns), with gradients."""
    if isinstance(model, Autoencoder):
        return cast(Tensor, model(pixels))
    images: Tensor = model.decode(model.encode(pixels.contiguous()))
    return images


def encode(model: Coder, images: Images | NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """The model's latent vectors, in evaluation mode: float32 (n, latent_dim), of uint8 images or their pixels."""

    def vectors(part: Tensor) -> Tensor:
        pixels = as_pixels(part) if part.dtype == torch.uint8 else part.float()
        latent: Tensor = model.encode(pixels if isinstance(model, Autoencoder) else pixels.contiguous())
        return latent

    inputs = as_tensor(images)
    if inputs.is_floating_point() and inputs.ndim == 3:
        inputs = inputs.unsqueeze(1)
    return _evaluated(model, vectors, inputs).cpu().numpy()


def decode(model: Coder, latent: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Images of latent vectors, in evaluation mode: (n, latent_dim) -> float32 in [0, 1], of uint8 images' shape."""
    return _evaluated(model, model.decode, torch.from_numpy(latent.astype(np.float32))).squeeze(1).cpu().numpy()


def reconstruct(model: Coder, images: Images) -> NDArray[np.float32]:
    """The model's reconstructions, in evaluation mode: uint8 images -> float32 in [0, 1], of the same shape."""
    return reconstruct_pixels(model, unit_pixels(images))


def reconstruct_pixels(model: Coder, pixels: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """The model's reconstructions of images' pixels, in [0, 1] or, where these are noisy, beyond it; same shape."""
    inputs = torch.from_numpy(pixels.astype(np.float32, copy=False))
    function = partial(reconstructed, model)
    return _evaluated(model, function, inputs.unsqueeze(1) if inputs.ndim == 3 else inputs).squeeze(1).cpu().numpy()


def _evaluated(model: Coder, function: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    return evaluated(model, function, inputs, at_once=part_size(model.input_shape))


def reconstruction_mse(model: Coder, images: Tensor, index: Tensor | None = None) -> float:
    """Mean over pixels and images of (x' - x)^2 in evaluation mode, in which the model stays; the paper's equation 1.

    Pixels are those of every channel. `images` are uint8, on the model's device; those that `index` names count, or
    all of them.
    """
    index = torch.arange(len(images), device=images.device) if index is None else index
    total = torch.zeros((), dtype=torch.float64, device=images.device)
    model.eval()
    with torch.inference_mode():
        for batch in index.split(part_size(model.input_shape)):
            pixels = as_pixels(images.index_select(0, batch))
            total += (reconstructed(model, pixels) - pixels).square_().sum(dtype=torch.float64)
    return float(total.item() / (len(index) * math.prod(model.input_shape)))


def train_autoencoder(
    settings: AutoencoderTraining, split: Split, *, device: Device = "cpu", seed: int, resume: State | None = None
) -> Iterator[Epoch]:
    """Train on `split.train`, one epoch at a time.

    The gradient is that of equation 1, or of the settings' loss, or of that of the user's own model.

    Metrics of an epoch: train_mse (mean over the epoch's batches, measured while the weights move),
    last_batch_mse (what the paper's Figure 1 plots as training loss), and val_mse where the split has validation
    images. After the last epoch also train_mse_evaluated (all training images in evaluation mode, as val_mse is
    measured), test_mse where the split has test images, and val_mse_class_0, ... of each class among the validation
    images where it has labels.

    The arguments are every training's (`trainables.epoch`); the seed decides the noise too.
    """
    model = build(settings, seed=seed).to(device)
    descent = Descent(
        settings.optimizer, model, settings.learning_rate, settings.schedule, weight_decay=settings.weight_decay
    )
    images, train = as_tensor(split.images).to(device), torch.from_numpy(split.train).to(device)

    def batch_loss(batch: Tensor) -> Tensor:
        pixels = as_pixels(images.index_select(0, for_batch_norm(batch, settings)))
        inputs = corrupted(pixels, settings)
        if not isinstance(model, Autoencoder) and callable(getattr(model, "loss", None)):
            return with_gradient_of(
                model.loss(inputs.contiguous(), pixels.contiguous()), _mse_of(model, inputs, pixels)
            )
        if settings.loss == "mse":
            return _mse(reconstructed(model, inputs), pixels)
        logits = model.logits(inputs)
        entropy = functional.binary_cross_entropy_with_logits(logits, pixels)
        return with_gradient_of(entropy, _mse(logits.detach().sigmoid(), pixels))

    own = isinstance(settings, OwnAutoencoder)
    epochs = passes(descent, train, batch_loss, settings, seed=seed, resume=resume, own=own)
    for number, train_mse, last_mse, state in epochs:
        metrics = {"train_mse": train_mse, "last_batch_mse": last_mse}
        yield Epoch(number, metrics | errors(model, images, split, at_the_end=number == settings.epochs), state)


def errors(model: Coder, images: Tensor, split: Split, *, at_the_end: bool) -> dict[str, float]:
    """What `train_autoencoder` measures of a model after an epoch; `images` are the split's, on its device."""

    def mse_of(index: Index) -> float:
        return reconstruction_mse(model, images, torch.from_numpy(index).to(images.device))

    metrics = {} if split.validation is None else {"val_mse": mse_of(split.validation)}
    if at_the_end:
        metrics["train_mse_evaluated"] = mse_of(split.train)
        by_class = split.validation_by_class()
        metrics |= {f"val_mse_class_{label}": mse_of(index) for label, index in by_class.items()}
        if split.test_images is not None:
            metrics["test_mse"] = reconstruction_mse(model, as_tensor(split.test_images).to(images.device))
    return metrics


def for_batch_norm(batch: Tensor, settings: AutoencoderTraining) -> Tensor:
    """Indices of a batch, along the first axis; a single one twice where batch norm would lack a second number."""
    one_number = not isinstance(settings, AutoencoderSettings) or math.prod(settings.encoded_shape[1:]) == 1
    return two_at_least(batch) if one_number else batch


def with_gradient_of(loss: Tensor, value: Tensor) -> Tensor:
    """A scalar that has this value, and another's gradient."""
    return value + (loss - loss.detach())


def _mse(images: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error; with the batch last as in memory, or torch would lay out its gradient in another order."""
    return functional.mse_loss(images.movedim(0, -1), targets.movedim(0, -1))


def _mse_of(model: Coder, inputs: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error in evaluation mode, without gradient."""
    model.eval()
    with torch.no_grad():
        error = _mse(reconstructed(model, inputs), targets)
    model.train()
    return error


def corrupted(pixels: Tensor, settings: AutoencoderTraining, draws: torch.Generator | None = None) -> Tensor:
    """Training images with the noise of the settings; themselves where there is none.

    It is drawn on their device, by default from torch's own generator.
    """
    if settings.noise == "none":
        return pixels
    levels = torch.rand(len(pixels), 1, 1, 1, generator=draws, device=pixels.device) * settings.max_noise
    if settings.noise == "zeroed":
        return pixels * (torch.rand(pixels.shape, generator=draws, device=pixels.device) >= levels)
    noisy = pixels + torch.randn(pixels.shape, generator=draws, device=pixels.device) * levels
    return noisy.clamp_(0, 1) if settings.noise == "gaussian" else noisy
