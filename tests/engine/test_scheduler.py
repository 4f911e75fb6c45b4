"""Which stage is done when, and what becomes of stages that fail. Ray is not here: something else takes its place."""

import io
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from orchestrator.engine.cluster import Cluster
from orchestrator.engine.execute import run
from orchestrator.engine.plan import Plan
from orchestrator.engine.progress import Progress
from orchestrator.engine.records import Record, Trial
from orchestrator.engine.results import Run
from orchestrator.engine.scheduler import Scheduler
from orchestrator.engine.settings import UserError
from orchestrator.engine.stage import Context, Table
from orchestrator.engine.stage_run import StageRun
from orchestrator.engine.study import Suggested
from orchestrator.engine.suite import Suite
from tests.engine.scheduled import (
    DEADLINE_SECONDS,
    NO_CLUSTER,
    ONLY,
    InRaysPlace,
    Raising,
    Telling,
    do,
    states,
    training,
    until,
)
from tests.engine.toy import Nothing, Toy, book, suite


def test_what_needs_a_stage_that_workers_share_is_trained_after_it(tmp_path: Path, ray: InRaysPlace) -> None:
    stages = (
        training("first"),
        training("games", "first", shared=True),
        training("scores", "games"),
        training("last", "scores"),
    )
    done = do(tmp_path, suite(*stages), "last")
    assert ray.trained == ["first", "games", "scores", "last"]
    assert set(states(done).values()) == {"done"}


