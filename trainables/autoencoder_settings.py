"""Sizes and training of autoencoders, and the paper's Table 1 among them; loads no torch."""

import math
from itertools import pairwise
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from trainables.images import PAPER_SHAPE, ImageShape, Shape, Size

VERSION = 2
"""Raised whenever training an autoencoder, linear or not, gives another result: older records do not count then."""


def convolved_sizes(shape: Shape) -> tuple[Size, Size, Size]:
    """Rows and columns of an image of this shape after each of an autoencoder's convolutions, whatever their kernel.

    The first two halve a side, rounded up; the third, padded by one less, gives half of one less: 28 -> 14 -> 7 -> 3.
    """
    _, rows, columns = shape
    first, second = ((-(-rows // parts), -(-columns // parts)) for parts in (2, 4))
    return first, second, ((second[0] - 1) // 2, (second[1] - 1) // 2)


class AutoencoderTraining(BaseModel):
    """How an autoencoder is trained, and on images of which shape."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_shape: ImageShape = PAPER_SHAPE
    """Channels, rows and columns of an image."""
    optimizer: Literal["adam", "adamw", "adagrad"] = "adamw"
    """Optimizer, by Optuna's and the paper's name for it."""
    learning_rate: float = Field(default=5e-4, gt=0)
    """Step size; of the first step, where it is annealed."""
    schedule: Literal["constant", "cosine"] = "constant"
    """How the step size goes on: as it is, or down to zero at the last step along half a cosine."""
    loss: Literal["mse", "cross_entropy"] = "mse"
    """What the gradient is of: equation 1, or the cross-entropy of pixels as shares of white, whose gradient does not
    vanish where the last sigmoid is near 0 or 1."""
    weight_decay: float = Field(default=1e-5, ge=0)
    """L2 penalty on the loss for adam and adagrad. For adamw it is decoupled: each step multiplies the weights by
    1 - learning_rate * weight_decay. Where that product is under 3e-8 this is 1 in float32, and nothing decays."""
    batch_size: int = Field(default=256, ge=2)
    """Images per step; the last batch of an epoch may be smaller."""
    epochs: int = Field(default=20, ge=1)
    """Passes over the training images."""
    noise: Literal["none", "zeroed", "gaussian", "gaussian_unclipped"] = "none"
    """What the training images are corrupted with: pixels set to zero, or Gaussian noise, clipped to [0, 1] or not.
    The level of each image is drawn anew each epoch, evenly from 0 to `max_noise`; the target is the clean image."""
    max_noise: float = Field(default=0.5, ge=0, le=1)
    """Highest probability of zeroing a pixel, or highest standard deviation."""


class OwnAutoencoder(AutoencoderTraining):
    """An autoencoder of the user's own (`trainables.own_models`) and how it is trained."""

    model: str
    """Its class, as package.module:Class."""
    code: str
    """Hash of its module's code: another one, another model."""
    parameters: dict[str, Any]
    """Its settings, as plain values by name."""
    params: dict[str, Any]
    """What of them Optuna suggested, by the names that it was asked for."""
    latent_dim: int = Field(ge=1)
    """Size of the latent vector."""
    num_parameters: int = Field(ge=1)
    """Trainable numbers of the model."""


class AutoencoderSettings(AutoencoderTraining):
    """Sizes of the paper's model and how it is trained."""

    filters: tuple[PositiveInt, PositiveInt, PositiveInt]
    """Output channels of the three convolutions; the decoder mirrors them."""
    neurons: int = Field(ge=1)
    """Width of the fully connected layer on either side of the latent vector."""
    latent_dim: int = Field(ge=1)
    """Size of the latent vector."""
    kernel_size: Literal[3, 5] = 3
    """Kernel of every convolution; the padding follows, so that sizes do not hang on it: 28-14-7-3."""
    batch_norm: bool = True
    """Batch norm after each inner convolution's ReLU."""
    relu: bool = True
    """ReLU after each inner layer; without it and batch norm only the last sigmoid is not linear."""

    @property
    def encoded_shape(self) -> Shape:
        """Channels, rows and columns after the third convolution."""
        return self.filters[-1], *convolved_sizes(self.image_shape)[-1]

    @property
    def _activations(self) -> tuple[int, int, int]:
        a1, a2, a3 = (
            n * math.prod(it) for n, it in zip(self.filters, convolved_sizes(self.image_shape), strict=True)
        )
        return a1, a2, a3

    @property
    def num_multiplications(self) -> int:
        """Multiplications that an image takes on its way through the model."""
        before, activations = (self.image_shape[0], *self.filters[:2]), self._activations
        convolutions = self.kernel_size**2 * sum(n * made for n, made in zip(before, activations, strict=True))
        linear = self.neurons * (activations[-1] + self.latent_dim)
        return 2 * (convolutions + linear)

    @property
    def num_activations(self) -> int:
        """Numbers that the three convolutions make of an image."""
        return sum(self._activations)

    @property
    def num_parameters(self) -> int:
        """Trainable numbers of the model with these sizes."""
        encoded, (f1, f2, f3), colours = math.prod(self.encoded_shape), self.filters, self.image_shape[0]
        widths = pairwise((encoded, self.neurons, self.latent_dim, self.neurons, encoded))
        channels = pairwise((colours, f1, f2, f3, f2, f1, colours))
        linear = sum((before + 1) * after for before, after in widths)
        convolutions = sum((self.kernel_size**2 * before + 1) * after for before, after in channels)
        return linear + convolutions + 4 * (f1 + f2 + f3) * self.batch_norm


class LinearSettings(BaseModel):
    """Size and training of a linear autoencoder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    latent_dim: int = Field(ge=1)
    """Size of the latent vector."""
    learning_rate: float = Field(default=4e-3, gt=0)
    """Step size of the first step; annealed to zero."""
    batch_size: int = Field(default=256, ge=2)
    """Images per step."""
    epochs: int = Field(default=15, ge=1)
    """Passes over the training images."""
    image_shape: ImageShape = PAPER_SHAPE
    """Channels, rows and columns of an image."""

    @property
    def num_parameters(self) -> int:
        """Trainable numbers of the model with these sizes."""
        return 2 * math.prod(self.image_shape) * self.latent_dim


PAPER_TABLE1 = AutoencoderSettings(filters=(7, 10, 16), neurons=32, latent_dim=3)
"""The paper's best architecture. Table 1 names no optimizer and no learning rate: AdamW with 5e-4 is of the author's
published best (best_params.json: .000499). Its weight decay of 1e-5 is none: 1 - 5e-9 is 1 in float32."""
AUTHOR_BEST = AutoencoderSettings(filters=(6, 14, 28), neurons=40, latent_dim=4)
"""The author's published best (best_params.json in his repository), which is not Table 1's."""
WIDE = AutoencoderSettings(
    filters=(8, 32, 64), neurons=128, latent_dim=2, learning_rate=3e-3, schedule="cosine", batch_size=128
)
"""One whose latent vector is what limits it, chosen for what it costs on two cores (docs/LOG.md)."""
