"""Networks of the user's own: a class that is named as package.module:Class, with settings of its own.

An autoencoder is a `torch.nn.Module` with

- `Settings`, a pydantic model or a dataclass whose fields have plain values, `latent_dim` among them, and whose class
  method `suggest(trial)` makes one of what an `optuna.Trial` suggests;
- `__init__(self, settings, image_shape)`, the shape being channels, rows and columns;
- `encode(images)`, from shape (batch, channels, rows, columns), values from 0 to 1, to (batch, latent_dim);
- `decode(latent)`, the way back, to values from 0 to 1;
- `loss(images, targets)`, a scalar, the mean over the batch, where it is to be another than the mean squared error of
  what is decoded: images may be noisy, targets never are. Random numbers are drawn from torch's own generators.

A classifier has `__init__(self, settings, input_shape, num_classes)`, the shape being that of images, or the size of
latent vectors alone, and `forward(inputs)` to logits, shape (batch, num_classes). A game has
`__init__(self, settings, image_shape)`, a `generator` of random vectors, shape (batch, latent_dim), to images in
[-1, 1], and a `discriminator` of images to logits, shape (batch,). Of both, Settings are as they are by default, or
as a trial suggests them where they have no defaults.
"""

import dataclasses
import importlib
import json
import math
import re
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from trainables.autoencoder_settings import OwnAutoencoder
from trainables.classifier_settings import ClassifierSettings
from trainables.gan_settings import GanRecipe

MEND = "docs/your-own.md says what a model must have"


class ModelError(ValueError):
    """A class of the user's cannot be used: one line that says what is wrong with it."""


def model_class(address: str) -> type[nn.Module]:
    """The class that is named as package.module:Class, also of a module in the current folder.

    Raises:
        ModelError: it cannot be imported, or is no torch.nn.Module.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", address):
        raise ModelError(f"{address!r} is not of the form package.module:Class")
    module, _, name = address.partition(":")
    if (here := str(Path.cwd())) not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        lacks = f"{error.name} is not installed, nor in the current folder"
        raise ModelError(f"{address}: {lacks if error.name else error}") from None
    except (Exception, SystemExit) as error:  # whatever the user's module does
        raise ModelError(f"{address}: importing {module} failed: {_in_a_line(error)}") from None
    if found is None:
        near = get_close_matches(name, dir(sys.modules[module]), 1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise ModelError(f"{address}: {module} has no {name}{meant}")
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ModelError(f"{address} is no class of torch.nn.Module; {MEND}")
    return found


def settings_class(kind: type[nn.Module], address: str) -> Any:
    """The class of a model's settings; ModelError where it has none that suggests."""
    found = getattr(kind, "Settings", None)
    if not isinstance(found, type) or not callable(getattr(found, "suggest", None)):
        raise ModelError(f"{address} has no class Settings with suggest(trial); {MEND}")
    if not (issubclass(found, BaseModel) or dataclasses.is_dataclass(found)):
        raise ModelError(f"{address}: its Settings are neither a pydantic model nor a dataclass")
    return found


def suggested(address: str, trial: Any) -> dict[str, Any]:
    """Settings of the model as an Optuna trial suggests them, as plain values by name; ModelError where they fail."""
    kind = settings_class(model_class(address), address)
    try:
        settings = kind.suggest(trial)
    except Exception as error:
        raise ModelError(f"{address}: Settings.suggest(trial) failed: {_in_a_line(error)}") from None
    if not isinstance(settings, kind):
        raise ModelError(f"{address}: Settings.suggest(trial) gives a {type(settings).__name__}, not Settings")
    return _plain(settings, address)


def defaults(address: str) -> dict[str, Any] | None:
    """Settings of the model as they are by default, as plain values by name; None where not all have one."""
    kind = settings_class(model_class(address), address)
    try:
        usual = kind()
    except Exception:  # not all have one, or they do not go together: a trial's suggestion tells
        return None
    return _plain(usual, address)


