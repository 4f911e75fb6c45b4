"""The study on one page: its experiments in the paper's order, and what a run of all of them is told.

A package of yours adds an experiment by an entry point (docs/extending.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from orchestrator.engine.settings import LocalPath, RunSettings, UserError, changed, first_mistake
from orchestrator.engine.stage import Stage
from orchestrator.engine.suite import Suite
from orchestrator.stages.architectures import pace
from orchestrator.stages.capacity import Capacity
from orchestrator.stages.classify import Classify
from orchestrator.stages.denoise import Denoise
from orchestrator.stages.embed import Embed
from orchestrator.stages.gan import Gan
from orchestrator.stages.gan_inception import Inception
from orchestrator.stages.gan_search import Tuning
from orchestrator.stages.kfold import Kfold
from orchestrator.stages.own import modules_of, own_class, own_classifier, own_game
from orchestrator.stages.refit import Refit
from orchestrator.stages.search import Search
from orchestrator.stages.sections import MOST_TEST, MOST_TRAIN, Autoencoders, Data, Images
from orchestrator.stages.studies import Studies
from trainables.images import shape_of

if TYPE_CHECKING:
    from orchestrator.engine.manifest import Manifest
    from orchestrator.engine.results import Run
    from trainables.dataset import Dataset

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
    """Folder with the files of the published images that are used; by default they are found or fetched."""
    model: str = ""
    """An autoencoder of yours in place of the paper's, as package.module:Class (docs/your-own.md)."""
    data: Data = Data()
    autoencoder: Autoencoders = Autoencoders()


@cache
def suite() -> Suite:
    """The paper's experiments, and those that installed packages add."""
    return Suite(
        (*STAGES, *_added()),
        PaperSettings,
        PRESETS,
        full="paper",
        data_checksum=_data_checksum,
        load_data=_load_data,
        epilogue=_report,
        summary=_summary,
        modules=MODULES,
        further_modules=_own_modules,
        complete=_complete,
        pace=pace,
        publish="make publish RUN=",
        apart=_apart,
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

    data = settings.data
    return f"{data.found.checksum if data.found else CHECKSUM}-{data.num_train}-{data.num_test}"


def _load_data(settings: PaperSettings) -> Any:
    images, found = _all_images(settings), settings.data.found
    if found and images.checksum != found.checksum:
        raise UserError(f"--data.source {settings.data.source}: the images changed while they were read")
    return settings.data.selected(images)


def _all_images(settings: PaperSettings) -> Dataset:
    from trainables.dataset import DataError
    from trainables.sources.find import load_source

    try:
        return load_source(settings.data.source, settings.data_dir, test_share=settings.data.test_share)
    except DataError as error:
        raise UserError(str(error)) from None


def _complete(settings: Any) -> Any:
    """The settings, saying what the images are, and the model, where they are not the paper's."""
    settings = _with_images(settings)
    data, model, classifier, game = settings.data, settings.model, settings.classify.model, settings.gan.model
    found = {
        "autoencoder": own_class(model, image_shape=data.shape) if model else None,
        "classify": own_classifier(classifier, 3, data.shape, len(data.class_names) or 2) if classifier else None,
        "gan": own_game(game, data.shape) if game else None,
    }
    return _with(settings, **{name: {"own": own and own.model_dump()} for name, own in found.items()})


def _with_images(settings: Any) -> Any:
    if settings.data.is_papers:
        return changed(settings, data={"found": None})
    images = _all_images(settings)
    numbers = {"num_train": len(images.train_images), "num_test": len(images.test_images)}
    found = Images(
        name=images.name,
        checksum=images.checksum,
        shape=shape_of(images.train_images),
        class_names=images.class_names,
        **numbers,
    )
    at_most = {name: min(number, getattr(settings.data, name)) for name, number in numbers.items()}
    gan = settings.gan.at_most(at_most["num_train"] * 5 // 6)
    return _with(settings, data={"found": found.model_dump(), **at_most}, gan=gan)


def _with(settings: Any, **other: Any) -> Any:
    """Settings with what follows from the images, or from the user's classes; UserError where others do not suit."""
    try:
        return changed(settings, **other)
    except ValidationError as error:
        raise UserError(first_mistake(error)) from None


def _own_modules(settings: Any) -> Iterable[str]:
    """Those of the user's own classes."""
    sections = (getattr(settings, name, None) for name in ("autoencoder", "classify", "gan"))
    return {module for section in sections if section and section.own for module in modules_of(section.own)}


def _apart(settings: Any) -> Mapping[str, Any]:
    """Which images are used, and that there are no more, and which classes of the user's own."""
    data, own = settings.data, {"model", "own"}
    apart: dict[str, Any] = {"model": settings.model, "autoencoder": settings.autoencoder.model_dump(include=own)}
    there = (name for name in ("classify", "gan") if hasattr(settings, name))
    apart |= {name: getattr(settings, name).model_dump(include=own) for name in there}
    if data.found:
        most = {"num_train": min(MOST_TRAIN, data.found.num_train), "num_test": min(MOST_TEST, data.found.num_test)}
        apart["data"] = data.model_dump() | most
    return apart


def _summary(run: Run) -> Iterable[str]:
    from orchestrator.report.summary import lines

    return lines(run)


def _report(suite: Suite, run: Run, manifest: Manifest, mixture: Sequence[str]) -> Mapping[str, bytes]:
    from orchestrator.report import report

    return report(suite, run, manifest, mixture)
