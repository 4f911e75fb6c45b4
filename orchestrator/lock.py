"""Keeps a second run away from a run folder that is in use."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.config import UserError
from orchestrator.results import WRITING, Run

NAME = "lock"
BEAT_SECONDS = 10
STALE_SECONDS = 60
"""Without a beat, a lock on S3 is one whose process was killed."""


@contextlib.contextmanager
def locked(run: Run) -> Iterator[None]:
    """The run folder for this process alone, for as long as the context lasts.

    On a disk the system holds the lock and lets go of it when the process ends, however that ends. On S3 it is an
    object that is written anew every few seconds; where that ceased, the lock is stale.

    Raises:
        UserError: another process is at it, or the folder cannot be written.
    """
    with _on_disk(run) if run.is_local else _on_s3(run):
        yield


@contextlib.contextmanager
def _on_disk(run: Run) -> Iterator[None]:
    path = run.path(NAME)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(f"the run folder {run.location} cannot be written: {error.strerror}") from None
    with open(handle, "r+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _in_use(run, file.read()) from None
        file.truncate(0)
        file.write(_me())
        file.flush()
        for leftover in Path(run.absolute).glob(f"[!r]*/**/{WRITING}*"):
            leftover.unlink(missing_ok=True)
        yield


@contextlib.contextmanager
def _on_s3(run: Run) -> Iterator[None]:
    mine, over = _me(), threading.Event()
    age = run.age_seconds(NAME)
    if age is not None and age < STALE_SECONDS:
        raise _in_use(run, run.read(NAME).decode())
    run.write(NAME, mine.encode())

    def beat() -> None:
        while not over.wait(BEAT_SECONDS):
            with contextlib.suppress(OSError):
                run.write(NAME, mine.encode())

    threading.Thread(target=beat, name="lock", daemon=True).start()
    try:
        yield
    finally:
        over.set()
        run.delete(NAME)


def _me() -> str:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return json.dumps({"host": socket.gethostname(), "process": os.getpid(), "since": since})


def _in_use(run: Run, holder: str) -> UserError:
    try:
        who = "process {process} on {host} since {since}".format(**json.loads(holder))
    except (ValueError, KeyError, TypeError):
        who = "another process"
    return UserError(f"{run.location} is in use by {who}: wait for it or end it, or choose another --name")
