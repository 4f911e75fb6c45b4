"""Classifiers of latent vectors and of raw images, in pairs of the same make (the paper's Methods and Results)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from trainables.autoencoder import IMAGE_SIZE, as_pixels, as_tensor
from trainables.batch_last import batch_last
from trainables.epoch import Epoch
from trainables.optimizers import annealed, make_optimizer, resumed, shuffled, snapshot

Architecture = Literal["cnn", "mlp", "linear"]
NUM_CLASSES = 10
CHANNELS = (32, 64)
"""Of a CNN's two convolutions."""


class ClassifierSettings(BaseModel):
    """What is classified, by what, and how that is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Literal["latent", "raw"]
    """Latent vectors, or images."""
    num_features: int = Field(ge=1)
    """Numbers of an input: the latent size, or 784."""
    architecture: Architecture
    """cnn: two convolutions (of one dimension along a latent vector, of two on an image) and two linear layers.
    mlp: the author's, with layers of 20, 120 and 100. linear: a linear probe."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Step size; of the first step, where it is annealed."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """How the step size goes on: as it is, or down to zero at the last step along half a cosine."""
    weight_decay: float = Field(default=1e-5, ge=0)
    """L2 penalty, added to the gradient."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Share of hidden activations that are left out in training."""
    batch_size: int = Field(default=256, ge=2)
    """Inputs per step."""
    epochs: int = Field(default=50, ge=1)
    """Passes over the training inputs."""


class Classifier(nn.Module):
    """x -> logits, of latent vectors of shape (batch, latent_dim) or of images of shape (batch, 1, 28, 28).

    The two CNNs differ in nothing but the dimension of their convolutions: along a latent vector these keep its
    length, on an image each halves both sides.
    """

    def __init__(self, settings: ClassifierSettings) -> None:
        super().__init__()
        self.settings = settings
        self.body = nn.Sequential(*_body(settings))
        """Gives the feature vector, that the last layer tells the classes from."""
        self.head = nn.Linear(_widths(settings)[-1], NUM_CLASSES)

    def features(self, inputs: Tensor) -> Tensor:
        """Feature vectors, shape (batch, 128) for a CNN."""
        if self.settings.architecture != "cnn":
            return self.body(inputs.flatten(1))  # type: ignore[no-any-return]
        if self.settings.input == "latent":
            return self.body(inputs.unsqueeze(1))  # type: ignore[no-any-return]
        if inputs.device.type != "cpu":
            return self.body(inputs)  # type: ignore[no-any-return]
        return batch_last(self.body, inputs.permute(1, 2, 3, 0).contiguous()).t()

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits, shape (batch, 10)."""
        return self.head(self.features(inputs))  # type: ignore[no-any-return]


def _widths(settings: ClassifierSettings) -> tuple[int, ...]:
    """Of the layers between the convolutions, if there are any, and the last one."""
    if settings.architecture == "linear":
        return (settings.num_features,)
    if settings.architecture == "mlp":
        return (settings.num_features, 20, 120, 100)
    positions = (IMAGE_SIZE // 4) ** 2 if settings.input == "raw" else settings.num_features
    return (CHANNELS[1] * positions, 128)


def _body(settings: ClassifierSettings) -> Iterator[nn.Module]:
    if settings.architecture == "cnn":
        first, second = CHANNELS
        if settings.input == "raw":
            yield from (nn.Conv2d(1, first, 3, stride=2, padding=1), nn.ReLU(), nn.BatchNorm2d(first))
            yield from (nn.Conv2d(first, second, 3, stride=2, padding=1), nn.ReLU(), nn.BatchNorm2d(second))
        else:
            yield from (nn.Conv1d(1, first, 3, padding=1), nn.ReLU(), nn.BatchNorm1d(first))
            yield from (nn.Conv1d(first, second, 3, padding=1), nn.ReLU(), nn.BatchNorm1d(second))
        yield nn.Flatten()
    for before, after in pairwise(_widths(settings)):
        yield from (nn.Linear(before, after), nn.ReLU(), nn.Dropout(settings.dropout))


def build(settings: ClassifierSettings, *, seed: int) -> Classifier:
    """A fresh classifier on the CPU; its weights depend on the seed alone, not on torch's global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Classifier(settings)


