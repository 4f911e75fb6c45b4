"""The two GANs are the paper's, their networks move in turn, and the training is exact, resumable and shareable."""

import copy
import io
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pytest
import torch
from torch import nn

from trainables.batch_last import run_layers
from trainables.batch_norm import BatchNorm
from trainables.gan import Discriminator, Generator, build, discriminator_loss, generator_loss, r1_penalty
from trainables.gan_settings import AUTHOR, GanSettings, Loss
from trainables.gan_training import Gan, generate, random_vectors, scaled, train_gan
from trainables.images import Images
from trainables.optimizers import Descent

REPOSITORY = Path(__file__).parents[2]
Architecture = Literal["paper", "stable"]
ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)
LOSSES: tuple[Loss, ...] = get_args(Loss)


def settings(**changes: object) -> GanSettings:
    usual = {
        "loss": "non_saturating",
        "generator_filters": (16, 8, 8),
        "discriminator_filters": (8, 8, 16),
        "latent_dim": 6,
        "batch_size": 16,
        "epochs": 3,
        **{"learning_rate": 3e-3, "beta1": 0.1, "schedule": "cosine", "r1_penalty": 0.2, "ema_decay": 0.995},
    }
    return GanSettings.model_validate(usual | changes)


def made_up(num_images: int) -> Images:
    return np.random.default_rng(0).integers(0, 256, (num_images, 28, 28), dtype=np.uint8)


def shapes(layers: nn.Sequential, x: torch.Tensor) -> list[tuple[int, ...]]:
    """What comes out of each convolution."""
    sizes = []
    for layer in layers:
        x = layer(x)
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            sizes.append(tuple(x.shape[1:]))
    return sizes


def test_the_paper_s_geometry_has_the_author_s_shapes_with_his_widths() -> None:
    generator, discriminator = build(AUTHOR, seed=0)
    assert shapes(generator.layers, torch.randn(2, 100, 1, 1)) == [
        (512, 3, 3),
        (256, 7, 7),
        (128, 15, 15),
        (1, 28, 28),
    ]
    sizes = [(32, 14, 14), (64, 7, 7), (128, 3, 3), (1, 1, 1)]
    assert shapes(discriminator.layers, torch.randn(2, 1, 28, 28)) == sizes
    for network in (generator, discriminator):
        convolutions = [it for it in network.layers if isinstance(it, nn.Conv2d | nn.ConvTranspose2d)]
        assert [it.bias for it in convolutions] == [None] * 4


def test_the_stable_geometry_has_kernels_that_the_stride_divides_and_no_batch_norm() -> None:
    generator, discriminator = build(settings(architecture="stable"), seed=0)
    assert shapes(generator.layers, torch.randn(2, 6, 1, 1)) == [(16, 7, 7), (8, 14, 14), (8, 28, 28), (1, 28, 28)]
    sizes = [(8, 14, 14), (8, 7, 7), (16, 4, 4), (1, 1, 1)]
    assert shapes(discriminator.layers, torch.randn(2, 1, 28, 28)) == sizes
    for module in (*generator.modules(), *discriminator.modules()):
        assert not isinstance(module, nn.BatchNorm2d)
        if isinstance(module, nn.ConvTranspose2d):
            assert module.kernel_size[0] % module.stride[0] == 0


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_each_network_has_four_convolutions_and_no_linear_layer_and_starts_from_small_normal_weights(
    architecture: Architecture,
) -> None:
    for network in build(settings(architecture=architecture, generator_filters=(64, 64, 64)), seed=0):
        kinds = [type(module) for module in network.modules()]
        assert sum(issubclass(kind, nn.Conv2d | nn.ConvTranspose2d) for kind in kinds) == 4
        assert nn.Linear not in kinds
    generator = build(settings(generator_filters=(64, 64, 64)), seed=0)[0]
    weights = torch.cat([p.detach().flatten() for p in generator.parameters() if p.dim() > 1])
    assert weights.std().item() == pytest.approx(0.02, rel=0.02)
    assert abs(weights.mean().item()) < 1e-3


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_images_lie_in_the_range_of_the_real_ones_and_there_is_one_logit(architecture: Architecture) -> None:
    generator, discriminator = build(settings(architecture=architecture), seed=0)
    fake = generator(torch.randn(5, 6))
    assert fake.shape == (5, 1, 28, 28)
    assert fake.abs().max() <= 1
    assert discriminator(fake).shape == (5,)
    real = scaled(torch.tensor([0, 255], dtype=torch.uint8).repeat_interleave(784).view(2, 28, 28))
    assert (real.min(), real.max()) == (-1, 1)


