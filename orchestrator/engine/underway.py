"""In a worker of Ray Tune: one trial, or several as one, from their checkpoints to what becomes their records."""

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from orchestrator.engine.checkpoint import Checkpoint
from orchestrator.engine.folder import Folder, Unusable
from orchestrator.engine.provenance import made
from orchestrator.engine.records import Records
from orchestrator.engine.shown import in_a_line
from orchestrator.engine.stage import Worker
from orchestrator.engine.worker import (
    Job,
    News,
    Unfit,
    check_device,
    check_reach,
    here,
    is_of_the_machine,
    made_by,
    unwatch,
)

CHECKPOINT_SECONDS = 10
COMPARED = "compared"
"""What trials report that may be stopped early, beside the epoch."""


def train_all(
    jobs: Sequence[Job],
    data: Any,
    folder: Folder,
    worker: Worker,
    tell: Callable[[dict[str, Any]], Any],
    **always: Any,
) -> None:
    """Train, tell the driver of each trial's epochs, keep checkpoints every few seconds.

    An exception of the training is a result, not a fault of the machine: it would only happen again. Several jobs are
    trained as one where they stand at the same epoch.
    """
    all_ = [_Underway(job, Records(folder, job.stage.name), worker, tell, **always) for job in jobs]
    try:
        check_device(worker.device)
        code = made(jobs[0].modules, worker.device)
        for one in all_:
            one.news.always["made_with"] = code
        check_reach(folder)
        for one in all_:
            one.find()
        for _, group in groupby(sorted(all_, key=_num_epochs), _num_epochs):
            _train(list(group), data)
    except Exception as error:
        left = [one for one in all_ if not one.over] or all_[:1]
        news, rows = left[0].news, left[0].so_far.rows
        if isinstance(error, Unusable):
            news.tell(rows, unusable=str(error))
        elif is_of_the_machine(error):
            unfit = isinstance(error, Unfit | ImportError)
            news.tell(rows, lost=f"{here(worker.device)}: {in_a_line(error)}", unfit=unfit)
            raise
        else:
            for one in left:
                one.end(error=traceback.format_exc())
    finally:
        unwatch()


class _Underway:
    """A trial in a worker: how far it is, and what the driver is told of it."""

    def __init__(
        self, job: Job, records: Records, worker: Worker, tell: Callable[[dict[str, Any]], Any], **always: Any
    ) -> None:
        self.job, self.records, self.worker = job, records, worker
        self.news = News(tell, key=job.trial.key, checkpointed=job.begun, **always)
        self.so_far = Checkpoint()
        self.over = False
        """Whether the driver was told all that becomes its record."""

    def find(self) -> None:
        """Look where an earlier worker left off, if there was one."""
        if self.job.begun:
            self.so_far = self.records.load_checkpoint(self.job.trial.address, made_by(self.job, self.worker))

    def take(self, epoch: Any, diverged: str | None, *, save: bool) -> None:
        """Do with an epoch, which is noted by now, what is due."""
        trial, so_far = self.job.trial, self.so_far
        facts: dict[str, Any] = {}
        if self.job.stops_weak_trials:
            facts = {COMPARED: epoch.metrics[self.job.stage.metric], "epoch": epoch.number}
        if diverged:
            self.end(error=diverged)
        elif epoch.number == trial.epochs:
            so_far.state = epoch.state()
            self.end(parts=self.records.save_results(trial, so_far), **facts)
        else:
            if save:
                so_far.state = epoch.state()
                self.records.save_checkpoint(trial.address, so_far, made_by(self.job, self.worker))
                self.news.always["checkpointed"] = True
            if facts or self.news.due(so_far.rows):
                self.news.tell(so_far.rows, **facts)

    def end(self, **facts: Any) -> None:
        """Tell how it ended."""
        self.over = True
        self.news.tell(self.so_far.rows, over=True, **facts)


def _num_epochs(one: _Underway) -> int:
    return len(one.so_far.rows)


def _train(group: list[_Underway], data: Any) -> None:
    """Train trials that stand at the same epoch; where several cannot begin as one, each by itself."""
    first, num_before = group[0], _num_epochs(group[0])
    saved = time.perf_counter()
    try:
        for epochs in _alone(first, data) if len(group) == 1 else _as_one(group, data):
            save = time.perf_counter() - saved > CHECKPOINT_SECONDS
            for one, (epoch, diverged) in zip(group, epochs, strict=True):
                if not one.over:
                    one.take(epoch, diverged, save=save)
            saved = time.perf_counter() if save else saved
            if all(one.over for one in group):
                return
        for one in group:
            if one.news.due(one.so_far.rows, 0):
                one.end()
    except Exception as error:
        if isinstance(error, Unusable) or is_of_the_machine(error):
            raise
        if len(group) == 1 or _num_epochs(first) > num_before:
            for one in group:
                if not one.over:
                    one.end(error=traceback.format_exc())
            return
        keys = ", ".join(one.job.trial.key for one in group)
        first.news.said.append(f"{keys} are trained one after the other: {in_a_line(error)}")
        for one in group:
            _train([one], data)


Noted = tuple[Any, str | None]
"""An epoch, and why the training has diverged, if it has."""


def _alone(one: _Underway, data: Any) -> Iterator[list[Noted]]:
    for noted in one.job.epochs(data, one.records, one.so_far, one.worker, one.news.said):
        yield [noted]


def _as_one(group: list[_Underway], data: Any) -> Iterator[list[Noted]]:
    """Epochs of all; of the time that one takes, each has its share."""
    job, states = group[0].job, [one.so_far.state for one in group]
    job.watch()
    worker = replace(group[0].worker, inputs=group[0].records.arrays(job.inputs) if job.inputs else {})
    resumes = None if states[0] is None else states
    job.log(f"begins: epochs {_num_epochs(group[0]) + 1} to {job.trial.epochs}, as one of {len(group)}")
    started = time.perf_counter()
    for epochs in job.stage.train_ensemble([one.job.trial for one in group], data, worker, resumes):
        job.watch()
        seconds = (time.perf_counter() - started) / len(group)
        yield [
            (epoch, None if one.over else one.job.note(epoch, one.so_far, seconds, one.job.log))
            for one, epoch in zip(group, epochs, strict=True)
        ]
        started = time.perf_counter()
