"""Where no worker can start, a run ends with Ray's reason, and nothing counts as failed; through real Ray."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.engine import cluster, waiting
from orchestrator.engine.beat import interrupt
from orchestrator.engine.execute import run
from orchestrator.engine.records import Trial
from orchestrator.engine.settings import UserError
from tests.command import REPOSITORY
from tests.engine.toy import Nothing, Toy, book, suite


@pytest.mark.parametrize("shared", [False, pytest.param(True, marks=pytest.mark.long)])
def test_run_whose_workers_cannot_start_ends_with_ray_s_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    monkeypatch.setenv("RAY_worker_register_timeout_seconds", "2")
    monkeypatch.setattr(waiting, "OWN_SECONDS", 6)
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 1)
    monkeypatch.setattr(cluster, "_runtime_env", lambda: {"py_executable": "/nowhere/my projects/python"})
    toy = Toy([Trial("trial", Nothing(), 1, 1, cost=1)], shared=shared, config=Nothing)
    of_toy = book(suite(toy), tmp_path / "toy", address="local")
    with pytest.raises(UserError, match=r"Ray starts no worker on this machine: .*/nowhere/my: No such file"):
        run(of_toy, ["toy"])
    assert not list(tmp_path.rglob("records/**/*.json"))
    assert any("No such file" in path.read_text() for path in (tmp_path / "toy" / "ray" / "logs").iterdir())


def interrupt_and_wait() -> None:
    interrupt()
    time.sleep(5)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_main_thread_is_interrupted_by_what_it_listens_to_and_else_not(number: int) -> None:
    before = {it: signal.signal(it, signal.SIG_DFL) for it in (signal.SIGINT, signal.SIGTERM)}
    try:
        interrupt()  # by default either would end this process
        signal.signal(number, signal.default_int_handler)
        with pytest.raises(KeyboardInterrupt):
            interrupt_and_wait()
    finally:
        for it, handler in before.items():
            signal.signal(it, handler)


ENDING = """
import signal, sys, time
from orchestrator.engine import beat

beat.end_when_interrupted("interrupted", 1)
lost, own, other = (part == sys.argv[1] for part in ("lost", "own", "other"))
if lost:
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.raise_signal(signal.SIGINT)
elif own:
    try:
        beat.interrupt()
        time.sleep(5)
    except KeyboardInterrupt:
        print("heeded")
elif other:
    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.raise_signal(signal.SIGUSR1)
time.sleep(3)
"""


@pytest.mark.parametrize(
    ("what", "expected"),
    [("lost", (130, "", "interrupted\n")), ("own", (0, "heeded\n", "")), ("other", (0, "", ""))],
)
def test_an_interrupt_ends_a_process_also_where_python_has_lost_it(what: str, expected: tuple[int, str, str]) -> None:
    done = subprocess.run([sys.executable, "-c", ENDING, what], cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == expected
