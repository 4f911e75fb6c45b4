"""Images and models made by hand, so that what a stage should make of them can be reckoned in a line of numpy."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from orchestrator.engine.book import Book
from orchestrator.engine.checkpoint import Rows
from orchestrator.engine.records import Record, Trial
from orchestrator.engine.stage import Model, Stage, Table
from orchestrator.engine.tables import to_arrow
from orchestrator.stages.architectures import refit_key
from orchestrator.stages.refit import Refit, name_of
from tests.stages.made_up import book_of, recorded
from trainables.autoencoder import build
from trainables.autoencoder_settings import AutoencoderSettings
from trainables.dataset import Dataset

SEEN = (4, 4), (12, 12)
"""The pixels, by row and column, that a known model encodes: its two latent numbers, shares of 255, less its bias."""
KNOWN = AutoencoderSettings(filters=(1, 1, 1), neurons=2, latent_dim=2, batch_norm=False, relu=False, epochs=1)


def known_weights(bias: float) -> dict[str, Any]:
    """Of a model with the settings KNOWN that gives sigmoid(bias) for every pixel but the two SEEN: `known_answer`.

    Every kernel is 1 in its middle and 0 elsewhere, so that the nine numbers before the first linear layer are the
    pixels whose row and column are 4, 12 or 20.
    """
    weights = {name: 0 * tensor for name, tensor in build(KNOWN, seed=0).state_dict().items()}
    for name, tensor in weights.items():
        if tensor.ndim == 4:
            tensor[0, 0, 1, 1] = 1
        elif tensor.ndim == 2:
            for number in range(2):
                row, column = (4 * number if size == 9 else number for size in tensor.shape)
                tensor[row, column] = 1
        elif name in {"decoder.0.bias", "decoder.5.bias"}:
            tensor[:] = bias
        elif name == "encoder.5.bias":
            tensor[:] = -bias
    return weights


def known_answer(pixels: NDArray[Any], bias: float) -> NDArray[np.float64]:
    """What such a model makes of pixels of shape (n, 28, 28)."""
    logits = np.full(pixels.shape, bias)
    for row, column in SEEN:
        logits[:, row, column] += pixels[:, row, column]
    return np.asarray(1 / (1 + np.exp(-logits)))


def known_latent(images: NDArray[np.uint8], bias: float) -> NDArray[np.float64]:
    """What it encodes images to."""
    return np.stack([images[:, row, column] / 255 - bias for row, column in SEEN], axis=1)


def at(places: Sequence[tuple[int, int]], background: int = 0) -> NDArray[np.uint8]:
    """Images that are all one grey but for the two SEEN pixels, which have these values."""
    images = np.full((len(places), 28, 28), background, np.uint8)
    for (row, column), values in zip(SEEN, zip(*places, strict=True), strict=True):
        images[:, row, column] = values
    return images


def grey(num_train: int, num_test: int, seed: int = 0) -> Dataset:
    """Images of any grey, a good part of them black, and any classes."""
    draws = np.random.default_rng(seed)

    def some(number: int) -> NDArray[np.uint8]:
        black = draws.random((number, 28, 28)) < draws.uniform(0.2, 0.8, (number, 1, 1))
        bright = draws.integers(1, 256, (number, 28, 28)) * draws.uniform(0.3, 1, (number, 1, 1))
        return np.where(black, 0, bright.clip(1)).astype(np.uint8)

    labels = (draws.integers(0, 10, number, dtype=np.uint8) for number in (num_train, num_test))
    return Dataset(some(num_train), next(labels), some(num_test), next(labels), "made up")


class KnownRefit(Refit):
    """The final models, all of the settings KNOWN; they need no search."""

    biases: ClassVar = {
        "best": 0.5,
        "paper_table1": -1.0,
        "two_dim": 2.0,
        "denoise_zeroed": -2.0,
        "denoise_gaussian": 1.0,
        "denoise_gaussian_unclipped": 1.5,
    }
    """Of each model from the first seed, what tells it from the others."""

    @classmethod
    def bias(cls, name: str, further: int = 0) -> float:
        """Of a model from the first seed, or from a further one."""
        return float(cls.biases[name]) + 0.3 * further

    def needs(self, own: Any) -> tuple[str, ...]:
        return ()

    def trials(self, context: Any) -> list[Trial[AutoencoderSettings]]:  # type: ignore[override]
        seeds = context.own.seeds(context.seed)
        return [Trial(refit_key(it, seed), KNOWN, seed, 1, keep_weights=True) for seed in seeds for it in self.biases]


def last_epochs(**metrics: float) -> Rows:
    """Of a training of a single epoch."""
    return [{"epoch": 1, "seconds": 1.0, **metrics}]


def with_models(folder: Path, images: Dataset, *stages: Stage[Any, Any], **changes: Any) -> Book:
    """These stages after the final models, which are recorded, with the run folder."""
    data = {"num_train": max(120, len(images.train_images)), "num_test": max(20, len(images.test_images))}
    book = book_of(folder, images, stages=(KnownRefit(), *stages), data=data, **changes)
    rows = last_epochs(train_mse=0.5, test_mse=0.25)

    def how(trial: Trial[Any]) -> tuple[Rows, dict[str, Any]]:
        return rows, known_weights(KnownRefit.bias(name_of(trial.key), trial.seed - book.settings.seed))

    recorded(book, "refit", how)
    return book


def given(book: Book, name: str, records: Sequence[Record[Any]] | None = None) -> dict[str, Any]:
    """What a stage makes of its records, or of these: its tables as DataFrames, its models, its files, by name."""
    stage, context = book.stages[name], book.context(name)
    parts: dict[str, Any] = {}
    for part in stage.results(context, context.own_records if records is None else records):
        assert part.name not in parts
        parts[part.name] = frame(stage, part) if isinstance(part, Table) else part
    return parts


def frame(stage: Stage[Any, Any], table: Table) -> pd.DataFrame:
    """A table as it is read."""
    found: pd.DataFrame = to_arrow(stage.schemas[table.name], table.rows, {}).to_pandas()
    return found


def models_of(parts: dict[str, Any]) -> dict[str, Model]:
    """The models among what a stage gave."""
    return {name: part for name, part in parts.items() if isinstance(part, Model)}
