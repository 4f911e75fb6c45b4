"""What GANs are trained and scored with in the workers: two extractors, and vectors of real images."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load
from torch import Tensor

from orchestrator.engine.records import Arrays, Trial
from orchestrator.engine.stage import Context, Worker
from orchestrator.stages.components import fit_pca
from orchestrator.stages.gan import ScoredGan, scoring_record
from trainables.classifier import Classifier
from trainables.classifier_settings import ClassifierSettings
from trainables.epoch import Epoch
from trainables.gan_scores import NUM_COMPONENTS, Extractor, Scores, Vectors
from trainables.gan_training import Measure, generate, random_vectors, train_gan
from trainables.images import Images, as_tensor
from trainables.loop import Device
from trainables.models import restored

NUM_SHOWN = 10
"""Fixed random vectors whose images are kept after every epoch."""


def scoring_inputs(context: Context[Any], *, val: Images, test: Images | None = None) -> dict[str, NDArray[Any]]:
    """The classifier's weights, principal components of the training images, and vectors of real images.

    These are `val_features`, of the validation images, and `test_features` and `test_pixels` of any test images.
    """
    record = scoring_record(context)
    weights = load(context.weights(record, "classify"))
    arrays: dict[str, NDArray[Any]] = {f"classifier.{name}": array for name, array in weights.items()}
    found = fit_pca(context.data.train_images, NUM_COMPONENTS)
    arrays["components"] = np.ascontiguousarray(found.axes.T)
    extractor = scoring_extractor(record.config, arrays)
    arrays["val_features"] = extractor(as_tensor(val)).features.numpy()
    if test is not None:
        vectors = extractor(as_tensor(test))
        arrays |= {"test_features": vectors.features.numpy(), "test_pixels": vectors.pixels.numpy()}
    return arrays


def scoring_extractor(settings: ClassifierSettings, arrays: Arrays, device: Device = "cpu") -> Extractor:
    """What gives images their vectors, from the arrays that a training is given."""
    classifier = restored(Classifier, settings, weights_of("classifier", arrays)).to(device)
    return Extractor(classifier, torch.from_numpy(arrays["components"]).to(device))


def real_vectors(arrays: Arrays, device: Device = "cpu") -> Vectors | None:
    """Those of the test images among these arrays; None where they are not."""
    if "test_features" not in arrays:
        return None
    return Vectors(*(as_tensor(arrays[name]).to(device) for name in ("test_features", "test_pixels")))


def weights_of(name: str, arrays: Arrays) -> dict[str, Tensor]:
    """The weights of one network among the arrays that a training is given."""
    prefix = f"{name}."
    return {key.removeprefix(prefix): torch.tensor(it) for key, it in arrays.items() if key.startswith(prefix)}


def image_scores(trial: Trial[ScoredGan], worker: Worker) -> Measure:
    """Scores a generator after each epoch, and keeps the first few of its images.

    Args:
        trial: the GAN's; its seed decides the random vectors, the same after every epoch.
        worker: where, with what `scoring_inputs` gave; test images are looked at after the trial's last epoch only.
    """
    test = real_vectors(worker.inputs, worker.device)
    val = as_tensor(worker.inputs["val_features"]).to(worker.device)
    number = max(len(val), len(test.features) if test else 0)
    z = random_vectors(number, trial.config.gan, trial.seed, 0, 2)
    extractor = scoring_extractor(trial.config.classifier, worker.inputs, worker.device)
    scores = Scores(extractor, val, test, z, last_epoch=trial.epochs)

    def measure(generator: torch.nn.Module, number: int) -> tuple[Mapping[str, float], Arrays]:
        images = generate(generator, z[:NUM_SHOWN]).numpy()
        return scores(generator, number), {f"epoch-{number:03d}.images": images}

    return measure


def trained(trial: Trial[ScoredGan], images: Images, worker: Worker, measure: Measure | None) -> Iterator[Epoch]:
    """Train a GAN, alone or together with other workers; the one of rank 0 measures."""
    return train_gan(
        trial.config.gan,
        images,
        device=worker.device,
        seed=trial.seed,
        resume=worker.resume,
        prepare_model=worker.prepare_model,
        rank=worker.rank,
        world_size=worker.num_workers,
        measure=measure,
    )
