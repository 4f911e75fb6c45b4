"""What a person reads while a run goes on."""

import io
import re
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from orchestrator.engine import progress as progress_module
from orchestrator.engine import stage_run as stage_run_module
from orchestrator.engine.estimate import Work
from orchestrator.engine.progress import Progress, duration
from orchestrator.engine.records import Trial
from orchestrator.engine.stage_run import StageRun
from tests.engine.toy import Nothing, Toy, begun


class Clock:
    """Time that passes when it is told to."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (progress_module, stage_run_module):
        monkeypatch.setattr(module, "time", clock)
    return clock


def _progress(*, terminal: bool, **work: Work) -> tuple[Progress, io.StringIO]:
    """With what is to be done of each stage."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=100, highlight=False, soft_wrap=True)
    return Progress(console, work), stream


def _begun(folder: Path, name: str, num_trials: int, num_epochs: int, progress: Progress) -> StageRun:
    trials = [Trial(f"trial-{number}", Nothing(), 1, num_epochs, cost=1) for number in range(num_trials)]
    return begun(folder, Toy(trials, name=name, metric="val_mse"), progress=progress)[0]


def _rows(*values: float) -> list[dict[str, float]]:
    """Of as many epochs."""
    return [{"epoch": number, "val_mse": value, "seconds": 1.0} for number, value in enumerate(values, 1)]


def _lines(stream: io.StringIO) -> list[str]:
    """Lines without the time of day, with which each begins."""
    lines = [re.fullmatch(r"\d\d:\d\d:\d\d (.*)", line) for line in stream.getvalue().splitlines()]
    return [line[1] if line else "no time of day" for line in lines]


def test_without_a_terminal_there_is_a_line_per_training_and_a_heartbeat_whatever_trainings_do(
    clock: Clock, tmp_path: Path
) -> None:
    before = _begun(tmp_path, "search", 3, 2, _progress(terminal=False)[0])
    before.start()
    before.over("trial-0", _rows(0.6, 0.5), None)
    progress, stream = _progress(terminal=False, search=Work(20, 0), tables=Work(0, 20))
    progress.seconds = 100
    search = _begun(tmp_path, "search", 3, 2, progress)  # trial-0 is found recorded: no line
    search.start()
    search.start()
    progress.beat()  # there was a line just now
    search.report("trial-1", _rows(0.4))
    clock.now += 40
    progress.beat()
    search.report("trial-1", _rows(0.4, 0.3))
    search.over("trial-1", _rows(0.4, 0.3), None)
    search.over("trial-2", None, "Traceback\n  deep inside\nValueError: out of paint\n")
    progress.over("search", "done in 20 s")
    clock.now += 40
    progress.beat()
    assert _lines(stream) == [
        "search: started, 3 trainings",
        "all: 12% done, 40 s so far, about 2 min left; search 1/3 done, 2 running, best 0.50000",
        "search: trial-1 complete 0.30000 (2/3 done, 1 running, best 0.30000)",
        "search: trial-2 failed: ValueError: out of paint",
        "search: done in 20 s",
        "all: 50% done, 80 s so far, about 65 s left",
    ]


def test_a_timer_says_how_far_all_is_while_nothing_is_heard_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(progress_module, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(progress_module, "HEARTBEAT_SECONDS", 0.02)
    progress, stream = _progress(terminal=False, search=Work(20, 0))
    with progress:
        until = time.monotonic() + 20
        while stream.getvalue().count("all: 0% done") < 2 and time.monotonic() < until:
            time.sleep(0.01)
    assert stream.getvalue().count("all: 0% done, 0 s so far") >= 2


def test_trainings_that_were_recorded_before_are_no_progress_and_tables_are(tmp_path: Path) -> None:
    before = _begun(tmp_path, "search", 4, 1, _progress(terminal=False)[0])
    for key in ("trial-0", "trial-1"):
        before.start()
        before.over(key, _rows(0.5), None)
    progress, _ = _progress(terminal=False, search=Work(20, 20), kfold=Work(60, 0))
    search = _begun(tmp_path, "search", 4, 1, progress)
    assert progress.share == 0
    search.start()
    search.over("trial-2", _rows(0.5), None)
    assert progress.share == pytest.approx(0.1)
    search.start()
    search.over("trial-3", _rows(0.5), None)
    assert progress.share == pytest.approx(0.2)
    progress.over("search", "done")
    assert progress.share == pytest.approx(0.4)


def test_stage_that_has_all_its_records_says_so_when_it_starts(tmp_path: Path) -> None:
    before = _begun(tmp_path, "search", 1, 1, _progress(terminal=False)[0])
    before.start()
    before.over("trial-0", _rows(0.5), None)
    progress, stream = _progress(terminal=False)
    _begun(tmp_path, "search", 1, 1, progress)
    assert _lines(stream) == ["search: started, 1 trainings, all recorded"]


def test_what_stderr_cannot_encode_is_written_in_another_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "stderr").open("w", encoding="ascii") as stderr:
        monkeypatch.setattr("sys.stderr", stderr)
        Progress().say("ü \N{EN DASH}")
    assert (tmp_path / "stderr").read_text().endswith(" \\xfc \\u2013\n")


