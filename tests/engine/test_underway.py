"""What a worker does with several trials that it trains as one, without Ray."""

from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator.engine import underway
from orchestrator.engine.checkpoint import Checkpoint
from orchestrator.engine.records import Records, Trial
from orchestrator.engine.results import Run
from orchestrator.engine.settings import Resources, Section
from orchestrator.engine.stage import Worker
from orchestrator.engine.underway import train_all
from orchestrator.engine.worker import Job
from tests.engine.toy import Toy, begun
from trainables.epoch import Epoch

EPOCHS = 4


class Told(Section):
    """What a trial is told."""

    kind: str = "a"
    fault: str = ""


class Together(Toy):
    """Counts, alone or together; says which in a metric."""

    config = Told

    def train(self, trial: Trial[Told], data: Any, worker: Worker) -> Iterator[Epoch]:
        first = 1 if worker.resume is None else worker.resume["epoch"] + 1
        return (_epoch(trial, number, 1, first) for number in range(first, EPOCHS + 1))

    def alike(self, trial: Trial[Told]) -> Hashable | None:
        return trial.config.kind or None

    def train_ensemble(
        self, trials: Sequence[Trial[Told]], data: Any, worker: Worker, resumes: Sequence[Any] | None
    ) -> Iterator[Sequence[Epoch]]:
        firsts = {1} if resumes is None else {resume["epoch"] + 1 for resume in resumes}
        (first,) = firsts
        for number in range(first, EPOCHS + 1):
            for trial in trials:
                if trial.config.fault == f"raises in {number}":
                    raise ValueError("out of step")
                if trial.config.fault == f"no memory in {number}":
                    raise torch.OutOfMemoryError("CUDA out of memory")
            yield [_epoch(trial, number, len(trials), first) for trial in trials]


def _epoch(trial: Trial[Told], number: int, num_members: int, first: int) -> Epoch:
    loss = float("nan") if trial.config.fault == "diverges" and number == 2 else trial.seed / number
    metrics = {"loss": loss, "members": float(num_members), "first": float(first)}
    state = {"epoch": number, "model": {"weight": torch.full((2,), float(trial.seed))}}
    return Epoch(number, metrics, lambda: state)


def three(*faults: str) -> list[Trial[Told]]:
    return [
        Trial(f"trial-{number}", Told(fault=fault), number, EPOCHS, keep_weights=True).addressed({})
        for number, fault in enumerate(faults or ("", "", ""))
    ]


def trained(folder: Path, trials: Sequence[Trial[Told]], *, begun: bool = False) -> dict[str, dict[str, Any]]:
    """What was told of each trial, its rows in a row."""
    told: dict[str, dict[str, Any]] = {}

    def tell(facts: dict[str, Any]) -> None:
        before = told.get(facts["key"], {"rows": [], "said": ()})
        together = {name: [*before[name], *facts[name]] for name in ("rows", "said")}
        told[facts["key"]] = facts | together

    run = Run(folder)
    run.write("manifest.json", b"{}")
    jobs = [Job(Together(), trial, "", 60, ("trainables",), False, begun) for trial in trials]
    train_all(jobs, None, run, Worker(), tell)
    return told


def column(told: dict[str, Any], name: str) -> list[float]:
    return [row[name] for row in told["rows"]]


def test_trials_that_are_trained_as_one_leave_what_each_would_have_left_alone(tmp_path: Path) -> None:
    trials = three()
    as_one = trained(tmp_path / "one", trials)
    alone = {key: it for trial in trials for key, it in trained(tmp_path / "alone", [trial]).items()}
    assert list(as_one) == list(alone)
    for key, told in as_one.items():
        assert column(told, "members") == [3] * EPOCHS
        assert column(told, "loss") == column(alone[key], "loss")
        assert {name: told[name] for name in told if name != "rows"} == {
            name: alone[key][name] for name in alone[key] if name != "rows"
        }
    assert len({told["parts"] for told in as_one.values()}) == 3
    kept = [sorted(path.name for path in (tmp_path / it / "records" / "toy").iterdir()) for it in ("one", "alone")]
    assert kept[0] == kept[1]


def test_each_has_its_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(10**6))
    monkeypatch.setattr(underway.time, "perf_counter", lambda: float(next(ticks)))
    told = trained(tmp_path, three())
    assert {row["seconds"] for it in told.values() for row in it["rows"]} == {1 / 3}


def test_one_that_diverges_ends_by_itself(tmp_path: Path) -> None:
    told = trained(tmp_path, three("", "diverges", ""))
    assert [len(it["rows"]) for it in told.values()] == [4, 2, 4]
    assert told["trial-1"]["error"] == "diverged: loss is nan after epoch 2"
    assert all("parts" in told[key] and "error" not in told[key] for key in ("trial-0", "trial-2"))


def test_where_none_is_left_nothing_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    train_ensemble = Together.train_ensemble

    def counted(*arguments: Any) -> Iterator[Sequence[Epoch]]:
        for epochs in train_ensemble(*arguments):
            asked.append(epochs[0].number)
            yield epochs

    monkeypatch.setattr(Together, "train_ensemble", counted)
    told = trained(tmp_path, three("diverges", "diverges"))
    assert [len(it["rows"]) for it in told.values()] == [2, 2]
    assert asked == [1, 2]


