"""Classifiers of latent vectors and of raw images, in pairs of the same make (the paper's Methods and Results)."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from trainables.batch_last import run_layers
from trainables.classifier_settings import ClassifierSettings
from trainables.epoch import Epoch, State
from trainables.images import as_pixels, as_tensor, check_inputs, part_size
from trainables.loop import Device, evaluated, passes, two_at_least
from trainables.optimizers import Descent

CHANNELS = (32, 64)
"""Output channels of a CNN's two convolutions."""
OWN_AT_ONCE = 100
"""Inputs that a network of the user's is evaluated on at a time, whatever it holds in memory meanwhile."""


class Classifier(nn.Module):
    """x -> logits, of latent vectors of shape (batch, latent_dim) or of images (batch, channels, rows, columns).

    The two CNNs differ in nothing but the dimension of their convolutions: along a latent vector these keep its
    length, on an image each halves both sides, rounded up.
    """

    def __init__(self, settings: ClassifierSettings) -> None:
        super().__init__()
        self.settings = settings
        self.input_shape = settings.image_shape if settings.input == "raw" else (settings.num_features,)
        self.body = nn.Sequential(*_body(settings))
        """Gives the feature vector, that the last layer tells the classes from."""
        self.head = nn.Linear(_widths(settings)[-1], settings.num_classes)

    def features(self, inputs: Tensor) -> Tensor:
        """Feature vectors, shape (batch, 128) for a CNN."""
        check_inputs(self, inputs, *self.input_shape)
        convolves = self.settings.architecture == "cnn"
        if convolves and self.settings.input == "raw":
            return run_layers(self.body, inputs)
        return cast(Tensor, self.body(inputs.unsqueeze(1) if convolves else inputs.flatten(1)))

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits, shape (batch, num_classes)."""
        return cast(Tensor, self.head(self.features(inputs)))


def _widths(settings: ClassifierSettings) -> tuple[int, ...]:
    """How many numbers the linear layers take and give, from the first one's input to the feature vector."""
    if settings.architecture == "linear":
        return (settings.num_features,)
    if settings.architecture == "mlp":
        return (settings.num_features, 20, 120, 100)
    _, rows, columns = settings.image_shape
    positions = -(-rows // 4) * -(-columns // 4) if settings.input == "raw" else settings.num_features
    return (CHANNELS[1] * positions, 128)


def _body(settings: ClassifierSettings) -> Iterator[nn.Module]:
    if settings.architecture == "cnn":
        channels = settings.image_shape[0] if settings.input == "raw" else 1
        for before, after in pairwise((channels, *CHANNELS)):
            if settings.input == "raw":
                yield from (nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU(), nn.BatchNorm2d(after))
            else:
                yield from (nn.Conv1d(before, after, 3, padding=1), nn.ReLU(), nn.BatchNorm1d(after))
        yield nn.Flatten()
    for before, after in pairwise(_widths(settings)):
        yield from (nn.Linear(before, after), nn.ReLU(), nn.Dropout(settings.dropout))


def build(settings: ClassifierSettings, *, seed: int) -> nn.Module:
    """A fresh classifier on the CPU; its weights depend on the seed alone, not on torch's global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if settings.own:
            from trainables.own_models import classifier

            return classifier(settings)
        return Classifier(settings)


@dataclass(frozen=True)
class Examples:
    """Inputs of one kind with their classes.

    `train` and `test` are latent vectors, float32 of shape (n, latent_dim), or images, uint8
    (`trainables.images`); the labels have shape (n,), uint8.
    """

    train: NDArray[Any]
    train_labels: NDArray[np.uint8]
    test: NDArray[Any]
    test_labels: NDArray[np.uint8]


def train_classifier(
    settings: ClassifierSettings,
    examples: Examples,
    *,
    device: Device = "cpu",
    seed: int,
    resume: State | None = None,
) -> Iterator[Epoch]:
    """Train on `examples.train`, one epoch at a time; the loss is the mean cross-entropy.

    Metrics of an epoch: train_loss (mean over the epoch's batches, while the weights move and with dropout),
    test_loss and test_accuracy at its end. The last epoch has the array `predicted` beside them: uint8 of shape (n,),
    the class that each test input is taken for.

    The arguments are every training's (`trainables.epoch`); the seed decides what dropout leaves out too.
    """
    model = build(settings, seed=seed).to(device)
    descent = Descent("adam", model, settings.learning_rate, settings.schedule, weight_decay=settings.weight_decay)
    inputs, test_inputs = (as_tensor(x).to(device) for x in (examples.train, examples.test))
    labels, test_labels = (as_tensor(y).to(device).long() for y in (examples.train_labels, examples.test_labels))
    train = torch.arange(len(inputs), device=device)
    has_batch_norm = any(isinstance(module, _BatchNorm) for module in model.modules())

    def batch_loss(batch: Tensor) -> Tensor:
        if has_batch_norm:
            batch = two_at_least(batch)
        return functional.cross_entropy(logits_of(model, inputs.index_select(0, batch)), labels[batch])

    own = settings.own is not None
    epochs = passes(descent, train, batch_loss, settings, seed=seed, resume=resume, own=own)
    for number, train_loss, _, state in epochs:
        logits = predict(model, test_inputs)
        guesses = logits.argmax(1)
        metrics = {
            "train_loss": train_loss,
            "test_loss": functional.cross_entropy(logits, test_labels).item(),
            "test_accuracy": (guesses == test_labels).double().mean().item(),
        }
        arrays = {"predicted": guesses.byte().cpu().numpy()} if number == settings.epochs else {}
        yield Epoch(number, metrics, state, arrays)


def prepared(inputs: Tensor) -> Tensor:
    """Inputs as a classifier takes them: images as pixels in [0, 1], latent vectors as they are."""
    return as_pixels(inputs) if inputs.dtype == torch.uint8 else inputs


def logits_of(model: nn.Module, inputs: Tensor) -> Tensor:
    """Logits, shape (batch, classes), of uint8 images or latent vectors."""
    given = prepared(inputs)
    logits: Tensor = model(given if isinstance(model, Classifier) else given.contiguous())
    return logits


def predict(model: nn.Module, inputs: Tensor) -> Tensor:
    """Logits, shape (n, num_classes), in evaluation mode, for uint8 images or latent vectors."""
    at_once = part_size(model.settings.image_shape) if isinstance(model, Classifier) else OWN_AT_ONCE
    return evaluated(model, partial(logits_of, model), inputs, at_once=at_once)


def features(model: Classifier, inputs: Tensor) -> Tensor:
    """Feature vectors, shape (n, width), in evaluation mode, for the same inputs; on the classifier's device."""
    at_once = part_size(model.settings.image_shape)
    return evaluated(model, lambda part: model.features(prepared(part)), inputs, at_once=at_once)
