"""Keeps a second run away from a run folder that is in use."""

import contextlib
import fcntl
import os
import secrets
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from orchestrator.engine.beat import every, interrupt
from orchestrator.engine.bucket import Bucket, Changed, Object
from orchestrator.engine.disk import Disk, Irregular
from orchestrator.engine.folder import Damaged, Folder, Unusable
from orchestrator.engine.settings import UserError
from orchestrator.engine.shown import shown

NAME = "lock"
SCRATCH = "ray"
"""The folder in a run folder that other programs write in."""
MOST_BYTES = 2**12
BEAT_SECONDS = 10
STALE_SECONDS = 60
"""Without a beat, a lock on S3 is one whose process was killed."""
UNSURE_SECONDS = 30
"""After which a process that could not beat, since it slept say, looks whose the lock is before it writes."""


class Holder(BaseModel):
    """Who is at a run folder, as the lock says."""

    host: str = Field(max_length=255)
    process: int = Field(ge=0, lt=2**31)
    """0 where nobody is any more."""
    since: str = Field(max_length=64)
    machine: str = ""
    """What its process number counts on: a container has a host's name, and another's numbers."""
    number: int = Field(default=0, ge=0)
    """Counts who had the lock on S3."""
    token: str = ""
    """Tells apart two that have the same number."""

    def __str__(self) -> str:
        return shown(f"process {self.process} on {self.host} since {self.since}")

    @property
    def is_gone(self) -> bool:
        """Whether its process is known to have ended."""
        return self.process == 0 or (self.machine == _machine() and not _lives(self.process))


@contextlib.contextmanager
def locked(folder: Folder) -> Iterator[None]:
    """The run folder for this process alone, for as long as the context lasts.

    On a disk the system holds the lock and lets go of it when the process ends, however that ends. On S3 it is an
    object that is written anew every few seconds; where that ceased, the lock is stale, and another process may take
    it. The one that had it notices, stops as with Ctrl-C, and writes nothing more. What threads still compute once
    the context is left is not written either. UserError where another process is at it, or the folder cannot be
    written.
    """
    files = folder.files
    with _on_disk(folder, files) if isinstance(files, Disk) else _on_s3(folder, files) as folder.before_writing:
        try:
            yield
        finally:
            folder.before_writing = partial(_refuse, folder)


def _refuse(folder: Folder) -> None:
    raise Unusable(f"{folder.location} is written no more by a command that is over; what was finished is kept")


