"""Copies of the finished smoke run, to be changed."""

import shutil
from pathlib import Path

from orchestrator.engine.results import Run
from tests.command import Smoke


def copy_of(smoke: Smoke, runs_dir: Path) -> Run:
    """The run in another folder of runs; without Ray's own files."""
    shutil.copytree(smoke.runs_dir / "smoke", runs_dir / "smoke", ignore=shutil.ignore_patterns("ray"))
    return Run(runs_dir / "smoke")
