"""What a worker tells the driver, whose fault an exception is, and what a training goes on from."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from orchestrator.engine import worker as worker_module
from orchestrator.engine.checkpoint import Checkpoint, Rows
from orchestrator.engine.folder import Folder, Unusable
from orchestrator.engine.ray_tune import why_ended
from orchestrator.engine.records import Records, Trial
from orchestrator.engine.stage import Worker
from orchestrator.engine.worker import (
    Job,
    News,
    Unfit,
    check_device,
    check_reach,
    is_of_the_machine,
    made_by,
    unwatch,
)
from tests.engine.toy import Nothing, Toy
from trainables.epoch import Epoch


def rows(number: int) -> Rows:
    return [{"epoch": epoch, "seconds": 0.1} for epoch in range(1, number + 1)]


def test_driver_is_told_of_the_first_epoch_at_once_then_once_a_second_and_of_each_epoch_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[dict[str, Any]] = []
    now = [100.0]
    monkeypatch.setattr(worker_module.time, "monotonic", lambda: now[0])
    news = News(sent.append)
    news.said.append("a line")
    for number in range(1, 41):
        if news.due(rows(number)):
            news.tell(rows(number))
        now[0] += 0.125
    news.tell(rows(40), parts=())
    now[0] += 5
    assert not news.due(rows(40)), "nothing is new"
    assert [len(facts["rows"]) for facts in sent] == [1, 8, 8, 8, 8, 7]
    assert [row["epoch"] for facts in sent for row in facts["rows"]] == list(range(1, 41))
    assert [facts["said"] for facts in sent] == [("a line",), (), (), (), (), ()]
    assert ("parts" in sent[-1], "parts" in sent[0]) == (True, False)


def too_large() -> Iterator[Exception]:
    for allocate in (np.empty, torch.empty):
        try:
            allocate(2**55 // 8)
        except (MemoryError, RuntimeError) as error:
            yield error


def test_memory_that_ran_out_and_a_library_that_is_missing_are_the_machine_s_fault() -> None:
    of_numpy, of_torch = too_large()
    assert type(of_torch) is RuntimeError, "it has no class of its own"
    faults = [of_numpy, of_torch, MemoryError(), OSError(12, "no memory"), ModuleNotFoundError("no torch"), Unfit("")]
    faults += [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("cuBLAS: CUBLAS_STATUS_ALLOC_FAILED")]
    assert all(is_of_the_machine(error) for error in faults)
    own = [RuntimeError("shapes differ"), ValueError("out of paint"), KeyError("x"), AssertionError()]
    assert not any(is_of_the_machine(error) for error in own)


def test_device_that_torch_cannot_use_is_the_machine_s_fault() -> None:
    check_device("cpu")
    assert torch.get_num_threads() == 1
    if not torch.cuda.is_available():
        with pytest.raises(Unfit, match=r"torch cannot use the cuda: .*Error: "):
            check_device("cuda")


def test_why_ray_ended_a_worker_is_told_with_the_mend_where_its_memory_ran_out() -> None:
    text = """Task was killed due to the node running low on memory.
