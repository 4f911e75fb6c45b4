"""search: Optuna's TPE over architectures and optimizers, as Ray Tune trials (the paper's Methods).

Writes the tables trials, trial_epochs and importances, four figures, and optuna.journal.
The objective is the validation error on the last sixth of the training images after the last epoch.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.config import Search, Settings
from orchestrator.figures import search as figures
from orchestrator.stage import Context, Record, Stage, StageFailed, Trainings, Trial, Work
from orchestrator.tables import Row
from orchestrator.trials import OptunaSuggestions
from trainables.autoencoder_settings import PAPER_TABLE1, AutoencoderSettings

if TYPE_CHECKING:
    import optuna

    from trainables.epoch import Epoch
    from trainables.fashion_mnist import FashionMnist

METRIC = "val_mse"


def training(
    config: dict[str, Any], data: FashionMnist, *, device: str, resume: dict[str, Any] | None
) -> Iterator[Epoch]:
    """One trial: train on the first five sixths of the images, validate on the rest."""
    from trainables.autoencoder import train_autoencoder
    from trainables.splits import hold_out_last

    settings = AutoencoderSettings.model_validate(config["model"])
    split = hold_out_last(data.train_images)
    return train_autoencoder(settings, split, device=device, seed=config["seed"], resume=resume)


def distributions(search: Search) -> dict[str, optuna.distributions.BaseDistribution]:
    """The search space in Optuna's terms."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    space = search.space
    return {
        "filters1": IntDistribution(*space.filters1),
        "filters2": IntDistribution(*space.filters2),
        "filters3": IntDistribution(*space.filters3),
        "neurons": IntDistribution(*space.neurons),
        "latent_dim": IntDistribution(*space.latent_dim),
        "optimizer": CategoricalDistribution(space.optimizer),
        "learning_rate": FloatDistribution(*space.learning_rate, log=True),
    }


def model_settings(params: Mapping[str, Any], settings: Settings, epochs: int) -> AutoencoderSettings:
    """The autoencoder that a trial's parameters stand for, to be trained for this many epochs."""
    return AutoencoderSettings(
        filters=(int(params["filters1"]), int(params["filters2"]), int(params["filters3"])),
        neurons=int(params["neurons"]),
        latent_dim=int(params["latent_dim"]),
        optimizer=params["optimizer"],
        learning_rate=float(params["learning_rate"]),
        weight_decay=settings.search.weight_decay,
        batch_size=settings.search.batch_size,
        epochs=epochs,
    )


