"""FashionMNIST is found, fetched and verified, and what is wrong with it is said in one line."""

import gzip
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from tests.command import loaded_after
from trainables import fashion_mnist
from trainables.dataset import DataError, Dataset
from trainables.fashion_mnist import CLASS_NAMES, load

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
REPOSITORY = Path(__file__).parents[2]

needs_apt_get = pytest.mark.skipif(not shutil.which("apt-get"), reason="this machine has no apt-get")
needs_torchvision = pytest.mark.skipif(
    not importlib.util.find_spec("torchvision"), reason="torchvision is not installed"
)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load()


@pytest.fixture(scope="module")
def unpacked(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The four files as published, written anew from the arrays."""
    folder = tmp_path_factory.mktemp("unpacked")
    arrays = (data.train_images, data.train_labels, data.test_images, data.test_labels)
    for name, array in zip(NAMES, arrays, strict=True):
        header = np.array([0x0800 + array.ndim, *array.shape], ">u4")
        (folder / name).write_bytes(header.tobytes() + array.tobytes())
    return folder


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The four .gz files of Debian's package, by way of apt-get."""
    folder = tmp_path_factory.mktemp("apt get")
    fashion_mnist._from_debian(folder)
    return folder / "usr/share/datasets/fashion-mnist"


def linked(source: Path, folder: Path, *, without: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        if file.name != without:
            (folder / file.name).symlink_to(file)
    return folder


def complaint(data_dir: Path) -> str:
    with pytest.raises(DataError) as caught:
        load(data_dir)
    message = str(caught.value)
    assert "\n" not in message
    assert "--data-dir" in message
    return message


def equal(one: Dataset, other: Dataset) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(vars(one).values(), vars(other).values(), strict=True))


def test_images_have_the_published_shapes_classes_and_first_label(data: Dataset) -> None:
    assert data.train_images.shape == (60000, 28, 28)
    assert data.test_images.shape == (10000, 28, 28)
    assert {array.dtype for array in (data.train_images, data.test_labels)} == {np.dtype(np.uint8)}
    assert np.bincount(data.train_labels).tolist() == [6000] * 10
    assert np.bincount(data.test_labels).tolist() == [1000] * 10
    assert (data.train_images.min(), data.train_images.max()) == (0, 255)
    assert CLASS_NAMES[data.train_labels[0]] == "Ankle boot"
    assert len(CLASS_NAMES) == 10


def test_checksum_identifies_the_data(data: Dataset) -> None:
    assert data.checksum == "d1fd84a877f3b78fa9a171b3de73f93e7b6f69ed94bada3feae9d96821401f5c"


@pytest.mark.parametrize("place", [".", "FashionMNIST/raw", "a/b/c"])
def test_data_dir_may_be_flat_or_nested(data: Dataset, unpacked: Path, tmp_path: Path, place: str) -> None:
    linked(unpacked, tmp_path / place)
    assert equal(load(tmp_path), data)


def test_data_dir_may_mix_packed_and_unpacked_files_and_folders(
    data: Dataset, unpacked: Path, tmp_path: Path
) -> None:
    linked(unpacked, tmp_path / "train", without=IMAGES)
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / f"{IMAGES}.gz").write_bytes(gzip.compress((unpacked / IMAGES).read_bytes(), 1))
    assert equal(load(tmp_path), data)


def test_a_folder_may_have_the_name_of_the_file_in_it(data: Dataset, unpacked: Path, tmp_path: Path) -> None:
    linked(unpacked, tmp_path, without=LABELS)
    (tmp_path / LABELS).mkdir()
    (tmp_path / LABELS / LABELS).write_bytes((unpacked / LABELS).read_bytes()[:-1])
    assert complaint(tmp_path).startswith(f"{tmp_path / LABELS / LABELS} is truncated")
    shutil.copy(unpacked / LABELS, tmp_path / LABELS / LABELS)
    assert equal(load(tmp_path), data)


