"""A run folder on S3: moto's server speaks its protocol, real Ray and the real command use it."""

import subprocess
import sys
import time

from orchestrator.engine.compare import differences
from orchestrator.engine.results import Run
from tests.command import REPOSITORY, Smoke, orchestrate


def test_smoke_run_on_s3_killed_and_resumed_is_that_on_a_disk(smoke: Smoke, bucket: str) -> None:
    command = ("all", "--preset", "smoke", "--address", "local", "--runs-dir", bucket)
    run = Run(f"{bucket}/smoke")
    driver = subprocess.Popen([sys.executable, "-m", "orchestrator.run", *command], cwd=REPOSITORY)
    try:
        deadline = time.monotonic() + 300
        while not any("kfold" in str(name) for name in _records(run)):
            assert driver.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert orchestrate(*command).status == 2, "the folder is in use"
    finally:
        driver.kill()
        driver.wait()
    before = {name: run.read(name) for name in _records(run)}
    again = orchestrate(*command)
    assert again.status == 0, again.err
    assert {name: run.read(name) for name in before} == before
    assert list(differences(run, smoke.run)) == []
    compared = orchestrate("compare", f"{bucket}/smoke", smoke.runs_dir / "smoke")
    assert (compared.status, "are equal" in compared.out) == (0, True)
    assert len(run.table("folds")) == 13
    assert "secret-of-the-test" not in run.read("manifest.json").decode() + again.err + again.out


def _records(run: Run) -> list[str]:
    stages = ("search", "kfold", "refit", "capacity")
    return [name for stage in stages for name in run.list(f"records/{stage}", ".json")]
