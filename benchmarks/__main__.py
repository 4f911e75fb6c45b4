"""Measure, print the table, and write RESULTS.md: `python -m benchmarks [--full] [loops folds ...]`.

With names only those parts are measured, and RESULTS.md stays as it is. Each part is a process of its own.
"""

import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from multiprocessing import get_context
from pathlib import Path

from benchmarks.rows import Row, measured
from orchestrator.engine.machine import this_machine
from orchestrator.engine.provenance import made

PARTS = ("loops", "folds", "searching", "start", "trials", "gpu")
RESULTS = Path(__file__).parent / "RESULTS.md"
TABLE = "| what | measured | goal | |\n| --- | --- | --- | --- |"


def lines(part: str, full: bool) -> Iterator[str]:
    """A part's rows as lines of a table; or one that says why there are none."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        try:
            found = pool.submit(measured, part, full).result()
        except Exception as error:
            found = [Row(part, f"not measured: {' '.join(str(error).split())[-200:]}")]
    for row in found:
        reached = "" if row.met is None else "met" if row.met else "missed"
        yield f"| {row.what} | {row.measured} | {row.goal} | {reached} |"


def head(full: bool) -> str:
    """When and where all this was measured, and how to read it."""
    here, machine = made(()), this_machine()
    packages = ", ".join(f"{name} {here.versions[name]}" for name in ("torch", "ray", "optuna"))
    return f"""# Results

Written by `make bench{"-full" * full}` on {date.today()}, commit {here.commit}.
{machine.cpus:g} cores of {here.device}, {machine.gpus:g} GPUs; {packages}.
Medians, and in brackets the least and the greatest of several turns. Both sides of a ratio are measured in the same
turn. What each part does is said at the top of its module in this folder; docs/LOG.md says what bounds the numbers
that miss their goal, and what was tried.
"""


def main() -> None:
    """Measure the parts that are named, or all."""
    full, names = "--full" in sys.argv, [word for word in sys.argv[1:] if word != "--full"]
    if unknown := set(names) - set(PARTS):
        print(f"error: there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}", file=sys.stderr)
        sys.exit(2)
    table = [TABLE]
    print(TABLE, flush=True)
    for part in names or PARTS:
        for line in lines(part, full):
            print(line, flush=True)
            table.append(line)
    if not names:
        RESULTS.write_text("\n".join([head(full), *table, ""]))


if __name__ == "__main__":
    main()
