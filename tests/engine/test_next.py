"""A command ends with what comes next: what failed, the other stages, another seed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.engine.execute import run
from orchestrator.engine.suite import Suite
from tests.engine.toy import Toy, book, suite

ONE = suite(Toy(name="one"))


@pytest.fixture
def last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Does stages of a suite; the last lines, from what is next on."""

    def lines(of: Suite, *names: str, **changes: Any) -> list[str]:
        run(book(of, tmp_path / "run", **changes), names)
        out = [line.replace(str(tmp_path), "") for line in capsys.readouterr().out.splitlines()]
        return out[[line.startswith("next: ") for line in out].index(True) :]

    return lines


def test_at_full_scale_another_seed_is_next_and_the_two_compared(last: Any) -> None:
    next_, then = last(ONE, "one", runs_dir="/tmp/my runs", seed=2, strict=True)
    assert next_.endswith(
        "all --preset toy --runs-dir '/tmp/my runs' --strict --seed 3 --name toy-seed-3  (another seed)"
    )
    assert then.endswith("compare toy toy-seed-3 --runs-dir '/tmp/my runs'  (what differs)")
    assert " --name toy-seed-3  (" in last(ONE, "one", seed=2, name="toy-seed-2")[0], "names do not grow"


def test_a_whole_run_of_full_scale_is_shown_to_others(last: Any) -> None:
    assert last(replace(ONE, publish="make publish RUN="), "one")[-1] == "to show it to others: make publish RUN=/run"


def test_stages_that_were_not_asked_for_are_next(last: Any) -> None:
    two = suite(Toy(name="one"), Toy(name="two"))
    (line,) = last(two, "one", name="mine")
    assert line.endswith("all --preset toy --name mine  (the other stages)")
    assert len(last(two, "all", "one", "two", name="mine")) == 2


def test_what_is_done_is_told_with_trainings_and_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        run(book(ONE, tmp_path), ["one"])
    out = capsys.readouterr().out
    assert "everything is done: 0 trainings, 0 s (--force STAGE does a stage again)" in out
    assert out.count("next: ") == 2
