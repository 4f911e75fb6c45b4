"""Reads a user's own images from Parquet."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainables.assembly import MAX_CLASSES, MAX_NAME, Given, Part, check_memory, free_bytes
from trainables.dataset import DataError
from trainables.own_pixels import Pixels, as_bytes, decoded, stacked

if TYPE_CHECKING:
    import pyarrow as pa

_MAX_ROWS = 1024
_PARTS = ("train", "test")


def read(path: Path) -> Given:
    """Column `image` and, where they are there, `label` and `split` (train or test).

    An image is an encoded file (binary, or a struct with `bytes`, as Hugging Face's datasets have it), or numbers:
    lists of rows, or of rows and channels; a flat list is a square grey image.

    Raises:
        DataError: the file is damaged or too large for the memory, or a column is missing or not what it should be.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as stream, pq.ParquetFile(stream) as file:
            return _read(path, file)
    except DataError:
        raise
    except pa.ArrowMemoryError:
        raise DataError(f"{path} does not fit into the memory; give fewer images") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise DataError(f"{path} cannot be read: {reason}; see that it is a whole Parquet file") from None


def _read(path: Path, file: Any) -> Given:
    names = file.schema_arrow.names
    if names.count("image") != 1:
        raise DataError(f"{path} has {names.count('image')} columns image among {', '.join(names)}; give one")
    if not file.metadata.num_rows:
        raise DataError(f"{path} is empty: it has no rows")
    columns = [name for name in ("image", "label", "split") if name in names]
    rows = _batch_rows(path, file, columns)
    images: list[Pixels] = []
    others: dict[str, list[Any]] = {name: [] for name in columns if name != "image"}
    for batch in file.iter_batches(batch_size=rows, columns=columns, use_threads=False):
        images.append(_images(path, batch.column("image"), sum(len(block) for block in images)))
        for name, blocks in others.items():
            blocks.append(batch.column(name))
    whole = Part(_joined(path, images), _labels(path, others["label"]) if "label" in others else None)
    return _parted(path, whole, others["split"]) if "split" in others else Given(whole)


def _batch_rows(path: Path, file: Any, columns: list[str]) -> int:
    """How many rows to read at once, so that no batch outgrows the memory, even if all rows are the largest."""
    unpacked = largest = 0
    for group in range(file.metadata.num_row_groups):
        row_group = file.metadata.row_group(group)
        for number in range(row_group.num_columns):
            column = row_group.column(number)
            if column.path_in_schema.split(".")[0] in columns:
                width = {"INT32": 4, "INT64": 8, "FLOAT": 4, "DOUBLE": 8}.get(column.physical_type, 0)
                unpacked += max(column.total_uncompressed_size, column.num_values * width)
                largest = max(largest, column.total_uncompressed_size)
    check_memory(str(path), unpacked)
    return max(1, min(_MAX_ROWS, free_bytes() // 8 // max(1, largest)))


def _images(path: Path, column: "pa.Array", first_row: int) -> Pixels:
    import pyarrow as pa

    where = f"{path}: image"
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    _check_nulls(where, column, first_row)
    if pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
        column = column.field("bytes")
        _check_nulls(f"{where}'s bytes", column, first_row)
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        rows = [f"{where} of row {first_row + number}" for number in range(len(column))]
        with warnings.catch_warnings(action="ignore"):  # PIL's, about what is passed over
            return stacked([decoded(row, value.as_py()) for row, value in zip(rows, column, strict=True)], rows)
    return _numbers(where, column, first_row)


def _check_nulls(where: str, column: "pa.Array", first_row: int) -> None:
    if column.null_count:
        row = first_row + int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise DataError(f"{where} of row {row} is missing; fill it, or remove the row")


def _numbers(where: str, column: "pa.Array", first_row: int) -> Pixels:
    """Images of nested lists, each as long as its neighbours."""
    import pyarrow as pa

    kind, shape = str(column.type), [len(column)]
    while pa.types.is_list(column.type) or pa.types.is_large_list(column.type) or _is_fixed(column):
        lengths = column.value_lengths().to_numpy(zero_copy_only=False)
        _check_lengths(where, lengths, first_row, len(lengths) // max(1, shape[0]))
        shape.append(int(lengths[0]) if len(lengths) else 0)
        column = column.flatten()
        if column.null_count:
            raise DataError(f"{where} has numbers that are missing; fill them, from 0 to 255")
    if len(shape) == 1 or not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise DataError(f"{where} is of type {kind}; give encoded image files (binary) or lists of numbers")
    values = column.to_numpy(zero_copy_only=False)
    if len(shape) == 2:
        side = round(shape[1] ** 0.5)
        if side * side != shape[1]:
            raise DataError(f"{where} is a list of {shape[1]} numbers, no square; give a list of rows of numbers")
        shape = [shape[0], side, side]
    return as_bytes(where, values.reshape(shape))


def _is_fixed(column: "pa.Array") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_fixed_size_list(column.type))


def _check_lengths(where: str, lengths: NDArray[Any], first_row: int, num_per_row: int) -> None:
    strange = np.flatnonzero(lengths != lengths[:1])
    if len(strange):
        row = first_row + int(strange[0]) // num_per_row
        raise DataError(
            f"{where} has a list of {lengths[strange[0]]} in row {row}, of {lengths[0]} in row {first_row}; "
            "resize all to one size"
        )


def _joined(path: Path, batches: list[Pixels]) -> Pixels:
    for batch in batches:
        if batch.shape[-2:] != batches[0].shape[-2:]:
            sizes = (f"{it.shape[-2]} x {it.shape[-1]}" for it in (batches[0], batch))
            raise DataError(f"{path}: image has images of {' and of '.join(sizes)} pixels; resize all to one size")
    if len({batch.ndim for batch in batches}) == 1:
        return np.concatenate(batches)
    return np.concatenate([it if it.ndim == 4 else np.repeat(it[:, None], 3, axis=1) for it in batches])


def _text(path: Path, name: str, column: "pa.ChunkedArray") -> NDArray[Any]:
    """Texts of a column with few different ones."""
    encoded = column.dictionary_encode().combine_chunks()
    values = encoded.dictionary.to_pylist() if encoded.dictionary is not None else []
    if len(values) > MAX_CLASSES:
        raise DataError(f"{path}: {name} has {len(values)} different texts; there can be {MAX_CLASSES} at most")
    for value in values:
        if len(value) > MAX_NAME:
            raise DataError(f"{path}: {name} has the text {value[:20]!r}, longer than {MAX_NAME} characters")
    texts: NDArray[Any] = np.array(values, np.str_)[encoded.indices.to_numpy(zero_copy_only=False)]
    return texts


def _column(path: Path, name: str, batches: list[Any]) -> "pa.ChunkedArray":
    import pyarrow as pa

    column = pa.chunked_array(batches)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    _check_nulls(f"{path}: {name}", column, 0)
    return column


def _labels(path: Path, batches: list[Any]) -> NDArray[Any]:
    import pyarrow as pa

    column = _column(path, "label", batches)
    if pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
        return np.asarray(column.to_numpy())
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return _text(path, "label", column)
    raise DataError(f"{path}: label is of type {column.type}; give integers, text or bool")


def _parted(path: Path, whole: Part, batches: list[Any]) -> Given:
    import pyarrow as pa

    column = _column(path, "split", batches)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise DataError(f"{path}: split is of type {column.type}; give the texts train and test")
    splits = _text(path, "split", column)
    found = sorted(set(splits.tolist()))
    if found != sorted(_PARTS):
        raise DataError(f"{path}: split has {', '.join(map(repr, found))}; give train and test, or no such column")
    train, test = (_selected(whole, splits == part) for part in _PARTS)
    return Given(train, test)


def _selected(whole: Part, mask: NDArray[np.bool_]) -> Part:
    return Part(whole.images[mask], None if whole.labels is None else whole.labels[mask])
