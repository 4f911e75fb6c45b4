"""The autoencoder is the paper's Table 1, and its training is exact, resumable and decided by the seed alone."""

import io
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from tests.command import loaded_after
from trainables.autoencoder import (
    Autoencoder,
    build,
    decode,
    encode,
    reconstruct,
    reconstruction_mse,
    train_autoencoder,
)
from trainables.autoencoder_settings import AUTHOR_BEST, PAPER_TABLE1, AutoencoderSettings
from trainables.epoch import Epoch
from trainables.fashion_mnist import load
from trainables.images import Images, as_pixels
from trainables.splits import Split, all_images, hold_out_last

Optimizer = Literal["adam", "adamw", "adagrad"]
OPTIMIZERS: tuple[Optimizer, ...] = get_args(Optimizer)
LEARNING_RATES = {"adam": 2e-3, "adamw": 2e-3, "adagrad": 1e-2}
"""With which a short training gets visibly better."""


def table1(**changes: object) -> AutoencoderSettings:
    """The Table 1 settings with changes."""
    return AutoencoderSettings.model_validate(PAPER_TABLE1.model_dump() | changes)


def made_up(num_images: int, *, seed: int = 0) -> Images:
    """Random images, for what does not hang on what they show."""
    return np.random.default_rng(seed).integers(0, 256, (num_images, 28, 28), dtype=np.uint8)


def metrics(epochs: Iterator[Epoch]) -> list[dict[str, float]]:
    return [dict(epoch.metrics) for epoch in epochs]


def saved_and_loaded(state: dict[str, Any]) -> dict[str, Any]:
    """A state as it comes back from a checkpoint that could not run code."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


def tensors(state: object) -> Iterator[Tensor]:
    """Every tensor of a training's state, in order."""
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, dict | list | tuple):
        for value in state.values() if isinstance(state, dict) else state:
            yield from tensors(value)


def constant_model(output: float) -> Autoencoder:
    """A model that answers every image with the same value in every pixel."""
    model = build(PAPER_TABLE1, seed=0)
    last = model.decoder[-2]
    assert isinstance(last, nn.ConvTranspose2d)
    assert last.bias is not None
    nn.init.zeros_(last.weight)
    nn.init.constant_(last.bias, float(np.log(output / (1 - output))))
    return model


def unsettled_model() -> Autoencoder:
    """A model whose output differs between training and evaluation mode."""
    model = build(PAPER_TABLE1, seed=2)
    model.train()
    model(as_pixels(torch.from_numpy(made_up(64, seed=5))))
    return model


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Torch's threads wait for each other a hundred times longer than they compute where another process is busy."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture(scope="module")
def real_images() -> Images:
    return load().train_images[:2000]


def test_the_paper_s_model_has_14068_parameters() -> None:
    assert PAPER_TABLE1.num_parameters == 14_068


