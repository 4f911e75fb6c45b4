"""A folder on a local disk or on S3 whose files are written whole or not at all, and whose damage is noticed."""

import contextlib
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pyarrow import fs

from orchestrator.engine.settings import UserError

WRITING = ".writing-"
"""How the names of files begin that are being written, or were when their process was killed."""
GO_ON = "mend that, and give the same command again"
"""How messages end where the machine is at fault."""


class Damaged(Exception):
    """A file of the run folder is not what was written to it."""


class Unusable(UserError):
    """The run folder takes or gives no files, for want of space, rights or network; what was finished is kept."""


def digest(content: bytes) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


class Folder:
    """A folder, named as "runs/paper" or "s3://bucket/runs/paper".

    Every file is written whole or not at all: on a disk under a temporary name that is then renamed, on S3 with
    one put. What was damaged since is noticed: sealed files carry a SHA-256 over name and content.

    Whatever reads a file raises FileNotFoundError where there is none and, of a sealed one, Damaged where it is not
    what was written under this name; what the system refuses, for want of space, rights or network, is Unusable.
    """

    def __init__(self, location: str | Path) -> None:
        self.location = str(location)
        """As it was given."""
        self.is_local = "://" not in self.location
        self.say: Callable[[str], None] = lambda line: print(line, file=sys.stderr)
        """Tells the user something in a line."""
        try:
            if self.is_local:
                self._root = os.path.abspath(self.location)
                self._files: fs.FileSystem = fs.LocalFileSystem()
            else:
                self._files, self._root = fs.FileSystem.from_uri(self.location)
        except (OSError, ValueError) as error:
            raise UserError(f"--runs-dir {self.location}: {reason(error)}") from None

    @property
    def absolute(self) -> str:
        """The location as another process finds it, wherever that runs."""
        return self._root if self.is_local else self.location

    def path(self, name: str) -> str:
        """Absolute path on the file system, or bucket and key, of a file in the folder."""
        return f"{self._root}/{name}"

    @contextlib.contextmanager
    def _refusing(self, name: str, what: str = "read") -> Iterator[None]:
        """What the system refuses, in a line; that there is no such file to read is for the caller to know."""
        try:
            yield
        except OSError as error:
            if what == "read" and isinstance(error, FileNotFoundError | IsADirectoryError):
                raise
            raise Unusable(f"{self.location}/{name} cannot be {what}: {reason(error)}; {GO_ON}") from None

    def _info(self, name: str) -> fs.FileInfo:
        with self._refusing(name):
            return self._files.get_file_info(self.path(name))

    def exists(self, name: str) -> bool:
        """Whether the folder has this file."""
        return bool(self._info(name).is_file)

    def read(self, name: str) -> bytes:
        """Content of a file."""
        with self._refusing(name), self._files.open_input_stream(self.path(name)) as stream:
            return bytes(stream.read())

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all; on a disk it is there for good when this returns."""
        with self._refusing(name, "written"):
            if self.is_local:
                _write_and_rename(self.path(name), content)
            else:
                with self._files.open_output_stream(self.path(name)) as stream:
                    stream.write(content)

    def age_seconds(self, name: str) -> float | None:
        """How long ago a file was written; None where there is none."""
        info = self._info(name)
        return time.time() - info.mtime.timestamp() if info.is_file else None

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
        if self.exists(name):
            with self._refusing(name, "deleted"):
                self._files.delete_file(self.path(name))

    def delete_folder(self, folder: str) -> None:
        """Remove a folder with all that it holds; nothing happens where there is none."""
        if self._info(folder).type == fs.FileType.Directory:
            with self._refusing(folder, "deleted"):
                self._files.delete_dir(self.path(folder))

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
        """Move a damaged file under quarantine/ and say so."""
        kept = f"quarantine/{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}/{name}"
        with self._refusing(name, "moved"):
            if self.is_local:
                os.makedirs(os.path.dirname(self.path(kept)), exist_ok=True)
            self._files.move(self.path(name), self.path(kept))
        self.say(f"{name} {why}; set aside as {self.location}/{kept}")

    def differing(self, files: Mapping[str, str]) -> Iterable[str]:
        """Which of these files, by name with their SHA-256, are missing or are not what was written."""
        for name, expected in files.items():
            try:
                if digest(self.read(name)) != expected:
                    yield name
            except (FileNotFoundError, IsADirectoryError):
                yield name

    def list(self, folder: str, suffix: str) -> list[str]:
        """Names, sorted and relative to the run folder, of a folder's files that end with `suffix`."""
        with self._refusing(folder):
            found = self._files.get_file_info(fs.FileSelector(self.path(folder), allow_not_found=True))
        return sorted(f"{folder}/{info.base_name}" for info in found if info.base_name.endswith(suffix))


def _json_seal(name: str, content: Mapping[str, Any]) -> str:
    return digest(f"{name}\n{json.dumps(content, sort_keys=True)}".encode())


def _write_and_rename(path: str, content: bytes) -> None:
    """To a temporary name beside it, to the disk, and then over what was there."""
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=WRITING, dir=folder)
    try:
        with open(handle, "wb") as stream:
            os.fchmod(stream.fileno(), 0o644)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        folder_handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(folder_handle)
        finally:
            os.close(folder_handle)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


MENDS = {
    "ACCESS_DENIED": "these keys, or this machine's role, may not use the bucket; docs/cluster.md has the policy",
    "INVALID_ACCESS_KEY_ID": "see that AWS_ACCESS_KEY_ID is right",
    "SIGNATURE_DOES_NOT_MATCH": "see that AWS_SECRET_ACCESS_KEY is right",
    "HTTP status 400": "temporary keys may have expired; renew them (aws sso login, say)",
}
"""By what S3's client says. The store's own word for expired keys does not reach us: a HEAD has no body."""


def reason(error: Exception) -> str:
    """Why the system refused, as one short line, with the mend where there is a known one."""
    text = " ".join((getattr(error, "strerror", None) or str(error)).split())
    before, refused, said = text.partition("AWS Error")
    mends = [f": {mend}" for code, mend in MENDS.items() if refused and code in said]
    return f"{refused}{said}".removesuffix(": No response body.")[:200] + "".join(mends) if refused else before[:200]
