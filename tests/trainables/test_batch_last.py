"""The fast layout for CPUs gives what the ordinary modules give."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables import batch_last as batch_last_module
from trainables.autoencoder import Autoencoder, build
from trainables.autoencoder_settings import PAPER_TABLE1, WIDE, AutoencoderSettings
from trainables.batch_last import AT_ONCE, batch_last, run_layers


def _ordinary_and_fast(kernel_size: int) -> tuple[Autoencoder, Autoencoder, Tensor]:
    settings = PAPER_TABLE1.model_copy(update={"kernel_size": kernel_size})
    ordinary = build(settings, seed=3).double()
    images = torch.rand(7, 1, 28, 28, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return ordinary, copy.deepcopy(ordinary), images


@pytest.mark.parametrize("kernel_size", [3, 5])
def test_outputs_gradients_and_running_statistics_equal_those_of_the_ordinary_modules(
    kernel_size: int,
) -> None:
    ordinary, fast, images = _ordinary_and_fast(kernel_size)
    expected, got = ordinary.decoder(ordinary.encoder(images)), fast(images)
    torch.testing.assert_close(got, expected)
    for output in (expected, got):
        functional.mse_loss(output, images).backward()
    for (name, a), b in zip(ordinary.named_parameters(), fast.parameters(), strict=True):
        assert a.grad is not None, name
        torch.testing.assert_close(b.grad, a.grad, rtol=1e-6, atol=1e-12)
    for name, buffer in ordinary.named_buffers():
        torch.testing.assert_close(fast.get_buffer(name), buffer)
    torch.testing.assert_close(fast.eval()(images), ordinary.eval().decoder(ordinary.encoder(images)))


@pytest.mark.parametrize("size", [(7, 7), (8, 8), (9, 6)])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 2, 0), (3, 2, 1), (4, 2, 1), (5, 2, 2), (3, 1, 1)])
def test_gradient_reaches_the_input_through_any_geometry(
    kernel: int, stride: int, padding: int, size: tuple[int, int]
) -> None:
    layers = nn.Sequential(
        nn.Conv2d(2, 3, kernel, stride=stride, padding=padding),
        nn.ConvTranspose2d(3, 2, kernel, stride=stride, padding=padding, output_padding=(0, stride - 1)),
    ).double()
    x = torch.rand(4, 2, *size, dtype=torch.float64, requires_grad=True)
    y = x.detach().permute(1, 2, 3, 0).contiguous().requires_grad_()
    expected, got = layers(x), batch_last(layers, y)
    torch.testing.assert_close(got.permute(3, 0, 1, 2), expected)
    expected.square().sum().backward()
    got.square().sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    torch.testing.assert_close(y.grad.permute(3, 0, 1, 2), x.grad)


@pytest.mark.parametrize("settings", [PAPER_TABLE1, WIDE])
def test_images_that_are_evaluated_part_by_part_come_out_as_all_at_once_bit_for_bit(
    settings: AutoencoderSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build(settings, seed=1)
    images = torch.rand(5 * AT_ONCE, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    in_parts, given = [], batch_last_module.batch_last
    monkeypatch.setattr(
        batch_last_module, "batch_last", lambda layers, x: in_parts.append(x.shape[-1]) or given(layers, x)
    )
    model(images[:40])  # which gives the batch norms means and variances of their own
    for number, parts in ((5 * AT_ONCE, [AT_ONCE] * 5), (5 * AT_ONCE - 1, [5 * AT_ONCE - 1])):
        x = images[:number].movedim(0, -1).contiguous()
        with torch.inference_mode():
            in_parts.clear()
            got = run_layers(model.eval().encoder, images[:number])
            assert in_parts == parts
            assert torch.equal(got, given(model.encoder, x).movedim(-1, 0))
    in_parts.clear()
    model.train()(images)
    assert in_parts == [len(images)] * 2  # batch norm needs the whole batch


def test_no_images_give_no_images() -> None:
    with torch.inference_mode():
        assert build(PAPER_TABLE1, seed=1).eval()(torch.empty(0, 1, 28, 28)).shape == (0, 1, 28, 28)


def test_a_layer_it_does_not_know_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="GELU"):
        batch_last(nn.Sequential(nn.GELU()), torch.zeros(3, 2))
