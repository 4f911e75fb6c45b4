"""What makes a stage's tables out of date, and what a command then does again."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.engine.book import Book
from orchestrator.engine.folder import digest
from orchestrator.engine.lock import holder, locked
from orchestrator.engine.manifest import Manifest, StageState
from orchestrator.engine.phases import turns
from orchestrator.engine.plan import Plan, damage, unused_files
from orchestrator.engine.records import Record, Trial
from orchestrator.engine.results import Run
from orchestrator.engine.settings import RunSettings, Section, UserError
from orchestrator.engine.suite import Suite
from orchestrator.engine.tables import INT, column, schema
from tests.engine.toy import Nothing, Toy, book, suite


class Common(Section):
    """Read by more than one stage."""

    value: int = 1


class Own(Section):
    """A stage's own."""

    value: int = 1


class Settings(RunSettings):
    """With a section that is no stage's."""

    common: Common = Common()


class Reading(Toy):
    """Has settings, and reads a section."""

    settings = Own  # type: ignore[assignment]
    reads = (Common,)


def reading(*, version: int = 1, checksum: str = "images", **schemas: Any) -> Suite:
    """A stage that reads, one that needs it, one beside them."""
    stages = (
        Reading(name="first", version=version, schemas=schemas),
        Toy(needs=("first",), name="second"),
        Toy(name="beside"),
    )
    return Suite(**{**vars(suite(*stages, checksum=checksum)), "base": Settings})


def prints(of: Suite, **changes: Any) -> dict[str, str]:
    from orchestrator.engine.settings import changed

    return of.fingerprints(changed(of.preset("toy"), **changes))


@pytest.mark.parametrize(
    ("of", "changes", "out_of_date"),
    [
        (reading(), {"first": {"value": 2}}, {"first", "second"}),
        (reading(), {"common": {"value": 2}}, {"first", "second"}),
        (reading(version=2), {}, {"first", "second"}),
        (reading(made=schema(column("new", INT, "a column"))), {}, {"first", "second"}),
        (reading(checksum="other images"), {}, {"first", "second", "beside"}),
        (reading(), {"seed": 2}, {"first", "second", "beside"}),
        (reading(), {"name": "other", "resources": {"slots": 7}, "address": "local"}, set()),
    ],
    ids=[
        "its settings",
        "what it reads",
        "its version",
        "its columns",
        "the images",
        "the seed",
        "what decides nothing",
    ],
)
def test_tables_are_out_of_date_where_what_decides_them_has_changed_or_what_they_build_on(
    of: Suite, changes: dict[str, Any], out_of_date: set[str]
) -> None:
    before, after = prints(reading()), prints(of, **changes)
    assert {name for name in before if before[name] != after[name]} == out_of_date
    assert len(set(before.values())) == 3


TRIAL = Trial("only", Nothing(), seed=1, epochs=1)


def chain(folder: Path, **changes: Any) -> Book:
    """Three stages with a training each, the later ones after the earlier, and one beside them."""
    names = ("first", "second", "third")
    stages = [Toy([TRIAL], needs=names[:n][-1:], name=name) for n, name in enumerate(names)]
    return book(suite(*stages, Toy([TRIAL], name="beside")), folder, **changes)


def done(of: Book, *without: str) -> Manifest:
    """All is recorded and done, but for the records of these; each stage has written a file."""
    manifest = Manifest(name="toy")
    for name, fingerprint in of.fingerprints.items():
        (trial,) = of.study(name).trials
        if name not in without:
            of.records(name).save(
                Record(
                    "only",
                    Nothing(),
                    1,
                    "complete",
                    [{"epoch": 1, "loss": 0.5, "seconds": 1.0}],
                    address=trial.address,
                )
            )
        of.forget(name)
        of.run.write(f"tables/{name}.parquet", name.encode())
        files = {f"tables/{name}.parquet": digest(name.encode())}
        entry = {"state": "done", "fingerprint": fingerprint, "started": "", "files": files}
        manifest.stages[name] = StageState.model_validate(entry)
    return manifest


def to_do(of: Book, manifest: Manifest | None, *names: str, damaged: tuple[str, ...] = ()) -> list[str]:
    return [stage.name for stage in Plan.make(of, names, manifest, damaged).to_do]


def test_what_a_stage_needs_is_done_before_it_and_nothing_that_is_done(tmp_path: Path) -> None:
    of = chain(tmp_path)
    assert to_do(of, None, "second") == ["first", "second"]
    assert [stage.name for stage in Plan.make(of, ("second",), done(of)).selected] == ["first", "second"]
    assert to_do(chain(tmp_path), done(of), "third", "beside") == []