@pytest.mark.parametrize("image_shape", [(1, 28, 28), (3, 32, 32), (1, 17, 17), (1, 28, 20)], ids=str)
def test_with_the_batch_last_a_generator_has_the_images_and_gradients_of_its_layers(
    image_shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = Generator(settings(image_shape=image_shape)).double()
    ordinary, z = copy.deepcopy(quick), torch.randn(7, 6, dtype=torch.float64)
    ways: list[dict[str, bool]] = []

    def seen(layers: nn.Sequential, x: torch.Tensor, **options: bool) -> torch.Tensor:
        ways.append(options)
        return run_layers(layers, x, **options)

    monkeypatch.setattr("trainables.gan.run_layers", seen)
    expected, got = ordinary.layers(z[:, :, None, None]), quick(z)
    assert len(ways) == (image_shape[1] == image_shape[2])
    torch.testing.assert_close(got, expected)
    for images in (expected, got):
        (images - 0.5).square().sum().backward()
    for (name, its), mine in zip(ordinary.named_parameters(), quick.parameters(), strict=True):
        assert its.grad is not None, name
        torch.testing.assert_close(mine.grad, its.grad)
    for name, buffer in ordinary.named_buffers():
        torch.testing.assert_close(quick.get_buffer(name), buffer)
    torch.testing.assert_close(quick.eval()(z), ordinary.eval().layers(z[:, :, None, None]))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("loss", LOSSES)
def test_a_gradient_reaches_every_parameter_of_both_networks(architecture: Architecture, loss: Loss) -> None:
    generator, discriminator = build(settings(architecture=architecture), seed=0)
    fake = generator(torch.randn(8, 6))
    generator_loss(discriminator(fake), loss).backward()
    for name, parameter in generator.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
    discriminator.zero_grad()
    discriminator_loss(discriminator(torch.rand(8, 1, 28, 28)), discriminator(fake.detach())).backward()
    for name, parameter in discriminator.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


LOGITS = torch.linspace(-12, 12, 49, dtype=torch.float64)


def test_losses_have_their_closed_forms_and_stay_finite_where_these_overflow() -> None:
    d = LOGITS.sigmoid()
    torch.testing.assert_close(generator_loss(LOGITS, "minimax"), torch.log(1 - d).mean(), rtol=0, atol=1e-6)
    torch.testing.assert_close(generator_loss(LOGITS, "non_saturating"), -torch.log(d).mean(), rtol=0, atol=1e-6)
    expected = -torch.log(d.flip(0)).mean() - torch.log(1 - d).mean()
    torch.testing.assert_close(discriminator_loss(LOGITS.flip(0), LOGITS), expected, rtol=0, atol=1e-6)
    for loss in LOSSES:
        assert generator_loss(torch.tensor([-1e4, 1e4]), loss).isfinite()


@pytest.mark.parametrize(
    ("loss", "gradient"), [("minimax", lambda d: -d), ("non_saturating", lambda d: d - 1)], ids=LOSSES
)
def test_the_generator_s_gradient_in_the_logit_is_minus_d_and_d_minus_one(loss: Loss, gradient: Any) -> None:
    for logit in LOGITS:
        leaf = logit.clone()[None].requires_grad_()
        generator_loss(leaf, loss).backward()
        assert leaf.grad is not None
        torch.testing.assert_close(leaf.grad[0], gradient(logit.sigmoid()), rtol=0, atol=1e-6)


def test_both_losses_have_the_same_gradient_at_one_half_and_minimax_has_none_where_the_discriminator_wins() -> None:
    def size(loss: Loss, logit: float) -> float:
        leaf = torch.tensor([logit], dtype=torch.float64, requires_grad=True)
        generator_loss(leaf, loss).backward()
        assert leaf.grad is not None
        return abs(leaf.grad.item())

    assert size("minimax", 0.0) == size("non_saturating", 0.0) == 0.5
    assert size("minimax", -10.0) < 1e-4
    assert size("non_saturating", -10.0) > 0.999


def test_the_penalty_is_the_squared_gradient_in_the_images_and_can_be_differentiated_once_more() -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(784, 1))
    weight = linear[1].weight
    penalty = r1_penalty(linear, torch.rand(3, 1, 28, 28))
    torch.testing.assert_close(penalty, weight.detach().square().sum())
    penalty.backward()
    torch.testing.assert_close(weight.grad, 2 * weight.detach())


