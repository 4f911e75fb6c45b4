"""A run folder on S3: moto's server speaks its protocol, real Ray and the real command use it."""

import subprocess
import sys
import time
from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer

from orchestrator.compare import differences
from orchestrator.results import Run
from orchestrator.run import main
from tests.orchestrator.command import REPOSITORY, Smoke, orchestrate


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an empty bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    _, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="bucket")
    yield "s3://bucket/some/where"
    server.stop()


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
    manifest = run.manifest()
    entries = manifest.stages if manifest else {}
    return [
        name for stage in stages if stage in entries
        for name in run.list(f"records/{stage}/{entries[stage].fingerprint}", ".json")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("endpoint", "address", "said"),
    [
        (None, "s3://no-such-bucket/runs", "bucket does not exist"),
        ("http://127.0.0.1:9", "s3://bucket/runs", "Could not connect to server"),
    ],
)
def test_bucket_that_cannot_be_used_is_one_line(
    bucket: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    endpoint: str | None,
    address: str,
    said: str,
) -> None:
    if endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    assert main(["search", "--preset", "smoke", "--runs-dir", address]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {address}/smoke")
    assert said in line
