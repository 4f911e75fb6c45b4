"""The stages of GANs on made-up images, with a classifier that knows nothing and needs no autoencoder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.engine.book import Book
from orchestrator.engine.records import Trial
from orchestrator.engine.settings import merged
from orchestrator.stages.classify import Classify
from orchestrator.stages.gan import Gan
from orchestrator.stages.gan_inception import Inception
from orchestrator.stages.gan_search import Tuning
from orchestrator.stages.sections import Data
from tests.stages.made_up import book_of, recorded
from trainables import classifier
from trainables.classifier_settings import ClassifierSettings
from trainables.dataset import Dataset

NUM_TRAIN, NUM_TEST = 240, 8
NO_SEARCH = {"search": {"on": False}}


class KnownClassifier(Classify):
    """The classifier that distances are taken with, and no other; it needs no autoencoder."""

    reads = (Data,)

    def needs(self, own: Any) -> tuple[str, ...]:
        return ()

    def made_of(self, context: Any) -> tuple[str, ...]:
        return ()

    def trials(self, context: Any) -> list[Trial[ClassifierSettings]]:
        known = ClassifierSettings(input="raw", num_features=784, architecture="cnn", epochs=1)
        return [Trial("raw-cnn-seed-1", known, seed=1, epochs=1, keep_weights=True)]


def images(seed: int) -> Dataset:
    draw = np.random.default_rng(seed)
    pixels = [draw.integers(0, 256, (number, 28, 28), dtype=np.uint8) for number in (NUM_TRAIN, NUM_TEST)]
    labels = [draw.integers(0, 10, number, dtype=np.uint8) for number in (NUM_TRAIN, NUM_TEST)]
    return Dataset(pixels[0], labels[0], pixels[1], labels[1], "made up")


SMALL = {"generator_filters": (8, 8, 8), "batch_size": 64}


def book(folder: Path, *, recipe: Mapping[str, Any] | None = None, **changes: Any) -> Book:
    """The stages of GANs, on made-up images, with some settings of theirs changed, and some of every recipe."""
    every = SMALL | dict(recipe or {})
    gan = {"paper": every, "tuned": {"minimax": every, "non_saturating": every}, "search": {"trials": 6}}
    stages = (KnownClassifier(), Tuning(), Gan(), Inception())
    data = {"num_train": NUM_TRAIN, "num_test": 20}
    return book_of(folder, images(0), stages=stages, data=data, gan=merged(gan, changes))


def book_with_a_classifier(folder: Path, *, which: int = 0, **changes: Any) -> Book:
    """The same, and in the run folder one of the classifiers that know nothing."""
    found = book(folder, **changes)
    recorded(found, "classify", lambda trial: ([], classifier.build(trial.config, seed=which).state_dict()))
    return found
