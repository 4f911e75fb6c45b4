"""A smoke run on the real images through real Ray, made once for all tests that look at its results."""

import pytest

from tests.orchestrator.command import Smoke, orchestrate


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Smoke:
    runs_dir = tmp_path_factory.mktemp("runs")
    finished = orchestrate("all", "--preset", "smoke", "--address", "local", "--runs-dir", runs_dir)
    assert finished.status == 0, finished.err
    return Smoke(runs_dir, finished)