def _plain(settings: Any, address: str) -> dict[str, Any]:
    """As they come back from JSON: a network that is loaded is made of just what it was trained with."""
    try:
        told = settings.model_dump(mode="json") if isinstance(settings, BaseModel) else dataclasses.asdict(settings)
        plain: dict[str, Any] = json.loads(json.dumps(told, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ModelError(f"{address}: its Settings have values that are not plain: {_in_a_line(error)}") from None
    return plain


def network(settings: OwnAutoencoder) -> nn.Module:
    """The user's model, with fresh weights from torch's own generator; ModelError where it cannot be made."""
    return instance(model_class(settings.model), settings)


def instance(kind: type[nn.Module], settings: OwnAutoencoder) -> nn.Module:
    """A model of this class, likewise."""
    made = _made(kind, settings.model, settings.parameters, settings.image_shape)
    made.input_shape = settings.image_shape  # type: ignore[assignment]  # a plain attribute
    return made


def classifier(settings: ClassifierSettings) -> nn.Module:
    """The user's classifier, with fresh weights from torch's own generator; ModelError where it cannot be made."""
    assert settings.own is not None
    own = settings.own
    return _made(model_class(own.model), own.model, own.parameters, settings.input_shape, settings.num_classes)


def game(settings: GanRecipe, kind: type[nn.Module] | None = None) -> tuple[nn.Module, nn.Module]:
    """The user's generator and discriminator, likewise; of this class, where it is given."""
    assert settings.own is not None
    own = settings.own
    both: Any = _made(kind or model_class(own.model), own.model, own.parameters, settings.image_shape)
    both.generator.input_shape, both.discriminator.input_shape = (settings.latent_dim,), settings.image_shape
    both.generator.image_shape = settings.image_shape
    return both.generator, both.discriminator


def _made(kind: type[nn.Module], address: str, parameters: Mapping[str, Any], *sizes: Any) -> nn.Module:
    try:
        return kind(settings_class(kind, address)(**parameters), *sizes)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"{address}: it cannot be made: {_in_a_line(error)}") from error


def check_classifier(settings: ClassifierSettings) -> None:
    """See that the user's classifier gives logits, with gradients; else ModelError."""
    assert settings.own is not None
    address = settings.own.model
    with torch.random.fork_rng(devices=[]):
        model = classifier(settings)
        if not any(True for _ in model.parameters()):
            raise ModelError(f"{address} has no parameters: there is nothing to train")
        logits = _called(address, "forward", model, torch.rand(3, *settings.input_shape))
        if logits.shape != (3, settings.num_classes):
            raise ModelError(f"{address}: forward gives {_shaped(logits)}, not (3, {settings.num_classes})")


def check_game(settings: GanRecipe) -> None:
    """See that the user's generator gives images and the discriminator logits, with gradients; else ModelError."""
    assert settings.own is not None
    address = settings.own.model
    with torch.random.fork_rng(devices=[]):
        try:
            generator, discriminator = game(settings)
        except AttributeError as error:
            raise ModelError(f"{address}: {error}; {MEND}") from None
        images = _called(address, "generator", generator, torch.randn(4, settings.latent_dim))
        if images.shape[1:] != settings.image_shape:
            raise ModelError(f"{address}: the generator gives {_shaped(images)}, not (4, *{settings.image_shape})")
        if not (images.min().item() >= -1 and images.max().item() <= 1):
            raise ModelError(f"{address}: the generator's images are not in [-1, 1]")
        logits = _called(address, "discriminator", discriminator, images)
        if logits.shape != (4,):
            raise ModelError(f"{address}: the discriminator gives {_shaped(logits)}, not (4,)")


def measured(settings: OwnAutoencoder) -> tuple[int, int]:
    """Latent size and number of parameters of a model, by a pass through it.

    Raises:
        ModelError: it has no parameters, or encode, decode or loss do not give what they should.
    """
    address, shape = settings.model, settings.image_shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = network(settings)
        number = sum(parameter.numel() for parameter in model.parameters())
        if not number:
            raise ModelError(f"{address} has no parameters: there is nothing to train")
        for name in ("encode", "decode"):
            if not callable(getattr(model, name, None)):
                raise ModelError(f"{address} has no method {name}; {MEND}")
        images = torch.rand(3, *shape)
        latent = _called(address, "encode", model.encode, images)
        if latent.ndim != 2 or len(latent) != len(images):
            raise ModelError(f"{address}: encode gives {_shaped(latent)} for 3 images, not (3, latent_dim)")
        decoded = _called(address, "decode", model.decode, latent)
        if decoded.shape != images.shape:
            raise ModelError(f"{address}: decode gives {_shaped(decoded)}, not {tuple(images.shape)}")
        low, high = decoded.min().item(), decoded.max().item()
        if not (low >= 0 and high <= 1):
            raise ModelError(f"{address}: decode gives values from {low:.3g} to {high:.3g}, not from 0 to 1")
        if callable(getattr(model, "loss", None)):
            loss = _called(address, "loss", model.loss, images, images)
            if loss.ndim or not math.isfinite(loss.item()) or not loss.requires_grad:
                raise ModelError(f"{address}: loss gives {_shaped(loss)}, not a finite scalar with a gradient")
    return latent.shape[1], number


def _called(address: str, name: str, method: Any, *inputs: Tensor) -> Tensor:
    """What a method makes of some inputs."""
    try:
        made = method(*inputs)
    except Exception as error:
        raise ModelError(f"{address}: {name} fails: {_in_a_line(error)}") from None
    if not isinstance(made, Tensor) or not made.is_floating_point():
        raise ModelError(f"{address}: {name} gives a {type(made).__name__}, not a tensor of floats")
    return made


def _shaped(tensor: Tensor) -> str:
    return f"shape {tuple(tensor.shape)}"


def _in_a_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
