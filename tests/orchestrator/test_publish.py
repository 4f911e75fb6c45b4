"""A run put into the docs, and README's numbers, which are those of the published run."""

from pathlib import Path

import pytest

from orchestrator.engine.results import Run
from orchestrator.report.publish import BEGIN, DOCS, END, README, publish, summary
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
    assert text == f"before\n{BEGIN}{summary(published)}{END}after\n"
    best = smoke.run.table("key_numbers").iloc[0]
    told = interval(best["ours"], best["low"], best["high"])
    assert f"| test MSE of the best architecture | – | {told} | {best['n']:.0f} |" in text
    assert "Of what the paper measured, or gives as a cause: " in text
    publish(smoke.run, tmp_path / "results", readme)
    assert readme.read_text() == text


def test_a_run_without_a_report_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="has no report yet"):
        publish(Run(tmp_path), tmp_path / "results", tmp_path / "README.md")


def test_the_numbers_in_readme_are_those_of_the_published_run() -> None:
    run = Run(REPOSITORY / DOCS / "paper")
    if run.manifest() is None:
        pytest.skip("the run at the paper's scale is not published yet")
    assert f"{BEGIN}{summary(run)}{END}" in (REPOSITORY / README).read_text()
