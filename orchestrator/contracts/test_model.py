"""What an autoencoder of the user's own has to be (trainables.own_models says what it has)."""

import io
import json
from dataclasses import asdict
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from optuna import create_study, logging
from optuna.samplers import RandomSampler
from optuna.trial import FixedTrial
from pydantic import BaseModel
from torch import Tensor, nn
from torch.nn import functional

from orchestrator.contracts.in_process import tensors
from orchestrator.engine.settings import UserError, changed
from orchestrator.stages.own import own_class
from trainables.autoencoder import Coder, build, decode, encode, train_autoencoder
from trainables.autoencoder_settings import OwnAutoencoder
from trainables.epoch import State
from trainables.images import Shape
from trainables.own_models import model_class, settings_class, suggested
from trainables.splits import Split, hold_out_last

NUM_TRIALS = 5
"""Suggestions that are tried."""
logging.set_verbosity(logging.WARNING)


@pytest.fixture(autouse=True)
def _in_order() -> None:
    """Threads may add in another order."""
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def address(request: pytest.FixtureRequest) -> str:
    """The model's, as package.module:Class."""
    return str(request.config.getoption("model"))


@pytest.fixture
def settings(address: str, shape: Shape) -> OwnAutoencoder:
    """The model as a first trial has it, to be trained for two epochs."""
    return settings_of(address, shape, 0)


def trial_of(number: int) -> Any:
    """A trial of a random search; the same number, the same suggestions."""
    return create_study(sampler=RandomSampler(number)).ask()


def settings_of(address: str, shape: Shape, number: int, **changes: Any) -> OwnAutoencoder:
    """The model as such a trial has it, nothing about it being checked yet."""
    trial = trial_of(number)
    parameters = suggested(address, trial) | changes
    names = OwnAutoencoder.model_fields.keys() & {"optimizer", "learning_rate", "weight_decay", "batch_size"}
    told = {name: parameters[name] for name in names & parameters.keys()}
    return OwnAutoencoder(
        model=address,
        code="",
        parameters=parameters,
        params=trial.params,
        latent_dim=parameters["latent_dim"],
        num_parameters=1,
        image_shape=shape,
        **{"batch_size": 16, "epochs": 2} | told,
    )


