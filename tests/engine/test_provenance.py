"""What made a result stands beside it, and nothing that is done later overwrites that."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.engine import provenance
from orchestrator.engine.provenance import (
    Made,
    distinct,
    git_commit,
    made,
    mixture,
    sources,
    versions,
    with_neighbours,
)

HERE = Made(commit="c1", sources="new", versions={"python": "3.14", "torch": "2.15"}, device="A", host="one")


def git(folder: Path, *arguments: str) -> str:
    own = ["-c", "user.name=me", "-c", "user.email=me@example.com", "-c", "safe.directory=*"]
    done = subprocess.run(["git", "-C", str(folder), *own, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def checkout(folder: Path) -> Path:
    """A repository with packages called like ours; the file that stands for provenance.py."""
    for name in ("orchestrator/engine/provenance.py", "trainables/noise.py", "README.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x = 1\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder / "orchestrator/engine/provenance.py"


@pytest.fixture
def commit_at(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """The commit that the code would name if it lay at a path."""
    monkeypatch.delenv("GIT_COMMIT", raising=False)

    def at(path: Path) -> str | None:
        monkeypatch.setattr(provenance, "__file__", str(path))
        return git_commit()

    return at


def test_commit_is_the_checkout_s_and_dirty_where_its_packages_were_changed(commit_at, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = checkout(tmp_path)
    head = git(tmp_path, "rev-parse", "HEAD")
    assert commit_at(path) == head
    (tmp_path / "README.md").write_text("x = 2\n")
    (tmp_path / "notes.txt").write_text("mine")
    assert commit_at(path) == head, "what decides no result leaves it"
    (tmp_path / "trainables" / "new.py").write_text("")
    assert commit_at(path) == f"{head}-dirty", "a module that git does not know yet"
    git(tmp_path, "add", "trainables")
    git(tmp_path, "commit", "-qm", "second")
    second = git(tmp_path, "rev-parse", "HEAD")
    assert commit_at(path) == second
    (tmp_path / "trainables" / "noise.py").write_text("x = 2\n")
    assert commit_at(path) == f"{second}-dirty"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to somebody else")
def test_commit_of_a_checkout_that_belongs_to_another_user_is_known(commit_at, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = checkout(tmp_path)
    for below in [tmp_path, *tmp_path.rglob("*")]:
        os.chown(below, 12345, 12345)
    assert commit_at(path) == git(tmp_path, "rev-parse", "HEAD")


def test_installed_in_a_project_of_the_user_its_repository_is_not_ours(
    commit_at,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,  # type: ignore[no-untyped-def]
) -> None:
    checkout(tmp_path)
    installed = tmp_path / ".venv/lib/orchestrator/engine/provenance.py"
    installed.parent.mkdir(parents=True)
    shutil.copy(tmp_path / "orchestrator/engine/provenance.py", installed)
    assert commit_at(installed) is None
    monkeypatch.setenv("GIT_COMMIT", "c0ffee")
    assert commit_at(installed) == "c0ffee", "what a submitted job or an image says"


def test_sources_are_told_apart_by_content_and_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / "made_up_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "one.py").write_text("x = 1\n")

    first = sources(["made_up_package"])
    (package / "data.csv").write_text("1")
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "one.pyc").write_text("1")
    assert sources(["made_up_package"]) == first
    (package / "one.py").write_text("x = 2\n")
    second = sources(["made_up_package"])
    (package / "one.py").rename(package / "two.py")
    third = sources(["made_up_package"])
    assert len({first, second, third, sources(["no_such_package", "__main__"])}) == 4


def test_the_code_of_a_module_is_that_of_its_neighbours_too_which_it_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, content in {
        "net_one": "import torch\nfrom net_two.layers import Layer\n",
        "net_three": "import net_one, not_there, left_out",
        "net_four": "",
        "left_out": "",
        "broken": "import net_four\nif",
    }.items():
        (tmp_path / f"{name}.py").write_text(content)
    (tmp_path / "net_two").mkdir()
    (tmp_path / "net_two" / "__init__.py").write_text("from . import layers")
    (tmp_path / "net_two" / "layers.py").write_text("def late():\n    import net_three")
    assert with_neighbours("net_one", but=("left_out",)) == ("net_one", "net_three", "net_two")
    assert with_neighbours("net_four") == ("net_four",)
    assert with_neighbours("broken") == ("broken",)
    assert with_neighbours("torch") == ("torch",), "it is installed"
    assert with_neighbours("no_such_module") == ("no_such_module",)


def test_this_process_says_what_it_is() -> None:
    here = made(("orchestrator.engine",))
    assert here.sources == sources(["orchestrator.engine"])
    assert here.versions == versions()
    assert here.versions["fashion-mnist-orchestrator"] != "not installed"
    assert here.device
    assert here.host == os.uname().nodename


def test_results_of_one_kind_are_no_mixture() -> None:
    other_host, other_commit = (HERE.model_copy(update=it) for it in ({"host": "two"}, {"commit": "c2"}))
    all_made = {"search": [HERE, other_host], "gan": [other_commit, Made()]}
    assert mixture(all_made, all_made, dict.fromkeys(all_made, HERE)) == []
    assert mixture({}, {}, {}) == []
    assert distinct([HERE, other_host, HERE]) == (HERE, other_host)


def test_other_code_packages_and_devices_are_told_with_the_stages() -> None:
    old = HERE.model_copy(
        update={"commit": "c0-dirty", "sources": "old", "versions": {"python": "3.14", "torch": "2.14"}}
    )
    elsewhere = HERE.model_copy(update={"device": "B"})
    older = HERE.model_copy(update={"commit": "0123456789abcdef", "sources": "older"})
    all_made = {"search": [HERE, elsewhere], "kfold": [old], "gan": [old, HERE, older]}
    assert mixture(all_made, all_made, dict.fromkeys(all_made, HERE)) == [
        "made by other code than is here: c0 (changed), sources old, here c1, sources new (kfold, gan)",
        "made by other code than is here: 0123456789ab, sources older, here c1, sources new (gan)",
        "made with another torch than is here (2.15): 2.14 (kfold, gan)",
        "trained on different devices: A (search, kfold, gan); B (search)",
    ]
    assert mixture(all_made, {}, dict.fromkeys(all_made, HERE))[-1].startswith("made with another torch"), (
        "tables are written on the driver's device, whatever trained"
    )
