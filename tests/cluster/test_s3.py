"""A run folder on S3: moto's server speaks its protocol, real Ray and the real command use it."""

import subprocess
import sys
import time

from orchestrator.engine.compare import differences
from orchestrator.engine.lock import Holder
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
    assert len(run.table("folds")) == 12
    assert "secret-of-the-test" not in run.read("manifest.json").decode() + again.err + again.out


def test_run_whose_lock_another_takes_ends_in_one_line(bucket: str) -> None:
    command = ("search", "--preset", "smoke", "--address", "local", "--runs-dir", bucket, "--search.num-trials", "40")
    run = Run(f"{bucket}/smoke")
    other = Holder(host="elsewhere", process=1, since="just now", number=99, token="theirs")
    with subprocess.Popen(
        [sys.executable, "-m", "orchestrator.run", *command], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
    ) as driver:
        while not run.list("records/search", ".json"):
            assert driver.poll() is None
            time.sleep(0.2)
        run.write("lock", other.model_dump_json().encode())
        taken = time.monotonic()
        _, err = driver.communicate(timeout=60)
    assert driver.returncode == 2, err
    assert err.splitlines()[-1] == (
        f"error: {bucket}/smoke is no longer this run's: process 1 on elsewhere since just now has taken it; "
        "what was finished is kept"
    )
    assert "Traceback" not in err
    assert time.monotonic() - taken < 30
    assert Holder.model_validate_json(run.read("lock")) == other


def _records(run: Run) -> list[str]:
    stages = ("search", "kfold", "refit", "capacity")
    return [name for stage in stages for name in run.list(f"records/{stage}", ".json")]
