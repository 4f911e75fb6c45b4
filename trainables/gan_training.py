"""Training the paper's GANs: two networks, two optimizers, one or several workers (Methods)."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, cast

import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from trainables.cuda_graph import Captured, Step
from trainables.epoch import Epoch, State
from trainables.gan import build, discriminator_loss, generator_loss, r1_penalty
from trainables.gan_settings import GanRecipe, GanSettings
from trainables.images import Images, Shape, as_tensor, part_size, shape_of
from trainables.loop import Device, combined, evaluated, random_numbers, shuffled
from trainables.optimizers import Descent

PENALTY_EVERY = 8
"""Steps from one penalised step of the discriminator to the next, whose penalty counts for all of them: Karras et al.
2020 found the same results for less work."""
START_STEPS = 50
"""First steps of a training, whose mean is what its generator's gradient starts from."""


def scaled(images: Tensor) -> Tensor:
    """uint8 images as the networks see them: shape (n, channels, rows, columns) in [-1, 1]."""
    return images.float().div_(127.5).sub_(1).view(-1, *shape_of(images))


def random_vectors(count: int, settings: GanRecipe, *seed: int) -> Tensor:
    """Vectors z from N(0, I), shape (count, latent_dim), decided by the seed."""
    return torch.randn(count, settings.latent_dim, generator=random_numbers(*seed))


Prepare = Callable[[nn.Module], nn.Module]
Measure = Callable[[nn.Module, int], tuple[Mapping[str, float], Mapping[str, NDArray[Any]]]]
"""Takes a generator in evaluation mode and the number of the epoch that it comes from; gives metrics and arrays."""


class Gan:
    """A generator and a discriminator in training, with their optimizers and the moving average of the generator.

    `prepare_model` wraps a network so that its gradients are averaged over the workers.
    """

    def __init__(self, settings: GanSettings, *, seed: int, device: Device, prepare_model: Prepare) -> None:
        generator, discriminator = (network.to(device) for network in build(settings, seed=seed))
        self.settings, self.generator, self.discriminator = settings, generator, discriminator
        self.networks: dict[str, nn.Module] = {"generator": generator, "discriminator": discriminator}
        betas = (settings.beta1, settings.beta2)
        self.descents = {
            name: Descent("adam", network, settings.learning_rate, settings.schedule, betas=betas)
            for name, network in self.networks.items()
        }
        self.averaged: AveragedModel | None = None
        self._averages = False
        """Whether the average has begun; its own count of that would have to be asked of the GPU."""
        self.scored: nn.Module = generator
        """The generator whose images count: the moving average, where there is one."""
        if settings.ema_decay is not None:
            self._average = get_ema_multi_avg_fn(settings.ema_decay)
            self.averaged = AveragedModel(generator, multi_avg_fn=self._average, use_buffers=True)
            self.networks["averaged"], self.scored = self.averaged, self.averaged.module
        # In its own steps a network is wrapped; in the other's it is plain.
        self.own_generator, self.own_discriminator = prepare_model(generator), prepare_model(discriminator)

    def step_discriminator(self, real: Tensor, z: Tensor, *, penalised: bool) -> Tensor:
        """Move the discriminator on images, as `scaled` gives them, and as many random vectors.

        Gives its loss, without the penalty, and the means of d(x) and d(g(z)): shape (3,).
        """
        self.discriminator.requires_grad_(True)
        with torch.no_grad():
            fake = self.generator(z)
        real_logits, fake_logits = self.own_discriminator(real), self.own_discriminator(fake)
        loss = penalised_loss = discriminator_loss(real_logits, fake_logits)
        if penalised:
            # Its gradient is averaged over the workers with the loss's.
            penalty = r1_penalty(self.discriminator, real)
            penalised_loss = loss + PENALTY_EVERY * self.settings.r1_penalty / 2 * penalty
        self.descents["discriminator"].minimise(penalised_loss)
        return torch.stack([loss, real_logits.sigmoid().mean(), fake_logits.sigmoid().mean()]).detach()

    def step_generator(self, z: Tensor) -> Tensor:
        """Move the generator, and its average after it, on random vectors, shape (batch, latent_dim).

        Gives its loss, the mean size of the gradient of each image's loss in its logit, and the norm of the loss's
        gradient in all weights: shape (3,).
        """
        self.discriminator.requires_grad_(False)
        logits = self.discriminator(self.own_generator(z))
        logits.retain_grad()
        loss = generator_loss(logits, self.settings.loss)
        self.descents["generator"].minimise(loss)
        self._follow()
        assert logits.grad is not None
        return torch.stack([loss.detach(), logits.grad.abs().sum(), gradient_norm(self.generator)])

    def _follow(self) -> None:
        """Take the generator into its moving average, as `AveragedModel.update_parameters` does."""
        if self.averaged is None:
            return
        if not self._averages:
            self.averaged.update_parameters(self.generator)
            self._averages = True
            return
        both = [
            [tensor.detach() for tensor in (*network.parameters(), *network.buffers())]
            for network in (self.averaged.module, self.generator)
        ]
        for fractions in (True, False):
            averages, latest = ([it for it in own if it.is_floating_point() == fractions] for own in both)
            if averages:
                self._average(averages, latest, self.averaged.n_averaged)
        self.averaged.n_averaged += 1

    def state(self, number: int) -> State:
        """What `load` takes, after the epoch with this number; the scored generator's weights are its `model`."""
        return {
            **{name: network.state_dict() for name, network in self.networks.items()},
            "optimizers": {name: descent.optimizer.state_dict() for name, descent in self.descents.items()},
            "model": self.scored.state_dict(),
            "epoch": number,
        }

    def load(self, state: State) -> None:
        """Go back to a state, on any device."""
        for name, network in self.networks.items():
            network.load_state_dict(state[name])
        self._averages = self.averaged is not None
        for name, descent in self.descents.items():
            descent.optimizer.load_state_dict(state["optimizers"][name])