@given(
    filters=st.tuples(*[st.integers(1, 20)] * 3),
    neurons=st.integers(1, 50),
    latent_dim=st.integers(1, 20),
    kernel_size=st.sampled_from([3, 5]),
    batch_norm=st.booleans(),
    relu=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_num_parameters_is_the_module_s_own_count(
    filters: tuple[int, int, int],
    neurons: int,
    latent_dim: int,
    kernel_size: Literal[3, 5],
    batch_norm: bool,
    relu: bool,
) -> None:
    sizes = AutoencoderSettings(
        filters=filters,
        neurons=neurons,
        latent_dim=latent_dim,
        kernel_size=kernel_size,
        batch_norm=batch_norm,
        relu=relu,
    )
    model = build(sizes, seed=0)
    assert sizes.num_parameters == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("kernel_size", [3, 5])
def test_images_shrink_28_14_7_3_and_grow_back(kernel_size: int) -> None:
    model = build(table1(kernel_size=kernel_size), seed=0)
    sizes, x = [28], torch.rand(2, 1, 28, 28)
    for layer in (*model.encoder, *model.decoder):
        x = layer(x)
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            assert layer.kernel_size == (kernel_size, kernel_size)
            assert x.shape[2] == x.shape[3]
            sizes.append(x.shape[2])
    assert sizes == [28, 14, 7, 3, 7, 14, 28]
    assert x.shape == (2, 1, 28, 28)


def test_latent_vector_has_the_size_that_was_asked_for() -> None:
    assert build(table1(latent_dim=11), seed=0).encoder(torch.rand(4, 1, 28, 28)).shape == (4, 11)


@pytest.mark.parametrize("kernel_size", [3, 5])
def test_output_lies_strictly_between_0_and_1(kernel_size: int) -> None:
    output = build(table1(kernel_size=kernel_size), seed=0)(torch.rand(16, 1, 28, 28))
    assert output.min() > 0
    assert output.max() < 1


@pytest.mark.parametrize("kernel_size", [3, 5])
def test_a_gradient_reaches_every_parameter(kernel_size: int) -> None:
    model = build(table1(kernel_size=kernel_size), seed=0)
    images = as_pixels(torch.from_numpy(made_up(32)))
    functional.mse_loss(model(images), images).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_moves_every_parameter(optimizer: Optimizer) -> None:
    sizes = table1(optimizer=optimizer, weight_decay=0.0, epochs=1, batch_size=16)
    before = build(sizes, seed=4).state_dict()
    (epoch,) = train_autoencoder(sizes, all_images(made_up(32)), seed=4)
    for name, after in epoch.state()["model"].items():
        assert not torch.equal(after, before[name]), name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weight_decay_makes_the_weights_smaller(optimizer: Optimizer) -> None:
    def size(weight_decay: float) -> float:
        sizes = table1(optimizer=optimizer, weight_decay=weight_decay, learning_rate=1e-2, epochs=5, batch_size=16)
        *_, last = train_autoencoder(sizes, all_images(made_up(64)), seed=4)
        return sum(weights.square().sum().item() for weights in last.state()["model"].values() if weights.dim() > 1)

    assert size(1.0) < 0.9 * size(0.0)


def test_weights_depend_on_the_seed_alone_and_leave_the_global_generator_untouched() -> None:
    torch.manual_seed(1)
    one = build(PAPER_TABLE1, seed=7).state_dict()
    torch.manual_seed(2)
    before = torch.get_rng_state()
    same, other = build(PAPER_TABLE1, seed=7).state_dict(), build(PAPER_TABLE1, seed=8).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["encoder.0.weight"], other["encoder.0.weight"])


def test_reconstruction_mse_has_the_known_value_for_a_constant_model() -> None:
    """(0.5 - 1)^2 = 0.25 for white images, (0.5 - 51 / 255)^2 = 0.09 for grey ones."""
    images = torch.full((1500, 28, 28), 51, dtype=torch.uint8)
    images[:300] = 255
    model = constant_model(0.5)
    assert reconstruction_mse(model, images) == pytest.approx(0.25 * 0.2 + 0.09 * 0.8, rel=1e-6)
    assert reconstruction_mse(model, images, torch.arange(300)) == pytest.approx(0.25, rel=1e-6)
    assert reconstruction_mse(model, images, torch.tensor([0, 1, 1499])) == pytest.approx((0.5 + 0.09) / 3, rel=1e-6)
    assert reconstruction_mse(model, images, torch.arange(100, 1400)) == pytest.approx(
        (0.25 * 200 + 0.09 * 1100) / 1300, rel=1e-6
    )


def test_reconstruction_mse_is_measured_in_evaluation_mode() -> None:
    model, images = unsettled_model(), made_up(30)
    expected = np.square(reconstruct(model, images) - images / 255).mean()
    model.train()
    assert reconstruction_mse(model, torch.from_numpy(images)) == pytest.approx(expected, rel=1e-5)
    assert not model.training


def test_reconstruct_gives_what_the_model_gives_in_evaluation_mode() -> None:
    model, images = unsettled_model(), made_up(1030)  # more than one of its batches
    got = reconstruct(model, images)
    assert (got.shape, got.dtype) == ((1030, 28, 28), np.dtype(np.float32))
    with torch.no_grad():
        pixels = torch.from_numpy(images).float()[:, None] / 255
        in_evaluation, in_training = model.eval()(pixels), model.train()(pixels)
    np.testing.assert_allclose(got, in_evaluation[:, 0].numpy(), rtol=0, atol=1e-5)
    assert np.abs(got - in_training[:, 0].numpy()).max() > 1e-3


