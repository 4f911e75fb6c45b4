"""What games are scored with, on its way to the workers: a classifier, and its features of real images."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from orchestrator.stage import Context

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.classifier import Classifier
    from trainables.gan_scores import Scores
    from trainables.splits import Images


def scores_of(
    config: dict[str, Any], inputs: dict[str, Any], z: Tensor, *, device: str, last_epoch: int | None
) -> Scores:
    """Scores by the classifier and the real images' features that `scoring_inputs` gave."""
    import torch

    from trainables.gan_scores import Scores

    real_features = torch.from_numpy(inputs["real_features"]).to(device)
    return Scores(
        scoring_classifier(config["classifier"], inputs).to(device), real_features, z, last_epoch=last_epoch
    )


def scoring_inputs(context: Context, real_images: Images) -> dict[str, Any]:
    """Write what trainings are scored with: the classifier's weights, and its features of real images.

    Returns:
        The classifier's settings.
    """
    from safetensors.numpy import load

    from trainables.autoencoder import as_tensor
    from trainables.gan_scores import features

    settings: dict[str, Any] = json.loads(context.run.read("models/classifier.json"))["settings"]
    weights = load(context.run.read("models/classifier.safetensors"))
    inputs: dict[str, Any] = {f"classifier.{name}": array for name, array in weights.items()}
    inputs["real_features"] = features(scoring_classifier(settings, inputs), as_tensor(real_images)).numpy()
    context.write_inputs(inputs)
    return settings


def scoring_classifier(settings: dict[str, Any], inputs: dict[str, Any]) -> Classifier:
    """The classifier among the arrays that a training is given, in evaluation mode."""
    from trainables.classifier import ClassifierSettings, build

    model = build(ClassifierSettings.model_validate(settings), seed=0)
    model.load_state_dict(weights_of(inputs, "classifier"))
    return model.eval()


def weights_of(inputs: dict[str, Any], name: str) -> dict[str, Tensor]:
    """The weights of one network among the arrays that a training is given."""
    import torch

    prefix = f"{name}."
    return {key.removeprefix(prefix): torch.tensor(it) for key, it in inputs.items() if key.startswith(prefix)}
