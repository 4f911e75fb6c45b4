"""The stage's settings, and every model that they ask for: methods, latent sizes and numbers of seeds."""

import math
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field, PositiveInt

from orchestrator.engine.settings import Scale, Section, changed
from orchestrator.engine.stage import Context
from orchestrator.stages.architectures import AnyAutoencoder, in_common, table1
from orchestrator.stages.own import usual_model, with_latent_dim
from orchestrator.stages.sections import Autoencoders, Data, Distinct
from trainables.autoencoder_settings import WIDE, AutoencoderSettings, LinearSettings, convolved_sizes

LatentDim = Annotated[int, Field(gt=0, le=1024)]
MOST_VALUES = 1024
"""Numbers of an image, up to which models without a narrow layer can be had: their size goes with the square."""
ABLATIONS: dict[str, dict[str, Any]] = {
    "table1": {},
    "table1_no_batch_norm": {"batch_norm": False},
    "table1_step_0.002": {"learning_rate": 2e-3},
    "table1_no_batch_norm_step_0.002": {"batch_norm": False, "learning_rate": 2e-3},
    "table1_no_relu": {"relu": False},
    "table1_kernel_5": {"kernel_size": 5},
    "table1_adam_l2_0": {"optimizer": "adam", "weight_decay": 0.0},
    "table1_adam_l2_1e-05": {"optimizer": "adam", "weight_decay": 1e-5},
    "table1_adam_l2_0.0001": {"optimizer": "adam", "weight_decay": 1e-4},
    "table1_adam_l2_0.001": {"optimizer": "adam", "weight_decay": 1e-3},
}
"""What is changed in the paper's architecture. With adam the penalty is on the loss; with AdamW, the author's step
size and his 1e-5 there is none (trainables.autoencoder_settings)."""


class Settings(Section):
    """How well images are reconstructed from latent vectors of many sizes."""

    latent_dims: Annotated[Distinct[LatentDim], Scale("latent sizes")] = (1, 2, 5, 9, 14, 15, 64)
    """Latent sizes of the autoencoder."""
    cross_entropy_dims: Annotated[Distinct[LatentDim], Scale("latent sizes trained on cross-entropy")] = (2, 9, 15)
    """Latent sizes of the same autoencoder with the cross-entropy of pixels as loss."""
    num_seeds: Annotated[int, Field(ge=1), Scale("seeds of each")] = 3
    """Seeds of an autoencoder and of a linear one, counted from the run's; overcomplete models have one."""
    epochs: Annotated[int, Field(ge=1), Scale("epochs a latent size")] = 14
    """Epochs of the autoencoder."""
    filters: tuple[PositiveInt, PositiveInt, PositiveInt] = WIDE.filters
    """Output channels of its convolutions: wide enough for the latent vector to be what limits it."""
    neurons: int = Field(default=WIDE.neurons, ge=1)
    """Width of its fully connected layer."""
    learning_rate: float = Field(default=WIDE.learning_rate, gt=0)
    """Step size of the first step; annealed to zero."""
    batch_size: int = Field(default=WIDE.batch_size, ge=2)
    """Images per step."""
    linear_dims: Annotated[Distinct[LatentDim], Scale("sizes of linear autoencoders")] = (2, 8)
    """Latent sizes of linear autoencoders, to be held against PCA."""
    linear_epochs: Annotated[int, Field(ge=1), Scale("epochs a linear autoencoder")] = 15
    """Epochs of these, and of the overcomplete ones."""
    wide_dims: Annotated[Distinct[LatentDim], Scale("sizes of wide autoencoders")] = (784, 1024)
    """Latent sizes of autoencoders without a narrower layer on the way; from as many numbers on as an image has they
    are overcomplete, and there are linear ones of these sizes too. Of images with more than 1,024 numbers there are
    none."""
    wide_epochs: Annotated[int, Field(ge=1), Scale("epochs a wide autoencoder")] = 12
    """Epochs of the wide ones; in so few their training error may still fall by more than a plateau allows."""
    control_epochs: Annotated[int, Field(ge=1), Scale("epochs an ablation")] = 8
    """Epochs of the ablations."""
    control_seeds: Annotated[int, Field(ge=1), Scale("seeds of an ablation")] = 5
    """Seeds of the ablations."""
    ablations: Annotated[bool, Scale("ablations")] = True
    """Whether to train the paper's Table 1 with one thing changed, and a wide autoencoder without batch norm."""

    def autoencoder(self, latent_dim: int, **common: Any) -> AutoencoderSettings:
        """The autoencoder of this latent size, all else equal."""
        same = self.model_dump(include={"filters", "neurons", "learning_rate", "batch_size", "epochs"})
        return AutoencoderSettings(latent_dim=latent_dim, schedule="cosine", **same, **common)

    def wide_autoencoder(self, latent_dim: int, times: int = 1, **common: Any) -> AutoencoderSettings:
        """One with at least as many activations as an image has numbers, and as latent numbers, in every layer but
        the latent.

        The convolutions have `times` as many channels as that takes.
        """
        usual = self.autoencoder(latent_dim, **common)
        width = max(math.prod(usual.image_shape), latent_dim)
        filters = tuple(times * math.ceil(width / math.prod(size)) for size in convolved_sizes(usual.image_shape))
        wide = {"filters": filters, "neurons": width, "learning_rate": 1e-3, "epochs": self.wide_epochs}
        return changed(usual, **wide)


class Reconstructor(Section):
    """One model to be trained."""

    method: str
    model: AnyAutoencoder | LinearSettings


def models(context: Context[Settings]) -> Iterator[tuple[str, AnyAutoencoder | LinearSettings, int]]:
    """Every method, model, and number of seeds that it is trained from.

    With a model of the user's own there are its latent sizes, beside linear autoencoders and PCA.
    """
    own, data, users = context.own, context.section(Data), context.section(Autoencoders).own
    shape: dict[str, Any] = {"image_shape": data.shape}
    common = shape | {"weight_decay": context.section(Autoencoders).weight_decay}
    wide_dims = own.wide_dims if data.num_values <= MOST_VALUES and not users else ()
    overcomplete = [k for k in wide_dims if k >= data.num_values]
    if users:
        of_user = usual_model(users, **in_common(context), epochs=own.epochs, schedule="cosine")
    for k in own.latent_dims:
        yield "autoencoder", with_latent_dim(of_user, k) if users else own.autoencoder(k, **common), own.num_seeds
    for k in own.cross_entropy_dims if not users else ():
        yield "cross_entropy", changed(own.autoencoder(k, **common), loss="cross_entropy"), own.num_seeds
    for k in own.linear_dims:
        linear = LinearSettings(latent_dim=k, epochs=own.linear_epochs, **shape)
        yield "linear_autoencoder", linear, own.num_seeds
        yield "linear_untuned", changed(linear, learning_rate=1e-3), own.num_seeds
    for k in overcomplete:
        linear = LinearSettings(latent_dim=k, learning_rate=1e-3, epochs=own.linear_epochs, **shape)
        yield "linear_overcomplete", linear, 1
    for k in wide_dims:
        yield "wide_autoencoder", own.wide_autoencoder(k, **common), 1
    if own.ablations and not users:
        for k in overcomplete[:1]:
            wider = changed(own.wide_autoencoder(k, times=2, **common), batch_norm=False)
            yield "wide_no_batch_norm", wider, 1
        usual = table1(context, own.control_epochs)
        for method, change in ABLATIONS.items():
            yield method, changed(usual, **change), own.control_seeds
