"""What a training is told addresses its record; a record that is damaged, or another training's, is none."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.engine.checkpoint import Checkpoint
from orchestrator.engine.folder import Unusable
from orchestrator.engine.records import ARRAYS, WEIGHTS, Record, Records, Trial
from orchestrator.engine.results import Run
from orchestrator.engine.settings import Section
from orchestrator.engine.stage import Context
from tests.engine.toy import Nothing, Toy, begun, book, suite


class Told(Section):
    """What a trial is told."""

    rate: float = 0.5


class Reading(Toy):
    """Its trainings are given what is made of these records."""

    read: tuple[str, ...] = ()

    def made_of(self, context: Context[Nothing]) -> tuple[str, ...]:
        return self.read


TRIAL = Trial("fold-1.5", Told(), seed=3, epochs=2, num_images=10, cost=1.0).addressed({})


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "runs" / "mine")


def address(folder: Path, trial: Trial[Told] = TRIAL, *, checksum: str = "images", **facts: Any) -> str:
    """The address that a run gives to the only trial of a stage, of which these are the facts."""
    of_suite = suite(Reading([trial], **facts), checksum=checksum)
    (addressed,) = book(of_suite, folder, name="any").study("toy").trials
    return addressed.address


@pytest.mark.parametrize(
    "changes",
    [
        {"trial": replace(TRIAL, config=Told(rate=0.25))},
        {"trial": replace(TRIAL, seed=4)},
        {"trial": replace(TRIAL, epochs=3)},
        {"trial": replace(TRIAL, keep_weights=True)},
        {"checksum": "other images"},
        {"read": ("trial-000-0123456789ab",)},
        {"version": 2},
    ],
    ids=["config", "seed", "epochs", "keep_weights", "data", "inputs", "version"],
)
def test_another_training_has_another_address(tmp_path: Path, changes: dict[str, Any]) -> None:
    own, other = address(tmp_path), address(tmp_path, **changes)
    assert other != own
    assert own.startswith("fold-1.5-")
    assert other.startswith("fold-1.5-"), "key and hash"
    assert len(own) == len(other) == len("fold-1.5-") + 12


def test_records_that_inputs_are_made_of_are_told_apart(tmp_path: Path) -> None:
    read = [(), ("a",), ("b",), ("a", "b"), ("b", "a")]
    assert len({address(tmp_path, read=names) for names in read}) == len(read)


@pytest.mark.parametrize("changes", [{"cost": 99.0}, {"num_images": 99}], ids=["cost", "num_images"])
def test_what_decides_only_the_order_of_the_work_leaves_the_address(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert address(tmp_path, replace(TRIAL, **changes)) == address(tmp_path)


def test_settings_that_decide_no_training_leave_the_address(tmp_path: Path) -> None:
    stage = Reading([TRIAL])
    addresses = [
        book(suite(stage), tmp_path, **changes).study("toy").trials[0].address
        for changes in ({}, {"name": "other"}, {"resources": {"slots": 7}}, {"seed": 99})
    ]
    assert len(set(addresses)) == 1, "the run's seed reaches a training by its trial's alone"


def disk_full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def files(run: Run) -> list[str]:
    """Every file below the run folder, hidden ones too."""
    root = Path(run.absolute)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def trial(key: str, seed: int = 1) -> Trial[Told]:
    return Trial(key, Told(), seed, epochs=1).addressed({})


def record(run: Run, of: Trial[Told], **content: Any) -> Record[Told]:
    """Write a record as a stage that is being done does."""
    whole = Record(of.key, of.config, of.seed, **{"state": "complete", **content}, address=of.address)
    Records(run, "toy").save(whole)
    return whole


def find(run: Run, of: Trial[Told], *, set_aside: bool = True) -> Record[Told] | None:
    return Records(run, "toy").find(of, set_aside=set_aside)


def test_records_round_trip(run: Run) -> None:
    first = record(run, trial("fold-0"), epochs=[{"val_mse": 0.1 + 0.2}], error=None, num_workers=2)
    second = record(run, trial("fold-1.5"), state="failed", error="ü\n", lost=True)
    Records(run, "toy/deeper").save(replace(first, key="fold-2", address=trial("fold-2").address))
    assert [find(run, trial(key)) for key in ("fold-0", "fold-1.5")] == [first, second]
    assert find(run, trial("fold-2")) is None
    assert Records(run, "toy").addresses == {first.address, second.address}
    assert Records(run, "search").addresses == set()
    assert files(run)[1:] == [f"records/toy/{of.address}.json" for of in (first, second)]


def test_a_record_written_again_is_one_record(run: Run) -> None:
    record(run, trial("trial-000"), state="failed")
    last = record(run, trial("trial-000"))
    assert find(run, trial("trial-000")) == last
    assert len(files(run)) == 1


def test_half_a_record_of_a_killed_process_is_no_record(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed leaves its temporary file, as when removing it fails."""
    whole = record(run, trial("trial-000"))
    monkeypatch.setattr(os, "replace", disk_full)
    monkeypatch.setattr(os, "unlink", disk_full)
    with pytest.raises(Unusable):
        record(run, trial("trial-001"))
    assert len(files(run)) == 2
    assert find(run, trial("trial-000")) == whole
    assert find(run, trial("trial-001")) is None
    assert Records(run, "toy").addresses == {whole.address}


