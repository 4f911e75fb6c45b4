"""The classifiers come in pairs of one make, learn, and are trained exactly and resumably."""

import io
from typing import Literal, get_args

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from trainables.classifier import Examples, build, predict, prepared, train_classifier
from trainables.classifier_settings import Architecture, ClassifierSettings
from trainables.fashion_mnist import load

Input = Literal["latent", "raw"]
ARCHITECTURES: tuple[Architecture, ...] = ("cnn", "mlp", "linear")
INPUTS: tuple[Input, ...] = get_args(Input)
LATENT_DIM = 6


def settings(kind: Input, architecture: Architecture, **changes: object) -> ClassifierSettings:
    usual = {
        "input": kind,
        "architecture": architecture,
        "num_features": 784 if kind == "raw" else LATENT_DIM,
        "batch_size": 16,
        "epochs": 3,
    }
    return ClassifierSettings.model_validate(usual | changes)


def examples(kind: Input, num_train: int = 60, num_test: int = 30) -> Examples:
    """Random inputs with classes that a line can tell apart."""
    draws = np.random.default_rng(0)
    labels = draws.integers(0, 10, num_train + num_test).astype(np.uint8)
    if kind == "raw":
        inputs = draws.integers(0, 100, (len(labels), 28, 28)).astype(np.uint8)
        inputs[np.arange(len(labels)), 2 * labels, :] = 255
    else:
        inputs = draws.standard_normal((len(labels), LATENT_DIM)).astype(np.float32)
        inputs[:, 0] += labels
    train, test = slice(num_train), slice(num_train, None)
    return Examples(inputs[train], labels[train], inputs[test], labels[test])


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_ten_logits_come_out_and_a_gradient_reaches_every_parameter(kind: Input, architecture: Architecture) -> None:
    model, data = build(settings(kind, architecture), seed=0), examples(kind)
    logits = model(prepared(torch.from_numpy(data.train)))
    assert logits.shape == (60, 10)
    functional.cross_entropy(logits, torch.from_numpy(data.train_labels.astype(np.int64))).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_two_of_a_pair_differ_in_their_input_and_the_dimension_of_their_convolutions_only(
    architecture: Architecture,
) -> None:
    def make(kind: Input) -> list[tuple[object, ...]]:
        found: list[tuple[object, ...]] = []
        for layer in build(settings(kind, architecture), seed=0).modules():
            if isinstance(layer, nn.Conv1d | nn.Conv2d):
                found.append(("conv", layer.in_channels, layer.out_channels, layer.kernel_size[0]))
            if isinstance(layer, nn.Linear):
                found.append(("linear", layer.out_features))
            if isinstance(layer, nn.ReLU | nn.Dropout):
                found.append((type(layer).__name__,))
        return found

    assert make("latent") == make("raw")


def test_the_author_s_mlp_has_his_widths() -> None:
    widths = [m.out_features for m in build(settings("raw", "mlp"), seed=0).modules() if isinstance(m, nn.Linear)]
    assert widths == [20, 120, 100, 10]


