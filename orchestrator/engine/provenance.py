"""What made a result: which code, with which packages, on which device and host; and where a run's results differ."""

import ast
import contextlib
import hashlib
import os
import platform
import socket
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from sysconfig import get_path

from pydantic import BaseModel, ConfigDict

PACKAGES = (
    "fashion-mnist-orchestrator",
    "ray",
    "torch",
    "optuna",
    "numba",
    "numpy",
    "pandas",
    "pyarrow",
    "scikit-learn",
)
"""Those that a result depends on."""


class Made(BaseModel):
    """What a training was done with, or a stage's tables."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    commit: str | None = None
    """Of the code's checkout, with "-dirty" where it was changed since; None where that is not known."""
    sources: str = ""
    """Hash of the modules that decide the result."""
    versions: dict[str, str] = {}
    """Of Python and of PACKAGES."""
    device: str = ""
    """Name of the GPU or processor."""
    host: str = ""

    @property
    def code(self) -> str:
        """The code, for people: commit, shortened, and hash of the sources."""
        commit = self.commit or "no commit"
        changed = " (changed)" if commit.endswith("-dirty") else ""
        return f"{commit.removesuffix('-dirty')[:12]}{changed}, sources {self.sources}"


@cache
def made(modules: tuple[str, ...], device: str = "cpu") -> Made:
    """What results of these modules are made with in this process, on "cpu" or "cuda"."""
    return Made(
        commit=git_commit(),
        sources=sources(modules),
        versions=versions(),
        device=_device(device),
        host=socket.gethostname(),
    )


def distinct(all_made: Iterable[Made]) -> tuple[Made, ...]:
    """Each once, in the order of its first."""
    return tuple({it.model_dump_json(): it for it in all_made}.values())


def mixture(
    made_by: Mapping[str, Iterable[Made]], trained: Mapping[str, Iterable[Made]], here: Mapping[str, Made]
) -> list[str]:
    """In which code and packages results differ from those that are here, and in which devices from each other.

    A line for each package and each other code. By stage, `made_by` has what its results were made with, `trained`
    what its trainings were done with, and `here` what both would be made with in this process.
    """

    def grouped(values: Iterable[tuple[str, str]]) -> list[str]:
        stages: dict[str, list[str]] = {}
        for value, stage in dict.fromkeys(values):
            stages.setdefault(value, []).append(stage)
        return [f"{value} ({', '.join(names)})" for value, names in stages.items()]

    pairs = [(stage, it) for stage, all_made in made_by.items() for it in all_made if it.sources]
    codes = [
        (f"{it.code}, here {here[stage].code}", stage) for stage, it in pairs if it.sources != here[stage].sources
    ]
    lines = [f"made by other code than is here: {code}" for code in grouped(codes)]
    for package, present in next(iter(here.values())).versions.items() if here else ():
        versions = [(it.versions.get(package, "none"), stage) for stage, it in pairs]
        if others := [(found, stage) for found, stage in versions if found != present]:
            lines.append(f"made with another {package} than is here ({present}): {'; '.join(grouped(others))}")
    devices = [(it.device, stage) for stage, all_made in trained.items() for it in all_made if it.device]
    if len({device for device, _ in devices}) > 1:
        lines.append(f"trained on different devices: {'; '.join(grouped(devices))}")
    return lines


def versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Versions of Python and of these packages."""
    known = {"python": platform.python_version()} | dict.fromkeys(packages, "not installed")
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):
            known[package] = version(package)
    return known


def sources(modules: Iterable[str]) -> str:
    """Short hash of the Python files of these modules; those whose files are not known do not count."""
    total = hashlib.sha256()
    for name in sorted(set(modules)):
        for path, below in _files(name):
            total.update(f"{name}/{below}\n".encode() + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:12]


def with_neighbours(module: str, *, but: Collection[str] = ()) -> tuple[str, ...]:
    """A top-level module or package, and those in the same folder that it imports, itself or through others of them.

    What is installed beside other packages has none, nor has a module whose file is not known; `but` those named.
    """
    folder, found, waiting = _folder(module), {module}, [module]
    if folder is None or folder in {Path(get_path(kind)) for kind in ("purelib", "platlib", "stdlib")}:
        return (module,)
    while waiting:
        for path, _ in _files(waiting.pop()):
            near = {name for name in _imported(path) if name not in {*found, *but} and _folder(name) == folder}
            found |= near
            waiting += near
    return tuple(sorted(found))


def _folder(module: str) -> Path | None:
    """Where a top-level module's file lies, or a package's folder."""
    with contextlib.suppress(ImportError, ValueError):
        spec = find_spec(module)
        if spec and spec.origin and spec.has_location:
            return Path(spec.origin).parents[bool(spec.submodule_search_locations)]
    return None


def _imported(path: Path) -> Iterator[str]:
    """Top-level modules that a Python file imports from elsewhere."""
    with contextlib.suppress(SyntaxError, ValueError):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0]


def _files(module: str) -> Iterable[tuple[Path, str]]:
    """A module's Python files, each with its name below the module's folder."""
    spec = None
    with contextlib.suppress(ImportError, ValueError):  # ValueError: __main__ has none
        spec = find_spec(module)
    if spec is None:
        return
    for folder in map(Path, spec.submodule_search_locations or ()):
        for path in sorted(folder.rglob("*.py")):
            yield path, path.relative_to(folder).as_posix()
    if not spec.submodule_search_locations and spec.origin and Path(spec.origin).is_file():
        yield Path(spec.origin), ""


def git_commit() -> str | None:
    """Commit that this code was checked out from, with "-dirty" where its packages were changed since.

    Where this file is none of a checkout's (in a wheel, a submitted job, an image), what the variable GIT_COMMIT has;
    None where it is not set.
    """
    here = Path(__file__)
    # The code of this checkout runs already, so that whose it is decides nothing.
    git = ["git", "-C", str(here.parent), "-c", "safe.directory=*", "-c", "core.fsmonitor=false"]

    def ask(*arguments: str) -> str | None:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            done = subprocess.run([*git, *arguments], capture_output=True, text=True, timeout=10)
            return done.stdout.strip() if done.returncode == 0 else None
        return None

    commit = ask("rev-parse", "HEAD") if ask("ls-files", "--error-unmatch", here.name) else None
    if not commit:
        return os.environ.get("GIT_COMMIT") or None
    changed = ask("status", "--porcelain", "--", ":/orchestrator", ":/trainables")
    return f"{commit}-dirty" if changed else commit


def _device(device: str) -> str:
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name()
    return processor()


@cache
def processor() -> str:
    """Name of this machine's processor."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
