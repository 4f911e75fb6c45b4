"""Every network and measurement takes grey and coloured images from 16 to 64 a side, the paper's among them."""

import copy
import io
import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from trainables import autoencoder, classifier, gan
from trainables.autoencoder import Autoencoder, decode, encode, reconstruct, reconstruct_pixels, reconstruction_mse
from trainables.autoencoder_settings import PAPER_TABLE1, AutoencoderSettings, LinearSettings, convolved_sizes
from trainables.classifier import Classifier, Examples, predict, prepared, train_classifier
from trainables.classifier_settings import ClassifierSettings
from trainables.epoch import Epoch
from trainables.export import as_program
from trainables.gan import Discriminator, Generator, discriminator_loss, generator_loss, r1_penalty
from trainables.gan_scores import NUM_COMPONENTS, Extractor, Scores
from trainables.gan_settings import AUTHOR, GanRecipe, GanSettings
from trainables.gan_training import generate, random_vectors, scaled, train_gan
from trainables.images import (
    PAPER_SHAPE,
    Images,
    Shape,
    as_pixels,
    as_rows,
    flat_pixels,
    part_size,
    shape_of,
    unit_pixels,
)
from trainables.inception import inception_features
from trainables.linear_autoencoder import (
    LinearAutoencoder,
    linear_mse,
    reconstruct_linear,
    train_linear_autoencoder,
)
from trainables.loop import in_parts
from trainables.models import restored
from trainables.noise import NOISES, add_noise
from trainables.splits import all_images, hold_out_last

SHAPES: list[Shape] = [PAPER_SHAPE, (1, 16, 16), (3, 32, 32), (1, 64, 64), (3, 17, 40), (1, 23, 16)]
COLOURED: Shape = (3, 17, 40)
EACH = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
BOTH = pytest.mark.parametrize("architecture", ["paper", "stable"])
NUM_CLASSES = 4


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Torch's threads wait for each other a hundred times longer than they compute where another process is busy."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


