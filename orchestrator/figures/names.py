"""What models, kinds of noise, methods and the like are called where people read: figures, findings, the page."""

import re

MODELS = {
    "best": "the search's best",
    "paper_table1": "Table 1",
    "author_best": "the author's best",
    "two_dim": "autoencoder of the plane",
    "denoise_zeroed": "trained on zeroed pixels",
    "denoise_gaussian": "trained on Gaussian noise",
    "denoise_gaussian_unclipped": "trained on Gaussian noise, not clipped",
    "median_filter": "median filter, 3 x 3",
    "gaussian_filter": "Gaussian filter, \u03c3 = 1 pixel",
}
"""Models and filters."""
NOISES = {
    "zeroed": ("pixels set to zero", "probability p"),
    "gaussian_matched": ("Gaussian noise of the same MSE", "probability p of zeroed pixels"),
    "zeroed_foreground": ("pixels set to zero, black ones spared", "share p of all pixels"),
    "gaussian": ("Gaussian noise, clipped", "standard deviation \u03c3"),
    "gaussian_unclipped": ("Gaussian noise, not clipped", "standard deviation \u03c3"),
}
"""Kinds of noise, and their levels."""
METHODS = {
    "autoencoder": "autoencoder",
    "cross_entropy": "autoencoder trained on cross-entropy",
    "linear_autoencoder": "linear autoencoder",
    "linear_untuned": "linear autoencoder, untuned",
    "linear_overcomplete": "linear, overcomplete",
    "wide_autoencoder": "wide autoencoder",
    "wide_no_batch_norm": "wide, no batch norm",
    "table1": "Table 1; table1_... is the same with one thing changed",
    "pca": "PCA",
    "tsne": "t-SNE",
}
"""Ways to reduce images to few numbers."""
CLASSIFIERS = {"cnn": "CNN", "mlp": "MLP", "linear": "linear probe", "knn": "k nearest neighbours", "own": "own"}
INPUTS = {"latent": "latent vectors", "raw": "raw images"}
"""What classifiers are given."""
ORDERS = {
    "sequential": "as in the files",
    "shuffled": "at random",
    "stratified": "every block with as many of each class",
    "class_sorted": "by class",
}
"""Of the images that folds are cut from."""
ARMS = {"paper": "the paper's recipe", "tuned": "tuned recipe", "own": "own GAN"}
"""Of the GANs."""
NAMES = {
    "Models": MODELS,
    "Kinds of noise": {name: words for name, (words, _) in NOISES.items()},
    "Methods": METHODS,
    "Classifiers": CLASSIFIERS | INPUTS,
    "Orders of the images": ORDERS,
    "GANs": ARMS,
}
"""All of them, as the page lists them."""
_WHOLE = {name: f"\u201c{words}\u201d" for name, words in (MODELS | METHODS).items() if "_" in name}


def game(arm: object, loss: object) -> str:
    """A GAN."""
    return f"{str(loss).replace('_', '-')} GAN, {ARMS[str(arm)]}"


def capital(text: str) -> str:
    """A text with a capital letter first, but for t-SNE and the like."""
    first = text.partition(" ")[0]
    return text[:1].upper() + text[1:] if first == first.lower() else text


def in_words(text: str) -> str:
    """A text with models and methods called by their words, in quotes, in place of names that have an underscore."""
    return re.sub(r"\b[a-z0-9]+(?:_[a-z0-9]+)+\b", lambda found: _WHOLE.get(found[0], found[0]), text)
