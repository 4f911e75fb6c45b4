"""One pyarrow schema per table, each column with a description and, where it has one, a unit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

Row = Mapping[str, Any]
Rows = Sequence[Row] | Mapping[str, Any]

CATEGORY = pa.dictionary(pa.int32(), pa.string())
_TEXT, _INT, _FLOAT = pa.string(), pa.int64(), pa.float64()


def _column(name: str, kind: pa.DataType, description: str, unit: str = "") -> pa.Field:
    metadata = {"description": description} | ({"unit": unit} if unit else {})
    return pa.field(name, kind, metadata=metadata)


def _mse(name: str, description: str) -> pa.Field:
    return _column(name, _FLOAT, description, "squared pixel value, pixels in [0, 1]")


_SECONDS = _column("seconds", _FLOAT, "time spent training and measuring", "s")
_EPOCH = _column("epoch", _INT, "counted from 1")
_SEED = _column("seed", _INT, "seed of the initial weights and of the batches' order")
_TRIAL = _column("trial", _INT, "number of the trial in the study, from 0")
_FOLD = _column("fold", _INT, "which of the blocks validates, from 0")
_ORDER = _column("order", CATEGORY, "order of the images that blocks are cut from (trainables.splits)")
_MODEL = _column("model", CATEGORY, "name of the model, as in models/")
_NUM_PARAMETERS = _column("num_parameters", _INT, "trainable numbers in the model")
_STATE = _column("state", CATEGORY, "complete, pruned (stopped early by the scheduler) or failed")
_ERROR = _column("error", _TEXT, "why it failed; missing where it did not")
_DENOISER = _column("model", CATEGORY, "model of models/, median_filter (3 x 3) or gaussian_filter (sigma 1 pixel)")
_NOISE = _column("noise", CATEGORY, "kind of noise; trainables.noise says what each is")
_LEVEL = _column("level", _FLOAT, "probability or share of zeroed pixels, or standard deviation of Gaussian noise")
_PARAMS = (
    _column("params_filters1", _INT, "output channels of the first convolution"),
    _column("params_filters2", _INT, "output channels of the second convolution"),
    _column("params_filters3", _INT, "output channels of the third convolution"),
    _column("params_neurons", _INT, "width of the fully connected layer"),
    _column("params_latent_dim", _INT, "size of the latent vector"),
    _column("params_optimizer", CATEGORY, "optimizer"),
    _column("params_learning_rate", _FLOAT, "step size"),
)
_LATENT_DIM = _column("latent_dim", _INT, "size of the latent vector, or number of components")
_INPUT = _column("input", CATEGORY, "latent vectors of the model best, or raw images")
_ARCHITECTURE = _column("architecture", CATEGORY, "cnn, mlp (the author's), linear (a probe) or knn")
_LOSS_TEST = _column("test_loss", _FLOAT, "mean cross-entropy on the test images", "nat")
_LOSS_TRAIN = _column("train_loss", _FLOAT, "mean cross-entropy over the epoch's batches, with dropout", "nat")
_LOSS = _column("loss", CATEGORY, "minimax or non_saturating: what the generator minimises")
_GAME = (
    _column("d_loss", _FLOAT, "mean loss of the discriminator, equation 3", "nat"),
    _column("g_loss", _FLOAT, "mean loss of the generator", "nat"),
    _column("d_real", _FLOAT, "mean probability of being real that real images are given"),
    _column("d_fake", _FLOAT, "mean probability of being real that generated images are given"),
)
"""Means over an epoch's steps."""
_CLASS_ENTROPY = _column("class_entropy", _FLOAT, "entropy of the classes that generated images are taken for", "nat")
_METHOD = _column("method", CATEGORY, "autoencoder (latent size 2), pca or tsne")
_CONFUSION = (
    _column("label", _INT, "true class, 0 to 9"),
    _column("predicted", _INT, "class that it is taken for"),
    _column("count", _INT, "test images"),
)

