"""A user's own .npz is read; what is wrong with it is said in one line that names the culprit."""

import io
import os
import random
import struct
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trainables.dataset import DataError, Dataset
from trainables.sources.find import load_source
from trainables.sources.own import by_class, drawn

NUM = 140
IMAGES = np.random.default_rng(5).integers(0, 256, (NUM, 16, 18), np.uint8)
LABELS = np.arange(NUM) % 4
TEST_IMAGES, TEST_LABELS = IMAGES[:20], LABELS[:20]
PARTS = {"train_images": IMAGES, "train_labels": LABELS, "test_images": TEST_IMAGES, "test_labels": TEST_LABELS}


def saved(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "mine.npz", **arrays)
    return folder / "mine.npz"


def complaint(path: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        load_source(str(path), **options)
    message = str(caught.value)
    assert message.isprintable()
    assert str(path) in message
    return message


def whole(dataset: Dataset) -> NDArray[np.uint8]:
    """All images, each as a row, sorted."""
    images = np.concatenate([dataset.train_images, dataset.test_images])
    return np.unique(images.reshape(len(images), -1), axis=0)


@pytest.mark.parametrize("keys", [tuple(PARTS), ("x_train", "y_train", "x_test", "y_test")])
def test_parts_of_an_npz_are_read_as_they_are_under_our_names_and_kerass(
    tmp_path: Path, keys: tuple[str, ...]
) -> None:
    dataset = load_source(str(saved(tmp_path, **dict(zip(keys, PARTS.values(), strict=True)))))
    assert np.array_equal(dataset.train_images, IMAGES)
    assert np.array_equal(dataset.test_images, TEST_IMAGES)
    assert np.array_equal(dataset.train_labels, LABELS)
    assert np.array_equal(dataset.test_labels, TEST_LABELS)
    assert (dataset.name, dataset.class_names) == ("mine", ("0", "1", "2", "3"))
    assert not any(array.flags.writeable for array in (dataset.train_images, dataset.train_labels))


def test_parts_without_labels_have_no_classes(tmp_path: Path) -> None:
    dataset = load_source(str(saved(tmp_path, train_images=IMAGES, test_images=TEST_IMAGES)))
    assert (dataset.train_labels, dataset.test_labels, dataset.class_names) == (None, None, ())


SHAPES: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "(n, H, W, 1)": lambda images: images[..., None],
    "(n, 1, H, W)": lambda images: images[:, None],
    "int64": lambda images: images.astype(np.int64),
    "big-endian": lambda images: images.astype(">i2"),
    "Fortran's order": np.asfortranarray,
    "float64": lambda images: images / 255,
    "floats a little too low": lambda images: (images / 255 - 0.001).clip(0),
    "float32": lambda images: (images / 255).astype(np.float32),
    "float16": lambda images: (images / 255).astype(np.float16),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_grey_images_may_have_an_axis_of_one_channel_and_any_plain_type(tmp_path: Path, shape: str) -> None:
    dataset = load_source(str(saved(tmp_path, train_images=SHAPES[shape](IMAGES), test_images=TEST_IMAGES)))
    assert np.array_equal(dataset.train_images, IMAGES)


@pytest.mark.parametrize("axis", [1, 3])
def test_channels_of_coloured_images_may_come_first_or_last_and_end_first(tmp_path: Path, axis: int) -> None:
    colours = np.stack([IMAGES, 255 - IMAGES, IMAGES // 2], axis=1)
    dataset = load_source(
        str(saved(tmp_path, **{f"{it}_images": np.moveaxis(colours, 1, axis) for it in ("train", "test")}))
    )
    assert np.array_equal(dataset.train_images, colours)
    assert dataset.train_images.flags.c_contiguous


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (LABELS * 10 - 10, ("-10", "0", "10", "20")),
        (LABELS.astype(np.uint64)[:, None], ("0", "1", "2", "3")),
        (np.array(["b", "a", "é", "d"])[LABELS], ("a", "b", "d", "é")),
        (np.array([b"b", b"a"])[LABELS % 2], ("a", "b")),
        (LABELS % 2 == 0, ("False", "True")),
    ],
)
def test_classes_are_the_sorted_labels_as_text(tmp_path: Path, labels: Any, names: tuple[str, ...]) -> None:
    path = saved(
        tmp_path, train_images=IMAGES, train_labels=labels, test_images=IMAGES[::-1], test_labels=labels[::-1]
    )
    dataset = load_source(str(path))
    assert dataset.class_names == names
    assert dataset.train_labels.dtype == np.uint8
    values = [label.decode() if isinstance(label, bytes) else str(label) for label in labels.reshape(-1).tolist()]
    assert [names[index] for index in dataset.train_labels] == values


def test_without_a_test_part_a_seventh_is_drawn_class_by_class_and_the_rest_keeps_its_order(tmp_path: Path) -> None:
    path = saved(tmp_path, images=IMAGES, labels=LABELS)
    dataset, again = load_source(str(path)), load_source(str(path))
    assert np.bincount(dataset.test_labels).tolist() == [5] * 4
    kept = [image.tobytes() for image in dataset.train_images]
    assert kept == [image.tobytes() for image in IMAGES if image.tobytes() in set(kept)]
    assert len(whole(dataset)) == NUM
    assert again.checksum == dataset.checksum
    labels = {image.tobytes(): label for image, label in zip(IMAGES, LABELS, strict=True)}
    assert [labels[it.tobytes()] for it in dataset.test_images] == dataset.test_labels.tolist()


@pytest.mark.parametrize("test_too", [False, True])
@pytest.mark.parametrize("sizes", [(70, 70), (120, 20), (30, 40, 30, 40), (0, 10, 130)])
def test_images_that_stand_class_by_class_are_shuffled_so_that_every_part_has_all_classes(
    tmp_path: Path, sizes: tuple[int, ...], test_too: bool
) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)[::-1]
    test = {"test_images": TEST_IMAGES, "test_labels": labels[:: NUM // 20]}
    names = ("train_images", "train_labels") if test_too else ("images", "labels")
    dataset = load_source(
        str(saved(tmp_path, **dict(zip(names, (IMAGES, labels), strict=True)), **(test if test_too else {})))
    )
    assert dataset.train_labels is not None
    until = len(dataset.train_labels) * 5 // 6
    for part in (dataset.train_labels[:until], dataset.train_labels[until:]):
        assert set(part.tolist()) == set(range(len(dataset.class_names)))
    told = {image.tobytes(): label for image, label in zip(IMAGES, labels, strict=True)}
    first = min(size for size in range(len(sizes)) if sizes[size])
    assert [told[it.tobytes()] - first for it in dataset.train_images] == dataset.train_labels.tolist()


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**31), num_classes=st.integers(1, 12), number=st.integers(20, 2_000))
def test_images_in_an_order_of_chance_are_not_taken_for_such(seed: int, num_classes: int, number: int) -> None:
    draws = np.random.default_rng(seed)
    taken = [by_class(draws.integers(0, num_classes, number).astype(np.uint8)) for _ in range(20)]
    assert not any(taken)


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=12).filter(lambda sizes: sum(sizes) > 1),
    share=st.floats(0.01, 0.6),
)
@settings(max_examples=100, deadline=None)
def test_of_every_class_as_near_as_may_be_its_share_is_drawn_and_one_is_kept(sizes: list[int], share: float) -> None:
    classes = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes)).astype(np.uint8)
    num_drawn = max(1, round(share * len(classes)))
    mask = drawn(classes, num_drawn, keep=1)
    counts = np.bincount(classes[mask], minlength=len(sizes))
    quotas = np.array(sizes) * num_drawn / len(classes)
    assert (counts < np.array(sizes)).all()
    assert (abs(counts - quotas) <= 1).all()
    assert counts.sum() == num_drawn or (min(sizes) <= 2 and counts.sum() < num_drawn)
    assert np.array_equal(mask, drawn(classes, num_drawn, keep=1))


