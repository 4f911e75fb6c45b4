"""What a person reads while a run goes on."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from orchestrator.engine import progress as progress_module
from orchestrator.engine import stage_run as stage_run_module
from orchestrator.engine import tally as tally_module
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
    for module in (progress_module, stage_run_module, tally_module):
        monkeypatch.setattr(module, "time", clock)
    return clock


def _progress(*, terminal: bool) -> tuple[Progress, io.StringIO]:
    stream = io.StringIO()
    return Progress(Console(file=stream, force_terminal=terminal, width=100, highlight=False)), stream


def _begun(folder: Path, name: str, num_trials: int, num_epochs: int, progress: Progress) -> StageRun:
    trials = [Trial(f"trial-{number}", Nothing(), 1, num_epochs, cost=1) for number in range(num_trials)]
    return begun(folder, Toy(trials, name=name, metric="val_mse"), progress=progress)[0]


def _rows(*values: float) -> list[dict[str, float]]:
    """Of as many epochs."""
    return [{"epoch": number, "val_mse": value, "seconds": 1.0} for number, value in enumerate(values, 1)]


def test_without_a_terminal_there_is_a_line_per_training_and_a_heartbeat(clock: Clock, tmp_path: Path) -> None:
    before = _begun(tmp_path, "search", 3, 2, _progress(terminal=False)[0])
    before.start()
    before.over("trial-0", _rows(0.6, 0.5), None)
    progress, stream = _progress(terminal=False)
    with progress:
        search = _begun(tmp_path, "search", 3, 2, progress)  # trial-0 is found recorded: no line
        search.start()
        search.start()
        search.report("trial-1", _rows(0.4))
        clock.now += 20
        search.report("trial-2", _rows(0.3))
        search.report("trial-1", _rows(0.4, 0.3))
        search.over("trial-1", _rows(0.4, 0.3), None)
        search.over("trial-2", None, "Traceback\n  deep inside\nValueError: out of paint\n")
        progress.over("search", "done in 20 s")
    assert stream.getvalue().splitlines() == [
        "search: started, 3 trainings",
        "search: 1/3 done, 2 running, best 0.50000, about 40 s left",
        "search: trial-1 complete 0.30000 (2/3 done, 1 running, best 0.30000, about 10 s left)",
        "search: trial-2 failed: ValueError: out of paint",
        "search: done in 20 s",
    ]


def test_stage_that_has_all_its_records_says_so_when_it_starts(tmp_path: Path) -> None:
    before = _begun(tmp_path, "search", 1, 1, _progress(terminal=False)[0])
    before.start()
    before.over("trial-0", _rows(0.5), None)
    progress, stream = _progress(terminal=False)
    _begun(tmp_path, "search", 1, 1, progress)
    assert stream.getvalue() == "search: started, 1 trainings, all recorded\n"


def test_what_stderr_cannot_encode_is_written_in_another_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "stderr").open("w", encoding="ascii") as stderr:
        monkeypatch.setattr("sys.stderr", stderr)
        Progress().say("ü \N{EN DASH}")
    assert (tmp_path / "stderr").read_text() == "\\xfc \\u2013\n"


def test_in_a_terminal_there_is_a_bar_per_stage_with_best_value_and_trials_running(tmp_path: Path) -> None:
    progress, stream = _progress(terminal=True)
    with progress:
        search = _begun(tmp_path, "search", 2, 1, progress)
        _begun(tmp_path, "kfold", 6, 1, progress)
        search.start()
        search.report("trial-0", _rows(0.25))
        search.over("trial-0", _rows(0.25), None)
        search.start()
        progress.bars.refresh()
    last = stream.getvalue()
    assert "1/2 done, 1 running, best 0.25000" in last
    assert " 50%" in last
    assert "kfold" in last


def test_text_in_brackets_is_shown_as_it_is() -> None:
    progress, stream = _progress(terminal=False)
    progress.say("failed: [bold]list index[/bold]")
    assert stream.getvalue() == "failed: [bold]list index[/bold]\n"


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


def test_epochs_that_are_told_twice_count_once_and_those_before_a_checkpoint_for_no_speed(
    clock: Clock, tmp_path: Path
) -> None:
    stage_run = _begun(tmp_path, "toy", 2, 4, _progress(terminal=False)[0])
    stage_run.start()
    stage_run.report("trial-0", _rows(0.5, 0.4, 0.3))  # two of them from a checkpoint
    assert stage_run.standing().num_epochs == 1
    clock.now += 10
    for _ in range(2):
        stage_run.report("trial-0", _rows(0.5, 0.4, 0.3, 0.2)[2:])
    now = stage_run.standing()
    assert (now.num_epochs, now.share, now.seconds_left) == (2, 1 / 2, 40)
    stage_run.lost("trial-0")
    assert stage_run.standing().share == 0
