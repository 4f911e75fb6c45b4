"""Settings of a run, validated where they are declared, and the presets laptop, paper and smoke."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, field_validator, model_validator

from trainables.gan_settings import Loss
from trainables.splits import Order

Optimizer = Literal["adam", "adamw", "adagrad"]


def _distinct(name: str, values: tuple[Any, ...]) -> None:
    if not values or len(set(values)) < len(values):
        raise ValueError(f"{name}: name at least one, and none twice (got {', '.join(map(str, values)) or 'none'})")


class Section(BaseModel):
    """Frozen settings that refuse unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def without(self, *names: str) -> Self:
        """The same with these settings as they are by default: for a stage that they do not touch."""
        return self.model_copy(update={name: type(self).model_fields[name].default for name in names})


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
    """L2 penalty of the autoencoders, here and in the stages that follow."""
    batch_size: int = Field(default=256, ge=2)
    """Images per step, here and in the stages that follow but capacity and gan, which have their own."""
    space: Space = Space()


class Kfold(Section):
    """Sequential cross-validation."""

    model: Literal["best", "paper_table1"] = "best"
    """Which settings to validate: the search's best or the paper's Table 1."""
    num_folds: int = Field(default=6, ge=2, le=60)
    """Contiguous blocks of the training images."""
    epochs: int = Field(default=20, ge=1)
    """Epochs of each fold."""
    orders: tuple[Order, ...] = ("sequential", "shuffled", "stratified", "class_sorted")
    """Orders of the images that blocks are cut from: sequential is the paper's, class_sorted its opposite."""
    num_seeds: int = Field(default=4, ge=1)
    """Seeds that the first order's fold 0 is trained with: how much folds would differ by chance alone."""

    @model_validator(mode="after")
    def _orders(self) -> Self:
        _distinct("orders", self.orders)
        return self


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
            _distinct(name, getattr(self, name))
        return self


class Capacity(Section):
    """How well images are reconstructed from latent vectors of many sizes."""

    latent_dims: tuple[PositiveInt, ...] = (1, 2, 5, 10, 14, 32, 64)
    """Latent sizes of the autoencoder."""
    num_seeds: int = Field(default=3, ge=1)
    """Seeds of every training here, counted from the run's, but for the wide models, which have one."""
    epochs: int = Field(default=12, ge=1)
    """Epochs of the autoencoder."""
    filters: tuple[PositiveInt, PositiveInt, PositiveInt] = (8, 32, 64)
    """Output channels of its convolutions: wide enough for the latent vector to be what limits it."""
    neurons: int = Field(default=128, ge=1)
    """Width of its fully connected layer."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """Step size of the first step; annealed to zero."""
    batch_size: int = Field(default=128, ge=2)
    """Images per step."""
    linear_dims: tuple[PositiveInt, ...] = (2, 8)
    """Latent sizes of linear autoencoders, to be held against PCA."""
    linear_epochs: int = Field(default=15, ge=1)
    """Epochs of these; they take a second or two each."""
    wide_dims: tuple[PositiveInt, ...] = (14, 784, 1024)
    """Latent sizes of autoencoders without a narrower layer on the way; from 784 on they are overcomplete."""
    control_epochs: int = Field(default=8, ge=1)
    """Epochs of the wide autoencoders and of the ablations."""
    ablations: bool = True
    """Whether to train the paper's Table 1 without batch norm, without ReLU, with other weight decays and kernels."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        for name in ("latent_dims", "linear_dims", "wide_dims"):
            _distinct(name, getattr(self, name))
            if max(getattr(self, name)) > 1024:
                raise ValueError(f"{name}: {max(getattr(self, name))} is above 1024")
        return self


class Classify(Section):
    """Classifiers of the best model's latent vectors and of raw images."""

    epochs: int = Field(default=50, ge=1)
    """Epochs of each classifier."""
    num_seeds: int = Field(default=2, ge=1)
    """Seeds of each, counted from the run's."""
    num_neighbors: int = Field(default=5, ge=1)
    """k of the k-nearest-neighbours classifier."""
    accuracies: tuple[Share, ...] = (0.7, 0.75, 0.8, 0.82, 0.84, 0.86, 0.88, 0.9)
    """Test accuracies that the time to reach is told of."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        _distinct("accuracies", self.accuracies)
        return self


class Embed(Section):
    """The plane that images are laid out in by an autoencoder, PCA and t-SNE."""

    num_fitted: int = Field(default=20_000, ge=100, le=60_000)
    """Training images that t-SNE is fitted to where test images are to be added as new points."""
    perplexity: float = Field(default=30, gt=1)
    """t-SNE's, about the number of neighbours that count."""
    num_neighbors: int = Field(default=5, ge=1)
    """k of the nearest-neighbours accuracy, and of trustworthiness and continuity."""
    num_measured: int = Field(default=10_000, ge=20, le=10_000)
    """Test images that trustworthiness, continuity and silhouette are measured on; they take all pairs of them."""


Decay = Annotated[float, Field(ge=0, lt=1)]


