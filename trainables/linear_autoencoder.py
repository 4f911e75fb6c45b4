"""An autoencoder without non-linearities, which should find the subspace of PCA (the paper's Introduction)."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from trainables.autoencoder_settings import LinearSettings
from trainables.epoch import Epoch, State
from trainables.images import as_rows, as_tensor, check_inputs
from trainables.loop import Device, passes
from trainables.optimizers import Descent
from trainables.splits import Split


class LinearAutoencoder(nn.Module):
    """x' = m + D E (x - m), with x of shape (batch, pixels) and m the mean of the training images.

    Its least mean squared error is that of PCA, reached where the columns of D span PCA's subspace; the columns
    themselves need not be PCA's axes.

    Source: Baldi and Hornik 1989; Kunin et al. 2019, "Loss Landscapes of Regularized Linear Autoencoders".
    """

    def __init__(self, settings: LinearSettings) -> None:
        super().__init__()
        num_pixels = math.prod(settings.image_shape)
        self.input_shape = (num_pixels,)
        self.encoder = nn.Linear(num_pixels, settings.latent_dim, bias=False)
        self.decoder = nn.Linear(settings.latent_dim, num_pixels, bias=False)
        self.mean = nn.Buffer(torch.zeros(num_pixels))

    def forward(self, pixels: Tensor) -> Tensor:
        """Reconstruct pixels, shape (batch, pixels), of all channels, to the same shape."""
        check_inputs(self, pixels, *self.input_shape)
        decoded: Tensor = self.decoder(self.encoder(pixels - self.mean))
        return self.mean + decoded


def train_linear_autoencoder(
    settings: LinearSettings, split: Split, *, device: Device = "cpu", seed: int, resume: State | None = None
) -> Iterator[Epoch]:
    """Train on `split.train`, one epoch at a time; the loss is equation 1 of the paper.

    Metrics: train_mse (mean over the epoch's batches, while the weights move) and, after the last epoch,
    train_mse_evaluated (all training images with the weights as they are then) and test_mse.
    The arguments are every training's (`trainables.epoch`).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LinearAutoencoder(settings).to(device)
    images, train = as_tensor(split.images).to(device), torch.from_numpy(split.train).to(device)
    sums = [images[part].flatten(1).float().sum(0) for part in train.split(1000)]
    model.mean.copy_(torch.stack(sums).sum(0) / (255 * len(train)))
    descent = Descent("adam", model, settings.learning_rate, "cosine")

    def batch_loss(batch: Tensor) -> Tensor:
        pixels = as_rows(images.index_select(0, batch))
        return functional.mse_loss(model(pixels), pixels)

    for number, train_mse, _, state in passes(descent, train, batch_loss, settings, seed=seed, resume=resume):
        metrics = {"train_mse": train_mse}
        if number == settings.epochs:
            metrics["train_mse_evaluated"] = linear_mse(model, images[train])
            if split.test_images is not None:
                metrics["test_mse"] = linear_mse(model, as_tensor(split.test_images).to(device))
        yield Epoch(number, metrics, state)


def linear_mse(model: LinearAutoencoder, images: Tensor) -> float:
    """Mean over pixels, in all channels, and images of (x' - x)^2 for uint8 images on the model's device."""
    total = torch.zeros((), dtype=torch.float64, device=images.device)
    with torch.inference_mode():
        for part in images.split(1000):
            pixels = as_rows(part)
            total += (model(pixels) - pixels).square_().sum(dtype=torch.float64)
    return total.item() / images.numel()


def reconstruct_linear(model: LinearAutoencoder, pixels: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """The model's reconstructions of images' pixels, noisy ones too, of the same shape."""
    with torch.inference_mode():
        rows = torch.from_numpy(pixels.astype(np.float32, copy=False)).reshape(len(pixels), -1)
        reconstructed: Tensor = model(rows)
    return reconstructed.reshape(pixels.shape).numpy()