def gradient_norm(network: nn.Module) -> Tensor:
    """L2 norm of the gradient in all weights of a network that has one: a scalar."""
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    return torch.nn.utils.get_total_norm(gradients)


def train_gan(
    settings: GanSettings,
    images: Images,
    *,
    device: Device = "cpu",
    seed: int,
    resume: State | None = None,
    prepare_model: Prepare = lambda model: model,
    rank: int = 0,
    world_size: int = 1,
    measure: Measure | None = None,
) -> Iterator[Epoch]:
    """Train a GAN, one epoch at a time: for every batch a step of the discriminator, then one of the generator.

    Every eighth step of the discriminator is penalised, where the settings say so; d_loss is without the penalty.

    Metrics of an epoch, means over its steps: d_loss, g_loss, d_real = d(x) and d_fake = d(g(z)) as the
    discriminator's step sees them, g_logit_grad, the mean size of the gradient of the generator's loss in each logit
    (d for minimax, 1 - d for non-saturating), g_weight_grad, the norm of its gradient in the generator's weights, and
    what `measure` adds. The first epoch has g_weight_grad_start too: the mean over its first steps.

    Workers share each batch: together they draw what one alone would draw, and batch norm sees the whole batch, so
    that their number changes nothing but rounding. Every worker goes through the same epochs, and all of them must
    be asked for the next one.

    Args:
        settings, device, seed, resume: every training's (`trainables.epoch`).
        images: uint8 (`trainables.images`), real ones.
        prepare_model: wraps a network so that its gradients are averaged over the workers.
        rank: number of this worker, from 0.
        world_size: number of workers; divides the batch size.
        measure: called after each epoch by the worker of rank 0, which passes the metrics to the others and gives the
            arrays in its own epoch alone.

    Raises:
        ValueError: the batch size cannot be shared evenly, or is greater than the number of images.
    """
    if settings.batch_size % world_size:
        raise ValueError(f"batch_size {settings.batch_size} cannot be shared evenly by {world_size} workers")
    if settings.batch_size > len(images):
        raise ValueError(f"batch_size {settings.batch_size} is above the number of images, {len(images)}")
    gan = Gan(settings, seed=seed, device=device, prepare_model=prepare_model)
    if resume is not None:
        gan.load(resume)
    steps = _Steps(gan, as_tensor(images).to(device), rank=rank, world_size=world_size)
    for number in range(1 if resume is None else resume["epoch"] + 1, settings.epochs + 1):
        metrics = steps.epoch(number, seed=seed)
        arrays: Mapping[str, NDArray[Any]] = {}
        if measure is not None and rank == 0:
            measured, arrays = measure(gan.scored.eval(), number)
            metrics |= measured
        if world_size > 1:
            shared = [metrics]
            distributed.broadcast_object_list(shared, src=0)
            (metrics,) = shared
        yield Epoch(number, metrics, partial(gan.state, number), arrays)


