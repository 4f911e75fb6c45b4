"""An autoencoder without non-linearities, which should find the subspace of PCA (the paper's Introduction)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from trainables.autoencoder import NUM_PIXELS, as_tensor
from trainables.epoch import Epoch
from trainables.optimizers import annealed, make_optimizer, resumed, shuffled, snapshot
from trainables.splits import Split


class LinearSettings(BaseModel):
    """Size and training of a linear autoencoder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    latent_dim: int = Field(ge=1)
    """Size of the latent vector."""
    learning_rate: float = Field(default=4e-3, gt=0)
    """Step size of the first step; annealed to zero."""
    batch_size: int = Field(default=256, ge=2)
    """Images per step."""
    epochs: int = Field(default=15, ge=1)
    """Passes over the training images."""

    @property
    def num_parameters(self) -> int:
        """Trainable numbers of the model with these sizes."""
        return 2 * NUM_PIXELS * self.latent_dim


class LinearAutoencoder(nn.Module):
    """x' = m + D E (x - m), with x of shape (batch, 784) and m the mean of the training images.

    Its least mean squared error is that of PCA, reached where the columns of D span PCA's subspace; the columns
    themselves need not be PCA's axes.

    Source: Baldi and Hornik 1989; Kunin et al. 2019, "Loss Landscapes of Regularized Linear Autoencoders".
    """

    mean: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(NUM_PIXELS, latent_dim, bias=False)
        self.decoder = nn.Linear(latent_dim, NUM_PIXELS, bias=False)
        self.register_buffer("mean", torch.zeros(NUM_PIXELS))

    def forward(self, pixels: Tensor) -> Tensor:
        """Reconstruct pixels, shape (batch, 784), to the same shape."""
        return self.mean + self.decoder(self.encoder(pixels - self.mean))  # type: ignore[no-any-return]


def train_linear_autoencoder(
    settings: LinearSettings,
    split: Split,
    *,
    device: torch.device | str = "cpu",
    seed: int,
    resume: dict[str, Any] | None = None,
) -> Iterator[Epoch]:
    """Train on `split.train`, one epoch at a time; the loss is equation 1 of the paper.

    Metrics: train_mse (mean over the epoch's batches, while the weights move) and, after the last epoch, test_mse.

    Args:
        settings: the model and its training.
        split: which images to learn from and to be tested on.
        device: where to train.
        seed: decides the initial weights and the order of the batches.
        resume: the state of an earlier epoch, to go on from exactly.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LinearAutoencoder(settings.latent_dim)
    flat = as_tensor(split.images).to(device).view(-1, NUM_PIXELS)
    train = torch.from_numpy(split.train).to(device)
    model.to(device)
    model.mean.copy_(
        torch.stack([flat[part].float().sum(0) for part in train.split(1000)]).sum(0) / (255 * len(train))
    )
    optimizer, step = make_optimizer("adam", model, learning_rate=settings.learning_rate, device=device)
    first = resumed(model, optimizer, resume)
    for number in range(first, settings.epochs + 1):
        total = torch.zeros((), dtype=torch.float64, device=device)
        parts = shuffled(train, settings.batch_size, seed, number)
        for position, batch in enumerate(parts):
            progress = (number - 1 + position / len(parts)) / settings.epochs
            optimizer.param_groups[0]["lr"] = annealed(settings.learning_rate, progress)
            pixels = flat.index_select(0, batch).float().div_(255)
            loss = functional.mse_loss(model(pixels), pixels)
            optimizer.zero_grad()
            loss.backward()
            step()
            total += loss.detach() * len(batch)
        metrics = {"train_mse": total.item() / len(train)}
        if split.test_images is not None and number == settings.epochs:
            metrics["test_mse"] = linear_mse(model, as_tensor(split.test_images).to(device))
        yield Epoch(number, metrics, snapshot(model, optimizer, number))


def linear_mse(model: LinearAutoencoder, images: Tensor) -> float:
    """Mean over pixels and images of (x' - x)^2 for uint8 images of shape (n, 28, 28) on the model's device."""
    pixels = images.view(len(images), NUM_PIXELS).float() / 255
    with torch.inference_mode():
        return float((model(pixels) - pixels).square_().mean(dtype=torch.float64))
