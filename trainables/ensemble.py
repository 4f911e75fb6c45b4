"""Autoencoders of one architecture, folds or seeds say, trained in lockstep as one network; meant for GPUs.

Table 1's kernels are over before a GPU has been told of the next: it mostly waits. One network of several members has
as many kernels as one of them, each with so much more to do.
"""

import copy
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.autoencoder import Autoencoder, build, corrupted, errors, for_batch_norm, with_gradient_of
from trainables.autoencoder_settings import AutoencoderSettings
from trainables.batch_last import batch_last
from trainables.cuda_graph import Captured
from trainables.epoch import Epoch, State
from trainables.images import as_pixels, as_tensor
from trainables.loop import Device, combined, random_numbers, shuffled
from trainables.optimizers import Descent
from trainables.splits import Split


def train_ensemble(
    settings: AutoencoderSettings,
    splits: Sequence[Split],
    *,
    device: Device = "cpu",
    seeds: Sequence[int],
    resumes: Sequence[State] | None = None,
) -> Iterator[Sequence[Epoch]]:
    """Train a member on each split from its own seed, all of them one epoch at a time.

    The sum of the members' losses is minimised, by optimizers that treat every number by itself; no member's loss
    depends on another's weights. So each goes as by `train_autoencoder`, but for the order of float32 sums: its
    epochs have the same metrics, and states that either training can go on from.

    Args:
        settings: every member's.
        splits: of the same images, as many of them for each training.
        device: as every training's (`trainables.epoch`), like the seeds, one for each split.
        seeds: of the members, one for each split.
        resumes: the members' states after the same epoch.

    Yields:
        The members' epochs, in the order of the splits.

    Raises:
        ValueError: the members cannot keep step.
    """
    _check(splits, seeds, resumes)
    members = [build(settings, seed=seed) for seed in seeds]
    network, alone = together(members).to(device), members[0].to(device)
    descent = Descent(
        settings.optimizer, network, settings.learning_rate, settings.schedule, weight_decay=settings.weight_decay
    )
    if resumes is not None:
        network.load_state_dict(joined([resume["model"] for resume in resumes]))
        descent.optimizer.load_state_dict(joined([resume["optimizer"] for resume in resumes]))
    images = as_tensor(splits[0].images).to(device)
    trains = [torch.from_numpy(split.train).to(device) for split in splits]

    def state(number: int, member: int) -> State:
        whole = {"model": network.state_dict(), "optimizer": descent.optimizer.state_dict(), "epoch": number}
        return dict(part(whole, member, len(seeds)))

    draws = [random_numbers(seed, device=device) for seed in seeds]
    total = torch.zeros(len(seeds), dtype=torch.float64, device=images.device)

    def step(batch: Tensor) -> Tensor:
        losses = _losses(network, settings, images, batch, draws)
        descent.minimise(losses.sum())
        total.add_(losses.detach() * len(batch))
        return losses.detach()

    taken = Captured(step, images.device, draws) if descent.capturable else step
    for number in range(1 if resumes is None else resumes[0]["epoch"] + 1, settings.epochs + 1):
        total.zero_()
        for own, seed in zip(draws, seeds, strict=True):
            own.manual_seed(combined(seed, number, 1))
        orders = [shuffled(own, settings.batch_size, seed, number) for own, seed in zip(trains, seeds, strict=True)]
        for position, batches in enumerate(zip(*orders, strict=True)):
            descent.anneal((number - 1 + position / len(orders[0])) / settings.epochs)
            last = taken(torch.stack(batches, 1))
        epochs = []
        train_mses, last_mses = (total / len(trains[0])).tolist(), last.tolist()
        for member, split in enumerate(splits):
            alone.load_state_dict(part(network.state_dict(), member, len(seeds)))
            metrics = {"train_mse": train_mses[member], "last_batch_mse": last_mses[member]}
            metrics |= errors(alone, images, split, at_the_end=number == settings.epochs)
            epochs.append(Epoch(number, metrics, partial(state, number, member)))
        yield epochs


