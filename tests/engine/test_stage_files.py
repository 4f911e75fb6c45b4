"""What a stage gives, as files: tables, figures, and what becomes of those that fail."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from orchestrator.engine.manifest import Manifest
from orchestrator.engine.plan import Plan, damage
from orchestrator.engine.records import Record
from orchestrator.engine.results import Run
from orchestrator.engine.scheduler import Scheduler
from orchestrator.engine.settings import UserError
from orchestrator.engine.stage import Context, Picture, Stage, Table, Tables
from tests.command import REPOSITORY
from tests.engine.scheduled import NO_CLUSTER, InRaysPlace, Raising, Telling, do, quiet, states, training
from tests.engine.toy import Nothing, book, suite


class Unknown(Telling):
    """Gives a table that it has no schema of."""

    def results(self, context: Context[Nothing], records: Sequence[Record[Any]]) -> Iterator[Table]:
        yield Table("told", [{"value": 7}])
        yield Table("whispered", [{"value": 8}])


class Silent(Telling):
    """Gives one of its two tables."""

    schemas = Telling.schemas | {"whispered": Telling.schemas["told"]}


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_stage_has_its_tables_and_figures_on_the_disk_and_in_the_manifest(tmp_path: Path) -> None:
    entry = do(tmp_path, suite(Telling()), "toy")["toy"]
    own = {"tables/told.parquet", *(f"figures/plot.{suffix}" for suffix in ("png", "svg", "pdf"))}
    assert (entry.state, entry.error, set(entry.files)) == ("done", None, own)
    assert entry.captions == {"plot": "A caption."}
    assert files(tmp_path) == own | {"manifest.json", "tables/stages.parquet"}
    assert list(Run(tmp_path).table("told")["value"]) == [7]
    assert list(Run(tmp_path).differing(entry.files)) == []


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        (Raising(), "ValueError: no second table"),
        (Unknown(), "KeyError: 'whispered'"),
        (Silent(), "AssertionError: the stage gave no table whispered"),
    ],
    ids=["raises", "no schema", "no table"],
)
def test_stage_one_of_whose_tables_failed_has_no_figure_neither_on_the_disk_nor_in_the_manifest(
    tmp_path: Path, stage: Stage[Any, Any], said: str
) -> None:
    entry = do(tmp_path, suite(stage), "toy")["toy"]
    assert entry.state == "failed"
    assert (entry.error or "").splitlines()[-1] == said
    assert set(entry.files) == {"tables/told.parquet"}, "what it gave before that is kept"
    assert entry.captions == {}
    assert files(tmp_path) == {"tables/told.parquet", "manifest.json", "tables/stages.parquet"}
    (row,) = Run(tmp_path).table("stages").to_dict("records")
    assert (row["stage"], row["state"]) == ("toy", "failed")


def _unable() -> Figure:
    raise ValueError("no\nink")


class Sketching(Telling):
    """Its second figure fails, as long as there is no ink; or what makes the figures does."""

    ink = False
    draws = True

    def figures(self, context: Context[Nothing], tables: Tables) -> Iterator[Picture]:
        yield Picture("first", "One.", Figure)
        yield Picture("second", "Two.", Figure if self.ink else _unable)
        if not self.draws:
            raise ImportError("no pencil")
        yield Picture("third", "Three.", Figure)


def test_figure_that_fails_is_a_warning_and_the_next_command_draws_it(tmp_path: Path, ray: InRaysPlace) -> None:
    ill = suite(Sketching(), training("after", "toy"))
    done = do(tmp_path, ill, "after")
    assert states(done) == {"toy": "done", "after": "done"}
    assert done["toy"].warnings == ("figures/second: ValueError: no ink",)
    assert list(done["toy"].captions) == ["first", "third"]
    assert "figures/second.png" not in done["toy"].files
    manifest = Run(tmp_path).manifest()
    assert damage(Run(tmp_path), manifest) == {"toy": []}
    (row, _) = Run(tmp_path).table("stages").to_dict("records")
    assert row["state"] == "done"

    well = book(suite(Sketching(ink=True), training("after", "toy")), tmp_path)
    plan = Plan.make(well, ["after"], manifest, damage(well.run, manifest))
    assert [stage.name for stage in plan.to_do] == ["toy"]
    Scheduler(plan, manifest or Manifest(name="toy"), quiet(), lambda: NO_CLUSTER).run()
    after = Run(tmp_path).manifest()
    assert after is not None
    assert (after.stages["toy"].warnings, list(after.stages["toy"].captions)) == ((), ["first", "second", "third"])
    assert damage(well.run, after) == {}
    assert ray.trained == ["after"]


class Drawing(Telling):
    """Draws a figure with text, in the program's style."""

    def figures(self, context: Context[Nothing], tables: Tables) -> Iterator[Picture]:
        from orchestrator.figures.images import image_grid

        yield Picture("grid", "A grid.", image_grid, np.zeros((1, 2, 28, 28)), ["row"], ["a", "b"], "A $x_1$ title")


DRAW = """
from pathlib import Path
import numpy as np
from orchestrator.run import main
from orchestrator.engine.drawing import drawn
from orchestrator.engine.provenance import git_commit
from orchestrator.engine.stage import Picture
main(["status"])
import matplotlib
from orchestrator.figures.images import image_grid
assert matplotlib.rcParams["text.usetex"], "the user's file is read"
picture = Picture("grid", "A grid.", image_grid, np.zeros((1, 2, 28, 28)), ["row"], ["a", "b"], "A $x_1$ title")
for suffix, content in drawn(picture, "run toy, preset toy, seed 1", git_commit()).items():
    Path(f"grid.{suffix}").write_bytes(content)
"""
FOREIGN = """
text.usetex: True
axes.facecolor: black
axes.grid: False
font.family: serif
font.size: 30
image.interpolation: bilinear
savefig.dpi: 17
savefig.bbox: tight
savefig.transparent: True
svg.fonttype: none
svg.hashsalt: theirs
mathtext.fontset: cm
"""


def test_figures_are_the_same_bytes_whatever_the_environment_brings(tmp_path: Path) -> None:
    entry = do(tmp_path / "here", suite(Drawing()), "toy")["toy"]
    assert not entry.warnings
    (tmp_path / "matplotlibrc").write_text(FOREIGN)
    brought = {
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MPLCONFIGDIR": "/proc/none",
        "SOURCE_DATE_EPOCH": "0",
        "LC_ALL": "C",
        "PYTHONHASHSEED": "1",
        "PYTHONPATH": str(REPOSITORY),
    }
    done = subprocess.run([sys.executable, "-c", DRAW], cwd=tmp_path, env=os.environ | brought, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    for suffix in ("png", "svg", "pdf"):
        here = tmp_path / "here" / "figures" / f"grid.{suffix}"
        assert (tmp_path / f"grid.{suffix}").read_bytes() == here.read_bytes()


def test_what_makes_figures_may_fail_as_a_whole(tmp_path: Path) -> None:
    entry = do(tmp_path, suite(Sketching(ink=True, draws=False)), "toy")["toy"]
    assert (entry.state, entry.warnings) == ("done", ("figures: ImportError: no pencil",))
    assert list(entry.captions) == ["first", "second"]


def test_disk_that_takes_no_figure_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "figures").touch()
    with pytest.raises(UserError, match=r"figures/plot.png cannot be written"):
        do(tmp_path, suite(Telling()), "toy")
