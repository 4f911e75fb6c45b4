"""A user's own Parquet file is read; what is wrong with it is said in one line that names the culprit."""

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from trainables import own_tables
from trainables.dataset import DataError
from trainables.sources import load_source

NUM = 140
IMAGES = np.random.default_rng(5).integers(0, 256, (NUM, 16, 16), np.uint8)
COLOURS = np.random.default_rng(6).integers(0, 256, (NUM, 16, 18, 3), np.uint8)
LABELS = np.arange(NUM) % 4
SPLIT = ["test"] * 20 + ["train"] * 120


def table(folder: Path, image: Any, **columns: Any) -> Path:
    pq.write_table(pa.table({"image": image, **columns}), folder / "mine.parquet", row_group_size=50)
    return folder / "mine.parquet"


def encoded(image: NDArray[np.uint8], kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind)
    return stream.getvalue()


def nested(images: NDArray[Any], *, fixed: bool = False) -> pa.Array:
    array = pa.array(images.reshape(-1))
    for length in images.shape[:0:-1]:
        offsets = np.arange(0, len(array) + 1, length, dtype=np.int32)
        array = (
            pa.FixedSizeListArray.from_arrays(array, length) if fixed else pa.ListArray.from_arrays(offsets, array)
        )
    return array


def files(images: NDArray[np.uint8], kind: str = "PNG") -> list[bytes]:
    return [encoded(image, kind) for image in images]


def structs(images: NDArray[np.uint8]) -> list[dict[str, Any]]:
    return [{"bytes": content, "path": None} for content in files(images)]


def complaint(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        load_source(str(path))
    message = str(caught.value)
    assert message.isprintable()
    assert str(path) in message
    return message


GREY: dict[str, Callable[[], Any]] = {
    "lists of rows": lambda: nested(IMAGES),
    "fixed lists of rows": lambda: nested(IMAGES, fixed=True),
    "flat lists": lambda: nested(IMAGES.reshape(NUM, -1)),
    "flat fixed lists of floats": lambda: nested(IMAGES.reshape(NUM, -1) / 255, fixed=True),
    "lists of rows of pixels of a channel": lambda: nested(IMAGES[..., None].astype(np.int64)),
    "files": lambda: files(IMAGES),
    "bitmaps in large binary": lambda: pa.array(files(IMAGES, "BMP"), pa.large_binary()),
    "Hugging Face's structs": lambda: structs(IMAGES),
}


@pytest.mark.parametrize("kind", GREY)
def test_grey_images_of_every_kind_are_the_same_images(tmp_path: Path, kind: str) -> None:
    dataset = load_source(str(table(tmp_path, GREY[kind](), label=LABELS, split=SPLIT)))
    assert np.array_equal(dataset.train_images, IMAGES[20:])
    assert np.array_equal(dataset.test_images, IMAGES[:20])
    assert np.array_equal(dataset.train_labels, LABELS[20:])
    assert (dataset.name, dataset.class_names) == ("mine", ("0", "1", "2", "3"))


@pytest.mark.parametrize("kind", [nested, files, structs])
def test_coloured_images_end_with_their_channels_first(tmp_path: Path, kind: Callable[[Any], Any]) -> None:
    dataset = load_source(str(table(tmp_path, kind(COLOURS), split=SPLIT)))
    assert np.array_equal(dataset.train_images, COLOURS[20:].transpose(0, 3, 1, 2))
    assert dataset.train_labels is None


def test_where_some_images_have_colours_the_grey_ones_have_equal_channels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_tables, "_MAX_ROWS", 16)
    mixed = [*files(IMAGES[:60]), *files(COLOURS[60:, :, :16])]
    dataset = load_source(str(table(tmp_path, mixed, split=SPLIT)))
    assert np.array_equal(dataset.train_images[0], np.stack([IMAGES[20]] * 3))
    assert np.array_equal(dataset.train_images[-1], COLOURS[-1, :, :16].transpose(2, 0, 1))


TEXTS = np.array(["b", "a", "é", "d"])[LABELS]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (TEXTS, ("a", "b", "d", "é")),
        (pa.array(TEXTS).dictionary_encode(), ("a", "b", "d", "é")),
        (pa.array(TEXTS, pa.large_string()), ("a", "b", "d", "é")),
        (LABELS % 2 == 1, ("False", "True")),
        (LABELS.astype(np.int8) - 2, ("-2", "-1", "0", "1")),
    ],
)
def test_classes_are_the_sorted_labels_as_text(tmp_path: Path, labels: Any, names: tuple[str, ...]) -> None:
    dataset = load_source(str(table(tmp_path, nested(IMAGES), label=labels, split=SPLIT)))
    assert dataset.class_names == names
    values = [str(value) for value in pa.array(labels).to_pylist()]
    assert [names[index] for index in dataset.train_labels] == values[20:]


