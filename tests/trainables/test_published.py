"""Published data sets are found, fetched and verified, and what is wrong with them is said in one line."""

import gzip
import hashlib
import os
import pickle
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.command import loaded_after
from trainables import fashion_mnist
from trainables.dataset import DataError, Dataset
from trainables.sources import published
from trainables.sources.find import NAMES, load_source
from trainables.sources.idx_sets import BALANCED, IDX_SETS, KUZUSHIJI, LETTERS

MNIST = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
DICE = np.random.default_rng(5)
NUM_TRAIN, NUM_TEST = 150, 30


def idx(array: NDArray[Any]) -> bytes:
    code = {np.dtype(np.uint8): 0x08, np.dtype(">i4"): 0x0C}[array.dtype]
    return np.array([code * 256 + array.ndim, *array.shape], ">u4").tobytes() + array.tobytes()


def made(name: str) -> dict[str, NDArray[Any]]:
    """Arrays for the files of a data set, as its publishers would store them."""
    known = IDX_SETS[name]
    arrays: dict[str, NDArray[Any]] = {}
    for file in known.files:
        num = NUM_TRAIN if "train" in file else NUM_TEST
        labels = np.arange(num) % len(known.class_names) + known.first_label
        if "images" in file:
            arrays[file] = DICE.integers(0, 256, (num, 28, 28), np.uint8)
        elif file.endswith("int"):
            arrays[file] = np.concatenate([labels[:, None], DICE.integers(0, 9999, (num, 7))], 1).astype(">i4")
        else:
            arrays[file] = labels.astype(np.uint8)
    return arrays


def written(folder: Path, arrays: dict[str, NDArray[Any]], *, dotted: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        (folder / (name.replace("-idx", ".idx") if dotted else name)).write_bytes(idx(array))
    return folder


def complaint(source: str, data_dir: Path) -> str:
    with pytest.raises(DataError) as caught:
        load_source(source, data_dir)
    message = str(caught.value)
    assert message.isprintable()
    assert "--data-dir" in message
    return message


def check(dataset: Dataset, name: str, arrays: dict[str, NDArray[Any]]) -> None:
    images, labels, test_images, test_labels = arrays.values()
    known = IDX_SETS[name]
    for found, stored in ((dataset.train_images, images), (dataset.test_images, test_images)):
        assert np.array_equal(found, stored.swapaxes(1, 2) if name.startswith("emnist") else stored)
        assert found.flags.c_contiguous
        assert not found.flags.writeable
    for found, stored in ((dataset.train_labels, labels), (dataset.test_labels, test_labels)):
        assert np.array_equal(found, (stored[:, 0] if stored.ndim == 2 else stored) - known.first_label)
        assert found.dtype == np.uint8
    assert (dataset.name, dataset.class_names) == (known.title, known.class_names)


@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize("place", [".", "a/b/c"])
@pytest.mark.parametrize("name", IDX_SETS)
def test_files_of_mnists_format_may_be_flat_or_nested(tmp_path: Path, name: str, place: str, dotted: bool) -> None:
    arrays = made(name)
    written(tmp_path / place, arrays, dotted=dotted)
    check(load_source(name, tmp_path), name, arrays)


def test_constants_are_torchvisions() -> None:
    from torchvision import datasets as tv

    for name in ("mnist", "kmnist"):
        resources = getattr(tv, name.upper()).resources
        assert [(f"{file}.gz", md5) for file, md5 in IDX_SETS[name].files.items()] == resources
    published_files = [
        (url.rsplit("/", 1)[1], md5) for part in ("train", "test") for url, md5 in tv.QMNIST.resources[part]
    ]
    assert [(f"{file}.gz", md5) for file, md5 in IDX_SETS["qmnist"].files.items()] == published_files
    assert list(KUZUSHIJI) == tv.KMNIST.classes
    assert list(BALANCED) == tv.EMNIST.classes_split_dict["balanced"]
    assert ["N/A", *LETTERS] == tv.EMNIST.classes_split_dict["letters"]
    assert tuple(published.SETS) == NAMES[1:]


def test_home_may_be_short_in_data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    arrays = made("mnist")
    written(tmp_path / "my files", arrays)
    check(load_source("mnist", Path("~/my files")), "mnist", arrays)


def test_of_torchvisions_folders_each_data_set_is_read_from_its_own(tmp_path: Path) -> None:
    mnist, kmnist = made("mnist"), made("kmnist")
    written(tmp_path / "MNIST/raw", mnist)
    written(tmp_path / "KMNIST/raw", kmnist)
    check(load_source("mnist", tmp_path), "mnist", mnist)
    check(load_source("kmnist", tmp_path), "kmnist", kmnist)
    written(tmp_path / "only/KMNIST/raw", kmnist)
    assert f"{tmp_path / 'only'} lacks train-images-idx3-ubyte, " in complaint("mnist", tmp_path / "only")


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, NDArray[Any]]]:
    """Packed files of MNIST that have the published sums."""
    arrays, folder = made("mnist"), tmp_path / "packed"
    folder.mkdir()
    for name, array in arrays.items():
        content = gzip.compress(idx(array), 1)
        (folder / f"{name}.gz").write_bytes(content)
        monkeypatch.setitem(IDX_SETS["mnist"].files, name, hashlib.md5(content).hexdigest())
    return folder, arrays