def drawn(shape: Shape, number: int, *, seed: int = 0) -> tuple[Images, np.ndarray]:
    """A bright patch in one of four corners on a dark ground, smooth and a little noisy, and which corner it is."""
    draws, (channels, rows, columns) = np.random.default_rng(seed), shape
    corners = draws.integers(0, NUM_CLASSES, number).astype(np.uint8)
    down, along = (corners // 2)[:, None, None, None], (corners % 2)[:, None, None, None]
    y, x = np.arange(rows)[:, None] / rows, np.arange(columns) / columns
    patch = np.exp(-20 * ((y - 0.3 - 0.4 * down) ** 2 + (x - 0.3 - 0.4 * along) ** 2))
    colour = draws.uniform(100, 230, (number, channels, 1, 1))
    images = (colour * patch + draws.uniform(0, 20, (number, *shape))).astype(np.uint8)
    return images if channels > 1 else images[:, 0], corners


def table1(shape: Shape, **changes: object) -> AutoencoderSettings:
    return AutoencoderSettings.model_validate(PAPER_TABLE1.model_dump() | {"image_shape": shape} | changes)


def raw(shape: Shape, **changes: object) -> ClassifierSettings:
    usual = {"input": "raw", "num_features": math.prod(shape), "architecture": "cnn", "num_classes": NUM_CLASSES}
    return ClassifierSettings.model_validate(usual | {"image_shape": shape, "batch_size": 16} | changes)


def game(shape: Shape, **changes: object) -> GanSettings:
    small = {"generator_filters": (16, 8, 8), "discriminator_filters": (8, 8, 16), "latent_dim": 6, "batch_size": 16}
    usual = {"loss": "non_saturating", "epochs": 3, "r1_penalty": 0.2, "ema_decay": 0.9, "learning_rate": 3e-3}
    return GanSettings.model_validate(small | usual | {"image_shape": shape} | changes)


def assert_a_gradient_reaches_all(network: nn.Module) -> None:
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def saved_and_loaded(state: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


SETTINGS = [
    (PAPER_TABLE1, {}),
    (LinearSettings(latent_dim=5), {}),
    (ClassifierSettings(input="raw", num_features=784, architecture="cnn"), {"num_features": math.prod(COLOURED)}),
    (GanSettings(loss="minimax"), {}),
    (AUTHOR, {}),
]


@pytest.mark.parametrize(("settings", "change"), SETTINGS, ids=lambda it: type(it).__name__)
def test_the_json_of_settings_tells_the_shape_only_where_it_is_not_the_paper_s(
    settings: Any, change: dict[str, int]
) -> None:
    """Records are found by a hash of it, and those of before there were other shapes must be found."""
    usual = settings.model_dump(mode="json")
    assert settings.image_shape == PAPER_SHAPE
    assert not {"image_shape", "num_classes"} & set(usual)
    assert "image_shape" not in settings.model_dump_json()
    assert type(settings).model_validate(usual | {"image_shape": [1, 28, 28]}).model_dump(mode="json") == usual
    other = type(settings).model_validate(usual | {"image_shape": COLOURED} | change)
    told = other.model_dump(mode="json")
    assert told == usual | {"image_shape": [3, 17, 40]} | change
    assert type(settings).model_validate(told) == other != settings
    assert type(settings).model_validate_json(other.model_dump_json()) == other


def test_the_json_of_a_classifier_tells_the_number_of_classes_only_where_it_is_not_ten() -> None:
    usual = {"input": "latent", "num_features": 3, "architecture": "mlp"}
    other = ClassifierSettings.model_validate(usual | {"num_classes": 7})
    told = other.model_dump(mode="json")
    assert told["num_classes"] == 7
    assert ClassifierSettings.model_validate(told) == other
    assert ClassifierSettings.model_validate(usual | {"num_classes": 10}).model_dump(mode="json") == {
        name: value for name, value in told.items() if name != "num_classes"
    }


@pytest.mark.parametrize("shape", [(2, 28, 28), (0, 28, 28), (1, 15, 28), (1, 28, 15), (3, 65, 28), (3, 28, 65)])
@pytest.mark.parametrize(("settings", "change"), SETTINGS, ids=lambda it: type(it).__name__)
def test_a_shape_that_no_network_is_made_for_is_refused_in_a_sentence(
    settings: Any, change: dict[str, int], shape: Shape
) -> None:
    with pytest.raises(ValueError, match="image_shape") as caught:
        type(settings).model_validate(settings.model_dump() | {"image_shape": shape})
    assert f"image_shape {shape} must have 1 or 3 channels and from 16 to 64 rows and columns" in str(caught.value)


def test_a_classifier_s_number_of_features_must_be_the_image_s() -> None:
    with pytest.raises(ValueError, match="num_features 784") as caught:
        raw(COLOURED, num_features=784)
    assert "are not the numbers of an image of shape (3, 17, 40)" in str(caught.value)


@EACH
def test_pixels_are_bytes_as_shares_of_255_in_the_images_order(shape: Shape) -> None:
    images, _ = drawn(shape, 3)
    tensor = torch.from_numpy(images)
    assert shape_of(images) == shape_of(tensor) == shape
    exact = (images / 255).astype(np.float32)
    pixels, rows = as_pixels(tensor), as_rows(tensor)
    assert pixels.movedim(0, -1).is_contiguous()
    np.testing.assert_array_equal(pixels, exact.reshape(3, *shape))
    np.testing.assert_array_equal(unit_pixels(images), exact)
    for flat in (rows, flat_pixels(images)):
        np.testing.assert_array_equal(flat, exact.reshape(3, math.prod(shape)))


def test_larger_images_are_evaluated_in_fewer_hundreds_at_a_time() -> None:
    sizes = {shape: part_size(shape) for shape in SHAPES}
    assert sizes == dict(zip(SHAPES, [400, 400, 200, 100, 300, 400], strict=True))
    for shape, expected in ((PAPER_SHAPE, 200), ((1, 64, 64), 50)):
        settings, seen = game(shape, generator_filters=(1, 1, 1)), []
        generator, _ = gan.build(settings, seed=0)
        generator.register_forward_pre_hook(lambda _, z, seen=seen: seen.append(len(*z)))
        generate(generator, random_vectors(expected + 1, settings, 1))
        assert seen == [expected, 1]


def test_what_is_computed_in_parts_stands_where_its_inputs_do() -> None:
    numbers = torch.arange(14.0).reshape(7, 2)
    for at_once in (1, 3, 7, 9):
        assert torch.equal(in_parts(lambda part: part.sum(1), numbers, at_once), numbers.sum(1))
        backwards = in_parts(lambda part: part.flip(1).to(torch.int64), numbers, at_once)
        assert torch.equal(backwards, numbers.flip(1).to(torch.int64))
    assert in_parts(lambda part: part.flip(1), numbers[:0], 3).shape == (0, 2)


@EACH
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_an_autoencoder_gives_images_of_the_shape_it_takes_and_all_of_it_learns(
    shape: Shape, kernel_size: int
) -> None:
    model = autoencoder.build(table1(shape, kernel_size=kernel_size), seed=0)
    pixels = as_pixels(torch.from_numpy(drawn(shape, 32)[0]))
    output = model(pixels)
    assert output.shape == pixels.shape == (32, *shape)
    functional.mse_loss(output, pixels).backward()
    assert_a_gradient_reaches_all(model)


@EACH
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_sizes_shrink_as_the_settings_say_and_grow_back_by_the_same_steps(shape: Shape, kernel_size: int) -> None:
    model, sizes = autoencoder.build(table1(shape, kernel_size=kernel_size), seed=0), [shape[1:]]
    x = torch.rand(2, *shape)
    for layer in (*model.encoder, *model.decoder):
        x = layer(x)
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            sizes.append((x.shape[2], x.shape[3]))
    down = [shape[1:], *convolved_sizes(shape)]
    assert sizes == [*down, *down[-2::-1]]
    assert down[1:3] == [tuple(math.ceil(side / parts) for side in shape[1:]) for parts in (2, 4)]


@EACH
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_the_numbers_told_of_an_autoencoder_are_its_layers_own(shape: Shape, kernel_size: int) -> None:
    settings = table1(shape, kernel_size=kernel_size)
    model, multiplications, activations = autoencoder.build(settings, seed=0), [], []

    def seen(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        positions = {nn.Linear: 1, nn.Conv2d: output[0, 0].numel(), nn.ConvTranspose2d: inputs[0][0, 0].numel()}
        assert isinstance(layer.weight, Tensor)
        multiplications.append(layer.weight.numel() * positions[type(layer)])
        if isinstance(layer, nn.Conv2d):
            activations.append(output[0].numel())

    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(seen)
    model.decoder(model.encoder(torch.rand(2, *shape)))
    assert len(multiplications) == 10
    assert settings.num_multiplications == sum(multiplications)
    assert settings.num_activations == sum(activations)
    assert settings.num_parameters == sum(parameter.numel() for parameter in model.parameters())


@EACH
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_the_fast_layout_gives_what_the_ordinary_layers_give_and_their_gradients(
    shape: Shape, kernel_size: int
) -> None:
    ordinary = autoencoder.build(table1(shape, kernel_size=kernel_size), seed=3).double()
    fast, images = copy.deepcopy(ordinary), torch.rand(5, *shape, dtype=torch.float64)
    expected, got = ordinary.decoder(ordinary.encoder(images)), fast(images)
    torch.testing.assert_close(got, expected)
    for output in (expected, got):
        functional.mse_loss(output, images).backward()
    for (name, a), b in zip(ordinary.named_parameters(), fast.parameters(), strict=True):
        assert a.grad is not None, name
        torch.testing.assert_close(b.grad, a.grad, rtol=1e-6, atol=1e-10)
    for name, buffer in ordinary.named_buffers():
        torch.testing.assert_close(fast.get_buffer(name), buffer)


@EACH
def test_an_autoencoder_learns_and_its_images_have_the_shape_of_those_it_is_given(shape: Shape) -> None:
    images, _ = drawn(shape, 60)
    settings = table1(shape, learning_rate=1e-2, batch_size=10, epochs=10)
    epochs = list(train_autoencoder_on(settings, images))
    curve = [epoch.metrics["val_mse"] for epoch in epochs]
    assert epochs[-1].metrics["train_mse"] < 0.5 * epochs[0].metrics["train_mse"]
    assert curve[-1] < 0.5 * curve[0]
    model = restored(Autoencoder, settings, epochs[-1].state()["model"])
    outputs = reconstruct(model, images)
    assert (outputs.shape, outputs.dtype) == (images.shape, np.float32)
    np.testing.assert_array_equal(reconstruct_pixels(model, unit_pixels(images)), outputs)
    latent = encode(model, images)
    assert latent.shape == (60, 3)
    np.testing.assert_allclose(decode(model, latent), outputs, rtol=0, atol=1e-5)
    expected = np.square(outputs.astype(float) - images / 255).mean()
    assert reconstruction_mse(model, torch.from_numpy(images)) == pytest.approx(expected, rel=1e-5)
    on_held_out = np.square(outputs[50:].astype(float) - images[50:] / 255).mean()
    assert curve[-1] == pytest.approx(on_held_out, rel=1e-4)


def train_autoencoder_on(settings: AutoencoderSettings, images: Images) -> Iterator[Epoch]:
    return autoencoder.train_autoencoder(settings, hold_out_last(images), seed=0)


def test_many_large_images_are_reconstructed_part_by_part_as_few_are() -> None:
    shape = (3, 48, 64)
    model, images = autoencoder.build(table1(shape), seed=0), drawn(shape, 130)[0]
    whole = reconstruct(model, images)
    np.testing.assert_allclose(whole[90:], reconstruct(model, images[90:]), rtol=0, atol=1e-6)
    expected = np.square(whole.astype(float) - images / 255).mean()
    assert reconstruction_mse(model, torch.from_numpy(images)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("noise", ["none", "zeroed", "gaussian"])
def test_a_last_batch_of_one_image_of_sixteen_by_sixteen_is_learned_from(noise: str) -> None:
    """Its three convolutions leave one number of a channel, which alone has no variance."""
    images, _ = drawn((1, 16, 16), 33)
    settings = table1((1, 16, 16), batch_size=16, epochs=1, noise=noise)
    (epoch,) = autoencoder.train_autoencoder(settings, all_images(images), seed=0)
    assert math.isfinite(epoch.metrics["train_mse_evaluated"])
    assert all(it.isfinite().all() for it in epoch.state()["model"].values())


@EACH
def test_a_linear_autoencoder_takes_the_numbers_of_all_channels(shape: Shape) -> None:
    images, test_images = drawn(shape, 200)[0], drawn(shape, 30, seed=1)[0]
    latent_dim = NUM_CLASSES * shape[0]  # a corner's brightness in each channel
    settings = LinearSettings(latent_dim=latent_dim, image_shape=shape, batch_size=20, epochs=60)
    *_, last = train_linear_autoencoder(settings, all_images(images, test_images), seed=0)
    model = restored(LinearAutoencoder, settings, last.state()["model"])
    assert settings.num_parameters == sum(parameter.numel() for parameter in model.parameters())
    np.testing.assert_allclose(model.mean, flat_pixels(images).mean(0), atol=1e-5)
    assert last.metrics["test_mse"] < 0.6 * np.square(flat_pixels(test_images) - model.mean.numpy()).mean()
    outputs = reconstruct_linear(model, unit_pixels(test_images))
    assert outputs.shape == test_images.shape
    expected = np.square(outputs.astype(float) - test_images / 255).mean()
    assert linear_mse(model, torch.from_numpy(test_images)) == pytest.approx(expected, rel=1e-5)


@EACH
@pytest.mark.parametrize("architecture", ["cnn", "mlp", "linear"])
def test_a_classifier_of_images_gives_a_logit_a_class_and_all_of_it_learns(
    shape: Shape, architecture: Literal["cnn", "mlp", "linear"]
) -> None:
    images, labels = drawn(shape, 48)
    model = classifier.build(raw(shape, architecture=architecture), seed=0)
    inputs = prepared(torch.from_numpy(images))
    logits = model(inputs)
    assert logits.shape == (48, NUM_CLASSES)
    functional.cross_entropy(logits, torch.from_numpy(labels).long()).backward()
    assert_a_gradient_reaches_all(model)
    model.eval()
    usual = model.head(model.body(inputs if architecture == "cnn" else inputs.flatten(1)))
    torch.testing.assert_close(model(inputs), usual, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(predict(model, torch.from_numpy(images)), usual, rtol=1e-4, atol=1e-4)


@EACH
def test_a_classifier_learns_which_corner_is_bright(shape: Shape) -> None:
    examples = Examples(*drawn(shape, 160), *drawn(shape, 40, seed=1))
    *_, last = train_classifier(raw(shape, epochs=6), examples, seed=0)
    assert last.metrics["test_accuracy"] > 0.9
    assert set(last.arrays["predicted"]) <= set(range(NUM_CLASSES))


@EACH
@BOTH
def test_a_generator_gives_images_of_the_shape_and_a_discriminator_one_logit_for_each(
    shape: Shape, architecture: str
) -> None:
    settings = game(shape, architecture=architecture)
    generator, discriminator = gan.build(settings, seed=0)
    z = random_vectors(7, settings, 1)
    fake = generator(z)
    assert fake.shape == (7, *shape)
    assert fake.abs().max() <= 1
    assert discriminator(fake).shape == (7,)
    images, real = generate(generator, z), drawn(shape, 7)[0]
    assert (images.shape, images.dtype) == (real.shape, torch.uint8)
    assert shape_of(images) == shape
    np.testing.assert_allclose(scaled(torch.from_numpy(real)), real.reshape(7, *shape) / 127.5 - 1, atol=1e-6)


@EACH
@BOTH
def test_all_of_both_networks_learns_and_the_penalty_too_reaches_the_discriminator(
    shape: Shape, architecture: str
) -> None:
    generator, discriminator = gan.build(game(shape, architecture=architecture), seed=0)
    fake, real = generator(torch.randn(8, 6)), scaled(torch.from_numpy(drawn(shape, 8)[0]))
    generator_loss(discriminator(fake), "non_saturating").backward()
    assert_a_gradient_reaches_all(generator)
    discriminator.zero_grad()
    discriminator_loss(discriminator(real), discriminator(fake.detach())).backward()
    assert_a_gradient_reaches_all(discriminator)
    discriminator.zero_grad()
    penalty = r1_penalty(discriminator, real)
    assert penalty.shape == ()
    assert penalty > 0
    penalty.backward()
    for name, parameter in discriminator.named_parameters():
        if parameter.dim() == 4:
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name


@pytest.mark.parametrize("side", range(16, 65))
@BOTH
def test_every_side_is_reached_from_the_smallest_first_kernel_that_reaches_it(side: int, architecture: str) -> None:
    """A kernel smaller by one would end below the side: eight or four less than what is cropped now."""
    settings = game((1, side, 80 - side), architecture=architecture, generator_filters=(1, 1, 1))
    generator, discriminator = gan.build(settings.model_copy(update={"discriminator_filters": (1, 1, 1)}), seed=0)
    with torch.no_grad():
        images = generator.eval()(torch.zeros(1, 6))
        assert images.shape == (1, 1, side, 80 - side)
        assert discriminator.eval()(images).shape == (1,)
    first = generator.layers[0]
    assert isinstance(first, nn.ConvTranspose2d)
    reached, step = (8 * first.kernel_size[0] + 7, 8) if architecture == "paper" else (4 * first.kernel_size[0], 4)
    assert reached - step < side <= reached


@EACH
@BOTH
def test_a_gan_of_any_shape_is_trained(shape: Shape, architecture: str) -> None:
    """The real images are dark and a fresh generator's are of middle grey, which the other network sees."""
    settings = game(shape, architecture=architecture, epochs=12, ema_decay=None)
    images, z = drawn(shape, 64)[0], random_vectors(20, settings, 1)
    epochs = list(train_gan(settings, images, seed=0))
    losses = [epoch.metrics["d_loss"] for epoch in epochs]
    assert min(losses) < 2 * math.log(2)
    assert all(math.isfinite(value) for epoch in epochs for value in epoch.metrics.values())
    fresh, trained = gan.build(settings, seed=0)[0], restored(Generator, settings, epochs[-1].state()["model"])
    before, after = (float(generate(it, z).float().mean()) - images.mean() for it in (fresh, trained))
    assert abs(after) < abs(before)


def test_images_of_another_shape_than_the_settings_are_refused() -> None:
    images, labels = drawn(COLOURED, 20)
    with pytest.raises(
        ValueError, match=r"Discriminator takes floats of shape \(batch, 1, 28, 28\), got .* 3, 17, 40"
    ):
        next(train_gan(game(PAPER_SHAPE), images, seed=0))
    with pytest.raises(ValueError, match="Autoencoder takes"):
        next(train_autoencoder_on(table1(PAPER_SHAPE, loss="cross_entropy"), images))
    with pytest.raises(ValueError, match="Autoencoder takes"):
        encode(autoencoder.build(table1((3, 18, 40)), seed=0), images)
    with pytest.raises(ValueError, match="Classifier takes"):
        next(train_classifier(raw(PAPER_SHAPE), Examples(images, labels, images, labels), seed=0))


def trainings(resume: dict[str, Any] | None, which: str) -> Iterator[Epoch]:
    images, labels = drawn(COLOURED, 50)
    split, usual = hold_out_last(images, drawn(COLOURED, 20, seed=1)[0]), {"batch_size": 16, "epochs": 4}
    if which == "autoencoder":
        return autoencoder.train_autoencoder(table1(COLOURED, noise="zeroed", **usual), split, seed=3, resume=resume)
    if which == "linear":
        settings = LinearSettings(latent_dim=3, image_shape=COLOURED, **usual)
        return train_linear_autoencoder(settings, split, seed=3, resume=resume)
    if which == "classifier":
        examples = Examples(images, labels, images[:9], labels[:9])
        return train_classifier(raw(COLOURED, **usual), examples, seed=3, resume=resume)
    return train_gan(game(COLOURED, architecture=which, **usual), images, seed=3, resume=resume)


@pytest.mark.parametrize("which", ["autoencoder", "linear", "classifier", "paper", "stable"])
def test_a_resumed_training_on_coloured_images_equals_an_uninterrupted_one(which: str) -> None:
    whole, states = [], []
    for epoch in trainings(None, which):
        whole.append(epoch)
        states.append(saved_and_loaded(epoch.state()))
    torch.rand(5)  # the global generator must play no part
    resumed = list(trainings(states[1], which))
    assert [epoch.metrics for epoch in resumed] == [epoch.metrics for epoch in whole[2:]]
    weights = resumed[-1].state()["model"]
    assert all(torch.equal(weights[name], it) for name, it in states[-1]["model"].items())


def networks(shape: Shape) -> Iterator[tuple[Any, Any]]:
    yield Autoencoder, table1(shape)
    yield Autoencoder, table1(shape, kernel_size=5)
    yield LinearAutoencoder, LinearSettings(latent_dim=3, image_shape=shape)
    for architecture in ("cnn", "mlp", "linear"):
        yield Classifier, raw(shape, architecture=architecture)
    for architecture in ("paper", "stable"):
        yield Generator, game(shape, architecture=architecture)
        yield Discriminator, game(shape, architecture=architecture)


@EACH
def test_a_restored_network_gives_what_the_trained_one_gives(shape: Shape) -> None:
    for kind, settings in networks(shape):
        network = kind(settings)
        inputs = torch.rand(5, *network.input_shape)
        network(inputs)  # which gives batch norms means and variances of their own
        told = type(settings).model_validate_json(settings.model_dump_json())
        again = restored(kind, told, save(network.state_dict()))
        assert torch.equal(again(inputs), network.eval()(inputs)), (kind, settings)


def test_an_exported_network_of_coloured_images_gives_the_same() -> None:
    for kind, settings in [*networks(COLOURED)][:-1:2]:
        network = kind(settings).eval()
        program = torch.export.load(io.BytesIO(as_program(network))).module()
        inputs = torch.rand(9, *network.input_shape)
        torch.testing.assert_close(program(inputs), network(inputs), rtol=1e-4, atol=1e-5)


@EACH
def test_a_generator_of_any_shape_is_scored_by_any_number_of_classes(shape: Shape) -> None:
    model = classifier.build(raw(shape), seed=0)
    with torch.no_grad():
        model.head.bias[NUM_CLASSES - 1] = 1e3  # so that every image is taken for the last class
    images, settings = torch.from_numpy(drawn(shape, 40)[0]), game(shape)
    extractor = Extractor(model, torch.eye(math.prod(shape))[:, -NUM_COMPONENTS:].contiguous())
    real = extractor(images)
    torch.testing.assert_close(real.pixels, images.reshape(40, -1)[:, -NUM_COMPONENTS:] / 255)
    score = Scores(extractor, real.features, real, random_vectors(40, settings, 1), last_epoch=1)
    found = score(gan.build(settings, seed=0)[0], 1)
    assert (found["num_classes"], found["class_entropy"]) == (1, 0)
    assert all(math.isfinite(value) for value in found.values())


@EACH
@pytest.mark.parametrize("noise", NOISES)
def test_noise_of_every_kind_leaves_the_shape_and_hits_all_channels(shape: Shape, noise: Any) -> None:
    images, _ = drawn(shape, 20)
    noisy = add_noise(images, noise, 0.25, seed=1)
    assert noisy.shape == images.shape
    hit = (noisy != unit_pixels(images)).reshape(20, shape[0], -1).mean(axis=(0, 2))
    assert hit.min() > 0.15
    if noise == "zeroed_foreground":
        values = math.prod(shape)
        lost = ((noisy == 0) & (images > 0)).reshape(20, -1).sum(1)
        np.testing.assert_array_equal(lost, np.minimum((images > 0).reshape(20, -1).sum(1), round(0.25 * values)))


def test_noise_is_the_same_however_the_images_lie_in_memory() -> None:
    images, _ = drawn(COLOURED, 10)
    channels_last = np.ascontiguousarray(images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    for noise in NOISES:
        np.testing.assert_array_equal(
            add_noise(channels_last, noise, 0.5, seed=1), add_noise(images, noise, 0.5, seed=1)
        )


def test_inception_sees_grey_in_all_three_channels_and_colours_as_they_are() -> None:
    class Seeing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, images: Tensor) -> tuple[Tensor]:
            assert images.dtype == torch.uint8
            return (images.flatten(1) * self.weight,)

    for shape in ((1, 17, 40), COLOURED):
        images, _ = drawn(shape, 70)
        seen = inception_features(Seeing(), torch.from_numpy(images)).reshape(70, 3, 17, 40)
        np.testing.assert_array_equal(seen, np.broadcast_to(images.reshape(70, *shape), seen.shape))


def test_a_recipe_and_a_game_of_it_make_the_same_networks() -> None:
    recipe = GanRecipe.model_validate(game(COLOURED).model_dump(exclude={"loss"}))
    one, other = (gan.build(it, seed=0)[0].state_dict() for it in (recipe, game(COLOURED)))
    assert all(torch.equal(one[name], other[name]) for name in other)
