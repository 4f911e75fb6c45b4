"""The report of runs that found nothing, or that failed."""

import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.command_line import parse
from orchestrator.engine.book import Book
from orchestrator.engine.execute import described, execute, write_report
from orchestrator.engine.manifest import Manifest, told
from orchestrator.engine.plan import Plan
from orchestrator.engine.provenance import made
from orchestrator.engine.results import Run
from orchestrator.engine.settings import Section, changed
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
    book = Book(suite(), changed(suite().preset("smoke"), name="made-up"), Run(tmp_path), set_aside=True)
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
    assert "<script>alert" not in page
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


def with_entry(run: Run, stage: str, **changes: Any) -> Manifest:
    """Change what the manifest says of a stage."""
    manifest = run.manifest()
    assert manifest is not None
    manifest.stages[stage] = manifest.stages[stage].model_copy(update=changes)
    run.write_manifest(manifest)
    return manifest


def written_anew(run: Run, manifest: Manifest, name: str = "smoke") -> Path:
    """The page of a run with this manifest, and this name, which no rule has looked at."""
    book = Book(suite(), suite().preset("smoke").model_copy(update={"name": name}), run, set_aside=True)
    manifest.report_of = ""
    write_report(book, manifest)
    return Path(run.location) / "report.html"


def scales(run: Run) -> dict[str, set[str]]:
    """Of the claims with evidence, at which scale they are judged, by evidence."""
    claims = run.table("claims").query("evidence != ''")
    return {evidence: set(rows["scale"]) for evidence, rows in claims.groupby("evidence", observed=True)}


def test_scale_is_that_with_which_each_stage_was_done(smoke: Smoke, tmp_path: Path) -> None:
    """The capacity's trainings were the paper's, say; the last command's preset, and this one's, are another."""
    run = copy_of(smoke, tmp_path)
    with_entry(run, "capacity", settings=suite().preset("paper").model_dump(mode="json"))
    assert main(["report", "--name", "smoke", "--preset", "paper", "--runs-dir", str(tmp_path)]) == 0
    found = scales(run)
    assert found["reconstruction"] == {"full"}
    assert found["trials"] == {"reduced"}
    page = run.read("report.html").decode()
    assert "Reduced scale" in page
    assert "paper, seed 1 (capacity)" in page
    assert "FashionMNIST, 60,000 training and 10,000 test images (capacity)" in page
    stages = run.table("stages").set_index("stage")
    assert stages.loc["search", "preset"] == "smoke"


def test_settings_that_nobody_knows_any_more_are_no_full_scale(smoke: Smoke, tmp_path: Path) -> None:
    run = copy_of(smoke, tmp_path)
    with_entry(run, "capacity", settings={"preset": "huge"})
    assert main(["report", "--name", "smoke", "--preset", "smoke", "--runs-dir", str(tmp_path)]) == 0
    assert scales(run)["reconstruction"] == {"reduced"}
    assert "settings that this program does not know" in run.read("report.html").decode()