def test_the_penalty_takes_batch_norm_s_statistics_for_constants_and_leaves_the_running_ones() -> None:
    """So that it is a mean over images: that of each, normalised by all, does not depend on the others."""
    norm = BatchNorm(1).train()
    with torch.no_grad():
        norm.weight.fill_(3.0)
    network = nn.Sequential(norm, nn.Flatten(), nn.Linear(784, 1, bias=False))
    images = torch.rand(5, 1, 28, 28)
    penalty = r1_penalty(network, images)
    factor = 9 / (images.var(correction=0) + norm.eps)
    torch.testing.assert_close(penalty, factor * network[2].weight.detach().square().sum())
    assert norm.num_batches_tracked == 0
    assert (norm.running_mean, norm.running_var) == (0, 1)
    assert not norm.held


def test_a_penalised_discriminator_is_flatter_and_its_loss_is_told_without_the_penalty() -> None:
    images, steepness = made_up(160), {}
    for weight in (0.0, 10.0):
        *_, last = train_gan(settings(r1_penalty=weight), images, seed=0)
        _, discriminator = build(settings(), seed=0)
        discriminator.load_state_dict(last.state()["discriminator"])
        steepness[weight] = float(r1_penalty(discriminator, scaled(torch.from_numpy(images))).detach())
        assert last.metrics["d_loss"] < 2
    assert steepness[10.0] < steepness[0.0] / 2


def test_the_step_size_stays_or_goes_down_along_half_a_cosine() -> None:
    for schedule, expected in (("constant", 1e-2), ("cosine", 1e-2 * (1 + math.cos(math.pi * (2 + 2 / 3) / 3)) / 2)):
        what = settings(schedule=schedule, learning_rate=1e-2)
        *_, last = train_gan(what, made_up(3 * what.batch_size), seed=0)
        for network in ("generator", "discriminator"):
            (group,) = last.state()["optimizers"][network]["param_groups"]
            assert group["lr"] == pytest.approx(expected)


