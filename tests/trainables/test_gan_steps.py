"""A GAN's training, step by step, is what plain torch makes of the paper's equations."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables import gan_training
from trainables.gan import build
from trainables.gan_settings import GanSettings, Loss
from trainables.gan_training import generate, train_gan
from trainables.loop import random_numbers

NUM_IMAGES, BATCH, STEPS, SEED = 42, 4, 10, 3
IMAGES = np.random.default_rng(0).integers(0, 256, (NUM_IMAGES, 28, 28), dtype=np.uint8)
USUAL: dict[str, Any] = {
    "generator_filters": (4, 4, 4), "discriminator_filters": (4, 4, 4), "latent_dim": 3, "batch_size": BATCH,
    "epochs": 2, "learning_rate": 0.003, "beta1": 0.3, "beta2": 0.9, "r1_penalty": 0.4, "ema_decay": 0.9,
    "schedule": "cosine",
}  # fmt: skip
NAMES = ("d_loss", "g_loss", "d_real", "d_fake", "g_logit_grad", "g_weight_grad")


@contextmanager
def constant_statistics(network: nn.Module) -> Iterator[None]:
    """Has a network's batch norms normalise by the batch's mean and variance, taken for constants."""

    def normalised(norm: nn.Module, inputs: tuple[Tensor], _: Tensor) -> Tensor:
        (x,) = (it.detach() for it in inputs)
        var, mean = torch.var_mean(x, (0, 2, 3), correction=0)
        fixed = [it[:, None, None] for it in (mean, (var + norm.eps).sqrt(), norm.weight, norm.bias)]
        return (inputs[0] - fixed[0]) / fixed[1] * fixed[2] + fixed[3]

    hooks = [it.register_forward_hook(normalised) for it in network.modules() if isinstance(it, nn.BatchNorm2d)]
    yield
    for hook in hooks:
        hook.remove()


def plainly(settings: GanSettings) -> tuple[list[dict[str, float]], nn.Module]:
    """Means of each epoch, and the moving average of the generator, with torch's own losses and optimizers."""
    generator, discriminator = build(settings, seed=SEED)
    averaged = copy.deepcopy(generator)
    optimizers = [
        torch.optim.Adam(network.parameters(), lr=0.0, betas=(settings.beta1, settings.beta2), foreach=False)
        for network in (discriminator, generator)
    ]
    bce = functional.binary_cross_entropy_with_logits
    found, progress = [], 0.0
    for epoch in (1, 2):
        order = torch.randperm(NUM_IMAGES, generator=random_numbers(SEED, epoch))
        draws, told = random_numbers(SEED, epoch, 1), []
        generator.train()
        for step in range(STEPS):
            for optimizer in optimizers:
                factor = (1 + np.cos(np.pi * progress)) / 2
                optimizer.param_groups[0]["lr"] = settings.learning_rate * factor
            progress += 1 / (2 * STEPS)
            of_discriminator, of_generator = torch.randn(2, BATCH, settings.latent_dim, generator=draws)
            which = order[BATCH * step : BATCH * (step + 1)].numpy()
            real = torch.from_numpy(IMAGES[which].astype(np.float32) / 127.5 - 1)[:, None].requires_grad_(True)
            on_real, on_fake = discriminator(real), discriminator(generator(of_discriminator).detach())
            d_loss = bce(on_real, torch.ones(BATCH)) + bce(on_fake, torch.zeros(BATCH))
            loss = d_loss
            if step % 8 == 0:  # which counts for eight steps
                with constant_statistics(discriminator):
                    (slope,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
                loss = d_loss + 8 * settings.r1_penalty / 2 * slope.pow(2).sum() / BATCH
            optimizers[0].zero_grad()
            loss.backward()
            optimizers[0].step()

            logits = discriminator(generator(of_generator))
            d = logits.sigmoid()
            g_loss = (1 - d).log().mean() if settings.loss == "minimax" else -d.log().mean()
            optimizers[1].zero_grad()
            g_loss.backward()
            slope_of_weights = torch.cat([it.grad.flatten() for it in generator.parameters()]).norm()
            optimizers[1].step()
            with torch.no_grad():
                pairs = zip(averaged.state_dict().values(), generator.state_dict().values(), strict=True)
                for mine, theirs in pairs:
                    if mine.is_floating_point():
                        first = epoch == 1 and step == 0  # of which there is nothing to average yet
                        mine.copy_(theirs if first else settings.ema_decay * mine + (1 - settings.ema_decay) * theirs)
            slope_of_logit = d if settings.loss == "minimax" else 1 - d
            probabilities = (on_real.sigmoid().mean(), on_fake.sigmoid().mean())
            told.append([d_loss, g_loss, *probabilities, slope_of_logit.mean(), slope_of_weights])
        table = torch.tensor([[it.item() for it in row] for row in told]).double()
        found.append(dict(zip(NAMES, table.mean(dim=0).tolist(), strict=True)))
        if epoch == 1:
            found[0]["g_weight_grad_start"] = table[:3, -1].mean().item()
    return found, averaged.eval()


@pytest.mark.parametrize("loss", ["minimax", "non_saturating"])
def test_two_epochs_are_those_of_plain_torch(loss: Loss, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gan_training, "START_STEPS", 3)
    settings = GanSettings(loss=loss, **USUAL)
    expected, averaged = plainly(settings)
    *_, last = (epochs := list(train_gan(settings, IMAGES, seed=SEED)))
    for epoch, means in zip(epochs, expected, strict=True):
        assert epoch.metrics == pytest.approx(means, rel=1e-3), f"epoch {epoch.number}"
    for name, weights in averaged.state_dict().items():
        if weights.ndim > 1:
            torch.testing.assert_close(last.state()["model"][name], weights, rtol=1e-2, atol=1e-4)


class Giving(nn.Module):
    """Gives its vectors' numbers as images of one grey."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.image_shape = (1, 28, 28)

    def forward(self, z: Tensor) -> Tensor:
        return (z * self.weight)[:, :, None, None].expand(-1, 1, 28, 28).clone()


def test_a_generated_grey_is_the_byte_that_is_nearest() -> None:
    wanted = [0, 1, 100, 191, 254, 255]
    z = torch.tensor([[byte / 127.5 - 1 + shift / 127.5] for byte in wanted for shift in (-0.4, 0.4)]).clamp(-1, 1)
    images = generate(Giving(), z)
    assert images.shape == (12, 28, 28)
    assert images[:, 3, 5].tolist() == [byte for byte in wanted for _ in range(2)]
