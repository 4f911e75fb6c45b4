"""What the stages gan, gan_search and gan_inception are told."""

from collections.abc import Iterable, Iterator
from math import gcd
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from orchestrator.engine.settings import (
    Aside,
    Found,
    LocalPath,
    RunSettings,
    Scale,
    Section,
    UserError,
    changed,
    section,
)
from orchestrator.stages.gan.recipes import PAPER, Arm, Recipe, Tuned
from orchestrator.stages.own import recipe_of
from orchestrator.stages.sections import Data, Distinct, Own
from trainables.gan_settings import Decay, Loss

MOST_WORKERS = 8
"""Workers that share a training, at most, where their number is not set."""


class GanSearch(Section):
    """Each GAN tuned by itself on the Frechet distance from validation images, before it is trained."""

    on: Annotated[bool, Aside()] = False
    """Whether to do so; the arm tuned then has what the best trial had for learning_rate, beta1, batch_size and
    r1_penalty."""
    trials: Annotated[int, Field(ge=2), Scale("trials of each GAN")] = 12
    """Settings to try for each loss, the first half of them at random."""
    epochs: Annotated[int, Field(ge=1), Scale("epochs a trial of a GAN")] = 5
    """Epochs of each trial."""
    learning_rate: tuple[PositiveFloat, PositiveFloat] = (1e-4, 1e-2)
    """Range of the step size, searched on a logarithmic scale."""
    beta1: tuple[Decay, Decay] = (0.0, 0.9)
    """Range of the decay of both Adams' first moment."""
    batch_sizes: Distinct[PositiveInt] = (32, 64, 128, 256)
    """Batch sizes to choose from."""
    r1_penalties: Distinct[NonNegativeFloat] = (0.0, 0.05, 0.2, 1.0, 5.0)
    """Weights of the discriminator's penalty to choose from."""

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        for name in ("learning_rate", "beta1"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: the range {low} to {high} must be in ascending order")
        return self


class Settings(Section):
    """The two GANs in two arms, from several seeds."""

    model: Annotated[str, Field(exclude_if=lambda model: not model)] = ""
    """A generator and a discriminator of yours in place of these, as package.module:Class (docs/your-own.md)."""
    own: Annotated[Own | None, Found(), Field(exclude_if=lambda own: own is None)] = None
    """That class, once it was found."""
    arms: Annotated[Distinct[Literal["paper", "tuned"]], Scale("arms of the GANs")] = ("paper", "tuned")
    """How they are played: as the paper does, and as they are tuned here."""
    losses: Annotated[Distinct[Loss], Scale("losses of the generator", also=("gan_search",))] = (
        "minimax",
        "non_saturating",
    )
    """Which losses, each a GAN of its own."""
    num_seeds: Annotated[int, Field(ge=1), Scale("seeds of each GAN")] = 5
    """Seeds of each, counted from the run's."""
    paper: Recipe = PAPER
    """The author's recipe, but for smaller networks and fewer epochs."""
    tuned: Tuned = Tuned()
    """What the best of twelve trials of each loss had, by its distance from validation images."""
    num_workers: Annotated[int | None, Aside()] = Field(default=None, ge=1)
    """Workers that share each training, which changes no more than rounding; by default one, or more where there are
    more slots than GANs."""
    inception_weights: Annotated[LocalPath | None, Aside()] = None
    """File with torch-fidelity's weights of Inception-v3, for Frechet distances that compare with published ones."""
    search: GanSearch = GanSearch()

    @model_validator(mode="after")
    def _shares(self) -> Self:
        for name, size in self.batch_sizes():
            if self.num_workers and size % self.num_workers:
                raise ValueError(
                    f"{name}: {size} images cannot be shared evenly by {self.num_workers} workers (num_workers)"
                )
        return self

    @property
    def tunes(self) -> bool:
        """Whether gan_search is done, and for an arm that is played."""
        return self.search.on and self.played != ("paper",)

    @property
    def played(self) -> tuple[Arm, ...]:
        """The arms; one, with a class of the user's own."""
        return ("own",) if self.own else self.arms

    def recipe(self, arm: Arm, loss: Loss) -> Recipe:
        """What a loss's GANs of an arm are trained with, where the tuning is not done anew."""
        if self.own:
            return changed(self.tuned.of(loss), **recipe_of(self.own))
        return self.paper if arm == "paper" else self.tuned.of(loss)

    def at_most(self, num_images: int) -> dict[str, Any]:
        """What is other where no batch is to be of more images than there are: the largest power of two is taken."""
        largest = 2 ** (num_images.bit_length() - 1)
        recipes = {"paper": self.paper, **{f"tuned.{loss}": self.tuned.of(loss) for loss in get_args(Loss)}}
        nested: dict[str, Any] = {"paper": {}, "tuned": {}}
        for name, recipe in recipes.items():
            if recipe.batch_size > num_images:
                first, _, loss = name.partition(".")
                nested[first] |= {loss: {"batch_size": largest}} if loss else {"batch_size": largest}
        sizes = tuple(size for size in self.search.batch_sizes if size <= num_images)
        return nested | {"search": {"batch_sizes": sizes or (largest,)}}

    def most_workers(self, room: int) -> int:
        """How many workers, where there is room for so many, share each training's batches evenly."""
        sizes = [size for _, size in self.batch_sizes()]
        return max(number for number in range(1, min(room, MOST_WORKERS) + 1) if not gcd(*sizes) % number)

    def batch_sizes(self) -> Iterator[tuple[str, int]]:
        """Those of the GANs that are played, with their names."""
        for arm in self.played:
            for loss in self.losses:
                if arm != "paper" and self.tunes:
                    yield from (("search.batch_sizes", size) for size in self.search.batch_sizes)
                else:
                    name = "paper" if arm == "paper" else f"tuned.{loss}"
                    yield f"{name}.batch_size", self.recipe(arm, loss).batch_size


def check_batch_sizes(settings: RunSettings, sizes: Iterable[tuple[str, int]]) -> None:
    """See that no batch is of more images than GANs learn from; UserError with the first that is, by its name."""
    num_images = section(Data, settings).num_learnt
    for name, size in sizes:
        if size > num_images:
            raise UserError(
                f"--gan.{name.replace('_', '-')}: a batch of {size} is above the {num_images} images that GANs "
                "learn from, five sixths of --data.num-train"
            )
