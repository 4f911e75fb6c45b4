"""The recipes that GANs are played by, as settings and as columns, and where they differ from the author's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from orchestrator.engine.settings import Found, Scale, Section
from orchestrator.figures.names import capital, game
from orchestrator.stages.columns import category, integer, parameters, real, text
from trainables.gan_settings import AUTHOR, GanRecipe, GanSettings, Loss
from trainables.images import PAPER_SHAPE, ImageShape
from trainables.own_settings import Own

if TYPE_CHECKING:
    import pandas as pd

Arm = Literal["paper", "tuned", "own"]
NUM_IMAGES = 60_000
"""Training images that the author's GANs learn from."""
SMALLER: dict[str, Any] = {"generator_filters": (128, 64, 32), "discriminator_filters": (16, 32, 64)}
"""Widths of a quarter and a half of the author's, whose own are seven times the work."""
BEST: dict[str, Any] = SMALLER | {"latent_dim": 64, "schedule": "cosine", "ema_decay": 0.995, "epochs": 12}
"""What both tuned recipes have."""
RECIPE = parameters(
    text("architecture", "paper: the author's geometry and batch norm; stable: for steady games; own: the user's"),
    text("generator_filters", "channels between the generator's convolutions"),
    text("discriminator_filters", "channels between the discriminator's convolutions"),
    integer("latent_dim", "size of the random vector that an image is made from"),
    real("learning_rate", "step size of both networks at the start"),
    real("beta1", "decay of both Adams' first moment"),
    real("beta2", "decay of both Adams' second moment"),
    integer("batch_size", "images of a step, over all workers"),
    category("schedule", "whether the step size stays (constant) or falls along half a cosine (cosine)"),
    real("r1_penalty", "weight of the penalty on the discriminator's gradient in real images"),
    integer("num_images", "training images that are learnt from; the others are held out"),
    real("ema_decay", "decay of the generator's moving average, which is scored; missing where there is none"),
)
"""Columns of all that decides a GAN but its loss, its epochs and its seed."""


class Recipe(GanRecipe, Section):
    """How GANs are played."""

    epochs: Annotated[int, Field(ge=1), Scale("epochs a GAN")] = AUTHOR.epochs
    """Passes over the training images."""
    image_shape: Annotated[ImageShape, Found()] = PAPER_SHAPE
    """Channels, rows and columns of an image."""
    own: Annotated[Own, Found()] = None
    """The user's class, where that is the architecture."""


class Tuned(Section):
    """Each loss's best of twelve trials of five epochs, by the distance from held-out images (docs/LOG.md)."""

    minimax: Recipe = Recipe(**BEST, learning_rate=2.4e-3, beta1=0.27, batch_size=64)
    """Recipe of the minimax GAN."""
    non_saturating: Recipe = Recipe(**BEST, learning_rate=2.9e-3, beta1=0.016, batch_size=64)
    """Recipe of the non-saturating GAN."""

    def of(self, loss: Loss) -> Recipe:
        """The recipe of a loss."""
        found: Recipe = getattr(self, loss)
        return found


PAPER = Recipe(**SMALLER, epochs=10)
"""The author's, but for the networks' widths and the epochs."""


def told(gan: GanSettings) -> dict[str, Any]:
    """A GAN's recipe and its loss by the columns' names."""
    values = gan.model_dump(exclude={"epochs", "image_shape", "own"})
    if gan.own:
        values |= {"generator_filters": None, "discriminator_filters": None}
    return {name: "-".join(map(str, it)) if isinstance(it, tuple) else it for name, it in values.items()}


def deviations(gans: pd.DataFrame) -> Iterator[str]:
    """Sentences on what is other than in the author's code, by arm and loss (table gans)."""
    his = told(GanSettings(**AUTHOR.model_dump(), loss="minimax")) | {
        "epochs": AUTHOR.epochs,
        "num_images": NUM_IMAGES,
    }
    del his["loss"]
    for (arm, loss), rows in gans[gans["arm"] != "own"].groupby(["arm", "loss"], observed=True):
        given = rows.iloc[0].notna()
        mine = {name: rows[name].iloc[0] if given[name] else None for name in his}
        other = [
            f"{name.replace('_', ' ')} {_said(mine[name])} (his {_said(his[name])})"
            for name in his
            if mine[name] != his[name]
        ]
        yield f"{capital(game(arm, loss))}, " + (
            f"differs from the author's code in {', '.join(other)}." if other else "is the author's code's."
        )


def _said(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
