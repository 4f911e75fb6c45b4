"""Networks come back from their settings and weights, and say what they take; exported, they give the same."""

import copy
import importlib.util
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import nn

from trainables import export
from trainables.autoencoder import Autoencoder
from trainables.autoencoder_settings import AutoencoderSettings, LinearSettings
from trainables.classifier import Classifier
from trainables.classifier_settings import ClassifierSettings
from trainables.export import as_onnx, as_program
from trainables.gan import Generator
from trainables.gan_settings import GanSettings
from trainables.linear_autoencoder import LinearAutoencoder
from trainables.models import KINDS, restored

IMAGE = (1, 28, 28)
TINY = AutoencoderSettings(filters=(2, 3, 4), neurons=5, latent_dim=2)
RAW = ClassifierSettings(input="raw", num_features=784, architecture="cnn")
LATENT = ClassifierSettings(input="latent", num_features=6, architecture="cnn")
GAN = {"loss": "minimax", "generator_filters": (4, 3, 2), "discriminator_filters": (2, 2, 2), "latent_dim": 5}
EACH = pytest.mark.parametrize(
    ("kind", "settings", "shape"),
    [
        (Autoencoder, TINY, IMAGE),
        (Autoencoder, TINY.model_copy(update={"kernel_size": 5, "batch_norm": False, "relu": False}), IMAGE),
        (LinearAutoencoder, LinearSettings(latent_dim=3), (784,)),
        (Classifier, RAW, IMAGE),
        (Classifier, RAW.model_copy(update={"architecture": "mlp"}), IMAGE),
        (Classifier, LATENT, (6,)),
        (Classifier, LATENT.model_copy(update={"architecture": "linear"}), (6,)),
        (Generator, GanSettings.model_validate(GAN), (5,)),
        (Generator, GanSettings.model_validate(GAN | {"architecture": "stable"}), (5,)),
    ],
    ids=lambda it: it.__name__ if isinstance(it, type) else "",
)


def trained(kind: Callable[[Any], nn.Module], settings: Any) -> nn.Module:
    """A network whose batch norms have running statistics of their own, in training mode."""
    torch.manual_seed(1)
    network = kind(settings)
    network(torch.rand(8, *network.input_shape))  # type: ignore[misc]
    return network


@EACH
def test_a_restored_network_gives_what_the_trained_one_gives(
    kind: Any, settings: Any, shape: tuple[int, ...]
) -> None:
    network, before = trained(kind, settings), torch.random.get_rng_state()
    again = restored(kind, settings, save(network.state_dict()))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not again.training
    inputs = torch.rand(3, *shape)
    assert torch.equal(again(inputs), network.eval()(inputs))
    assert torch.equal(restored(kind, settings, network.state_dict())(inputs), again(inputs))
    assert KINDS[f"{kind.__module__}.{kind.__qualname__}"] == (kind, type(settings))


@EACH
def test_inputs_of_another_shape_or_of_whole_numbers_are_refused_in_a_line(
    kind: Any, settings: Any, shape: tuple[int, ...]
) -> None:
    network = kind(settings)
    wanted = ", ".join(map(str, shape))
    for wrong in (torch.rand(*shape), torch.rand(2, *shape, 1), torch.zeros(2, *shape, dtype=torch.uint8)):
        with pytest.raises(ValueError, match=kind.__name__) as caught:
            network(wrong)
        assert f"takes floats of shape (batch, {wanted}), got {wrong.dtype} of shape (" in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1


@EACH
def test_an_exported_program_gives_the_same_for_batches_of_any_size(
    kind: Any, settings: Any, shape: tuple[int, ...]
) -> None:
    network = trained(kind, settings)
    program = torch.export.load(io.BytesIO(as_program(network)))
    inputs = torch.rand(9, *shape)
    torch.testing.assert_close(program.module()(inputs), network.eval()(inputs), rtol=1e-4, atol=1e-5)
    operations = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert not {it for it in operations if "unfold" in it}, "of the layout for CPUs"


@pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="the extra export is not installed")
@EACH
def test_an_onnx_model_gives_the_same_for_batches_of_any_size(
    kind: Any, settings: Any, shape: tuple[int, ...]
) -> None:
    import onnxruntime

    network, inputs = trained(kind, settings), torch.rand(9, *shape)
    session = onnxruntime.InferenceSession(as_onnx(network))
    (outputs,) = session.run(["output"], {"input": inputs.numpy()})
    torch.testing.assert_close(torch.from_numpy(outputs), network.eval()(inputs), rtol=1e-4, atol=1e-5)


def test_an_export_whose_outputs_differ_is_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    network = trained(Autoencoder, TINY)
    traced = export._traced(copy.deepcopy(network))
    with torch.no_grad():
        network.decoder[-2].bias += 0.01  # type: ignore[union-attr, operator]
    monkeypatch.setattr(export, "_traced", lambda network: traced)
    with pytest.raises(ArithmeticError, match="this Autoencoder gives other outputs for 1 inputs"):
        as_program(network)
