"""Puts a finished run into the docs, and its main numbers and verdicts into README (`make publish`)."""

import shutil
import sys
from pathlib import Path

from orchestrator.engine.results import Run
from orchestrator.report import LARGEST
from orchestrator.report.summary import markdown

DOCS, README = Path("docs/results"), Path("README.md")
BEGIN, END = "<!-- made by `make publish` -->\n", "<!-- until here -->\n"


def publish(run: Run, docs: Path, readme: Path) -> None:
    """Copy a run's page, figures as PNG, tables and manifest, and write its numbers between README's two marks."""
    manifest = run.manifest()
    if manifest is None or not manifest.report:
        raise SystemExit(f"error: {run.location} has no report yet")
    folder = docs / manifest.name
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("manifest.json", "report.html", *run.list("tables", ".parquet"), *run.list("figures", ".png")):
        content = run.read(name)
        if len(content) <= LARGEST or not name.endswith(".parquet"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    text = readme.read_text()
    before, after = text.index(BEGIN) + len(BEGIN), text.index(END)
    readme.write_text(text[:before] + markdown(run) + text[after:])


if __name__ == "__main__":
    publish(Run(sys.argv[1]), DOCS, README)
