"""The search in Optuna's terms: its space, and the finished study with its journal and its importances."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from orchestrator.stages.architectures import Trained, param_values
from orchestrator.stages.search import Space
from trainables.autoencoder_settings import AutoencoderSettings

STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


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


def finished_study(name: str, space: Space, records: Trained) -> optuna.Study:
    """The study as Optuna would hold it."""
    study = optuna.create_study(study_name=name, direction="minimize")
    for record in records:
        failed = record.state == "failed"
        study.add_trial(
            optuna.create_trial(
                state=STATES[record.state],
                params=param_values(record.config),
                distributions=distributions(space),
                value=None if failed else record.epochs[-1]["val_mse"],
                intermediate_values={int(epoch["epoch"]): epoch["val_mse"] for epoch in record.epochs},
                user_attrs={"seconds": record.seconds} | ({"error": record.error} if failed else {}),
            )
        )
    return study


def journal(study: optuna.Study) -> bytes:
    """The study as the journal file that optuna-dashboard opens."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "optuna.journal")
        storage = JournalStorage(JournalFileBackend(str(path)))
        copy = optuna.create_study(study_name=study.study_name, direction="minimize", storage=storage)
        copy.add_trials(study.trials)
        return path.read_bytes()


def importances(study: optuna.Study, seed: int) -> list[dict[str, Any]]:
    """Rows of fANOVA; none, where too few trials came to their end or all came to the same value."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    values = {trial.value for trial in study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])}
    if len(values) < 2:
        return []
    shares = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=seed))
    return [{"param": name, "importance": share} for name, share in shares.items()]