def test_a_stage_made_with_other_settings_or_that_failed_is_done_again_with_all_that_depends_on_it(
    tmp_path: Path,
) -> None:
    of = chain(tmp_path)
    for change in ({"fingerprint": "other"}, {"state": "failed"}):
        manifest = done(of)
        manifest.stages["second"] = manifest.stages["second"].model_copy(update=change)
        assert to_do(chain(tmp_path), manifest, "second") == ["second", "third"]
        assert to_do(chain(tmp_path), manifest, "first") == []
    assert to_do(chain(tmp_path, force=("first",)), done(of), "first") == ["first", "second", "third"]


def test_a_stage_whose_file_is_damaged_or_gone_writes_it_again_and_nothing_depends_on_that(tmp_path: Path) -> None:
    of = chain(tmp_path)
    manifest = done(of)
    assert damage(of.run, manifest) == {}
    of.run.write("tables/first.parquet", b"firs")
    of.run.delete("tables/beside.parquet")
    found = damage(of.run, manifest)
    assert found == {"first": ["tables/first.parquet"], "beside": ["tables/beside.parquet"]}
    assert to_do(chain(tmp_path), manifest, "third", damaged=tuple(found)) == ["first"]
    manifest.stages["first"] = manifest.stages["first"].model_copy(update={"state": "failed"})
    assert list(damage(of.run, manifest)) == ["beside"], "which is done; the other is to do anyway"


def test_records_that_a_stage_to_be_done_builds_on_are_trained_again_where_they_are_gone(tmp_path: Path) -> None:
    of = chain(tmp_path)
    manifest = done(of, "first")
    assert to_do(chain(tmp_path), manifest, "third") == []
    assert to_do(chain(tmp_path, force=("second",)), manifest, "third") == ["first", "second", "third"]
    # A stage that trains again gives other records to what builds on it, whatever the reason was.
    assert to_do(chain(tmp_path), manifest, "first", damaged=("first",)) == ["first", "second", "third"]


def test_what_failed_is_nothing_to_build_on(tmp_path: Path) -> None:
    of = chain(tmp_path)
    done(of)
    assert of.provides("first", "second")
    assert of.provides("second", "third")
    assert not of.context("second").planning
    (trial,) = of.study("first").trials
    of.records("first").save(Record("only", Nothing(), 1, "failed", error="out of paint", address=trial.address))
    again = chain(tmp_path)
    again.stages["first"].retries_failed = False  # type: ignore[misc]  # it is recorded, and stays so
    assert not again.study("first").num_missing
    assert not again.provides("first", "second")
    assert again.context("second").planning


class Given(Toy):
    """Its training is given what is made of nothing in particular."""

    def made_of(self, context: Any) -> tuple[str, ...]:
        return ("something",)


def test_only_files_of_no_trial_and_of_no_inputs_are_unused(tmp_path: Path) -> None:
    of = book(suite(Given([TRIAL])), tmp_path)
    (trial,) = of.study("toy").trials
    address = of.context("toy").inputs_address
    for name in (f"{trial.address}.json", f"{trial.address}.checkpoint", f"{address}.arrays.safetensors"):
        of.run.write(f"records/toy/{name}", b"used")
    for name in ("only-0123456789ab.json", "inputs-0123456789ab.arrays.safetensors", "older-0123456789ab.json"):
        of.run.write(f"records/toy/{name}", b"")
    entry = StageState(state="done", fingerprint="", started="", records=("older-0123456789ab",))
    unused = ["records/toy/inputs-0123456789ab.arrays.safetensors", "records/toy/only-0123456789ab.json"]
    assert unused_files(of, Manifest(name="toy", stages={"toy": entry})) == unused


def test_a_run_folder_is_one_process_s_and_free_when_that_is_gone(tmp_path: Path) -> None:
    run = Run(tmp_path / "runs" / "mine")
    assert holder(run) is None
    with locked(run):
        leftover = Path(run.path("tables/.writing-abc"))
        assert "process" in str(holder(run))
        with (
            pytest.raises(UserError, match=r"mine is in use by process \d+ on \S+ since .*: wait for it"),
            locked(run),
        ):
            raise AssertionError("two at once")
        assert json.loads(run.read("lock"))
        leftover.parent.mkdir()
        leftover.write_bytes(b"half")
    assert holder(run) is None
    kept = leftover.with_name("whole.parquet")
    kept.write_bytes(b"whole")
    with locked(run):
        assert not leftover.exists(), "what a killed process had not written to its end"
        assert kept.exists()


def test_stages_that_workers_share_train_by_turns_after_the_others() -> None:
    needs = {"first": (), "games": ("first",), "scores": ("games",), "more games": ("games",), "beside": ()}
    found = turns(needs, {"games", "more games"})
    assert found == {"first": 0, "games": 1, "scores": 2, "more games": 1, "beside": 0}
    assert turns({"after": ("done long ago",)}, {"after"}) == {"after": 1}


def test_an_error_is_told_by_its_last_line() -> None:
    entry = StageState(
        state="failed", fingerprint="", started="", error="Traceback ...\n  File\nValueError: no paint\n"
    )
    assert entry.why == "ValueError: no paint"