def test_what_cannot_begin_as_one_is_trained_one_after_the_other(tmp_path: Path) -> None:
    told = trained(tmp_path, three("", "raises in 1", ""))
    assert [column(it, "members") for it in told.values()] == [[1] * 4] * 3
    (line,) = [line for it in told.values() for line in it["said"]]
    assert line == "trial-0, trial-1, trial-2 are trained one after the other: ValueError: out of step"


def test_an_exception_after_some_epochs_is_a_result_of_all_that_are_left(tmp_path: Path) -> None:
    told = trained(tmp_path, three("diverges", "raises in 3", ""))
    assert told["trial-0"]["error"].startswith("diverged")
    assert all("out of step" in told[key]["error"] for key in ("trial-1", "trial-2"))
    assert [len(it["rows"]) for it in told.values()] == [2, 2, 2]


def test_a_fault_of_the_machine_is_told_of_one_that_is_left_and_raised(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    run = Run(tmp_path)
    run.write("manifest.json", b"{}")
    trials = three("diverges", "no memory in 3", "")
    jobs = [Job(Together(), trial, "", 60, ("trainables",), False) for trial in trials]
    with pytest.raises(torch.OutOfMemoryError):
        train_all(jobs, None, run, Worker(), told.append)
    assert told[-1]["key"] == "trial-1"
    assert "out of memory" in told[-1]["lost"]
    assert [(it["key"], it["error"]) for it in told if it.get("over")] == [
        ("trial-0", "diverged: loss is nan after epoch 2")
    ]


def test_trials_go_on_as_one_from_the_same_epoch_and_apart_from_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(underway, "CHECKPOINT_SECONDS", -1)
    trials = [*three(), *three()[:1]]
    trials[3] = Trial("trial-3", Told(), 3, EPOCHS).addressed({})
    for trial, number in zip(trials, (2, 2, 3, 0), strict=True):
        _checkpointed_after(number, trial, tmp_path)
    told = trained(tmp_path, trials, begun=True)
    assert {key: (it["rows"][-1]["members"], it["rows"][-1]["first"]) for key, it in told.items()} == {
        "trial-0": (2, 3), "trial-1": (2, 3), "trial-2": (1, 4), "trial-3": (1, 1),
    }  # fmt: skip
    assert [column(it, "epoch") for it in told.values()] == [[1, 2, 3, 4]] * 4


def _checkpointed_after(number: int, trial: Trial[Told], folder: Path) -> None:
    """Leave what a lost worker has left."""
    if number:
        job = Job(Together(), trial, "", 60, ("trainables",), False)
        epochs = [_epoch(trial, n, 3, 1) for n in range(1, number + 1)]
        so_far = Checkpoint([{"epoch": it.number, **it.metrics, "seconds": 0.0} for it in epochs], epochs[-1].state())
        made_by = underway.made_by(job, Worker())
        Records(Run(folder), "toy").save_checkpoint(trial.address, so_far, made_by)


def test_checkpoints_of_an_ensemble_are_each_trial_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(underway, "CHECKPOINT_SECONDS", -1)
    trials = three("", "", "no memory in 4")
    with pytest.raises(torch.OutOfMemoryError):
        trained(tmp_path, trials)
    alone = trained(tmp_path, trials[:1], begun=True)
    assert column(alone["trial-0"], "members") == [3, 3, 3, 1]
    assert column(alone["trial-0"], "first") == [1, 1, 1, 4]
    assert alone["trial-0"]["checkpointed"]


def test_waiting_trials_that_are_alike_start_together_up_to_as_many_as_the_settings_say(tmp_path: Path) -> None:
    kinds = ("a", "b", "a", "", "a", "b", "", "a")
    trials = [Trial(f"{kind or 'no'}-{n}", Told(kind=kind), n, EPOCHS, cost=8.0 - n) for n, kind in enumerate(kinds)]
    stage_run, _ = begun(tmp_path, Together(trials), Resources(ensemble=3))
    taken = []
    while stage_run.study.waiting:
        taken.append([job.trial.key for job in stage_run.start_alike()])
    assert taken == [["a-0", "a-2", "a-4"], ["b-1", "b-5"], ["no-3"], ["no-6"], ["a-7"]]
    assert list(stage_run.study.running) == [key for keys in taken for key in keys]


def test_by_default_each_trial_starts_alone(tmp_path: Path) -> None:
    stage_run, _ = begun(tmp_path, Together(three()))
    assert [job.trial.key for job in stage_run.start_alike()] == ["trial-0"]


def test_what_may_be_stopped_early_is_compared_by_its_epochs_also_where_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(underway, "CHECKPOINT_SECONDS", -1)
    trial, told, run = three()[1], [], Run(tmp_path)
    run.write("manifest.json", b"{}")
    _checkpointed_after(2, trial, tmp_path)
    job = Job(Together(), trial, "", 60, ("trainables",), stops_weak_trials=True, begun=True)
    train_all([job], None, run, Worker(), told.append)
    assert [(facts["epoch"], facts[underway.COMPARED]) for facts in told] == [(3, 1 / 3), (4, 1 / 4)]
