"""The report of runs that found nothing, or that failed."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.engine.book import Book
from orchestrator.engine.execute import described, execute, write_report
from orchestrator.engine.manifest import Manifest
from orchestrator.engine.plan import Plan
from orchestrator.engine.results import Run
from orchestrator.engine.settings import Section
from orchestrator.engine.stage import Stage
from orchestrator.paper import suite
from orchestrator.run import main
from tests.command import Smoke
from tests.orchestrator.copies import copy_of

WANTED = suite().wanted(suite().preset("smoke"))


class Nothing(Section):
    """No settings."""


class Broken(Stage[Nothing, Any]):
    name, settings = "broken", Nothing

    def results(self, *_: Any) -> Iterator[Any]:
        raise ValueError("<script>alert(1)</script>")


class After(Broken):
    name = "after"

    def needs(self, own: Nothing) -> tuple[str, ...]:
        return ("broken",)


def test_report_of_a_run_with_nothing_in_it_is_a_page(tmp_path: Path) -> None:
    book = Book(suite(), suite().preset("smoke"), Run(tmp_path), set_aside=True)
    write_report(book, described(Manifest(name="made-up"), book))
    assert "made-up" in book.run.read("report.html").decode()


def test_report_of_a_failed_run_says_what_failed_and_escapes_it(tmp_path: Path) -> None:
    of_two = replace(suite(), stages=(Broken(), After()))
    book = Book(of_two, of_two.preset("smoke"), Run(tmp_path), set_aside=True)
    execute(Plan.make(book, ["after"], None))
    manifest = book.run.manifest()
    assert manifest is not None
    assert {name: entry.state for name, entry in manifest.stages.items()} == {"broken": "failed", "after": "blocked"}
    page = book.run.read("report.html").decode()
    assert "after blocked:" in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>" not in page
    again = Plan.make(book, ["after"], manifest)
    assert [stage.name for stage in again.to_do] == ["broken", "after"]


@pytest.mark.parametrize("preset", ["smoke", "paper"])
def test_report_writes_the_page_anew_and_tells_the_scale_of_the_run_whatever_the_command_says(
    smoke: Smoke, tmp_path: Path, preset: str
) -> None:
    copy = copy_of(smoke, tmp_path)
    copy.write("report.html", b"torn")
    copy.delete("tables/claims.parquet")
    assert main(["report", "--name", "smoke", "--preset", preset, "--runs-dir", str(tmp_path)]) == 0
    for name in ("report.html", "tables/claims.parquet"):
        assert copy.read(name) == smoke.run.read(name)


def test_report_of_an_empty_folder_is_a_page_and_nothing_is_done_yet(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["report", "--preset", "smoke", "--runs-dir", str(tmp_path)]) == 0
    run = Run(tmp_path / "smoke")
    page = run.read("report.html").decode()
    assert "Reduced scale" in page
    assert "3,000 training and 500 test images" in page
    assert set(run.table("claims").dropna(subset=["evidence"])["verdict"]) == {"not_tested"}
    capsys.readouterr()
    assert main(["status", "--preset", "smoke", "--runs-dir", str(tmp_path)]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split()[:2] for row in rows] == [[stage.name, "missing"] for stage in WANTED]