def test_a_cnn_gives_on_the_cpu_what_its_ordinary_layers_give() -> None:
    """Gradients too; it is computed with the batch as the last axis."""
    model = build(settings("raw", "cnn", dropout=0.0), seed=1)
    images = prepared(torch.from_numpy(examples("raw").train))
    ours = model(images)
    ours.square().sum().backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    model.zero_grad()
    usual = model.head(model.body(images.contiguous()))
    torch.testing.assert_close(ours, usual, rtol=1e-4, atol=1e-4)
    usual.square().sum().backward()
    for ours_, parameter in zip(gradients, model.parameters(), strict=True):
        torch.testing.assert_close(ours_, parameter.grad, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_resumed_training_equals_uninterrupted_training(kind: Input, architecture: Architecture) -> None:
    """Dropout's draws included."""
    what, data = settings(kind, architecture, epochs=4), examples(kind)
    whole, saved = [], io.BytesIO()
    for epoch in train_classifier(what, data, seed=3):
        whole.append(epoch)
        if epoch.number == 2:
            torch.save(epoch.state(), saved)
    saved.seek(0)
    torch.rand(7)  # the global generator must play no part
    resume = torch.load(saved, weights_only=True)
    resumed = list(train_classifier(what, data, seed=3, resume=resume))
    assert [epoch.metrics for epoch in resumed] == [epoch.metrics for epoch in whole[2:]]
    assert (
        [set(epoch.arrays) for epoch in resumed]
        == [set(epoch.arrays) for epoch in whole[2:]]
        == [set(), {"predicted"}]
    )
    assert np.array_equal(resumed[-1].arrays["predicted"], whole[-1].arrays["predicted"])
    for name, weights in whole[-1].state()["model"].items():
        assert torch.equal(resumed[-1].state()["model"][name], weights)


def test_a_last_batch_of_one_vector_of_one_number_is_learnt_from_too() -> None:
    of = examples("latent", num_train=17)
    one = Examples(of.train[:, :1], of.train_labels, of.test[:, :1], of.test_labels)
    *_, last = train_classifier(settings("latent", "cnn", num_features=1), one, seed=1)
    assert np.isfinite(last.metrics["test_loss"])


def test_dropout_hangs_on_the_seed_and_leaves_the_global_generator_untouched() -> None:
    data = examples("latent")
    before = torch.get_rng_state()
    one, same, other = (
        [epoch.metrics for epoch in train_classifier(settings("latent", "mlp", dropout=0.5), data, seed=seed)]
        for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert one == same
    assert one != other


def test_every_test_input_s_class_is_told_and_the_share_of_right_ones_is_the_accuracy() -> None:
    data = examples("latent")
    what = settings("latent", "linear", learning_rate=0.05, epochs=5)
    *_, last = train_classifier(what, data, seed=0)
    predicted = last.arrays["predicted"]
    assert (predicted.shape, predicted.dtype) == (data.test_labels.shape, np.dtype(np.uint8))
    assert (predicted == data.test_labels).mean() == pytest.approx(last.metrics["test_accuracy"])
    model = build(what, seed=0)
    model.load_state_dict(last.state()["model"])
    np.testing.assert_array_equal(predicted, predict(model, torch.from_numpy(data.test)).argmax(1))


def test_metrics_are_measured_in_evaluation_mode() -> None:
    data = examples("latent")
    (epoch,) = train_classifier(settings("latent", "mlp", dropout=0.9, epochs=1), data, seed=0)
    model = build(settings("latent", "mlp", dropout=0.9), seed=5)
    model.load_state_dict(epoch.state()["model"])
    logits = predict(model, torch.from_numpy(data.test))
    labels = torch.from_numpy(data.test_labels.astype(np.int64))
    assert functional.cross_entropy(logits, labels).item() == pytest.approx(epoch.metrics["test_loss"], rel=1e-6)


def test_a_cnn_learns_to_tell_clothes_apart() -> None:
    images = load()
    some = slice(4000)
    data = Examples(
        images.train_images[some],
        images.train_labels[some],
        images.test_images[:1000],
        images.test_labels[:1000],
    )
    *_, last = train_classifier(settings("raw", "cnn", batch_size=64, epochs=3), data, seed=0)
    assert last.metrics["test_accuracy"] > 0.8


@pytest.mark.parametrize("kind", INPUTS)
def test_logits_are_linear_in_the_feature_vector_and_a_probe_s_in_its_input(kind: Input) -> None:
    data = examples(kind)
    inputs = prepared(torch.from_numpy(data.test))
    for architecture in ARCHITECTURES:
        model = build(settings(kind, architecture), seed=0).eval()
        features = model.features(inputs)
        torch.testing.assert_close(model(inputs), features @ model.head.weight.T + model.head.bias)
        if architecture == "linear":
            torch.testing.assert_close(features, inputs.flatten(1))


@pytest.mark.parametrize("kind", INPUTS)
def test_dropout_weight_decay_and_schedule_are_those_of_the_settings(kind: Input) -> None:
    data = examples(kind)

    def trained(**changes: object) -> tuple[float, float]:
        """The weights' size and the last step's, which hang on the settings."""
        what = settings(kind, "mlp", learning_rate=0.01, **changes)
        *_, last = train_classifier(what, data, seed=0)
        state = last.state()
        size = sum(weights.square().sum().item() for weights in state["model"].values())
        return size, state["optimizer"]["param_groups"][0]["lr"]

    usual, rate = trained(schedule="constant", weight_decay=0.0)
    assert rate == 0.01
    assert trained(schedule="constant", weight_decay=1.0)[0] < 0.9 * usual
    _, annealed = trained(schedule="cosine")
    steps = 3 * 4
    assert annealed == pytest.approx(0.01 * (1 + np.cos(np.pi * (steps - 1) / steps)) / 2)
    layers = [
        it.p for it in build(settings(kind, "mlp", dropout=0.3), seed=0).modules() if isinstance(it, nn.Dropout)
    ]
    assert layers == [0.3] * 3
