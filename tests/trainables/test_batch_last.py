"""The fast layout gives what the ordinary modules give, as compiled for CPUs and by gathering, as on GPUs."""

import copy
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.autoencoder import Autoencoder, build
from trainables.autoencoder_settings import PAPER_TABLE1
from trainables.batch_last import batch_last
from trainables.cpu_loops import _add_nine_to_two


def _ordinary_and_fast(changes: dict[str, Any]) -> tuple[Autoencoder, Autoencoder, Tensor]:
    settings = PAPER_TABLE1.model_copy(update=changes)
    ordinary = build(settings, seed=3).double()
    images = torch.rand(7, 1, 28, 28, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return ordinary, copy.deepcopy(ordinary), images


@pytest.mark.parametrize("gather", [False, True])
@pytest.mark.parametrize("changes", [{}, {"kernel_size": 5}, {"batch_norm": False}, {"relu": False}])
def test_outputs_gradients_and_running_statistics_equal_those_of_the_ordinary_modules(
    changes: dict[str, Any], gather: bool
) -> None:
    ordinary, fast, images = _ordinary_and_fast(changes)

    def reconstructed() -> Tensor:
        latent = batch_last(fast.encoder, images.movedim(0, -1).contiguous(), gather=gather)
        return batch_last(fast.decoder, latent, gather=gather).movedim(-1, 0)

    expected, got = ordinary.decoder(ordinary.encoder(images)), reconstructed()
    torch.testing.assert_close(got, expected)
    for output in (expected, got):
        functional.mse_loss(output, images).backward()
    for (name, a), b in zip(ordinary.named_parameters(), fast.parameters(), strict=True):
        assert a.grad is not None, name
        torch.testing.assert_close(b.grad, a.grad, rtol=1e-6, atol=1e-12)
    for name, buffer in ordinary.named_buffers():
        torch.testing.assert_close(fast.get_buffer(name), buffer)
    fast.eval()
    for gradients in (True, False):
        with torch.set_grad_enabled(gradients):
            torch.testing.assert_close(reconstructed(), ordinary.eval().decoder(ordinary.encoder(images)))


@pytest.mark.parametrize("gather", [False, True])
@pytest.mark.parametrize("size", [(7, 7), (8, 8), (9, 6)])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 2, 0), (3, 2, 1), (4, 2, 1), (5, 2, 2), (3, 1, 1)])
def test_gradient_reaches_the_input_through_any_geometry(
    kernel: int, stride: int, padding: int, size: tuple[int, int], gather: bool
) -> None:
    layers = nn.Sequential(
        nn.Conv2d(2, 3, kernel, stride=stride, padding=padding),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.ConvTranspose2d(3, 2, kernel, stride=stride, padding=padding, output_padding=(0, stride - 1)),
    ).double()
    x = torch.rand(4, 2, *size, dtype=torch.float64, requires_grad=True)
    y = x.detach().permute(1, 2, 3, 0).contiguous().requires_grad_()
    expected, got = layers(x), batch_last(copy.deepcopy(layers), y, gather=gather)
    torch.testing.assert_close(got.permute(3, 0, 1, 2), expected)
    expected.square().sum().backward()
    got.square().sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    torch.testing.assert_close(y.grad.permute(3, 0, 1, 2), x.grad)


@pytest.mark.parametrize("layer", [nn.Conv2d(1, 3, 3), nn.ConvTranspose2d(1, 3, 3, stride=2)])
def test_what_is_no_number_is_not_rectified_away_and_stays_where_it_is(layer: nn.Module) -> None:
    x = torch.ones(1, 4, 4, 20)
    x[0, 0, 0, 7] = torch.nan
    got = batch_last(nn.Sequential(layer, nn.ReLU()), x)
    assert got[:, 0, 0, 7].isnan().all()
    assert got.isnan().sum() == (3 if isinstance(layer, nn.Conv2d) else 27)


def test_a_gradient_s_gradient_is_refused_not_left_out() -> None:
    x = torch.ones(1, 4, 4, 5, requires_grad=True)
    y = batch_last(nn.Sequential(nn.Conv2d(1, 2, 3)), x)
    (of_x,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        of_x.sum().backward()


COMPILED_NOWHERE = """
import numba, torch
from numba.core import caching
caching.CacheImpl._locator_classes = []
from trainables.batch_last import batch_last
print(batch_last(torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3)), torch.ones(1, 4, 4, 5)).shape)
"""


def test_it_is_compiled_where_no_place_can_be_written_that_keeps_it() -> None:
    done = subprocess.run([sys.executable, "-c", COMPILED_NOWHERE], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "torch.Size([2, 2, 2, 5])", done.stderr


def test_no_images_give_no_images() -> None:
    with torch.inference_mode():
        assert build(PAPER_TABLE1, seed=1).eval()(torch.empty(0, 1, 28, 28)).shape == (0, 1, 28, 28)


def test_a_layer_it_does_not_know_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="GELU"):
        batch_last(nn.Sequential(nn.GELU()), torch.zeros(3, 2))


@pytest.mark.parametrize("damaged", ["*.nbi", "*.nbc"])
def test_what_was_kept_of_it_is_compiled_anew_where_it_is_damaged(tmp_path: Path, damaged: str) -> None:
    program = COMPILED_NOWHERE.replace("caching.CacheImpl._locator_classes = []", "")

    def run() -> None:
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.stdout.strip() == "torch.Size([2, 2, 2, 5])", done.stderr

    run()
    kept = {path: path.read_bytes() for path in tmp_path.rglob(damaged)}
    assert kept
    for path in kept:
        os.truncate(path, 10)
    run()
    assert all(path.stat().st_size > 100 for path in kept), "it is not mended for the next time"


def test_what_cannot_be_kept_of_it_is_done_without(tmp_path: Path) -> None:
    full = "caching.CacheImpl._locator_classes = []", "caching.IndexDataCacheFile.save = lambda *given: 1 / 0"
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", COMPILED_NOWHERE.replace(*full)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.strip() == "torch.Size([2, 2, 2, 5])", done.stderr


def test_the_innermost_loop_does_not_look_whether_its_rows_overlap() -> None:
    """A third of a thick layer's time went into that (docs/LOG.md); a Numba without noalias would bring it back."""
    inner: Any = _add_nine_to_two  # as Numba has it
    rows, factors = np.ones((11, 64), np.float32), np.ones(9, np.float32)
    inner(rows[0], rows[1], tuple(rows[2:]), factors, factors)
    assert (rows[:2] == 10).all()
    for compiled in inner.inspect_llvm().values():
        assert "vector.body" in compiled
        assert "memcheck" not in compiled