@pytest.mark.parametrize("stopped_after", [1, 3])
@pytest.mark.parametrize(
    "change",
    [
        *({"optimizer": name} for name in OPTIMIZERS),
        {"noise": "zeroed"},
        {"noise": "gaussian"},
        {"noise": "gaussian_unclipped"},
        {"schedule": "cosine"},
    ],
    ids=str,
)
def test_resumed_training_equals_uninterrupted_training(change: dict[str, str], stopped_after: int) -> None:
    sizes = table1(**change, learning_rate=5e-3, weight_decay=1e-3, epochs=4, batch_size=16)
    split = hold_out_last(made_up(60), made_up(20, seed=1))
    whole, states = [], []
    for epoch in train_autoencoder(sizes, split, seed=3):
        whole.append(epoch)
        states.append(saved_and_loaded(epoch.state()))
    torch.rand(5)  # the global generator must play no part
    resumed = list(train_autoencoder(sizes, split, seed=3, resume=states[stopped_after - 1]))
    assert [epoch.number for epoch in resumed] == list(range(stopped_after + 1, 5))
    assert [epoch.metrics for epoch in resumed] == [epoch.metrics for epoch in whole[stopped_after:]]
    expected, got = list(tensors(states[-1])), list(tensors(resumed[-1].state()))
    assert len(expected) > 50
    assert all(torch.equal(a, b) for a, b in zip(expected, got, strict=True))


@pytest.mark.parametrize("noise", ["zeroed", "gaussian", "gaussian_unclipped"])
def test_noise_follows_from_the_seed_and_leaves_the_global_generator_untouched(noise: str) -> None:
    sizes, split = table1(noise=noise, epochs=2, batch_size=16), all_images(made_up(40))
    one = metrics(train_autoencoder(sizes, split, seed=3))
    torch.manual_seed(99)
    before = torch.get_rng_state()
    same = metrics(train_autoencoder(sizes, split, seed=3))
    assert torch.equal(torch.get_rng_state(), before)
    assert one == same
    assert one != metrics(train_autoencoder(table1(epochs=2, batch_size=16), split, seed=3))


def test_gaussian_noise_stays_within_the_pixels_range_only_where_it_is_clipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: dict[str, Tensor] = {}
    forward = Autoencoder.forward

    def watched(model: Autoencoder, images: Tensor) -> Tensor:
        if model.training:
            seen[noise] = images
        return forward(model, images)

    monkeypatch.setattr(Autoencoder, "forward", watched)
    for noise in ("gaussian", "gaussian_unclipped"):
        list(train_autoencoder(table1(noise=noise, epochs=1), all_images(made_up(40)), seed=3))
    clipped, unclipped = seen["gaussian"], seen["gaussian_unclipped"]
    assert (clipped.min(), clipped.max()) == (0, 1)
    assert unclipped.min() < -0.3
    assert unclipped.max() > 1.3
    assert torch.equal(unclipped.clamp(0, 1), clipped)


def test_an_ablated_model_lacks_just_what_was_taken_away() -> None:
    def kinds(**changes: object) -> dict[type[nn.Module], int]:
        modules = [type(module) for module in build(table1(**changes), seed=0).modules()]
        return {kind: modules.count(kind) for kind in (nn.ReLU, nn.BatchNorm2d, nn.Conv2d, nn.Linear)}

    assert kinds() == {nn.ReLU: 8, nn.BatchNorm2d: 6, nn.Conv2d: 3, nn.Linear: 4}
    assert kinds(batch_norm=False) == kinds() | {nn.BatchNorm2d: 0}
    assert kinds(relu=False) == kinds() | {nn.ReLU: 0}


@pytest.mark.parametrize("change", [{"batch_norm": False}, {"relu": False}, {"kernel_size": 5}], ids=str)
def test_an_ablated_model_gives_what_its_ordinary_layers_give(change: dict[str, Any]) -> None:
    model = build(table1(**change), seed=0)
    images = torch.rand(16, 1, 28, 28)
    torch.testing.assert_close(model(images), model.decoder(model.encoder(images)), rtol=1e-4, atol=1e-5)


def test_the_step_size_falls_to_zero_along_half_a_cosine_or_stays() -> None:
    def step_sizes(schedule: str) -> list[float]:
        sizes = table1(schedule=schedule, learning_rate=1e-2, epochs=4, batch_size=20)
        epochs = train_autoencoder(sizes, all_images(made_up(20)), seed=0)
        return [epoch.state()["optimizer"]["param_groups"][0]["lr"] for epoch in epochs]

    assert step_sizes("constant") == [1e-2] * 4
    assert step_sizes("cosine") == pytest.approx([1e-2 * (1 + np.cos(np.pi * k / 4)) / 2 for k in range(4)])