def test_without_a_split_a_seventh_is_drawn(tmp_path: Path) -> None:
    dataset = load_source(str(table(tmp_path, nested(IMAGES), label=LABELS)))
    assert np.bincount(dataset.test_labels).tolist() == [5] * 4


def ragged(number: int, images: NDArray[np.uint8]) -> list[Any]:
    rows = [image.tolist() for image in IMAGES]
    rows[number] = images.tolist()
    return rows


def with_one(number: int, value: Any, values: list[Any]) -> list[Any]:
    return [value if index == number else it for index, it in enumerate(values)]


BAD_TABLES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no column": (lambda it: renamed(it, "img"), "has 0 columns image among img; give one"),
    "no rows": (lambda it: table(it, nested(IMAGES[:0])), "is empty: it has no rows"),
    "text": (lambda it: table(it, ["a.png"] * NUM), ": image is of type string; give encoded image files (binary)"),
    "numbers": (lambda it: table(it, LABELS), ": image is of type int64; give encoded"),
    "lists of text": (lambda it: table(it, [["a"]] * NUM), ": image is of type list<"),
    "no square": (
        lambda it: table(it, nested(IMAGES[:, 1:].reshape(NUM, -1))),
        ": image is a list of 240 numbers, no",
    ),
    "missing image": (lambda it: table(it, with_one(77, None, files(IMAGES))), ": image of row 77 is missing"),
    "path only": (
        lambda it: table(it, with_one(77, {"bytes": None, "path": "a.png"}, structs(IMAGES))),
        ": image's bytes of row 77 is missing",
    ),
    "missing number": (
        lambda it: table(it, ragged(77, np.where(IMAGES[77] > 99, 1, None))),
        ": image has numbers that are missing",
    ),
    "empty lists": (lambda it: table(it, pa.array([[]] * NUM, pa.list_(pa.uint8()))), "0 pixels high and 0 wide"),
    "fewer rows": (
        lambda it: table(it, ragged(77, IMAGES[77, 1:])),
        ": image has a list of 15 in row 77, of 16 in row",
    ),
    "shorter rows": (
        lambda it: table(it, ragged(77, IMAGES[77, :, 1:])),
        ": image has a list of 15 in row 77, of 16",
    ),
    "another size": (
        lambda it: table(it, with_one(47, encoded(COLOURS[77]), files(IMAGES))),
        ": image of row 0 is 16 pixels high and 16 wide, ",
    ),
    "no image": (
        lambda it: table(it, with_one(77, b"hello", files(IMAGES))),
        ": image of row 77 is no image that can",
    ),
    "half an image": (
        lambda it: table(it, with_one(77, encoded(IMAGES[77])[:90], files(IMAGES))),
        ": image of row 77 is a damaged image",
    ),
    "large image": (
        lambda it: table(it, with_one(77, encoded(np.zeros((16, 65), np.uint8)), files(IMAGES))),
        ": image of row 77 is 16 pixels high and 65 wide; resize",
    ),
    "floats to 255": (lambda it: table(it, nested(IMAGES * 1.0)), ": image has floats from 0 to 255; give them from"),
    "above 255": (lambda it: table(it, nested(IMAGES.astype(int) * 2)), ": image has integers from 0 to 510"),
    "missing label": (
        lambda it: table(it, nested(IMAGES), label=with_one(77, None, LABELS.tolist())),
        ": label of row 77 is missing",
    ),
    "floats as labels": (lambda it: table(it, nested(IMAGES), label=LABELS / 1), ": label is of type double; give"),
    "lists as labels": (lambda it: table(it, nested(IMAGES), label=[[1]] * NUM), ": label is of type list<"),
    "no values as labels": (lambda it: table(it, nested(IMAGES), label=[None] * NUM), ": label of row 0 is missing"),
    "many texts": (
        lambda it: table(it, nested(np.tile(IMAGES, (2, 1, 1))), label=[str(number) for number in range(2 * NUM)]),
        ": label has 280 different texts; there can be 256 at most",
    ),
    "long text": (
        lambda it: table(it, nested(IMAGES), label=["a" * 101] * NUM),
        ": label has the text 'aaaaaaaaaaaaaaa",
    ),
    "one class": (lambda it: table(it, nested(IMAGES), label=["a"] * NUM), "has one class only, 'a'; give at least"),
    "other split": (
        lambda it: table(it, nested(IMAGES), split=with_one(77, "validation", SPLIT)),
        ": split has 'test', 'train', 'validation'; give train and test",
    ),
    "one split": (lambda it: table(it, nested(IMAGES), split=["train"] * NUM), ": split has 'train'; give train and"),
    "missing split": (lambda it: table(it, nested(IMAGES), split=with_one(7, None, SPLIT)), ": split of row 7 is"),
    "numbers as split": (
        lambda it: table(it, nested(IMAGES), split=LABELS),
        ": split is of type int64; give the texts",
    ),
    "class of test only": (
        lambda it: table(it, nested(IMAGES), label=with_one(7, 9, LABELS.tolist()), split=SPLIT),
        "has test images of the class 9, of which there are no training images",
    ),
    "no parquet": (lambda it: written(it, b"hello"), "cannot be read: Parquet"),
    "empty file": (lambda it: written(it, b""), "cannot be read: Parquet file size is 0 bytes"),
    "broken off": (lambda it: written(it, table(it, nested(IMAGES)).read_bytes()[:-9]), "cannot be read: Parquet"),
}


