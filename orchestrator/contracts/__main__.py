"""The contracts as a command: pytest with its options, and with those of `orchestrator.contracts.plugin`."""

import os
import sys
from importlib.util import find_spec


def main(arguments: list[str]) -> int:
    """Run the tests; pytest's exit status, 2 where pytest is missing."""
    if find_spec("pytest") is None:
        print("error: the package pytest is not installed (pip install pytest)", file=sys.stderr)
        return 2
    import pytest

    # Settings of pytest that lie around here are another project's, and nothing is written beside the user's files.
    alone = ["-c", os.devnull, "--rootdir", ".", "-p", "no:cacheprovider"]
    tests = ["-p", "orchestrator.contracts.plugin", "--pyargs", "orchestrator.contracts"]
    return pytest.main([*alone, *tests, *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