def test_decoding_what_was_encoded_is_reconstructing() -> None:
    model, images = unsettled_model(), made_up(1030)
    latent = encode(model, images)
    assert (latent.shape, latent.dtype) == ((1030, 3), np.dtype(np.float32))
    np.testing.assert_allclose(decode(model, latent), reconstruct(model, images), rtol=0, atol=1e-5)


def test_nothing_is_left_to_do_after_the_last_epoch() -> None:
    sizes, split = table1(epochs=2), all_images(made_up(20))
    *_, last = train_autoencoder(sizes, split, seed=0)
    assert list(train_autoencoder(sizes, split, seed=0, resume=saved_and_loaded(last.state()))) == []


def test_the_seed_decides_every_number_of_a_training() -> None:
    sizes, split = table1(epochs=2, batch_size=16), hold_out_last(made_up(60))
    one = metrics(train_autoencoder(sizes, split, seed=3))
    torch.manual_seed(99)
    assert metrics(train_autoencoder(sizes, split, seed=3)) == one
    other = metrics(train_autoencoder(sizes, split, seed=4))
    assert all(a[name] != b[name] for a, b in zip(one, other, strict=True) for name in a)


def test_batches_come_in_another_order_in_every_epoch_and_for_every_seed() -> None:
    """With weights that stand still, a last batch of one image tells which image it was."""
    sizes = table1(learning_rate=1e-30, weight_decay=0.0, epochs=4, batch_size=8)
    images = made_up(17)
    weights = next(train_autoencoder(sizes, all_images(images), seed=0)).state()
    lasts = {}
    for seed in (0, 1):
        start = weights | {"epoch": 0}
        epochs = metrics(train_autoencoder(sizes, all_images(images), seed=seed, resume=start))
        lasts[seed] = [epoch["last_batch_mse"] for epoch in epochs]
    assert len(set(lasts[0])) > 1
    assert lasts[0] != lasts[1]


@pytest.mark.parametrize("with_test", [False, True])
@pytest.mark.parametrize("with_validation", [False, True])
def test_metrics_are_those_that_the_split_allows(with_validation: bool, with_test: bool) -> None:
    images, test_images = made_up(36), made_up(10, seed=1) if with_test else None
    split = hold_out_last(images, test_images) if with_validation else all_images(images, test_images)
    always = {"train_mse", "last_batch_mse"} | ({"val_mse"} if with_validation else set())
    epochs = list(train_autoencoder(table1(epochs=3), split, seed=0))
    assert [epoch.number for epoch in epochs] == [1, 2, 3]
    assert [set(epoch.metrics) for epoch in epochs] == [
        always,
        always,
        always | {"train_mse_evaluated"} | ({"test_mse"} if with_test else set()),
    ]
    assert {type(value) for epoch in epochs for value in epoch.metrics.values()} == {float}


def test_validation_and_test_errors_are_those_of_the_model_at_the_epoch_s_end() -> None:
    images, test_images = made_up(36), made_up(10, seed=1)
    sizes, model = table1(epochs=2, batch_size=16), build(PAPER_TABLE1, seed=0)
    for epoch in train_autoencoder(sizes, hold_out_last(images, test_images), seed=0):
        model.load_state_dict(epoch.state()["model"])
        val_mse = reconstruction_mse(model, torch.from_numpy(images[30:]))
        assert epoch.metrics["val_mse"] == pytest.approx(val_mse, rel=1e-6)
    assert epoch.metrics["test_mse"] == pytest.approx(
        reconstruction_mse(model, torch.from_numpy(test_images)), rel=1e-6
    )
    on_train = reconstruction_mse(model, torch.from_numpy(images[:30]))
    assert epoch.metrics["train_mse_evaluated"] == pytest.approx(on_train, rel=1e-6)
    assert epoch.metrics["train_mse_evaluated"] != pytest.approx(epoch.metrics["train_mse"], rel=1e-3)