def param_values(model: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a recorded model, by Optuna's names; `model_settings` undone."""
    filters = {f"filters{number}": width for number, width in enumerate(model["filters"], start=1)}
    return filters | {name: model[name] for name in ("neurons", "latent_dim", "optimizer", "learning_rate")}


def param_columns(model: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a recorded model as the tables' columns."""
    return {f"params_{name}": value for name, value in param_values(model).items()}


def best_model(context: Context, epochs: int) -> AutoencoderSettings:
    """Settings of the search's best complete trial, to be trained for this many epochs."""
    trials = context.run.table("trials").query("state == 'complete'")
    best = trials.sort_values([METRIC, "trial"]).filter(like="params_").to_dict("records")[0]
    params = {str(name).removeprefix("params_"): value for name, value in best.items()}
    return model_settings(params, context.settings, epochs)


def paper_table1(settings: Settings, epochs: int) -> AutoencoderSettings:
    """Settings of the paper's Table 1, with this run's weight decay and batch size."""
    common = {"weight_decay": settings.search.weight_decay, "batch_size": settings.search.batch_size}
    return PAPER_TABLE1.model_copy(update=common | {"epochs": epochs})


def training_cost(model: AutoencoderSettings, num_images: int) -> float:
    """About how many seconds a training takes on one core (docs/LOG.md); no result is decided by it."""
    return model.epochs * num_images * (35e-6 + 65e-12 * model.num_multiplications)


def usual_cost(settings: Settings, epochs: int, num_images: int) -> float:
    """The same for a model from the middle of the search space, where it is not known yet which it will be."""
    space = settings.search.space
    names = ("filters1", "filters2", "filters3", "neurons", "latent_dim")
    middle = {name: sum(getattr(space, name)) // 2 for name in names}
    model = model_settings(middle | {"optimizer": "adam", "learning_rate": 1e-3}, settings, epochs)
    return training_cost(model, num_images)


def tpe(num_startup_trials: int, seed: int) -> optuna.samplers.TPESampler:
    """Optuna's TPE, every option spelled out: Optuna 5 changed the defaults of two, these are the classic ones."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.samplers.TPESampler(
        n_startup_trials=num_startup_trials,
        n_ei_candidates=24,
        multivariate=False,
        group=False,
        constant_liar=False,
        seed=seed,
    )


def trainings(context: Context) -> Trainings:
    """The trials, as the sampler suggests them."""
    settings, search = context.settings, context.settings.search

    sampler = tpe(search.num_startup_trials, settings.seed)
    params = OptunaSuggestions(distributions(search), sampler, METRIC)

    def suggest(number: int, records: list[Record]) -> Trial:
        model = model_settings(params(number, records), settings, search.epochs)
        config = {"model": model.model_dump(mode="json"), "seed": settings.seed}
        cost = training_cost(model, _work(settings).images)
        return Trial(f"trial-{number:03d}", config, epochs=model.epochs, cost=cost)

    return Trainings(
        search.num_trials,
        suggest,
        window=search.max_concurrent_trials,
        metric=METRIC,
        retry_failed=False,
        asha=search.scheduler == "asha",
    )


def finish(context: Context, records: dict[str, Record]) -> None:
    """Write what was found."""
    search = context.settings.search
    ordered = [record for _, record in sorted(records.items())]
    assert len(ordered) == search.num_trials
    context.write_table("trials", [_trial_row(number, record) for number, record in enumerate(ordered)])
    context.write_table("trial_epochs", [row for n, record in enumerate(ordered) for row in _epoch_rows(n, record)])
    study = _study(context.settings.run_name, search, ordered)
    _write_journal(context, study)
    context.write_table("importances", _importances(study, context.settings.seed))
    _write_figures(context)
    if not any(record["state"] == "complete" for record in ordered):
        raise StageFailed("no trial came to its end; the table trials has their errors")


def _trial_row(number: int, record: Record) -> Row:
    epochs, model = record["epochs"], record["config"]["model"]
    return {
        "trial": number,
        "state": record["state"],
        METRIC: epochs[-1][METRIC] if epochs else None,
        **param_columns(model),
        "num_parameters": AutoencoderSettings.model_validate(model).num_parameters,
        "epochs": len(epochs),
        "seconds": record["seconds"],
        "seed": record["config"]["seed"],
        "error": record["error"],
    }


def _epoch_rows(number: int, record: Record) -> list[Row]:
    columns = ("epoch", "train_mse", METRIC, "seconds")
    return [{"trial": number} | {name: epoch[name] for name in columns} for epoch in record["epochs"]]


def _study(name: str, search: Search, records: list[Record]) -> optuna.Study:
    """The finished study, as Optuna would hold it."""
    import optuna

    states = {
        "complete": optuna.trial.TrialState.COMPLETE,
        "pruned": optuna.trial.TrialState.PRUNED,
        "failed": optuna.trial.TrialState.FAIL,
    }
    study = optuna.create_study(study_name=name, direction="minimize")
    for record in records:
        epochs, failed = record["epochs"], record["state"] == "failed"
        study.add_trial(
            optuna.create_trial(
                state=states[record["state"]],
                params=param_values(record["config"]["model"]),
                distributions=distributions(search),
                value=None if failed else epochs[-1][METRIC],
                intermediate_values={epoch["epoch"]: epoch[METRIC] for epoch in epochs},
                user_attrs={"seconds": record["seconds"]} | ({"error": record["error"]} if failed else {}),
            )
        )
    return study


def _write_journal(context: Context, study: optuna.Study) -> None:
    """Write the study as the journal file that optuna-dashboard opens."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "optuna.journal")
        storage = JournalStorage(JournalFileBackend(str(path)))
        copy = optuna.create_study(study_name=study.study_name, direction="minimize", storage=storage)
        copy.add_trials(study.trials)
        context.write("optuna.journal", path.read_bytes())


def _importances(study: optuna.Study, seed: int) -> list[Row]:
    """fANOVA; nothing, where too few trials came to their end or all came to the same value."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances
    from optuna.trial import TrialState

    values = {trial.value for trial in study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])}
    if len(values) < 2:
        return []
    importances = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=seed))
    return [{"param": name, "importance": share} for name, share in importances.items()]


def _write_figures(context: Context) -> None:
    trials, epochs = context.run.table("trials"), context.run.table("trial_epochs")
    context.write_figure("search_history", figures.optimisation_history, trials)
    context.write_figure("search_parallel", figures.parallel_coordinates, trials)
    context.write_figure("search_epochs", figures.trial_curves, epochs)
    context.write_figure("search_importances", figures.importances, context.run.table("importances"))


def _work(settings: Settings) -> Work:
    search, num_images = settings.search, settings.data.num_train * 5 // 6
    core_seconds = search.num_trials * usual_cost(settings, search.epochs, num_images)
    return Work(search.num_trials, search.epochs, num_images, core_seconds)


STAGE = Stage(
    name="search",
    training=training,
    trainings=trainings,
    finish=finish,
    decides=lambda settings: [settings.data, settings.search],
    work=_work,
)
