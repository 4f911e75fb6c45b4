"""One autoencoder's training on one core: images per second of our loop and of what people write instead.

The usual loop is what tutorials show: torchvision's dataset, ToTensor, a shuffling DataLoader, the model's own
forward, `loss.item()`. Lightning's Trainer goes through the same DataLoader. The author's habit is the usual loop
with a validation that takes one image at a time. All train the same model on the same images with the same optimizer,
on one thread.
"""

import logging
import statistics
import struct
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import FashionMNIST
from torchvision.transforms import ToTensor

from benchmarks.rows import Row, ratios, spread, turn_by_turn
from trainables.autoencoder import Autoencoder, build, train_autoencoder
from trainables.autoencoder_settings import PAPER_TABLE1, AutoencoderSettings
from trainables.fashion_mnist import load
from trainables.splits import Split

NUM_IMAGES, NUM_VALIDATION = 20_000, 2_000
WIDEST = AutoencoderSettings(filters=(16, 32, 64), neurons=128, latent_dim=14)
Epoch = Callable[[], Any]


@contextmanager
def torchvision_folder() -> Iterator[str]:
    """A folder in which torchvision finds the images, wherever they were found here."""
    data = load()
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "FashionMNIST", "raw")
        raw.mkdir(parents=True)
        for name in ("train", "test"):
            for kind in ("images", "labels"):
                array = getattr(data, f"{name}_{kind}")
                header = struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape)
                file = f"{name.replace('test', 't10k')}-{kind}-idx{array.ndim}-ubyte"
                (raw / file).write_bytes(header + array.tobytes())
        yield folder


def torchvision_dataset(folder: str) -> FashionMNIST:
    """The training images as tutorials read them."""
    return FashionMNIST(folder, transform=ToTensor())


def own_forward(model: Autoencoder, images: torch.Tensor) -> torch.Tensor:
    """The model by torch's own convolutions."""
    reconstructed: torch.Tensor = model.decoder(model.encoder(images))
    return reconstructed


def adamw(model: torch.nn.Module, settings: AutoencoderSettings) -> torch.optim.AdamW:
    return torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)


def usual_pass(model: Autoencoder, optimizer: torch.optim.Optimizer, loader: DataLoader[Any]) -> None:
    """Train on what a loader gives, as tutorials do."""
    model.train()
    for images, _ in loader:
        optimizer.zero_grad()
        loss = functional.mse_loss(own_forward(model, images), images)
        loss.backward()
        optimizer.step()
        loss.item()


def usual_validation(model: Autoencoder, loader: DataLoader[Any]) -> float:
    """Mean over a loader's images of the error, as tutorials take it."""
    model.eval()
    total, number = 0.0, 0
    with torch.no_grad():
        for images, _ in loader:
            total += functional.mse_loss(own_forward(model, images), images).item() * len(images)
            number += len(images)
    return total / number


def usual_loop(settings: AutoencoderSettings, dataset: FashionMNIST, *, one_by_one: bool = False) -> Epoch:
    """An epoch of the loop in tutorials; with validation, one image at a time."""
    loader = DataLoader(Subset(dataset, range(NUM_IMAGES)), batch_size=settings.batch_size, shuffle=True)
    held_out = DataLoader(Subset(dataset, range(NUM_IMAGES, NUM_IMAGES + NUM_VALIDATION)), batch_size=1)
    model = build(settings, seed=1)
    optimizer = adamw(model, settings)

    def epoch() -> None:
        usual_pass(model, optimizer, loader)
        if one_by_one:
            usual_validation(model, held_out)

    return epoch


def lightning_loop(settings: AutoencoderSettings, dataset: FashionMNIST) -> Epoch:
    """An epoch of Lightning's Trainer with nothing beside the training."""
    import lightning

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = build(settings, seed=1)

        def training_step(self, batch: Any, number: int) -> torch.Tensor:
            return functional.mse_loss(own_forward(self.model, batch[0]), batch[0])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return adamw(self.model, settings)

    loader = DataLoader(Subset(dataset, range(NUM_IMAGES)), batch_size=settings.batch_size, shuffle=True)
    module = Module()

    def epoch() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            lightning.Trainer(
                accelerator="cpu",
                devices=1,
                max_epochs=1,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            ).fit(module, loader)

    return epoch


def our_loop(settings: AutoencoderSettings, split: Split) -> Epoch:
    """An epoch of `train_autoencoder`."""
    epochs = train_autoencoder(settings.model_copy(update={"epochs": 1000}), split, seed=1)
    return lambda: next(epochs)


def seconds_of(epoch: Epoch) -> Callable[[], float]:
    """The epoch, to be timed again and again; once before, for what is done but once."""
    epoch()

    def seconds() -> float:
        started = time.perf_counter()
        epoch()
        return time.perf_counter() - started

    return seconds


def rows(full: bool) -> Iterator[Row]:
    """Table 1's model and the widest of the search by our loop and by the others'."""
    torch.set_num_threads(1)
    turns = 10 if full else 4
    with torchvision_folder() as folder:
        dataset = torchvision_dataset(folder)
    split = Split(load().train_images, train=np.arange(NUM_IMAGES))
    validated = replace(split, validation=np.arange(NUM_IMAGES, NUM_IMAGES + NUM_VALIDATION))
    for name, settings, goal in (("Table 1", PAPER_TABLE1, 4.0), ("the search's widest", WIDEST, 2.0)):
        sides = {
            "ours": our_loop(settings, split),
            "usual": usual_loop(settings, dataset),
            "Lightning": lightning_loop(settings, dataset),
        }
        if settings == PAPER_TABLE1:
            sides["ours, validated"] = our_loop(settings, validated)
            sides["one by one"] = usual_loop(settings, dataset, one_by_one=True)
        times = turn_by_turn({side: seconds_of(epoch) for side, epoch in sides.items()}, turns)
        rates = [NUM_IMAGES / seconds for seconds in times["ours"]]
        what = f"training {name} on one core, against"
        yield Row(f"images/s, training {name} on one core", spread(rates, 0))
        against = ratios(times["usual"], times["ours"])
        yield Row(
            f"{what} the DataLoader loop",
            f"{spread(against)} times",
            f">= {goal:g}",
            statistics.median(against) >= goal,
        )
        yield Row(f"{what} Lightning's Trainer", f"{spread(ratios(times['Lightning'], times['ours']))} times")
        if settings == PAPER_TABLE1:
            slower = ratios(times["one by one"], times["ours, validated"])
            yield Row(f"{what} the author's habit (validation image by image)", f"{spread(slower)} times")
