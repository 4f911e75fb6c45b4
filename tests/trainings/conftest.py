"""For tests of what runs trainings: Ray in this process, started once for all of them."""

from collections.abc import Iterator

import pytest

from orchestrator.engine.cluster import Cluster, connect
from orchestrator.engine.settings import Resources


@pytest.fixture(scope="package")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with connect(
        "local", Resources(slots=2, niceness=3), log_file=tmp_path_factory.mktemp("ray") / "driver.log"
    ) as cluster:
        yield cluster


@pytest.fixture
def cluster(ray: Cluster, request: pytest.FixtureRequest) -> Cluster:
    """Ray, whose workers can run the stages of the test's module."""
    from ray import cloudpickle

    from tests.engine import toy

    for module in (request.module, toy):
        cloudpickle.register_pickle_by_value(module)  # workers may know another package named tests
    return ray