def test_validation_errors_by_class_are_of_that_class_s_validation_images_and_only_after_the_last_epoch() -> None:
    images, labels = made_up(36), np.array([1, 2, 3] * 10 + [7, 7, 0, 7, 0, 7], np.uint8)
    split = replace(hold_out_last(images), labels=labels)
    first, last = train_autoencoder(table1(epochs=2, batch_size=16), split, seed=0)
    model = build(PAPER_TABLE1, seed=0)
    model.load_state_dict(last.state()["model"])
    by_class = {name: value for name, value in last.metrics.items() if name.startswith("val_mse_")}
    assert by_class == {
        "val_mse_class_0": pytest.approx(reconstruction_mse(model, torch.from_numpy(images[[32, 34]])), rel=1e-6),
        "val_mse_class_7": pytest.approx(
            reconstruction_mse(model, torch.from_numpy(images[[30, 31, 33, 35]])), rel=1e-6
        ),
    }
    assert set(first.metrics) == {"train_mse", "last_batch_mse", "val_mse"}


def test_the_author_s_published_best_is_trained_as_table_1_is() -> None:
    sizes = {"filters", "neurons", "latent_dim"}
    assert AUTHOR_BEST.model_dump(exclude=sizes) == PAPER_TABLE1.model_dump(exclude=sizes)
    assert (AUTHOR_BEST.filters, AUTHOR_BEST.neurons, AUTHOR_BEST.latent_dim) == ((6, 14, 28), 40, 4)


def test_the_weight_decay_of_table_1_is_none_in_float32_and_a_great_one_is_some() -> None:
    def weights(weight_decay: float) -> list[Tensor]:
        sizes = table1(epochs=1, batch_size=16, weight_decay=weight_decay)
        *_, last = train_autoencoder(sizes, all_images(made_up(40)), seed=0)
        return list(tensors(last.state()["model"]))

    def equal(one: list[Tensor], other: list[Tensor]) -> bool:
        return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))

    assert equal(weights(1e-5), weights(0))
    assert not equal(weights(1e-2), weights(0))


def test_only_the_training_images_are_learned_from() -> None:
    """With other validation and test images, the weights come out the same."""
    images = made_up(36)
    others = images.copy()
    others[30:] = 255 - others[30:]
    sizes = table1(epochs=2, batch_size=16)
    *_, one = train_autoencoder(sizes, hold_out_last(images, images[:5]), seed=0)
    *_, other = train_autoencoder(sizes, hold_out_last(others, others[30:]), seed=0)
    assert all(torch.equal(a, b) for a, b in zip(tensors(one.state()), tensors(other.state()), strict=True))


def test_last_batch_mse_is_the_last_batch_s_and_train_mse_is_weighted_by_images() -> None:
    """Five images in batches of four, and weights that stand still: some image alone was the last batch."""
    images = made_up(5)
    sizes = table1(learning_rate=1e-30, weight_decay=0.0, epochs=1, batch_size=4)
    (epoch,) = train_autoencoder(sizes, all_images(images), seed=0)
    model = build(sizes, seed=0).train()

    def batch_mse(*members: int) -> float:
        pixels = as_pixels(torch.from_numpy(images[list(members)]))
        return functional.mse_loss(model(pixels), pixels).item()

    alone = [batch_mse(member) for member in range(5)]
    last = int(np.argmin(np.abs(np.array(alone) - epoch.metrics["last_batch_mse"])))
    assert epoch.metrics["last_batch_mse"] == pytest.approx(alone[last], rel=1e-5)
    first_four = batch_mse(*(member for member in range(5) if member != last))
    assert epoch.metrics["train_mse"] == pytest.approx((4 * first_four + alone[last]) / 5, rel=1e-5)
    assert epoch.metrics["train_mse"] != pytest.approx((first_four + alone[last]) / 2, rel=1e-5)


def test_images_are_read_without_a_warning_and_never_written_to() -> None:
    images, test_images = made_up(36), made_up(12, seed=1)
    originals = images.copy(), test_images.copy()
    for array in (images, test_images):
        array.flags.writeable = False
    torch.set_warn_always(True)  # torch gives this warning once in a process, and another test may have had it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            *_, last = train_autoencoder(table1(epochs=2, batch_size=16), hold_out_last(images, test_images), seed=0)
            reconstruct(build(PAPER_TABLE1, seed=0), test_images)
    finally:
        torch.set_warn_always(False)
    assert last.metrics["test_mse"] > 0
    assert np.array_equal(images, originals[0])
    assert np.array_equal(test_images, originals[1])


