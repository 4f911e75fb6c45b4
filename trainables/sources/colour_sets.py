"""Reads CIFAR-10 and SVHN, whose formats torchvision knows, from files with the MD5 sums that it knows."""

import hashlib
import os
from glob import glob
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trainables.dataset import DataError, Dataset
from trainables.sources.assembly import Part, assembled
from trainables.sources.idx import check_folder

OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_MAX_FILE_BYTES = 1 << 28


class ColourSet(NamedTuple):
    """What one of these data sets is and in which files."""

    title: str
    """What people call it."""
    torchvision: str
    """The name of its class there."""
    class_names: tuple[str, ...]
    files: tuple[str, ...]

    def read(self, folder: Path, max_depth: int) -> Dataset:
        """The data set from its files in a folder, flat or nested.

        Raises:
            DataError: a file is missing or is not the published one; then nothing of it is unpickled.
        """
        check_folder(folder)
        place = self._place(folder, max_depth)
        _check_files(place, _checksums(self.torchvision))
        train, test = _READERS[self.torchvision](place)
        return assembled(str(place), self.title, train, test, self.class_names)

    def _place(self, folder: Path, max_depth: int) -> Path:
        """The outermost folder that has all files."""
        found = (folder / path for depth in range(max_depth + 1) for path in self._found(folder, depth))
        places = list(dict.fromkeys(path.parent for path in found))
        for place in places:
            if all(os.path.lexists(place / name) for name in self.files):
                return place
        lacking = places[0] if places else folder
        missing = [name for name in self.files if not os.path.lexists(lacking / name)]
        raise DataError(f"{lacking} lacks {', '.join(missing)} (unpacked, as torchvision leaves them)")

    def _found(self, folder: Path, depth: int) -> list[str]:
        return [path for name in self.files for path in sorted(glob("*/" * depth + name, root_dir=folder))]


def _checksums(torchvision: str) -> dict[str, str]:
    from torchvision import datasets

    if torchvision == "SVHN":
        return {name: md5 for part, (_, name, md5) in datasets.SVHN.split_list.items() if part != "extra"}
    meta = datasets.CIFAR10.meta
    return dict([*datasets.CIFAR10.train_list, *datasets.CIFAR10.test_list, (meta["filename"], meta["md5"])])


def _check_files(place: Path, checksums: dict[str, str]) -> None:
    for name, md5 in checksums.items():
        path = place / name
        if path.exists() and not path.is_file():
            raise DataError(f"{path} is no file but a folder, a pipe, a socket or a device")
        try:
            with path.open("rb") as file:
                content = file.read(_MAX_FILE_BYTES)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from None
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
            raise DataError(f"{path} is not the published file: its MD5 checksum differs")


def _read_cifar10(place: Path) -> list[Part]:
    from torchvision.datasets import CIFAR10

    flat: Any = type("Flat", (CIFAR10,), {"base_folder": ""})
    parts = (flat(str(place), train=train) for train in (True, False))
    return [Part(part.data.transpose(0, 3, 1, 2), np.array(part.targets, np.uint8)) for part in parts]


def _read_svhn(place: Path) -> list[Part]:
    from torchvision.datasets import SVHN

    parts = (SVHN(str(place), split=split) for split in ("train", "test"))
    return [Part(part.data, part.labels.astype(np.uint8)) for part in parts]


_READERS = {"CIFAR10": _read_cifar10, "SVHN": _read_svhn}
COLOUR_SETS = {
    "cifar10": ColourSet(
        "CIFAR-10", "CIFAR10", OBJECTS, (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")
    ),
    "svhn": ColourSet("SVHN", "SVHN", tuple("0123456789"), ("train_32x32.mat", "test_32x32.mat")),
}
"""By the name that `--data.source` has for it."""
