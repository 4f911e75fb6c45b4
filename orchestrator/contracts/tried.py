"""An experiment of the user's own among the others, on real images."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.command_line import parse
from orchestrator.engine.book import Book
from orchestrator.engine.results import Run
from orchestrator.engine.settings import RunSettings, changed
from orchestrator.engine.stage import Stage
from orchestrator.engine.suite import Suite
from orchestrator.paper import suite
from trainables.dataset import Dataset

AnyStage = Stage[Any, Any]
NUM_TRAIN, NUM_TEST = 600, 100


@cache
def digits() -> Dataset:
    """Real images of the shape and classes that FashionMNIST's have."""
    from sklearn.datasets import load_digits

    found = load_digits()
    enlarged = np.kron(found.images / 16 * 255, np.ones((1, 3, 3))).round().astype(np.uint8)
    images, labels = np.pad(enlarged, ((0, 0), (2, 2), (2, 2))), found.target.astype(np.uint8)
    train, test = slice(0, NUM_TRAIN), slice(NUM_TRAIN, NUM_TRAIN + NUM_TEST)
    return Dataset(images[train], labels[train], images[test], labels[test], "digits")


@dataclass(frozen=True)
class Tried:
    """A stage among the others, with settings that bring it in."""

    stage: AnyStage
    suite: Suite
    settings: RunSettings

    @property
    def name(self) -> str:
        """The stage's."""
        return self.stage.name

    def book(self, folder: Path, **changes: Any) -> Book:
        """Its trials and records in a run folder, with some settings changed."""
        return Book(self.suite, changed(self.settings, **changes), Run(folder), set_aside=True)


def tried_anew(kind: type[AnyStage]) -> Tried:
    """A stage of this class that nobody has asked anything."""
    stage = kind()
    others = suite().stages
    stages = tuple(stage if type(it) is kind else it for it in others)  # it is installed, or comes last
    stages = stages if stage in stages else (*others, stage)
    among = replace(suite(), stages=stages, load_data=lambda settings: digits())
    settings = brought_in(among, stage, "smoke")
    return Tried(stage, among, changed(settings, data={"num_train": NUM_TRAIN, "num_test": NUM_TEST}))


def brought_in(among: Suite, stage: AnyStage, preset: str) -> RunSettings:
    """A preset with which the stage is wanted, by its flag where it has one."""
    settings = among.preset(preset)
    if not stage.absent(settings):
        return settings
    return parse(["--preset", preset, *stage.flag.split()], among)[0]
