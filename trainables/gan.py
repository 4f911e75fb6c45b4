"""The paper's generator and discriminator, and the losses of its two GANs (Introduction, Methods)."""

from collections.abc import Callable
from functools import partial
from math import ceil, gcd

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from trainables.batch_last import run_layers
from trainables.batch_norm import BatchNorm, held_statistics, shared
from trainables.gan_settings import GanRecipe, Loss
from trainables.images import check_inputs

Convolution = nn.Conv2d | nn.ConvTranspose2d


class Generator(nn.Module):
    """z -> x, shape (batch, latent_dim) to images (batch, channels, rows, columns) in (-1, 1); four convolutions.

    Sizes: paper 1 -> 3 -> 7 -> 15 -> 28 (transposed, kernel 3, stride 2; the last with padding 2 and output padding
    1); stable 1 -> 7 -> 14 -> 28 -> 28. For images other than the paper's the first kernel is the smallest from which
    the layers after it reach their size, and the last of these that is transposed crops what is beyond it.

    On a CPU, where no other worker shares the batch, the paper's for square images is computed with the batch last
    (`trainables.batch_last`): torch has no quick transposed convolutions there.

    Source: the paper, Methods, read as its author's code has it.
    """

    def __init__(self, settings: GanRecipe) -> None:
        super().__init__()
        self.input_shape, self.image_shape = (settings.latent_dim,), settings.image_shape
        channels, *sides = settings.image_shape
        f1, f2, f3 = settings.generator_filters
        paper = settings.architecture == "paper"
        self.batch_last = paper and sides[0] == sides[1]
        """Whether `trainables.batch_last` has all that the layers are."""
        along_rows, along_columns = (_first_kernel_and_crop(side, paper=paper) for side in sides)
        first, padding, output_padding = zip(along_rows, along_columns, strict=True)
        norm, up = BatchNorm if paper else _group_norm, partial(nn.ConvTranspose2d, bias=not paper)
        further = partial(up, kernel_size=3 if paper else 4, stride=2)
        within, last = {"padding": 0 if paper else 1}, {"padding": padding, "output_padding": output_padding}
        self.layers = nn.Sequential(
            *_block(up(settings.latent_dim, f1, first, 2 if paper else 1), nn.ReLU(), norm),
            *_block(further(f1, f2, **within), nn.ReLU(), norm),
            *_block(further(f2, f3, **(within if paper else last)), nn.ReLU(), norm),
            further(f3, channels, **last) if paper else nn.Conv2d(f3, channels, 3, padding=1),
            nn.Tanh(),
        )
        self.apply(_normal_weights)

    def forward(self, z: Tensor) -> Tensor:
        """Images, shape (batch, channels, rows, columns), of random vectors, shape (batch, latent_dim)."""
        check_inputs(self, z, *self.input_shape)
        inputs = z[:, :, None, None]
        if self.batch_last and z.device.type == "cpu" and not shared():
            return run_layers(self.layers, inputs, gather=True)
        images: Tensor = self.layers(inputs)
        return images


class Discriminator(nn.Module):
    """x -> logit of d(x), images (batch, channels, rows, columns) in [-1, 1] to shape (batch,); four convolutions.

    Sizes: paper 28 -> 14 -> 7 -> 3 -> 1 (kernel 4, stride 2, padding 1; batch norm on the two in the middle); stable
    28 -> 14 -> 7 -> 4 -> 1, spectral norm on each. LeakyReLU with slope 0.2. For images other than the paper's the
    last kernel is so large that one number comes out.

    Source: the paper, Methods, read as its author's code has it; Miyato et al. 2018 for spectral norm.
    """

    def __init__(self, settings: GanRecipe) -> None:
        super().__init__()
        self.input_shape = settings.image_shape
        channels, rows, columns = settings.image_shape
        f1, f2, f3 = settings.discriminator_filters
        paper = settings.architecture == "paper"
        last = (rows // 8 + 1, columns // 8 + 1) if paper else ((rows // 4 + 1) // 2, (columns // 4 + 1) // 2)
        norms, down = [BatchNorm] if paper else [], partial(nn.Conv2d, bias=not paper)
        self.layers = nn.Sequential(
            *_block(down(channels, f1, 4, 2, 1), nn.LeakyReLU(0.2)),
            *_block(down(f1, f2, 4, 2, 1), nn.LeakyReLU(0.2), *norms),
            *_block(down(f2, f3, 4 if paper else 3, 2, 1), nn.LeakyReLU(0.2), *norms),
            down(f3, 1, last, 2, 1) if paper else down(f3, 1, last),
        )
        self.apply(_normal_weights)
        for layer in self.layers:
            if not paper and isinstance(layer, nn.Conv2d):
                spectral_norm(layer)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, shape (batch,): d = sigmoid(logit) is the probability that an image is real."""
        check_inputs(self, images, *self.input_shape)
        return torch.flatten(self.layers(images))


def _first_kernel_and_crop(side: int, *, paper: bool) -> tuple[int, int, int]:
    """Of a generator, along rows or columns: the first kernel, the smallest from which the further transposed
    convolutions reach a side, and the padding and output padding of the last of these, which crop what is beyond."""
    kernel = ceil((side - 7) / 8 if paper else side / 4)
    beyond = (8 * kernel + 7 if paper else 4 * kernel) - side
    crop = ceil(beyond / 2)
    return kernel, crop if paper else 1 + crop, 2 * crop - beyond


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


def build(settings: GanRecipe, *, seed: int) -> tuple[nn.Module, nn.Module]:
    """Fresh networks on the CPU; their weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if settings.own:
            from trainables.own_models import game

            return game(settings)
        return Generator(settings), Discriminator(settings)


def fresh_generator(settings: GanRecipe) -> nn.Module:
    """A generator alone, whose weights are to be loaded."""
    return build(settings, seed=0)[0]


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Loss that the discriminator minimises, whatever the generator's: -E[log d(x)] - E[log(1 - d(g(z)))].

    From logits of real and of generated images, each of shape (batch,), to a scalar, the sum of two means over the
    batch.

    Source: the paper, equation 3.
    """
    return functional.softplus(-real_logits).mean() + functional.softplus(fake_logits).mean()


def r1_penalty(discriminator: nn.Module, images: Tensor) -> Tensor:
    """Squared norm of the logit's gradient in real images, mean over them; to be added to the discriminator's loss.

    From images of shape (batch, channels, rows, columns) to a scalar that can be differentiated once more. Batch
    norm's mean and variance count as constants: else a logit would depend on every image, and this would be no mean
    over images.

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
