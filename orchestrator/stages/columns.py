"""Columns that tables of several experiments have."""

from collections.abc import Callable

import pyarrow as pa

from orchestrator.engine.tables import BOOL, CATEGORY, EPOCHS, ERROR, FLOAT, INT, SECONDS, SEED, STATE, TEXT, column
from orchestrator.figures.names import MODELS, NOISES


def _of(kind: pa.DataType) -> Callable[..., pa.Field]:
    return lambda name, description, unit="": column(name, kind, description, unit)


real, integer, category, text, boolean = map(_of, (FLOAT, INT, CATEGORY, TEXT, BOOL))
"""Make a column each, of its name, its description and, where it has one, its unit."""


def mse(name: str, description: str) -> pa.Field:
    """A column of mean squared errors."""
    return real(name, description, "squared pixel value, pixels in [0, 1]")


def parameters(*columns: pa.Field) -> tuple[pa.Field, ...]:
    """Columns of what was chosen, not measured: people are shown them after the results."""
    return tuple(it.with_metadata({**it.metadata, "role": "parameter"}) for it in columns)


MODEL = category("model", f"as in models/; {'; '.join(f'{name}: {words}' for name, words in MODELS.items())}")
NUM_PARAMETERS = integer("num_parameters", "trainable numbers in the model")
LATENT_DIM = integer("latent_dim", "size of the latent vector, or number of components")
LEVEL = real("level", "probability or share of zeroed pixels, or standard deviation of Gaussian noise")
KINDS_OF_NOISE = "; ".join(f"{name}: {words}" for name, (words, _) in NOISES.items())
NOISE = (category("noise", KINDS_OF_NOISE), LEVEL)
NOISY_MSE = mse("noisy_mse", "error of the noisy images against the clean ones")
RECONSTRUCTED_MSE = mse("reconstructed_mse", "error of what the model makes of them against the clean ones")
TRAIN_MSE = mse("train_mse", "mean over the epoch's batches, while the weights move")
LAST_TRAIN_MSE = mse("train_mse", "mean over the last epoch's batches")
EVALUATED_MSE = mse(
    "train_mse_evaluated", "error on the training images after the last epoch, in evaluation mode as the others are"
)
TEST_MSE = mse("test_mse", "error on the test images after the last epoch")
LABEL = integer("label", "class of the image, from 0; missing where there are no labels")
PARAMS = parameters(
    integer("params_filters1", "output channels of the first convolution"),
    integer("params_filters2", "output channels of the second convolution"),
    integer("params_filters3", "output channels of the third convolution"),
    integer("params_neurons", "width of the fully connected layer"),
    integer("params_latent_dim", "size of the latent vector"),
    category("params_optimizer", "optimizer"),
    real("params_learning_rate", "step size"),
    NUM_PARAMETERS,
)
"""A model's, as `architectures.model_row` fills them."""
INDEX = integer("index", "of the test image")
TRUE_LABEL = integer("label", "true class, from 0")
PREDICTED = integer("predicted", "class that it is taken for")
CONFUSION = (TRUE_LABEL, PREDICTED, integer("count", "test images"))
PREDICTIONS = (INDEX, TRUE_LABEL, PREDICTED)
CPU_SECONDS = real("cpu_seconds", "processor time of the training process, all threads, measuring included", "s")
ARM = category(
    "arm", "paper: as the author plays the GANs; tuned: each loss by what came out of twelve trials; own: the user's"
)
LOSS = category("loss", "minimax or non_saturating: what the generator minimises")
GAN_MEANS = (
    real("d_loss", "mean loss of the discriminator, equation 3", "nat"),
    real("g_loss", "mean loss of the generator", "nat"),
    real("d_real", "mean probability of being real that real images are given"),
    real("d_fake", "mean probability of being real that generated images are given"),
)
"""Means over an epoch's steps."""
CLASS_ENTROPY = real("class_entropy", "entropy of the classes that generated images are taken for", "nat")
OUTCOME = (SECONDS, STATE, ERROR)
TRIAL_OUTCOME = (EPOCHS, SECONDS, SEED, ERROR)
