"""Settings of a run, validated where they are declared, and the presets laptop, paper and smoke."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Optimizer = Literal["adam", "adamw", "adagrad"]


class Section(BaseModel):
    """Frozen settings that refuse unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Data(Section):
    """How much of FashionMNIST is used; the images themselves are always the real ones."""

    num_train: int = Field(default=60_000, ge=120, le=60_000)
    """Training images, counted from the first; the last sixth of them validates the search."""
    num_test: int = Field(default=10_000, ge=20, le=10_000)
    """Test images, counted from the first."""


class Space(Section):
    """Ranges of the search, both ends included."""

    filters1: tuple[int, int] = (4, 16)
    """Output channels of the first convolution."""
    filters2: tuple[int, int] = (8, 32)
    """Output channels of the second convolution."""
    filters3: tuple[int, int] = (16, 64)
    """Output channels of the third convolution."""
    neurons: tuple[int, int] = (32, 128)
    """Width of the fully connected layer."""
    latent_dim: tuple[int, int] = (2, 14)
    """Size of the latent vector."""
    paper_bound: bool = True
    """Keep the latent size below 15, as the paper does."""
    learning_rate: tuple[float, float] = (1e-4, 1e-2)
    """Step size, searched on a logarithmic scale."""
    optimizer: tuple[Optimizer, ...] = ("adam", "adamw", "adagrad")
    """Optimizers to choose from."""

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        for name in ("filters1", "filters2", "filters3", "neurons", "latent_dim", "learning_rate"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name}: the range {low} to {high} must be positive and in ascending order")
        if self.paper_bound and self.latent_dim[1] >= 15:
            raise ValueError(
                f"latent_dim: {self.latent_dim[1]} is not below 15, the paper's bound; "
                "--search.space.no-paper-bound lifts it"
            )
        if not self.optimizer:
            raise ValueError("optimizer: name at least one")
        return self


class Search(Section):
    """The Optuna search over architectures and optimizers."""

    num_trials: int = Field(default=20, ge=1)
    """Settings to try."""
    epochs: int = Field(default=5, ge=1)
    """Epochs of each trial."""
    max_concurrent_trials: int = Field(default=4, ge=1)
    """Trials at once, at most. Trial n is suggested from the results up to n - max_concurrent_trials, whatever else
    is finished, so that the same seed suggests the same trials on one core and on eight GPUs."""
    num_startup_trials: int = Field(default=10, ge=1)
    """Random trials before TPE takes over (Optuna's default)."""
    scheduler: Literal["none", "asha"] = "none"
    """asha stops weak trials early. Which ones depends on timing, so two runs may then differ."""
    weight_decay: float = Field(default=1e-5, ge=0)
    """L2 penalty of every model, here and in the stages that follow."""
    batch_size: int = Field(default=256, ge=2)
    """Images per step, here and in the stages that follow."""
    space: Space = Space()


class Kfold(Section):
    """Sequential cross-validation."""

    model: Literal["best", "paper_table1"] = "best"
    """Which settings to validate: the search's best or the paper's Table 1."""
    num_folds: int = Field(default=6, ge=2, le=60)
    """Contiguous blocks of the training images."""
    epochs: int = Field(default=20, ge=1)
    """Epochs of each fold."""


class Refit(Section):
    """Final models, trained on all training images."""

    epochs: int = Field(default=20, ge=1)
    """Epochs of each model."""


Share = Annotated[float, Field(ge=0, le=1)]


class Denoise(Section):
    """Noise to be taken away."""

    zeroed: tuple[Share, ...] = (0.1, 0.2, 0.3, 0.4, 0.5)
    """Probabilities of setting a pixel to zero; also the shares of foreground pixels that are zeroed, and what
    matched Gaussian noise is matched to."""
    gaussian: tuple[Share, ...] = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
    """Standard deviations, where the pixels' range is 1."""
    num_resamples: int = Field(default=1000, ge=10)
    """Bootstrap samples of the images, for each interval."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        for name in ("zeroed", "gaussian"):
            if not getattr(self, name):
                raise ValueError(f"{name}: name at least one level")
        return self


class Resources(Section):
    """How trainings share the machine; none of this changes a result on the CPU."""

    slots: int | None = Field(default=None, ge=1)
    """Trainings at once; by default as many as there are cores, or GPU shares where there are GPUs."""
    gpus_per_training: float = Field(default=0.25, gt=0, le=1)
    """Share of a GPU for each training, on machines that have GPUs."""


class Settings(Section):
    """Everything that a run is told."""

    preset: Literal["laptop", "paper", "smoke"] = "laptop"
    """Scale: laptop (a first look, minutes), paper (full scale), smoke (tests)."""
    name: str = ""
    """Name of the run and of its folder; by default the preset's."""
    runs_dir: str = "runs"
    """Where run folders live: a local folder or an s3:// address."""
    config: Path | None = None
    """YAML file of settings; flags on the command line win over it."""
    data_dir: Path | None = None
    """Folder with the four FashionMNIST files; by default they are found or fetched."""
    address: str = "auto"
    """Ray cluster: auto (a running one, or one of our own), local (always our own), host:port or ray://host:port."""
    force: tuple[str, ...] = ()
    """Stages to redo although they are done."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    """Decides every random number of the run."""
    data: Data = Data()
    search: Search = Search()
    kfold: Kfold = Kfold()
    refit: Refit = Refit()
    denoise: Denoise = Denoise()
    resources: Resources = Resources()

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        if name and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name):
            raise ValueError(
                f"{name!r} is not a run name: letters, digits, '.', '_' and '-' only, not starting with '.' or '-'"
            )
        return name

    @field_validator("runs_dir")
    @classmethod
    def _runs_dir(cls, runs_dir: str) -> str:
        if not runs_dir.strip() or runs_dir.rstrip("/").endswith(":"):
            raise ValueError(f"{runs_dir!r} is neither a folder nor an address like s3://bucket/prefix")
        return runs_dir

    @property
    def run_name(self) -> str:
        """Name of the run folder."""
        return self.name or self.preset


def paper() -> Settings:
    """The paper's own scale."""
    return Settings(preset="paper")


def laptop() -> Settings:
    """Every experiment on all images, with fewer trials and epochs: minutes on two cores."""
    full = paper()
    return full.model_copy(
        update={
            "preset": "laptop",
            "search": full.search.model_copy(update={"num_trials": 8, "epochs": 2, "num_startup_trials": 4}),
            "kfold": full.kfold.model_copy(update={"epochs": 3}),
            "refit": full.refit.model_copy(update={"epochs": 4}),
        }
    )


def smoke() -> Settings:
    """Every stage on a slice of the real images, for tests: under two minutes on two cores."""
    full = paper()
    return full.model_copy(
        update={
            "preset": "smoke",
            "data": Data(num_train=3_000, num_test=500),
            "search": full.search.model_copy(update={"num_trials": 6, "epochs": 2, "num_startup_trials": 2}),
            "kfold": full.kfold.model_copy(update={"epochs": 2}),
            "refit": full.refit.model_copy(update={"epochs": 2}),
        }
    )


PRESETS = {"laptop": laptop, "paper": paper, "smoke": smoke}


class UserError(Exception):
    """The user's input is at fault; the message is one line that says what and how to mend it."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))
