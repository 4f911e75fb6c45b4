"""Makes bytes, from 0 to 255, of a user's own images, whatever numbers or encoded files they are."""

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.dataset import DataError
from trainables.images import MAX_SIDE
from trainables.sources.assembly import check_sides

Pixels = NDArray[np.uint8]
_BLOCK = 1024
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
"""Of image files, as PIL calls them."""
_DAMAGED = (
    struct.error, zlib.error, OSError, SyntaxError, ValueError, EOFError,
    ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError,
)  # fmt: skip
"""What PIL's readers raise on damaged files."""


def as_bytes(where: str, images: NDArray[Any]) -> Pixels:
    """Images of integers from 0 to 255, or of floats from 0 to 1, which are multiplied by 255 and rounded.

    Args:
        where: file and array, for the message.
        images: shape (n, rows, columns), (n, rows, columns, 1 or 3) or (n, 1 or 3, rows, columns).

    Raises:
        DataError: the shape, the type or a value is another.
    """
    images = _channels_first(where, images)
    check_sides(f"an image of {where}", *images.shape[-2:])
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind not in "iuf":
        raise DataError(f"{where} is of type {images.dtype}; give uint8 from 0 to 255, or floats from 0 to 1")
    pixels = np.empty(images.shape, np.uint8)
    _check_range(where, images)
    for block in _blocks(len(images)):
        values = images[block]
        pixels[block] = np.rint(values.astype(np.float64) * 255) if images.dtype.kind == "f" else values
    return pixels


def _channels_first(where: str, images: NDArray[Any]) -> NDArray[Any]:
    shape = images.shape
    if len(shape) == 4 and shape[3] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    if images.ndim == 4 and images.shape[1] == 1:
        images = images[:, 0]
    if images.ndim == 3 or (images.ndim == 4 and images.shape[1] == 3):
        if not len(images):
            raise DataError(f"{where} is empty: its shape is {shape}")
        return images
    raise DataError(
        f"{where} has shape {shape}; give (n, rows, columns) of grey, "
        "or (n, rows, columns, 3) or (n, 3, rows, columns) of coloured images"
    )


def _check_range(where: str, images: NDArray[Any]) -> None:
    is_float = images.dtype.kind == "f"
    if is_float and not all(np.isfinite(images[block]).all() for block in _blocks(len(images))):
        raise DataError(f"{where} has values that are NaN or infinite; give floats from 0 to 1")
    low, high = images.min(), images.max()
    if is_float and not (low >= 0 and high <= 1):
        raise DataError(f"{where} has floats from {low:g} to {high:g}; give them from 0 to 1, or integers up to 255")
    if not is_float and not (low >= 0 and high <= 255):
        raise DataError(f"{where} has integers from {low} to {high}; give them from 0 to 255")


def _blocks(num: int) -> Iterator[slice]:
    return (slice(start, start + _BLOCK) for start in range(0, num, _BLOCK))


def decoded(where: str, content: bytes) -> Pixels:
    """The pixels of an image file: shape (rows, columns) where it is grey, (3, rows, columns) where it has colours.

    A palette is resolved, to grey if all its colours are, and transparency is dropped; 16 bits become 8. The size is
    checked before anything is unpacked.

    Raises:
        DataError: it is no image, a damaged one, too small, too large or one of several frames.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            check_sides(where, image.height, image.width)
            if getattr(image, "is_animated", False):
                raise DataError(f"{where} has several frames; give one image a file")
            image.load()
            check_sides(where, image.height, image.width)
            return _pixels(where, image)
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError(
            f"{where} is no image that can be read; remove it, or save it as {', '.join(FORMATS)}"
        ) from None
    except Image.DecompressionBombError:
        raise DataError(f"{where} is far too large; resize it to at most {MAX_SIDE} pixels a side") from None
    except _DAMAGED as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{where} is a damaged image: {reason}; remove it, or save it anew") from None


def _pixels(where: str, image: Any) -> Pixels:
    if image.mode.startswith("I;16"):
        wide = np.asarray(image).astype(np.uint32)
        return ((wide + 128) // 257).astype(np.uint8)
    if image.mode in ("I", "F"):
        raise DataError(f"{where} has 32 bits a pixel, of unknown range; save it with 8 or 16")
    if image.mode in ("1", "L", "LA", "La"):
        return np.asarray(image.convert("L"))
    colours = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    return colours[0] if image.mode == "P" and (colours == colours[0]).all() else colours


def stacked(images: list[Pixels], names: list[str]) -> Pixels:
    """Images in one array: grey if all are, else coloured, where grey ones have three equal channels.

    Raises:
        DataError: they differ in size; names the first and the first that differs.
    """
    sizes = [image.shape[-2:] for image in images]
    for size, name in zip(sizes, names, strict=True):
        if size != sizes[0]:
            raise DataError(
                f"{names[0]} is {sizes[0][0]} pixels high and {sizes[0][1]} wide, "
                f"{name} {size[0]} and {size[1]}; resize all to one size"
            )
    if all(image.ndim == 2 for image in images):
        return np.stack(images)
    return np.stack([np.broadcast_to(image, (3, *sizes[0])) for image in images])
