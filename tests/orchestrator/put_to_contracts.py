"""Puts classes to the contracts, one after the other in one process; prints which tests failed of each, as JSON."""

import json
import sys
from typing import Any

import pytest

TESTS = ["-p", "orchestrator.contracts.plugin", "--pyargs", "orchestrator.contracts"]


class Failed:
    """Takes note of the names of tests that fail."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.names.add(report.nodeid.rpartition("::")[2].partition("[")[0].removeprefix("test_"))


def main(option: str, *addresses: str) -> None:
    """The classes are all models or all stages, as the option says."""
    told = {}
    for address in addresses:
        failed = Failed()
        options = ["-c", "/dev/null", "--rootdir", ".", "-q", "-p", "no:cacheprovider", "--image-shape", "1,16,16"]
        status = pytest.main([*options, *TESTS, option, address], plugins=[failed])
        told[address] = sorted(failed.names)
        assert (status == 0) == (not failed.names), status
    print("\n" + json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
