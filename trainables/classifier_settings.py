"""What is classified, by what, and how that is trained; loads no torch."""

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trainables.images import PAPER_SHAPE, ImageShape
from trainables.own_settings import Own

VERSION = 2
"""Raised whenever training a classifier gives another result: older records do not count then."""
NUM_CLASSES = 10
"""Of the paper's images."""
Input = Literal["latent", "raw"]
Architecture = Literal["cnn", "mlp", "linear", "own"]


class ClassifierSettings(BaseModel):
    """What is classified, by what, and how that is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Input
    """Latent vectors, or images."""
    num_features: int = Field(ge=1)
    """How many numbers an input has: the latent size, or an image's pixels in all channels, the paper's 784."""
    architecture: Architecture
    """cnn: two convolutions (of one dimension along a latent vector, of two on an image) and two linear layers.
    mlp: the author's, with layers of 20, 120 and 100. linear: a linear probe. own: a class of the user's."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Step size; of the first step, where it is annealed."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """How the step size goes on: as it is, or down to zero at the last step along half a cosine."""
    weight_decay: float = Field(default=1e-5, ge=0)
    """L2 penalty, added to the gradient."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Share of hidden activations that are left out in training."""
    batch_size: int = Field(default=256, ge=2)
    """Inputs per step."""
    epochs: int = Field(default=50, ge=1)
    """Passes over the training inputs."""
    image_shape: ImageShape = PAPER_SHAPE
    """Channels, rows and columns of an image; of no account for latent vectors."""
    num_classes: int = Field(default=NUM_CLASSES, ge=2, le=256, exclude_if=lambda number: number == NUM_CLASSES)
    """How many classes there are."""

    own: Own = None
    """The user's class, where that is the architecture."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of an input: an image's, or the latent vector's."""
        return self.image_shape if self.input == "raw" else (self.num_features,)

    @model_validator(mode="after")
    def _of_an_image(self) -> "ClassifierSettings":
        if self.input == "raw" and self.num_features != math.prod(self.image_shape):
            raise ValueError(
                f"num_features {self.num_features} are not the numbers of an image of shape {self.image_shape}"
            )
        return self
