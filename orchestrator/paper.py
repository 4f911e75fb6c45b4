"""The study on one page: its experiments in the paper's order, and what a run of all of them is told.

A package of yours adds an experiment by an entry point (docs/extending.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.engine.settings import LocalPath, RunSettings, UserError
from orchestrator.engine.stage import Stage
from orchestrator.engine.suite import Suite
from orchestrator.stages.capacity import Capacity
from orchestrator.stages.classify import Classify
from orchestrator.stages.denoise import Denoise
from orchestrator.stages.embed import Embed
from orchestrator.stages.gan import Gan
from orchestrator.stages.gan_inception import Inception
from orchestrator.stages.gan_search import Tuning
from orchestrator.stages.kfold import Kfold
from orchestrator.stages.refit import Refit
from orchestrator.stages.search import Search
from orchestrator.stages.sections import Autoencoders, Data
from orchestrator.stages.studies import Studies

if TYPE_CHECKING:
    from orchestrator.engine.manifest import Manifest
    from orchestrator.engine.results import Run

STAGES: tuple[Stage[Any, Any], ...] = (
    Search(),  # Optuna's search over architectures and optimizers
    Studies(),  # the search repeated, where asked for
    Kfold(),  # six sequential folds
    Refit(),  # final models on all images
    Denoise(),  # how much noise they take away
    Capacity(),  # what the latent size is worth, beside PCA; ablations
    Classify(),  # classifiers of latent vectors and of raw images
    Embed(),  # the plane, beside PCA and t-SNE
    Tuning(),  # the GANs tuned on one number, where asked for
    Gan(),  # minimax and non-saturating
    Inception(),  # their distances in Inception's features, where asked for
)
PRESETS: dict[str, dict[str, Any]] = {
    "laptop": {},
    "paper": {},
    "smoke": {"data": {"num_train": 3_000, "num_test": 500}},
}
"""What is other than the paper's beside what the stages say themselves; the first is what a bare command runs."""


MODULES = ("orchestrator.stages", "trainables")
"""Whose code decides results."""


class PaperSettings(RunSettings):
    """What every run of the paper is told beside its stages' settings."""

    preset: Literal["laptop", "paper", "smoke"] = "laptop"
    """Scale: laptop (a first look, minutes), paper (full scale), smoke (tests)."""
    data_dir: LocalPath | None = None
    """Folder with the four FashionMNIST files; by default they are found or fetched."""
    data: Data = Data()
    autoencoder: Autoencoders = Autoencoders()


@cache
def suite() -> Suite:
    """The paper's experiments, and those that installed packages add."""
    return Suite(
        (*STAGES, *_added()), PaperSettings, PRESETS, "paper", _data_checksum, _load_data, _report, _summary, MODULES
    )


def _added() -> list[Stage[Any, Any]]:
    """Stages of other packages; UserError where one cannot be imported, or is no stage."""
    added: list[Stage[Any, Any]] = []
    for entry in entry_points(group="orchestrator.stages"):
        try:
            stage = entry.load()()
        except Exception as error:
            raise UserError(f"the stage {entry.name} ({entry.value}) cannot be loaded: {error!r}") from None
        if not isinstance(stage, Stage) or stage.name in {other.name for other in (*STAGES, *added)}:
            raise UserError(f"the stage {entry.name} ({entry.value}) is none, or is called like another")
        added.append(stage)
    return added


def _data_checksum(settings: PaperSettings) -> str:
    from trainables.fashion_mnist import CHECKSUM

    return f"{CHECKSUM}-{settings.data.num_train}-{settings.data.num_test}"


def _load_data(settings: PaperSettings) -> Any:
    from trainables.dataset import DataError
    from trainables.fashion_mnist import load

    try:
        return settings.data.selected(load(settings.data_dir))
    except DataError as error:
        raise UserError(str(error)) from None


def _summary(run: Run) -> Iterable[str]:
    from orchestrator.report.summary import lines

    return lines(run)


def _report(suite: Suite, run: Run, manifest: Manifest, mixture: Sequence[str]) -> Mapping[str, bytes]:
    from orchestrator.report import report

    return report(suite, run, manifest, mixture)
