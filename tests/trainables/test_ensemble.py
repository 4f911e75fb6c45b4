"""Members of an ensemble go as they would alone, but for the order of sums; any epoch parts and joins them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables import autoencoder, ensemble
from trainables.autoencoder import build, train_autoencoder
from trainables.autoencoder_settings import PAPER_TABLE1, AutoencoderSettings
from trainables.ensemble import grouped_logits, part, together, train_ensemble
from trainables.epoch import Epoch, State
from trainables.images import Images, as_pixels
from trainables.splits import Split, all_images, fold_split

CLOSE = {"rtol": 1e-6, "atol": 1e-9}
"""In float64. In float32 adam makes a step of the noise that is a gradient of nearly zero, alone as well as here."""


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture
def in_float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Trainings in double precision, whose agreement is no matter of rounding."""
    for module in (autoencoder, ensemble):
        monkeypatch.setattr(module, "as_pixels", lambda images: as_pixels(images).double())
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def table1(**changes: Any) -> AutoencoderSettings:
    """Small networks that learn visibly in three epochs, whose last batches are smaller."""
    told = {"learning_rate": 2e-3, "weight_decay": 1e-2, "batch_size": 16, "epochs": 3} | changes
    return AutoencoderSettings.model_validate(PAPER_TABLE1.model_dump() | told)


def folds(sizes: AutoencoderSettings, number: int = 3, num_images: int = 60) -> list[Split]:
    """Folds of images that have something to learn: smooth, and each class of its own brightness."""
    draws = np.random.default_rng(0)
    labels = np.arange(num_images, dtype=np.uint8) % 4
    channels, rows, columns = sizes.image_shape
    shape = (num_images, rows, columns) if channels == 1 else (num_images, channels, rows, columns)
    bright = 50 * labels.reshape(-1, *[1] * (len(shape) - 1)) + np.linspace(0, 60, columns)
    images: Images = (bright + draws.integers(0, 40, shape)).astype(np.uint8)
    order = draws.permutation(num_images)
    splits = [fold_split(images, order, fold=fold, num_folds=3, test_images=images[:7]) for fold in range(number)]
    return [Split(it.images, it.train, it.validation, it.test_images, labels) for it in splits]


def alone(sizes: AutoencoderSettings, splits: list[Split], seeds: list[int]) -> list[list[Epoch]]:
    return [kept(train_autoencoder(sizes, split, seed=seed)) for split, seed in zip(splits, seeds, strict=True)]


def kept(epochs: Iterator[Epoch]) -> list[Epoch]:
    """Epochs with their states as they were."""
    return [_frozen(epoch) for epoch in epochs]


def in_lockstep(epochs: Iterator[Any]) -> list[list[Epoch]]:
    """Each member's epochs."""
    return [list(own) for own in zip(*([_frozen(epoch) for epoch in at_once] for at_once in epochs), strict=True)]


def _frozen(epoch: Epoch) -> Epoch:
    state = part(epoch.state(), 0, 1)  # a copy
    return Epoch(epoch.number, epoch.metrics, lambda: state)


def flat(state: Any, path: str = "") -> dict[str, Any]:
    """Every value of a state, by its path."""
    if isinstance(state, dict | list | tuple):
        inside = state.items() if isinstance(state, dict) else enumerate(state)
        return {name: it for key, value in inside for name, it in flat(value, f"{path}/{key}").items()}
    return {path: state}


