"""Models of the user's own, as the search suggests them and as other experiments change them (docs/your-own.md)."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError

from orchestrator.engine.provenance import sources, with_neighbours
from orchestrator.engine.settings import UserError, changed, first_mistake
from orchestrator.stages.sections import Own
from trainables.autoencoder_settings import OwnAutoencoder
from trainables.classifier_settings import ClassifierSettings
from trainables.gan_settings import GanRecipe

TRAINING = ("optimizer", "learning_rate", "weight_decay", "batch_size")
"""What of the training a model's settings may say, by these names; else it is the run's."""


def suggested_model(
    own: Own, trial: Any, optimizers: tuple[str, ...], steps: tuple[float, float], **same: Any
) -> Any:
    """The model as an Optuna trial suggests it.

    Args:
        own: the user's class.
        trial: asked for the model's settings, then for what of the training these do not say.
        optimizers, steps: names to choose from, and the range of the step size.
        same: what all trials are trained with.
    """
    from trainables.own_models import suggested

    parameters = suggested(own.model, trial)
    params = dict(trial.params)
    told = _of_training(parameters)
    if "optimizer" not in told:
        told["optimizer"] = trial.suggest_categorical("optimizer", optimizers)
    if "learning_rate" not in told:
        told["learning_rate"] = trial.suggest_float("learning_rate", *steps, log=True)
    return _measured(own, parameters, params, **same | told)


def usual_model(own: Own, **same: Any) -> OwnAutoencoder:
    """The model with its settings' defaults, or where these have none with such as a trial suggests."""
    parameters = _usual_parameters(own.model)
    return _measured(own, parameters, {}, **same | _of_training(parameters))


def training_of(own: Own) -> dict[str, Any]:
    """What the settings of a classifier say of its training."""
    return {name: value for name, value in _of_training(own.parameters).items() if name != "optimizer"}


def _of_training(parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: parameters[name] for name in TRAINING if name in parameters}


def own_classifier(address: str, latent_dim: int, image_shape: Any, num_classes: int) -> Own:
    """The classifier that is named likewise, seen to take images and latent vectors; else UserError."""
    from trainables.own_models import check_classifier

    own = _own("--classify.model", address)
    for given, size in (("raw", math.prod(image_shape)), ("latent", latent_dim)):
        which = {"input": given, "num_features": size, "architecture": "own", "own": own.model_dump()}
        which |= training_of(own)
        shape = {"image_shape": image_shape, "num_classes": num_classes}
        with _told("--classify.model"):
            check_classifier(ClassifierSettings.model_validate(which | shape))
    return own


def own_game(address: str, image_shape: Any) -> Own:
    """The generator and discriminator that are named likewise; else UserError."""
    from trainables.own_models import ModelError, check_game

    own = _own("--gan.model", address)
    with _told("--gan.model"):
        if not isinstance(own.parameters.get("latent_dim"), int):
            raise ModelError(f"{address}: its Settings have no latent_dim that is a whole number")
        check_game(GanRecipe.model_validate(recipe_of(own) | {"image_shape": image_shape}))
    return own


def recipe_of(own: Own) -> dict[str, Any]:
    """What is other in the recipe of a GAN of the user's own."""
    return {"architecture": "own", "own": own.model_dump(), "latent_dim": own.parameters["latent_dim"]}


def _own(flag: str, address: str) -> Own:
    from trainables.own_models import model_class

    with _told(flag):
        model_class(address)
        return _coded(Own(model=address, code="", parameters=_usual_parameters(address)))


@contextmanager
def _told(flag: str) -> Iterator[None]:
    """What is wrong with a class of the user's, as the user's mistake."""
    from trainables.own_models import ModelError

    try:
        yield
    except ModelError as error:
        raise UserError(f"{flag} {error}") from None
    except ValidationError as error:
        raise UserError(f"{flag}: of its Settings, {first_mistake(error)}") from None


def modules_of(own: Own) -> tuple[str, ...]:
    """Whose code decides what the class does: its module, or package, and what these import from beside them."""
    module = own.model.partition(":")[0].partition(".")[0]
    return with_neighbours(module, but=("orchestrator", "trainables"))


def _coded(own: Own) -> Own:
    return changed(own, code=sources(modules_of(own)))


def _usual_parameters(address: str) -> dict[str, Any]:
    """Settings as they are by default, or where not all have a default such as a trial suggests."""
    from optuna import create_study, logging
    from optuna.samplers import RandomSampler

    from trainables.own_models import defaults, suggested

    found = defaults(address)
    if found is None:
        logging.set_verbosity(logging.WARNING)
        found = suggested(address, create_study(sampler=RandomSampler(0)).ask())
    return found


def with_latent_dim(model: OwnAutoencoder, latent_dim: int, **changes: Any) -> OwnAutoencoder:
    """The same model with another latent size, and what else changes."""
    own = Own(model=model.model, code=model.code)
    parameters = model.parameters | {"latent_dim": latent_dim}
    kept = {"model", "code", "parameters", "params", "latent_dim", "num_parameters"}
    other = _measured(own, parameters, model.params, **model.model_dump(exclude=kept))
    return changed(other, **changes)


def own_class(address: str, **same: Any) -> Own:
    """The class that is named as package.module:Class, seen to be one that can be searched and trained.

    UserError where it is not, or cannot be had with other latent sizes.
    """
    from optuna import create_study, logging
    from optuna.samplers import RandomSampler

    from trainables.own_models import model_class

    logging.set_verbosity(logging.WARNING)
    with _told("--model"):
        model_class(address)
        own = _coded(Own(model=address, code=""))
        trial = create_study(sampler=RandomSampler(0)).ask()
        suggested_model(own, trial, ("adam",), (1e-4, 1e-2), **same)
        usual = usual_model(own, **same)
        for latent_dim in (1, 2, 64):
            with_latent_dim(usual, latent_dim)
    return own


def _measured(own: Own, parameters: dict[str, Any], params: dict[str, Any], **same: Any) -> OwnAutoencoder:
    """The model with what only a pass through it tells."""
    from trainables.own_models import ModelError, measured

    if not isinstance(parameters.get("latent_dim"), int):
        raise ModelError(f"{own.model}: its Settings have no latent_dim that is a whole number")
    latent_dim = parameters["latent_dim"]
    try:
        model = OwnAutoencoder(
            model=own.model,
            code=own.code,
            parameters=parameters,
            params=params,
            latent_dim=latent_dim,
            num_parameters=1,
            **same,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise ModelError(f"{own.model}: its Settings' {first['loc'][0]}: {first['msg']}") from None
    size, number = measured(model)
    if size != latent_dim:
        raise ModelError(f"{own.model}: encode gives {size} numbers where its Settings' latent_dim is {latent_dim}")
    return changed(model, num_parameters=number)
