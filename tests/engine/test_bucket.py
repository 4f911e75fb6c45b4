"""A run folder on S3 and its lock; moto's server speaks S3's protocol."""

import contextlib
import logging
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest
import torch

from orchestrator.engine import lock
from orchestrator.engine.bucket import AT_ONCE, Bucket, Changed
from orchestrator.engine.folder import Damaged, Unusable, digest
from orchestrator.engine.lock import Holder, holder, locked
from orchestrator.engine.records import Record, Records, Trial
from orchestrator.engine.results import Run
from orchestrator.engine.settings import UserError
from orchestrator.engine.stage import Worker
from orchestrator.engine.underway import train_all
from orchestrator.run import main
from tests.engine.toy import Nothing, Toy, begun
from trainables.epoch import Epoch


@pytest.fixture(autouse=True)
def _asks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


@pytest.fixture
def asked(bucket: str) -> Iterator[list[str]]:
    """The requests that the store got, by method and key."""
    lines: list[str] = []
    logger = logging.getLogger("werkzeug")

    class Counting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            method, path = record.getMessage().split('"')[1].split()[:2]
            lines.append(f"{method.rpartition('m')[2]} {path.removeprefix('/bucket').removeprefix('/some/where/')}")

    counting, level = Counting(), logger.level
    logger.addHandler(counting)
    logger.setLevel(logging.INFO)
    yield lines
    logger.removeHandler(counting)
    logger.setLevel(level)


def test_every_use_of_a_file_is_one_request(bucket: str, asked: list[str]) -> None:
    run = Run(bucket)
    asked.clear()
    run.write("a/b.bin", b"1" * 1000)
    run.read("a/b.bin")
    run.exists("a/b.bin")
    assert run.differing({"a/b.bin": digest(b"1" * 1000)}) == []
    run.delete("a/b.bin")
    with pytest.raises(FileNotFoundError):
        run.read("a/b.bin")
    run.delete("a/b.bin")
    assert asked == [f"{method} a/b.bin" for method in ("PUT", "GET", "HEAD", "GET", "DELETE", "GET", "DELETE")]


