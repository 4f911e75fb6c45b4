"""About how long work takes on this machine: what its stages expect, at the pace of earlier runs here, or of a piece
of it that is timed."""

import contextlib
import math
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from orchestrator.engine.book import Book
from orchestrator.engine.folder import Damaged
from orchestrator.engine.machine import Machine
from orchestrator.engine.manifest import Manifest, StageState
from orchestrator.engine.phases import turns
from orchestrator.engine.plan import Plan
from orchestrator.engine.provenance import processor
from orchestrator.engine.results import Run
from orchestrator.engine.settings import UserError

START_SECONDS = 20
"""Ray's start and end, the data, the report."""
GROUP_SECONDS = 15
"""Start and end of a group of workers that share trainings."""
CALIBRATION = "calibration.json"
"""The run folder's file with the pace of a core, while no run has told of it."""
BUSY = 1.2
"""How much longer a training takes beside one on the next core and beside Ray's own processes than a piece of it that
is timed alone (docs/LOG.md)."""
GPU_PACE = 1 / 6
"""Of a share of a GPU, next to a core: a guess on the safe side, until a run here has told."""


@dataclass(frozen=True)
class Work:
    """What is to be done of a stage, in seconds of one core, or of one share of a GPU."""

    training: float
    own: float
    """What this process does: inputs, tables, figures."""
    at_once: int = 1
    """Trainings that can run at once, if there is room."""

    @property
    def total(self) -> float:
        """All of it."""
        return self.training + self.own


def work_of(plan: Plan, machine: Machine, *, calibrate: bool = False) -> dict[str, Work]:
    """What is to be done of each of a plan's stages, at the pace of this machine.

    Where no run here has told of that, it is taken for as quick as the one that stages' expectations are of, or, with
    `calibrate`, its cores' pace is found out in a few seconds.
    """
    found = _paces(plan, machine)
    if found:
        usual = median(found.values())
    elif machine.gpus:
        usual = GPU_PACE
    else:
        usual = _calibrated(plan.book) if calibrate and plan.to_do else 1.0
    work = {}
    for stage in plan.to_do:
        study, missing = plan.book.study(stage.name), plan.num_missing(stage)
        known = study.trials if stage.name in plan.anew else study.waiting
        cost = sum(trial.cost for trial in known) * missing / len(known) if known else 0.0
        own = stage.own_seconds(plan.book.context(stage.name)) * (1.0 if machine.gpus else usual)
        work[stage.name] = Work(cost * found.get(stage.name, usual), own, max(1, study.at_once))
    return work


def seconds_of(plan: Plan, work: Mapping[str, Work], machine: Machine, slots: int) -> float:
    """How long that takes with so many trainings at once: turn by turn, until no core has work left, and no chain of
    stages that need each other."""
    needs = {name: [need for need in plan.book.needs(name) if need in work] for name in work}
    turn_of = turns(needs, {stage.name for stage in plan.to_do if stage.shared})
    total = float(START_SECONDS * any(it.training for it in work.values()))
    for turn in sorted(set(turn_of.values())):
        of_turn = {name: it for name, it in work.items() if turn_of[name] == turn}
        training, own = sum(it.training for it in of_turn.values()), sum(it.own for it in of_turn.values())
        chain: dict[str, float] = {}
        for name, it in of_turn.items():
            before = max((chain[need] for need in needs[name] if need in chain), default=0.0)
            chain[name] = before + it.training / min(slots, it.at_once) + it.own
        total += max(training / slots, (training + own) / max(slots, machine.cpus), *chain.values())
        total += GROUP_SECONDS * (turn % 2 and training > 0)
    return total


def _paces(plan: Plan, machine: Machine) -> dict[str, float]:
    """Of stages that were trained here before, in this run or in one beside it, the pace of the last time."""
    beside = sorted(_beside(plan.book.run), key=_last)
    paces: dict[str, float] = {}
    for manifest in [*beside, *([plan.manifest] if plan.manifest else [])]:
        here = {name: it for name, it in manifest.stages.items() if it.pace and _is_of(it, machine)}
        paces |= {name: entry.pace for name, entry in here.items()}
    return paces


def _calibrated(book: Book) -> float:
    """The suite's pace on this processor, as the run folder has it; else found out, and kept where there is one."""
    with contextlib.suppress(FileNotFoundError, Damaged, UserError):
        match book.run.read_json(CALIBRATION):
            case {"device": device, "pace": float(pace)} if device == processor() and 0 < pace < math.inf:
                return pace
    pace = BUSY * book.suite.pace()
    if book.run.is_local and Path(book.run.absolute).is_dir():
        with contextlib.suppress(UserError):
            book.run.write_json(CALIBRATION, {"device": processor(), "pace": pace})
    return pace


def _beside(run: Run) -> Iterator[Manifest]:
    for path in Path(run.absolute).parent.glob("*/manifest.json") if run.is_local else ():
        with contextlib.suppress(Damaged, UserError, OSError):
            if manifest := Run(path.parent).manifest():
                yield manifest


def _last(manifest: Manifest) -> float:
    return max((entry.began for entry in manifest.stages.values()), default=0.0)


def _is_of(entry: StageState, machine: Machine) -> bool:
    """Whether all was trained on a machine like this one: on such a processor, or on this one's GPUs."""
    host, cpu = socket.gethostname(), processor()
    if machine.gpus:
        return all(it.host == host and it.device != cpu for it in entry.trained)
    return all(it.device == cpu for it in entry.trained)


def pace_of(expected: Iterable[tuple[float, float]]) -> float:
    """The median of what trainings took for each second that they were expected to take, from pairs of both; 0 where
    none took a second: the rest is overhead."""
    return median([took / cost for cost, took in expected if cost > 0 and took > 1] or [0.0])
