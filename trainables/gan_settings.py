"""Which GAN is trained and how; loads no torch."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from trainables.images import PAPER_SHAPE, ImageShape
from trainables.own_settings import Own

VERSION = 2
"""Raised whenever training a GAN gives another result: older records do not count then."""
Loss = Literal["minimax", "non_saturating"]
Widths = tuple[PositiveInt, PositiveInt, PositiveInt]
Decay = Annotated[float, Field(ge=0, lt=1)]


class GanRecipe(BaseModel):
    """The networks of a GAN and how they are trained, whichever loss the generator minimises.

    Defaults are the author's, as his code has them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    architecture: Literal["paper", "stable", "own"] = "paper"
    """paper: the author's geometry, with batch norm. stable: kernels that the stride divides, spectral norm in the
    discriminator and group norm in the generator, so that no image of a batch depends on another. own: the user's."""
    generator_filters: Widths = (512, 256, 128)
    """Channels between the generator's four convolutions."""
    discriminator_filters: Widths = (32, 64, 128)
    """Channels between the discriminator's four convolutions."""
    latent_dim: int = Field(default=100, ge=1)
    """Size of the random vector that an image is made from."""
    learning_rate: float = Field(default=1e-4, gt=0)
    """Step size of both networks' Adam; of the first step, where it is annealed."""
    beta1: Decay = 0.9
    """Decay of both Adams' first moment."""
    beta2: Decay = 0.999
    """Decay of both Adams' second moment."""
    batch_size: int = Field(default=256, ge=2)
    """Images of a step, over all workers; what is left over at an epoch's end is left out."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Whether the step size stays or goes down to zero along half a cosine."""
    r1_penalty: float = Field(default=0.0, ge=0)
    """Weight of the penalty on the discriminator's gradient in real images, which keeps it from outgrowing the
    generator; 0 for none."""
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    """Decay of the moving average of the generator's weights, which is the generator that is scored; None scores the
    weights themselves."""
    epochs: int = Field(default=30, ge=1)
    """Passes over the training images."""
    image_shape: ImageShape = PAPER_SHAPE
    """Channels, rows and columns of an image."""
    own: Own = None
    """The user's class, where that is the architecture."""


AUTHOR = GanRecipe()
"""What the author's code trains."""


class GanSettings(GanRecipe):
    """Everything that decides a GAN's training but its images and its seed."""

    loss: Loss
    """What the generator minimises."""