class _Steps:
    """Both networks' steps on each batch, and what they tell of themselves."""

    def __init__(self, gan: Gan, images: Tensor, *, rank: int, world_size: int) -> None:
        self.gan, self.images, self.rank, self.world_size = gan, images, rank, world_size
        self.draws = random_numbers(0, device=images.device)
        penalised: Step = partial(self._both, penalised=True)
        plain: Step = partial(self._both, penalised=False)
        if world_size == 1 and gan.settings.own is None and images.is_cuda:
            penalised, plain = Captured(penalised, images.device), Captured(plain, images.device)
        self._penalised, self._plain = penalised, plain

    def epoch(self, number: int, *, seed: int) -> dict[str, float]:
        """One epoch; the means over its steps."""
        gan, settings, device = self.gan, self.gan.settings, self.images.device
        num_steps = len(self.images) // settings.batch_size
        index = torch.arange(len(self.images), device=device)
        batches = shuffled(index, settings.batch_size, seed, number)[:num_steps]
        self.draws.manual_seed(combined(seed, number, 1))
        steps = []
        gan.generator.train()
        gan.discriminator.train()
        for position, batch in enumerate(batches):
            for descent in gan.descents.values():
                descent.anneal((number - 1 + position / num_steps) / settings.epochs)
            size = 2, settings.batch_size, settings.latent_dim
            z = torch.randn(size, generator=self.draws, device=device)[:, self.rank :: self.world_size]
            penalised = settings.r1_penalty > 0 and position % PENALTY_EVERY == 0
            step = self._penalised if penalised else self._plain
            steps.append(step(batch[self.rank :: self.world_size], z).clone())
        told = torch.stack(steps).double()
        if self.world_size > 1:
            distributed.all_reduce(told)
            told /= self.world_size
        names = ("d_loss", "d_real", "d_fake", "g_loss", "g_logit_grad", "g_weight_grad")
        metrics = dict(zip(names, told.mean(0).tolist(), strict=True))
        if number == 1:
            metrics["g_weight_grad_start"] = told[:START_STEPS, -1].mean().item()
        return metrics

    def _both(self, batch: Tensor, z: Tensor, *, penalised: bool) -> Tensor:
        real, (for_discriminator, for_generator) = scaled(self.images.index_select(0, batch)), z
        of_discriminator = self.gan.step_discriminator(real, for_discriminator, penalised=penalised)
        return torch.cat([of_discriminator, self.gan.step_generator(for_generator)])


def generate(generator: nn.Module, z: Tensor) -> Tensor:
    """Images of random vectors in evaluation mode, on the CPU: uint8, shape (n, rows, columns) or, where they have
    colours, (n, channels, rows, columns).

    `generator` is a `trainables.gan.Generator` or another network with an `image_shape`.
    """

    def bytes_of(part: Tensor) -> Tensor:
        images: Tensor = generator(part)
        return images.add_(1).mul_(127.5).round_().byte()

    # Half of what else is evaluated at once, 200 of the paper's images: a thousand would take 200 MB more.
    images = evaluated(generator, bytes_of, z, at_once=part_size(cast(Shape, generator.image_shape)) // 2)
    return images.cpu().squeeze(1)
