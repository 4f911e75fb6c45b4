"""Columns that tables of several experiments have."""

from __future__ import annotations

import pyarrow as pa

from orchestrator.engine.tables import CATEGORY, FLOAT, INT, column


def mse(name: str, description: str) -> pa.Field:
    """A column of mean squared errors."""
    return column(name, FLOAT, description, "squared pixel value, pixels in [0, 1]")


MODEL = column("model", CATEGORY, "name of the model, as in models/")
NUM_PARAMETERS = column("num_parameters", INT, "trainable numbers in the model")
LATENT_DIM = column("latent_dim", INT, "size of the latent vector, or number of components")
NOISE = column("noise", CATEGORY, "kind of noise; trainables.noise says what each is")
LEVEL = column("level", FLOAT, "probability or share of zeroed pixels, or standard deviation of Gaussian noise")
LABEL = column("label", INT, "class of the image, 0 to 9")
PARAMS = (
    column("params_filters1", INT, "output channels of the first convolution"),
    column("params_filters2", INT, "output channels of the second convolution"),
    column("params_filters3", INT, "output channels of the third convolution"),
    column("params_neurons", INT, "width of the fully connected layer"),
    column("params_latent_dim", INT, "size of the latent vector"),
    column("params_optimizer", CATEGORY, "optimizer"),
    column("params_learning_rate", FLOAT, "step size"),
)
CONFUSION = (
    column("label", INT, "true class, 0 to 9"),
    column("predicted", INT, "class that it is taken for"),
    column("count", INT, "test images"),
)