Memory on the node (IP: 10.0.0.7, ID: 8c5a14) where the task was running was 21.91GB / 33.28GB"""
    assert why_ended(text) == (
        "the node 10.0.0.7 ran out of memory, and Ray ended it: fewer at once need less (--resources.slots)"
    )
    assert why_ended("\tip: 10.0.0.8\nThe actor died because its node has died.") == "the node 10.0.0.8 was lost"
    assert why_ended("Worker exit type: SYSTEM_ERROR") == ""


class Older(Toy):
    """Cannot read the state that older code left; what it was told to go on from is kept."""

    def train(self, trial: Trial[Nothing], data: Any, worker: Worker) -> Iterator[Epoch]:
        first = 1
        if worker.resume is not None:
            first += worker.resume["epoch"]
            if "old" in worker.resume:
                raise RuntimeError("Error(s) in loading state_dict")
            if "alone" in worker.resume:
                raise RuntimeError("Connection closed by peer")
        for number in range(first, trial.epochs + 1):
            if trial.key == "fails" and number == 3:
                raise RuntimeError("shapes differ")
            yield Epoch(number, {"loss": float(number)}, lambda: {}, {f"of-{number}": np.ones(1)})


def job(key: str = "only") -> Job:
    return Job(Older(), Trial(key, Nothing(), 1, epochs=3, address=key), "", 60.0, (), stops_weak_trials=False)


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    yield Records(Folder(tmp_path), "toy")
    unwatch()


def test_training_that_cannot_go_on_from_its_checkpoint_begins_anew_and_says_so(records: Records) -> None:
    so_far, said = Checkpoint(rows(2), {"epoch": 2, "old": True}, {"of-0": np.zeros(1)}), list[str]()
    own = so_far.rows
    epochs = [epoch.number for epoch, _ in job().epochs(None, records, so_far, Worker(), said)]
    assert epochs == [1, 2, 3]
    assert [row["epoch"] for row in own] == [1, 2, 3], "of the epochs before there is nothing left"
    assert sorted(so_far.arrays) == ["of-1", "of-2", "of-3"]
    (line,) = said
    assert line.startswith("only cannot go on from its checkpoint and begins anew: RuntimeError: Error(s) in loading")


def test_training_that_fails_by_itself_after_it_was_gone_on_with_fails(records: Records) -> None:
    so_far, said = Checkpoint(rows(1), {"epoch": 1}), list[str]()
    with pytest.raises(RuntimeError, match="shapes differ"):
        list(job("fails").epochs(None, records, so_far, Worker(), said))
    assert [row["epoch"] for row in so_far.rows] == [1, 2]
    assert not said


def test_group_that_cannot_go_on_from_its_checkpoint_is_begun_anew_as_a_whole(records: Records) -> None:
    for rank in (1, 0):
        records.save_checkpoint("only", Checkpoint(rows(2), {"epoch": 2, "old": True}))
        so_far = records.load_checkpoint("only")
        with pytest.raises(RuntimeError, match="loading state_dict"):
            list(job().epochs(None, records, so_far, Worker(rank=rank, num_workers=2)))
        assert (records.load_checkpoint("only").state is None) == (rank == 0)
    kept = Checkpoint(rows(2), {"epoch": 2, "alone": True})
    records.save_checkpoint("only", kept)
    with pytest.raises(RuntimeError, match="by peer"):
        list(job().epochs(None, records, records.load_checkpoint("only"), Worker(num_workers=2)))
    assert records.load_checkpoint("only") == kept, "not where another worker was lost"


def test_checkpoint_is_gone_on_with_by_the_same_code_on_such_a_device_by_as_many_workers(
    records: Records,
) -> None:
    saved, own = Checkpoint(rows(1), {"epoch": 1}), job()
    other_code = replace(own, modules=("orchestrator.engine.worker",))
    records.save_checkpoint("only", saved, made_by(own, Worker()))
    assert records.load_checkpoint("only", made_by(own, Worker("cpu"))) == saved
    for other in (made_by(own, Worker(num_workers=2)), made_by(other_code, Worker())):
        assert records.load_checkpoint("only", other) == Checkpoint()
    assert records.load_checkpoint("only", made_by(own, Worker()) | {"device": "cuda"}) == Checkpoint()


def test_worker_sees_once_that_its_node_has_the_run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    exists = Folder.exists
    monkeypatch.setattr(Folder, "exists", lambda folder, name: (asked.append(name), exists(folder, name))[1])
    for _ in range(2):
        with pytest.raises(Unusable, match=f"{socket.gethostname()} does not see the run folder"):
            check_reach(Folder(tmp_path))
    Folder(tmp_path).write("manifest.json", b"{}")
    for _ in range(3):
        check_reach(Folder(tmp_path))
    assert len(asked) == 3
