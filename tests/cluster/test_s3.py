"""A run folder on S3: moto's server speaks its protocol, real Ray and the real command use it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.request import Request, urlopen

import pytest

from orchestrator.engine import lock
from orchestrator.engine.compare import differences
from orchestrator.engine.folder import Unusable
from orchestrator.engine.results import Run
from orchestrator.engine.settings import UserError
from orchestrator.run import main
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


def test_bucket_that_is_missing_or_does_not_answer_is_one_line(
    bucket: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "bucket does not exist" in refused("s3://no-such-bucket/runs", capsys)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "Could not connect to server" in refused(bucket, capsys)


def test_keys_that_may_not_use_the_bucket_are_one_line_with_the_mend(
    bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    at_once = Request(f"{os.environ['AWS_ENDPOINT_URL']}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"})
    urlopen(at_once).close()  # from now on the server looks at who asks
    try:
        line = refused(bucket, capsys)
        assert "may not use the bucket; docs/cluster.md has the policy" in line
    finally:
        urlopen(Request(at_once.full_url, b"inf", {"Content-Type": "text/plain"})).close()


def test_expired_keys_are_one_line_with_the_mend(
    bucket: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Expired(BaseHTTPRequestHandler):
        """Answers what S3 answers to HEAD with an expired token; moto knows of none."""

        def do_HEAD(self) -> None:
            self.send_response(400)
            self.end_headers()

    store = ThreadingHTTPServer(("127.0.0.1", 0), Expired)
    Thread(target=store.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{store.server_port}")
    try:
        assert "may have expired; renew them" in refused(bucket, capsys)
    finally:
        store.shutdown()
        store.server_close()


def test_store_that_falls_silent_is_one_line_for_whatever_was_asked_of_it(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Run(bucket).write("table", b"content")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    silent = Run(bucket)
    asked: list[Callable[[], object]] = [
        lambda: silent.read("table"),
        lambda: silent.exists("table"),
        lambda: silent.delete("table"),
        lambda: silent.delete_folder("tables"),
        lambda: silent.list("tables", ""),
        lambda: list(silent.differing({"table": "digest"})),
        lambda: silent.set_aside("table", "is damaged"),
    ]
    for ask in asked:
        with pytest.raises(Unusable, match="Could not connect to server"):
            ask()


def test_of_two_that_lock_at_the_same_moment_one_is_refused(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    other = b'{"host": "elsewhere", "process": 1, "since": "just now"}'
    monkeypatch.setattr(lock.time, "sleep", lambda seconds: Run(bucket).write("lock", other))
    with pytest.raises(UserError, match="in use by process 1 on elsewhere since just now"), lock.locked(Run(bucket)):
        raise AssertionError("two runs at it")
    assert Run(bucket).read("lock") == other


def test_lock_that_is_written_anew_is_none_of_a_killed_process_whatever_the_clock_says(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 3)
    age = Run.age_seconds
    monkeypatch.setattr(Run, "age_seconds", lambda run, name: (age(run, name) or 0) + 3600)  # by this host's clock
    with lock.locked(Run(bucket)):
        assert lock.holder(Run(bucket)) is None
        with pytest.raises(UserError, match="in use by process"), lock.locked(Run(bucket)):
            raise AssertionError("two runs at it")
    Run(bucket).write("lock", b'{"host": "elsewhere", "process": 1, "since": "just now"}')
    with lock.locked(Run(bucket)):
        pass


def refused(address: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a run on this store ends with."""
    assert main(["search", "--preset", "smoke", "--runs-dir", address]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "HTTP/1.1" not in line]
    assert line.startswith(f"error: {address}/smoke")
    return line
