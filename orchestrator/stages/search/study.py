"""The search in Optuna's terms: its space, and what the finished study says of each parameter."""

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from orchestrator.stages.architectures import AnyAutoencoder, param_values
from orchestrator.stages.search import Space
from trainables.autoencoder_settings import AutoencoderSettings, OwnAutoencoder

TRAINING = {"optimizer", "learning_rate"}
"""What is searched of every model's training, unless its own settings say it."""


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """The search space."""
    sizes = ("filters1", "filters2", "filters3", "neurons", "latent_dim")
    return {
        **{name: IntDistribution(*getattr(space, name)) for name in sizes},
        "optimizer": CategoricalDistribution(space.optimizer),
        "learning_rate": FloatDistribution(*space.learning_rate, log=True),
    }


def model_of(params: Mapping[str, Any], **common: Any) -> AutoencoderSettings:
    """The autoencoder that a trial's parameters stand for; `common` has what all trials share."""
    filters = tuple(params[f"filters{number}"] for number in (1, 2, 3))
    rest = {name: value for name, value in params.items() if not name.startswith("filters")}
    return AutoencoderSettings.model_validate({"filters": filters, **rest, **common})


def searched(model: AnyAutoencoder) -> dict[str, Any]:
    """What the search chose of a model, by Optuna's names."""
    if isinstance(model, OwnAutoencoder):
        return model.params | model.model_dump(include=TRAINING - model.parameters.keys())
    return param_values(model)


def own_distributions(models: Sequence[Any], space: Space) -> dict[str, BaseDistribution]:
    """What models of the user's own were chosen from, by asking again what each was asked."""
    from trainables.own_models import suggested

    found = distributions(space)
    found = {name: found[name] for name in TRAINING}
    for model in models:
        asked = optuna.trial.FixedTrial(model.params)
        suggested(model.model, asked)
        found |= asked.distributions
    return found


def importances(study: optuna.Study, seed: int) -> list[dict[str, Any]]:
    """Rows of fANOVA; none, where too few trials came to their end or all came to the same value."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    values = {trial.value for trial in study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])}
    if len(values) < 2:
        return []
    shares = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=seed))
    return [{"param": name, "importance": share} for name, share in shares.items()]
