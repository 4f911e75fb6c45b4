"""What GANs are scored with, on its way to the workers: a classifier, and its features of real images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors.numpy import load
from torch import Tensor

from orchestrator.engine.records import Trial
from orchestrator.engine.stage import Context, Worker
from orchestrator.stages.gan import ScoredGan, scoring_record
from trainables.classifier import Classifier, build
from trainables.classifier_settings import ClassifierSettings
from trainables.gan_scores import Scores, features
from trainables.gan_training import Measure, generate, random_vectors
from trainables.images import Images, as_tensor

Arrays = Mapping[str, NDArray[Any]]
NUM_SHOWN = 10
"""Fixed random vectors whose images are kept after every epoch."""


def scoring_inputs(context: Context[Any], real_images: Images) -> dict[str, NDArray[Any]]:
    """The classifier's weights, and its features of real images: `real_features`."""
    record = scoring_record(context)
    weights = load(context.weights(record, "classify"))
    arrays: dict[str, NDArray[Any]] = {f"classifier.{name}": array for name, array in weights.items()}
    classifier = scoring_classifier(record.config, arrays)
    return arrays | {"real_features": features(classifier, as_tensor(real_images)).numpy()}


def scoring_classifier(settings: ClassifierSettings, arrays: Arrays) -> Classifier:
    """The classifier among the arrays that a training is given, in evaluation mode."""
    model = build(settings, seed=0)
    model.load_state_dict(weights_of("classifier", arrays))
    return model.eval()


def weights_of(name: str, arrays: Arrays) -> dict[str, Tensor]:
    """The weights of one network among the arrays that a training is given."""
    prefix = f"{name}."
    return {key.removeprefix(prefix): torch.tensor(it) for key, it in arrays.items() if key.startswith(prefix)}


def image_scores(trial: Trial[ScoredGan], num_images: int, worker: Worker, *, last_epoch: int | None) -> Measure:
    """Scores a generator after each epoch by so many images, and keeps the first few of them.

    Args:
        trial: the GAN's.
        num_images: that are generated, always from the same random vectors.
        worker: where, with what `scoring_inputs` gave.
        last_epoch: after which precision and recall are measured too; None for never.
    """
    z = random_vectors(num_images, trial.config.gan, trial.seed, 0, 2)
    classifier = scoring_classifier(trial.config.classifier, worker.inputs).to(worker.device)
    real_features = torch.from_numpy(worker.inputs["real_features"]).to(worker.device)
    scores = Scores(classifier, real_features, z, last_epoch=last_epoch)

    def measure(generator: torch.nn.Module, number: int) -> tuple[Mapping[str, float], Arrays]:
        images = generate(generator, z[:NUM_SHOWN]).numpy()
        return scores(generator, number), {f"epoch-{number:03d}.images": images}

    return measure
