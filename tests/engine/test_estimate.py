"""About how long work takes: what stages expect, at the pace that trainings had here before."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator import paper
from orchestrator.engine.book import Book
from orchestrator.engine.estimate import BUSY, GPU_PACE, GROUP_SECONDS, START_SECONDS, seconds_of, work_of
from orchestrator.engine.machine import Machine
from orchestrator.engine.manifest import Manifest, StageState
from orchestrator.engine.plan import Plan
from orchestrator.engine.provenance import Made, processor
from orchestrator.engine.records import Trial
from orchestrator.engine.results import Run
from orchestrator.engine.stage import Context
from orchestrator.engine.study import Suggested
from tests.engine.toy import Nothing, Toy, begun, book, suite

TWO_CORES = Machine(2)
OVERHEAD = 2.0
"""What a stage expects by default beside its trainings."""
HERE = Made(device=processor(), host="anywhere")


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """With no runs beside it: those of other tests have their paces."""
    alone = tmp_path / "alone"
    alone.mkdir()
    return alone


def trials(*costs: float) -> list[Trial[Any]]:
    return [Trial(f"trial-{number}", Nothing(), 1, 1, cost=cost) for number, cost in enumerate(costs)]


def plan(folder: Path, *stages: Toy, manifest: Manifest | None = None) -> Plan:
    """Of all these stages."""
    return Plan.make(book(suite(*stages), folder), [stage.name for stage in stages], manifest)


def seconds(of: Plan, machine: Machine = TWO_CORES, slots: int = 2) -> float:
    return seconds_of(of, work_of(of, machine), machine, slots)


def test_cores_share_trainings_and_what_this_process_does(tmp_path: Path) -> None:
    of = plan(tmp_path, Toy(trials(30, 50, 20), name="one"), Toy(trials(96), name="other"))
    assert seconds(of) == START_SECONDS + (100 + 96 + 2 * OVERHEAD) / 2
    assert seconds(of, Machine(8), slots=8) == START_SECONDS + 96 + OVERHEAD, "a training is not shared"


def test_stages_that_need_each_other_take_their_times_one_after_the_other(tmp_path: Path) -> None:
    one = Toy(Suggested(4, 1, lambda number, _: Trial(f"{number}", Nothing(), 1, 1, cost=10)), name="one")
    of = plan(tmp_path, one, Toy(trials(7), name="other", needs=("one",)))
    assert seconds(of) == START_SECONDS + 40 + OVERHEAD + 7 + OVERHEAD, "one trial at a time"


def test_a_group_of_workers_waits_for_the_others_and_takes_its_time_to_start(tmp_path: Path) -> None:
    of = plan(tmp_path, Toy(trials(40, 40), name="one"), Toy(trials(30, 30), name="games", shared=True))
    assert seconds(of) == START_SECONDS + (40 + OVERHEAD) + GROUP_SECONDS + (30 + OVERHEAD)


def test_what_is_recorded_takes_no_time_and_without_trainings_no_ray_is_started(tmp_path: Path) -> None:
    stage = Toy(trials(10, 30))
    stage_run, _ = begun(tmp_path, stage)
    stage_run.start()
    stage_run.over("trial-1", [{"epoch": 1, "loss": 1.0, "seconds": 30.0}], None)
    work = work_of(plan(tmp_path, stage), TWO_CORES)["toy"]
    assert work.training == 10
    stage_run.start()
    stage_run.over("trial-0", [{"epoch": 1, "loss": 1.0, "seconds": 10.0}], None)
    assert seconds(plan(tmp_path, stage)) == OVERHEAD


def test_pace_is_that_of_most_trainings_not_of_the_one_that_had_to_wait_and_not_of_short_ones(tmp_path: Path) -> None:
    stage_run, _ = begun(tmp_path, Toy(trials(10, 10, 10, 10, 0.01, 0.01, 0.01, 0.01, 0.01)))
    for key, took in {"0": 20.0, "1": 200.0, "2": 21.0, "3": 19.0, **dict.fromkeys("45678", 0.5)}.items():
        stage_run.start()
        stage_run.over(f"trial-{key}", [{"epoch": 1, "loss": 1.0, "seconds": took}], None)
    stage_run.enter("done")
    manifest = Run(tmp_path).manifest()
    assert manifest is not None
    assert manifest.stages["toy"].pace == pytest.approx(2.05)


@pytest.mark.parametrize(
    ("machine", "device", "host", "expected"),
    [
        (TWO_CORES, processor(), "anywhere", 3.0),
        (TWO_CORES, "another processor", "anywhere", 1.0),
        (Machine(2, 1), processor(), "anywhere", 1 / 6),
    ],
    ids=["same processor", "another", "a processor's where there are GPUs"],
)
def test_pace_of_earlier_runs_counts_where_they_were_made_on_such_a_machine(
    tmp_path: Path, machine: Machine, device: str, host: str, expected: float
) -> None:
    made = Made(device=device, host=host)
    entry = StageState(state="done", fingerprint="", started="2026-01-01T00:00:00Z", pace=3.0, trained=(made,))
    Run(tmp_path / "other").write_manifest(Manifest(name="other", stages={"one": entry}))
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "manifest.json").write_text("{")
    work = work_of(plan(tmp_path / "new", Toy(trials(10), name="one"), Toy(trials(10), name="two")), machine)
    assert work["one"].training == work["two"].training == pytest.approx(10 * expected)
    assert work["one"].own == OVERHEAD * (expected if expected > 1 else 1)


def test_pace_of_this_run_wins_over_that_of_a_run_beside_it(tmp_path: Path) -> None:
    def manifest(name: str, pace: float, started: str) -> Manifest:
        entry = StageState(state="done", fingerprint="", started=started, pace=pace, trained=(HERE,))
        return Manifest(name=name, stages={"toy": entry})

    Run(tmp_path / "older").write_manifest(manifest("older", 2.0, "2026-01-01T00:00:00Z"))
    Run(tmp_path / "newer").write_manifest(manifest("newer", 3.0, "2026-01-02T00:00:00Z"))
    assert work_of(plan(tmp_path / "run", Toy(trials(10))), TWO_CORES)["toy"].training == 30
    own = manifest("run", 4.0, "2026-01-01T12:00:00Z")
    assert work_of(plan(tmp_path / "run", Toy(trials(10)), manifest=own), TWO_CORES)["toy"].training == 40


def test_where_no_run_has_told_a_piece_of_the_work_is_timed_and_an_existing_run_folder_keeps_that(
    tmp_path: Path,
) -> None:
    timed: list[float] = []

    def pace() -> float:
        timed.append(2.5)
        return timed[-1]

    def expected(folder: Path, machine: Machine = TWO_CORES, *, calibrate: bool = True) -> float:
        of = replace(suite(Toy(trials(10))), pace=pace)
        return work_of(Plan.make(book(of, folder), ["toy"], None), machine, calibrate=calibrate)["toy"].training

    run, new = Run(tmp_path / "run"), tmp_path / "new"
    Path(run.absolute).mkdir()
    assert expected(new, calibrate=False) == 10
    assert expected(new, Machine(2, 1)) == pytest.approx(10 * GPU_PACE)
    assert not timed, "not asked for, and a core does not tell of a GPU"
    assert expected(new) == expected(new) == 10 * BUSY * 2.5
    assert len(timed) == 2
    assert not new.exists(), "a plan makes no run folder"
    strange: list[Any] = [None, "7", True, 0.0, -1.0, math.inf, math.nan]
    others = [{}, {"device": "another", "pace": 7.0}, *({"device": processor(), "pace": pace} for pace in strange)]
    for content in (None, *others):
        if content is not None:
            run.write_json("calibration.json", content)
        del timed[:]
        assert expected(tmp_path / "run") == expected(tmp_path / "run") == 10 * BUSY * 2.5
        assert len(timed) == 1
    Path(run.absolute, "calibration.json").write_text("{")
    assert expected(tmp_path / "run") == 10 * BUSY * 2.5
    assert run.read_json("calibration.json") == {"device": processor(), "pace": BUSY * 2.5}


def test_pace_of_this_core_is_a_plausible_one_and_torch_keeps_its_threads() -> None:
    before = torch.get_num_threads()
    assert 0.1 < paper.suite().pace() < 20
    assert torch.get_num_threads() == before


def test_first_look_is_estimated_within_30_percent_of_what_it_took_on_two_quiet_cores(tmp_path: Path) -> None:
    """docs/LOG.md: 9 min 14 s with all stages, of which denoise, embed and the GANs' tables train nothing."""
    of_paper = paper.suite()
    found = Book(of_paper, of_paper.preset("laptop"), Run(tmp_path / "runs" / "laptop"), set_aside=False)
    of = Plan.make(found, found.stages, None)
    assert seconds(of) == pytest.approx(554, rel=0.3)
    aside = {name for name, work in work_of(of, TWO_CORES).items() if not work.training}
    assert aside == {"denoise", "embed"}
    assert all(work_of(of, TWO_CORES)[name].own > 30 for name in aside)


def test_every_stage_expects_more_where_it_has_more_to_do(tmp_path: Path) -> None:
    """From a slice to a first look to the paper's scale."""
    of_paper = paper.suite()
    scales = [of_paper.preset(name) for name in ("smoke", "laptop", "paper")]
    books = [Book(of_paper, settings, Run(tmp_path), set_aside=False) for settings in scales]
    for stage in of_paper.wanted(scales[-1]):
        expected = [stage.own_seconds(Context(stage, book)) for book in books]
        assert expected == sorted(expected), stage.name
        assert expected[0] > 0