@pytest.mark.parametrize(
    "changes", [{"config": {"rate": 0.25}}, {"config": {}}, {"seed": 2}], ids=["config", "no config", "seed"]
)
def test_a_record_that_was_told_something_else_is_none_whatever_its_name(run: Run, changes: dict[str, Any]) -> None:
    """As though two hashes were the same; the file is sealed as ours are."""
    own = record(run, trial("trial-000"))
    name = f"records/toy/{own.address}.json"
    content = run.read_json(name)
    run.write_json(name, content)
    assert find(run, trial("trial-000")) == own
    run.write_json(name, content | changes)
    assert find(run, trial("trial-000")) is None
    assert files(run) == [name], "nor is it damaged"


FAULTS = ["record", "weights", "no weights", "arrays", "no arrays", "another's name", "a field too many", "no list"]


def _harm(run: Run, ill: str, fault: str) -> None:
    """Damage the record of this address, or a file that belongs to it."""
    name = f"records/toy/{ill}"
    if fault == "record":
        run.write(f"{name}.json", b"{}")
    elif fault == "another's name":
        (other,) = (it for it in run.list("records/toy", ".json") if it != f"{name}.json")
        run.write(f"{name}.json", run.read(other))
    elif fault == "a field too many":
        run.write_json(f"{name}.json", run.read_json(f"{name}.json") | {"colour": "red"})
    elif fault == "no list":
        run.write_json(f"{name}.json", run.read_json(f"{name}.json") | {"parts": None})
    else:
        ending = WEIGHTS if fault.endswith("weights") else ARRAYS
        run.delete(name + ending) if fault.startswith("no ") else run.write(name + ending, b"{}")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_record_is_set_aside_with_a_line_that_names_it_and_only_where_asked_to(
    run: Run, fault: str
) -> None:
    said: list[str] = []
    run.say = said.append
    well, ill = trial("well"), trial("ill")
    for of in (well, ill):
        for ending in (WEIGHTS, ARRAYS):
            run.write_sealed(f"records/toy/{of.address}{ending}", b"content")
        record(run, of, parts=(WEIGHTS, ARRAYS))
    assert (find(run, ill) or well).address == ill.address
    _harm(run, ill.address, fault)
    before = {name: run.read(name) for name in files(run)}
    for _ in range(2):
        assert find(run, ill, set_aside=False) is None
        assert find(run, well, set_aside=False) is not None
    assert {name: run.read(name) for name in files(run)} == before
    assert not said

    for _ in range(2):
        assert find(run, ill) is None
        assert find(run, well) is not None
    (line,) = said
    reason = "lacks its weights or arrays" if fault in {"no weights", "no arrays"} else "is damaged"
    assert line.startswith(f"records/toy/{ill.address}.json {reason}")
    (kept,) = (name for name in files(run) if name.startswith("quarantine/"))
    assert kept.endswith(f"/records/toy/{ill.address}.json")
    assert f"{run.location}/{kept}" in line


def test_a_record_without_parts_lacks_none(run: Run) -> None:
    of = trial("pruned")
    run.write_sealed(f"records/toy/{of.address}{WEIGHTS}", b"of an earlier training")
    written = record(run, of, state="pruned")
    assert find(run, of) == written