class Watched:
    """Keeps the two networks of a training, to look at them between its steps."""

    def __init__(self) -> None:
        self.networks: list[nn.Module] = []

    def __call__(self, network: nn.Module) -> nn.Module:
        self.networks.append(network)
        return network


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_each_step_moves_one_network_and_leaves_the_other_s_weights(
    architecture: Architecture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainables import gan_training

    watched, moved = Watched(), []

    def weights() -> list[torch.Tensor]:
        return [torch.cat([p.detach().flatten() for p in net.parameters()]).clone() for net in watched.networks]

    class WatchedDescent(Descent):
        def minimise(self, loss: torch.Tensor) -> None:
            before = weights()
            super().minimise(loss)
            moved.append([not torch.equal(a, b) for a, b in zip(before, weights(), strict=True)])

    monkeypatch.setattr(gan_training, "Descent", WatchedDescent)
    list(train_gan(settings(architecture=architecture, epochs=1), made_up(48), seed=0, prepare_model=watched))
    assert [type(network) for network in watched.networks] == [Generator, Discriminator]
    assert moved == [[False, True], [True, False]] * 3


@pytest.mark.parametrize(
    "change", [{}, {"architecture": "stable"}, {"loss": "minimax"}, {"ema_decay": None}], ids=str
)
def test_resumed_training_equals_uninterrupted_training(change: dict[str, Any]) -> None:
    what, images = settings(**change, epochs=4), made_up(40)
    whole, saved = [], io.BytesIO()
    for epoch in train_gan(what, images, seed=3):
        whole.append(epoch)
        if epoch.number == 2:
            torch.save(epoch.state(), saved)
    saved.seek(0)
    torch.rand(7)  # the global generator must play no part
    resume = torch.load(saved, weights_only=True)
    resumed = list(train_gan(what, images, seed=3, resume=resume))
    assert [epoch.number for epoch in resumed] == [3, 4]
    assert [epoch.metrics for epoch in resumed] == [epoch.metrics for epoch in whole[2:]]
    for name, weights in whole[-1].state()["model"].items():
        assert torch.equal(resumed[-1].state()["model"][name], weights)


def test_the_losses_differ_and_the_seed_decides_everything() -> None:
    images = made_up(40)
    one, same = ([e.metrics for e in train_gan(settings(), images, seed=1)] for _ in range(2))
    assert one == same
    assert [e.metrics for e in train_gan(settings(), images, seed=2)] != one
    assert [e.metrics for e in train_gan(settings(loss="minimax"), images, seed=1)] != one


def test_the_size_of_the_logit_s_gradient_is_d_in_minimax_and_one_minus_d_otherwise() -> None:
    """With networks that stand still, d is the same in both steps but for the random vectors."""
    still = {"learning_rate": 1e-30, "architecture": "stable", "epochs": 1}
    for loss, expected in (("minimax", lambda d: d), ("non_saturating", lambda d: 1 - d)):
        (epoch,) = train_gan(settings(loss=loss, **still), made_up(320), seed=0)
        assert epoch.metrics["g_logit_grad"] == pytest.approx(expected(epoch.metrics["d_fake"]), abs=0.01)


def test_the_scored_generator_is_the_moving_average_and_its_measures_are_among_the_metrics() -> None:
    seen = []

    def measure(generator: nn.Module, number: int) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        assert not generator.training
        seen.append(number)
        return {"frechet_distance": float(number)}, {f"epoch-{number}": np.full(2, number)}

    epochs = list(train_gan(settings(ema_decay=0.9), made_up(40), seed=0, measure=measure))
    assert seen == [1, 2, 3]
    assert [epoch.metrics["frechet_distance"] for epoch in epochs] == [1.0, 2.0, 3.0]
    assert [{name: list(array) for name, array in epoch.arrays.items()} for epoch in epochs] == [
        {"epoch-1": [1, 1]},
        {"epoch-2": [2, 2]},
        {"epoch-3": [3, 3]},
    ]
    state = epochs[-1].state()
    averaged, plain = state["model"], state["generator"]
    assert not torch.equal(averaged["layers.0.weight"], plain["layers.0.weight"])


@pytest.mark.parametrize("ema_decay", [0.9, None])
def test_a_gan_that_loaded_a_state_goes_on_as_the_one_that_gave_it(ema_decay: float | None) -> None:
    def fresh(seed: int) -> Gan:
        return Gan(settings(ema_decay=ema_decay), seed=seed, device="cpu", prepare_model=lambda model: model)

    def step(gan: Gan) -> list[torch.Tensor]:
        real, z = scaled(torch.from_numpy(made_up(8))), random_vectors(8, settings(), 1)
        return [gan.step_discriminator(real, z, penalised=True), gan.step_generator(z)]

    gan, other = fresh(0), fresh(1)
    step(gan)
    assert not torch.equal(torch.cat(step(fresh(0))), torch.cat(step(other)))
    other.load(copy.deepcopy(gan.state(1)))
    assert torch.equal(torch.cat(step(gan)), torch.cat(step(other)))
    ours, theirs = gan.state(2), other.state(2)
    for name in ("generator", "discriminator", "model"):
        assert all(torch.equal(ours[name][key], theirs[name][key]) for key in ours[name]), name
    assert (gan.scored is gan.generator) == (ema_decay is None)


def test_generated_images_are_bytes_and_the_same_for_the_same_vectors() -> None:
    generator, _ = build(settings(), seed=0)
    z = random_vectors(1100, settings(), 5)
    images = generate(generator, z)
    assert (images.shape, images.dtype) == ((1100, 28, 28), torch.uint8)
    assert torch.equal(images, generate(generator, random_vectors(1100, settings(), 5)))
    exact = (generator(z[:3]).squeeze(1) + 1) * 127.5
    assert (images[:3].float() - exact).abs().max() <= 0.51


@pytest.mark.parametrize(("changes", "workers", "said"), [({}, 3, "evenly by 3"), ({"batch_size": 64}, 1, "above")])
def test_a_batch_that_cannot_be_shared_or_filled_is_refused(changes: dict[str, int], workers: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        next(train_gan(settings(**changes), made_up(40), seed=0, world_size=workers))


WORKER = """
import json, os, sys
from datetime import timedelta
import numpy as np, torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from trainables.gan_settings import GanSettings
from trainables.gan_training import train_gan
rank, world_size, store, settings = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
torch.set_num_threads(1)
prepare = lambda network: network
if world_size > 1:
    distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=world_size, timeout=timedelta(seconds=60)
    )
    prepare = lambda network: DistributedDataParallel(network, broadcast_buffers=False)
images = np.random.default_rng(0).integers(0, 256, (48, 28, 28), dtype=np.uint8)
def measure(generator, number):
    sums = {name: weights.double().abs().sum().item() for name, weights in generator.state_dict().items()}
    return sums | {"measured_by": rank}, {f"epoch-{number}": np.zeros(1)}
epochs = train_gan(
    GanSettings.model_validate(settings),
    images,
    seed=0,
    rank=rank,
    world_size=world_size,
    prepare_model=prepare,
    measure=measure,
)
print(json.dumps([[dict(epoch.metrics), list(epoch.arrays)] for epoch in epochs]))
sys.stdout.flush()
if world_size > 1:
    distributed.barrier()
    os._exit(0)  # gloo's threads now and then abort an interpreter that ends
"""


Told = list[tuple[dict[str, float], list[str]]]
"""Metrics and names of arrays, epoch by epoch."""


def trained_by(world_size: int, what: GanSettings, folder: Path) -> list[Told]:
    """What each worker tells of a training that workers in processes of their own share."""
    store = folder / f"store-{world_size}-{what.architecture}"
    arguments = [str(world_size), str(store), what.model_dump_json()]
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(rank), *arguments],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world_size)
    ]
    outputs = [worker.communicate(timeout=120) for worker in workers]
    assert all(worker.returncode == 0 for worker in workers), outputs
    return [json.loads(out) for out, _ in outputs]


