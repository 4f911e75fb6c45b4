"""For all tests: a smoke run on the real images through real Ray, made once by each process that runs tests."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.request import Request, urlopen

import pytest

from benchmarks.commands import Memory
from tests.command import Smoke, orchestrate

# Two threads that wait for each other by spinning are very slow where another process wants the core.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Under nohup, and in the background of a script, this is ignored, and what tests start would ignore it too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def smoke_begun(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Smoke]]:
    """The smoke run begins with the first test, if one will look at it, and goes on beside those that do not."""
    runs_dir = tmp_path_factory.mktemp("runs")
    command = ("all", "--preset", "smoke", "--address", "local", "--runs-dir", runs_dir)
    memory = Memory()
    with ThreadPoolExecutor(1) as pool:
        wanted = any(
            "smoke" in item.fixturenames for item in request.session.items if isinstance(item, pytest.Function)
        )
        environment = os.environ.copy()  # tests/trainings starts a Ray at once, which names its own place for files
        running = pool.submit(orchestrate, *command, memory=memory, environment=environment) if wanted else None

        def finished() -> Smoke:
            assert running is not None
            return Smoke(runs_dir, running.result(), memory)

        yield finished


@pytest.fixture(scope="session")
def smoke(smoke_begun: Callable[[], Smoke]) -> Smoke:
    smoke = smoke_begun()
    assert smoke.finished.status == 0, smoke.finished.err
    return smoke


@pytest.fixture(scope="session")
def store() -> Iterator[str]:
    """The address of a server that speaks S3's protocol."""
    from moto.server import ThreadedMotoServer

    server: Any = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def bucket(store: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty bucket."""
    import boto3

    urlopen(Request(f"{store}/moto-api/reset", method="POST")).close()  # of what tests before this left
    for name, value in {
        "AWS_ENDPOINT_URL": store,
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="bucket")
    return "s3://bucket/some/where"