def test_golden_curve_on_real_images_is_reproduced(real_images: Images) -> None:
    sizes = table1(batch_size=60, epochs=3)
    curve = metrics(train_autoencoder(sizes, hold_out_last(real_images), seed=1))
    assert [epoch["train_mse"] for epoch in curve] == pytest.approx([0.159553, 0.142492, 0.130063], rel=1e-3)
    assert [epoch["val_mse"] for epoch in curve] == pytest.approx([0.143439, 0.134689, 0.122277], rel=1e-3)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_loss_falls_on_real_images(real_images: Images, optimizer: Optimizer) -> None:
    sizes = table1(optimizer=optimizer, learning_rate=LEARNING_RATES[optimizer], batch_size=64, epochs=3)
    curve = metrics(train_autoencoder(sizes, hold_out_last(real_images), seed=1))
    for name in ("train_mse", "val_mse"):
        assert curve[0][name] > curve[1][name] > curve[2][name], name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA")
def test_training_on_a_gpu_gives_nearly_the_same_first_epoch(real_images: Images) -> None:
    sizes, split = table1(epochs=1, batch_size=60), hold_out_last(real_images)
    (on_cpu,) = metrics(train_autoencoder(sizes, split, seed=1))
    (on_gpu,) = metrics(train_autoencoder(sizes, split, device="cuda", seed=1))
    assert on_gpu["train_mse"] == pytest.approx(on_cpu["train_mse"], rel=1e-2)


def test_training_leaves_torch_s_compiler_unloaded() -> None:
    loaded = loaded_after(
        "import numpy as np\n"
        "from trainables.autoencoder import train_autoencoder\n"
        "from trainables.autoencoder_settings import PAPER_TABLE1\n"
        "from trainables.splits import hold_out_last\n"
        "images = np.zeros((12, 28, 28), np.uint8)\n"
        f"for optimizer in {OPTIMIZERS}:\n"
        "    settings = PAPER_TABLE1.model_copy(update={'epochs': 1, 'optimizer': optimizer})\n"
        "    for epoch in train_autoencoder(settings, hold_out_last(images, images), seed=0):\n"
        "        state = epoch.state()\n"
        "    list(train_autoencoder(settings.model_copy(update={'epochs': 2}), hold_out_last(images), seed=0,\n"
        "                           resume=state))"
    )
    assert "torch" in loaded
    assert "torch._dynamo" not in loaded


def test_settings_load_no_torch() -> None:
    loaded = loaded_after("import trainables.autoencoder_settings")
    assert "trainables.autoencoder_settings" in loaded
    assert "torch" not in loaded


@pytest.mark.parametrize(
    "change",
    [
        {"filters": (8, 16)},
        {"kernel_size": 4},
        {"neurons": 0},
        {"latent_dim": 0},
        {"optimizer": "sgd"},
        {"learning_rate": 0},
        {"weight_decay": -1},
        {"batch_size": 1},
        {"epochs": 0},
        {"nun_filters": 3},
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        table1(**change)


def test_a_split_s_validation_may_be_any_of_its_images() -> None:
    images = made_up(30)
    split = Split(images, train=np.arange(20), validation=np.array([29, 20, 25]))
    (epoch,) = train_autoencoder(table1(epochs=1), split, seed=0)
    model = build(PAPER_TABLE1, seed=0)
    model.load_state_dict(epoch.state()["model"])
    expected = reconstruction_mse(model, torch.from_numpy(images[[20, 25, 29]]))
    assert epoch.metrics["val_mse"] == pytest.approx(expected, rel=1e-6)


def test_gradient_may_be_the_cross_entropy_s_while_the_error_told_is_the_squared_one() -> None:
    images = made_up(8)
    changes = {"optimizer": "adam", "learning_rate": 1e-3, "weight_decay": 0.0, "batch_size": 8, "epochs": 1}
    model, pixels = build(table1(), seed=0).train(), as_pixels(torch.from_numpy(images))
    output = model(pixels)
    functional.binary_cross_entropy(output, pixels).backward()
    (epoch,) = train_autoencoder(table1(loss="cross_entropy", **changes), all_images(images), seed=0)
    assert epoch.metrics["train_mse"] == pytest.approx(functional.mse_loss(output, pixels).item(), rel=1e-5)
    trained = epoch.state()["model"]
    for name, weights in model.named_parameters():
        assert weights.grad is not None
        clear = weights.grad.abs() > 1e-4  # Adam's first step is the step size, against the gradient's sign
        step, expected = trained[name] - weights.detach(), -1e-3 * weights.grad.sign()
        torch.testing.assert_close(step[clear], expected[clear], rtol=0.01, atol=1e-6)
