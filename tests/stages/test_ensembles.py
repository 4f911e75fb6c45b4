"""Final models that are trained as one are those that they are alone."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from orchestrator.engine.records import Trial
from orchestrator.engine.stage import Worker
from orchestrator.stages.refit import Refit
from tests.command import NO_IMAGES
from trainables.autoencoder_settings import PAPER_TABLE1


@pytest.mark.parametrize("noise", ["none", "gaussian"])
def test_seeds_of_a_final_model_are_alike_and_go_as_one_as_they_go_alone(noise: str) -> None:
    model = PAPER_TABLE1.model_copy(update={"noise": noise, "epochs": 2, "batch_size": 16})
    trials: list[Trial[Any]] = [Trial(f"seed-{seed}", model, seed, 2, 40) for seed in (1, 2)]
    images = np.random.default_rng(0).integers(0, 256, (40, 28, 28), np.uint8)
    data, stage, worker = replace(NO_IMAGES, train_images=images, test_images=images[:7]), Refit(), Worker()
    assert stage.alike(trials[0]) == stage.alike(trials[1])
    assert stage.alike(trials[0]) != stage.alike(replace(trials[0], num_images=41))
    *_, last = stage.train_ensemble(trials, data, worker, None)
    for trial, epoch in zip(trials, last, strict=True):
        *_, alone = stage.train(trial, data, worker)
        assert dict(epoch.metrics) == pytest.approx(dict(alone.metrics), rel=1e-2)
