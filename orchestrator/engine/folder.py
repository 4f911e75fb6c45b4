"""A folder on a local disk or on S3 whose files are written whole or not at all, and whose damage is noticed."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from orchestrator.engine.bucket import Bucket
from orchestrator.engine.disk import Disk, Irregular
from orchestrator.engine.settings import UserError
from orchestrator.engine.shown import shown

Item = TypeVar("Item")
Found = TypeVar("Found")
GO_ON = "mend that, and give the same command again"
"""How messages end where the machine is at fault."""
_FIGURES = (".png", ".svg", ".pdf", ".gif")
MOST_BYTES = {".json": 2**26, ".html": 2**30, ".parquet": 2**30, **dict.fromkeys(_FIGURES, 2**28)}
"""No file is larger, by its ending; `MOST_OF_ALL` of all others."""
MOST_OF_ALL = 2**32


class Damaged(Exception):
    """A file of the run folder is not what was written to it."""


class Unusable(UserError):
    """The run folder takes or gives no files, for want of space, rights or network; what was finished is kept."""


def digest(content: bytes) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def beginning(content: bytes) -> str:
    """The same of a file that others may add to: the digest of what it begins with, and how long that is."""
    return f"{digest(content)}+{len(content)}"


def _is(content: bytes, expected: str) -> bool:
    sealed, _, size = expected.partition("+")
    return digest(content[: int(size)] if re.fullmatch("[0-9]{1,10}", size) else content) == sealed


def is_sound(name: str) -> bool:
    """Whether this is a name of a file in a run folder: it leads nowhere else, and has nothing that is not seen."""
    return name.isprintable() and "\\" not in name and not {"", ".", ".."}.intersection(name.split("/"))


class Folder:
    """A folder, named as "runs/paper" or "s3://bucket/runs/paper".

    Every file is written whole or not at all: on a disk under a temporary name that is then renamed, on S3 with
    one put. What was damaged since is noticed: sealed files carry a SHA-256 over name and content. No name leads out
    of the folder, no link in it is followed, and no file is read that is larger than such a file can be.

    Whatever reads a file raises FileNotFoundError where there is none and Damaged where what has this name is no
    file or, of a sealed one, not what was written under this name; what the system refuses, for want of space, rights
    or network, is Unusable. A name that is none of a file in a folder is a ValueError.
    """

    def __init__(self, location: str | Path) -> None:
        self.location = str(location)
        """As it was given."""
        self.is_local = "://" not in self.location
        self.say: Callable[[str], None] = lambda line: print(shown(line), file=sys.stderr)
        """Tells the user something in a line."""
        self.before_writing: Callable[[], None] = lambda: None
        """Raises where nothing may be written any more."""
        try:
            self.files: Disk | Bucket
            if self.is_local:
                self._root = os.path.abspath(self.location)
                self.files = Disk(self._root)
            else:
                self._root, self.files = self.location.rstrip("/"), Bucket(self.location)
        except (OSError, ValueError) as error:
            raise UserError(f"--runs-dir {self.location}: {reason(error)}") from None

    @property
    def absolute(self) -> str:
        """The location as another process finds it, wherever that runs."""
        return self._root if self.is_local else self.location

    def path(self, name: str) -> str:
        """Where a file of the folder is, for people and other programs."""
        return f"{self._root}/{_sound(name)}"

    @contextlib.contextmanager
    def reading(self, name: str) -> Iterator[None]:
        """What is no file is Damaged, what the system refuses Unusable; FileNotFoundError passes."""
        try:
            yield
        except Irregular as error:
            raise Damaged(f"{name} {error}") from None
        except (FileNotFoundError, IsADirectoryError):
            raise
        except OSError as error:
            raise self._refused(name, "read", error) from None

    @contextlib.contextmanager
    def changing(self, name: str, what: str) -> Iterator[None]:
        """Whatever is in the way, in a line: Unusable."""
        try:
            yield
        except Irregular as error:
            raise Unusable(f"{self.location}/{name} cannot be {what}: it {error}; {GO_ON}") from None
        except OSError as error:
            raise self._refused(name, what, error) from None

    def _refused(self, name: str, what: str, error: Exception) -> Unusable:
        return Unusable(f"{self.location}/{name} cannot be {what}: {shown(reason(error))}; {GO_ON}")

    def exists(self, name: str) -> bool:
        """Whether the folder has this file."""
        with self.reading(name):
            return self.files.is_file(_sound(name))

    def read(self, name: str) -> bytes:
        """Content of a file."""
        try:
            with self.reading(name):
                return self.files.read(_sound(name), _most(name))
        except IsADirectoryError as error:
            raise self._refused(name, "read", error) from None

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all; on a disk it is there for good when this returns."""
        self.before_writing()
        if len(content) > _most(name):
            raise ValueError(f"{name} would have {len(content)} bytes, and such a file has at most {_most(name)}")
        with self.changing(name, "written"):
            self.files.write(_sound(name), content)

    def free_bytes(self) -> int | None:
        """Space left on the folder's disk; None on S3."""
        folder = self._root
        while self.is_local and not os.path.exists(folder):
            folder = os.path.dirname(folder)
        return shutil.disk_usage(folder).free if self.is_local else None

    def check_space(self, needed: float = 2**20) -> None:
        """See that a disk has this many bytes left; else Unusable."""
        free = self.free_bytes()
        if free is not None and free < needed:
            gigabytes = f"{free / 1e9:.2g} GB left and needs {needed / 1e9:.2g}"
            raise Unusable(f"the disk of {self.location} has {gigabytes}; {GO_ON}")

    def delete(self, name: str) -> None:
        """Remove a file; nothing happens where there is none."""
        with self.changing(name, "deleted"):
            self.files.delete(_sound(name))

    def delete_folder(self, folder: str) -> None:
        """Remove a folder with all that it holds; nothing happens where there is none."""
        with self.changing(folder, "deleted"):
            self.files.delete_folder(_sound(folder))

    def read_sealed(self, name: str) -> bytes:
        """Content of a file that `write_sealed` wrote."""
        seal, _, content = self.read(name).partition(b"\n")
        if seal != digest(f"{name}\n".encode() + content).encode():
            raise Damaged(f"{name} is damaged")
        return content

    def write_sealed(self, name: str, content: bytes) -> None:
        """Write a file whose damage is noticed: a line with its SHA-256, over name and content, then the content."""
        self.write(name, digest(f"{name}\n".encode() + content).encode() + b"\n" + content)

    def read_json(self, name: str) -> dict[str, Any]:
        """Content of a file that `write_json` wrote."""
        try:
            content: dict[str, Any] = json.loads(self.read(name))
            if content.pop("sha256") == _json_seal(name, content):
                return content
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            pass
        raise Damaged(f"{name} is damaged")

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write an object as JSON, with a SHA-256 over name and content in it."""
        plain = json.loads(json.dumps(content))
        self.write(name, json.dumps(plain | {"sha256": _json_seal(name, plain)}, indent=1).encode())

    def set_aside(self, name: str, why: str) -> None:
        """Move what has a damaged file's name under quarantine/ and say so; FileNotFoundError where that is gone."""
        kept = f"quarantine/{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}/{name}"
        try:
            self.files.move(_sound(name), kept)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._refused(name, f"moved to {kept}", error) from None
        self.say(f"{name} {why}; set aside as {self.location}/{kept}")

    def differing(self, files: Mapping[str, str]) -> list[str]:
        """Which of these files, by name with their SHA-256, are missing or are not what was written."""
        return [name for name, differs in zip(files, self.each(self._differs, files.items()), strict=True) if differs]

    def _differs(self, file: tuple[str, str]) -> bool:
        name, expected = file
        try:
            with self.reading(name):
                if "+" in expected:
                    return not _is(self.files.read(_sound(name), _most(name)), expected)
                return self.files.digest(_sound(name), _most(name)) != expected
        except (FileNotFoundError, IsADirectoryError, Damaged):
            return True

    def as_written(self, files: Mapping[str, str]) -> dict[str, bytes]:
        """Contents of those of these files, by name with their SHA-256, that are what was written."""
        contents = zip(files, self.each(self._as_written, files.items()), strict=True)
        return {name: content for name, content in contents if content is not None}

    def _as_written(self, file: tuple[str, str]) -> bytes | None:
        name, expected = file
        try:
            with self.reading(name):
                content = self.files.read(_sound(name), _most(name))
            return content if _is(content, expected) else None
        except (FileNotFoundError, IsADirectoryError, Damaged):
            return None

    def has_grown(self, name: str, content: bytes, before: str) -> bool:
        """Whether a file is this content, with additions or none.

        What was added to another content, whose `beginning` was `before`, is set aside: it is to be overwritten.
        """
        with contextlib.suppress(FileNotFoundError, Damaged):
            there = self.read(name)
            if there.startswith(content):
                return True
            if "+" in before and _is(there, before) and beginning(there) != before:
                self.set_aside(name, "has additions to what is written anew")
        return False

    def each(self, look: Callable[[Item], Found], items: Iterable[Item]) -> Iterable[Found]:
        """What is found by looking at each, in order; many at once where a look is a request."""
        return self.files.each(look, items)

    def list(self, folder: str, suffix: str) -> list[str]:
        """Names, sorted and relative to the run folder, of a folder's files that end with `suffix`."""
        with self.reading(folder):
            names = (f"{folder}/{name}" for name in self.files.list(_sound(folder)) if name.endswith(suffix))
            return sorted(filter(is_sound, names))


def _sound(name: str) -> str:
    if not is_sound(name):
        raise ValueError(f"{name!a} is no name of a file in a run folder")
    return name


def _most(name: str) -> int:
    return MOST_BYTES.get(PurePosixPath(name).suffix, MOST_OF_ALL)


def _json_seal(name: str, content: Mapping[str, Any]) -> str:
    return digest(f"{name}\n{json.dumps(content, sort_keys=True)}".encode())


def reason(error: Exception) -> str:
    """Why the system refused, as one short line."""
    return " ".join((getattr(error, "strerror", None) or str(error)).split())[:300]
