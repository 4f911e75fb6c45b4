"""Reads files of MNIST's format, idx, unpacked or .gz, from where people keep them."""

import gzip
import hashlib
import os
import zlib
from collections.abc import Callable, Iterable
from glob import glob
from math import prod
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from trainables.dataset import DataError
from trainables.sources.assembly import check_memory

MAX_DEPTH = 5
"""How many folders deep files are looked for."""
ELEMENTS: dict[str, tuple[int, np.dtype[Any]]] = {"ubyte": (0x08, np.dtype(np.uint8)), "int": (0x0C, np.dtype(">i4"))}
"""By the last word of a file's name: the code in its header, and the numbers that it holds."""
_GZIP = b"\x1f\x8b"
_MAX_PACKED_BYTES = 1 << 28

T = TypeVar("T")


def spellings(name: str) -> set[str]:
    """What a file is called: some programs unpack it with a dot, as train-images.idx3-ubyte."""
    return {name + end for name in (name, name.replace("-idx", ".idx")) for end in ("", ".gz")}


def files_below(folder: Path, max_depth: int) -> list[Path]:
    """Files that are idx by name, the outermost place first; `glob` passes over hidden folders."""
    patterns = [f"{'*/' * depth}*[-.]idx[123]-*" for depth in range(max_depth + 1)]
    found = (folder / name for pattern in patterns for name in sorted(glob(pattern, root_dir=folder)))
    return [path for path in found if not os.path.isdir(path)]


def check_folder(folder: Path) -> None:
    """Refuse, with DataError, what is no folder."""
    if not os.path.isdir(folder):
        raise DataError(f"{folder} {'is not a folder' if os.path.exists(folder) else 'does not exist'}")


def first_sound(paths: Iterable[Path], read: Callable[[Path], T]) -> T:
    """What the first path gives that can be read; else the first one's DataError.

    Several data sets have files of the same names, and they may lie beside each other.
    """
    errors = []
    for path in paths:
        try:
            return read(path)
        except DataError as error:
            errors.append(error)
    raise errors[0]


def read_bytes(path: Path, limit_bytes: int) -> bytes:
    """The first bytes of a file, unpacked where it is a .gz, whatever its name; DataError where that fails."""
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is no file but a pipe, a socket or a device")
    try:
        with path.open("rb") as file:
            packed = path.suffix == ".gz" or file.peek(2)[:2] == _GZIP
            with gzip.open(file) if packed else file as stream:
                return stream.read(limit_bytes)
    except EOFError:
        raise DataError(f"{path} is truncated: its gzip stream breaks off") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is not a sound gzip file: {error}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


def read_array(path: Path, name: str) -> NDArray[Any]:
    """The numbers of an idx file, read-only, whose published name says how many axes of what it has.

    Args:
        path: it may be packed, and have another name.
        name: it ends in, for example, idx3-ubyte.

    Raises:
        DataError: it is not such a file, is shorter or longer than its header says, or too large for the memory.
    """
    num_axes, (code, dtype) = int(name[name.rindex("idx") + 3]), ELEMENTS[name.rsplit("-", 1)[1]]
    magic, header_bytes = bytes([0, 0, code, num_axes]), 4 * (1 + num_axes)
    start = read_bytes(path, header_bytes)
    if not magic.startswith(start[:4]):
        raise DataError(f"{path} is no such idx file: it starts with {start[:4]!r}, not with {magic!r}")
    if len(start) < header_bytes:
        raise DataError(f"{path} is truncated: its header breaks off")
    shape = tuple(np.frombuffer(start, ">u4", offset=4).tolist())
    size_bytes = header_bytes + prod(shape) * dtype.itemsize
    check_memory(str(path), size_bytes)
    content = read_bytes(path, size_bytes + 1)
    if len(content) < size_bytes:
        raise DataError(f"{path} is truncated: {len(content)} of {size_bytes} bytes")
    if len(content) > size_bytes:
        raise DataError(f"{path} has more than the {size_bytes} bytes that its header says")
    return np.frombuffer(content, dtype, offset=header_bytes).reshape(shape)


def packed_md5(path: Path) -> str | None:
    """MD5 in hex of a .gz as it is, packed; None of a file that is not packed."""
    try:
        with path.open("rb") as file:
            if file.peek(2)[:2] != _GZIP:
                return None
            return hashlib.md5(file.read(_MAX_PACKED_BYTES), usedforsecurity=False).hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