def test_files_on_s3_are_listed_moved_and_removed_as_on_a_disk(
    bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(bucket)
    for name in ("r/b.json", "r/a b+ü.json", "r/a.safetensors", "r/deeper/c.json", "other/d.json"):
        run.write(name, name.encode())
    assert run.list("r", ".json") == ["r/a b+ü.json", "r/b.json"]
    assert run.list("none", ".json") == []
    run.set_aside("r/a b+ü.json", "is damaged")
    kept = capsys.readouterr().err.split(f"{bucket}/")[1].strip()
    assert run.read(kept) == "r/a b+ü.json".encode()
    assert run.list("r", ".json") == ["r/b.json"]
    with pytest.raises(FileNotFoundError):
        run.set_aside("r/never.json", "is damaged")
    run.delete_folder("r")
    assert (run.list("r", ""), run.exists("r/deeper/c.json"), run.exists("other/d.json")) == ([], False, True)


def test_many_files_are_looked_at_side_by_side(bucket: str) -> None:
    together = threading.Barrier(AT_ONCE, timeout=10)
    assert len([*Run(bucket).each(lambda _: together.wait(), range(AT_ONCE))]) == AT_ONCE


def test_a_write_does_not_wait_until_many_files_are_looked_at(bucket: str) -> None:
    """A lock that is not written anew in time would be another's."""
    run, written = Run(bucket), threading.Event()
    found = run.each(lambda _: written.wait(10), range(2 * AT_ONCE))
    run.write("lock", b"")
    written.set()
    assert all(found)


def test_records_are_found_with_a_request_each_and_one_for_their_names(bucket: str, asked: list[str]) -> None:
    records = Records(Run(bucket), "toy")
    trials = [Trial(f"trial-{n}", Nothing(), n, epochs=1).addressed({}) for n in range(5)]
    rows = [{"epoch": 1.0, "seconds": 1.0}]
    for trial in trials:
        records.save(Record(trial.key, trial.config, trial.seed, "complete", rows, address=trial.address))
    asked.clear()
    assert all(records.find(trial, set_aside=True) for trial in trials)
    assert sum(line.startswith("GET records/toy/trial-") for line in asked) == 5
    assert len(asked) == 6
    records.folder.write(records.name(trials[2].address), b"cut o")
    again = Records(records.folder, "toy")
    assert [again.find(trial, set_aside=True) is not None for trial in trials] == [True, True, False, True, True]
    assert not again.folder.exists(again.name(trials[2].address))


class Kept(Toy):
    """Trainings of two epochs, whose weights are kept."""

    config = Nothing

    def train(self, trial: Trial[Nothing], data: Any, worker: Worker) -> Iterator[Epoch]:
        state = {"model": {"weight": torch.ones(2)}}
        return (Epoch(number, {"loss": 1.0}, lambda: state) for number in (1, 2))


def test_a_training_is_two_requests_and_all_else_as_many_however_many_trainings_there_are(
    bucket: str, asked: list[str]
) -> None:
    others = {}
    for number in (3, 30):
        asked.clear()
        folder, trials = (
            f"{bucket}/{number}",
            [Trial(f"trial-{n}", Nothing(), n, 2, keep_weights=True) for n in range(number)],
        )
        stage_run, _ = begun(folder, Kept(trials))
        while stage_run.study.waiting:
            told: list[dict[str, Any]] = []
            job = stage_run.start()
            train_all([job], None, Run(folder), Worker(), told.append)
            rows = [row for news in told for row in news["rows"]]
            stage_run.over(job.trial.key, rows, None, parts=told[-1]["parts"], checkpointed=False)
        stage_run.finish()
        of_trials = [line for line in asked if "records/toy/trial-" in line]
        assert sorted(of_trials) == sorted(
            f"PUT {number}/records/toy/{trial.address}{ending}"
            for trial in stage_run.study.trials
            for ending in (".json", ".safetensors")
        )
        others[number] = [
            line.replace(f"/{number}/", "/").replace(f" {number}/", " ") for line in asked if line not in of_trials
        ]
    assert others[3] == others[30]
    assert len(others[3]) < 20


def test_an_object_larger_than_such_a_file_can_be_is_not_fetched(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(bucket)
    run.write("manifest.json", b" " * 100)
    monkeypatch.setattr("orchestrator.engine.folder.MOST_BYTES", {".json": 99})
    with pytest.raises(Damaged, match=r"manifest.json has .* GB, and such a file at most"):
        run.read("manifest.json")
    assert run.differing({"manifest.json": digest(b" " * 100)}) == ["manifest.json"]


def test_a_large_file_is_one_request_too_and_nothing_unfinished_is_left(bucket: str, asked: list[str]) -> None:
    run = Run(bucket)
    asked.clear()
    run.write("big.bin", bytes(30 * 2**20))
    assert asked == ["PUT big.bin"]
    assert "Uploads" not in boto3.client("s3").list_multipart_uploads(Bucket="bucket")


def test_an_interrupt_at_any_moment_leaves_a_file_whole_or_as_it_was(bucket: str) -> None:
    """Ctrl-C in the middle of a write cut one file of three when the client's stream was closed on the way out."""
    run, dice = Run(bucket), random.Random(1)
    contents = {bytes([number]) * dice.choice([10, 1000, 300_000]) for number in range(30)}
    run.write("x.bin", b"")
    num_interrupted = 0
    for content in contents:
        timer = threading.Timer(dice.uniform(0, 0.02), os.kill, (os.getpid(), signal.SIGINT))
        try:
            timer.start()
            run.write("x.bin", content)
            timer.join()
            time.sleep(1)  # where the signal finds us at last
        except KeyboardInterrupt:
            num_interrupted += 1
        timer.join()
        assert run.read("x.bin") in contents | {b""}
    assert num_interrupted == len(contents)
    assert "Uploads" not in boto3.client("s3").list_multipart_uploads(Bucket="bucket")


def test_an_interrupted_write_has_ended_before_the_interrupt_goes_on(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(bucket)
    put: Any = run.files._client.put_object  # type: ignore[union-attr]

    def slow(**arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.5)
        return put(**arguments)

    monkeypatch.setattr(run.files._client, "put_object", slow)  # type: ignore[union-attr]
    with pytest.raises(KeyboardInterrupt):
        run.write("x.bin", b"whole")
    assert run.read("x.bin") == b"whole"


def test_what_is_cut_off_on_its_way_is_asked_for_again(monkeypatch: pytest.MonkeyPatch, bucket: str) -> None:
    class Cutting(BaseHTTPRequestHandler):
        num_asked = 0

        def do_GET(self) -> None:
            Cutting.num_asked += 1
            self.send_response(200)
            for name, value in {
                "Content-Length": "10",
                "ETag": '"a"',
                "Last-Modified": self.date_time_string(),
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"0123456789"[: 10 if Cutting.num_asked == 3 else 4])

    with served(Cutting, monkeypatch):
        assert Run(bucket).read("x") == b"0123456789"
    assert Cutting.num_asked == 3


@contextlib.contextmanager
def served(handler: type[BaseHTTPRequestHandler], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A store that answers so."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def refused(address: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a run on this store ends with."""
    assert main(["search", "--preset", "smoke", "--runs-dir", address]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "HTTP/1." not in line]
    assert line.startswith(f"error: {address}/smoke")
    return line


def test_bucket_that_is_missing_or_does_not_answer_is_one_line(
    bucket: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "bucket does not exist" in refused("s3://no-such-bucket/runs", capsys)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "Could not connect to the endpoint" in refused(bucket, capsys)


def test_keys_that_may_not_use_the_bucket_are_one_line_with_the_mend(
    bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    at_once = Request(f"{os.environ['AWS_ENDPOINT_URL']}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"})
    urlopen(at_once).close()  # from now on the server looks at who asks
    try:
        assert "InvalidAccessKeyId: " in (line := refused(bucket, capsys))
        assert "see that AWS_ACCESS_KEY_ID is right" in line
    finally:
        urlopen(Request(at_once.full_url, b"inf", {"Content-Type": "text/plain"})).close()


@pytest.mark.parametrize(
    ("code", "mend"),
    [
        ("ExpiredToken", "temporary keys have expired; renew them (aws sso login, say)"),
        (
            "AccessDenied",
            "these keys, or this machine's role, may not use the bucket; docs/cluster.md has the policy",
        ),
        ("SignatureDoesNotMatch", "see that AWS_SECRET_ACCESS_KEY is right"),
    ],
)
def test_what_the_store_refuses_is_one_line_with_the_mend(
    bucket: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, code: str, mend: str
) -> None:
    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = f"<Error><Code>{code}</Code><Message>No.</Message></Error>".encode()
            self.send_response(403)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    with served(Refusing, monkeypatch):
        assert f"{code}: No: {mend}" in refused(bucket, capsys)


def test_store_that_falls_silent_is_one_line_for_whatever_was_asked_of_it(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Run(bucket).write("table", b"content")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    silent = Run(bucket)
    asked: list[Callable[[], object]] = [
        lambda: silent.read("table"),
        lambda: silent.write("table", b""),
        lambda: silent.exists("table"),
        lambda: silent.delete("table"),
        lambda: silent.delete_folder("tables"),
        lambda: silent.list("tables", ""),
        lambda: silent.differing({"table": "digest"}),
        lambda: silent.set_aside("table", "is damaged"),
        lambda: holder(silent),
    ]
    for ask in asked:
        with pytest.raises(Unusable, match="Could not connect to the endpoint"):
            ask()


def test_no_keys_are_one_line(monkeypatch: pytest.MonkeyPatch, bucket: str) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:8")  # a client of its own
    with pytest.raises(Unusable, match="cannot be read: Unable to locate credentials"):
        Run(bucket).read("x")


@pytest.mark.parametrize("address", ["nonsense://bucket/x", "s3:///x", "file:///x", "gs://bucket/x"])
def test_an_address_that_is_none_is_one_line(address: str) -> None:
    with pytest.raises(UserError, match=f"^--runs-dir {address}: neither a folder nor an address like s3://bucket"):
        Run(address)


def someone(**changes: Any) -> Holder:
    elsewhere = Holder(host="elsewhere", process=1, since="just now", machine="another", number=7, token="theirs")
    return elsewhere.model_copy(update=changes)


def put(run: Run, who: Holder) -> None:
    run.write("lock", who.model_dump_json().encode())


def now(run: Run) -> Holder:
    return Holder.model_validate_json(run.read("lock"))


def test_a_lock_on_s3_is_counted_up_kept_and_given_back(bucket: str, asked: list[str]) -> None:
    run = Run(bucket)
    for number in (1, 2, 3):
        asked.clear()
        with locked(run):
            assert holder(Run(bucket)) == str(now(run))
            assert (now(run).number, now(run).process) == (number, os.getpid())
            refusal = rf"in use by process {os.getpid()} on .* end it \(a killed one's lock lapses after 60 s\), or"
            with pytest.raises(UserError, match=refusal), locked(Run(bucket)):
                raise AssertionError("two runs at it")
        assert holder(run) is None
        methods = [line.removesuffix(" lock") for line in asked]
        assert (methods[:2], methods[-3:]) == (["GET", "PUT"], ["GET", "PUT", "GET"])


def test_of_two_that_lock_at_the_same_moment_one_is_refused(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    look = lock._found

    def other_takes_it_after(run: Run, files: Bucket) -> Any:
        monkeypatch.setattr(lock, "_found", look)
        found = look(run, files)
        put(Run(bucket), someone())
        return found

    for before in (None, someone(process=0)):
        if before:
            put(Run(bucket), before)
        monkeypatch.setattr(lock, "_found", other_takes_it_after)
        with pytest.raises(UserError, match="in use by process 1 on elsewhere since just now"), locked(Run(bucket)):
            raise AssertionError("two runs at it")
        assert now(Run(bucket)) == someone()


def test_a_lock_whose_writing_is_not_answered_is_taken_all_the_same(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Bucket.write

    def unanswered(files: Bucket, name: str, content: bytes, **condition: str) -> str:
        write(files, name, content, **condition)
        monkeypatch.setattr(Bucket, "write", write)
        raise Changed  # the client asked again, and found what it had written

    monkeypatch.setattr(Bucket, "write", unanswered)
    run = Run(bucket)
    with locked(run):
        assert now(Run(bucket)).process == os.getpid()
        run.write("manifest.json", b"{}")
        monkeypatch.setattr(lock, "UNSURE_SECONDS", -1)  # so that it beats before it writes
        monkeypatch.setattr(Bucket, "write", unanswered)
        run.write("manifest.json", b"{} ")
    assert run.read("manifest.json") == b"{} "


def test_a_killed_process_s_lock_is_none_but_for_one_of_another_container(bucket: str) -> None:
    run = Run(bucket)
    dead = 2**22 + 1  # more than Linux gives out
    put(run, someone(process=dead, machine=lock._machine()))
    assert holder(run) is None
    put(run, someone(process=dead, host="this very name"))
    assert holder(run) == f"process {dead} on this very name since just now"


def test_a_folder_that_was_copied_from_a_disk_is_nobody_s(bucket: str, tmp_path: Path) -> None:
    with locked(Run(tmp_path / "smoke")):
        pass
    run = Run(bucket)
    run.write("lock", (tmp_path / "smoke/lock").read_bytes())
    assert holder(run) is None
    with locked(run):
        pass
    assert now(run).number == 1


def test_a_lock_that_is_not_written_anew_is_stale_by_the_store_s_clock(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(bucket)
    put(run, someone())
    monkeypatch.setattr("orchestrator.engine.bucket.datetime", None)  # this host's is not asked
    assert holder(run)
    monkeypatch.setattr(lock, "STALE_SECONDS", 0)
    with locked(run):
        assert now(run).number == 8


def test_one_that_slept_while_another_took_its_lock_writes_nothing_and_leaves_the_lock(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeper, other = Run(bucket), Run(bucket)

    def sleep() -> None:
        with locked(sleeper):
            sleeper.write("x", b"ours")
            put(other, someone())
            sleeper.write("x", b"ours, a moment later")
            monkeypatch.setattr(lock, "UNSURE_SECONDS", -1)  # and now it has slept
            sleeper.write("x", b"of the one that slept")

    with pytest.raises(Unusable, match=r"no longer this run's: process 1 on elsewhere .* has taken it; what"):
        sleep()
    assert other.read("x") == b"ours, a moment later"
    assert now(other) == someone()
    with pytest.raises(Unusable):
        sleeper.write("x", b"of a thread that does not know yet")


def test_a_run_whose_lock_is_taken_is_stopped_in_the_midst(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.05)

    def train(change: Callable[[Run], None]) -> None:
        with locked(Run(bucket)):
            change(Run(bucket))
            time.sleep(10)

    for change in (lambda run: put(run, someone()), lambda run: run.delete("lock")):
        started = time.monotonic()
        with pytest.raises(Unusable, match="no longer this run's"):
            train(change)
        assert time.monotonic() - started < 5
        Run(bucket).delete("lock")


def test_beats_keep_a_lock_and_an_interrupt_is_one(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.05)
    run = Run(bucket)

    def train() -> None:
        with locked(run):
            before = now(run)
            time.sleep(0.5)
            assert now(run) == before
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    assert now(run).process == 0


def test_a_store_that_does_not_answer_a_beat_is_asked_again(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.05)
    find, failures = Bucket.find, iter(range(3))

    def failing(files: Bucket, name: str, most: int) -> Any:
        if next(failures, None) is not None:
            raise OSError("the network is down")
        return find(files, name, most)

    with locked(Run(bucket)) as _:
        monkeypatch.setattr(Bucket, "find", failing)
        time.sleep(0.5)
        Run(bucket).write("x", b"")
    assert next(failures, None) is None
    assert holder(Run(bucket)) is None
