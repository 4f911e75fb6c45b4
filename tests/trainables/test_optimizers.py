"""Optimizers step as their papers say, and what a loop draws hangs on seed and epoch alone."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trainables.autoencoder import corrupted
from trainables.autoencoder_settings import PAPER_TABLE1
from trainables.classifier_settings import ClassifierSettings
from trainables.loop import passes
from trainables.optimizers import Descent

RATE, DECAY, START, GOAL = 0.1, 0.5, 2.0, 5.0


class Number(nn.Module):
    """A model that is a number."""

    def __init__(self) -> None:
        super().__init__()
        self.number = nn.Parameter(torch.tensor([START]))


def reckoned(name: str, steps: int, beta1: float = 0.9) -> float:
    """Where some steps down half the squared distance from GOAL lead: Kingma and Ba 2015; Loshchilov and Hutter 2019;
    Duchi et al. 2011."""
    at, mean, square, total = START, 0.0, 0.0, 0.0
    for step in range(1, steps + 1):
        gradient = at - GOAL
        if name == "adamw":
            at -= RATE * DECAY * at
        else:
            gradient += DECAY * at
        if name == "adagrad":
            total += gradient**2
            at -= RATE * gradient / total**0.5
            continue
        mean, square = beta1 * mean + (1 - beta1) * gradient, 0.999 * square + 0.001 * gradient**2
        at -= RATE * mean / (1 - beta1**step) / ((square / (1 - 0.999**step)) ** 0.5 + 1e-8)
    return at


@pytest.mark.parametrize(
    ("name", "options"),
    [("adam", {}), ("adam", {"betas": (0.1, 0.999)}), ("adamw", {}), ("adagrad", {})],
    ids=["adam", "adam with another beta1", "adamw", "adagrad"],
)
def test_five_steps_lead_where_the_optimizer_s_paper_says(name: str, options: dict[str, Any]) -> None:
    model = Number()
    descent = Descent(name, model, RATE, "constant", weight_decay=DECAY, **options)
    for _ in range(5):
        descent.minimise((model.number - GOAL).square().sum() / 2)
    beta1 = options.get("betas", (0.9,))[0]
    assert model.number.item() == pytest.approx(reckoned(name, 5, beta1), rel=1e-5)
    others = {reckoned(other, 5) for other in ("adam", "adamw", "adagrad")}
    assert min(abs(a - b) for a in others for b in others if a != b) > 1e-3, "which are told apart"


def test_every_epoch_of_every_seed_draws_other_numbers_and_resumed_ones_the_same() -> None:
    settings = ClassifierSettings(input="latent", num_features=1, architecture="linear", batch_size=2, epochs=3)

    def drawn(seed: int, resume: bool = False) -> list[float]:
        model, draws = Number(), []

        def batch_loss(batch: Tensor) -> Tensor:
            draws.append(torch.rand(1).item())
            return model.number.sum()

        descent = Descent("adam", model, RATE, "constant")
        state = None
        if resume:
            state = {"model": model.state_dict(), "optimizer": descent.optimizer.state_dict(), "epoch": 1}
        list(passes(descent, torch.arange(4), batch_loss, settings, seed=seed, resume=state))
        return draws

    one, other = drawn(1), drawn(2)
    assert len({*one, *other}) == 2 * 3 * 2
    assert drawn(1, resume=True) == one[2:]


@pytest.mark.parametrize("seed", [1, 2])
def test_zeroed_training_images_lose_of_each_its_own_share_evenly_up_to_the_highest(seed: int) -> None:
    torch.manual_seed(seed)
    images = torch.full((400, 1, 28, 28), 0.5)
    settings = PAPER_TABLE1.model_copy(update={"noise": "zeroed", "max_noise": 0.6})
    found = corrupted(images, settings)
    assert set(found.unique().tolist()) == {0.0, 0.5}
    lost = (found == 0).double().mean(dim=(1, 2, 3)).numpy()
    np.testing.assert_allclose(np.quantile(lost, [0.01, 0.25, 0.5, 0.75, 0.99]), [0, 0.15, 0.3, 0.45, 0.6], atol=0.05)


def test_gaussian_training_noise_has_for_each_image_a_deviation_of_its_own_and_stays_in_the_pixels_range() -> None:
    torch.manual_seed(1)
    images = torch.full((400, 1, 28, 28), 0.5)
    settings = PAPER_TABLE1.model_copy(update={"noise": "gaussian", "max_noise": 0.1})
    found = corrupted(images, settings)
    deviations = found.std(dim=(1, 2, 3)).numpy()
    expected = [0, 0.025, 0.05, 0.075, 0.1]
    np.testing.assert_allclose(np.quantile(deviations, [0.01, 0.25, 0.5, 0.75, 0.99]), expected, atol=0.01)
    assert found.mean().item() == pytest.approx(0.5, abs=1e-3)
    found = corrupted(images, settings.model_copy(update={"max_noise": 1.0}))
    assert (found.min().item(), found.max().item()) == (0.0, 1.0)
    assert corrupted(images, PAPER_TABLE1) is images
