"""What a person reads while a run goes on."""

import io
from pathlib import Path

import pytest
from orchestrator.progress import Bar, Progress, duration
from orchestrator.stage import Trainings, Trial
from rich.console import Console

from orchestrator import progress as module
from tests.orchestrator.toy import toy


class Clock:
    """Time that passes when it is told to."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def _progress(*, terminal: bool) -> tuple[Progress, io.StringIO]:
    stream = io.StringIO()
    return Progress(Console(file=stream, force_terminal=terminal, width=100, highlight=False)), stream


def test_without_a_terminal_there_is_a_line_per_training_and_a_heartbeat(clock: Clock) -> None:
    progress, stream = _progress(terminal=False)
    with progress:
        bar = Bar(progress, "search", units=3)
        bar.finished("trial-0", "complete", 0.5, None)  # found recorded: no line
        bar.started("trial-1")
        bar.started("trial-2")
        bar.epoch("trial-1", 0.5, 0.4)
        clock.now += 20
        bar.epoch("trial-2", 0.5, 0.3)
        bar.epoch("trial-1", 1, 0.3)
        bar.finished("trial-1", "complete", 0.3, None)
        bar.finished("trial-2", "failed", None, "Traceback\n  deep inside\nValueError: out of paint\n")
        bar.over("done in 20 s")
    assert stream.getvalue().splitlines() == [
        "search: started, 3 trainings",
        "search: 1/3 done, 2 running, best 0.50000, about 40 s left",
        "search: trial-1 complete 0.30000 (2/3 done, 1 running, best 0.30000, about 10 s left)",
        "search: trial-2 failed: ValueError: out of paint",
        "search: done in 20 s",
    ]


def test_in_a_terminal_there_is_a_bar_per_stage_with_best_value_and_trials_running() -> None:
    progress, stream = _progress(terminal=True)
    with progress:
        bar = Bar(progress, "search", units=2)
        Bar(progress, "kfold", units=6)
        bar.started("trial-0")
        bar.epoch("trial-0", 1, 0.25)
        bar.finished("trial-0", "complete", 0.25, None)
        bar.started("trial-1")
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
    trials = [Trial(f"trial-{number}", {"number": number}, epochs=4, cost=1) for number in range(4)]
    ledger, _ = toy(tmp_path, lambda *_: iter([]), Trainings.of(trials, metric="val_mse"))
    for key in "abc":
        ledger.start(key)
    ledger.report("a", [{"epoch": 1, "val_mse": 0.5, "seconds": 0.25}])
    ledger.report("b", [{"epoch": 1, "val_mse": 0.4, "seconds": 9}, {"epoch": 2, "val_mse": 0.3, "seconds": 0.5}])
    ledger.finish("c", {"rows": [], "error": "out of paint"})
    now = ledger.standing()
    assert now.trainings == {"waiting": 1, "running": 2, "complete": 0, "pruned": 0, "failed": 1}
    assert now.progress == (1 + 1 / 4 + 2 / 4) / 4
    assert (now.latest, now.best) == (0.3, None)
    for key, first in (("b", 0.3), ("a", 0.9)):
        rows = [{"epoch": number, "val_mse": first / number, "seconds": 1} for number in (1, 2, 3, 4)]
        ledger.finish(key, {"rows": rows})
    now = ledger.standing()
    assert now.trainings == {"waiting": 1, "running": 0, "complete": 2, "pruned": 0, "failed": 1}
    assert (now.num_epochs, now.best) == (2, 0.3 / 4)