def renamed(folder: Path, name: str) -> Path:
    pq.write_table(pa.table({name: nested(IMAGES)}), folder / "mine.parquet")
    return folder / "mine.parquet"


def written(folder: Path, content: bytes) -> Path:
    (folder / "mine.parquet").write_bytes(content)
    return folder / "mine.parquet"


@pytest.mark.parametrize("case", BAD_TABLES)
def test_bad_tables_are_named_in_one_line_with_what_is_wrong(tmp_path: Path, case: str) -> None:
    make, expected = BAD_TABLES[case]
    assert expected in complaint(make(tmp_path))


def test_batches_of_different_sizes_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_tables, "_MAX_ROWS", 70)
    path = table(tmp_path, [*files(IMAGES[:70]), *files(COLOURS[70:])])
    assert ": image has images of 16 x 16 and of 16 x 18 pixels; resize" in complaint(path)


@pytest.mark.parametrize("kind", ["numbers", "files"])
def test_a_table_that_would_outgrow_the_memory_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    zeros = np.zeros((60_000, 16, 16), np.int64)
    content = nested(zeros) if kind == "numbers" else [encoded(IMAGES[0]) + bytes(40_000_000)] * 2
    pq.write_table(pa.table({"image": content}), tmp_path / "mine.parquet", compression="zstd")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 64 << 20}))
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", lambda *args, **options: pytest.fail("it is unpacked"))
    path = tmp_path / "mine.parquet"
    assert path.stat().st_size < 4 << 20
    assert "MB unpacked, more than half of the 67 MB of memory that are free" in complaint(path)


def test_rows_are_read_a_few_at_once_where_each_may_be_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.parquet"
    pq.write_table(pa.table({"image": [encoded(IMAGES[0]) + bytes(1_000_000)] * NUM}), path, compression="zstd")
    assert path.stat().st_size < 100_000, "all rows are one entry of a dictionary"
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 64_000_000}))
    sizes, iterate = [], pq.ParquetFile.iter_batches

    def spied(*args: Any, **options: Any) -> Any:
        for batch in iterate(*args, **options):
            sizes.append(batch.nbytes)
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", spied)
    assert len(load_source(str(path)).train_images) == 120
    assert max(sizes) < 64_000_000 / 8


def test_damaged_tables_of_any_kind_are_read_or_named(tmp_path: Path) -> None:
    dice, outcomes = random.Random(3), set()
    sound = table(tmp_path, files(IMAGES), label=TEXTS, split=SPLIT).read_bytes()
    for _ in range(200):
        content = bytearray(sound)
        for place in (len(content) - 1 - dice.randrange(900), dice.randrange(len(content))):
            content[place] = dice.randrange(256)
        try:
            load_source(str(written(tmp_path, content)))
        except DataError as error:
            outcomes.add(str(error))
    assert all(line.startswith(f"{tmp_path / 'mine.parquet'}") and line.isprintable() for line in outcomes)
    assert len(outcomes) > 5