TABLES: dict[str, pa.Schema] = {
    "trials": pa.schema(
        [
            _TRIAL,
            _STATE,
            _mse("val_mse", "validation error after the last epoch; the search's objective"),
            *_PARAMS,
            _NUM_PARAMETERS,
            _column("epochs", _INT, "epochs that were finished"),
            _SECONDS,
            _SEED,
            _ERROR,
        ]
    ),
    "trial_epochs": pa.schema(
        [
            _TRIAL,
            _EPOCH,
            _mse("train_mse", "mean over the epoch's batches, while the weights move"),
            _mse("val_mse", "validation error at the end of the epoch"),
            _SECONDS,
        ]
    ),
    "importances": pa.schema(
        [
            _column("param", CATEGORY, "parameter of the search"),
            _column("importance", _FLOAT, "its share of the variance of val_mse over the trials (fANOVA)"),
        ]
    ),
    "folds": pa.schema(
        [
            _FOLD,
            _ORDER,
            _SEED,
            _column("num_train", _INT, "images trained on"),
            _column("num_val", _INT, "images validated on"),
            _mse("train_mse", "mean over the last epoch's batches"),
            _mse("val_mse", "error on the fold's validation block after the last epoch"),
            _mse("test_mse", "error on the test images after the last epoch"),
            _SECONDS,
            _STATE,
            _ERROR,
        ]
    ),
    "fold_epochs": pa.schema(
        [
            _FOLD,
            _ORDER,
            _SEED,
            _EPOCH,
            _mse("train_mse", "mean over the epoch's batches, while the weights move"),
            _mse("last_batch_mse", "the epoch's last batch; the paper's Figure 1 plots this"),
            _mse("val_mse", "error on the fold's validation block at the end of the epoch"),
            _SECONDS,
        ]
    ),
    "models": pa.schema(
        [
            _MODEL,
            *_PARAMS,
            _NUM_PARAMETERS,
            _column("noise", CATEGORY, "what the training images were spoilt with: none, zeroed or gaussian"),
            _column("epochs", _INT, "epochs of training"),
            _mse("train_mse", "mean over the last epoch's batches"),
            _mse("test_mse", "error on the test images after the last epoch"),
            _SECONDS,
            _SEED,
            _STATE,
            _ERROR,
        ]
    ),
    "layers": pa.schema(
        [
            _MODEL,
            _column("layer", CATEGORY, "the paper's name for the layer"),
            _column("kind", CATEGORY, "class of the module"),
            _column("in_channels", _INT, "channels, or features of a linear layer, going in"),
            _column("out_channels", _INT, "channels, or features of a linear layer, coming out"),
            _column("kernel", _INT, "height and width of the kernel", "pixel"),
            _column("stride", _INT, "step of the kernel", "pixel"),
            _column("padding", _INT, "zeros added on each side", "pixel"),
            _column("output_padding", _INT, "rows and columns added to one side of the output", "pixel"),
            _column("output_shape", _TEXT, "shape of one image's output"),
            _column("activation", CATEGORY, "non-linearity that belongs to the layer"),
            _column("batch_norm", pa.bool_(), "whether batch norm follows the activation"),
            _column("acts_on", CATEGORY, "whether the activation takes the layer's output or gives its input"),
            _column("num_parameters", _INT, "trainable numbers of the layer and its batch norm"),
        ]
    ),
    "denoising": pa.schema(
        [
            _DENOISER,
            _NOISE,
            _LEVEL,
            _mse("noisy_mse", "error of the noisy images against the clean ones"),
            _mse("reconstructed_mse", "error of what the model makes of them against the clean ones"),
            _mse("gain", "noisy_mse - reconstructed_mse, mean over the images"),
            _mse("gain_low", "lower end of the gain's 95 % bootstrap interval over the images"),
            _mse("gain_high", "upper end of the gain's 95 % bootstrap interval over the images"),
            _column("fraction_improved", _FLOAT, "share of the images whose error got smaller"),
            _column("num_images", _INT, "test images"),
        ]
    ),
    "denoising_images": pa.schema(
        [
            _DENOISER,
            _NOISE,
            _LEVEL,
            _column("index", _INT, "of the test image"),
            _column("label", _INT, "class of the image, 0 to 9"),
            _column("zero_fraction", _FLOAT, "share of the clean image's pixels that are zero"),
            _column("energy", _FLOAT, "mean square of the clean image's pixels", "squared pixel value"),
            _mse("noisy_mse", "error of the noisy image against the clean one"),
            _mse("reconstructed_mse", "error of what the model makes of it against the clean one"),
        ]
    ),
    "denoising_correlations": pa.schema(
        [
            _DENOISER,
            _NOISE,
            _LEVEL,
            _column(
                "spearman_zero_fraction", _FLOAT, "rank correlation of gain and the image's share of zero pixels"
            ),
            _column("spearman_energy", _FLOAT, "rank correlation of gain and the image's mean square"),
            _column(
                "partial_spearman_zero_fraction",
                _FLOAT,
                "rank correlation of gain and share of zero pixels, the mean square's part taken out of both",
            ),
        ]
    ),
    "reconstruction": pa.schema(
        [
            _column("method", CATEGORY, "autoencoder, pca, or another of the stage capacity"),
            _LATENT_DIM,
            _SEED,
            _mse("test_mse", "error on the test images after the last epoch"),
            _mse("train_mse", "mean over the last epoch's batches, while the weights move"),
            _column("pca_ratio", _FLOAT, "test_mse over that of PCA with as many components"),
            _column("largest_angle_degrees", _FLOAT, "largest principal angle to PCA's subspace", "degree"),
            _NUM_PARAMETERS,
            _column("epochs", _INT, "epochs that were finished"),
            _SECONDS,
            _STATE,
            _ERROR,
        ]
    ),
    "identity": pa.schema(
        [
            _LATENT_DIM,
            _SEED,
            _NOISE,
            _LEVEL,
            _mse("noisy_mse", "error of the noisy images against the clean ones"),
            _mse("reconstructed_mse", "error of what the model makes of them against the clean ones"),
            _mse("copy_mse", "error of what the model makes of them against the noisy ones; the identity has 0"),
            _column("noise_passed", _FLOAT, "noise energy that comes out over what went in; the identity has 1"),
        ]
    ),
    "classifiers": pa.schema(
        [
            _INPUT,
            _ARCHITECTURE,
            _SEED,
            _column("test_accuracy", _FLOAT, "share of the test images that are classified right"),
            _LOSS_TEST,
            _LOSS_TRAIN,
            _NUM_PARAMETERS,
            _column("epochs", _INT, "epochs that were finished"),
            _column("encode_seconds", _FLOAT, "time spent encoding all images, once for all classifiers", "s"),
            _SECONDS,
            _STATE,
            _ERROR,
        ]
    ),
    "classifier_epochs": pa.schema(
        [
            _INPUT,
            _ARCHITECTURE,
            _SEED,
            _EPOCH,
            _LOSS_TRAIN,
            _LOSS_TEST,
            _column("test_accuracy", _FLOAT, "share of the test images that are classified right"),
            _SECONDS,
        ]
    ),
    "classifier_targets": pa.schema(
        [
            _INPUT,
            _ARCHITECTURE,
            _SEED,
            _column("accuracy", _FLOAT, "test accuracy to be reached"),
            _column("epoch", _INT, "the first that reached it; missing where none did"),
            _column("seconds", _FLOAT, "time spent until then, encoding included; missing likewise", "s"),
        ]
    ),
    "confusion": pa.schema([_INPUT, _ARCHITECTURE, *_CONFUSION]),
    "embeddings": pa.schema(
        [
            _METHOD,
            _column("knn_accuracy", _FLOAT, "share of test images with the class of those nearest in the plane"),
            _column(
                "new_knn_accuracy",
                _FLOAT,
                "the same for test images added as new points, by the fitted training images nearest",
            ),
            _column("trustworthiness", _FLOAT, "how far neighbours in the plane are near in the images, 1 at best"),
            _column("continuity", _FLOAT, "how far neighbours in the images are near in the plane, 1 at best"),
            _column("silhouette", _FLOAT, "how much nearer its own class than the next a point lies, -1 to 1"),
            _column("seconds", _FLOAT, "time spent laying out; the autoencoder's training is refit's", "s"),
            _column("num_points", _INT, "test images in the plane"),
            _column("num_fitted", _INT, "training images that new points were added to"),
            _column("new_points", _TEXT, "whether and how a new image gets its place"),
        ]
    ),
    "embedding_points": pa.schema(
        [
            _METHOD,
            _column("index", _INT, "of the test image"),
            _column("label", _INT, "class of the image, 0 to 9"),
            _column("x", _FLOAT, "first coordinate"),
            _column("y", _FLOAT, "second coordinate"),
        ]
    ),
    "embedding_confusion": pa.schema([_METHOD, *_CONFUSION]),
    "gan_trials": pa.schema(
        [
            _TRIAL,
            _LOSS,
            _STATE,
            _column(
                "val_frechet_distance",
                _FLOAT,
                "of generated images from the last sixth of the training images, as many; the search's objective",
            ),
            *_GAME,
            _CLASS_ENTROPY,
            _column("params_learning_rate", _FLOAT, "step size of both players"),
            _column("params_beta1", _FLOAT, "decay of both Adams' first moment"),
            _column("params_batch_size", _INT, "images of a step"),
            _column("epochs", _INT, "epochs that were finished"),
            _SECONDS,
            _SEED,
            _ERROR,
        ]
    ),
    "gans": pa.schema(
        [
            _LOSS,
            _SEED,
            _column("learning_rate", _FLOAT, "step size of both players at the start"),
            _column("beta1", _FLOAT, "decay of both Adams' first moment"),
            _column("batch_size", _INT, "images of a step, over all workers"),
            _column("r1_penalty", _FLOAT, "weight of the penalty on the discriminator's gradient in real images"),
            _column("frechet_distance", _FLOAT, "of as many generated images as there are test images from these"),
            _column("precision", _FLOAT, "share of generated images that lie among the real ones"),
            _column("recall", _FLOAT, "share of real images that lie among the generated ones"),
            _CLASS_ENTROPY,
            _column("num_classes", _INT, "classes that any generated image is taken for"),
            _column(
                "collapsed", pa.bool_(), "whether class_entropy is below the logarithm of 5, or recall below 0.01"
            ),
            _column("floor_distance", _FLOAT, "distance of as many training images from the test images"),
            _column("features", _TEXT, "checksum of the classifier whose features distances are taken in"),
            _column("epochs", _INT, "epochs that were finished"),
            _SECONDS,
            _column("num_workers", _INT, "workers that shared the training"),
            _STATE,
            _ERROR,
        ]
    ),
    "gan_epochs": pa.schema(
        [
            _LOSS,
            _SEED,
            _EPOCH,
            *_GAME,
            _column("g_logit_grad", _FLOAT, "mean size of the gradient of the generator's loss in the logit"),
            _column("frechet_distance", _FLOAT, "of generated images from the test images, at the epoch's end"),
            _CLASS_ENTROPY,
            _SECONDS,
        ]
    ),
    "gan_intervals": pa.schema(
        [
            _column(
                "loss", CATEGORY, "minimax, non_saturating, or difference (of the first from the second, by seed)"
            ),
            _column("num_seeds", _INT, "games that were played to the end"),
            _column("frechet_distance", _FLOAT, "mean over the seeds of the distance from the test images"),
            _column("low", _FLOAT, "lower end of the mean's 95 % t interval; missing where there is one seed"),
            _column("high", _FLOAT, "upper end of it"),
            _column("floor_ratio", _FLOAT, "frechet_distance over that of as many training images"),
        ]
    ),
    "gan_inception": pa.schema(
        [
            _LOSS,
            _SEED,
            _column("inception_fid", _FLOAT, "Frechet distance from the test images in features of Inception-v3"),
            _column("floor_fid", _FLOAT, "the same of as many training images"),
            _column("num_images", _INT, "generated images, and test images"),
            _column("features", _TEXT, "checksum of the network's weights"),
            _SECONDS,
        ]
    ),
    "claims": pa.schema(
        [
            _column("claim", _INT, "in the order of the paper's text"),
            _column("statement", _TEXT, "what the paper says"),
            _column("paper", _TEXT, "its number or word; (a) from its author's repository"),
            _column("quantity", _TEXT, "what is measured, with its unit"),
            _column("measured", _FLOAT, "the quantity in this run"),
            _column("low", _FLOAT, "lower end of its 95 % interval, or of a range where the reason says so"),
            _column("high", _FLOAT, "upper end of it"),
            _column("seconds", _FLOAT, "the time that the claim is about: of an epoch, over all workers", "s"),
            _column("verdict", CATEGORY, "supported, partly, contradicted, inconclusive or not_tested"),
            _column("scale", CATEGORY, "full, or reduced where what it is judged by is less than the paper's"),
            _column("reason", _TEXT, "the rule of the verdict, and what else is to be known"),
            _column("evidence", _TEXT, "tables that it is judged by"),
        ]
    ),
    "stages": pa.schema(
        [
            _column("stage", CATEGORY, "name of the stage"),
            _column("state", CATEGORY, "done, failed, running or blocked (by a stage that it needs)"),
            _column("started", pa.timestamp("us", tz="UTC"), "when it last started"),
            _column("seconds", _FLOAT, "wall time, from its start to its tables", "s"),
            _column("training_seconds", _FLOAT, "time that its trainings took, added up", "s"),
            _column("slots", _INT, "trainings that could run at once"),
            _column("fingerprint", _TEXT, "hash of all that decides its outcome"),
            _column("error", _TEXT, "why it failed; missing where it did not"),
        ]
    ),
}


def to_arrow(name: str, rows: Rows, attributes: Mapping[str, Any]) -> pa.Table:
    """Rows as the table `name`, with `attributes` in its schema metadata and as pandas' `df.attrs`.

    Rows are dictionaries, or, where they are many, one dictionary of columns. Every column of the schema is there and
    no other; None is a missing value.
    """
    schema = TABLES[name]
    for keys in [set(rows)] if isinstance(rows, Mapping) else map(set, rows):
        assert keys == set(schema.names), (name, keys ^ set(schema.names))
    metadata = {key: str(value) for key, value in attributes.items()}
    schema = schema.with_metadata(metadata | {"PANDAS_ATTRS": json.dumps(dict(attributes))})
    if isinstance(rows, Mapping):
        return pa.Table.from_arrays(
            [pa.array(rows[name]).cast(schema.field(name).type) for name in schema.names], schema=schema
        )
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