def assert_states_agree(got: State, expected: State, **tolerance: float) -> None:
    one, other = flat(got), flat(expected)
    assert list(one) == list(other)
    for name, value in other.items():
        if isinstance(value, Tensor):
            assert (one[name].shape, one[name].dtype) == (value.shape, value.dtype), name
            torch.testing.assert_close(one[name], value, **tolerance, msg=lambda text, name=name: f"{name}: {text}")
        else:
            assert one[name] == value, name


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"batch_norm": False},
        {"relu": False},
        {"kernel_size": 5},
        {"loss": "cross_entropy"},
        {"optimizer": "adam"},
        {"optimizer": "adagrad", "learning_rate": 1e-2},
        {"schedule": "cosine"},
        {"image_shape": (3, 17, 23)},
        {"noise": "zeroed"},
        {"noise": "gaussian"},
        {"noise": "gaussian_unclipped"},
        {"batch_size": 39},
        {"batch_size": 39, "image_shape": (1, 16, 16)},
    ],
    ids=str,
)
@pytest.mark.usefixtures("in_float64")
def test_members_have_the_metrics_and_states_that_they_would_have_alone(change: dict[str, Any]) -> None:
    # A lone image that stands twice in maps of one pixel: its variance is nought, and batch norm divides rounding by
    # the root of epsilon. Torch's own modules end 1.4e-8 from the compiled loops, and 8.6e-9 from the ensemble.
    ill_conditioned = {"batch_size", "image_shape"} <= change.keys()
    close = CLOSE | ({"atol": 1e-7} if ill_conditioned else {})
    sizes, seeds = table1(**change), [3, 8, 5]
    splits = folds(sizes)
    expected = alone(sizes, splits, seeds)
    got = in_lockstep(train_ensemble(sizes, splits, seeds=seeds))
    assert [len(epochs) for epochs in got] == [3, 3, 3]
    for own, single in zip(got, expected, strict=True):
        for mine, its in zip(own, single, strict=True):
            assert mine.number == its.number
            assert list(mine.metrics) == list(its.metrics)
            assert {type(value) for value in mine.metrics.values()} == {float}
            assert dict(mine.metrics) == pytest.approx(dict(its.metrics), rel=1e-9)
            assert_states_agree(mine.state(), its.state(), **close)
        assert own[-1].metrics["train_mse"] != own[0].metrics["train_mse"]
    assert {"val_mse_class_0", "train_mse_evaluated", "test_mse"} <= set(got[0][-1].metrics)


@pytest.mark.parametrize(
    "change", [{}, {"batch_norm": False}, {"kernel_size": 5}, {"image_shape": (3, 17, 23)}], ids=str
)
def test_outputs_gradients_and_running_statistics_are_each_member_s_own_to_nine_digits(
    change: dict[str, Any],
) -> None:
    sizes = table1(**change)
    members = [build(sizes, seed=seed).double() for seed in range(3)]
    network = together(members)
    images = torch.rand(3, *sizes.image_shape, 5, dtype=torch.float64)
    logits = grouped_logits(network, images.flatten(0, 1), 3).view(images.shape)
    logits.square().sum().backward()
    for number, member in enumerate(members):
        own = member.logits(images[number].movedim(-1, 0))
        own.square().sum().backward()
        torch.testing.assert_close(logits[number].movedim(-1, 0), own, rtol=1e-9, atol=1e-9)
        for mine, its in zip(network.parameters(), member.parameters(), strict=True):
            assert its.grad is not None
            torch.testing.assert_close(part(mine.grad, number, 3), its.grad, rtol=1e-9, atol=1e-9)
        assert_states_agree(part(network.state_dict(), number, 3), member.state_dict(), rtol=1e-9, atol=1e-9)


def test_a_resumed_ensemble_equals_an_uninterrupted_one() -> None:
    sizes, seeds = table1(noise="gaussian", schedule="cosine", epochs=4), [3, 8]
    splits = folds(sizes, 2)
    whole = in_lockstep(train_ensemble(sizes, splits, seeds=seeds))
    resumes = [epochs[1].state() for epochs in whole]
    resumed = in_lockstep(train_ensemble(sizes, splits, seeds=seeds, resumes=resumes))
    for own, uninterrupted in zip(resumed, whole, strict=True):
        assert [(it.number, it.metrics) for it in own] == [(it.number, it.metrics) for it in uninterrupted[2:]]
        assert_states_agree(own[-1].state(), uninterrupted[-1].state(), rtol=0, atol=0)


@pytest.mark.parametrize("optimizer", ["adamw", "adagrad"])
@pytest.mark.usefixtures("in_float64")
def test_members_go_on_alone_and_single_trainings_as_members(optimizer: str) -> None:
    sizes, seeds = table1(optimizer=optimizer, epochs=4), [3, 8]
    splits = folds(sizes, 2)
    expected = alone(sizes, splits, seeds)
    left = in_lockstep(train_ensemble(sizes, splits, seeds=seeds))
    parted = [
        kept(train_autoencoder(sizes, split, seed=seed, resume=own[1].state()))
        for split, seed, own in zip(splits, seeds, left, strict=True)
    ]
    resumes = [single[1].state() for single in expected]
    rejoined = in_lockstep(train_ensemble(sizes, splits, seeds=seeds, resumes=resumes))
    for epochs, single in zip(parted + rejoined, expected * 2, strict=True):
        assert [it.number for it in epochs] == [3, 4]
        assert dict(epochs[-1].metrics) == pytest.approx(dict(single[-1].metrics), rel=1e-9)
        assert_states_agree(epochs[-1].state(), single[-1].state(), **CLOSE)