def test_the_checksum_tells_images_labels_and_names_apart_and_not_files(tmp_path: Path) -> None:
    changed = IMAGES.copy()
    changed[0, 0, 0] ^= 1
    variants = [{}, {"train_images": changed}, {"train_labels": LABELS[::-1]}, {"test_images": changed[:20]}]
    checksums = {load_source(str(saved(tmp_path, **{**PARTS, **it}))).checksum for it in variants}
    names = np.array(["a", "b", "c", "d"])
    named = {**PARTS, "train_labels": names[LABELS], "test_labels": names[TEST_LABELS]}
    checksums.add(load_source(str(saved(tmp_path, **named))).checksum)
    assert len(checksums) == 5
    path = tmp_path / "other.npz"
    np.savez_compressed(path, **PARTS)
    assert load_source(str(path)).checksum in checksums


BAD_ARRAYS: dict[str, tuple[dict[str, Any], str]] = {
    "no arrays": ({}, "has no arrays; give the arrays images, or train_images and test_images"),
    "other names": ({"data": IMAGES}, "has data; give the arrays images"),
    "two layouts": ({"images": IMAGES, "x_train": IMAGES}, "has images under several names"),
    "no test images": ({"train_images": IMAGES}, "has no array test_images"),
    "no training images": ({"x_test": IMAGES}, "has no array x_train"),
    "labels of one part": ({k: v for k, v in PARTS.items() if k != "test_labels"}, "has no array test_labels"),
    "labels of the other": ({k: v for k, v in PARTS.items() if k != "train_labels"}, "has no array train_labels"),
    "flat": ({"images": IMAGES.reshape(NUM, -1)}, ": images has shape (140, 288); give (n, rows, columns)"),
    "scalar": ({"images": np.uint8(3)}, ": images has shape ()"),
    "four channels": ({"images": np.zeros((NUM, 16, 16, 4), np.uint8)}, ": images has shape (140, 16, 16, 4)"),
    "tiny": ({"images": IMAGES[:, :15]}, "images is 15 pixels high and 18 wide; resize to 16 to 64"),
    "huge": ({"images": np.zeros((NUM, 16, 65), np.uint8)}, "images is 16 pixels high and 65 wide; resize"),
    "objects": ({"images": np.array([None] * NUM)}, ": images holds Python objects, which would be unpickled"),
    "object labels": (
        {"images": IMAGES, "labels": np.array([{}] * NUM)},
        ": labels holds Python objects, which would be unpickled",
    ),
    "fields": ({"images": np.zeros((NUM, 16, 16), [("a", "u1")])}, ": images is of type [('a', 'u1')]"),
    "fields with umlauts": ({"images": np.zeros((NUM, 16, 16), [("ä", "u1"), ("€", "u1")])}, ": images has fields"),
    "complex": ({"images": np.zeros((NUM, 16, 16), complex)}, ": images is of type complex128; give uint8"),
    "bool": ({"images": IMAGES > 99}, ": images is of type bool; give uint8"),
    "times": ({"images": IMAGES.astype("m8[s]")}, ": images is of type timedelta64[s]; give uint8"),
    "negative": ({"images": IMAGES.astype(int) - 1}, ": images has integers from -1 to 254; give them from 0 to 255"),
    "above 255": ({"images": IMAGES.astype(np.uint16) + 1}, ": images has integers from 1 to 256"),
    "floats to 255": ({"images": IMAGES * 1.0}, ": images has floats from 0 to 255; give them from 0 to 1"),
    "floats below 0": ({"images": IMAGES / 127.5 - 1}, ": images has floats from -1 to 1; give them from 0 to 1"),
    "NaN": ({"images": np.where(IMAGES == 7, np.nan, 0)}, ": images has values that are NaN or infinite"),
    "inf": ({"images": np.where(IMAGES == 7, np.inf, 0)}, ": images has values that are NaN or infinite"),
    "empty": ({"images": IMAGES[:0]}, ": images is empty: its shape is (0, 16, 18)"),
    "empty test": ({"train_images": IMAGES, "test_images": IMAGES[:0]}, ": test_images is empty"),
    "few": ({"images": IMAGES[:139]}, "0.143 are to test on, gives 119 training images; at least 120"),
    "few training": ({"train_images": IMAGES[:119], "test_images": TEST_IMAGES}, "gives 119 training images"),
    "few test": (
        {"train_images": IMAGES, "test_images": IMAGES[:19]},
        "gives 19 test images; at least 20 are needed",
    ),
    "two shapes": (
        {"train_images": IMAGES, "test_images": IMAGES[:, :, :16]},
        "has training images of shape (16, 18) and test images of shape (16, 16)",
    ),
    "number of labels": ({"images": IMAGES, "labels": LABELS[:-1]}, ": labels has 139 labels for the 140 of images"),
    "one-hot": ({"images": IMAGES, "labels": np.eye(4)[LABELS]}, ": labels has shape (140, 4); give (n,)"),
    "floats as labels": ({"images": IMAGES, "labels": LABELS * 1.0}, ": labels is of type float64; give integers"),
    "NaN as label": (
        {"images": IMAGES, "labels": np.where(LABELS, 1, np.nan)},
        ": labels is of type float64 with NaN",
    ),
    "dates as labels": ({"images": IMAGES, "labels": LABELS.astype("M8[D]")}, ": labels is of type datetime64[D]"),
    "one class": ({"images": IMAGES, "labels": LABELS * 0}, "has one class only, 0; give at least two, or no labels"),
    "many classes": (
        {"images": np.tile(IMAGES, (3, 1, 1)), "labels": np.arange(3 * NUM)},
        "has 420 different labels",
    ),
    "class of test only": (
        {**PARTS, "test_labels": TEST_LABELS + 1},
        "has test images of the class 4, of which there",
    ),
    "types of labels": (
        {**PARTS, "test_labels": TEST_LABELS.astype(str)},
        "has labels of type int64 to learn from and <U",
    ),
    "nameless class": (
        {"images": IMAGES, "labels": np.array(["", "a"])[LABELS % 2]},
        "has the label '' of 0 characters",
    ),
    "long name": (
        {"images": IMAGES, "labels": np.array(["b" * 101, "a"])[LABELS % 2]},
        "of 101 characters; give 1 to",
    ),
    "bytes not text": (
        {"images": IMAGES, "labels": np.array([b"\xff", b"a"])[LABELS % 2]},
        ": labels has bytes that",
    ),
    "line break": ({**PARTS, "test_labels": np.array(["a\nb"] * 20), "train_labels": LABELS.astype("U9")}, r"'a\nb'"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_bad_arrays_are_named_in_one_line_with_what_is_wrong(tmp_path: Path, case: str) -> None:
    arrays, expected = BAD_ARRAYS[case]
    with warnings.catch_warnings(action="ignore"):  # NumPy's, about the umlauts
        path = saved(tmp_path, **arrays)
    message = complaint(path)
    assert expected in message.replace(r"\\", "\\")


@pytest.mark.parametrize("share", [0, 1, -0.1, float("nan")])
def test_a_share_that_is_none_is_refused(tmp_path: Path, share: float) -> None:
    with pytest.raises(DataError, match=r"share is .*; give one between 0 and 1"):
        load_source(str(saved(tmp_path, images=IMAGES)), test_share=share)


def npy(array: NDArray[Any], **changed: Any) -> bytes:
    stream = io.BytesIO()
    header = {**np.lib.format.header_data_from_array_1_0(array), **changed}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + array.tobytes()


def archived(folder: Path, content: bytes, *, kind: int = zipfile.ZIP_STORED) -> Path:
    path = folder / "mine.npz"
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.writestr("images.npy", content)
    return path


def patched(path: Path, offset_in_entry: int, value: bytes) -> Path:
    """With other bytes in the entry of the first member in the archive's directory, which is what readers believe."""
    content = bytearray(path.read_bytes())
    start = content.index(b"PK\1\2") + offset_in_entry
    content[start : start + len(value)] = value
    path.write_bytes(content)
    return path


DAMAGES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no zip": (lambda folder: written(folder, b"PK or not"), "is no sound .npz: File is not a zip file"),
    "empty file": (lambda folder: written(folder, b""), "is no sound .npz: File is not a zip file"),
    "broken off": (
        lambda folder: written(folder, saved(folder, images=IMAGES).read_bytes()[:-30]),
        "is no sound .npz",
    ),
    "truncated member": (
        lambda folder: archived(folder, npy(IMAGES)[:-5]),
        ": images is truncated or has a wrong header: 40315 bytes where",
    ),
    "longer member": (
        lambda folder: archived(folder, npy(IMAGES) + b"x"),
        ": images is truncated or has a wrong header",
    ),
    "no npy": (
        lambda folder: archived(folder, b"hello, world"),
        ": images is damaged: the magic string is not correct",
    ),
    "empty member": (lambda folder: archived(folder, b""), ": images is damaged: EOF: reading magic string"),
    "negative shape": (
        lambda folder: archived(folder, npy(IMAGES, shape=(-1, 16, 18))),
        ": images has the impossible",
    ),
    "vast shape": (lambda folder: archived(folder, npy(IMAGES, shape=(1 << 60, 16, 18))), ": images would take"),
    "header that is code": (
        lambda folder: archived(folder, npy(IMAGES).replace(b"False", b"exit(")),
        ": images is damaged: EOF in multi-line statement; save it",
    ),
    "bzip2": (
        lambda folder: archived(folder, npy(IMAGES), kind=zipfile.ZIP_BZIP2),
        ": images is packed in a way that",
    ),
    "encrypted": (
        lambda folder: patched(archived(folder, npy(IMAGES)), 8, b"\1"),
        ": images is encrypted; save it without",
    ),
    "checksum": (
        lambda folder: patched(archived(folder, npy(IMAGES)), 16, b"1234"),
        ": images is damaged: Bad CRC-32",
    ),
    "declared too short": (
        lambda folder: patched(archived(folder, npy(IMAGES), kind=zipfile.ZIP_DEFLATED), 24, struct.pack("<I", 1000)),
        ": images is",
    ),
    "declared too long": (
        lambda folder: patched(
            archived(folder, npy(IMAGES), kind=zipfile.ZIP_DEFLATED), 24, struct.pack("<I", 1 << 20)
        ),
        ": images is",
    ),
}


def written(folder: Path, content: bytes) -> Path:
    (folder / "mine.npz").write_bytes(content)
    return folder / "mine.npz"


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_archive_is_named_with_what_is_wrong(tmp_path: Path, damage: str) -> None:
    spoil, expected = DAMAGES[damage]
    try:
        message = complaint(spoil(tmp_path))
    except pytest.fail.Exception:
        assert damage == "declared too long", "the array is whole; what is declared beyond it is not there"
    else:
        assert expected in message


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    complaint(saved(tmp_path, images=np.array([Trap()] * NUM)))
    complaint(saved(tmp_path, images=IMAGES, labels=np.array([Trap()] * NUM)))
    assert not (tmp_path / "sprung").exists()


MB = 1 << 20


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 64 * MB}))