def test_in_a_terminal_there_are_a_bar_for_all_and_one_per_stage_with_best_value_and_trials_running(
    tmp_path: Path,
) -> None:
    progress, stream = _progress(terminal=True, search=Work(10, 0), kfold=Work(90, 0))
    with progress:
        progress.seconds = 1000
        search = _begun(tmp_path, "search", 2, 1, progress)
        _begun(tmp_path, "kfold", 6, 1, progress)
        search.start()
        search.report("trial-0", _rows(0.25))
        search.over("trial-0", _rows(0.25), None)
        search.start()
        progress.beat()
        progress.bars.refresh()
    last = stream.getvalue()
    assert re.search(r"all .*   5%.*s so far, about 15 min left", last)
    assert "1/2 done, 1 running, best 0.25000" in last
    assert " 50%" in last
    assert "kfold" in last


def test_terminal_has_its_cursor_also_where_the_process_is_killed() -> None:
    progress, stream = _progress(terminal=True, search=Work(10, 0))
    with progress:
        progress.bars.refresh()
        hidden, shown = (stream.getvalue().rfind(f"\x1b[?25{it}") for it in "lh")
    assert -1 < hidden < shown


class Torn(io.StringIO):
    """A stream to which others write, too, whenever they can."""

    def write(self, text: str) -> int:
        return super().write(text + "|")


def test_line_is_written_whole_beside_those_of_other_threads() -> None:
    stream = Torn()
    Progress(Console(file=stream, force_terminal=False)).say("kfold: started")
    assert stream.getvalue().endswith(" kfold: started\n|")


def test_text_in_brackets_is_shown_as_it_is() -> None:
    progress, stream = _progress(terminal=False)
    progress.say("failed: [bold]list index[/bold]")
    assert _lines(stream) == ["failed: [bold]list index[/bold]"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (99, "99 s"), (99.6, "2 min"), (3600, "60 min"), (5400, "1.5 h")]
)
def test_lengths_of_time_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_standing_of_a_stage_counts_trainings_and_their_epochs(tmp_path: Path) -> None:
    stage_run = _begun(tmp_path, "toy", 4, 4, _progress(terminal=False)[0])
    assert [stage_run.start().trial.key for _ in "abc"] == ["trial-0", "trial-1", "trial-2"]
    stage_run.report("trial-0", _rows(0.5))
    stage_run.report("trial-1", _rows(0.4, 0.3))
    stage_run.over("trial-2", [], "out of paint")
    now = stage_run.standing()
    assert now.trainings == {"waiting": 1, "running": 2, "complete": 0, "pruned": 0, "failed": 1}
    assert now.share == (1 + 1 / 4 + 2 / 4) / 4
    assert (now.latest, now.best) == (0.3, None)
    for key, first in (("trial-1", 0.3), ("trial-0", 0.9)):
        stage_run.over(key, _rows(*(first / number for number in (1, 2, 3, 4))), None)
    now = stage_run.standing()
    assert now.trainings == {"waiting": 1, "running": 0, "complete": 2, "pruned": 0, "failed": 1}
    assert (now.num_epochs, now.best) == (2, 0.3 / 4)


def test_of_trials_that_workers_share_only_those_run_that_were_heard_of(tmp_path: Path) -> None:
    trials = [Trial(f"trial-{number}", Nothing(), 1, 1, cost=1) for number in range(3)]
    stage_run, _ = begun(tmp_path, Toy(trials, metric="val_mse", shared=True))
    for _ in trials:
        stage_run.start()
    assert stage_run.standing().trainings["running"] == 0
    stage_run.report("trial-0", [])  # its group has come to it
    assert (stage_run.standing().trainings["waiting"], stage_run.standing().trainings["running"]) == (2, 1)
    stage_run.over("trial-0", _rows(0.5), None)
    stage_run.over("trial-1", None, "out of paint")
    trainings = stage_run.standing().trainings
    assert trainings == {"waiting": 1, "running": 0, "complete": 1, "pruned": 0, "failed": 1}


class Unwalked(dict[str, Any]):
    """Of which one is found, but not all are gone through."""

    def values(self) -> Any:
        raise AssertionError("all of them are gone through")

    __iter__ = items = values


def test_a_report_does_not_go_through_all_trials(tmp_path: Path) -> None:
    stage_run = _begun(tmp_path, "toy", 3, 4, _progress(terminal=False)[0])
    stage_run.start()
    stage_run.over("trial-0", _rows(0.4, 0.3, 0.2, 0.1), None)
    stage_run.start()
    stage_run.study.records, stage_run.study.running = (
        Unwalked(stage_run.study.records),
        Unwalked(stage_run.study.running),
    )
    stage_run.report("trial-1", _rows(0.5))
    assert (stage_run.standing().best, stage_run.standing().share) == (0.1, (1 + 1 / 4) / 3)


def test_epochs_that_are_told_twice_count_once_and_those_before_a_checkpoint_not(tmp_path: Path) -> None:
    stage_run = _begun(tmp_path, "toy", 2, 4, _progress(terminal=False)[0])
    stage_run.start()
    stage_run.report("trial-0", _rows(0.5, 0.4, 0.3))  # two of them from a checkpoint
    assert stage_run.standing().num_epochs == 1
    for _ in range(2):
        stage_run.report("trial-0", _rows(0.5, 0.4, 0.3, 0.2)[2:])
    now = stage_run.standing()
    assert (now.num_epochs, now.share) == (2, 1 / 2)
    stage_run.lost("trial-0")
    assert stage_run.standing().share == 0