@dataclass(frozen=True)
class Examples:
    """Inputs of one kind with their classes.

    `train` and `test` are latent vectors, float32 of shape (n, latent_dim), or images, uint8 of shape (n, 28, 28);
    the labels have shape (n,), uint8.
    """

    train: NDArray[Any]
    train_labels: NDArray[np.uint8]
    test: NDArray[Any]
    test_labels: NDArray[np.uint8]


def train_classifier(
    settings: ClassifierSettings,
    examples: Examples,
    *,
    device: torch.device | str = "cpu",
    seed: int,
    resume: dict[str, Any] | None = None,
) -> Iterator[Epoch]:
    """Train on `examples.train`, one epoch at a time; the loss is the mean cross-entropy.

    Metrics of an epoch: train_loss (mean over the epoch's batches, while the weights move and with dropout),
    test_loss and test_accuracy at its end, and after the last epoch `confusion_L_P`, the number of test inputs of
    class L that are taken for class P.

    Args:
        settings: the classifier and its training.
        examples: what to learn from and to be tested on.
        device: where to train.
        seed: decides the initial weights, the order of the batches and what dropout leaves out.
        resume: the state of an earlier epoch; training goes on after it, bit for bit on the CPU as if it had
            never stopped.
    """
    model = build(settings, seed=seed).to(device)
    optimizer, step = make_optimizer(
        "adam",
        model,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        device=device,
    )
    first = resumed(model, optimizer, resume)
    inputs, labels = as_tensor(examples.train).to(device), _labels(examples.train_labels, device)
    test_inputs, test_labels = as_tensor(examples.test).to(device), _labels(examples.test_labels, device)

    def train_epoch(number: int) -> float:
        model.train()
        total = torch.zeros((), dtype=torch.float64, device=device)
        parts = shuffled(torch.arange(len(inputs), device=device), settings.batch_size, seed, number)
        with torch.random.fork_rng(devices=[device] if torch.device(device).type == "cuda" else []):
            torch.manual_seed(int(np.random.SeedSequence((seed, number, 1)).generate_state(1)[0]))
            for position, batch in enumerate(parts):
                if settings.schedule == "cosine":
                    progress = (number - 1 + position / len(parts)) / settings.epochs
                    optimizer.param_groups[0]["lr"] = annealed(settings.learning_rate, progress)
                loss = functional.cross_entropy(model(prepared(inputs.index_select(0, batch))), labels[batch])
                optimizer.zero_grad()
                loss.backward()
                step()
                total += loss.detach() * len(batch)
        return total.item() / len(inputs)

    for number in range(first, settings.epochs + 1):
        train_loss = train_epoch(number)
        logits = predict(model, test_inputs)
        metrics = {
            "train_loss": train_loss,
            "test_loss": functional.cross_entropy(logits, test_labels).item(),
            "test_accuracy": (logits.argmax(1) == test_labels).double().mean().item(),
        }
        if number == settings.epochs:
            counts = torch.bincount(test_labels * NUM_CLASSES + logits.argmax(1), minlength=NUM_CLASSES**2).tolist()
            pairs = product(range(NUM_CLASSES), repeat=2)
            metrics |= {f"confusion_{true}_{guess}": n for (true, guess), n in zip(pairs, counts, strict=True)}
        yield Epoch(number, metrics, snapshot(model, optimizer, number))


def prepared(inputs: Tensor) -> Tensor:
    """Inputs as a classifier takes them: images as pixels in [0, 1], latent vectors as they are."""
    return as_pixels(inputs.reshape(len(inputs), -1)) if inputs.dtype == torch.uint8 else inputs


def predict(model: Classifier, inputs: Tensor) -> Tensor:
    """Logits, shape (n, 10), in evaluation mode, for uint8 images or latent vectors on the model's device."""
    model.eval()
    with torch.inference_mode():
        return torch.cat([model(prepared(part)) for part in inputs.split(1000)])


def _labels(labels: NDArray[np.uint8], device: torch.device | str) -> Tensor:
    return torch.from_numpy(labels.astype(np.int64)).to(device)
