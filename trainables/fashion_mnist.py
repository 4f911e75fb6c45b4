"""Finds, fetches, verifies and reads FashionMNIST, the images of every experiment (the paper's Methods)."""

import argparse
import hashlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import NamedTuple

import numpy as np

from trainables.dataset import DataError, Dataset
from trainables.sources.fetching import run_command
from trainables.sources.idx import MAX_DEPTH, check_folder, files_below, first_sound, read_bytes, spellings

Announce = Callable[[str], None]
CLASS_NAMES: tuple[str, ...] = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


class _Idx(NamedTuple):
    stem: str
    shape: tuple[int, ...]
    sha256: str

    @property
    def name(self) -> str:
        return f"{self.stem}-idx{len(self.shape)}-ubyte"

    @property
    def names(self) -> set[str]:
        return spellings(self.name)

    @property
    def header(self) -> bytes:
        return np.array([0x0800 + len(self.shape), *self.shape], ">u4").tobytes()

    @property
    def size_bytes(self) -> int:
        return len(self.header) + prod(self.shape)


_FILES = (
    _Idx("train-images", (60000, 28, 28), "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
    _Idx("train-labels", (60000,), "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
    _Idx("t10k-images", (10000, 28, 28), "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
    _Idx("t10k-labels", (10000,), "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
)
CHECKSUM = hashlib.sha256("".join(file.sha256 for file in _FILES).encode()).hexdigest()
FILE_CHECKSUMS = frozenset(file.sha256 for file in _FILES)
"""SHA-256 in hex of each of the four files, unpacked."""
_DEBIAN_PACKAGE = "dataset-fashion-mnist"
_DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
_FETCH_SECONDS = 600
_MEND = "give --data-dir a folder with the four published files, or leave it out to have them fetched"

# A process of its own can be stopped even in a name look-up, and keeps torchvision out of this one.
# Its last line on stderr is the reason that a user is given.
_TORCHVISION_DOWNLOAD = """
import signal, socket, sys, urllib.request
from torchvision.datasets import FashionMNIST
print("no answer from its mirror", file=sys.stderr, flush=True)
socket.setdefaulttimeout(5)
signal.alarm(10)
urllib.request.urlopen(FashionMNIST.mirrors[0] + FashionMNIST.resources[-1][0]).close()
signal.alarm(0)
FashionMNIST(sys.argv[1], download=True)
"""


def user_cache_dir() -> Path:
    """Folder in which fetched images are kept, unpacked: the project's part of the XDG cache."""
    given, home = os.environ.get("XDG_CACHE_HOME", ""), os.path.expanduser("~")
    base = given if os.path.isabs(given) else f"{home}/.cache" if os.path.isabs(home) else None
    return Path(base, "fashion-mnist-orchestrator") if base else temporary_cache_dir()


def temporary_cache_dir() -> Path:
    """What stands in for the cache of a user without a home that can be written."""
    return Path(gettempdir()) / f"fashion-mnist-orchestrator-{os.getuid()}"


def to_stderr(line: str) -> None:
    """Say a line to whoever waits at the terminal."""
    print(line, file=sys.stderr, flush=True)


def load(data_dir: Path | None = None, *, cache_dir: Path | None = None, announce: Announce = to_stderr) -> Dataset:
    """Zalando's images of clothing, from the first place that has all four files with their published SHA-256 sums.

    There are 60,000 and 10,000 of them, of shape (28, 28), 0 being background.

    `data_dir` alone, where it is given; else the cache, the folder of Debian's package, torchvision's
    download, Debian's package unpacked without installing it. The last two fill the cache.

    Args:
        data_dir: holds the four idx files, unpacked or .gz, flat or nested.
        cache_dir: `user_cache_dir()` by default.
        announce: is given one line when something slow starts or a damaged copy is passed over.

    Raises:
        DataError: `data_dir` lacks a file or holds a bad one, or no source has the images.

    Source: Xiao, Rasul and Vollgraf 2017, "Fashion-MNIST".
    """
    contents, _ = _find(data_dir, cache_dir, announce)
    train_images, train_labels, test_images, test_labels = (
        np.frombuffer(content, np.uint8, offset=len(file.header)).reshape(file.shape)
        for file, content in zip(_FILES, contents, strict=True)
    )
    return Dataset(train_images, train_labels, test_images, test_labels, CHECKSUM, "FashionMNIST", CLASS_NAMES)


def _find(data_dir: Path | None, cache: Path | None, announce: Announce) -> tuple[list[bytes], str]:
    if data_dir is not None:
        try:
            return _read_folder(data_dir, max_depth=MAX_DEPTH), str(data_dir)
        except DataError as error:
            raise DataError(f"{error}; {_MEND}") from None
    for folder in (*([cache] if cache else [user_cache_dir(), temporary_cache_dir()]), _DEBIAN_FOLDER):
        if any(_candidates(folder, max_depth=0).values()):
            try:
                return _read_folder(folder, max_depth=0), str(folder)
            except DataError as error:
                announce(f"FashionMNIST: {error}; passing over {folder}")
    return _fetch(cache or writable_cache("FashionMNIST", announce), announce)


def writable_cache(title: str, announce: Announce) -> Path:
    """The user's cache or, where that cannot be written, a folder of the user's own among the temporary ones.

    `title` is what is to be kept there, for the announcement; DataError where neither can be written.
    """
    failures, mend = [], "XDG_CACHE_HOME may name another folder"
    for cache in dict.fromkeys((user_cache_dir(), temporary_cache_dir())):
        try:
            cache.mkdir(0o700, parents=True, exist_ok=True)
            if cache == temporary_cache_dir() and (cache.is_symlink() or cache.stat().st_uid != os.getuid()):
                raise PermissionError(0, "it is another user's")
            with TemporaryDirectory(prefix=".fetching-", dir=cache):
                return cache
        except OSError as error:
            failures.append(f"{cache} cannot be written ({error.strerror})")
            announce(f"{title}: {failures[-1]}; {mend}")
    raise DataError(f"{' and '.join(failures)}; {mend}")


def _candidates(folder: Path, max_depth: int) -> dict[_Idx, list[Path]]:
    """Where each of the files may be, the outermost place first."""
    paths = files_below(folder, max_depth)
    return {file: [path for path in paths if path.name in file.names] for file in _FILES}


def _read_folder(folder: Path, max_depth: int) -> list[bytes]:
    check_folder(folder)
    candidates = _candidates(folder, max_depth)
    missing = [file.name for file, paths in candidates.items() if not paths]
    if missing:
        raise DataError(f"{folder} lacks {', '.join(missing)} (unpacked or .gz)")
    return [first_sound(paths, partial(_verified, file)) for file, paths in candidates.items()]


def _verified(file: _Idx, path: Path) -> bytes:
    content = read_bytes(path, limit_bytes=file.size_bytes + 1)
    start, header = content[: len(file.header)], file.header
    if not header.startswith(start[:4]):
        raise DataError(f"{path} is no such idx file: it starts with {start[:4]!r}, not with {header[:4]!r}")
    if len(start) == len(header) and start != header:
        shape = tuple(np.frombuffer(start, ">u4", offset=4).tolist())
        raise DataError(f"{path} has shape {shape} instead of {file.shape}")
    if len(content) < file.size_bytes:
        raise DataError(f"{path} is truncated: {len(content)} of {file.size_bytes} bytes")
    if len(content) > file.size_bytes:
        raise DataError(f"{path} has more than the expected {file.size_bytes} bytes")
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise DataError(f"{path} is not the published file: its SHA-256 checksum differs")
    return content


def _fetch(cache: Path, announce: Announce) -> tuple[list[bytes], str]:
    failures = []
    for source, fetch in (("torchvision", _from_torchvision), ("apt-get", _from_debian)):
        announce(f"FashionMNIST: fetching 31 MB with {source} into {cache}")
        try:
            return _fill(cache, fetch), f"{cache}, fetched with {source}"
        except (DataError, OSError) as error:
            failures.append(f"{source}: {error}")
    raise DataError(
        f"FashionMNIST is neither in {cache} nor in {_DEBIAN_FOLDER}, and fetching it failed "
        f"({'; '.join(failures)}); copy its four files here and pass their folder with --data-dir"
    )


def _fill(cache: Path, fetch: Callable[[Path], None]) -> list[bytes]:
    cache.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".fetching-", dir=cache.absolute()) as temporary:
        fetch(Path(temporary))
        contents = _read_folder(Path(temporary), MAX_DEPTH)
        for file, content in zip(_FILES, contents, strict=True):
            whole = Path(temporary, file.name)
            whole.write_bytes(content)
            whole.replace(cache / file.name)
    return contents


def _from_torchvision(folder: Path) -> None:
    _run(folder, sys.executable, "-c", _TORCHVISION_DOWNLOAD, str(folder))


def _from_debian(folder: Path) -> None:
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    apt_get = ("apt-get", "-oAcquire::http::Timeout=5", "-oAcquire::Retries=0", f"-oDir::Cache={folder / 'cache'}")
    own_lists = f"-oDir::State::Lists={folder / 'lists'}"
    try:
        _run(folder, *apt_get, "download", _DEBIAN_PACKAGE)
    except DataError:  # the system's lists are empty or out of date
        with suppress(DataError):  # any one of the user's other sources being down makes it fail
            _run(folder, *apt_get, own_lists, "update")
        _run(folder, *apt_get, own_lists, "download", _DEBIAN_PACKAGE)
    for package in folder.glob("*.deb"):
        _run(folder, "dpkg-deb", "-x", str(package), str(folder))


def _run(folder: Path, *command: str) -> None:
    run_command(folder, *command, seconds=_FETCH_SECONDS)


def main() -> None:
    """Find or fetch the images and say where they came from; exit status 2 where there are none."""
    parser = argparse.ArgumentParser(prog="python -m trainables.fashion_mnist", description=main.__doc__)
    parser.add_argument("--data-dir", type=Path, help="folder with the four idx files, unpacked or .gz")
    try:
        _, source = _find(parser.parse_args().data_dir, None, to_stderr)
    except DataError as error:
        parser.exit(2, f"error: {error}\n")
    print(f"FashionMNIST: 60000 training and 10000 test images from {source}")


if __name__ == "__main__":
    main()
