"""What every stage has to be, those of other packages too: tables, figures, findings, scales."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pydantic import BaseModel

from orchestrator.command_line import parse
from orchestrator.contracts.in_process import done, trained
from orchestrator.engine.book import Book
from orchestrator.engine.manifest import StageState
from orchestrator.engine.records import Record
from orchestrator.engine.settings import RunSettings, Scale, changed
from orchestrator.engine.stage import Stage, Table
from orchestrator.engine.tables import to_arrow
from orchestrator.paper import suite
from orchestrator.report.sections import MOVED
from tests.command import Smoke
from tests.orchestrator.copies import copy_of
from tests.stages.made_up import book_of

AnyStage = Stage[Any, Any]
PAPER, SMOKE = suite().preset(suite().full), suite().preset("smoke")
DONE = suite().wanted(SMOKE)
"""Stages of the smoke run."""


def every(stages: tuple[AnyStage, ...]) -> Any:
    """A parametrisation by stage."""
    return pytest.mark.parametrize("stage", stages, ids=[stage.name for stage in stages])


@dataclass(frozen=True)
class Field:
    """A setting that makes a run smaller."""

    section: tuple[str, ...]
    name: str
    kind: type[BaseModel]
    """The section's class."""
    what: str

    def less(self, value: Any) -> Any:
        """As little less as can be."""
        return value[:-1] if isinstance(value, tuple) else False if value is True else value - 1

    def reduced(self, settings: RunSettings) -> RunSettings:
        """Settings with less of it."""
        value: Any = settings
        for part in (*self.section, self.name):
            value = getattr(value, part)
        change: Any = {self.name: self.less(value)}
        for part in reversed(self.section):
            change = {part: change}
        return changed(settings, **change)


def fields(settings: BaseModel, section: tuple[str, ...] = ()) -> Iterator[Field]:
    """All of these, those in nested sections too."""
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield from fields(value, (*section, name))
        for scale in field.metadata:
            if isinstance(scale, Scale):
                yield Field(section, name, type(settings), scale.what)


FIELDS = list(fields(PAPER))


def with_stage(settings: RunSettings, stage: AnyStage) -> RunSettings:
    """Settings with which the stage is wanted, by its flag where it has one."""
    if not stage.absent(settings):
        return settings
    flags = [__file__ if word.isupper() else word for word in stage.flag.split()]
    return parse(["--preset", settings.preset, *flags], suite())[0]


def entry_of(stage: AnyStage, smoke: Smoke) -> StageState:
    """What the smoke run's manifest says of a stage."""
    manifest = smoke.run.manifest()
    assert manifest is not None
    return manifest.stages[stage.name]


def written(entry: StageState, folder: str) -> set[str]:
    """Names, without endings, of the files in a folder that the stage wrote."""
    return {Path(name).stem for name in entry.files if name.startswith(folder)}


def check_captions(entry: StageState) -> None:
    """See that every figure has a caption, and every caption its figure."""
    assert written(entry, "figures/") == set(entry.captions)
    for caption in entry.captions.values():
        assert re.fullmatch(r"\S+( \S+){2,}[.?]", caption), caption


def check_sentences(found: Iterator[str]) -> int:
    """See that these are sentences; how many there are."""
    sentences = list(found)
    for sentence in sentences:
        assert re.fullmatch(r"\S+( \S+){4,}\.", sentence), sentence
        assert not re.search(r"\bnan\b|\bNone\b|[{}]", sentence), sentence
    return len(sentences)


@every(suite().stages)
def test_stage_has_a_name_and_a_title_and_says_what_brings_it_in(stage: AnyStage) -> None:
    assert re.fullmatch(r"[a-z]\w*", stage.name)
    assert len(stage.title.split()) >= 2
    assert not stage.absent(with_stage(PAPER, stage))
    assert bool(stage.flag) == (stage not in suite().wanted(PAPER))
    assert [other.name for other in suite().stages].count(stage.name) == 1


@every(suite().stages)
def test_stage_needs_stages_that_stand_before_it(stage: AnyStage) -> None:
    settings = with_stage(PAPER, stage)
    names = [other.name for other in suite().wanted(settings)]
    assert set(stage.needs(stage.own(settings))) <= set(names[: names.index(stage.name)])