def test_a_member_does_not_depend_on_the_others() -> None:
    sizes = table1(noise="zeroed")
    splits = folds(sizes)
    one, *_ = in_lockstep(train_ensemble(sizes, splits, seeds=[3, 8, 5]))
    _, same = in_lockstep(train_ensemble(sizes, [splits[1], splits[0]], seeds=[9, 3]))
    assert dict(one[-1].metrics) == pytest.approx(dict(same[-1].metrics), rel=2e-3)


@pytest.mark.parametrize("number", [1, 3])
def test_in_float32_members_agree_with_single_trainings_as_far_as_rounding_lets_them(number: int) -> None:
    sizes, seeds = table1(), [4, 8, 5][:number]
    splits = folds(sizes, number)
    got = in_lockstep(train_ensemble(sizes, splits, seeds=seeds))
    for own, single in zip(got, alone(sizes, splits, seeds), strict=True):
        for mine, its in zip(own, single, strict=True):
            assert dict(mine.metrics) == pytest.approx(dict(its.metrics), rel=2e-3)
        weights, expected = (
            torch.cat([value.flatten() for value in epochs[-1].state()["model"].values()]) for epochs in (own, single)
        )
        assert weights.dtype == expected.dtype
        assert torch.dist(weights, expected) < 1e-2 * torch.dist(expected, torch.zeros(()))


def test_the_global_generator_is_left_untouched_and_plays_no_part() -> None:
    sizes = table1(noise="gaussian", epochs=1)
    splits = folds(sizes, 2)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = in_lockstep(train_ensemble(sizes, splits, seeds=[3, 8]))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    other = in_lockstep(train_ensemble(sizes, splits, seeds=[3, 8]))
    assert [epochs[-1].metrics for epochs in one] == [epochs[-1].metrics for epochs in other]


def test_a_member_s_state_holds_no_other_member_s_numbers() -> None:
    """Else its checkpoint would have all of them."""
    sizes = table1(epochs=1)
    (epochs,) = train_ensemble(sizes, folds(sizes), seeds=[3, 8, 5])
    for value in flat(epochs[1].state()).values():
        if isinstance(value, Tensor):
            assert value.untyped_storage().nbytes() == value.numel() * value.element_size()


def test_what_cannot_keep_step_is_refused() -> None:
    sizes = table1(epochs=2)
    one, other, third = folds(sizes)
    first, second = ([epoch.state() for epoch in epochs] for epochs in alone(sizes, [one, other], [1, 2]))
    with pytest.raises(ValueError, match="one for each member"):
        next(train_ensemble(sizes, [one, other], seeds=[1]))
    with pytest.raises(ValueError, match="one for each member"):
        next(train_ensemble(sizes, [], seeds=[]))
    with pytest.raises(ValueError, match="one for each member"):
        next(train_ensemble(sizes, [one, other], seeds=[1, 2], resumes=first[:1]))
    with pytest.raises(ValueError, match=r"on as many images, not on \[40, 60\]"):
        next(train_ensemble(sizes, [one, all_images(one.images)], seeds=[1, 2]))
    with pytest.raises(ValueError, match="the same images"):
        next(train_ensemble(sizes, [one, *folds(sizes, 1)], seeds=[1, 2]))
    with pytest.raises(ValueError, match=r"same epoch, not from \[1, 2\]"):
        next(train_ensemble(sizes, [one, third], seeds=[1, 2], resumes=[first[0], second[1]]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA")
def test_members_on_a_gpu_go_nearly_as_on_the_cpu() -> None:
    sizes, seeds = table1(epochs=1), [3, 8, 5]
    splits = folds(sizes)
    on_cpu = in_lockstep(train_ensemble(sizes, splits, seeds=seeds))
    on_gpu = in_lockstep(train_ensemble(sizes, splits, device="cuda", seeds=seeds))
    for (one,), (other,) in zip(on_cpu, on_gpu, strict=True):
        assert dict(one.metrics) == pytest.approx(dict(other.metrics), rel=1e-2)
