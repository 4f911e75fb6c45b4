"""A finished study's journal has what Optuna's dashboard shows; what is added to it there is no damage, nor lost."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from orchestrator.engine.folder import beginning, digest
from orchestrator.engine.optuna_journal import finished_study, journal
from orchestrator.engine.plan import damage
from orchestrator.engine.records import Record
from orchestrator.engine.results import Run
from orchestrator.engine.stage import Context, File
from tests.engine.toy import Nothing, Toy, begun

SPACE = {"rate": FloatDistribution(0.1, 1.0)}
ENDED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ROWS = [{"epoch": 1, "loss": 0.5, "seconds": 2.0}]


def journal_of(rate: float = 0.5) -> bytes:
    record = Record("one", Nothing(), 1, "complete", ROWS, ended=ENDED.isoformat())
    told = [(record, {"rate": rate}), (Record("two", Nothing(), 1, "failed", error="lost"), {"rate": 0.25})]
    return journal(finished_study(name, SPACE, "loss", told, {"seed": 7}) for name in ("one", "other"))


def opened(path: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(path)))


def test_a_journal_has_each_study_with_times_attributes_and_the_metric_s_name(tmp_path: Path) -> None:
    path = tmp_path / "optuna.journal"
    path.write_bytes(journal_of())
    for name in ("one", "other"):
        study = optuna.load_study(study_name=name, storage=opened(path))
        assert (study.metric_names, study.user_attrs) == (["loss"], {"seed": 7})
        first, failed = study.trials
        assert first.datetime_complete is not None
        assert first.datetime_complete.astimezone(UTC) == ENDED
        assert first.duration == timedelta(seconds=2)
        assert (first.value, first.params) == (0.5, {"rate": 0.5})
        assert (failed.state.name, failed.user_attrs["error"]) == ("FAIL", "lost")


def test_the_same_study_gives_the_same_journal() -> None:
    assert journal_of() == journal_of()
    assert journal_of(0.75) != journal_of()


class Keeping(Toy):
    """A stage that writes a journal."""

    content = b""

    def results(self, context: Context[Nothing], records: Sequence[Record[Any]]) -> Iterator[File]:
        yield File("optuna.journal", self.content, grows=True)


def finished(folder: Path, content: bytes) -> Run:
    """The run folder after the stage has written its journal (again)."""
    stage_run, _ = begun(folder, Keeping(content=content))
    stage_run.finish()
    return Run(folder)


def test_notes_in_a_journal_are_no_damage_and_are_kept_when_it_is_written_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, path = finished(tmp_path, journal_of()), tmp_path / "optuna.journal"
    storage = opened(path)
    storage.set_study_system_attr(storage.get_study_id_from_name("one"), "dashboard:note_ver:1", "looks good")
    noted = path.read_bytes()
    assert noted != journal_of()
    assert damage(run, run.manifest()) == {}
    finished(tmp_path, journal_of())
    assert path.read_bytes() == noted
    assert damage(run, run.manifest()) == {}

    finished(tmp_path, journal_of(0.75))
    assert path.read_bytes() == journal_of(0.75)
    (kept,) = tmp_path.glob("quarantine/*/optuna.journal")
    assert kept.read_bytes() == noted
    assert "optuna.journal has additions to what is written anew; set aside as" in capsys.readouterr().err

    finished(tmp_path, journal_of())
    assert len(list(tmp_path.glob("quarantine/*/optuna.journal"))) == 1, "there were none"


def test_a_journal_that_does_not_begin_as_it_was_written_is_damaged(tmp_path: Path) -> None:
    run, path = finished(tmp_path, journal_of()), tmp_path / "optuna.journal"
    for content in (journal_of()[:-1], b"x" + journal_of()[1:], b""):
        path.write_bytes(content)
        assert damage(run, run.manifest()) == {"toy": ["optuna.journal"]}


def test_a_digest_of_a_beginning_is_of_nothing_else(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write("a.bin", b"12345")
    sound = [beginning(b"123"), beginning(b"12345"), digest(b"12345"), beginning(b"")]
    wrong = [
        digest(b"123"),
        f"{digest(b'123')}+",
        f"{digest(b'123')}+-2",
        f"{digest(b'123')}+{'9' * 5000}",
        "+",
        "+3",
    ]
    for expected in sound:
        assert run.differing({"a.bin": expected}) == []
        assert run.as_written({"a.bin": expected}) == {"a.bin": b"12345"}
    for expected in wrong:
        assert run.differing({"a.bin": expected}) == ["a.bin"]
        assert run.as_written({"a.bin": expected}) == {}
