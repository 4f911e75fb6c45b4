"""For tests of the engine: a place that Ray would have."""

import pytest

from tests.engine.scheduled import InRaysPlace


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> InRaysPlace:
    ray = InRaysPlace()
    monkeypatch.setattr("orchestrator.engine.ray_tune.run_trials", ray.run_trials)
    monkeypatch.setattr("orchestrator.engine.ray_train.train_together", ray.train_together)
    return ray