@pytest.mark.parametrize("loss", [pytest.param("minimax", marks=pytest.mark.long), "non_saturating"])
def test_two_workers_train_the_gan_that_one_trains(loss: Loss, tmp_path: Path) -> None:
    """Nine steps of the same global batches, batch norm and all, through DDP over gloo."""
    what = settings(loss=loss, epochs=3, learning_rate=1e-3)
    (alone,), (together, other) = trained_by(1, what, tmp_path), trained_by(2, what, tmp_path)
    assert len(alone) == len(together) == len(other) == 3
    for number, ((one, arrays), (two, shared), (same, none)) in enumerate(
        zip(alone, together, other, strict=True), 1
    ):
        assert two == pytest.approx(one, rel=1e-3, abs=1e-5)
        assert same == two, "every worker has the metrics"
        assert same["measured_by"] == 0
        assert arrays == shared == [f"epoch-{number}"]
        assert none == [], "the worker of rank 0 alone has the arrays"


def test_the_moving_average_is_torch_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    widths: Any = {"generator_filters": (16, 8, 8), "discriminator_filters": (8, 8, 8)}
    images = np.random.default_rng(0).integers(0, 256, (128, 28, 28), np.uint8)
    made = GanSettings(loss="minimax", batch_size=32, epochs=2, ema_decay=0.9, **widths)
    ours = list(train_gan(made, images, seed=1))[-1].state()["averaged"]

    def update(gan: Gan) -> None:
        assert gan.averaged is not None
        gan.averaged.update_parameters(gan.generator)

    monkeypatch.setattr(Gan, "_follow", update)
    of_torch = list(train_gan(made, images, seed=1))[-1].state()["averaged"]
    assert int(ours["n_averaged"]) == 8
    assert all(torch.equal(tensor, of_torch[name]) for name, tensor in ours.items())
