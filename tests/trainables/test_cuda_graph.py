"""Steps that a GPU repeats by itself give the numbers of steps that it is told one by one."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables import cuda_graph
from trainables.autoencoder import train_autoencoder
from trainables.autoencoder_settings import PAPER_TABLE1, LinearSettings
from trainables.classifier import Examples, train_classifier
from trainables.classifier_settings import ClassifierSettings
from trainables.cuda_graph import Captured
from trainables.ensemble import train_ensemble
from trainables.epoch import Epoch, State
from trainables.gan_settings import GanSettings
from trainables.gan_training import train_gan
from trainables.linear_autoencoder import train_linear_autoencoder
from trainables.splits import Split

EPOCHS = 3
NUM_IMAGES = 1000
Train = Callable[[State | None], Iterator[Epoch]]
on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA")


@pytest.fixture(autouse=True)
def as_workers_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)


def images() -> Any:
    """Squares of different sizes and shades."""
    draws, made = np.random.default_rng(1), np.zeros((NUM_IMAGES, 28, 28), np.uint8)
    for image in made:
        top, left, height, width = draws.integers(2, 13, 4)
        image[top : top + height, left : left + width] = draws.integers(40, 256)
    return made


def autoencoder(**settings: Any) -> Train:
    sizes = PAPER_TABLE1.model_copy(update={"epochs": EPOCHS, "batch_size": 64, **settings})
    split = Split(images(), np.arange(800), validation=np.arange(800, 1000))
    return lambda resume: train_autoencoder(sizes, split, device="cuda", seed=1, resume=resume)


def linear() -> Train:
    settings = LinearSettings(latent_dim=3, batch_size=64, epochs=EPOCHS)
    split = Split(images(), np.arange(1000))
    return lambda resume: train_linear_autoencoder(settings, split, device="cuda", seed=1, resume=resume)


def classifier() -> Train:
    settings = ClassifierSettings(
        architecture="cnn", input="raw", num_features=784, epochs=EPOCHS, batch_size=64, dropout=0.3
    )
    labels = (np.arange(1000) % 10).astype(np.uint8)
    examples = Examples(images()[:800], labels[:800], images()[800:], labels[800:])
    return lambda resume: train_classifier(settings, examples, device="cuda", seed=1, resume=resume)


def gan(**settings: Any) -> Train:
    widths: Any = {"generator_filters": (32, 16, 8), "discriminator_filters": (8, 16, 32)}
    made = GanSettings(loss="minimax", epochs=EPOCHS, batch_size=64, **widths, **settings)
    return lambda resume: train_gan(made, images(), device="cuda", seed=1, resume=resume)


TRAININGS: dict[str, Callable[[], Train]] = {
    "as the paper has it": autoencoder,
    "annealed": lambda: autoencoder(schedule="cosine", optimizer="adam", loss="cross_entropy"),
    "denoising": lambda: autoencoder(noise="gaussian"),
    "adagrad": lambda: autoencoder(optimizer="adagrad", noise="zeroed"),
    "linear": linear,
    "classifier with dropout": classifier,
    "the paper's game": gan,
    "a stable game": lambda: gan(architecture="stable", r1_penalty=0.2, ema_decay=0.9, schedule="cosine"),
}


def outcome(epochs: Sequence[Epoch]) -> tuple[list[dict[str, float]], dict[str, Tensor]]:
    return [dict(epoch.metrics) for epoch in epochs], epochs[-1].state()["model"]


def assert_same(one: Sequence[Epoch], other: Sequence[Epoch]) -> None:
    (metrics, weights), (other_metrics, other_weights) = outcome(one), outcome(other)
    assert metrics == other_metrics
    for name, tensor in weights.items():
        assert torch.equal(tensor, other_weights[name]), name


@on_a_gpu
@pytest.mark.parametrize("name", TRAININGS)
def test_replayed_steps_give_every_digit_of_those_told_one_by_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    replayed = list(TRAININGS[name]()(None))
    monkeypatch.setattr(cuda_graph, "NUM_BEFORE", 10**9)
    assert_same(replayed, list(TRAININGS[name]()(None)))


@on_a_gpu
@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_taken_up_again_on_a_gpu_gives_every_digit(name: str) -> None:
    train = TRAININGS[name]()
    whole = list(train(None))
    first = next(iter(train(None)))
    assert_same(whole[1:], list(train(first.state())))


@on_a_gpu
@pytest.mark.parametrize("noise", ["none", "gaussian"])
def test_members_replayed_go_nearly_as_alone(noise: str) -> None:
    sizes = PAPER_TABLE1.model_copy(update={"epochs": 2, "batch_size": 64, "noise": noise, "schedule": "cosine"})
    split = Split(images(), np.arange(800), validation=np.arange(800, 1000))
    together = list(train_ensemble(sizes, [split] * 3, device="cuda", seeds=[1, 2, 3]))
    for member, seed in enumerate([1, 2, 3]):
        alone = list(train_autoencoder(sizes, split, device="cuda", seed=seed))
        for epochs, epoch in zip(together, alone, strict=True):
            assert dict(epochs[member].metrics) == pytest.approx(dict(epoch.metrics), rel=1e-2)


@on_a_gpu
def test_a_step_is_told_a_few_times_and_then_replayed_with_what_it_is_given() -> None:
    told, total = [], torch.zeros((), device="cuda")

    def step(given: Tensor) -> Tensor:
        told.append(len(given))
        total.add_(given.sum())
        return given * 2

    captured = Captured(step, torch.device("cuda"))
    for number in range(10):
        given = torch.full((2,), float(number), device="cuda")
        assert captured(given).tolist() == [2 * number] * 2
    captured(torch.ones(3, device="cuda"))
    assert told == [2] * 4 + [3]
    assert total.item() == 2 * sum(range(10)) + 3


def test_without_a_gpu_a_step_is_called_as_it_is() -> None:
    captured = Captured(lambda given: given + 1, torch.device("cpu"))
    assert [captured(torch.tensor(number)).item() for number in range(9)] == list(range(1, 10))