@every(suite().stages)
def test_stage_shows_tables_that_it_has_and_no_other_has_them(stage: AnyStage) -> None:
    assert stage.schemas
    assert set(stage.shown) <= set(stage.schemas)
    others = {name for other in suite().stages if other is not stage for name in other.schemas}
    assert not others & set(stage.schemas)


@every(DONE)
def test_stage_writes_every_table_of_its_schemas_and_no_other(smoke: Smoke, stage: AnyStage) -> None:
    assert written(entry_of(stage, smoke), "tables/") == set(stage.schemas) - set(stage.optional)
    for name in sorted(set(stage.schemas) - set(stage.optional)):
        schema = stage.schemas[name]
        found = pq.read_schema(smoke.runs_dir / "smoke" / "tables" / f"{name}.parquet")
        assert found.remove_metadata().equals(schema.remove_metadata())
        assert len(smoke.run.table(name))


@every(tuple(stage for stage in DONE if stage.config is not None))
def test_stage_whose_trainings_all_failed_says_so_and_has_every_table_and_its_figures(
    smoke: Smoke, tmp_path: Path, stage: AnyStage
) -> None:
    run = copy_of(smoke, tmp_path)
    shutil.rmtree(run.path(f"records/{stage.name}"))
    book = Book(suite(), SMOKE, run, set_aside=True)
    num_trainings = book.study(stage.name).num_missing
    assert num_trainings
    entry = done(book, stage.name, lambda trial: ([], "out of paint"))
    assert entry.state == "failed"
    assert entry.error
    assert len(entry.error.splitlines()) == 1, entry.error
    assert written(entry, "tables/") == set(stage.schemas) - set(stage.optional)
    check_captions(entry)
    check_sentences(stage.findings(run.tables()))


@every(tuple(stage for stage in suite().stages if stage.config is not None and stage not in DONE))
def test_stage_that_the_smoke_run_lacks_gives_every_table_of_its_schemas(smoke: Smoke, stage: AnyStage) -> None:
    book = Book(suite(), with_stage(SMOKE, stage), smoke.run, set_aside=False)
    failed: list[Record[Any]] = [
        Record(trial.key, trial.config, trial.seed, "failed", error="out of paint", address=trial.address)
        for trial in book.study(stage.name).trials
    ]
    assert failed
    tables: dict[str, pa.Table] = {}
    for part in stage.results(book.context(stage.name), failed):
        if isinstance(part, Table):
            assert part.name not in tables
            tables[part.name] = to_arrow(stage.schemas[part.name], part.rows, {})
    assert set(tables) == set(stage.schemas)
    assert stage.failure(failed)


@every(DONE)
def test_every_figure_is_a_picture_with_a_caption_and_every_caption_has_its_figure(
    smoke: Smoke, stage: AnyStage
) -> None:
    entry, folder = entry_of(stage, smoke), smoke.runs_dir / "smoke" / "figures"
    check_captions(entry)
    for name in entry.captions:
        kinds = {path.suffix for path in folder.glob(f"{name}.*")}
        assert kinds in ({".png", ".svg", ".pdf"}, {".gif"}, {".json"})
        if kinds == {".json"}:
            assert json.loads((folder / f"{name}.json").read_text())["kind"] in MOVED
        for kind in kinds - {".svg", ".pdf", ".json"}:
            with Image.open(folder / f"{name}{kind}") as image:
                assert np.asarray(image.convert("L")).std() > 5
        if ".svg" in kinds:
            assert (folder / f"{name}.svg").read_text().rstrip().endswith("</svg>")
            assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF-1.")


def test_every_figure_in_the_folder_is_some_stage_s(smoke: Smoke) -> None:
    manifest = smoke.run.manifest()
    assert manifest is not None
    known = {Path(name).name for entry in manifest.stages.values() for name in entry.files}
    assert {path.name for path in (smoke.runs_dir / "smoke" / "figures").iterdir()} <= known


