"""What an experiment of the user's own has to be (orchestrator.engine.stage says what it has).

It is done at the scale of the preset smoke on some hundred real images, scikit-learn's digits.
"""

import json
import pickle
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from pydantic import BaseModel, ValidationError

from orchestrator.contracts.in_process import done, tensors
from orchestrator.contracts.tried import AnyStage, Tried, brought_in, tried_anew
from orchestrator.engine.book import Book
from orchestrator.engine.checkpoint import Checkpoint, Rows
from orchestrator.engine.manifest import StageState
from orchestrator.engine.records import Trial
from orchestrator.engine.results import as_frame
from orchestrator.engine.settings import changed
from orchestrator.engine.stage import Stage, Worker
from orchestrator.engine.worker import Job, unwatch


@pytest.fixture(autouse=True)
def _in_order() -> None:
    """Threads may add in another order."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def kind(request: pytest.FixtureRequest) -> type[AnyStage]:
    """The stage's class."""
    found: type[AnyStage] = resolve_name(request.config.getoption("stage"))
    return found


@pytest.fixture(scope="session")
def tried(kind: type[AnyStage]) -> Tried:
    """The stage at the scale of the preset smoke."""
    return tried_anew(kind)


@pytest.fixture(scope="session")
def needed(tried: Tried, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder in which all that the stage needs is done."""
    book = tried.book(tmp_path_factory.mktemp("run"))
    wanted = [tried.name]
    for name in wanted:  # which grows
        wanted += [need for need in book.needs(name) if need not in wanted]
    for name in (stage for stage in book.stages if stage in wanted[1:]):
        entry = done(book, name)
        assert entry.state == "done", entry.error
        book.forget(name)
    return Path(book.run.location)


@pytest.fixture
def folder(needed: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(needed, tmp_path / "run"))


def leaves(settings: BaseModel, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All settings of a section, those of its sections too, each with where it stands."""
    for name, value in settings:
        if isinstance(value, BaseModel):
            yield from leaves(value, (*path, name))
        else:
            yield (*path, name), value


def other_values(value: Any) -> list[Any]:
    """Values that may stand in a setting's place."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1, value - 1, value / 2, value * 2]
    return [value[:-1], value[1:]] if isinstance(value, tuple) and len(value) > 1 else []


def with_others(tried: Tried, path: tuple[str, ...], value: Any) -> Iterator[dict[str, Any]]:
    """What is to be changed for one of the stage's settings to have other values, those that it may have."""
    for other in other_values(value):
        change: Any = other
        for part in reversed((*tried.stage.path.split("."), *path)):
            change = {part: change}
        try:
            changed(tried.settings, **change)
        except ValidationError:
            continue
        yield change


def measured(rows: Rows) -> Rows:
    """Epochs without what they took."""
    return [{name: value for name, value in row.items() if not name.endswith("seconds")} for row in rows]


def check_written(tried: Tried, folder: Path, entry: StageState) -> None:
    """See that every table is there as its schema says, every figure has a caption, and findings are sentences."""
    tables = {}
    for name in {Path(file).stem for file in entry.files if file.startswith("tables/")}:
        content = (folder / "tables" / f"{name}.parquet").read_bytes()
        found = pq.read_schema(folder / "tables" / f"{name}.parquet")
        assert found.remove_metadata().equals(tried.stage.schemas[name].remove_metadata())
        tables[name] = as_frame(content)
    assert set(tried.stage.schemas) - set(tried.stage.optional) <= set(tables) <= set(tried.stage.schemas)
    for name, caption in entry.captions.items():
        assert re.fullmatch(r"\S+( \S+){2,}[.?]", caption), f"{name}: {caption!r} is no sentence"
    for sentence in tried.stage.findings(tables):
        assert re.fullmatch(r"\S+( \S+){2,}\.", sentence), f"{sentence!r} is no sentence"
        assert not re.search(r"\bnan\b|\bNone\b|[{}]", sentence), f"{sentence!r} tells what is not there"


def test_stage_is_a_class_that_is_made_without_arguments(kind: type[AnyStage]) -> None:
    assert isinstance(kind, type)
    assert issubclass(kind, Stage)
    assert pickle.loads(pickle.dumps(kind())).name == kind.name, "workers are sent the stage"


def test_name_and_title_are_its_own(tried: Tried) -> None:
    assert re.fullmatch(r"[a-z]\w*", tried.name)
    assert len(tried.stage.title.split()) >= 2, "the title is a heading of the report"
    assert [it.name for it in tried.suite.stages].count(tried.name) == 1, "another stage is called like this"
    assert not tried.stage.absent(tried.settings), "its flag is to bring it in"


def test_tables_are_its_own_and_their_columns_are_described(tried: Tried) -> None:
    stage = tried.stage
    assert stage.schemas
    assert set(stage.shown) | set(stage.optional) <= set(stage.schemas)
    others = {name for other in tried.suite.stages if other is not stage for name in other.schemas}
    assert not others & set(stage.schemas), "another stage has a table of this name"
    for name, columns in stage.schemas.items():
        for column in columns:
            assert (column.metadata or {}).get(b"description"), f"{name}: what is {column.name}?"


def test_presets_are_of_valid_settings(tried: Tried) -> None:
    stage = tried.stage
    assert set(stage.presets) <= set(tried.suite.presets), "there is no such preset"
    for preset in tried.suite.presets:
        settings = brought_in(tried.suite, stage, preset)
        assert type(settings).model_validate(json.loads(settings.model_dump_json())) == settings
    full = tried.suite.full
    assert not stage.presets.get(full), f"the settings' defaults are those of the preset {full}"


def test_what_it_needs_stands_before_it(tried: Tried) -> None:
    before = [it.name for it in tried.suite.stages[: tried.suite.stages.index(tried.stage)]]
    assert set(tried.stage.needs(tried.stage.own(tried.settings))) <= set(before)
    assert tried.suite.fingerprints(tried.settings)[tried.name]


def test_trials_are_distinct_and_the_same_every_time(tried: Tried, folder: Path) -> None:
    one, other = (list(tried.book(folder).study(tried.name).trials) for _ in range(2))
    assert len({trial.key for trial in one}) == len(one)
    assert [trial.address for trial in one] == [trial.address for trial in other]
    for trial in one:
        assert re.fullmatch(r"[\w.-]+", trial.key), f"{trial.key!r} is no name of a file"
        assert trial.epochs >= 1
        assert type(trial.config).model_validate(json.loads(trial.config.model_dump_json())) == trial.config


def test_trials_are_made_without_leaving_anything_in_the_stage(kind: type[AnyStage], folder: Path) -> None:
    """A worker's copy of the stage has not made the trials: what `train` needs is in the trial."""
    tried = tried_anew(kind)
    before = vars(tried.stage).copy()
    assert tried.book(folder).study(tried.name)
    assert vars(tried.stage) == before


def test_changed_setting_makes_another_result_of_an_address_nowhere(tried: Tried, folder: Path) -> None:
    """An address stands for all that decides an outcome; what a trial says beside that may not decide any."""
    usual = {trial.address: trial for trial in tried.book(folder).study(tried.name).trials}
    fingerprint = tried.suite.fingerprints(tried.settings)[tried.name]
    settings = list(leaves(tried.stage.own(tried.settings)))
    others = [(".".join(path), it) for path, value in settings for it in with_others(tried, path, value)]
    for name, change in others:
        book = tried.book(folder, **change)
        assert book.fingerprints[tried.name] != fingerprint, f"{name} changes nothing"
        for trial in book.study(tried.name).trials:
            same = usual.get(trial.address, trial)
            told = f"{trial.key} has the same address whatever {name} is, and another number of images"
            assert same.num_images == trial.num_images, told


def test_another_seed_is_another_training(tried: Tried, folder: Path) -> None:
    if tried.book(folder).needs(tried.name):
        pytest.skip("what it needs would have to be done from another seed")
    mine, others = (
        {trial.address for trial in tried.book(folder, seed=seed).study(tried.name).trials} for seed in (1, 2)
    )
    assert not mine or mine != others


def quickest(tried: Tried, folder: Path) -> tuple[Book, Trial[Any]]:
    """The trial of two epochs or more that has least to do."""
    book = tried.book(folder)
    trials = [trial for trial in book.study(tried.name).trials if trial.epochs > 1]
    if not trials:
        pytest.skip("no training has a second epoch")
    return book, min(trials, key=lambda trial: (trial.cost, trial.num_images * trial.epochs))


def epochs(tried: Tried, book: Book, trial: Trial[Any], so_far: Checkpoint) -> Iterator[int]:
    """Train as a worker does, with a stage that was made anew; numbers of the epochs."""
    context = book.context(tried.name)
    said: list[str] = []
    assert context.inputs is not None  # computed here
    job = Job(type(tried.stage)(), trial, context.inputs_address, 600, (), stops_weak_trials=False)
    for epoch, wrong in job.epochs(book.data, book.records(tried.name), so_far, Worker(), said):
        assert not wrong, wrong
        assert not said, said
        so_far.state = epoch.state()
        yield epoch.number
    unwatch()


def test_interrupted_training_goes_on_as_if_it_had_not_been(tried: Tried, folder: Path) -> None:
    """Bit for bit, from a checkpoint of any epoch, and whatever torch's own generator was used for."""
    book, trial = quickest(tried, folder)
    records, whole = book.records(tried.name), Checkpoint()
    for number in epochs(tried, book, trial, whole):
        if number == 1:
            records.save_checkpoint(trial.address, whole)
    assert [row["epoch"] for row in whole.rows] == list(range(1, trial.epochs + 1))
    assert tried.stage.metric in whole.rows[-1], "the stage's metric is none of its trainings'"
    torch.rand(5)
    resumed = records.load_checkpoint(trial.address)
    assert resumed.state is not None, "a state is of tensors and plain values"
    assert list(epochs(tried, book, trial, resumed)) == list(range(2, trial.epochs + 1))
    assert measured(resumed.rows) == measured(whole.rows)
    pairs = list(zip(tensors(resumed.state), tensors(whole.state), strict=True))
    assert pairs
    assert all(torch.equal(*pair) for pair in pairs)
    assert resumed.arrays.keys() == whole.arrays.keys()


def test_results_are_the_tables_of_its_schemas(tried: Tried, folder: Path) -> None:
    entry = done(tried.book(folder), tried.name)
    assert entry.state == "done", entry.error
    assert not entry.warnings
    check_written(tried, folder, entry)


def test_trainings_that_all_failed_still_give_every_table(tried: Tried, folder: Path) -> None:
    book = tried.book(folder)
    if not book.study(tried.name).num_trials:
        pytest.skip("it trains nothing")
    entry = done(book, tried.name, lambda trial: ([], "out of paint"))
    assert (entry.state, len((entry.error or "").splitlines())) == ("failed", 1), entry.error
    check_written(tried, folder, entry)
