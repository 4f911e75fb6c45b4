"""Reads a user's own images from a folder of image files."""

import os
import stat
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from trainables.assembly import Given, Part, check_memory
from trainables.dataset import DataError
from trainables.own_pixels import Pixels, decoded, stacked

PASSED_OVER = {"thumbs.db", "desktop.ini", "__macosx"}
"""Names, in lower case, of what computers put beside images. Hidden files are passed over too."""
PASSED_OVER_ENDINGS = {".txt", ".csv", ".json", ".md"}
_PARTS = ("train", "test")
_MAX_FILE_BYTES = 1 << 24
_NUM_THREADS = 4


def read(folder: Path) -> Given:
    """Image files, in one folder or in a folder for each class, under train/ and test/ or not.

    Raises:
        DataError: a file is no image or differs in size, or the folders are others; the path is named.
    """
    folders, files = _entries(folder, [])
    parts = {entry.name.lower(): entry for entry in folders if entry.name.lower() in _PARTS}
    if len(parts) < len(_PARTS):
        return Given(_part(folder, []), ordered=False)
    for stray in [*files, *(entry for entry in folders if entry not in parts.values())]:
        raise DataError(f"{stray} lies beside train and test; move it into one of them, or away")
    train, test = (_part(parts[part], [folder]) for part in _PARTS)
    return Given(train, test, ordered=False)


def _entries(folder: Path, above: list[Path]) -> tuple[list[Path], list[Path]]:
    """Folders and files in a folder that are not passed over, by name."""
    try:
        if os.path.realpath(folder) in map(os.path.realpath, above):
            raise DataError(f"{folder} is a link to a folder that it lies in; remove it")
        paths = [Path(folder, name) for name in sorted(os.listdir(folder)) if not _is_passed_over(name)]
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from None
    folders = [path for path in paths if path.is_dir()]
    return folders, [path for path in paths if path not in set(folders)]


def _is_passed_over(name: str) -> bool:
    lower = name.lower()
    return lower.startswith(".") or lower in PASSED_OVER or os.path.splitext(lower)[1] in PASSED_OVER_ENDINGS


def _part(folder: Path, above: list[Path]) -> Part:
    folders, files = _entries(folder, above)
    if folders and files:
        raise DataError(f"{files[0]} lies beside folders of classes; move it into one of them, or away")
    if not folders:
        return Part(_pixels(folder, files), None)
    members = {entry.name: _files_of_class(entry, [*above, folder]) for entry in folders}
    paths = [path for found in members.values() for path in found]
    return Part(_pixels(folder, paths), np.repeat(list(members), [len(found) for found in members.values()]))


def _files_of_class(folder: Path, above: list[Path]) -> list[Path]:
    folders, files = _entries(folder, above)
    if folders:
        raise DataError(f"{folders[0]} is a folder in the folder of a class; give a folder of files for each class")
    if not files:
        raise DataError(f"{folder} has no images; remove it, or add images of this class")
    return files


def _pixels(folder: Path, paths: list[Path]) -> Pixels:
    if not paths:
        raise DataError(f"{folder} has no images; give image files, a .npz or a .parquet")
    with warnings.catch_warnings(), ThreadPoolExecutor(_NUM_THREADS) as pool:
        warnings.simplefilter("ignore")  # PIL's, about what is passed over
        first = _decoded(paths[0])
        check_memory(str(folder), len(paths) * first.shape[-2] * first.shape[-1] * 3)
        return stacked(list(_in_order(pool, paths)), [str(path) for path in paths])


def _in_order(pool: ThreadPoolExecutor, paths: list[Path]) -> Iterator[Pixels]:
    """Images as they are decoded; after one that cannot be, the others are left alone."""
    futures = [pool.submit(_decoded, path) for path in paths]
    try:
        yield from (future.result() for future in futures)
    finally:
        for future in futures:
            future.cancel()


def _decoded(path: Path) -> Pixels:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"{path} is no file but a pipe, a socket or a device; remove it")
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > _MAX_FILE_BYTES:
        raise DataError(f"{path} has more than {_MAX_FILE_BYTES} bytes; give images of at most 64 pixels a side")
    return decoded(str(path), content)
