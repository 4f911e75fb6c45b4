"""Which GAN is trained and how; loads no torch."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

VERSION = 1
"""Raised whenever training a GAN gives another result: older records do not count then."""
Loss = Literal["minimax", "non_saturating"]
Widths = tuple[PositiveInt, PositiveInt, PositiveInt]
Decay = Annotated[float, Field(ge=0, lt=1)]


class GanRecipe(BaseModel):
    """The networks of a GAN and how they are trained, whichever loss the generator minimises."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: Literal["paper", "stable"] = "paper"
    """paper: the author's geometry, with batch norm. stable: kernels that the stride divides, spectral norm in the
    discriminator and group norm in the generator, so that no image of a batch depends on another."""
    generator_filters: Widths = (128, 64, 32)
    """Channels between the generator's four convolutions; the author's are 512, 256, 128, seven times the work."""
    discriminator_filters: Widths = (16, 32, 64)
    """Channels between the discriminator's four convolutions; the author's are 32, 64, 128."""
    latent_dim: int = Field(default=64, ge=1)
    """Size of the random vector that an image is made from."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """Step size of both networks' Adam; of the first step, where it is annealed."""
    beta1: Decay = 0.1
    """Decay of both Adams' first moment."""
    batch_size: int = Field(default=64, ge=2)
    """Images of a step, over all workers; what is left over at an epoch's end is left out."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """Whether the step size stays or goes down to zero along half a cosine."""
    r1_penalty: float = Field(default=0.2, ge=0)
    """Weight of the penalty on the discriminator's gradient in real images, which keeps it from outgrowing the
    generator; 0 for none, as the paper has it."""
    ema_decay: float | None = Field(default=0.995, gt=0, lt=1)
    """Decay of the moving average of the generator's weights, which is the generator that is scored; None scores the
    weights themselves."""
    epochs: int = Field(default=24, ge=1)
    """Passes over the training images."""


class GanSettings(GanRecipe):
    """Everything that decides a GAN's training but its images and its seed."""

    loss: Loss
    """What the generator minimises."""
