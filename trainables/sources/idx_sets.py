"""Reads the published data sets whose files have MNIST's format, idx."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainables.dataset import DataError, Dataset
from trainables.fashion_mnist import FILE_CHECKSUMS
from trainables.sources.assembly import Part, assembled, check_sides
from trainables.sources.idx import check_folder, files_below, first_sound, packed_md5, read_array, spellings

DIGITS = tuple("0123456789")
KUZUSHIJI = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
"""Ten hiragana, romanised."""
LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
BALANCED = (*DIGITS, *"ABCDEFGHIJKLMNOPQRSTUVWXYZ", *"abdefghnqrt")
"""Letters whose two cases look alike are one class, called by its upper case."""


class IdxSet(NamedTuple):
    """What one of these data sets is and in which files."""

    title: str
    """What people call it."""
    folder: str
    """Where torchvision puts its files."""
    class_names: tuple[str, ...]
    files: dict[str, str]
    """By name, unpacked: training images, training labels, test images, test labels; MD5 of the .gz, if published."""
    first_label: int = 0
    transposed: bool = False

    def read(self, folder: Path, max_depth: int) -> Dataset:
        """The data set from its files in a folder, flat or nested, unpacked or .gz; else DataError."""
        check_folder(folder)
        paths = [path for path in files_below(folder, max_depth) if not self._is_of_another(path.relative_to(folder))]
        candidates = {file: [path for path in paths if path.name in spellings(file)] for file in self.files}
        missing = [file for file, found in candidates.items() if not found]
        if missing:
            raise DataError(f"{folder} lacks {', '.join(missing)} (unpacked or .gz)")
        arrays = []
        for file, found in candidates.items():
            found.sort(key=lambda path: path.suffix != ".gz")  # whose checksum is published
            arrays.append(first_sound(found, partial(self._sound, file)))
        train, test = self._part(folder, *arrays[:2]), self._part(folder, *arrays[2:])
        return assembled(str(folder), self.title, train, test, self.class_names)

    def _is_of_another(self, path: Path) -> bool:
        """Whether it lies in a folder that torchvision made for another data set, whose files have the same names."""
        folders = {part.lower().replace("-", "").replace("_", "") for part in path.parts[:-1]}
        return bool(folders & (_FOLDERS - {self.folder.lower()}))

    def _sound(self, file: str, path: Path) -> NDArray[Any]:
        array = read_array(path, file)
        if _is_fashion_mnist(array):
            raise DataError(f"{path} is one of FashionMNIST's files; use --data.source fashion_mnist")
        md5, published = packed_md5(path), self.files[file]
        if md5 and published and md5 != published:
            raise DataError(
                f"{path} is not {self.title}'s published file: its MD5 checksum differs{_of_whom(md5)}; "
                "whoever packed it anew may give it unpacked"
            )
        if "-labels-" in file:
            return self._indices(path, array)
        check_sides(f"an image of {path}", *array.shape[1:])
        return array.swapaxes(1, 2) if self.transposed else array

    def _indices(self, path: Path, labels: NDArray[Any]) -> NDArray[np.uint8]:
        if labels.ndim == 2:  # the class is the first of what is known of a digit
            if not labels.shape[1]:
                raise DataError(f"{path} has shape {labels.shape}: no classes")
            labels = labels[:, 0]
        first, last = self.first_label, self.first_label + len(self.class_names) - 1
        if len(labels) and not (first <= labels.min() and labels.max() <= last):
            raise DataError(
                f"{path} has labels from {labels.min()} to {labels.max()}; {self.title} has {first} to {last}"
            )
        return (labels - first).astype(np.uint8)

    def _part(self, folder: Path, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Part:
        if len(images) != len(labels):
            raise DataError(f"{folder} has {len(images)} images and {len(labels)} labels of one part of {self.title}")
        return Part(images, labels)


def _is_fashion_mnist(array: NDArray[Any]) -> bool:
    """Whether a file of this array, unpacked, has one of the published sums."""
    if array.dtype != np.uint8 or array.shape[0] not in (60000, 10000):
        return False
    header = np.array([0x0800 + array.ndim, *array.shape], ">u4").tobytes()
    digest = hashlib.sha256(header)
    digest.update(array.reshape(-1).data)
    return digest.hexdigest() in FILE_CHECKSUMS


def _of_whom(md5: str) -> str:
    for name, other in IDX_SETS.items():
        if md5 in other.files.values():
            return f", and is {other.title}'s (--data.source {name})"
    return ""


_MNIST_FILES = (
    "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte",
)  # fmt: skip
_QMNIST_FILES = (
    "qmnist-train-images-idx3-ubyte", "qmnist-train-labels-idx2-int",
    "qmnist-test-images-idx3-ubyte", "qmnist-test-labels-idx2-int",
)  # fmt: skip
_MNIST_SUMS = (
    "f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432",
    "9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c",
)  # fmt: skip
_KMNIST_SUMS = (
    "bdb82020997e1d708af4cf47b453dcf7", "e144d726b3acfaa3e44228e80efcd344",
    "5c965bf0a639b31b8f53240b1b52f4d7", "7320c461ea6c1c855c0b718fb2a4b134",
)  # fmt: skip
_QMNIST_SUMS = (
    "ed72d4157d28c017586c42bc6afe6370", "0058f8dd561b90ffdd0f734c6a30e5e4",
    "1394631089c404de565df7b7aeaf9412", "5b5b05890a5e13444e108efe57b788aa",
)  # fmt: skip


def _emnist_files(split: str) -> dict[str, str]:
    parts = (("train", "images-idx3"), ("train", "labels-idx1"), ("test", "images-idx3"), ("test", "labels-idx1"))
    return {f"emnist-{split}-{part}-{what}-ubyte": "" for part, what in parts}


IDX_SETS = {
    "mnist": IdxSet("MNIST", "MNIST", DIGITS, dict(zip(_MNIST_FILES, _MNIST_SUMS, strict=True))),
    "kmnist": IdxSet("KMNIST", "KMNIST", KUZUSHIJI, dict(zip(_MNIST_FILES, _KMNIST_SUMS, strict=True))),
    "qmnist": IdxSet("QMNIST", "QMNIST", DIGITS, dict(zip(_QMNIST_FILES, _QMNIST_SUMS, strict=True))),
    "emnist_balanced": IdxSet("EMNIST (balanced)", "EMNIST", BALANCED, _emnist_files("balanced"), transposed=True),
    "emnist_letters": IdxSet(
        "EMNIST (letters)", "EMNIST", LETTERS, _emnist_files("letters"), first_label=1, transposed=True
    ),
}  # fmt: skip
"""By the name that `--data.source` has for it. The MD5 sums are torchvision's."""
_FOLDERS = {it.folder.lower() for it in IDX_SETS.values()} | {"fashionmnist"}
