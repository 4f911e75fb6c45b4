"""A run put into the docs, and README's numbers, which are those of the published run."""

from pathlib import Path

import pytest

from orchestrator.engine.results import Run
from orchestrator.report.publish import BEGIN, DOCS, END, README, publish
from orchestrator.report.summary import lines, markdown
from orchestrator.report.words import interval
from tests.command import REPOSITORY, Smoke


def test_a_published_run_has_page_tables_and_pictures_and_its_numbers_in_readme(smoke: Smoke, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}old numbers\n{END}after\n")
    publish(smoke.run, tmp_path / "results", readme)
    published = Run(tmp_path / "results" / "smoke")
    for name in ("report.html", "tables/claims.parquet", "figures/kfold_epochs.png", "manifest.json"):
        assert published.read(name) == smoke.run.read(name), name
    assert published.manifest() == smoke.run.manifest()
    text = readme.read_text()
    assert text == f"before\n{BEGIN}{markdown(published)}{END}after\n"
    best = smoke.run.table("key_numbers").iloc[0]
    told = interval(best["ours"], best["low"], best["high"])
    assert f"| test MSE of the best architecture | – | {told} | {best['n']:.0f} |" in text
    assert "Of what the paper measured, or gives as a cause: " in text
    publish(smoke.run, tmp_path / "results", readme)
    assert readme.read_text() == text


def test_a_command_ends_with_the_main_numbers_and_the_verdicts(smoke: Smoke) -> None:
    told, claims = list(lines(smoke.run)), smoke.run.table("claims")
    best = smoke.run.table("key_numbers").iloc[0]
    assert told[0] == f"test MSE of the best architecture: {interval(best['ours'], best['low'], best['high'])}"
    assert "; the paper: about .020 (Figure 1: of validation)" in told[1]
    inconclusive = (claims["kind"].isin(["measurement", "cause"]) & (claims["verdict"] == "inconclusive")).sum()
    assert f"{inconclusive} inconclusive" in told[-2]
    assert told[-1].startswith("of its protocol: ")
    assert told[-2:] == [line for line in told if "protocol" in line or "cause" in line]
    for line in told:
        assert line in smoke.finished.out


@pytest.mark.parametrize("content", [None, b"torn"])
def test_of_what_is_missing_or_damaged_nothing_is_said(tmp_path: Path, content: bytes | None) -> None:
    if content:
        Run(tmp_path).write("tables/key_numbers.parquet", content)
    assert list(lines(Run(tmp_path))) == []


def test_a_run_without_a_report_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="has no report yet"):
        publish(Run(tmp_path), tmp_path / "results", tmp_path / "README.md")


def test_the_numbers_in_readme_are_those_of_the_published_run() -> None:
    run = Run(REPOSITORY / DOCS / "paper")
    if run.manifest() is None:
        pytest.skip("the run at the paper's scale is not published yet")
    text = (REPOSITORY / README).read_text()
    assert f"{BEGIN}{markdown(run)}{END}" in text
    for line in ("Of the best numbers that others published", "Made on "):
        assert line in text