class Gan(Section):
    """The two games, from several seeds. Sizes and steps are those of trainables.gan_settings."""

    losses: tuple[Loss, ...] = ("minimax", "non_saturating")
    """Which games."""
    num_seeds: int = Field(default=3, ge=1)
    """Seeds of each, counted from the run's."""
    epochs: int = Field(default=24, ge=1)
    """Epochs of each."""
    architecture: Literal["paper", "stable"] = "paper"
    """paper: the author's geometry, with batch norm. stable: kernels that the stride divides, spectral norm."""
    generator_filters: tuple[PositiveInt, PositiveInt, PositiveInt] = (128, 64, 32)
    """Channels between the generator's layers; the author's are 512, 256, 128, seven times the work."""
    discriminator_filters: tuple[PositiveInt, PositiveInt, PositiveInt] = (16, 32, 64)
    """Channels between the discriminator's layers; the author's are 32, 64, 128."""
    latent_dim: int = Field(default=64, ge=1)
    """Size of the random vector."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """Step size of both players."""
    beta1: Decay = 0.1
    """Decay of both Adams' first moment."""
    batch_size: int = Field(default=64, ge=2)
    """Images of a step, over all workers."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """Whether the step size stays or goes down to zero along half a cosine."""
    r1_penalty: float = Field(default=0.2, ge=0)
    """Weight of the penalty on the discriminator's gradient in real images; 0 for none, as the paper has it."""
    ema_decay: float | None = Field(default=0.995, gt=0, lt=1)
    """Of the moving average of the generator's weights, which is scored; None scores the weights themselves."""
    num_workers: int | None = Field(default=None, ge=1)
    """Workers that share each game; by default two on cores, one on GPUs."""
    inception_weights: Path | None = None
    """File with torch-fidelity's weights of Inception-v3, for Frechet distances that compare with published ones."""
    search: bool = False
    """Whether each game is first tuned on the Frechet distance from validation images, and then played with what its
    best trial had for learning_rate, beta1 and batch_size."""
    search_trials: int = Field(default=12, ge=2)
    """Settings to try for each game, the first half of them at random."""
    search_epochs: int = Field(default=5, ge=1)
    """Epochs of each trial."""
    search_learning_rate: tuple[PositiveFloat, PositiveFloat] = (1e-4, 1e-2)
    """Range of the step size, searched on a logarithmic scale."""
    search_beta1: tuple[Decay, Decay] = (0.0, 0.9)
    """Range of the decay of both Adams' first moment."""
    search_batch_sizes: tuple[PositiveInt, ...] = (64, 128, 256)
    """Batch sizes to choose from."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        for name in ("losses", "search_batch_sizes"):
            _distinct(name, getattr(self, name))
        for name in ("search_learning_rate", "search_beta1"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: the range {low} to {high} must be in ascending order")
        for name, sizes in (("batch_size", (self.batch_size,)), ("search_batch_sizes", self.search_batch_sizes)):
            uneven = [size for size in sizes if self.num_workers and size % self.num_workers]
            if uneven and (name == "batch_size" or self.search):
                raise ValueError(f"{name}: {uneven[0]} images cannot be shared evenly by {self.num_workers} workers")
        return self


class Resources(Section):
    """How trainings share the machine; none of this changes a result on the CPU."""

    slots: int | None = Field(default=None, ge=1)
    """Trainings at once; by default as many as there are cores, or GPU shares where there are GPUs."""
    gpus_per_training: float = Field(default=0.25, gt=0, le=1)
    """Share of a GPU for each training, on machines that have GPUs."""
    retries: int = Field(default=2, ge=0)
    """Times that a training is taken up again after its worker or node was lost."""
    stuck_minutes: float = Field(default=30, gt=0)
    """After which a worker that finished no epoch is ended, and its training taken up again."""
    free_gigabytes: float = Field(default=1, ge=0)
    """Space that the run folder's disk must have left for a run to start."""


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
    """Ray cluster: auto (a running one, or one of our own), local (always our own), or host:port."""
    force: tuple[str, ...] = ()
    """Stages to redo although they are done."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    """Decides every random number of the run."""
    data: Data = Data()
    search: Search = Search()
    kfold: Kfold = Kfold()
    refit: Refit = Refit()
    denoise: Denoise = Denoise()
    capacity: Capacity = Capacity()
    classify: Classify = Classify()
    embed: Embed = Embed()
    gan: Gan = Gan()
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
        if "@" in urlsplit(runs_dir).netloc:
            raise ValueError("an address with a key in it would be written into logs; give keys in the environment")
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
            "kfold": full.kfold.model_copy(
                update={"epochs": 2, "orders": ("sequential", "class_sorted"), "num_seeds": 3}
            ),
            "refit": full.refit.model_copy(update={"epochs": 4}),
            "capacity": full.capacity.model_copy(
                update={
                    **{"latent_dims": (2, 5, 14), "num_seeds": 1, "epochs": 1, "control_epochs": 1},
                    "wide_dims": (14, 784),
                }
            ),
            "classify": full.classify.model_copy(update={"epochs": 3, "num_seeds": 1}),
            "embed": full.embed.model_copy(update={"num_fitted": 5_000, "num_measured": 2_500}),
            "gan": full.gan.model_copy(update={"num_seeds": 1, "epochs": 2, "search_trials": 4, "search_epochs": 1}),
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
            "kfold": full.kfold.model_copy(
                update={"epochs": 2, "orders": ("sequential", "class_sorted"), "num_seeds": 2}
            ),
            "refit": full.refit.model_copy(update={"epochs": 2}),
            "capacity": full.capacity.model_copy(
                update={
                    **{"latent_dims": (2, 14), "num_seeds": 1, "epochs": 1, "control_epochs": 1},
                    **{"linear_epochs": 2, "wide_dims": (784,)},
                }
            ),
            "classify": full.classify.model_copy(update={"epochs": 2, "num_seeds": 1}),
            "embed": full.embed.model_copy(update={"num_fitted": 500, "num_measured": 500}),
            "gan": full.gan.model_copy(
                update={"num_seeds": 1, "epochs": 2, "search": True, "search_trials": 2, "search_epochs": 1}
            ),
        }
    )


PRESETS = {"laptop": laptop, "paper": paper, "smoke": smoke}


class UserError(Exception):
    """The user's input is at fault; the message is one line that says what and how to mend it."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))
