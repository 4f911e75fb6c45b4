"""Trained networks of every kind, from their settings and their weights."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from pydantic import BaseModel
from safetensors.torch import load
from torch import Tensor, nn

from trainables.autoencoder import Autoencoder
from trainables.autoencoder_settings import AutoencoderSettings, LinearSettings
from trainables.classifier import Classifier
from trainables.classifier_settings import ClassifierSettings
from trainables.gan import Generator
from trainables.gan_settings import GanSettings
from trainables.linear_autoencoder import LinearAutoencoder

Network = TypeVar("Network", bound=nn.Module)
Settings = TypeVar("Settings", bound=BaseModel)
KINDS: Mapping[str, tuple[Callable[..., nn.Module], type[BaseModel]]] = {
    "trainables.autoencoder.Autoencoder": (Autoencoder, AutoencoderSettings),
    "trainables.linear_autoencoder.LinearAutoencoder": (LinearAutoencoder, LinearSettings),
    "trainables.classifier.Classifier": (Classifier, ClassifierSettings),
    "trainables.gan.Generator": (Generator, GanSettings),
}
"""Networks that a file may name, each with its settings; no other class is ever looked up."""


def restored(
    kind: Callable[[Settings], Network], settings: Settings, weights: bytes | Mapping[str, Tensor]
) -> Network:
    """A trained network, in evaluation mode on the CPU; torch's own random numbers are left as they are.

    Args:
        kind: its class.
        settings: what it was built with.
        weights: its state, also as the content of a safetensors file.
    """
    with torch.random.fork_rng(devices=[]):
        network = kind(settings)
    network.load_state_dict(load(weights) if isinstance(weights, bytes) else weights)
    return network.eval()
