"""Settings that several experiments read, and the kinds of values that they share."""

import math
from dataclasses import replace
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from orchestrator.engine.settings import Found, RunSettings, Scale, Section, section
from trainables.fashion_mnist import CLASS_NAMES
from trainables.images import PAPER_SHAPE, Shape

T = TypeVar("T")


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    if not values or len(set(values)) < len(values):
        raise ValueError(f"name at least one, and none twice (got {', '.join(map(str, values)) or 'none'})")
    return values


Distinct = Annotated[tuple[T, ...], AfterValidator(_distinct)]
"""Some values, none of them twice."""
Share = Annotated[float, Field(ge=0, le=1)]


FASHION_MNIST = "fashion_mnist"
"""The paper's images."""
MOST_TRAIN, MOST_TEST = 60_000, 10_000
"""How many of these there are."""


class Images(Section):
    """What the images of another source turned out to be."""

    name: str
    """What people call them."""
    checksum: str
    """Identifies them."""
    shape: tuple[int, int, int]
    """Of each: channels, rows, columns."""
    class_names: tuple[str, ...]
    """In the order of their labels; empty where they have none."""
    num_train: int
    num_test: int


class Data(Section):
    """Which images are used, and how many of them."""

    source: Annotated[str, Field(exclude_if=lambda source: source == FASHION_MNIST)] = FASHION_MNIST
    """fashion_mnist, mnist, kmnist, qmnist, emnist_balanced, emnist_letters, cifar10, svhn, or images of yours: an
    .npz or .parquet file, a folder of images, a folder with a folder for each class (docs/your-own.md)."""
    test_share: Annotated[float, Field(gt=0, lt=1, exclude_if=lambda share: share == 1 / 7)] = 1 / 7
    """Share of images of yours that are tested on, where these do not say which."""
    num_train: Annotated[int, Field(ge=120), Scale("training images")] = MOST_TRAIN
    """Training images, at most, counted from the first; the last sixth of them validates the search."""
    num_test: Annotated[int, Field(ge=20), Scale("test images")] = MOST_TEST
    """Test images, at most, counted from the first."""
    found: Annotated[Images | None, Found(), Field(exclude_if=lambda found: found is None)] = None
    """What the images are; None for the paper's."""

    @field_validator("num_train", "num_test")
    @classmethod
    def _there_are_so_many(cls, number: int, info: ValidationInfo) -> int:
        most = {"num_train": MOST_TRAIN, "num_test": MOST_TEST}[str(info.field_name)]
        if info.data.get("source") == FASHION_MNIST and number > most:
            raise ValueError(f"there are {most} such images of FashionMNIST (got {number})")
        return number

    @property
    def num_learnt(self) -> int:
        """Training images that the search and the GANs learn from, all but the last sixth (splits.hold_out_last)."""
        return self.num_train * 5 // 6

    @property
    def is_papers(self) -> bool:
        """Whether these are the images of the paper, so that what others say of them may stand beside."""
        return self.source == FASHION_MNIST

    @property
    def shape(self) -> Shape:
        """Of each image: channels, rows, columns."""
        return self.found.shape if self.found else PAPER_SHAPE

    @property
    def num_values(self) -> int:
        """Numbers that an image has."""
        return math.prod(self.shape)

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of the labels; empty where there are none."""
        return self.found.class_names if self.found else CLASS_NAMES

    @property
    def name(self) -> str:
        """What people call these images."""
        return self.found.name if self.found else "FashionMNIST"

    def selected(self, images: Any) -> Any:
        """These images of a trainables.dataset.Dataset."""
        numbers = {"train": self.num_train, "test": self.num_test}
        parts = {f"{part}_{what}": number for part, number in numbers.items() for what in ("images", "labels")}
        some = {name: getattr(images, name) for name in parts}
        return replace(images, **{name: it if it is None else it[: parts[name]] for name, it in some.items()})


def needs_labels(settings: RunSettings) -> str:
    """Why a stage that needs labels is not among those of a run; empty where it is."""
    return "" if section(Data, settings).class_names else "it needs labels, and these images have none"


class Own(Section):
    """A class of the user's own."""

    model: str
    """As package.module:Class."""
    code: str
    """Hash of the code of its module, or package, and of what these import from beside them."""
    parameters: dict[str, Any] = Field(default={}, exclude_if=lambda parameters: not parameters)
    """Its settings, of a classifier or a GAN, as plain values by name."""


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
    own: Annotated[Own | None, Found(), Field(exclude_if=lambda own: own is None)] = None
    """The model that --model names; None for the paper's."""