def test_packed_files_are_read_where_they_have_the_published_sums(packed: tuple[Path, Any]) -> None:
    check(load_source("mnist", packed[0]), "mnist", packed[1])
    path = packed[0] / f"{MNIST[3]}.gz"
    path.write_bytes(gzip.compress(idx(packed[1][MNIST[3]]), 9, mtime=1))
    assert f"{path} is not MNIST's published file: its MD5 checksum differs; whoever" in complaint("mnist", packed[0])
    path.rename(packed[0] / MNIST[3])
    assert f"{packed[0] / MNIST[3]} is not MNIST's published file" in complaint("mnist", packed[0])


def test_packed_file_is_preferred_and_an_unpacked_one_is_read_where_it_is_bad(packed: tuple[Path, Any]) -> None:
    folder, arrays = packed
    written(folder, {name: array[::-1] for name, array in arrays.items()})
    check(load_source("mnist", folder), "mnist", arrays)
    (folder / f"{MNIST[0]}.gz").write_bytes(b"")
    check(load_source("mnist", folder), "mnist", {**arrays, MNIST[0]: arrays[MNIST[0]][::-1]})


def test_packed_file_of_another_data_set_is_called_by_its_name(packed: tuple[Path, Any]) -> None:
    assert "differs, and is MNIST's (--data.source mnist)" in complaint("kmnist", packed[0])


@pytest.fixture(scope="module")
def fashion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = fashion_mnist.load()
    arrays = (data.train_images, data.train_labels, data.test_images, data.test_labels)
    return written(tmp_path_factory.mktemp("fashion"), dict(zip(MNIST, arrays, strict=True)))


@pytest.mark.parametrize("source", ["mnist", "kmnist"])
def test_fashion_mnists_files_are_not_taken_for_other_images(fashion: Path, source: str) -> None:
    expected = f"{fashion / MNIST[0]} is one of FashionMNIST's files; use --data.source fashion_mnist"
    assert expected in complaint(source, fashion)


def test_fashion_mnists_files_may_lie_beside_and_one_is_enough_to_be_told(fashion: Path, tmp_path: Path) -> None:
    (tmp_path / "files").symlink_to(fashion)
    arrays = made("mnist")
    written(tmp_path / "my own", arrays)
    check(load_source("mnist", tmp_path), "mnist", arrays)
    for name in MNIST:
        folder = written(tmp_path / name / "x", arrays)
        (folder / name).write_bytes(gzip.compress((fashion / name).read_bytes(), 1))
        assert f"{folder / name} is one of FashionMNIST's files" in complaint("mnist", folder)