def zip_bomb(folder: Path, *, declared: int | None = None) -> Path:
    """200 MB of zeros in 200 kB."""
    bomb = np.zeros((200 * MB // 1024, 32, 32), np.uint8)
    path = archived(folder, npy(bomb), kind=zipfile.ZIP_DEFLATED)
    return path if declared is None else patched(path, 24, struct.pack("<I", declared))


def peak_bytes_of(read: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("declared", [None, 1 << 20, 31 * MB])
def test_zip_bomb_is_not_unpacked_even_where_it_lies_about_its_size(
    tmp_path: Path, little_memory: None, declared: int | None
) -> None:
    path = zip_bomb(tmp_path, declared=declared)
    assert path.stat().st_size < MB
    messages: list[str] = []
    peak = peak_bytes_of(lambda: messages.append(complaint(path)))
    assert f"would take {200 * MB / 1e6:,.0f} MB unpacked, more than half of the 67 MB of memory" in messages[0]
    assert peak < 4 * MB


def test_header_that_promises_little_has_no_more_than_that_unpacked(tmp_path: Path, little_memory: None) -> None:
    header = npy(np.zeros((NUM, 16, 16), np.uint8))
    path = archived(tmp_path, header + bytes(30 * MB), kind=zipfile.ZIP_DEFLATED)
    messages: list[str] = []
    peak = peak_bytes_of(lambda: messages.append(complaint(path)))
    assert "truncated or has a wrong header" in messages[0]
    assert peak < 4 * MB


def test_damaged_archives_of_any_kind_are_read_or_named(tmp_path: Path) -> None:
    dice, outcomes = random.Random(3), set()
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "sound.npz", **PARTS)
        sound = (tmp_path / "sound.npz").read_bytes()
        for _ in range(150):
            content = bytearray(sound)
            near_an_end = dice.choice([dice.randrange(200), len(content) - 1 - dice.randrange(500)])
            for place in (near_an_end, dice.randrange(len(content))):
                content[place] = dice.randrange(256)
            (tmp_path / "mine.npz").write_bytes(content)
            try:
                load_source(str(tmp_path / "mine.npz"))
            except DataError as error:
                outcomes.add(str(error))
    assert all(line.startswith(f"{tmp_path / 'mine.npz'}") and line.isprintable() for line in outcomes)
    assert len({line[len(str(tmp_path)) :][:40] for line in outcomes}) > 5