def test_another_data_set_with_the_same_file_names_may_lie_beside(
    data: Dataset, unpacked: Path, tmp_path: Path
) -> None:
    linked(unpacked, tmp_path / "EMNIST/raw", without=LABELS)
    (tmp_path / "EMNIST/raw" / LABELS).write_bytes((unpacked / LABELS).read_bytes()[:8] + bytes(10000))
    linked(unpacked, tmp_path / "FashionMNIST/raw")
    assert equal(load(tmp_path), data)


def test_data_dir_is_not_copied_into_the_cache(unpacked: Path, tmp_path: Path) -> None:
    load(unpacked, cache_dir=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def flipped(content: bytes, position: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


DAMAGES = {
    "empty": (IMAGES, lambda content: b"", "is truncated: 0 of 7840016 bytes"),
    "short header": (IMAGES, lambda content: content[:10], "is truncated: 10 of 7840016 bytes"),
    "short": (IMAGES, lambda content: content[:-1], "is truncated: 7840015 of 7840016 bytes"),
    "long": (LABELS, lambda content: content + b"\0", "has more than the expected 10008 bytes"),
    "flipped": (LABELS, lambda content: flipped(content, 5000), "SHA-256 checksum differs"),
    "shape": (
        IMAGES,
        lambda content: content[:4] + np.array([5000, 56, 28], ">u4").tobytes() + content[16:],
        "has shape (5000, 56, 28) instead of (10000, 28, 28)",
    ),
    "magic": (LABELS, lambda content: b"\0\0\x0d\1" + content[4:], "is no such idx file"),
    "text": (LABELS, lambda content: b"<html>", "is no such idx file"),
}


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_is_named_with_what_is_wrong(unpacked: Path, tmp_path: Path, damage: str, suffix: str) -> None:
    name, spoil, expected = DAMAGES[damage]
    spoilt = spoil((unpacked / name).read_bytes())
    path = linked(unpacked, tmp_path, without=name) / f"{name}{suffix}"
    path.write_bytes(gzip.compress(spoilt, 1) if suffix else spoilt)
    message = complaint(tmp_path)
    assert message.startswith(f"{path} ")
    assert expected in message


GZIP_DAMAGES = {
    "short": (lambda stream: stream[: len(stream) // 2], "is truncated: its gzip stream breaks off"),
    "short header": (lambda stream: stream[:5], "is truncated: its gzip stream breaks off"),
    "flipped": (lambda stream: flipped(stream, len(stream) // 2), "is not a sound gzip file"),
    "flipped checksum": (lambda stream: flipped(stream, -8), "is not a sound gzip file: CRC check failed"),
    "bad block": (lambda stream: stream[:10] + b"\xff" * 10 + stream[20:], "is not a sound gzip file"),
    "not packed": (lambda stream: gzip.decompress(stream), "is not a sound gzip file: Not a gzipped file"),
}


@pytest.mark.parametrize("damage", GZIP_DAMAGES)
def test_damaged_gzip_stream_is_named_with_what_is_wrong(unpacked: Path, tmp_path: Path, damage: str) -> None:
    spoil, expected = GZIP_DAMAGES[damage]
    path = linked(unpacked, tmp_path, without=LABELS) / f"{LABELS}.gz"
    path.write_bytes(spoil(gzip.compress((unpacked / LABELS).read_bytes(), 1)))
    assert complaint(tmp_path).startswith(f"{path} {expected}")


@pytest.mark.parametrize("names", ["dots", "dots, packed", "packed, no .gz"])
def test_files_may_have_the_names_that_programs_and_mirrors_give_them(
    data: Dataset, unpacked: Path, tmp_path: Path, names: str
) -> None:
    linked(unpacked, tmp_path, without=LABELS)
    content, name = (unpacked / LABELS).read_bytes(), LABELS.replace("-idx", ".idx") if "dots" in names else LABELS
    path = tmp_path / (f"{name}.gz" if names == "dots, packed" else name)
    path.write_bytes(gzip.compress(content, 1) if "packed" in names else content)
    assert equal(load(tmp_path), data)
    path.write_bytes(path.read_bytes()[:-9])
    assert complaint(tmp_path).startswith(f"{path} is truncated")


@pytest.mark.parametrize("kind", ["pipe", "device", "loop"])
def test_what_is_no_file_is_named_and_not_read(unpacked: Path, tmp_path: Path, kind: str) -> None:
    path = linked(unpacked, tmp_path, without=LABELS) / LABELS
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero" if kind == "device" else path.name)
    said = "cannot be read: Too many levels" if kind == "loop" else "is no file but a pipe"
    assert complaint(tmp_path).startswith(f"{path} {said}")


def test_folders_that_link_to_themselves_are_searched_once_more_at_most(
    data: Dataset, unpacked: Path, tmp_path: Path
) -> None:
    (linked(unpacked, tmp_path / "a") / "again").symlink_to(tmp_path)
    assert equal(load(tmp_path), data)


def test_of_several_damaged_copies_the_outermost_is_named(unpacked: Path, tmp_path: Path) -> None:
    linked(unpacked, tmp_path, without=LABELS)
    (tmp_path / "deeper").mkdir()
    for path in (tmp_path / "deeper" / LABELS, tmp_path / LABELS):
        path.write_bytes(b"")
    assert complaint(tmp_path).startswith(f"{tmp_path / LABELS} is truncated")


def test_file_that_cannot_be_read_is_named(unpacked: Path, tmp_path: Path) -> None:
    path = linked(unpacked, tmp_path, without=LABELS) / LABELS
    path.symlink_to(tmp_path / "nowhere")
    assert complaint(tmp_path).startswith(f"{path} cannot be read: No such file")


def test_missing_file_is_named(unpacked: Path, tmp_path: Path) -> None:
    linked(unpacked, tmp_path, without=LABELS)
    assert complaint(tmp_path).startswith(f"{tmp_path} lacks {LABELS} ")


def test_empty_folder_lacks_all_four_files(tmp_path: Path) -> None:
    assert complaint(tmp_path).startswith(f"{tmp_path} lacks {', '.join(NAMES)} ")


def test_hidden_folders_are_not_searched(unpacked: Path, tmp_path: Path) -> None:
    linked(unpacked, tmp_path / ".fetching-half")
    assert "lacks" in complaint(tmp_path)


def test_data_dir_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    assert complaint(tmp_path / "typo").startswith(f"{tmp_path / 'typo'} does not exist")


def test_data_dir_that_is_a_file_is_an_error(unpacked: Path) -> None:
    assert complaint(unpacked / LABELS).startswith(f"{unpacked / LABELS} is not a folder")


def test_endless_file_is_not_read_to_its_end(unpacked: Path, tmp_path: Path) -> None:
    path = linked(unpacked, tmp_path, without=LABELS) / LABELS
    path.write_bytes((unpacked / LABELS).read_bytes())
    os.truncate(path, 1 << 38)
    assert "has more than the expected 10008 bytes" in complaint(tmp_path)


def test_decompression_bomb_is_not_unpacked_to_its_end(unpacked: Path, tmp_path: Path) -> None:
    path = linked(unpacked, tmp_path, without=LABELS) / f"{LABELS}.gz"
    tail_num_bytes = 4_000_000
    bomb = gzip.compress((unpacked / LABELS).read_bytes() + os.urandom(tail_num_bytes), 1)
    path.write_bytes(bomb[: -tail_num_bytes // 2])  # whoever reads on finds that it breaks off
    assert "has more than the expected 10008 bytes" in complaint(tmp_path)


def test_whole_cache_is_served_without_a_word(data: Dataset, unpacked: Path) -> None:
    announced: list[str] = []
    assert equal(load(cache_dir=unpacked, announce=announced.append), data)
    assert announced == []


def test_cache_follows_the_xdg_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert fashion_mnist.user_cache_dir() == tmp_path / "fashion-mnist-orchestrator"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fashion_mnist.user_cache_dir() == tmp_path / ".cache/fashion-mnist-orchestrator"


def as_published(file: Path) -> bytes:
    """Debian's .gz file, with the original's name and time in its header, as torchvision's MD5 sums want."""
    packed_at_seconds = 1504176627 if file.name.startswith("t10k") else 1504176606
    header = b"\x1f\x8b\x08\x08" + packed_at_seconds.to_bytes(4, "little") + b"\x00\x03"
    return header + file.stem.encode() + b"\0" + file.read_bytes()[10:]


@pytest.fixture
def mirror(packed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A web proxy that has the published files under every address; yields the names asked of it."""
    asked = []

    class Mirror(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.rsplit("/", 1)[-1]
            asked.append(name)
            content = as_published(packed / name) if (packed / name).exists() else b""
            self.send_response(200 if content else 404)
            self.end_headers()
            with suppress(ConnectionError):
                self.wfile.write(content)

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.delenv("no_proxy", raising=False)
    yield asked
    server.shutdown()
    server.server_close()


@needs_apt_get
def no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: str) -> Path:
    """A user with this home and nothing in the cache; the cache that stands in."""
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: home)
    monkeypatch.setattr(fashion_mnist, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(fashion_mnist, "_DEBIAN_FOLDER", tmp_path / "none")
    return tmp_path / f"fashion-mnist-orchestrator-{os.getuid()}"


@pytest.mark.parametrize("home", ["~", "", "/dev/null", "/proc/none"])
def test_user_without_a_home_that_can_be_written_has_a_cache_among_the_temporary_folders(
    data: Dataset, unpacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    cache = no_home(monkeypatch, tmp_path, home)
    monkeypatch.setattr(fashion_mnist, "_from_torchvision", lambda folder: linked(unpacked, folder / "source"))
    announced: list[str] = []
    assert equal(load(announce=announced.append), data)
    assert sorted(os.listdir(cache)) == sorted(NAMES)
    assert cache.stat().st_mode & 0o777 == 0o700
    if home.startswith("/"):
        assert f"{home}/.cache/fashion-mnist-orchestrator cannot be written (" in announced[0]
        assert announced[0].endswith("; XDG_CACHE_HOME may name another folder")
    assert equal(load(announce=pytest.fail), data), "it is found there the next time"


def test_temporary_cache_of_another_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = no_home(monkeypatch, tmp_path, "/proc/none")
    (tmp_path / "theirs").mkdir()
    cache.symlink_to(tmp_path / "theirs")
    with pytest.raises(DataError, match=r"\(it is another user's\); XDG_CACHE_HOME may name another folder"):
        load(announce=lambda line: None)
    assert os.listdir(tmp_path / "theirs") == []


@needs_torchvision
def test_damaged_cache_with_leftovers_is_passed_over_and_fetched_again(
    data: Dataset, unpacked: Path, tmp_path: Path, mirror: list[str]
) -> None:
    cache = linked(unpacked, tmp_path / "cache", without=LABELS)
    (cache / LABELS).write_bytes((unpacked / LABELS).read_bytes()[:-1])
    linked(unpacked, cache / ".fetching-left-over")
    linked(unpacked, cache / "left-over")
    announced: list[str] = []
    assert equal(load(cache_dir=cache, announce=announced.append), data)
    assert f"{cache / LABELS} is truncated" in announced[0]
    if fashion_mnist._DEBIAN_FOLDER.exists():
        assert len(announced) == 1
        return
    assert announced[1:] == [f"FashionMNIST: fetching 31 MB with torchvision into {cache}"]
    assert {f"{name}.gz" for name in NAMES} == set(mirror)
    assert equal(load(cache_dir=cache, announce=pytest.fail), data)


@needs_apt_get
def test_debians_package_is_fetched_without_its_lists_and_without_installing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "no lists").mkdir()
    (tmp_path / "apt.conf").write_text(f'Dir::State::Lists "{tmp_path / "no lists"}";')
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    monkeypatch.chdir(tmp_path)
    fashion_mnist._fill(Path("a new", "cache"), fashion_mnist._from_debian)
    assert sorted(os.listdir("a new/cache")) == sorted(NAMES)
    load(cache_dir=Path("a new", "cache"), announce=pytest.fail)


@needs_apt_get
def test_debians_package_holds_the_published_files(data: Dataset, packed: Path) -> None:
    assert equal(load(packed), data)


def test_cache_stays_whole_while_two_fetch_at_once(unpacked: Path, tmp_path: Path) -> None:
    def fetch(folder: Path) -> None:
        shutil.copytree(unpacked, folder / "source")

    fashion_mnist._fill(tmp_path, fetch)
    with ThreadPoolExecutor() as pool:
        fetching = [pool.submit(fashion_mnist._fill, tmp_path, fetch) for _ in range(2)]
        num_reads = 0
        while not all(future.done() for future in fetching):
            load(cache_dir=tmp_path, announce=pytest.fail)
            num_reads += 1
    assert num_reads > 0
    assert [future.result() for future in fetching]
    assert sorted(os.listdir(tmp_path)) == sorted(NAMES)


def test_file_of_the_cache_is_replaced_and_never_rewritten(unpacked: Path, tmp_path: Path) -> None:
    def fetch(folder: Path) -> None:
        linked(unpacked, folder / "source")

    (tmp_path / LABELS).write_bytes(b"old")
    with (tmp_path / LABELS).open("rb") as reader:
        fashion_mnist._fill(tmp_path, fetch)
        assert reader.read() == b"old"
    load(cache_dir=tmp_path, announce=pytest.fail)


def test_half_a_fetch_leaves_nothing_in_the_cache(unpacked: Path, tmp_path: Path) -> None:
    def fetch_half(folder: Path) -> None:
        linked(unpacked, folder / "source", without=LABELS)

    with pytest.raises(DataError, match=LABELS):
        fashion_mnist._fill(tmp_path, fetch_half)
    assert os.listdir(tmp_path) == []


def test_when_every_source_fails_one_line_says_what_was_tried_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    announced: list[str] = []
    with pytest.raises(DataError) as caught:
        fashion_mnist._fetch(tmp_path / "file" / "cache", announced.append)
    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in ("torchvision: ", "apt-get: ", "Not a directory", "--data-dir"))
    assert len(announced) == 2


def test_command_that_fails_gives_the_last_line_of_its_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^the reason$"):
        fashion_mnist._run(tmp_path, "sh", "-c", "echo context >&2; echo the reason >&2; exit 3")
    with pytest.raises(DataError, match=r"^exit status 3$"):
        fashion_mnist._run(tmp_path, "sh", "-c", "exit 3")


def test_command_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion_mnist, "_FETCH_SECONDS", 0.2)
    with pytest.raises(DataError, match=r"^gave up after 0\.2 seconds$"):
        fashion_mnist._run(tmp_path, "sleep", "5")


def run_module(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "trainables.fashion_mnist", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_module_ends_with_status_2_and_one_line_when_the_data_is_bad(tmp_path: Path) -> None:
    done = run_module("--data-dir", str(tmp_path))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"error: {tmp_path} lacks")
    assert done.stderr.count("\n") == 1


def test_module_says_in_one_line_where_the_images_came_from(unpacked: Path, tmp_path: Path) -> None:
    cache = linked(unpacked, tmp_path / "fashion-mnist-orchestrator")
    done = run_module(XDG_CACHE_HOME=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"FashionMNIST: 60000 training and 10000 test images from {cache}\n"


def test_importing_every_trainable_leaves_ray_and_torchvision_unloaded() -> None:
    loaded = loaded_after(
        "import importlib, pkgutil, trainables\n"
        "for module in pkgutil.walk_packages(trainables.__path__, 'trainables.'):\n"
        "    importlib.import_module(module.name)"
    )
    assert "trainables.fashion_mnist" in loaded
    assert not loaded & {"ray", "torchvision"}


def test_reading_the_images_loads_no_torch(unpacked: Path) -> None:
    loaded = loaded_after(
        f"from pathlib import Path\nfrom trainables.fashion_mnist import load\nload(Path({str(unpacked)!r}))"
    )
    assert not loaded & {"ray", "torch", "torchvision"}