IMAGES, LABELS = MNIST[:2]
Damage = Callable[[NDArray[Any]], bytes]
DAMAGES: dict[str, tuple[str, Damage, str]] = {
    "empty": (IMAGES, lambda array: b"", " is truncated: its header breaks off"),
    "short header": (IMAGES, lambda array: idx(array)[:10], " is truncated: its header breaks off"),
    "short": (IMAGES, lambda array: idx(array)[:-1], " is truncated: 117615 of 117616 bytes"),
    "long": (LABELS, lambda array: idx(array) + b"x", " has more than the 158 bytes that its header says"),
    "text": (IMAGES, lambda array: b"<html>", " is no such idx file: it starts with b'<htm', not with"),
    "labels as images": (IMAGES, lambda array: idx(array[:, 0, 0]), " is no such idx file: it starts with"),
    "integers": (LABELS, lambda array: idx(array.astype(">i4")), " is no such idx file: it starts with"),
    "vast": (
        IMAGES,
        lambda array: idx(array)[:4] + b"\xff" * 12 + idx(array)[16:],
        " would take 79,228,162,458,",
    ),
    "small images": (IMAGES, lambda array: idx(array[:, :12, :12]), " is 12 pixels high and 12 wide; resize to"),
    "strange label": (LABELS, lambda array: idx(array + 1), " has labels from 1 to 10; MNIST has 0 to 9"),
    "broken gzip": (IMAGES, lambda array: gzip.compress(idx(array))[:-9], " is truncated: its gzip stream breaks"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_is_named_with_what_is_wrong(tmp_path: Path, damage: str) -> None:
    name, spoil, expected = DAMAGES[damage]
    arrays = made("mnist")
    path = written(tmp_path, arrays) / name
    path.write_bytes(spoil(arrays[name]))
    assert f"{path}{expected}" in complaint("mnist", tmp_path)


def test_images_and_labels_that_do_not_match_are_an_error(tmp_path: Path) -> None:
    arrays = made("mnist")
    written(tmp_path, {**arrays, LABELS: arrays[LABELS][:-1]})
    assert f"{tmp_path} has 150 images and 149 labels of one part of MNIST" in complaint("mnist", tmp_path)
    written(tmp_path, {**arrays, IMAGES: arrays[IMAGES][:119], LABELS: arrays[LABELS][:119]})
    assert f"{tmp_path} gives 119 training images; at least 120" in complaint("mnist", tmp_path)
    written(tmp_path, {**arrays, IMAGES: arrays[IMAGES][:, :20]})
    assert "training images of shape (20, 28) and test images of shape (28, 28)" in complaint("mnist", tmp_path)


def test_letters_have_no_label_zero(tmp_path: Path) -> None:
    arrays = made("emnist_letters")
    name = "emnist-letters-test-labels-idx1-ubyte"
    written(tmp_path, {**arrays, name: arrays[name] - 1})
    assert f"{tmp_path / name} has labels from 0 to 25; EMNIST (letters) has 1 to 26" in complaint(
        "emnist_letters", tmp_path
    )


def test_pipe_missing_file_missing_folder_and_file_for_a_folder_are_named(tmp_path: Path) -> None:
    written(tmp_path, made("mnist"))
    (tmp_path / LABELS).unlink()
    assert f"{tmp_path} lacks {LABELS} (unpacked or .gz)" in complaint("mnist", tmp_path)
    os.mkfifo(tmp_path / LABELS)
    assert f"{tmp_path / LABELS} is no file but a pipe" in complaint("mnist", tmp_path)
    assert f"{tmp_path / 'typo'} does not exist" in complaint("svhn", tmp_path / "typo")
    assert f"{tmp_path / IMAGES} is not a folder" in complaint("cifar10", tmp_path / IMAGES)


def cifar(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Files of CIFAR-10's format, whose sums are the published ones for now; images and labels, test part last."""
    from torchvision.datasets import CIFAR10

    folder.mkdir(parents=True)
    images, labels = DICE.integers(0, 256, (180, 3, 32, 32), np.uint8), np.arange(180) % 10
    sums = {}
    for number, name in enumerate([*(f"data_batch_{batch}" for batch in range(1, 6)), "test_batch"]):
        part = slice(number * 30, number * 30 + 30)
        entry = {"data": images[part].reshape(30, -1), "labels": labels[part].tolist()}
        (folder / name).write_bytes(pickle.dumps(entry))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["airplane"]}))
    sums = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    monkeypatch.setattr(CIFAR10, "train_list", [[f"data_batch_{it}", sums[f"data_batch_{it}"]] for it in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": sums["batches.meta"]})
    return images, labels


@pytest.mark.parametrize("place", [".", "cifar-10-batches-py", "a/b/cifar-10-batches-py"])
def test_cifar_10_is_read_by_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    images, labels = cifar(tmp_path / "data" / place, monkeypatch)
    dataset = load_source("cifar10", tmp_path / "data")
    assert np.array_equal(dataset.train_images, images[:150])
    assert np.array_equal(dataset.test_images, images[150:])
    assert np.array_equal(dataset.train_labels, labels[:150])
    assert np.array_equal(dataset.test_labels, labels[150:])
    assert (dataset.name, dataset.class_names[9]) == ("CIFAR-10", "truck")


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["data_batch_1", "test_batch", "batches.meta"])
def test_file_with_a_wrong_sum_is_refused_before_anything_is_unpickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    cifar(tmp_path / "data", monkeypatch)
    (tmp_path / "data" / name).write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    monkeypatch.setattr(pickle, "load", lambda *args, **options: pytest.fail("it is unpickled"))
    expected = f"{tmp_path / 'data' / name} is not the published file: its MD5 checksum differs"
    assert expected in complaint("cifar10", tmp_path / "data")
    assert not (tmp_path / "sprung").exists()


def test_missing_file_pipe_and_endless_file_of_cifar_10_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cifar(tmp_path / "data", monkeypatch)
    path = tmp_path / "data" / "test_batch"
    os.truncate(path, 1 << 38)
    assert f"{path} is not the published file" in complaint("cifar10", tmp_path)
    path.unlink()
    assert f"{tmp_path / 'data'} lacks test_batch (unpacked, as" in complaint("cifar10", tmp_path)
    os.mkfifo(path)
    assert f"{path} is no file but a folder, a pipe" in complaint("cifar10", tmp_path)


def test_svhn_is_read_by_torchvision_and_its_tens_are_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.io import savemat
    from torchvision.datasets import SVHN

    images, labels = DICE.integers(0, 256, (180, 3, 32, 32), np.uint8), np.arange(180) % 10
    split_list = dict(SVHN.split_list)
    for part, which in (("train", slice(150)), ("test", slice(150, 180))):
        path = tmp_path / "svhn" / f"{part}_32x32.mat"
        path.parent.mkdir(exist_ok=True)
        stored = np.where(labels[which] == 0, 10, labels[which]).astype(np.uint8)[:, None]
        savemat(path, {"X": images[which].transpose(2, 3, 1, 0), "y": stored})
        split_list[part] = ["http://none", path.name, hashlib.md5(path.read_bytes()).hexdigest()]
    monkeypatch.setattr(SVHN, "split_list", split_list)
    dataset = load_source("svhn", tmp_path)
    assert np.array_equal(dataset.train_images, images[:150])
    assert np.array_equal(dataset.test_images, images[150:])
    assert np.array_equal(dataset.train_labels, labels[:150])
    assert (dataset.name, dataset.class_names) == ("SVHN", tuple("0123456789"))
    path.write_bytes(path.read_bytes() + b"x")
    assert f"{path} is not the published file: its MD5 checksum differs" in complaint("svhn", tmp_path)


def test_what_is_fetched_is_kept_in_a_folder_of_its_own_and_found_there_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: tuple[Path, dict[str, NDArray[Any]]]
) -> None:
    def download(name: str, folder: Path) -> None:
        written(folder / "MNIST" / "raw", packed[1])
        for path in packed[0].iterdir():
            (folder / "MNIST" / "raw" / path.name).write_bytes(path.read_bytes())

    monkeypatch.setattr(published, "_download", download)
    announced: list[str] = []
    cache = tmp_path / "cache"
    check(load_source("mnist", cache_dir=cache, announce=announced.append), "mnist", packed[1])
    assert announced == [f"MNIST: fetching 12 MB with torchvision into {cache / 'mnist'}"]
    assert sorted(os.listdir(cache / "mnist")) == sorted(f"{name}.gz" for name in MNIST)
    check(load_source("mnist", cache_dir=cache, announce=pytest.fail), "mnist", packed[1])
    (cache / "mnist" / f"{LABELS}.gz").write_bytes(b"")
    check(load_source("mnist", cache_dir=cache, announce=announced.append), "mnist", packed[1])
    assert f"{LABELS}.gz is truncated" in announced[1]
    assert announced[1].endswith(f"; passing over {cache / 'mnist'}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    load_source("mnist", announce=announced.append)
    assert (tmp_path / "xdg" / "fashion-mnist-orchestrator" / "mnist" / f"{LABELS}.gz").exists()


def test_half_a_fetch_leaves_nothing_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = made("kmnist")
    del arrays[LABELS]
    monkeypatch.setattr(published, "_download", lambda name, folder: written(folder, arrays))
    with pytest.raises(DataError, match=rf"fetching it failed \(torchvision: .* lacks {LABELS}"):
        load_source("kmnist", cache_dir=tmp_path, announce=lambda line: None)
    assert os.listdir(tmp_path / "kmnist") == []


@pytest.fixture
def dead_mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A web proxy that has nothing, for plain and for encrypted addresses; yields what is asked of it."""
    asked = []

    class Mirror(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_CONNECT = do_GET

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{server.server_port}")
    monkeypatch.delenv("no_proxy", raising=False)
    yield asked
    server.shutdown()
    server.server_close()


ADDRESSES = {
    "mnist": "ossci-datasets.s3.amazonaws.com",
    "kmnist": "http://codh.rois.ac.jp/kmnist/dataset/kmnist/t10k-labels-idx1-ubyte.gz",
    "qmnist": "raw.githubusercontent.com",
    "emnist_balanced": "biometrics.nist.gov",
    "cifar10": "www.cs.toronto.edu",
    "svhn": "http://ufldl.stanford.edu/housenumbers/test_32x32.mat",
}


@pytest.mark.parametrize("name", ADDRESSES)
def test_address_that_is_tried_is_the_mirrors(name: str) -> None:
    from torchvision import datasets

    source, (_, address, _) = published.SETS[name], published._DOWNLOADS[name]
    of_torchvision = getattr(datasets, getattr(source, "torchvision", source.folder if name in IDX_SETS else ""))
    assert ADDRESSES[name] in eval(address, {"Source": of_torchvision})


@pytest.mark.parametrize("name", ["mnist", "svhn"])
def test_when_fetching_fails_one_line_says_why_and_what_to_do(
    tmp_path: Path, dead_mirror: list[str], name: str
) -> None:
    announced: list[str] = []
    with pytest.raises(DataError) as caught:
        load_source(name, cache_dir=tmp_path, announce=announced.append)
    message = str(caught.value)
    assert message.isprintable()
    assert f"is not in {tmp_path / name}, and fetching it failed (torchvision: urllib.error." in message
    assert "404" in message
    assert message.endswith("copy its files here and pass their folder with --data-dir")
    assert len(announced) == 1
    assert any(ADDRESSES[name] in address for address in dead_mirror), "what else runs here may ask for more"


def test_source_that_is_neither_a_name_nor_a_path_is_told_what_is_like_it(tmp_path: Path) -> None:
    for source, near in (("mnits", "mnist"), ("fashionmnist", "fashion_mnist"), ("cifar-10", "cifar10")):
        with pytest.raises(
            DataError, match=rf"^'{source}' is neither a file or folder nor .*; did you mean {near}\?$"
        ):
            load_source(source)
    for source in ("", "\0", str(tmp_path / "none"), "x" * 5000, "~nobody-like-that/x"):
        with pytest.raises(DataError, match="is neither a file or folder nor one of fashion_mnist, mnist") as caught:
            load_source(source)
        assert str(caught.value).isprintable()
    with pytest.raises(
        DataError, match=r"--data-dir .* is for published images, not for the source \.; leave it out"
    ):
        load_source(".", tmp_path)


def test_fashion_mnist_is_a_source_too(fashion: Path) -> None:
    assert load_source("fashion_mnist", fashion).checksum == fashion_mnist.CHECKSUM


def test_importing_sources_loads_nothing_heavy_and_reading_idx_files_neither(tmp_path: Path) -> None:
    written(tmp_path, made("mnist"))
    statements = (
        "import pathlib\nfrom trainables.sources.find import load_source\n"
        f"load_source('mnist', pathlib.Path({str(tmp_path)!r}))"
    )
    assert not loaded_after(statements) & {"torch", "torchvision", "pandas", "pyarrow", "PIL", "ray", "scipy"}
