"""studies: how much of what the search found is chance (`--studies.on`; the paper's Methods and Table 1).

Reads the search's trials. Writes the tables studies, study_trials, study_top and study_ranks and two figures.

The search is done again from other seeds, by TPE and by random sampling: with the same seed both begin with the same
random trials, which are trained once. One more study has Table 1's three latent numbers in every trial, and Table 1's
widths among its trials. The best trials of the run's own search are trained again from other seeds, to see whether
they keep their ranks.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field

from orchestrator.engine.records import Record, Trial
from orchestrator.engine.settings import Aside, RunSettings, Scale, Section, section
from orchestrator.engine.stage import Context, Picture, Stage, Table, Tables, Worker
from orchestrator.engine.study import Suggested
from orchestrator.engine.tables import ERROR, SECONDS, SEED, STATE, TRIAL, schema
from orchestrator.stages.columns import PARAMS, TRIAL_OUTCOME, boolean, category, integer, mse, real
from orchestrator.stages.search import OBJECTIVE
from orchestrator.stages.search import Settings as Search
from orchestrator.stages.sections import Autoencoders, Data
from trainables.autoencoder_settings import PAPER_TABLE1, VERSION, AutoencoderSettings
from trainables.epoch import Epoch
from trainables.splits import hold_out_last

RETRAINED, SEARCH = "retrained", "search"
FIXED = f"latent-{PAPER_TABLE1.latent_dim}"
"""The study with Table 1's latent size."""
STUDY = category("study", f"{SEARCH} (the run's own), tpe-SEED, random-SEED, or {FIXED} (its latent size is fixed)")


class Settings(Section):
    """The search done again, each time as long as the run's own."""

    on: Annotated[bool, Aside()] = False
    """Whether to; on two cores it takes half an hour at the paper's scale."""
    num_seeds: Annotated[int, Field(ge=1), Scale("seeds of the repeated search")] = 3
    """Seeds of the studies, and those that the best trials are trained again with, counted from the run's next."""
    num_best: Annotated[int, Field(ge=2), Scale("trials trained again")] = 5
    """Best trials of the run's search that are trained again."""


class Tried(Section):
    """One training: a trial of a study, or one of the search's trained again."""

    study: str
    number: int
    """Of the trial within its study, or within the search."""
    model: AutoencoderSettings


class Studies(Stage[Settings, Tried]):
    """The repeated search."""

    name, title, metric = "studies", "The search repeated", "val_mse"
    settings, config, version = Settings, Tried, VERSION
    reads = (Data, Autoencoders, Search)
    retries_failed = False
    flag = "--studies.on"
    presets: ClassVar = {"laptop": {"num_seeds": 2, "num_best": 3}, "smoke": {"num_seeds": 1, "num_best": 2}}
    schemas: ClassVar = {
        "studies": schema(
            STUDY,
            category("sampler", "tpe or random"),
            SEED,
            integer("latent_dim", "latent size of all its trials; missing where it is searched"),
            integer("num_trials", "trials that came to their end"),
            mse("best_val_mse", "least validation error of its trials"),
            *PARAMS,
        ),
        "study_trials": schema(
            STUDY,
            TRIAL,
            STATE,
            OBJECTIVE,
            *PARAMS,
            boolean("on_front", "whether no trial of any study has less error with as few latent numbers"),
            *TRIAL_OUTCOME,
        ),
        "study_top": schema(
            integer("trial", "of the run's search"),
            mse("search_val_mse", "its validation error in the search"),
            SEED,
            mse("val_mse", "validation error of the same trained again from this seed"),
            SECONDS,
            STATE,
            ERROR,
        ),
        "study_ranks": schema(
            category(
                "what",
                "search_and_retrained: the trials' order in the search against that of their means over seeds; "
                "between_seeds: their order from one seed against that from another, mean over pairs of seeds",
            ),
            real("kendall_tau", "Kendall's tau: 1 for the same order, -1 for the opposite"),
            real("low", "end of the interval (97.5 % of draws of seeds lie above), or the least of the pairs"),
            real("high", "the other end, or the greatest of the pairs"),
            integer("n", "trials that are ordered"),
        ),
    }
    shown = ("studies", "study_ranks")

    def absent(self, settings: RunSettings) -> str:
        if section(Autoencoders, settings).own:
            return "it searches among sizes of the paper's autoencoder, and there is a --model"
        return "" if self.own(settings).on else f"{self.flag} brings it in"

    def needs(self, own: Settings) -> tuple[str, ...]:
        return (SEARCH,)

    def trials(self, context: Context[Settings]) -> Suggested:
        """First what depends on no result of the stage, then the studies by turns, each as the search would go."""
        from orchestrator.stages.studies.trials import suggested

        return suggested(context)

    def train(self, trial: Trial[Tried], data: Any, worker: Worker) -> Iterator[Epoch]:
        """As the search trains: on the first five sixths of the images, validated on the rest."""
        from trainables.autoencoder import train_autoencoder

        split, model = hold_out_last(data.train_images), trial.config.model
        return train_autoencoder(model, split, device=worker.device, seed=trial.seed, resume=worker.resume)

    def results(self, context: Context[Settings], records: Sequence[Record[Tried]]) -> Iterator[Table]:
        from orchestrator.stages.studies.measure import measured

        return measured(context, records)

    def figures(self, context: Context[Settings], tables: Tables) -> Iterator[Picture]:
        from orchestrator.stages.studies import figures

        trials = tables["study_trials"]
        yield Picture("studies_history", "Best validation error so far, study by study.", figures.history, trials)
        caption = (
            "Validation error by latent size of the trials of all studies; on the staircase are those that no "
            "other beats in both."
        )
        yield Picture("studies_front", caption, figures.front, trials)

    def findings(self, tables: Tables) -> Iterator[str]:
        from orchestrator.stages.studies.measure import sentences

        return sentences(tables)

    def failure(self, records: Sequence[Record[Tried]]) -> str | None:
        """Where a study has no complete trial; single ones may fail."""
        complete = {record.config.study for record in records if record.state == "complete"}
        without = dict.fromkeys(r.config.study for r in records if r.config.study not in complete)
        if not without:
            return None
        return f"no trial of {', '.join(without)} came to its end; the table study_trials has their errors"


def num_alike(search: Search) -> int:
    """Trials with which TPE and random sampling of one seed begin alike: TPE has been told of enough only then."""
    return search.num_startup_trials + search.max_concurrent_trials - 1
