"""The paper's generator and discriminator, and the losses of its two GANs (Introduction, Methods)."""

from collections.abc import Callable
from functools import partial
from math import gcd

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from trainables.batch_norm import BatchNorm, held_statistics
from trainables.gan_settings import GanRecipe, Loss
from trainables.images import check_inputs

Convolution = nn.Conv2d | nn.ConvTranspose2d


class Generator(nn.Module):
    """z -> x, from shape (batch, latent_dim) to images (batch, 1, 28, 28) in (-1, 1); four convolutional layers.

    Sizes: paper 1 -> 3 -> 7 -> 15 -> 28 (transposed, kernel 3, stride 2; the last with padding 2 and output padding
    1); stable 1 -> 7 -> 14 -> 28 -> 28.

    Source: the paper, Methods, read as its author's code has it.
    """

    def __init__(self, settings: GanRecipe) -> None:
        super().__init__()
        self.input_shape = (settings.latent_dim,)
        f1, f2, f3 = settings.generator_filters
        paper = settings.architecture == "paper"
        first, further = ((3, 2, 0), (3, 2, 0)) if paper else ((7, 1, 0), (4, 2, 1))  # kernel, stride, padding
        norm, up = BatchNorm if paper else _group_norm, partial(nn.ConvTranspose2d, bias=not paper)
        self.layers = nn.Sequential(
            *_block(up(settings.latent_dim, f1, *first), nn.ReLU(), norm),
            *_block(up(f1, f2, *further), nn.ReLU(), norm),
            *_block(up(f2, f3, *further), nn.ReLU(), norm),
            up(f3, 1, 3, 2, padding=2, output_padding=1) if paper else nn.Conv2d(f3, 1, 3, padding=1),
            nn.Tanh(),
        )
        self.apply(_normal_weights)

    def forward(self, z: Tensor) -> Tensor:
        """Images, shape (batch, 1, 28, 28), of random vectors, shape (batch, latent_dim)."""
        check_inputs(self, z, *self.input_shape)
        images: Tensor = self.layers(z[:, :, None, None])
        return images


class Discriminator(nn.Module):
    """x -> logit of d(x), from images (batch, 1, 28, 28) in [-1, 1] to shape (batch,); four convolutions.

    Sizes: paper 28 -> 14 -> 7 -> 3 -> 1 (kernel 4, stride 2, padding 1; batch norm on the two in the middle); stable
    28 -> 14 -> 7 -> 4 -> 1, spectral norm on each. LeakyReLU with slope 0.2.

    Source: the paper, Methods, read as its author's code has it; Miyato et al. 2018 for spectral norm.
    """

    def __init__(self, settings: GanRecipe) -> None:
        super().__init__()
        f1, f2, f3 = settings.discriminator_filters
        paper = settings.architecture == "paper"
        norms, down = [BatchNorm] if paper else [], partial(nn.Conv2d, bias=not paper)
        self.layers = nn.Sequential(
            *_block(down(1, f1, 4, 2, 1), nn.LeakyReLU(0.2)),
            *_block(down(f1, f2, 4, 2, 1), nn.LeakyReLU(0.2), *norms),
            *_block(down(f2, f3, 4 if paper else 3, 2, 1), nn.LeakyReLU(0.2), *norms),
            down(f3, 1, 4, 2, 1) if paper else down(f3, 1, 4),
        )
        self.apply(_normal_weights)
        for layer in self.layers:
            if not paper and isinstance(layer, nn.Conv2d):
                spectral_norm(layer)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, shape (batch,): d = sigmoid(logit) is the probability that an image is real."""
        return torch.flatten(self.layers(images))


def _block(convolution: Convolution, activation: nn.Module, *norms: Callable[[int], nn.Module]) -> list[nn.Module]:
    """The layers of a block; not a Sequential of its own, so that weights have the names that files know."""
    return [convolution, *(norm(convolution.out_channels) for norm in norms), activation]


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(gcd(channels, 8), channels)


def _normal_weights(layer: nn.Module) -> None:
    """Weights from N(0, 0.02^2), batch norm's scales from N(1, 0.02^2), as DCGANs start (Radford et al. 2016)."""
    if isinstance(layer, Convolution):
        nn.init.normal_(layer.weight, 0.0, 0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)


def build(settings: GanRecipe, *, seed: int) -> tuple[Generator, Discriminator]:
    """Fresh networks on the CPU; their weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Generator(settings), Discriminator(settings)


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Loss that the discriminator minimises, whatever the generator's: -E[log d(x)] - E[log(1 - d(g(z)))].

    From logits of real and of generated images, each of shape (batch,), to a scalar, the sum of two means over the
    batch.

    Source: the paper, equation 3.
    """
    return functional.softplus(-real_logits).mean() + functional.softplus(fake_logits).mean()


def r1_penalty(discriminator: nn.Module, images: Tensor) -> Tensor:
    """Squared norm of the logit's gradient in real images, mean over them; to be added to the discriminator's loss.

    From images of shape (batch, 1, 28, 28) to a scalar that can be differentiated once more. Batch norm's mean and
    variance count as constants: else a logit would depend on every image, and this would be no mean over images.

    Source: Mescheder et al. 2018, R1.
    """
    images = images.detach().requires_grad_(True)
    with held_statistics(discriminator):
        (gradient,) = torch.autograd.grad(discriminator(images).sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


def generator_loss(fake_logits: Tensor, kind: Loss) -> Tensor:
    """Loss that the generator minimises, from the discriminator's logits on generated images, as d = sigmoid(logit).

    minimax:         E[log(1 - d)]   (equation 3's second term, turned round; its gradient in the logit is -d)
    non_saturating:  -E[log d]       (equation 4; its gradient in the logit is d - 1)

    From logits of shape (batch,), any real values, to a scalar, the mean over the batch.

    Source: the paper, equations 3 and 4; Goodfellow et al. 2014; Lucic et al. 2018.
    """
    if kind == "minimax":
        return -functional.softplus(fake_logits).mean()
    return functional.softplus(-fake_logits).mean()
