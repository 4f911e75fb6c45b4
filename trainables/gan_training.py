"""Training the paper's GANs: two networks, two optimizers, one or several workers (Methods)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from trainables.autoencoder import as_tensor
from trainables.epoch import Epoch
from trainables.gan import build, discriminator_loss, generator_loss, r1_penalty
from trainables.gan_settings import GanSettings
from trainables.optimizers import annealed, make_optimizer, random_numbers

PENALTY_EVERY = 8
"""Steps from one penalised step of the discriminator to the next, whose penalty counts for all of them: Karras et al.
2020 found the same results for less work."""


def scaled(images: Tensor) -> Tensor:
    """uint8 images of shape (n, 28, 28) as the networks see them: shape (n, 1, 28, 28) in [-1, 1]."""
    return images.float().div_(127.5).sub_(1).unsqueeze(1)


def random_vectors(count: int, settings: GanSettings, *seed: int) -> Tensor:
    """Vectors z from N(0, I), shape (count, latent_dim), decided by the seed."""
    return torch.randn(count, settings.latent_dim, generator=random_numbers(*seed))


Prepare = Callable[[nn.Module], nn.Module]
Measure = Callable[[nn.Module, int], Mapping[str, float]]


def train_gan(
    settings: GanSettings,
    images: NDArray[Any],
    *,
    device: torch.device | str = "cpu",
    seed: int,
    resume: dict[str, Any] | None = None,
    prepare_model: Prepare = lambda model: model,
    rank: int = 0,
    world_size: int = 1,
    measure: Measure | None = None,
) -> Iterator[Epoch]:
    """Play the game, one epoch at a time: for every batch a step of the discriminator, then one of the generator.

    Every eighth step of the discriminator is penalised, where the settings say so; d_loss is without the penalty.

    Metrics of an epoch, means over its steps: d_loss, g_loss, d_real = d(x) and d_fake = d(g(z)) as the
    discriminator's step sees them, g_logit_grad, the mean size of the gradient of the generator's loss in each logit
    (d for minimax, 1 - d for non-saturating), and what `measure` adds.

    Workers share each batch: together they draw what one alone would draw. Every worker goes through the same
    epochs, and all of them must be asked for the next one.

    Args:
        settings: the game and its players.
        images: uint8, shape (n, 28, 28), real ones.
        device: where to train.
        seed: decides the initial weights, the order of the batches and every random vector.
        resume: the state of an earlier epoch, to go on from exactly.
        prepare_model: wraps a network so that its gradients are averaged over the workers.
        rank: number of this worker, from 0.
        world_size: number of workers; divides the batch size.
        measure: called with the scored generator, in evaluation mode, and the epoch's number after each epoch, by the
            worker of rank 0, which passes what it measured to the others.

    Raises:
        ValueError: the batch size cannot be shared evenly, or is greater than the number of images.
    """
    if settings.batch_size % world_size:
        raise ValueError(f"batch_size {settings.batch_size} cannot be shared evenly by {world_size} workers")
    if settings.batch_size > len(images):
        raise ValueError(f"batch_size {settings.batch_size} is above the number of images, {len(images)}")
    generator, discriminator = (network.to(device) for network in build(settings, seed=seed))
    averaged = None
    if settings.ema_decay is not None:
        average = get_ema_multi_avg_fn(settings.ema_decay)
        averaged = AveragedModel(generator, multi_avg_fn=average, use_buffers=True)
    optimizers = {
        name: make_optimizer(
            "adam", network, learning_rate=settings.learning_rate, betas=(settings.beta1, 0.999), device=device
        )
        for name, network in (("generator", generator), ("discriminator", discriminator))
    }
    parts: dict[str, Any] = {"generator": generator, "discriminator": discriminator, "averaged": averaged}
    first = 1
    if resume is not None:
        for name, part in parts.items():
            if part is not None:
                part.load_state_dict(resume[name])
        for name, (optimizer, _) in optimizers.items():
            optimizer.load_state_dict(resume["optimizers"][name])
        first = resume["epoch"] + 1
    # The players as each sees its own gradients; as the other's opponent they are plain networks.
    own_generator, own_discriminator = prepare_model(generator), prepare_model(discriminator)
    real_images = as_tensor(images).to(device)
    num_steps = len(images) // settings.batch_size

    def step_discriminator(real: Tensor, z: Tensor, *, penalised: bool) -> Tensor:
        discriminator.requires_grad_(True)
        with torch.no_grad():
            fake = generator(z)
        real_logits, fake_logits = own_discriminator(real), own_discriminator(fake)
        loss = discriminator_loss(real_logits, fake_logits)
        optimizer, step = optimizers["discriminator"]
        optimizer.zero_grad()
        if penalised:
            penalty = r1_penalty(discriminator, real)  # its gradient is averaged over the workers with the loss's
            (loss + PENALTY_EVERY * settings.r1_penalty / 2 * penalty).backward()
        else:
            loss.backward()
        step()
        return torch.stack(
            [loss.detach(), real_logits.detach().sigmoid().mean(), fake_logits.detach().sigmoid().mean()]
        )

    def step_generator(z: Tensor) -> Tensor:
        discriminator.requires_grad_(False)
        logits = discriminator(own_generator(z))
        logits.retain_grad()
        loss = generator_loss(logits, settings.loss)
        optimizer, step = optimizers["generator"]
        optimizer.zero_grad()
        loss.backward()
        step()
        assert logits.grad is not None
        return torch.stack([loss.detach(), logits.grad.abs().sum()])

    for number in range(first, settings.epochs + 1):
        generator.train()
        discriminator.train()
        order = torch.randperm(len(images), generator=random_numbers(seed, number)).to(device)
        draws = random_numbers(seed, number, 1)
        total = torch.zeros(5, dtype=torch.float64, device=device)
        for number_of_step, batch in enumerate(order.split(settings.batch_size)[:num_steps]):
            if settings.schedule == "cosine":
                progress = (number - 1 + number_of_step / num_steps) / settings.epochs
                for optimizer, _ in optimizers.values():
                    optimizer.param_groups[0]["lr"] = annealed(settings.learning_rate, progress)
            both = torch.randn(2, settings.batch_size, settings.latent_dim, generator=draws).to(device)
            for_discriminator, for_generator = both[:, rank::world_size]
            real = scaled(real_images.index_select(0, batch[rank::world_size]))
            penalised = settings.r1_penalty > 0 and number_of_step % PENALTY_EVERY == 0
            total[:3] += step_discriminator(real, for_discriminator, penalised=penalised)
            total[3:] += step_generator(for_generator)
            if averaged is not None:
                averaged.update_parameters(generator)
        if world_size > 1:
            distributed.all_reduce(total)
        names = ("d_loss", "d_real", "d_fake", "g_loss", "g_logit_grad")
        metrics = dict(zip(names, (total / (num_steps * world_size)).tolist(), strict=True))
        if measure is not None and rank == 0:
            scored = generator if averaged is None else averaged.module
            metrics |= measure(scored.eval(), number)
        if world_size > 1:
            shared = [metrics]
            distributed.broadcast_object_list(shared, src=0)
            (metrics,) = shared
        yield Epoch(
            number,
            metrics,
            lambda number=number: {  # type: ignore[misc]
                **{name: None if part is None else part.state_dict() for name, part in parts.items()},
                "optimizers": {name: optimizer.state_dict() for name, (optimizer, _) in optimizers.items()},
                "model": (generator if averaged is None else averaged.module).state_dict(),
                "epoch": number,
            },
        )


def generate(generator: nn.Module, z: Tensor) -> Tensor:
    """Images of random vectors in evaluation mode: uint8, shape (n, 28, 28), on the CPU."""
    device = next(generator.parameters()).device
    generator.eval()
    with torch.inference_mode():
        parts = [generator(part.to(device)).add_(1).mul_(127.5).round_().byte().cpu() for part in z.split(1000)]
    return torch.cat(parts).squeeze(1)
