"""Finished studies as Optuna holds them, and the journal file that optuna-dashboard opens."""

import json
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from orchestrator.engine.records import Record

STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


def finished_study(
    name: str,
    distributions: Mapping[str, BaseDistribution],
    metric: str,
    told: Sequence[tuple[Record[Any], Mapping[str, Any]]],
    attributes: Mapping[str, Any],
) -> optuna.Study:
    """A study that minimised a metric, of its trials' records with their parameters."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(study_name=name, direction="minimize")
    _describe(study, [metric], attributes)
    for number, (record, params) in enumerate(told):
        failed = record.state == "failed"
        ended = datetime.fromisoformat(record.ended) if record.ended else datetime.fromtimestamp(0, UTC)
        study.add_trial(
            FrozenTrial(
                number=number,
                trial_id=number,
                state=STATES[record.state],
                params=dict(params),
                distributions={name: distributions[name] for name in params},
                value=None if failed else record.epochs[-1][metric],
                intermediate_values={
                    int(epoch["epoch"]): epoch[metric] for epoch in record.epochs if metric in epoch
                },
                datetime_start=ended - timedelta(seconds=record.seconds),
                datetime_complete=ended,
                user_attrs={"seconds": record.seconds} | ({"error": record.error} if failed else {}),
                system_attrs={},
            )
        )
    return study


def journal(studies: Iterable[optuna.Study]) -> bytes:
    """These studies as a journal; the same studies give the same bytes."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "optuna.journal")
        storage = JournalStorage(JournalFileBackend(str(path)))
        for study in studies:
            copy = optuna.create_study(study_name=study.study_name, direction="minimize", storage=storage)
            _describe(copy, study.metric_names or [], study.user_attrs)
            copy.add_trials(study.trials)
        entries = map(json.loads, path.read_bytes().splitlines())
        lines = (json.dumps(entry | {"worker_id": "orchestrator"}, separators=(",", ":")) for entry in entries)
        return "".join(f"{line}\n" for line in lines).encode()


def _describe(study: optuna.Study, metrics: list[str], attributes: Mapping[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(metrics)
    for name, value in attributes.items():
        study.set_user_attr(name, value)
