"""Parameters as Optuna suggests them, from the records of earlier trials."""

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import TrialState

from orchestrator.engine.records import Record


class OptunaSuggestions:
    """A study that minimises the last value of a metric, asked and told in the order of the trials' numbers.

    `first` has parameters of its first trials; those that it leaves out are sampled.
    """

    def __init__(
        self,
        distributions: Mapping[str, BaseDistribution],
        sampler: BaseSampler,
        metric: str,
        first: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(direction="minimize", sampler=sampler)
        for params in first:
            self._study.enqueue_trial(dict(params))
        self._distributions, self._metric = dict(distributions), metric
        self._trials: list[optuna.Trial] = []
        self._num_told = 0

    def __call__(self, number: int, records: Sequence[Record[Any]]) -> dict[str, Any]:
        """Parameters of trial `number`, after the first trials' records; to be called for 0, 1, 2, ..."""
        assert number == len(self._trials)
        for trial, record in zip(self._trials[self._num_told :], records[self._num_told :], strict=False):
            if record.state == "failed":
                self._study.tell(trial, state=TrialState.FAIL)
            else:
                self._study.tell(trial, record.epochs[-1][self._metric])
        self._num_told = len(records)
        self._trials.append(self._study.ask(self._distributions))
        return dict(self._trials[-1].params)

    @property
    def trial(self) -> optuna.Trial:
        """The latest trial, which may be asked for more."""
        return self._trials[-1]


def tpe(num_startup_trials: int, seed: int) -> TPESampler:
    """Optuna's TPE, every option spelled out: Optuna 5 changed the defaults of two, these are the classic ones."""
    return TPESampler(
        n_startup_trials=num_startup_trials,
        n_ei_candidates=24,
        multivariate=False,
        group=False,
        constant_liar=False,
        seed=seed,
    )
