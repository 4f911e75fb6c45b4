"""Keeps a second run away from a run folder that is in use."""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.engine.beat import every
from orchestrator.engine.folder import WRITING, Folder
from orchestrator.engine.settings import UserError

NAME = "lock"
BEAT_SECONDS = 10
SETTLE_SECONDS = 1
"""After which, of two that took a lock on S3 at the same moment, both know whose it is."""
STALE_SECONDS = 60
"""Without a beat, a lock on S3 is one whose process was killed."""


def locked(folder: Folder) -> AbstractContextManager[None]:
    """The run folder for this process alone, for as long as the context lasts.

    On a disk the system holds the lock and lets go of it when the process ends, however that ends. On S3 it is an
    object that is written anew every few seconds; where that ceased, the lock is stale. UserError where another
    process is at it, or the folder cannot be written.
    """
    return _on_disk(folder) if folder.is_local else _on_s3(folder)


def holder(folder: Folder, *, watch: bool = False) -> str | None:
    """Who is at the run folder, in words; None where nobody is.

    How old a lock on S3 is depends on this host's clock. With `watch`, a stale one is seen not to be written.
    """
    try:
        content = folder.read(NAME)
    except FileNotFoundError:
        return None
    if folder.is_local:
        with open(folder.path(NAME), "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None
            except OSError:
                pass
    try:
        who = json.loads(content)
        if who["host"] == socket.gethostname() and not _lives(who["process"]):
            return None
        found = "process {process} on {host} since {since}".format(**who)
    except (ValueError, KeyError, TypeError):
        found = "another process"
    return found if folder.is_local or not _is_stale(folder, watch=watch) else None


@contextlib.contextmanager
def _on_disk(folder: Folder) -> Iterator[None]:
    path = folder.path(NAME)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(f"the run folder {folder.location} cannot be written: {error.strerror}") from None
    with open(handle, "r+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.truncate(0)
            file.write(_me())
            file.flush()
        except BlockingIOError:
            raise _in_use(folder, holder(folder)) from None
        except OSError as error:
            raise UserError(f"the run folder {folder.location} cannot be locked: {error.strerror}") from None
        for leftover in Path(folder.absolute).rglob(f"{WRITING}*"):
            leftover.unlink(missing_ok=True)
        yield


@contextlib.contextmanager
def _on_s3(folder: Folder) -> Iterator[None]:
    mine = _me().encode()
    if who := holder(folder, watch=True):
        raise _in_use(folder, who)
    folder.write(NAME, mine)
    time.sleep(SETTLE_SECONDS)
    if folder.read(NAME) != mine:
        raise _in_use(folder, holder(folder))

    def write_again() -> None:
        with contextlib.suppress(UserError):
            folder.write(NAME, mine)

    try:
        with every(BEAT_SECONDS, write_again):
            yield
    finally:
        with contextlib.suppress(UserError):  # it is stale soon
            folder.delete(NAME)


def _is_stale(folder: Folder, *, watch: bool) -> bool:
    age = folder.age_seconds(NAME)
    if not watch or age is None or age < STALE_SECONDS:
        return age is None or age >= STALE_SECONDS
    watched = 1.5 * BEAT_SECONDS
    time.sleep(watched)
    later = folder.age_seconds(NAME)
    return later is None or later - age > watched / 2


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return True


def _me() -> str:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return json.dumps({"host": socket.gethostname(), "process": os.getpid(), "since": since})


def _in_use(folder: Folder, who: str | None) -> UserError:
    return UserError(f"{folder.location} is in use by {who}: wait for it or end it, or choose another --name")
