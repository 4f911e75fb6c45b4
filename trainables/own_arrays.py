"""Reads a user's own images from NumPy's .npz."""

import struct
import tokenize
import warnings
import zipfile
import zlib
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from trainables.assembly import Given, Part, check_memory
from trainables.dataset import DataError
from trainables.own_pixels import as_bytes

LAYOUTS = (
    (("images", "labels"),),
    (("train_images", "train_labels"), ("test_images", "test_labels")),
    (("x_train", "y_train"), ("x_test", "y_test")),
)
"""Names of the arrays of each part. The last is Keras's."""
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError,
    ArithmeticError, EOFError, LookupError, RuntimeError, SyntaxError, TypeError, ValueError,
)  # fmt: skip


def read(path: Path) -> Given:
    """`images` and `labels`, or those of a training and a test part; labels may be left out.

    Nothing is unpickled, and nothing is unpacked before it is known to fit into the memory.

    Raises:
        DataError: the archive is damaged, or an array is missing or not what it should be.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(path, archive)
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except _DAMAGED as error:
        raise DataError(f"{path} is no sound .npz: {_line(error)}; save it anew with numpy.savez") from None


def _line(error: Exception) -> str:
    return " ".join(str(error.args[0] if error.args else "").split()) or type(error).__name__


def _read(path: Path, archive: zipfile.ZipFile) -> Given:
    members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    layout = _layout(path, set(members))
    wanted = {key: members[key] for keys in layout for key in keys if key in members}
    check_memory(str(path), sum(info.file_size for info in wanted.values()))
    arrays = {key: _array(path, archive, key, info) for key, info in wanted.items()}
    parts = [_part(path, arrays, *keys) for keys in layout]
    return Given(parts[0], parts[1] if len(parts) > 1 else None)


def _layout(path: Path, names: set[str]) -> tuple[tuple[str, str], ...]:
    begun = [layout for layout in LAYOUTS if names & {images for images, _ in layout}]
    if len(begun) != 1:
        found = f"has {', '.join(sorted(names)) or 'no arrays'}" if not begun else "has images under several names"
        known = ", or ".join(" and ".join(images for images, _ in layout) for layout in LAYOUTS)
        raise DataError(f"{path} {found}; give the arrays {known}, each with its labels or all without")
    for images, labels in begun[0]:
        if images not in names:
            raise DataError(f"{path} has no array {images}; add it, or call all images `images`")
        if (labels in names) != (begun[0][0][1] in names):
            lacking = labels if labels not in names else begun[0][0][1]
            raise DataError(f"{path} has no array {lacking}; give both parts labels, or neither")
    return begun[0]


def _array(path: Path, archive: zipfile.ZipFile, key: str, info: zipfile.ZipInfo) -> NDArray[Any]:
    where = f"{path}: {key}"
    if info.flag_bits & 1:
        raise DataError(f"{where} is encrypted; save it without a password")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{where} is packed in a way that NumPy does not use; save it with numpy.savez_compressed")
    try:
        with archive.open(info) as stream:
            return _content(where, stream, info.file_size)
    except _DAMAGED as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{where} is damaged: {_line(error)}; save it anew with numpy.savez") from None


def _content(where: str, stream: IO[bytes], declared_bytes: int) -> NDArray[Any]:
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise DataError(f"{where} has fields; give an array of plain numbers")
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    with warnings.catch_warnings(action="ignore"):  # that Python 2 wrote it
        shape, is_fortran, dtype = read_header(stream)
    if dtype.hasobject:
        raise DataError(f"{where} holds Python objects, which would be unpickled; give numbers or text of one type")
    if any(length < 0 for length in shape):
        raise DataError(f"{where} has the impossible shape {shape}; save it anew with numpy.savez")
    size_bytes = prod(shape) * dtype.itemsize
    check_memory(where, size_bytes)
    content = stream.read(min(size_bytes, declared_bytes) + 1)
    if len(content) != size_bytes:
        raise DataError(
            f"{where} is truncated or has a wrong header: {len(content)} bytes "
            f"where its shape {shape} of {dtype} wants {size_bytes}; save it anew with numpy.savez"
        )
    if not size_bytes:
        return np.empty(shape, dtype)
    return np.frombuffer(content, dtype).reshape(shape, order="F" if is_fortran else "C")


def _part(path: Path, arrays: dict[str, NDArray[Any]], images: str, labels: str) -> Part:
    pixels = as_bytes(f"{path}: {images}", arrays[images])
    if labels not in arrays:
        return Part(pixels, None)
    values = _labels(f"{path}: {labels}", arrays[labels])
    if len(values) != len(pixels):
        raise DataError(f"{path}: {labels} has {len(values)} labels for the {len(pixels)} of {images}; give one each")
    return Part(pixels, values)


def _labels(where: str, labels: NDArray[Any]) -> NDArray[Any]:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise DataError(f"{where} has shape {labels.shape}; give (n,), the number or name of a class for each image")
    if labels.dtype.kind not in "biuUS":
        nan = " with NaN" if labels.dtype.kind == "f" and np.isnan(labels).any() else ""
        raise DataError(f"{where} is of type {labels.dtype}{nan}; give integers, text or bool")
    try:
        return np.char.decode(labels, "utf-8") if labels.dtype.kind == "S" else labels
    except UnicodeDecodeError:
        raise DataError(f"{where} has bytes that are no text in UTF-8; give text") from None
