"""README's tree of files is the tree that there is; who cites this program cites this version; docs/ builds."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

import orchestrator

REPOSITORY = Path(__file__).parents[1]
NAME = r"[\w.-]+(?:/|\.\w+)"


def tree() -> list[str]:
    """The files and folders, these with a slash at the end, that README's tour of the tree names.

    A line has names, then two spaces or more, then words. Names are relative to the folder above that stands further
    to the left; files among the words that tell of a folder are in that folder.
    """
    text = (REPOSITORY / "README.md").read_text()
    (tour,) = re.findall(r"^## Tour of the tree\n\n(.*?)^\S", text, flags=re.MULTILINE | re.DOTALL)
    named: list[str] = []
    folders: dict[int, str] = {}
    for line in filter(None, tour.rstrip().splitlines()):
        indent = len(line) - len(line.lstrip())
        names, _, words = re.match(r"(.*?)(\s{2,}(.*))?$", line.strip()).groups()  # type: ignore[union-attr]
        if all(re.fullmatch(NAME, name) for name in names.split()):
            folders = {left: folder for left, folder in folders.items() if left < indent}
            parent = folders[max(folders)] if folders else ""
            paths = [parent + name for name in names.split()]
            named += paths
            folders[indent] = paths[-1]
        else:
            words = line
        if paths[-1].endswith("/"):
            named += [paths[-1] + name for name in re.findall(r"[\w.-]+\.(?:py|md|json|yaml)\b", words or "")]
    return named


def test_everything_that_the_tree_names_is_there_and_stands_in_it_once() -> None:
    named = tree()
    assert len(named) > 60
    for name in named:
        path = REPOSITORY / name
        assert path.is_dir() if name.endswith("/") else path.is_file(), name
    assert len(set(named)) == len(named)


def test_every_module_stands_in_the_tree_or_its_folder_does_as_a_whole() -> None:
    named = set(tree())
    in_parts = {f"{Path(name).parent}/" for name in named}  # folders of which some files or folders are named
    modules = [path for package in ("orchestrator", "trainables") for path in (REPOSITORY / package).rglob("*.py")]
    for path in modules:
        module = path.relative_to(REPOSITORY)
        folder = f"{module.parent}/"
        whole = folder in named and (path.name == "__init__.py" or folder not in in_parts)
        assert str(module) in named or whole, module


def test_citation_and_changelog_are_of_this_version_and_the_paper_that_it_judges() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert citation["version"] == orchestrator.__version__
    assert f"## {orchestrator.__version__}, " in (REPOSITORY / "CHANGELOG.md").read_text()
    paper, dataset = citation["references"]
    assert (paper["title"], paper["authors"][0]["family-names"]) == (
        "Homework 1: Unsupervised Deep Learning",
        "Freitas",
    )
    assert dataset["year"] == 2017


def test_the_package_says_who_wrote_it_and_what_it_is_about_as_the_citation_does() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert project["authors"] == citation["authors"]
    assert project["keywords"] == citation["keywords"]
    assert not any(name.startswith("License") for name in project["classifiers"]), "the licence is an expression"


def test_readme_and_log_name_the_paper_and_its_author() -> None:
    paper, _ = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())["references"]
    (author,) = paper["authors"]
    for page in ("README.md", "docs/LOG.md"):
        text = " ".join((REPOSITORY / page).read_text().split())
        for told in (f"{author['given-names']} {author['family-names']}", paper["title"], str(paper["year"])):
            assert told in text, (page, told)


def test_every_extra_is_pinned_and_readme_names_it() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    pinned = {line.partition("==")[0].lower() for line in (REPOSITORY / "constraints.txt").read_text().split()}
    readme, extras = (REPOSITORY / "README.md").read_text(), project["optional-dependencies"]
    assert "optuna-dashboard" in extras["dashboard"]
    for extra, packages in extras.items():
        assert {re.match(r"[\w-]+", package)[0].lower() for package in packages} <= pinned  # type: ignore[index]
        assert extra in readme


def test_the_workflow_does_what_ci_does_and_nothing_beside() -> None:
    workflow = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "ci.yml").read_text())
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert os.access(REPOSITORY / ".ci" / "run", os.X_OK)


def test_both_packages_say_that_they_are_typed() -> None:
    data = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    for package in ("orchestrator", "trainables"):
        assert "py.typed" in data[package]
        assert (REPOSITORY / package / "py.typed").is_file()


def test_the_pages_build_as_a_site_without_a_warning_and_fetch_nothing(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", str(tmp_path / "doctrees")]
    said = subprocess.run([*build, "docs", tmp_path / "site"], cwd=REPOSITORY, capture_output=True, text=True)
    assert (said.returncode, said.stderr) == (0, "")
    pages = {path.stem: path.read_text() for path in (tmp_path / "site").glob("*.html")}
    assert set(pages) >= {path.stem for path in (REPOSITORY / "docs").glob("*.md")}
    for name in ("orchestrator.Run.model", "orchestrator.runs", "trainables.autoencoder.train_autoencoder"):
        assert f'id="{name}"' in pages["api"]
    for page in pages.values():
        assert not re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="https?:', page)