@every(DONE)
def test_findings_are_sentences(smoke: Smoke, stage: AnyStage) -> None:
    assert check_sentences(stage.findings(smoke.run.tables()))


@pytest.mark.parametrize("preset", suite().presets)
def test_preset_is_made_of_valid_settings(preset: str) -> None:
    settings = suite().preset(preset)
    assert settings.preset == preset
    assert type(settings).model_validate(json.loads(settings.model_dump_json())) == settings
    for stage in suite().stages:
        changes = stage.presets.get(preset, {})
        assert set(changes) <= set(stage.settings.model_fields)
        assert set(stage.presets) <= set(suite().presets)


@every(suite().stages)
def test_nothing_is_told_of_at_full_scale_which_is_that_of_the_defaults(stage: AnyStage) -> None:
    assert stage.own(PAPER) == stage.settings()
    told = suite().reduced(with_stage(PAPER, stage))
    assert stage.name in told
    assert not any(told.values())


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: ".".join((*field.section, field.name)))
def test_less_of_a_setting_than_the_paper_has_is_told_of_where_it_matters_and_nowhere_else(field: Field) -> None:
    holding = [".".join(field.section[:end]) for end in range(1, len(field.section) + 1)]
    path = max({stage.path for stage in suite().stages}.intersection(holding), key=len, default="")
    owners = [stage for stage in suite().stages if stage.path == path]
    readers = [stage for stage in suite().stages if field.kind in stage.reads]
    assert owners or readers, "nobody looks at it"
    for concerned in owners or readers:
        full = with_stage(PAPER, concerned)
        less = field.reduced(full)
        stages = suite().wanted(full)

        # Its tables are not up to date any more, nor are those that build on them.
        before, after = suite().fingerprints(full), suite().fingerprints(less)
        assert before[concerned.name] != after[concerned.name]

        must = {stage.name for stage in stages if stage in (owners or readers)}
        may = must | {stage.name for stage in stages if stage in readers}
        for stage in stages:
            needs = set(stage.needs(stage.own(full)))
            must |= {stage.name} if needs & must else set()
            may |= {stage.name} if needs & may else set()
        told = {name: lines for name, lines in suite().reduced(less).items() if lines}
        assert must <= set(told) <= may
        for lines in told.values():
            assert len(lines) == 1
            assert lines[0].endswith(field.what)
        assert all(before[name] != after[name] for name in told)


def test_fewer_losses_of_the_gans_are_told_of_where_they_are_tuned_and_their_seeds_are_not() -> None:
    told = suite().reduced(changed(PAPER, gan={"losses": ("minimax",), "num_seeds": 1, "search": {"on": True}}))
    assert told["gan_search"] == ["1 instead of 2 losses of the generator"]
    assert told["gan"] == ["1 instead of 2 losses of the generator", "1 instead of 5 seeds of each GAN"]


def test_final_model_that_diverged_blocks_denoising_and_no_classifier_or_gan(tmp_path: Path) -> None:
    book = book_of(tmp_path)

    def how(trial: Any) -> tuple[list[dict[str, float]], str | None]:
        rows = [{"epoch": n + 1, "seconds": 1.0, "val_mse": 0.1, "train_mse": 0.1} for n in range(trial.epochs)]
        return rows, "it diverged" if trial.key == "denoise_gaussian-seed-1" else None

    for name in ("search", "refit"):
        trained(book, name, how)
    lacking = {name: book.lacking("refit", name) for name in ("denoise", "classify", "embed")}
    assert lacking == {"denoise": "refit's denoise_gaussian-seed-1", "classify": "", "embed": ""}
    assert not book.context("classify").planning
    assert all(trial.address for trial in book.study("classify").trials)


@every(suite().stages)
def test_records_that_a_stage_reads_are_of_trainings_that_there_are(stage: AnyStage, tmp_path: Path) -> None:
    book = book_of(tmp_path, studies={"on": True}, gan={"search": {"on": True}, "inception_weights": Path("none")})
    for need, keys in stage.reads_only(book.context(stage.name)).items():
        assert need in book.needs(stage.name)
        assert set(keys) <= {trial.key for trial in book.study(need).trials}