def test_what_fails_once_all_is_trained_takes_nothing_back(
    tmp_path: Path, ray: InRaysPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at_the_end(stage_run: StageRun, *others: object) -> None:
        ray.train_together(stage_run)
        raise RuntimeError("Ray is gone")

    monkeypatch.setattr("orchestrator.engine.ray_train.train_together", at_the_end)
    stages = suite(training("first", shared=True), training("second", "first"))
    assert states(do(tmp_path, stages, "second")) == {"first": "done", "second": "done"}
    assert ray.trained == ["first", "second"]


def test_what_most_stages_wait_for_is_trained_first_and_of_equals_what_takes_longest(
    tmp_path: Path, ray: InRaysPlace
) -> None:
    def lasting(name: str, cost: float) -> Toy:
        return Toy([Trial("only", Nothing(), seed=1, epochs=1, cost=cost)], name=name)

    stages = (lasting("short", 1.0), lasting("long", 9.0), lasting("waited for", 2.0))
    do(tmp_path, suite(*stages, training("after", "waited for")), "short", "long", "after")
    assert ray.trained[:2] == ["waited for", "long"]
    assert ray.trained.index("short") > ray.trained.index("long")


def test_stage_whose_workers_were_lost_has_failed_and_the_next_command_trains_what_is_missing(
    tmp_path: Path, ray: InRaysPlace
) -> None:
    """The machine loses every worker of one training, and the next time none."""
    ray.loses = {"ill"}
    trials = [Trial(key, Nothing(), seed=1, epochs=1, cost=1.0) for key in ("well", "ill")]
    suggested = Suggested(2, 2, lambda number, records: trials[number])
    of = suite(Toy(suggested, name="only", retries_failed=False))
    entry = do(tmp_path, of, "only")["only"]
    assert (entry.state, entry.error) == ("failed", "their workers were lost: ill")
    assert ray.started == ["well", "ill", "ill", "ill"], "it is taken up again twice"
    ray.loses.clear()
    ray.started.clear()
    assert do(tmp_path, of, "only")["only"].state == "done"
    assert ray.started == ["ill"]


@pytest.mark.parametrize("retries_failed", [True, False])
def test_what_failed_by_itself_is_trained_again_by_the_next_command_where_the_stage_wants_that(
    tmp_path: Path, ray: InRaysPlace, retries_failed: bool
) -> None:
    ray.fails = {"only"}
    of = suite(training("it", retries_failed=retries_failed))
    assert states(do(tmp_path, of, "it")) == {"it": "failed"}
    ray.fails.clear()
    assert do(tmp_path, of, "it")["it"].state == ("done" if retries_failed else "failed")
    assert len(ray.started) == 1 + retries_failed


def test_forced_stage_trains_all_again_and_what_it_needs_nothing(tmp_path: Path, ray: InRaysPlace) -> None:
    of = suite(training("first"), training("second", "first"), training("third", "second"))
    do(tmp_path, of, "third")
    do(tmp_path, of, "third")
    assert ray.trained == ["first", "second", "third"], "nothing is left to do"
    do(tmp_path, of, "third", force=("second",))
    assert ray.trained == ["first", "second", "third", "second"], "and the third's trial is what it was"


class Building(Toy):
    """Its trainings are given what those of the stages that it needs measured."""

    def made_of(self, context: Context[Nothing]) -> Sequence[str]:
        return [record.digest for name in self.all_needs for record in context.records(name).values()]

    def inputs(self, context: Context[Nothing]) -> dict[str, np.ndarray[Any, Any]]:
        return {"nothing": np.zeros(1)}


def building() -> Suite:
    return suite(
        training("first"),
        Building(ONLY, needs=("first",), name="second"),
        Building(ONLY, needs=("second",), name="third"),
        training("beside", "first"),
    )


def test_what_builds_on_a_forced_stage_is_trained_again_where_that_came_to_something_else(
    tmp_path: Path, ray: InRaysPlace
) -> None:
    """As after a change of the code, or on another kind of processor."""
    do(tmp_path, building(), "third", "beside")
    ray.trained.clear()
    do(tmp_path, building(), "third", "beside", force=("first",))
    assert ray.trained == ["first"], "the same came out, but for its seconds"
    ray.loss = 0.25
    do(tmp_path, building(), "third", "beside", force=("first",))
    assert ray.trained[1:] == ["first", "second", "third"]
    ray.trained.clear()
    do(tmp_path, building(), "third", "beside")
    assert ray.trained == []


def test_force_that_was_interrupted_leaves_nothing_that_builds_on_what_is_gone(
    tmp_path: Path, ray: InRaysPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    do(tmp_path, building(), "third", "beside")
    ray.trained.clear()
    ray.loss = 0.25
    begin = StageRun.begin

    def killed(stage_run: StageRun, *, anew: bool) -> None:
        if stage_run.name != "first":
            raise KeyboardInterrupt
        begin(stage_run, anew=anew)

    monkeypatch.setattr(StageRun, "begin", killed)
    with pytest.raises(KeyboardInterrupt):
        do(tmp_path, building(), "third", "beside", force=("first",))
    monkeypatch.undo()
    monkeypatch.setattr("orchestrator.engine.ray_tune.run_trials", ray.run_trials)
    do(tmp_path, building(), "third")
    assert ray.trained == ["first", "second", "third"]


def test_what_builds_on_a_record_that_is_trained_again_is_done_again_with_it(
    tmp_path: Path, ray: InRaysPlace
) -> None:
    """The damaged record is needed, since what a stage wrote is damaged too."""
    do(tmp_path, building(), "third", "beside")
    ray.trained.clear()
    ray.loss = 0.25
    run = Run(tmp_path)
    run.delete(*run.list("records/first", ".json"))
    of_run = book(building(), tmp_path)
    manifest = run.manifest()
    assert manifest is not None
    plan = Plan.make(of_run, ["first"], manifest, damaged=["first"])
    assert [stage.name for stage in plan.to_do] == ["first", "second", "third", "beside"]
    Scheduler(plan, manifest, Progress(Console(file=io.StringIO())), lambda: NO_CLUSTER).run()
    assert ray.trained == ["first", "second", "third"]


class Given(Toy):
    """Its trainings are given what takes long to make, or cannot be made."""

    def made_of(self, context: Context[Nothing]) -> tuple[str, ...]:
        return ("something",)

    def inputs(self, context: Context[Nothing]) -> dict[str, Any]:
        if self.name == "broken":
            raise ValueError("nothing to give")
        until = time.monotonic() + DEADLINE_SECONDS
        while self.meanwhile not in self.seen:
            assert time.monotonic() < until, "the trainings of others wait for it"
            time.sleep(0.01)
        return {"a": np.ones(1)}


def test_what_trainings_are_given_is_made_while_others_train(tmp_path: Path, ray: InRaysPlace) -> None:
    ready = Given(ONLY, name="given", meanwhile="beside", seen=ray.trained)
    shared = Given(ONLY, name="games", meanwhile="given", seen=ray.trained, shared=True, needs=("given",))
    broken = Given(ONLY, name="broken", needs=("given",))
    done = do(tmp_path, suite(ready, training("beside"), shared, broken), "given", "beside", "games", "broken")
    assert ray.trained == ["beside", "given", "games"]
    assert states(done) == {"given": "done", "beside": "done", "games": "done", "broken": "failed"}
    assert "ValueError: nothing to give" in (done["broken"].error or "")


class Writing(Toy):
    """Calls something while it writes its results."""

    def __init__(self, name: str, write: Callable[[], object]) -> None:
        super().__init__(ONLY, name=name, write=write)

    def results(self, context: Context[Nothing], records: Sequence[Record[Any]]) -> Iterator[Table]:
        self.write()
        return iter(())


def test_tables_are_made_one_stage_at_a_time_beside_trainings_and_side_by_side_after_them(
    tmp_path: Path, ray: InRaysPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.engine.scheduler.cores", lambda: 2)
    alone, written = threading.Lock(), threading.Semaphore(0)

    def by_itself() -> None:
        assert alone.acquire(blocking=False), "another stage writes"
        time.sleep(0.1)
        alone.release()
        written.release()

    def until_both_are_written(stage_run: StageRun) -> None:
        if stage_run.name == "long":
            assert all(written.acquire(timeout=DEADLINE_SECONDS) for _ in range(2))
        train_one(stage_run)

    train_one = ray._train_one
    monkeypatch.setattr(ray, "_train_one", until_both_are_written)
    stages = suite(Writing("one", by_itself), Writing("two", by_itself), training("long"))
    assert states(do(tmp_path / "run", stages, "one", "two", "long")) == dict.fromkeys(("one", "two", "long"), "done")

    both = threading.Barrier(2, timeout=DEADLINE_SECONDS)
    stages = suite(Writing("one", both.wait), Writing("two", both.wait))
    assert states(do(tmp_path / "other", stages, "one", "two")) == {"one": "done", "two": "done"}


def test_ray_is_left_once_all_is_trained_while_tables_are_still_made(tmp_path: Path, ray: InRaysPlace) -> None:
    trained, left = list[str](), threading.Event()

    def leave() -> None:
        trained.extend(ray.trained)
        left.set()

    def once_it_is_left() -> None:
        assert left.wait(DEADLINE_SECONDS), "Ray waits for tables"

    stages = suite(training("first"), training("second", "first"), Writing("written", once_it_is_left))
    done = do(tmp_path, stages, "second", "written", disconnect=leave)
    assert (set(trained), set(states(done).values())) == ({"first", "second", "written"}, {"done"})


def test_tables_that_a_stage_waits_for_are_made_beside_others(tmp_path: Path, ray: InRaysPlace) -> None:
    long = Writing("long", lambda: until(lambda: "last" in ray.trained))
    stages = suite(long, Telling(name="giving", needs=("long",)), training("last", "giving"))
    assert set(states(do(tmp_path, stages, "last")).values()) == {"done"}


def test_tables_that_wait_are_not_begun_once_the_run_is_given_up(
    tmp_path: Path, ray: InRaysPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.engine.scheduler.cores", lambda: 1)
    names, began = {"one", "two"}, list[str]()

    def waiting() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name in names - set(began)]

    def fills_the_disk() -> None:
        began.append(threading.current_thread().name)
        until(lambda: bool(waiting()))
        raise UserError("no space left")

    with pytest.raises(UserError, match="no space left"):
        do(tmp_path, suite(*(Writing(name, fills_the_disk) for name in names)), *names)
    for thread in waiting():
        thread.join(DEADLINE_SECONDS)
    assert len(began) == 1


def test_failed_stage_blocks_what_needs_it_and_nothing_else(tmp_path: Path, ray: InRaysPlace) -> None:
    stages = (
        training("first"),
        Given(ONLY, needs=("first",), name="broken"),
        training("after", "first", "broken"),
        training("later", "after", shared=True),
        training("beside", "first"),
    )
    done = do(tmp_path, suite(*stages), "later", "beside")
    assert states(done) == {
        "first": "done", "broken": "failed", "after": "blocked", "later": "blocked", "beside": "done",
    }  # fmt: skip
    assert done["after"].error == "needs broken, which failed"
    assert done["later"].error == "needs after, which failed"
    assert sorted(ray.trained) == ["beside", "first"], "what is blocked trains nothing"

    mended = (stages[0], training("broken", "first"), *stages[2:])
    assert set(states(do(tmp_path, suite(*mended), "later", "beside")).values()) == {"done"}
    assert sorted(ray.trained) == ["after", "beside", "broken", "first", "later"]


class Slow(Toy):
    """Makes its tables only once another stage has trained."""

    def results(self, context: Context[Nothing], records: Sequence[Record[Any]]) -> Iterator[Table]:
        until = time.monotonic() + DEADLINE_SECONDS
        while "after" not in self.seen:
            assert time.monotonic() < until, "what reads its records waits for its tables"
            time.sleep(0.01)
        yield from ()


@pytest.mark.parametrize("shared", [False, True])
def test_what_reads_records_waits_for_no_tables(tmp_path: Path, ray: InRaysPlace, shared: bool) -> None:
    slow = Slow(ONLY, name="slow", seen=ray.trained)
    done = do(tmp_path, suite(slow, training("after", "slow", shared=shared)), "after")
    assert ray.trained == ["slow", "after"]
    assert states(done) == {"slow": "done", "after": "done"}, "and the run waits for the tables"


def test_tables_that_fail_do_not_block_what_reads_the_records(tmp_path: Path, ray: InRaysPlace) -> None:
    broken = Raising(ONLY, name="broken", config=Nothing)
    done = do(tmp_path, suite(broken, training("after", "broken")), "after")
    assert states(done) == {"broken": "failed", "after": "done"}


def test_stage_with_a_failed_training_has_its_tables_and_figures_and_blocks_what_needs_it(
    tmp_path: Path, ray: InRaysPlace
) -> None:
    ray.fails = {"only"}
    stages = (Telling(ONLY, config=Nothing), training("after", "toy"))
    done = do(tmp_path, suite(*stages), "after")
    assert (done["toy"].state, done["toy"].error) == ("failed", "of 1 trainings failed: only")
    assert {"tables/told.parquet", "figures/plot.png"} <= done["toy"].files.keys()
    assert done["after"].state == "blocked"
    assert ray.trained == ["toy"]


class Reading(Toy):
    """Reads one record of the stage before it, and gives it on."""

    def reads_only(self, context: Context[Nothing]) -> dict[str, tuple[str, ...]]:
        return {"models": ("good",)}

    def made_of(self, context: Context[Nothing]) -> Sequence[str]:
        return [record.address for record in context.records("models").values()]


MODELS = [Trial(key, Nothing(), seed=1, epochs=1, cost=1.0) for key in ("good", "ill", "other")]


def test_model_that_diverged_blocks_what_reads_it_and_nothing_else(tmp_path: Path, ray: InRaysPlace) -> None:
    ray.fails = {"ill"}
    stages = (
        Toy(MODELS, name="models"),
        Reading(ONLY, needs=("models",), name="reads_good"),
        training("reads_all", "models"),
        training("after", "reads_good"),
    )
    done = do(tmp_path, suite(*stages), "after", "reads_all")
    assert states(done) == {"models": "failed", "reads_good": "done", "reads_all": "blocked", "after": "done"}
    assert done["models"].error == "of 3 trainings failed: ill"
    assert done["reads_all"].error == "needs models's ill, which failed"

    trained = len(ray.started)
    ray.fails.clear()
    assert set(states(do(tmp_path, suite(*stages), "after", "reads_all")).values()) == {"done"}
    assert ray.started[trained:] == ["ill", "only"], "the ill one and what it blocked; nothing else is trained again"


@pytest.mark.parametrize("lost", [False, True])
def test_stage_whose_only_model_failed_is_blocked(tmp_path: Path, ray: InRaysPlace, lost: bool) -> None:
    ray.fails, ray.loses = ({"other"}, {"good"}) if lost else ({"good", "other"}, set())
    stages = Toy(MODELS, name="models"), Reading(ONLY, needs=("models",), name="reads_good")
    done = do(tmp_path, suite(*stages), "reads_good")
    assert done["reads_good"].state == "blocked"
    assert done["reads_good"].error == "needs models's good, which failed"
    assert "only" not in ray.started


def test_stage_reads_what_it_says_and_no_other_record(tmp_path: Path, ray: InRaysPlace) -> None:
    of = suite(Toy(MODELS, name="models"), Reading(ONLY, needs=("models",), name="reads_good"))
    do(tmp_path, of, "reads_good")
    context = book(of, tmp_path).context("reads_good")
    assert not context.planning
    assert list(context.records("models")) == ["good"]


RING = """
import time
time.sleep(0.3)
import {other}.deep
"""
STAGE = """
from orchestrator.engine.stage import Stage, Table
from tests.command import REPOSITORY
from tests.engine.toy import Nothing

class Ring(Stage):
    settings = Nothing

    def __init__(self, name):
        self.name = name

    def results(self, context, records):
        if self.name == "one":
            import ring_one.deep
        else:
            from ring_stages import other
            other.work()
        return iter(())
"""
WORK = """
def work():
    import ring_two.deep
"""


def test_stages_that_end_together_import_what_they_need_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two packages import modules of each other; a thread begins at each of them. Python fails one of these."""
    modules = {
        "ring_one/__init__.py": RING.format(other="ring_two"),
        "ring_one/deep.py": "",
        "ring_two/__init__.py": RING.format(other="ring_one"),
        "ring_two/deep.py": "",
        "ring_stages/__init__.py": STAGE,
        "ring_stages/other.py": WORK,
    }
    for name, source in modules.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    from ring_stages import Ring  # type: ignore[import-not-found]

    done = do(tmp_path / "run", suite(Ring("one"), Ring("two")), "one", "two")
    assert {name: (entry.state, entry.error) for name, entry in done.items()} == dict.fromkeys(
        ("one", "two"), ("done", None)
    )


def test_run_whose_folder_was_renamed_goes_on_under_its_new_name(tmp_path: Path, ray: InRaysPlace) -> None:
    of = replace(suite(Telling()), epilogue=lambda *told: {"page": told[2].name.encode()})

    def commanded(name: str) -> bytes:
        of_run = book(of, tmp_path / name, name=name, resources={"free_gigabytes": 0})
        assert run(of_run, ["toy"]) == 0
        return of_run.run.read("page")

    assert commanded("before") == b"before"
    (tmp_path / "before").rename(tmp_path / "after")
    table = (tmp_path / "after" / "tables" / "told.parquet").stat().st_mtime_ns
    assert commanded("after") == b"after"
    assert (tmp_path / "after" / "tables" / "told.parquet").stat().st_mtime_ns == table, "nothing is done again"
    manifest = Run(tmp_path / "after").manifest()
    assert manifest is not None
    assert manifest.name == "after"


def test_data_that_cannot_be_had_end_the_run_before_ray_is_looked_for(tmp_path: Path, ray: InRaysPlace) -> None:
    def load(settings: object) -> None:
        raise UserError("no data here")

    def connect() -> Cluster:
        raise AssertionError("Ray is looked for")

    of = suite(training("it"), load_data=load)
    with pytest.raises(UserError, match="no data here"):
        do(tmp_path, of, "it", connect=connect)
    assert not ray.trained
