"""Trained networks of every kind, from their settings and their weights."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from pydantic import BaseModel
from safetensors.torch import load
from torch import Tensor, nn

from trainables.autoencoder import Autoencoder, decode, encode
from trainables.autoencoder_settings import AutoencoderSettings, LinearSettings, OwnAutoencoder
from trainables.classifier import Classifier
from trainables.classifier_settings import ClassifierSettings
from trainables.gan import Generator
from trainables.gan_settings import GanSettings
from trainables.linear_autoencoder import LinearAutoencoder
from trainables.own_models import game, instance

Network = TypeVar("Network", bound=nn.Module)
Settings = TypeVar("Settings", bound=BaseModel)
KINDS: Mapping[str, tuple[Callable[..., nn.Module], type[BaseModel]]] = {
    "trainables.autoencoder.Autoencoder": (Autoencoder, AutoencoderSettings),
    "trainables.linear_autoencoder.LinearAutoencoder": (LinearAutoencoder, LinearSettings),
    "trainables.classifier.Classifier": (Classifier, ClassifierSettings),
    "trainables.gan.Generator": (Generator, GanSettings),
}
"""Networks that a file may name, each with its settings; no other class is ever looked up."""


def own(kind: type[nn.Module], told: Mapping[str, Any], weights: bytes) -> nn.Module:
    """A trained autoencoder or generator of the user's own, of this class, from its settings as a file has them."""
    if "own" in told:
        return restored(lambda settings: game(settings, kind)[0], GanSettings.model_validate(told), weights)
    return restored(partial(instance, kind), OwnAutoencoder.model_validate(told), weights)


def takes_arrays(model: Network) -> Network:
    """The model, whose `encode` and `decode`, if it has them, take arrays too and give arrays for these."""
    for name, function in (("encode", encode), ("decode", decode)):
        if callable(method := getattr(model, name, None)):
            setattr(model, name, partial(_of_either, model, method, function))
    return model


def _of_either(model: Any, method: Callable[[Tensor], Tensor], function: Any, inputs: Any) -> Any:
    return method(inputs) if isinstance(inputs, Tensor) else function(model, np.asarray(inputs))


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
