"""Settings that several experiments read, and the kinds of values that they share."""

from dataclasses import replace
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field

from orchestrator.engine.settings import Scale, Section

T = TypeVar("T")


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    if not values or len(set(values)) < len(values):
        raise ValueError(f"name at least one, and none twice (got {', '.join(map(str, values)) or 'none'})")
    return values


Distinct = Annotated[tuple[T, ...], AfterValidator(_distinct)]
"""Some values, none of them twice."""
Share = Annotated[float, Field(ge=0, le=1)]


class Data(Section):
    """How much of FashionMNIST is used; the images themselves are always the real ones."""

    num_train: Annotated[int, Field(ge=120, le=60_000), Scale("training images")] = 60_000
    """Training images, counted from the first; the last sixth of them validates the search."""
    num_test: Annotated[int, Field(ge=20, le=10_000), Scale("test images")] = 10_000
    """Test images, counted from the first."""

    def selected(self, images: Any) -> Any:
        """These images of a trainables.dataset.Dataset."""
        return replace(
            images,
            train_images=images.train_images[: self.num_train],
            train_labels=images.train_labels[: self.num_train],
            test_images=images.test_images[: self.num_test],
            test_labels=images.test_labels[: self.num_test],
        )


class FinalModels(Section):
    """Final models, trained on all training images (the stage refit)."""

    epochs: Annotated[int, Field(ge=1), Scale("epochs a final model")] = 20
    """Epochs of each model."""
    num_seeds: Annotated[int, Field(ge=1), Scale("seeds of each final model")] = 3
    """Seeds that each model is trained from, counted from the run's."""

    def seeds(self, run_seed: int) -> range:
        """The seeds that each model is trained from."""
        return range(run_seed, run_seed + self.num_seeds)


class Autoencoders(Section):
    """What all autoencoders are trained with, where their experiment does not say otherwise."""

    weight_decay: float = Field(default=1e-5, ge=0)
    """L2 penalty."""
    batch_size: int = Field(default=256, ge=2)
    """Images per step, of classifiers too; capacity and gan have their own."""