def test_results_of_other_code_are_told_of_and_stay_so(
    smoke: Smoke, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy_of(smoke, tmp_path)
    (own,) = (run.manifest() or Manifest(name="")).stages["search"].trained
    older = {"commit": "4ed5fe1", "sources": "f00", "versions": own.versions | {"torch": "2.14.0"}}
    old = own.model_copy(update=older)
    manifest = with_entry(run, "search", made=old, trained=(old.model_copy(update={"device": "H100"}), own))
    common = ["--preset", "smoke", "--runs-dir", str(tmp_path)]
    refused = [["all", "--strict"], ["report", "--strict"]]
    for words in (["status"], ["all"], ["report"], *refused):
        capsys.readouterr()
        assert main([*words, *common]) == (2 if words in refused else 0)
        printed = "".join(capsys.readouterr())
        assert "made by other code than is here: 4ed5fe1, sources f00" in printed, words
        assert f"made with another torch than is here ({own.versions['torch']}): 2.14.0 (search)" in printed, words
        assert f"trained on different devices: H100 (search); {own.device} (search, kfold" in printed, words
    page = run.read("report.html").decode()
    assert "Not of one kind" in page
    assert "4ed5fe1, sources f00 (search)" in page
    after = run.manifest()
    assert after is not None
    assert after.stages == manifest.stages, "nothing overwrites what made a result"
    assert main(["all", "--strict", "--preset", "smoke", "--runs-dir", str(smoke.runs_dir)]) == 0


def test_a_record_says_what_it_was_done_with(smoke: Smoke) -> None:
    name = smoke.run.list("records/kfold", ".json")[0]
    content, here = smoke.run.read_json(name), made(suite().modules_of(suite().stages[0], suite().preset("smoke")))
    assert content["made"] == here.model_dump(mode="json")
    assert {"data", "inputs", "version"} == set(content["world"])


@pytest.mark.parametrize("command", ["report", "clean"])
def test_report_and_clean_where_no_run_was_are_refused_and_make_no_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str
) -> None:
    assert main([command, "--preset", "smoke", "--runs-dir", str(tmp_path / "runs")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "runs/smoke: there is no run yet, or no manifest.json of it: " in line
    assert line.endswith(" all makes one")
    assert not (tmp_path / "runs").exists()


def test_report_of_a_run_that_has_done_nothing_yet_is_a_page(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = Run(tmp_path / "smoke")
    run.write_manifest(Manifest(name="smoke", preset="smoke", settings=told(suite().preset("smoke"))))
    assert main(["report", "--preset", "smoke", "--runs-dir", str(tmp_path)]) == 0
    page = run.read("report.html").decode()
    assert "Reduced scale" in page
    assert "3,000 training and 500 test images" in page
    assert set(run.table("claims").dropna(subset=["evidence"])["verdict"]) == {"not_tested"}
    assert run.table("key_numbers")["ours"].isna().all()
    assert f"Not done yet:</strong> {', '.join(stage.name for stage in WANTED)};" in page
    capsys.readouterr()
    assert main(["status", "--preset", "smoke", "--runs-dir", str(tmp_path)]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split()[:2] for row in rows] == [[stage.name, "missing"] for stage in WANTED]


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("paper", {}),
        ("smoke", {"seed": 7, "kfold": {"num_folds": 3, "models": ("paper_table1", "best")}}),
        ("laptop", {"gan": {"search": {"on": True}, "num_workers": 2}, "capacity": {"ablations": False}}),
        ("smoke", {"gan": {"search": {"on": False}}, "search": {"space": {"latent_dim": (3, 3)}}}),
        ("paper", {"gan": {"tuned": {"minimax": {"ema_decay": None, "generator_filters": (8, 8, 8)}}}}),
    ],
)
def test_the_command_on_the_page_gives_the_same_settings(preset: str, changes: dict[str, Any]) -> None:
    settings = changed(suite().preset(preset), runs_dir="elsewhere", name="again", **changes)
    again, words = parse(shlex.split(suite().typed(settings)), suite())
    assert words == ("all",)
    assert again == changed(settings, runs_dir="runs", name="")


def test_at_full_scale_all_that_was_typed_is_kept_but_for_what_makes_a_run_smaller(tmp_path: Path) -> None:
    kept = [
        *("--data-dir", str(tmp_path), "--runs-dir", "else where", "--address", "local", "--resources.slots", "3"),
        *("--strict", "--track", "mlflow", "wandb", "--seed", "7", "--autoencoder.batch-size", "64"),
    ]
    smaller = ["--kfold.epochs", "1", "--data.num-train", "500", "--capacity.no-ablations"]
    settings, _ = parse(["--preset", "smoke", "--name", "mine", "--force", "search", *kept, *smaller], suite())
    again, words = parse(shlex.split(suite().typed_in_full(settings)), suite())
    assert words == ("all",)
    assert again == parse(["--preset", "paper", "--name", "mine-paper", *kept], suite())[0]
    assert suite().typed_in_full(suite().preset("smoke")) == "all --preset paper"
