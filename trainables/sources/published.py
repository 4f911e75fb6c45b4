"""Finds, fetches and reads published data sets other than FashionMNIST, by the same rules."""

import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from trainables.dataset import DataError, Dataset
from trainables.fashion_mnist import Announce, temporary_cache_dir, user_cache_dir, writable_cache
from trainables.sources.colour_sets import COLOUR_SETS, ColourSet
from trainables.sources.fetching import run_command
from trainables.sources.idx import MAX_DEPTH
from trainables.sources.idx_sets import IDX_SETS, IdxSet

SETS: dict[str, IdxSet | ColourSet] = {**IDX_SETS, **COLOUR_SETS}
"""By the name that `--data.source` has for it."""
_FETCH_SECONDS = 1800
_MEND = "give --data-dir a folder with its published files, or leave it out to have them fetched"

# A process of its own can be stopped even in a name look-up, and keeps torchvision out of this one.
# Its last line on stderr is the reason that a user is given.
_DOWNLOAD = """
import signal, socket, sys, urllib.request
from torchvision.datasets import {torchvision} as Source
print("no answer from its mirror", file=sys.stderr, flush=True)
socket.setdefaulttimeout(5)
signal.alarm(10)
urllib.request.urlopen(urllib.request.Request({address}, headers={{"User-Agent": "pytorch/vision"}})).close()
signal.alarm(0)
for options in {options}:
    Source(sys.argv[1], download=True, **options)
"""
_MNIST_ADDRESS = "Source.mirrors[0] + Source.resources[-1][0]"
# A download's size in MB, an address that answers if the mirror does, and what to make of torchvision's class.
_DOWNLOADS: dict[str, tuple[int, str, list[dict[str, str]]]] = {
    "mnist": (12, _MNIST_ADDRESS, [{}]),
    "kmnist": (21, _MNIST_ADDRESS, [{}]),
    "qmnist": (21, "Source.resources['train'][1][0]", [{"what": "train"}, {"what": "test"}]),
    "emnist_balanced": (562, "Source.url", [{"split": "balanced"}]),
    "emnist_letters": (562, "Source.url", [{"split": "letters"}]),
    "cifar10": (171, "Source.url", [{}]),
    "svhn": (246, "Source.split_list['test'][0]", [{"split": "train"}, {"split": "test"}]),
}


def load(name: str, data_dir: Path | None, *, cache_dir: Path | None, announce: Announce) -> Dataset:
    """One of `SETS`, from the first place that has all of its files.

    `data_dir` alone, where it is given; else the folder `name` of the cache, else torchvision's download, which
    fills that folder.

    Args:
        name: a key of `SETS`.
        data_dir: holds the published files, flat or nested; idx files may be unpacked or .gz.
        cache_dir: `user_cache_dir()` if None.
        announce: is given one line when something slow starts or a damaged copy is passed over.

    Raises:
        DataError: `data_dir` lacks a file or holds a bad one, or no source has the images.
    """
    source = SETS[name]
    if data_dir is not None:
        try:
            return source.read(data_dir, MAX_DEPTH)
        except DataError as error:
            raise DataError(f"{error}; {_MEND}") from None
    for cache in [cache_dir] if cache_dir else [user_cache_dir(), temporary_cache_dir()]:
        folder = cache / name
        if any((folder / file).exists() for file in _kept(source)):
            try:
                return source.read(folder, 0)
            except DataError as error:
                announce(f"{source.title}: {error}; passing over {folder}")
    return _fetch(name, (cache_dir or writable_cache(source.title, announce)) / name, announce)


def _kept(source: IdxSet | ColourSet) -> Iterable[str]:
    """Names of the files that are kept in the cache: the .gz where its checksum is published."""
    if isinstance(source, IdxSet):
        return [f"{name}.gz" if md5 else name for name, md5 in source.files.items()]
    return source.files


def _fetch(name: str, folder: Path, announce: Announce) -> Dataset:
    title = SETS[name].title
    announce(f"{title}: fetching {_DOWNLOADS[name][0]} MB with torchvision into {folder}")
    try:
        return _fill(name, folder)
    except (DataError, OSError) as error:
        raise DataError(
            f"{title} is not in {folder}, and fetching it failed (torchvision: {error}); "
            "copy its files here and pass their folder with --data-dir"
        ) from None


def _fill(name: str, folder: Path) -> Dataset:
    source = SETS[name]
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".fetching-", dir=folder.absolute()) as temporary:
        _download(name, Path(temporary))
        dataset = source.read(Path(temporary), MAX_DEPTH)
        for file in _kept(source):
            next(Path(temporary).rglob(file)).replace(folder / file)
    return dataset


def _download(name: str, folder: Path) -> None:
    source, (_, address, options) = SETS[name], _DOWNLOADS[name]
    torchvision = source.folder if isinstance(source, IdxSet) else source.torchvision
    script = _DOWNLOAD.format(torchvision=torchvision, address=address, options=options)
    run_command(folder, sys.executable, "-c", script, str(folder), seconds=_FETCH_SECONDS)
