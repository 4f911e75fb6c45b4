"""Finds the images of an experiment: a published data set by its name, or the user's own by their path."""

import os
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from trainables import fashion_mnist
from trainables.dataset import DataError, Dataset
from trainables.sources import own as own_images
from trainables.sources import published

NAMES = (
    "fashion_mnist", "mnist", "kmnist", "qmnist", "emnist_balanced", "emnist_letters", "cifar10", "svhn",
)  # fmt: skip
"""Of published data sets."""


def load_source(
    source: str,
    data_dir: Path | None = None,
    *,
    test_share: float = 1 / 7,
    cache_dir: Path | None = None,
    announce: Callable[[str], None] = fashion_mnist.to_stderr,
) -> Dataset:
    """The images that `source` says.

    Args:
        source: one of `NAMES`, or the path of a .npz, a .parquet or a folder of image files.
        data_dir: folder with the published files of one of `NAMES`, which are fetched if it is None.
        test_share: of the user's own images, where they have no test part.
        cache_dir: where published files are kept; `fashion_mnist.user_cache_dir()` if None.
        announce: is given one line when something slow starts or a damaged copy is passed over.

    Raises:
        DataError: the images cannot be had; one line that names the file, what is wrong and what to do.
    """
    try:
        return _load(source, data_dir, test_share, cache_dir, announce)
    except DataError as error:
        raise DataError(_printable(str(error))) from None


def _load(
    source: str, data_dir: Path | None, test_share: float, cache_dir: Path | None, announce: Callable[[str], None]
) -> Dataset:
    data_dir = data_dir and Path(os.path.expanduser(data_dir))
    if source == "fashion_mnist":
        return fashion_mnist.load(data_dir, cache_dir=cache_dir, announce=announce)
    if source in NAMES:
        return published.load(source, data_dir, cache_dir=cache_dir, announce=announce)
    if data_dir is not None:
        raise DataError(f"--data-dir {data_dir} is for published images, not for the source {source}; leave it out")
    return own_images.load(_existing(source), test_share=test_share)


def _existing(source: str) -> Path:
    path = Path(os.path.expanduser(source))
    if source and "\0" not in source and os.path.lexists(path):
        return path
    near = get_close_matches(source, NAMES, 1)
    meant = f"; did you mean {near[0]}?" if near else ""
    raise DataError(f"{source!r} is neither a file or folder nor one of {', '.join(NAMES)}{meant}")


def _printable(line: str) -> str:
    """Names of files may have line breaks and worse in them."""
    return "".join(it if it.isprintable() else it.encode("unicode_escape").decode() for it in line)
