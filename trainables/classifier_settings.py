"""What is classified, by what, and how that is trained; loads no torch."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

VERSION = 2
"""Raised whenever training a classifier gives another result: older records do not count then."""
Input = Literal["latent", "raw"]
Architecture = Literal["cnn", "mlp", "linear"]


class ClassifierSettings(BaseModel):
    """What is classified, by what, and how that is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Input
    """Latent vectors, or images."""
    num_features: int = Field(ge=1)
    """How many numbers an input has: the latent size, or an image's 784 pixels."""
    architecture: Architecture
    """cnn: two convolutions (of one dimension along a latent vector, of two on an image) and two linear layers.
    mlp: the author's, with layers of 20, 120 and 100. linear: a linear probe."""
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
