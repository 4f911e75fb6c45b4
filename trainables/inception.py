"""Inception-v3, whose features published Frechet distances (FID) are taken in."""

import io
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from trainables.images import shape_of
from trainables.loop import in_parts

BATCH_SIZE = 50


def inception(weights: Mapping[str, Tensor]) -> nn.Module:
    """torch-fidelity's network, in evaluation mode, with these weights.

    Raises:
        RuntimeError: a weight is missing, unknown or of another shape.

    Source: Heusel et al. 2017; torch-fidelity has the weights of that paper.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    content = io.BytesIO()  # it takes a file only, and would unpickle a stranger's
    torch.save(dict(weights), content)
    content.seek(0)
    network: nn.Module = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=content)
    return network


def inception_features(network: nn.Module, images: Tensor) -> Tensor:
    """Feature vectors, shape (n, 2048), on the CPU, of uint8 images; grey ones have three equal channels."""
    device, images = next(network.parameters()).device, images.reshape(-1, *shape_of(images))
    with torch.inference_mode():
        return in_parts(lambda part: network(part.to(device).expand(-1, 3, -1, -1))[0].cpu(), images, BATCH_SIZE)