def test_checkpoints_go_on_from_what_was_saved_and_go_with_the_record(run: Run) -> None:
    records, of = Records(run, "toy"), trial("trial-000")
    assert records.load_checkpoint(of.address) == Checkpoint()
    saved = Checkpoint([{"epoch": 1, "seconds": 0.5}], {"epoch": 1}, {"confusion": np.eye(2)})
    records.save_checkpoint(of.address, saved)
    found = records.load_checkpoint(of.address)
    assert (found.rows, found.state) == (saved.rows, saved.state)
    np.testing.assert_array_equal(found.arrays["confusion"], np.eye(2))
    record(run, of)
    assert files(run) == [f"records/toy/{of.address}.json"]
    assert json.loads(run.read(f"records/toy/{of.address}.json"))["key"] == "trial-000"
    records.delete(of.address)
    assert files(run) == []


def test_nothing_is_asked_of_the_folder_where_the_worker_says_what_it_left(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*arguments: object) -> Any:
        raise AssertionError("it was told")

    stage_run, _ = begun(Path(run.absolute), Toy([trial("only")], metric="val_mse"))
    for question in ("exists", "read", "list", "delete"):
        monkeypatch.setattr(Run, question, asked)
    job = stage_run.start()
    assert not job.begun, "nor has the worker to ask for a checkpoint"
    parts = Records(run, "toy").save_results(job.trial, Checkpoint([], {"model": {}}, {"confusion": np.eye(2)}))
    assert [ending for ending, _ in parts] == [ARRAYS]
    record, checkpointed = stage_run.ended(
        "only", [{"epoch": 1, "seconds": 0.5}], None, parts=parts, checkpointed=False
    )
    stage_run.records.save(record, checkpointed=checkpointed)
    monkeypatch.undo()
    assert (find(run, job.trial) or record).parts == (ARRAYS,)


def test_worker_is_told_of_a_checkpoint_that_an_earlier_one_may_have_left(run: Run) -> None:
    trials = [trial("left"), trial("fresh")]
    stage_run, _ = begun(Path(run.absolute), Toy(trials))
    Records(run, "toy").save_checkpoint(stage_run.study.trials[0].address, Checkpoint([], {"epoch": 1}))
    stage_run, _ = begun(Path(run.absolute), Toy(trials))
    assert [stage_run.start().begun for _ in trials] == [True, False]
    stage_run.lost("fresh")
    assert stage_run.start().begun
    _, checkpointed = stage_run.ended("fresh", [], "out of paint", checkpointed=False)
    assert checkpointed, "what the worker that was lost had left goes with the record"


def test_losses_on_a_node_that_is_at_fault_do_not_use_up_the_retries_on_others(run: Run) -> None:
    stage_run, records = begun(Path(run.absolute), Toy([trial("only")]))
    for node in ("ill", "ill", "", "", "other"):
        stage_run.start()
        stage_run.lost("only", "host-1 (GPU 0): Unfit: no driver", node)
        assert not records, "it waits again"
    stage_run.start()
    stage_run.lost("only", "host-1 (GPU 0): Unfit: no driver", "ill", forgiven=True)
    assert not records, "since nothing more runs there"
    stage_run.start()
    stage_run.lost("only", "host-1 (GPU 0): Unfit: no driver", "ill")
    assert (records["only"].state, records["only"].lost) == ("failed", True)
    assert records["only"].error == "its worker was lost 7 times; host-1 (GPU 0): Unfit: no driver"


@pytest.mark.parametrize("epochs", [[], [{"epoch": 1, "seconds": 0.5}]], ids=["no epoch", "no metric"])
def test_a_record_without_what_its_stage_measures_is_damaged_unless_the_training_failed(
    run: Run, epochs: list[dict[str, float]]
) -> None:
    """Whoever made the folder can seal what no training measured."""
    well, ill, failed = trial("well"), trial("ill"), trial("failed")
    record(run, well, epochs=[{"epoch": 1, "seconds": 0.5, "loss": 0.1}])
    record(run, ill, epochs=epochs)
    record(run, failed, state="failed", epochs=epochs)
    records = Records(run, "toy")
    found = [records.find(of, set_aside=False, metric="loss") is not None for of in (well, ill, failed)]
    assert found == [True, False, True]