def _check(splits: Sequence[Split], seeds: Sequence[int], resumes: Sequence[State] | None) -> None:
    if not len(splits) == len(seeds) == len(seeds if resumes is None else resumes) > 0:
        raise ValueError(
            f"{len(splits)} splits, {len(seeds)} seeds: an ensemble has one for each member, and a state"
        )
    if any(split.images is not splits[0].images for split in splits):
        raise ValueError("the members of an ensemble train on parts of the same images")
    if len(lengths := {len(split.train) for split in splits}) > 1:
        raise ValueError(f"the members of an ensemble train on as many images, not on {sorted(lengths)}")
    if len(epochs := {resume["epoch"] for resume in resumes or ()}) > 1:
        raise ValueError(f"the members of an ensemble go on from the same epoch, not from {sorted(epochs)}")


def _losses(
    network: nn.Module,
    settings: AutoencoderSettings,
    images: Tensor,
    batch: Tensor,
    draws: Sequence[torch.Generator],
) -> Tensor:
    """Mean loss of each member's batch, shape (members,); the batch is indices, of shape (images, members)."""
    assert isinstance(network, Autoencoder)
    batch, num_members = for_batch_norm(batch, settings), len(draws)
    # As `grouped_logits` has them: (members, channels, rows, columns, images).
    pixels = as_pixels(images.index_select(0, batch.t().flatten())).unflatten(0, (num_members, -1)).movedim(1, -1)
    noisy = [
        corrupted(own.movedim(-1, 0), settings, draw).movedim(0, -1) for own, draw in zip(pixels, draws, strict=True)
    ]
    inputs = pixels if settings.noise == "none" else torch.stack(noisy)
    logits = grouped_logits(network, inputs.flatten(0, 1).contiguous(), num_members).view(pixels.shape)
    if settings.loss == "mse":
        return _of_each(functional.mse_loss(logits.sigmoid(), pixels, reduction="none"))
    entropies = _of_each(functional.binary_cross_entropy_with_logits(logits, pixels, reduction="none"))
    return with_gradient_of(entropies, _of_each((logits.detach().sigmoid() - pixels).square()))


def _of_each(numbers: Tensor) -> Tensor:
    """Means over all but the first axis, the members'."""
    return numbers.flatten(1).mean(1)


def together(members: Sequence[Autoencoder]) -> Autoencoder:
    """One network of members, for `grouped_logits`: each of its tensors is theirs, one after another."""
    network = copy.deepcopy(members[0])
    for name, tensor in joined([member.state_dict() for member in members]).items():
        network.state_dict(keep_vars=True)[name].data = tensor
    return network


def grouped_logits(network: Autoencoder, images: Tensor, num_members: int) -> Tensor:
    """Every member's reconstructions of images of its own, before the last sigmoid, with gradients.

    Args:
        network: as `together` makes it.
        images: shape (members * channels, rows, columns, batch), in [0, 1].
        num_members: of the network.

    Returns:
        The same shape.
    """
    return batch_last(network.decoder[:-1], batch_last(network.encoder, images, num_members), num_members)


def joined(states: Sequence[State]) -> State:
    """Members' states as that of an ensemble: tensors one after another; what has no axes is the same for all."""
    return {name: _joined([state[name] for state in states]) for name in states[0]}


def _joined(values: Sequence[Any]) -> Any:
    first = values[0]
    if isinstance(first, Tensor):
        return torch.cat(list(values)) if first.ndim else first.clone()
    return joined(values) if isinstance(first, dict) else first


def part(value: Any, member: int, num_members: int) -> Any:
    """The member's part of an ensemble's state, as a copy; the inverse of `joined`."""
    if isinstance(value, Tensor):
        return (value.chunk(num_members)[member] if value.ndim else value).clone()
    if isinstance(value, dict):
        return {name: part(own, member, num_members) for name, own in value.items()}
    return value
