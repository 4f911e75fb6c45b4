"""A user's own folder of image files is read; what is wrong with it is said in one line that names the culprit."""

import io
import os
import random
import socket
import struct
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from trainables import own_folders
from trainables.dataset import DataError, Dataset
from trainables.own_pixels import decoded
from trainables.sources import load_source

NUM = 140
IMAGES = np.random.default_rng(5).integers(0, 256, (NUM, 16, 18), np.uint8)
COLOURS = np.random.default_rng(6).integers(0, 256, (NUM, 16, 18, 3), np.uint8)


def put(path: Path, image: NDArray[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def flat(folder: Path, images: NDArray[Any] = IMAGES) -> Path:
    for number, image in enumerate(images):
        put(folder / f"{number:03}.png", image)
    return folder


def classed(folder: Path, images: NDArray[Any] = IMAGES) -> Path:
    """Every class has consecutive images, 35 of the 140."""
    for number, image in enumerate(images):
        put(folder / "dcba"[number * 4 // len(images)] / f"{number:03}.png", image)
    return folder


def parted(folder: Path, write: Callable[[Path, NDArray[Any]], Path]) -> Path:
    write(folder / "train", IMAGES[:120])
    write(folder / "test", IMAGES[120:])
    return folder


def complaint(folder: Path, culprit: Path | None = None) -> str:
    with pytest.raises(DataError) as caught:
        load_source(str(folder))
    message = str(caught.value)
    assert message.isprintable()
    assert str(culprit or folder) in message
    return message


def as_set(images: NDArray[np.uint8]) -> set[bytes]:
    return {image.tobytes() for image in images}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "my images"


def test_files_in_one_folder_are_images_without_labels(folder: Path) -> None:
    dataset = load_source(str(flat(folder)))
    assert (dataset.name, dataset.class_names, dataset.train_labels) == ("my images", (), None)
    assert (len(dataset.train_images), len(dataset.test_images)) == (120, 20)
    assert as_set(dataset.train_images) | as_set(dataset.test_images) == as_set(IMAGES)


def check_labels(images: NDArray[np.uint8], labels: NDArray[np.uint8], num_of_all: int, first: int) -> None:
    numbers = {image.tobytes(): number - first for number, image in enumerate(IMAGES)}
    assert [3 - numbers[image.tobytes()] * 4 // num_of_all for image in images] == labels.tolist()


def test_a_folder_for_each_class_gives_labels_and_a_test_part_of_every_class(folder: Path) -> None:
    dataset = load_source(str(classed(folder)))
    assert dataset.class_names == ("a", "b", "c", "d")
    assert np.bincount(dataset.test_labels).tolist() == [5] * 4
    check_labels(dataset.train_images, dataset.train_labels, NUM, 0)
    check_labels(dataset.test_images, dataset.test_labels, NUM, 0)


def test_folders_train_and_test_are_the_parts(folder: Path) -> None:
    dataset = load_source(str(parted(folder, classed)))
    assert as_set(dataset.test_images) == as_set(IMAGES[120:])
    check_labels(dataset.train_images, dataset.train_labels, 120, 0)
    check_labels(dataset.test_images, dataset.test_labels, 20, 120)


def test_parts_may_be_without_labels_and_in_capitals(folder: Path) -> None:
    parted(folder, flat)
    for part in ("train", "test"):
        (folder / part).rename(folder / part.capitalize())
    dataset = load_source(str(folder))
    assert as_set(dataset.test_images) == as_set(IMAGES[120:])
    assert dataset.test_labels is None


def test_both_parts_are_shuffled_always_in_the_same_way(folder: Path) -> None:
    dataset, again = load_source(str(parted(folder, classed))), load_source(str(folder))
    for labels in (dataset.train_labels, dataset.test_labels):
        assert np.count_nonzero(np.diff(labels)) > 8, "by class they would change three times"
    assert again.checksum == dataset.checksum
    assert np.array_equal(again.train_images, dataset.train_images)


def test_relative_paths_and_the_home_and_links_to_folders_work(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checksum = load_source(str(classed(folder))).checksum
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(folder)
    (tmp_path / "links").mkdir()
    for name in "abcd":
        (tmp_path / "links" / name).symlink_to(folder / name)
    for source in (".", "../my images/", "~/my images", str(tmp_path / "links")):
        dataset = load_source(source)
        assert dataset.checksum == checksum
        assert dataset.name == ("links" if "links" in source else "my images")


def test_what_computers_and_people_put_beside_images_is_passed_over_at_every_level(folder: Path) -> None:
    checksum = load_source(str(parted(folder, classed))).checksum
    for place in (folder, folder / "train", folder / "test" / "a"):
        for name in (
            "Thumbs.db",
            ".DS_Store",
            "desktop.ini",
            "README.md",
            "labels.CSV",
            "a.txt",
            "b.json",
            "._1.png",
        ):
            (place / name).write_bytes(b"no image")
        (place / "__MACOSX").mkdir()
        (place / ".git").mkdir()
    assert load_source(str(folder)).checksum == checksum


KINDS = {"png": 0, "bmp": 0, "tiff": 0, "webp": 3, "gif": 0, "jpg": 12}
"""How far a grey level may be off."""


@pytest.mark.parametrize("kind", KINDS)
def test_image_files_of_every_kind_are_read(folder: Path, kind: str) -> None:
    shades = np.repeat(np.arange(NUM, dtype=np.uint8), 16 * 18).reshape(IMAGES.shape)
    for number, image in enumerate(shades):
        put(folder / f"{number}.{kind}", image)
    dataset = load_source(str(folder))
    images = np.concatenate([dataset.train_images, dataset.test_images])
    assert images.shape == ((NUM, 3, 16, 18) if kind == "webp" else (NUM, 16, 18)), "WebP knows no grey"
    levels = np.sort(images[..., 3, 3].reshape(NUM, -1)[:, 0])
    assert (abs(levels.astype(int) - np.arange(NUM)) <= KINDS[kind]).all()


def one_odd(folder: Path, image: Image.Image) -> Dataset:
    folder.mkdir()
    for number in range(139):
        put(folder / f"{number}.png", IMAGES[number])
    image.save(folder / "odd.png")
    return load_source(str(folder))


RAMP = np.arange(16 * 18, dtype=np.uint8).reshape(16, 18)
WIDE = Image.fromarray(np.maximum(RAMP.astype(np.uint16) * 257, 100) - 100)
MODES: dict[str, tuple[Image.Image, NDArray[Any]]] = {
    "1": (Image.fromarray(RAMP).convert("1", dither=Image.Dither.NONE), np.where(RAMP > 127, 255, 0)),
    "I;16": (WIDE, RAMP),
    "LA": (Image.merge("LA", [Image.fromarray(RAMP), Image.fromarray(RAMP * 0)]), RAMP),
    "RGB": (Image.fromarray(COLOURS[0]), COLOURS[0].transpose(2, 0, 1)),
    "RGBA": (
        Image.merge("RGBA", [*Image.fromarray(COLOURS[0]).split(), Image.fromarray(RAMP)]),
        COLOURS[0].transpose(2, 0, 1),
    ),
    "P": (Image.fromarray(COLOURS[0] // 128 * 255).convert("P"), COLOURS[0].transpose(2, 0, 1) // 128 * 255),
}


@pytest.mark.parametrize("mode", MODES)
def test_pixels_of_every_mode_become_grey_or_red_green_and_blue(folder: Path, mode: str) -> None:
    image, expected = MODES[mode]
    assert image.mode == mode
    dataset = one_odd(folder, image)
    found = [it for it in (*dataset.train_images, *dataset.test_images) if np.array_equal(it, expected)]
    assert len(found) == 1
    if expected.ndim == 3:
        assert dataset.train_images.shape == (120, 3, 16, 18)
        grey = np.stack([IMAGES[7]] * 3).tobytes()
        assert grey in as_set(dataset.train_images) | as_set(dataset.test_images)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_of_size(rows: int, columns: int) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def animated(path: Path) -> None:
    first, *others = (Image.fromarray(image) for image in IMAGES[:3])
    first.save(path, save_all=True, append_images=others)


BAD_FILES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "no image": ("x.png", lambda path: path.write_bytes(b"hello"), " is no image that can be read; remove it"),
    "empty file": ("x.png", lambda path: path.write_bytes(b""), " is no image that can be read; remove it"),
    "another file": ("x.pdf", lambda path: path.write_bytes(b"%PDF-1.5"), " is no image that can be read; remove it"),
    "a program in PostScript": (
        "x.eps",
        lambda path: Image.fromarray(COLOURS[0]).save(path),
        " is no image that can be read; remove it",
    ),
    "half an image": (
        "x.png",
        lambda path: put(path, IMAGES[0]).write_bytes(path.read_bytes()[:200]),
        " is a damaged image: ",
    ),
    "half a JPEG": (
        "x.jpg",
        lambda path: put(path, IMAGES[0]).write_bytes(path.read_bytes()[:-60]),
        " is a damaged image: ",
    ),
    "another size": ("x.png", lambda path: put(path, IMAGES[0].T), " 18 and 16; resize all to one size"),
    "small": ("x.png", lambda path: put(path, IMAGES[0, :15]), " is 15 pixels high and 18 wide; resize to 16 to 64"),
    "large": (
        "x.png",
        lambda path: put(path, np.zeros((65, 16), np.uint8)),
        " is 65 pixels high and 16 wide; resize",
    ),
    "bomb": (
        "x.png",
        lambda path: path.write_bytes(png_of_size(10_000, 10_000)),
        " is 10000 pixels high and 10000 wide",
    ),
    "far larger bomb": (
        "x.png",
        lambda path: path.write_bytes(png_of_size(60_000, 60_000)),
        " is far too large; resize",
    ),
    "long file": (
        "x.bmp",
        lambda path: (put(path, IMAGES[0]), os.truncate(path, 1 << 38)),
        " has more than 16777216 ",
    ),
    "several frames": ("x.gif", animated, " has several frames; give one image a file"),
    "32 bits": (
        "x.tiff",
        lambda path: put(path, IMAGES[0] / np.float32(7)),
        " has 32 bits a pixel, of unknown range",
    ),
    "pipe": ("x.png", os.mkfifo, " is no file but a pipe, a socket or a device; remove it"),
    "device": ("x.png", lambda path: path.symlink_to("/dev/zero"), " is no file but a pipe, a socket or a device"),
    "dangling link": ("x.png", lambda path: path.symlink_to("nowhere"), " cannot be read: No such file or directory"),
    "link to itself": (
        "x.png",
        lambda path: path.symlink_to("x.png"),
        " cannot be read: Too many levels of symbolic",
    ),
    "line break": ("x\n.png", lambda path: path.write_bytes(b"hello"), " is no image that can be read"),
    "no text": ("x\udcff.png", lambda path: path.write_bytes(b"hello"), " is no image that can be read"),
}


@pytest.mark.parametrize("layout", [flat, classed])
@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file_among_good_ones_is_named_in_one_line(
    folder: Path, layout: Callable[[Path], Path], case: str
) -> None:
    name, make, expected = BAD_FILES[case]
    path = layout(folder) / ("b" if layout is classed else "") / name
    make(path)
    shown = str(path).encode("unicode_escape").decode()
    with warnings.catch_warnings(record=True) as warned:
        assert f"{shown}{expected}" in complaint(folder, Path(shown))
    assert warned == [], "they would be further lines"


def remove(folder: Path, *names: str) -> None:
    for name in names:
        for path in (folder / name).iterdir():
            path.unlink()


BAD_FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda it: it.mkdir(), " has no images; give image files, a .npz or a .parquet"),
    "notes only": (lambda it: (it.mkdir(), (it / "a.txt").touch()), " has no images; give image files"),
    "few": (
        lambda it: flat(it, IMAGES[:139]),
        ", of whose 139 images 0.143 are to test on, gives 119 training images",
    ),
    "one class": (lambda it: flat(it / "a"), " has one class only, 'a'; give at least two, or no labels"),
    "class without images": (lambda it: (classed(it) / "e").mkdir(), "/e has no images; remove it, or add images"),
    "file beside classes": (
        lambda it: put(classed(it) / "1.png", IMAGES[0]),
        "/1.png lies beside folders of classes",
    ),
    "folder in a class": (lambda it: flat(classed(it) / "b" / "c"), "/b/c is a folder in the folder of a class"),
    "link to the folder itself": (
        lambda it: (classed(it) / "e").symlink_to(it),
        "/e is a link to a folder that it lies",
    ),
    "link in a class": (
        lambda it: (classed(it) / "a" / "e").symlink_to(it),
        "/a/e is a folder in the folder of a class",
    ),
    "third part": (lambda it: flat(parted(it, flat) / "val"), "/val lies beside train and test; move it"),
    "file beside parts": (lambda it: put(parted(it, flat) / "x.png", IMAGES[0]), "/x.png lies beside train and test"),
    "empty part": (lambda it: remove(parted(it, flat), "test"), "/test has no images; give image files"),
    "part of parts": (lambda it: parted(it / "train", flat), "/train/test is a folder in the folder of a class"),
    "small test part": (lambda it: remove(parted(it, classed), "test/a"), "/test/a has no images; remove it"),
    "labels of one part": (
        lambda it: (flat(it / "train"), classed(it / "test")),
        " has no labels for its training images; give both parts",
    ),
    "labels of the other part": (
        lambda it: (classed(it / "train"), flat(it / "test")),
        " has no labels for its test images; give both parts",
    ),
    "class of test only": (
        lambda it: flat(parted(it, classed) / "test" / "e"),
        " has test images of the class 'e', of which there are no",
    ),
    "parts of two sizes": (
        lambda it: (flat(it / "train"), flat(it / "test", IMAGES[:, :, :16])),
        " has training images of shape (16, 18) and",
    ),
    "part with a link": (
        lambda it: (parted(it, classed) / "test" / "e").symlink_to(it),
        "/test/e is a link to a folder",
    ),
}


@pytest.mark.parametrize("case", BAD_FOLDERS)
def test_bad_folder_is_named_in_one_line(folder: Path, case: str) -> None:
    make, expected = BAD_FOLDERS[case]
    make(folder)
    assert f"{folder}{expected}" in complaint(folder)


def test_a_file_that_changes_its_name_while_the_others_are_read_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def renaming(path: Path) -> NDArray[np.uint8]:
        if path.name == "050.png":
            (folder / "139.png").rename(folder / "new.png")
        return decode(path)

    decode = own_folders._decoded
    monkeypatch.setattr(own_folders, "_decoded", renaming)
    monkeypatch.setattr(own_folders, "_NUM_THREADS", 1)
    assert "cannot be read: No such file" in complaint(flat(folder), folder / "139.png")


@pytest.fixture
def nobody(tmp_path: Path) -> Iterator[Path]:
    """A folder that every user can see, and the rights of one who is not root."""
    with tempfile.TemporaryDirectory(dir="/tmp") as temporary:
        os.chmod(temporary, 0o755)
        yield Path(temporary)
        if os.geteuid() != os.getuid():
            os.seteuid(os.getuid())
        for path in Path(temporary).rglob("*"):
            path.chmod(0o755)


@pytest.mark.parametrize("locked", ["mine/a/000.png", "mine/b", "mine", "mine.npz", "mine.parquet"])
def test_what_may_not_be_read_is_named(nobody: Path, locked: str) -> None:
    flat(nobody / "mine" / "a", IMAGES[:70])
    flat(nobody / "mine" / "b", IMAGES[70:])
    for name in ("mine.npz", "mine.parquet"):
        (nobody / name).write_bytes(b"PAR1")
    (nobody / locked).chmod(0)
    if os.geteuid() == 0:
        os.seteuid(65534)
    source = nobody / Path(locked).parts[0]
    assert complaint(source, nobody / locked).startswith(f"{nobody / locked} cannot be read: Permission denied")


def test_ten_thousand_files_are_read_in_a_few_seconds(folder: Path) -> None:
    import time

    content = io.BytesIO()
    Image.fromarray(IMAGES[0]).save(content, "PNG")
    folder.mkdir()
    for number in range(10_000):
        (folder / f"{number}.png").write_bytes(content.getvalue())
    begun = time.perf_counter()
    load_source(str(folder))
    assert time.perf_counter() - begun < 20


def test_pipes_sockets_and_unknown_endings_are_no_sources(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.npz"))
    for name in ("pipe.npz", "s.npz"):
        assert "is no file but a pipe, a socket or a device" in complaint(tmp_path / name)
    for name in ("images.npy", "images", "images.zip"):
        (tmp_path / name).touch()
        assert "has an ending that is not known; give a .npz, a .parquet or a folder" in complaint(tmp_path / name)
    (tmp_path / "loop").symlink_to("loop")
    assert "cannot be read: Too many levels of symbolic links" in complaint(tmp_path / "loop")
    (tmp_path / "gone").symlink_to("nowhere")
    assert "cannot be read: No such file" in complaint(tmp_path / "gone")


def test_ending_may_be_in_capitals(tmp_path: Path) -> None:
    with (tmp_path / "MINE.NPZ").open("wb") as file:
        np.savez(file, images=IMAGES)
    assert load_source(str(tmp_path / "MINE.NPZ")).name == "MINE"


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "gif", "webp", "tiff"])
def test_damaged_image_files_of_any_kind_are_read_or_named(tmp_path: Path, kind: str) -> None:
    dice = random.Random(3)
    sound, outcomes = put(tmp_path / f"x.{kind}", COLOURS[0]).read_bytes(), set()
    with warnings.catch_warnings(action="ignore"):
        for _ in range(300):
            content = bytearray(sound)
            for place in (dice.randrange(min(200, len(content))), dice.randrange(len(content))):
                content[place] = dice.randrange(256)
            try:
                decoded("it", bytes(content))
            except DataError as error:
                outcomes.add(str(error))
    assert all(line.startswith("it ") and "\n" not in line for line in outcomes)
    assert outcomes
