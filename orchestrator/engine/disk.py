"""Files below a folder of a disk: no link is followed, nothing but a regular file is opened, each is written whole.

Whoever made the folder may have put links and pipes into it; only the folder itself may be a link.
"""

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
Found = TypeVar("Found")
WRITING = ".writing-"
"""How the names of files begin that are being written, or were when their process was killed."""
_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Irregular(Exception):
    """What has a file's name is no file that a run writes: a link, a pipe, a device, or one of an absurd size."""


class Disk:
    """A folder's files by their names relative to it, which must be sound; OSError where the system refuses."""

    def __init__(self, root: str) -> None:
        self._root = root

    @contextlib.contextmanager
    def _folder(self, name: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """A handle of the folder that a file is in, and the file's name there."""
        *folders, base = name.split("/")
        handle = self._open_root(make=make)
        try:
            for folder in folders:
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(folder, dir_fd=handle)
                inner = _open_folder(folder, handle)
                os.close(handle)
                handle = inner
            yield handle, base
        finally:
            os.close(handle)

    def _open_root(self, *, make: bool) -> int:
        try:
            if make:
                os.makedirs(self._root, exist_ok=True)
            return os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, FileExistsError):
            for path in (Path(self._root), *Path(self._root).parents):
                if path.is_symlink() and not path.exists():
                    lost = f"{path} is a link to {os.readlink(path)}, which is not there"
                    raise OSError(errno.ENXIO, f"{lost} (make that folder, or remove the link)") from None
            raise

    def open(self, name: str, flags: int = os.O_RDONLY) -> int:
        """A handle of a file; Irregular where that is none, or is to be written and has a second name."""
        with self._folder(name, make=bool(flags & os.O_CREAT)) as (folder, base):
            with contextlib.suppress(FileNotFoundError):
                _check(os.stat(base, dir_fd=folder, follow_symlinks=False), flags)
            handle = os.open(base, flags | _SAFELY, 0o666, dir_fd=folder)
        try:
            _check(os.fstat(handle), flags)
        except BaseException:
            os.close(handle)
            raise
        return handle

    def is_file(self, name: str) -> bool:
        """Whether there is a file of this name."""
        try:
            with self._folder(name) as (folder, base):
                return stat.S_ISREG(os.stat(base, dir_fd=folder, follow_symlinks=False).st_mode)
        except FileNotFoundError:
            return False

    def read(self, name: str, most: int) -> bytes:
        """Content of a file; Irregular where it has more bytes than `most`."""
        with os.fdopen(self.open(name), "rb") as file:
            _check_size(os.fstat(file.fileno()).st_size, most)
            return file.read(most)

    def digest(self, name: str, most: int) -> str:
        """SHA-256 of a file's content; Irregular where it has more bytes than `most`."""
        with os.fdopen(self.open(name), "rb") as file:
            _check_size(os.fstat(file.fileno()).st_size, most)
            return hashlib.file_digest(file, "sha256").hexdigest()

    def write(self, name: str, content: bytes) -> None:
        """To a temporary name beside it, to the disk, and then over what was there, be it a link."""
        with self._folder(name, make=True) as (folder, base):
            temporary = f"{WRITING}{secrets.token_hex(8)}"
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFELY, 0o666, dir_fd=folder)
            try:
                with open(handle, "wb") as stream:
                    stream.write(content)
                    stream.flush()
                    os.fsync(stream.fileno())
                os.replace(temporary, base, src_dir_fd=folder, dst_dir_fd=folder)
                os.fsync(folder)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary, dir_fd=folder)
                raise

    def delete(self, name: str) -> None:
        """Remove a file, or a link; nothing happens where there is none."""
        with contextlib.suppress(FileNotFoundError), self._folder(name) as (folder, base):
            if not stat.S_ISDIR(os.stat(base, dir_fd=folder, follow_symlinks=False).st_mode):
                os.unlink(base, dir_fd=folder)

    def delete_folder(self, name: str) -> None:
        """Remove a folder with all that it holds; nothing happens where there is none."""
        with contextlib.suppress(FileNotFoundError), self._folder(name) as (folder, base):
            shutil.rmtree(base, dir_fd=folder)

    def move(self, name: str, to: str) -> None:
        """Give whatever has this name another one."""
        with self._folder(name) as (folder, base), self._folder(to, make=True) as (target, new):
            os.rename(base, new, src_dir_fd=folder, dst_dir_fd=target)

    def list(self, folder: str) -> list[str]:
        """Names in a folder, but for those of folders; none where there is no such folder."""
        try:
            with self._folder(f"{folder}/.") as (handle, _), os.scandir(handle) as entries:
                return [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return []

    def clear(self, scratch: str) -> None:
        """Remove what was being written when a process was killed and, from the folder `scratch`, in which other
        programs write, all that they could be led elsewhere by."""
        with contextlib.suppress(FileNotFoundError), self._folder(f"{scratch}/."):
            pass  # it is no link itself
        root = os.path.realpath(self._root)  # the run folder itself may be a link
        for path, folders, names, handle in os.fwalk(root, follow_symlinks=False):
            theirs = Path(path).is_relative_to(Path(root, scratch))
            for name in (*folders, *names):
                with contextlib.suppress(OSError):
                    found = os.stat(name, dir_fd=handle, follow_symlinks=False)
                    if not stat.S_ISDIR(found.st_mode) and (name.startswith(WRITING) or (theirs and _leads(found))):
                        os.unlink(name, dir_fd=handle)

    def each(self, look: Callable[[Item], Found], items: Iterable[Item]) -> Iterable[Found]:
        """What is found by looking at each, in order."""
        return map(look, items)


def _open_folder(name: str, within: int) -> int:
    try:
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | _SAFELY, dir_fd=within)
    except OSError:
        if not stat.S_ISLNK(os.stat(name, dir_fd=within, follow_symlinks=False).st_mode):
            raise
        unfollowed = f"{name} is a link, which is not followed (put the folder itself there)"
        raise OSError(errno.ELOOP, unfollowed) from None


def _leads(found: os.stat_result) -> bool:
    """Whether what is written there may end up elsewhere."""
    return not stat.S_ISREG(found.st_mode) or found.st_nlink > 1


def _check(found: os.stat_result, flags: int) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found.st_mode):
        raise Irregular("is a link" if stat.S_ISLNK(found.st_mode) else "is a pipe or a device")
    if flags != os.O_RDONLY and found.st_nlink > 1:
        raise Irregular("is a link (it has a second name)")


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise Irregular(f"has {size / 1e9:.3g} GB, and such a file at most {most / 1e9:.2g}")
