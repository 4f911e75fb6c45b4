"""Every stage's package can be the first that is imported: none needs another to have been before."""

import subprocess
import sys
from pathlib import Path

SOURCE = """
import importlib, sys
for name in sys.argv[1:]:
    for loaded in [it for it in sys.modules if it.startswith("orchestrator")]:
        del sys.modules[loaded]
    importlib.import_module(f"orchestrator.stages.{name}")
"""


def test_each_stage_is_imported_alone() -> None:
    root = Path(__file__).parents[2]
    names = [path.parent.name for path in (root / "orchestrator" / "stages").glob("*/__init__.py")]
    assert len(names) > 8
    done = subprocess.run([sys.executable, "-c", SOURCE, *names], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
