"""search: Optuna's TPE over architectures and optimizers, as Ray Tune trials (the paper's Methods).

Writes the tables trials, trial_epochs and importances, four figures, and optuna.journal.
The objective is the validation error on the last sixth of the training images after the last epoch.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from orchestrator.engine.records import Trial
from orchestrator.engine.settings import Scale, Section
from orchestrator.engine.stage import Context, File, Picture, Stage, Table, Tables, Worker
from orchestrator.engine.study import Suggested
from orchestrator.engine.tables import EPOCH, SECONDS, STATE, TRIAL, schema
from orchestrator.stages.architectures import AnyAutoencoder, Trained, in_common, model_row, training_cost
from orchestrator.stages.columns import PARAMS, TRAIN_MSE, TRIAL_OUTCOME, category, mse, real, text
from orchestrator.stages.measures import epoch_rows, study_attributes
from orchestrator.stages.own import suggested_model
from orchestrator.stages.sections import Autoencoders, Data
from trainables.autoencoder_settings import VERSION, AutoencoderSettings
from trainables.epoch import Epoch
from trainables.splits import hold_out_last

Optimizer = Literal["adam", "adamw", "adagrad"]
OBJECTIVE = mse("val_mse", "validation error after the last epoch; the search's objective")
VAL_MSE = mse("val_mse", "validation error at the end of the epoch")


class Space(Section):
    """Ranges of the search, both ends included."""

    filters1: tuple[int, int] = (4, 16)
    """Output channels of the first convolution."""
    filters2: tuple[int, int] = (8, 32)
    """Output channels of the second convolution."""
    filters3: tuple[int, int] = (16, 64)
    """Output channels of the third convolution."""
    neurons: tuple[int, int] = (32, 128)
    """Width of the fully connected layer."""
    latent_dim: tuple[int, int] = (2, 14)
    """Size of the latent vector."""
    paper_bound: bool = True
    """Keep the latent size below 15, as the paper does."""
    learning_rate: tuple[float, float] = (1e-4, 1e-2)
    """Step size, searched on a logarithmic scale."""
    optimizer: tuple[Optimizer, ...] = ("adam", "adamw", "adagrad")
    """Optimizers to choose from."""

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        for name in ("filters1", "filters2", "filters3", "neurons", "latent_dim", "learning_rate"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name}: the range {low} to {high} must be positive and in ascending order")
        if self.paper_bound and self.latent_dim[1] >= 15:
            raise ValueError(
                f"latent_dim: {self.latent_dim[1]} is not below 15, the paper's bound; "
                "--search.space.no-paper-bound lifts it"
            )
        if not self.optimizer:
            raise ValueError("optimizer: name at least one")
        return self


class Settings(Section):
    """The Optuna search over architectures and optimizers."""

    num_trials: Annotated[int, Field(ge=1), Scale("trials")] = 20
    """Settings to try."""
    epochs: Annotated[int, Field(ge=1), Scale("epochs a trial")] = 5
    """Epochs of each trial."""
    max_concurrent_trials: int = Field(default=4, ge=1)
    """Trials at once, at most. Trial n is suggested from the results up to n - max_concurrent_trials, whatever else
    is finished, so that the same seed suggests the same trials on one core and on eight GPUs."""
    num_startup_trials: int = Field(default=10, ge=1)
    """Random trials before TPE takes over (Optuna's default)."""
    scheduler: Literal["none", "asha"] = "none"
    """asha stops weak trials early. Which ones depends on timing, so two runs may then differ."""
    space: Space = Space()


class Search(Stage[Settings, AnyAutoencoder]):
    """The search."""

    name, title, metric = "search", "Search for an architecture", "val_mse"
    settings, config, version = Settings, AutoencoderSettings, VERSION
    reads = (Data, Autoencoders)
    retries_failed = False
    presets: ClassVar = {
        "laptop": {"num_trials": 8, "epochs": 2, "num_startup_trials": 4},
        "smoke": {"num_trials": 6, "epochs": 2, "num_startup_trials": 2},
    }
    schemas: ClassVar = {
        "trials": schema(TRIAL, STATE, OBJECTIVE, *PARAMS, *TRIAL_OUTCOME),
        "trial_epochs": schema(TRIAL, EPOCH, TRAIN_MSE, VAL_MSE, SECONDS),
        "trial_params": schema(
            TRIAL,
            category("param", "what was searched of a model of the user's own"),
            text("value", "as the trial had it"),
        ),
        "importances": schema(
            category("param", "parameter of the search"),
            real("importance", "its share of the variance of val_mse over the trials (fANOVA)"),
        ),
    }
    shown = ("trials", "trial_params", "importances")
    optional = ("trial_params",)

    def stops_weak_trials(self, own: Settings) -> bool:
        return own.scheduler == "asha"

    def trials(self, context: Context[Settings]) -> Suggested:
        from orchestrator.engine.suggestions import OptunaSuggestions, tpe
        from orchestrator.stages.search.study import distributions, model_of

        own, users = context.own, context.section(Autoencoders).own
        same = in_common(context) | {"epochs": own.epochs}
        space = {} if users else distributions(own.space)
        params = OptunaSuggestions(space, tpe(own.num_startup_trials, context.seed), self.metric)
        num_images = context.section(Data).num_learnt

        def suggest(number: int, records: Trained) -> Trial[AnyAutoencoder]:
            found = params(number, records)
            if users:
                model = suggested_model(users, params.trial, own.space.optimizer, own.space.learning_rate, **same)
            else:
                model = model_of(found, **same)
            cost = training_cost(model, num_images)
            return Trial(f"trial-{number:03d}", model, context.seed, own.epochs, num_images, cost)

        return Suggested(own.num_trials, own.max_concurrent_trials, suggest)

    def own_seconds(self, context: Context[Settings]) -> float:
        return 7  # of which five are imports

    def train(self, trial: Trial[AnyAutoencoder], data: Any, worker: Worker) -> Iterator[Epoch]:
        """Train on the first five sixths of the images, validate on the rest."""
        from trainables.autoencoder import train_autoencoder

        split = hold_out_last(data.train_images)
        return train_autoencoder(trial.config, split, device=worker.device, seed=trial.seed, resume=worker.resume)

    def results(self, context: Context[Settings], records: Trained) -> Iterator[Table | File]:
        from orchestrator.engine.optuna_journal import journal
        from orchestrator.stages.search.study import importances, searched

        reached = [record.epochs[-1]["val_mse"] if record.epochs else None for record in records]
        rows = [model_row(record, trial=n, val_mse=reached[n]) for n, record in enumerate(records)]
        yield Table("trials", rows)
        told = [(record, {"trial": n}) for n, record in enumerate(records)]
        yield Table("trial_epochs", epoch_rows(self.schemas["trial_epochs"], told))
        if context.section(Autoencoders).own:
            yield Table("trial_params", list(_own_params([searched(record.config) for record in records])))
        study = self.studies(context, records)["search"]
        yield File("optuna.journal", journal([study]), grows=True)
        yield Table("importances", importances(study, context.seed))

    def studies(self, context: Context[Settings], records: Trained) -> dict[str, Any]:
        """The search as Optuna has it."""
        from orchestrator.engine.optuna_journal import finished_study
        from orchestrator.stages.search.study import distributions, own_distributions, searched

        params = [(record, searched(record.config)) for record in records]
        space = distributions(context.own.space)
        if context.section(Autoencoders).own:
            space = own_distributions([record.config for record in records], context.own.space)
        attributes = study_attributes(context, records)
        return {"search": finished_study(context.run_name, space, self.metric, params, attributes)}

    def figures(self, context: Context[Settings], tables: Tables) -> Iterator[Picture]:
        from orchestrator.figures.interactive import curves
        from orchestrator.stages.search import figures

        trials, shares, epochs = tables["trials"], tables["importances"], tables["trial_epochs"]
        caption = "Validation error of each trial after its last epoch, and the best so far."
        yield Picture("search_history", caption, figures.optimisation_history, trials)
        num_complete = int((trials["state"] == "complete").sum())
        caption = (
            "How much of the trials' spread each parameter explains (fANOVA): a hint, from one study, and none "
            "where it has few trials."
        )
        yield Picture("search_importances", caption, figures.importances, shares, num_complete)
        caption = (
            "The trials by parameter, each a line, dark where the error is low. Where the thick line meets an "
            "axis's end, the best lies on the search space's bound."
        )
        space = context.own.space.model_dump()
        if not context.section(Autoencoders).own:
            yield Picture("search_parallel", caption, figures.parallel_coordinates, trials, space)
        caption = "Learning curves of all trials; which is best goes by the validation error after the last epoch."
        yield Picture("search_epochs", caption, figures.trial_curves, epochs)
        named = epochs.assign(name="trial " + epochs["trial"].astype(str))
        caption, label = "Validation error of every trial by epoch, to be read off.", "validation MSE"
        yield Picture("search_curves", caption, curves, named, ["name"], "val_mse", label, logarithmic=True)

    def findings(self, tables: Tables) -> Iterator[str]:
        trials = tables["trials"]
        complete = trials[trials["state"] == "complete"]
        yield f"{len(trials)} trials, {len(complete)} of them complete."
        if len(complete):
            best: dict[Any, Any] = complete.sort_values(["val_mse", "trial"]).to_dict("records")[0]
            params = ", ".join(
                name.removeprefix("params_").replace("_", " ")
                + f" {f'{value:.4g}' if isinstance(value, float) else value}"
                for name, value in best.items()
                if name.startswith("params_") and value == value and value is not None
            )
            yield f"The best is trial {best['trial']}, validation MSE {best['val_mse']:.5f}: {params}."

    def failure(self, records: Trained) -> str | None:
        """Where no trial is complete; single ones may fail."""
        if any(record.state == "complete" for record in records):
            return None
        return "no trial came to its end; the table trials has their errors"


def _own_params(told: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows of trial_params."""
    for number, params in enumerate(told):
        for name, value in params.items():
            yield {"trial": number, "param": name, "value": str(value)}
