"""Batch norm over a batch that workers share is batch norm over the batch."""

import pytest
import torch
from torch import distributed, nn

from trainables.batch_norm import BatchNorm, held_statistics

SHARE = (
    torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0)) * 3
    + torch.tensor([1.0, 0.0, -5.0])[:, None, None]
)


def fresh(kind: type[nn.BatchNorm2d]) -> nn.BatchNorm2d:
    norm = kind(3).train()
    norm.load_state_dict(norm.state_dict() | {"weight": torch.tensor([1.0, 2.0, 3.0]), "bias": torch.arange(3.0)})
    return norm


@pytest.fixture
def two_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of whom the other has the same share, and with it the same sums."""
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(distributed, "all_reduce", lambda tensor: tensor.mul_(2))


@pytest.mark.usefixtures("two_workers")
def test_a_share_is_normalised_as_a_part_of_the_whole_batch() -> None:
    mine, plain, pull = fresh(BatchNorm), fresh(nn.BatchNorm2d), torch.linspace(-1, 1, SHARE.numel()).view_as(SHARE)
    share, whole = SHARE.clone().requires_grad_(), SHARE.repeat(2, 1, 1, 1).requires_grad_()
    out, expected = mine(share), plain(whole)
    torch.testing.assert_close(out, expected[:4], rtol=1e-5, atol=1e-5)
    (out * pull).sum().backward()
    (expected * pull.repeat(2, 1, 1, 1)).sum().backward()
    assert share.grad is not None
    assert whole.grad is not None
    torch.testing.assert_close(share.grad, whole.grad[:4], rtol=1e-4, atol=1e-5)
    for name, buffer in plain.state_dict().items():
        torch.testing.assert_close(mine.state_dict()[name], buffer, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(mine.eval()(SHARE), plain.eval()(SHARE), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("in_a_group", [False, True])
def test_alone_it_is_torch_s_own_to_the_last_bit(in_a_group: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a group of one there is nobody to share with."""
    monkeypatch.setattr(distributed, "is_initialized", lambda: in_a_group)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 1)
    mine, plain = fresh(BatchNorm), fresh(nn.BatchNorm2d)
    assert torch.equal(mine(SHARE), plain(SHARE))
    assert all(torch.equal(mine.state_dict()[name], buffer) for name, buffer in plain.state_dict().items())


@pytest.mark.usefixtures("two_workers")
def test_held_statistics_are_the_whole_batch_s_and_constants() -> None:
    mine, before = fresh(BatchNorm), fresh(nn.BatchNorm2d).state_dict()
    share = SHARE.clone().requires_grad_()
    with held_statistics(mine):
        out = mine(share)
    torch.testing.assert_close(out, fresh(nn.BatchNorm2d)(SHARE), rtol=1e-5, atol=1e-5)
    out[0].sum().backward()
    assert share.grad is not None
    assert not share.grad[1:].any(), "an image does not move the others"
    assert all(torch.equal(mine.state_dict()[name], buffer) for name, buffer in before.items())