def holder(folder: Folder) -> str | None:
    """Who is at the run folder, in words; None where nobody is."""
    if isinstance(folder.files, Bucket):
        return _in_words(_found(folder, folder.files))
    try:
        with _reading(folder), open(folder.files.open(NAME), "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None
            except BlockingIOError:
                return str(_parsed(file.read(MOST_BYTES)) or "another process")
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def _reading(folder: Folder) -> Iterator[None]:
    try:
        with folder.reading(NAME):
            yield
    except (Damaged, IsADirectoryError) as error:
        raise UserError(f"{folder.location}: {error}: remove it, and give the same command again") from None


@contextlib.contextmanager
def _on_disk(folder: Folder, disk: Disk) -> Iterator[Callable[[], None]]:
    with folder.changing(NAME, "written"):
        handle = disk.open(NAME, os.O_RDWR | os.O_CREAT)
    with open(handle, "r+b") as file:
        with folder.changing(NAME, "written"):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _in_use(folder, str(_parsed(file.read(MOST_BYTES)) or "another process")) from None
            file.truncate(0)
            file.write(_me().model_dump_json().encode())
            file.flush()
            disk.clear(SCRATCH)
        try:
            yield lambda: None
        finally:
            with contextlib.suppress(OSError):
                file.truncate(0)  # a copy of the folder is nobody's


@contextlib.contextmanager
def _on_s3(folder: Folder, bucket: Bucket) -> Iterator[Callable[[], None]]:
    before = _found(folder, bucket)
    if who := _in_words(before):
        raise _in_use(folder, who)
    held = _Held(folder, bucket, before)
    try:
        with every(BEAT_SECONDS, held.beat):
            yield held.check
    except KeyboardInterrupt:
        if held.lost:
            raise held.lost from None
        raise
    finally:
        held.release()


class _Held:
    """A lock on S3 that this process has, until it finds it to be another's."""

    def __init__(self, folder: Folder, bucket: Bucket, before: Object | None) -> None:
        self._folder, self._bucket = folder, bucket
        number = (_parsed(before.content) or _me()).number if before else 0
        self._mine = _me().model_copy(update={"number": number + 1, "token": secrets.token_hex(8)})
        self.lost: Unusable | None = None
        """Why nothing may be written any more."""
        self._beating, self._latest = threading.Lock(), _awake_and_asleep()
        self._waits = threading.current_thread() is threading.main_thread()
        try:
            with folder.changing(NAME, "written"):
                self._write(self._mine, before)
        except Changed:
            now = _found(folder, bucket)
            if now is None or _parsed(now.content) != self._mine:  # it is where only the answer was lost
                raise _in_use(folder, _in_words(now) or "another process") from None

    def beat(self) -> None:
        """Write the lock anew, unless it is another's by now; what the network refuses is tried again."""
        with contextlib.suppress(OSError), self._beating:
            if self.lost is None:
                self._look(self._mine)

    def check(self) -> None:
        """See that the lock is still this process's: its last beat is not long ago, or it can beat now."""
        with self._folder.changing(NAME, "written"), self._beating:
            if self.lost is None and _awake_and_asleep() - self._latest > UNSURE_SECONDS:
                self._look(self._mine)
        if self.lost:
            raise self.lost

    def release(self) -> None:
        """Say that nobody is at the folder any more; a lock that is another's stays."""
        with contextlib.suppress(OSError), self._beating:  # it is stale soon
            if self.lost is None:
                self._waits = False
                self._look(self._mine.model_copy(update={"process": 0}))

    def _look(self, then: Holder) -> None:
        try:
            found = self._bucket.find(NAME, MOST_BYTES)
            who = _parsed(found.content)
            if who == self._mine:
                try:
                    self._write(then, found)
                    return
                except Changed:
                    who = _parsed(self._bucket.find(NAME, MOST_BYTES).content)
                    if who == then:  # it was written, and only the answer was lost
                        return
        except (FileNotFoundError, Changed, Irregular):
            who = None
        by = f"{who} has taken it" if who else "another process has taken it, or removed the lock"
        self.lost = Unusable(f"{self._folder.location} is no longer this run's: {by}; what was finished is kept")
        if self._waits:
            interrupt()

    def _write(self, who: Holder, over: Object | None) -> None:
        condition = {"IfMatch": over.tag} if over else {"IfNoneMatch": "*"}
        asked = _awake_and_asleep()
        try:
            self._bucket.write(NAME, who.model_dump_json().encode(), **condition)
        except FileNotFoundError:
            raise Changed from None
        self._latest = asked


def _found(folder: Folder, bucket: Bucket) -> Object | None:
    try:
        with _reading(folder):
            return bucket.find(NAME, MOST_BYTES)
    except FileNotFoundError:
        return None


def _in_words(found: Object | None) -> str | None:
    """Who has a lock on S3; None where nobody has."""
    if found is None or not found.content or found.age_seconds >= STALE_SECONDS:
        return None
    who = _parsed(found.content)
    return None if who and who.is_gone else str(who or "another process")


def _parsed(content: bytes) -> Holder | None:
    try:
        return Holder.model_validate_json(content)
    except ValidationError:
        return None


def _awake_and_asleep() -> float:
    """Seconds on a clock that goes on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return True


def _machine() -> str:
    with contextlib.suppress(OSError):
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    return f"{socket.gethostname()} {uuid.getnode()}"


def _me() -> Holder:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return Holder(host=socket.gethostname(), process=os.getpid(), since=since, machine=_machine())


def _in_use(folder: Folder, who: str) -> UserError:
    lapses = "" if folder.is_local else f" (a killed one's lock lapses after {STALE_SECONDS} s)"
    return UserError(f"{folder.location} is in use by {who}: wait for it or end it{lapses}, or choose another --name")
