"""The trials of the repeated search: which are known from the start, and how the others are suggested."""

from collections.abc import Iterator, Sequence
from typing import Any

from optuna.samplers import RandomSampler

from orchestrator.engine.records import Record, Trial
from orchestrator.engine.settings import changed
from orchestrator.engine.stage import Context
from orchestrator.engine.study import Suggested
from orchestrator.engine.suggestions import OptunaSuggestions, tpe
from orchestrator.stages.architectures import STAND_IN, in_common, param_values, training_cost
from orchestrator.stages.search import Settings as Search
from orchestrator.stages.search.study import distributions, model_of
from orchestrator.stages.sections import Data
from orchestrator.stages.studies import FIXED, RETRAINED, SEARCH, Settings, Studies, Tried, num_alike
from trainables.autoencoder_settings import PAPER_TABLE1, AutoencoderSettings

OF_TABLE1 = 4
"""Trials of the study FIXED with Table 1's widths; the first also with our reading of its optimizer and step size."""


def suggested(context: Context[Settings]) -> Suggested:
    """First what depends on no result of the stage, then the studies by turns, each of which goes as the search does:
    its trial n is suggested from its trials up to n - search.max_concurrent_trials."""
    search, seeds = context.section(Search), _seeds(context)
    table1 = param_values(PAPER_TABLE1)
    widths = {name: value for name, value in table1.items() if name not in {"optimizer", "learning_rate"}}
    at_table1s_size = changed(search, space={"latent_dim": (PAPER_TABLE1.latent_dim,) * 2}).space
    none: tuple[dict[str, Any], ...] = ()
    studies = {f"tpe-{seed}": (seed, search.space, none) for seed in seeds}
    studies |= {FIXED: (context.seed, at_table1s_size, (table1, *[widths] * (OF_TABLE1 - 1)))}
    samplers = [
        OptunaSuggestions(distributions(space), tpe(search.num_startup_trials, seed), Studies.metric, enqueued)
        for seed, space, enqueued in studies.values()
    ]
    names = list(studies)
    first = [*_retrained(context), *_at_random(context)]

    def suggest(number: int, records: Sequence[Record[Tried]]) -> Trial[Tried]:
        if number < len(first):
            return first[number]
        turn, which = divmod(number - len(first), len(names))
        params = samplers[which](turn, records[len(first) :][which :: len(names)])
        return _trial(context, names[which], turn, _model(context, params), studies[names[which]][0])

    num_trials = len(first) + len(names) * search.num_trials
    return Suggested(num_trials, len(names) * search.max_concurrent_trials, suggest)


def _seeds(context: Context[Settings]) -> range:
    return range(context.seed + 1, context.seed + 1 + context.own.num_seeds)


def _retrained(context: Context[Settings]) -> Iterator[Trial[Tried]]:
    """The search's best trials from other seeds, the best trial first."""
    if context.planning:
        best = [(number, STAND_IN) for number in range(context.own.num_best)]
    else:
        numbered = list(enumerate(context.records(SEARCH).values()))
        complete = [(number, record) for number, record in numbered if record.state == "complete"]
        complete.sort(key=lambda it: it[1].last["val_mse"])
        best = [(number, record.config) for number, record in complete[: context.own.num_best]]
    for number, model in best:
        for seed in _seeds(context):
            yield _trial(context, RETRAINED, number, model, seed)


def _at_random(context: Context[Settings]) -> Iterator[Trial[Tried]]:
    """What random sampling draws after the trials with which TPE of the same seed begins."""
    search = context.section(Search)
    for seed in _seeds(context):
        sampler = OptunaSuggestions(distributions(search.space), RandomSampler(seed), Studies.metric)
        for number in range(search.num_trials):
            params = sampler(number, ())
            if number >= num_alike(search):
                yield _trial(context, f"random-{seed}", number, _model(context, params), seed)


def _model(context: Context[Settings], params: dict[str, Any]) -> AutoencoderSettings:
    return model_of(params, **in_common(context), epochs=context.section(Search).epochs)


def _trial(
    context: Context[Settings], study: str, number: int, model: AutoencoderSettings, seed: int
) -> Trial[Tried]:
    num_images, tried = context.section(Data).num_learnt, Tried(study=study, number=number, model=model)
    key = f"{study}-trial-{number:03d}" + (f"-seed-{seed}" if study == RETRAINED else "")
    return Trial(key, tried, seed, context.section(Search).epochs, num_images, training_cost(model, num_images))