@cache
def images_of(shape: Shape, number: int = 48) -> NDArray[np.uint8]:
    """Images with something to be learnt: a bright bar each, somewhere, on noise."""
    channels, rows, columns = shape
    dice = np.random.default_rng(0)
    images = dice.integers(0, 60, (number, channels, rows, columns), np.uint8)
    for image in images:
        top, left = dice.integers(0, (rows // 2, columns // 2))
        image[:, top : top + rows // 4, left : left + columns // 2] = dice.integers(150, 256, (channels, 1, 1))
    return images[:, 0] if channels == 1 else images


def split_of(shape: Shape) -> Split:
    """Images to learn from and to validate on."""
    return hold_out_last(images_of(shape))


def pixels_of(shape: Shape) -> Tensor:
    """The same images as a model is given them."""
    return torch.from_numpy(images_of(shape).reshape(-1, *shape)).float() / 255


def saved_and_loaded(state: State) -> State:
    """A training's state as it comes back from a checkpoint."""
    content = io.BytesIO()
    torch.save(state, content)
    content.seek(0)
    loaded: State = torch.load(content, weights_only=True)
    return loaded


def loss_of(model: Coder, pixels: Tensor) -> Tensor:
    """What a training minimises."""
    if callable(getattr(model, "loss", None)):
        loss: Tensor = model.loss(pixels, pixels)
        return loss
    return functional.mse_loss(model.decode(model.encode(pixels)), pixels)


def test_class_is_found_and_has_settings(address: str) -> None:
    kind = model_class(address)
    assert issubclass(kind, nn.Module)
    assert settings_class(kind, address)


@pytest.mark.parametrize("number", range(NUM_TRIALS))
def test_suggested_settings_have_a_latent_dim_and_follow_from_the_trial_alone(address: str, number: int) -> None:
    trial = trial_of(number)
    found = suggested(address, trial)
    assert type(found["latent_dim"]) is int, "latent_dim is to be a whole number among the settings"
    assert found["latent_dim"] >= 1
    assert suggested(address, FixedTrial(trial.params)) == found


@pytest.mark.parametrize("number", range(NUM_TRIALS))
def test_settings_are_the_same_after_they_were_written_as_json(address: str, number: int) -> None:
    kind = settings_class(model_class(address), address)
    settings = kind.suggest(trial_of(number))
    plain = suggested(address, trial_of(number))
    again = kind(**json.loads(json.dumps(plain)))
    if isinstance(settings, BaseModel):
        assert again == settings
    else:  # a dataclass's tuples come back as lists
        assert json.dumps(asdict(again)) == json.dumps(asdict(settings))


@pytest.mark.parametrize("number", range(NUM_TRIALS))
def test_images_are_encoded_to_vectors_and_decoded_to_images(address: str, shape: Shape, number: int) -> None:
    settings = settings_of(address, shape, number)
    model, pixels = build(settings, seed=0).eval(), pixels_of(shape)
    with torch.no_grad():
        latent = model.encode(pixels)
        assert latent.shape == (len(pixels), settings.latent_dim)
        assert latent.dtype == torch.float32
        assert model.decode(latent).shape == pixels.shape
    arrays = encode(model, images_of(shape))
    assert arrays.shape == (len(pixels), settings.latent_dim)
    assert decode(model, arrays).shape == images_of(shape).shape


def test_decoded_values_are_from_0_to_1(settings: OwnAutoencoder, shape: Shape) -> None:
    model = build(settings, seed=0)
    latent = 3 * torch.randn(100, settings.latent_dim, generator=torch.Generator().manual_seed(0))
    for mode in (True, False):
        model.train(mode)
        with torch.no_grad():
            for decoded in (model.decode(latent), model.decode(model.encode(pixels_of(shape)))):
                assert decoded.min() >= 0
                assert decoded.max() <= 1


def test_every_parameter_gets_a_gradient(settings: OwnAutoencoder, shape: Shape) -> None:
    model = build(settings, seed=0).train()
    loss = loss_of(model, pixels_of(shape))
    assert loss.ndim == 0, "the loss is a scalar, the mean over the batch"
    loss.backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, f"none reaches {name}"
            assert parameter.grad.isfinite().all(), f"{name}'s is not finite"
            assert parameter.grad.any(), f"{name}'s is zero throughout"


def test_loss_is_a_mean_over_the_batch(settings: OwnAutoencoder, shape: Shape) -> None:
    """It may be of what is drawn at random, and hang a little on what else is in the batch."""
    model, pixels = build(settings, seed=0).train(), pixels_of(shape)
    with torch.no_grad():
        once, twice = (loss_of(model, it).item() for it in (pixels, torch.cat([pixels, pixels])))
    assert twice == pytest.approx(once, rel=0.2), "twice the batch is to give about the same loss"


def test_a_seed_decides_the_weights(settings: OwnAutoencoder) -> None:
    one, same, other = (list(build(settings, seed=seed).state_dict().values()) for seed in (1, 1, 2))
    assert all(torch.equal(*pair) for pair in zip(one, same, strict=True))
    assert not all(torch.equal(*pair) for pair in zip(one, other, strict=True))


def test_evaluation_is_the_same_every_time_and_for_an_image_alone(settings: OwnAutoencoder, shape: Shape) -> None:
    model, pixels = build(settings, seed=0).eval(), pixels_of(shape)
    with torch.no_grad():
        latent = model.encode(pixels)
        assert torch.equal(model.encode(pixels), latent)
        assert torch.equal(model.decode(latent), model.decode(latent))
        torch.testing.assert_close(model.encode(pixels[:1]), latent[:1], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(model.decode(latent[:1]), model.decode(latent)[:1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("latent_dim", [1, 2, 64])
def test_latent_size_can_be_changed(address: str, shape: Shape, latent_dim: int) -> None:
    model = build(settings_of(address, shape, 0, latent_dim=latent_dim), seed=0).eval()
    with torch.no_grad():
        assert model.encode(pixels_of(shape)).shape[1] == latent_dim


def test_training_moves_the_weights_and_stays_finite(settings: OwnAutoencoder, shape: Shape) -> None:
    fresh = build(settings, seed=1).state_dict()
    epochs = list(train_autoencoder(settings, split_of(shape), seed=1))
    for epoch in epochs:
        assert np.isfinite(list(epoch.metrics.values())).all(), epoch.metrics
    trained = epochs[-1].state()["model"]
    assert not all(torch.equal(trained[name], fresh[name]) for name in fresh)


def test_interrupted_training_goes_on_as_if_it_had_not_been(settings: OwnAutoencoder, shape: Shape) -> None:
    """Bit for bit. What the model keeps between batches is a parameter or a buffer; all else is forgotten."""
    settings, whole, states = changed(settings, epochs=3), [], []
    for epoch in train_autoencoder(settings, split_of(shape), seed=3):
        whole.append(epoch.metrics)
        states.append(saved_and_loaded(epoch.state()))
    torch.rand(5)  # torch's own generator plays no part
    resumed = list(train_autoencoder(settings, split_of(shape), seed=3, resume=states[0]))
    assert [epoch.metrics for epoch in resumed] == whole[1:]
    pairs = zip(tensors(states[-1]), tensors(resumed[-1].state()), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


def test_command_takes_the_model(address: str, shape: Shape) -> None:
    """As it is checked before anything starts."""
    try:
        own_class(address, image_shape=shape)
    except UserError as error:
        pytest.fail(str(error))
