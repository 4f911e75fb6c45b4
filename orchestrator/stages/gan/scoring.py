"""What GANs are trained and scored with in the workers: a classifier, and its features of real images."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors.numpy import load
from torch import Tensor

from orchestrator.engine.records import Arrays, Trial
from orchestrator.engine.stage import Context, Worker
from orchestrator.stages.gan import ScoredGan, scoring_record
from trainables.classifier import Classifier, build
from trainables.classifier_settings import ClassifierSettings
from trainables.epoch import Epoch
from trainables.gan_scores import Scores, features
from trainables.gan_training import Measure, generate, random_vectors, train_gan
from trainables.images import Images, as_tensor

NUM_SHOWN = 10
"""Fixed random vectors whose images are kept after every epoch."""


def scoring_inputs(context: Context[Any], **real_images: Images) -> dict[str, NDArray[Any]]:
    """The classifier's weights, and its features of sets of real images: `NAME_features`."""
    record = scoring_record(context)
    weights = load(context.weights(record, "classify"))
    arrays: dict[str, NDArray[Any]] = {f"classifier.{name}": array for name, array in weights.items()}
    classifier = scoring_classifier(record.config, arrays)
    return arrays | {
        f"{name}_features": features(classifier, as_tensor(images)).numpy() for name, images in real_images.items()
    }


def scoring_classifier(settings: ClassifierSettings, arrays: Arrays) -> Classifier:
    """The classifier among the arrays that a training is given, in evaluation mode."""
    model = build(settings, seed=0)
    model.load_state_dict(weights_of("classifier", arrays))
    return model.eval()


def weights_of(name: str, arrays: Arrays) -> dict[str, Tensor]:
    """The weights of one network among the arrays that a training is given."""
    prefix = f"{name}."
    return {key.removeprefix(prefix): torch.tensor(it) for key, it in arrays.items() if key.startswith(prefix)}


def image_scores(trial: Trial[ScoredGan], worker: Worker) -> Measure:
    """Scores a generator after each epoch by as many images as there are held-out ones, and keeps the first few.

    After the last it is scored against the test images, where the inputs have their features.

    Args:
        trial: the GAN's; its seed decides the random vectors, the same after every epoch.
        worker: where, with what `scoring_inputs` gave.
    """
    classifier = scoring_classifier(trial.config.classifier, worker.inputs).to(worker.device)

    def scores(name: str, last_epoch: int | None) -> Scores:
        real = torch.from_numpy(worker.inputs[f"{name}_features"]).to(worker.device)
        z = random_vectors(len(real), trial.config.gan, trial.seed, 0, 2)
        return Scores(classifier, real, z, last_epoch=last_epoch)

    of_val = scores("val", None)
    of_test = scores("test", trial.epochs) if "test_features" in worker.inputs else None

    def measure(generator: torch.nn.Module, number: int) -> tuple[Mapping[str, float], Arrays]:
        metrics = of_val(generator, number)
        metrics["val_frechet_distance"] = metrics.pop("frechet_distance")
        if number == trial.epochs and of_test is not None:
            metrics |= of_test(generator, number)
        images = generate(generator, of_val.z[:NUM_SHOWN]).numpy()
        return metrics, {f"epoch-{number:03d}.images": images}

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
