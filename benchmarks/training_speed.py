"""Images per second of one autoencoder's training on one core: the usual loop against ours, in one run.

The usual loop is what tutorials show: torchvision's dataset, ToTensor, a shuffling DataLoader, the model's own
forward, loss.item(). Both train on the same images, with the same optimizer, in turns, and the best turn counts.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import FashionMNIST
from torchvision.transforms import ToTensor

from trainables.autoencoder import build, train_autoencoder
from trainables.autoencoder_settings import PAPER_TABLE1, AutoencoderSettings
from trainables.fashion_mnist import load, user_cache_dir
from trainables.splits import Split

NUM_IMAGES = 20_000
TURNS = 4
WIDE = AutoencoderSettings(filters=(16, 32, 64), neurons=128, latent_dim=14)


def usual_loop(settings: AutoencoderSettings, dataset: FashionMNIST) -> Callable[[], None]:
    """One epoch of the loop in tutorials, to be called again and again."""
    loader = DataLoader(
        Subset(dataset, range(NUM_IMAGES)), batch_size=settings.batch_size, shuffle=True, num_workers=0
    )
    model = build(settings, seed=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)

    def epoch() -> None:
        model.train()
        for images, _ in loader:
            optimizer.zero_grad()
            reconstructed = model.decoder(model.encoder(images))  # torch's own convolutions
            loss = functional.mse_loss(reconstructed, images)
            loss.backward()
            optimizer.step()
            loss.item()

    return epoch


def our_loop(settings: AutoencoderSettings, split: Split) -> Callable[[], None]:
    """One epoch of `train_autoencoder`, to be called again and again."""
    epochs = train_autoencoder(settings.model_copy(update={"epochs": 1000}), split, seed=1)

    def epoch() -> None:
        next(epochs)

    return epoch


def images_per_second(epoch: Callable[[], None]) -> float:
    started = time.perf_counter()
    epoch()
    return NUM_IMAGES / (time.perf_counter() - started)


def main() -> None:
    """Print images per second of both loops, and their ratio, for the paper's model and the widest one."""
    torch.set_num_threads(1)
    data = load()
    split = Split(data.train_images, train=torch.arange(NUM_IMAGES).numpy())
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "FashionMNIST", "raw")
        raw.parent.mkdir()
        raw.symlink_to(user_cache_dir())
        dataset = FashionMNIST(folder, transform=ToTensor())
    for name, settings in (("Table 1", PAPER_TABLE1), ("widest in the search", WIDE)):
        loops = {"usual": usual_loop(settings, dataset), "ours": our_loop(settings, split)}
        best = dict.fromkeys(loops, 0.0)
        for _ in range(TURNS):
            for key, epoch in loops.items():
                best[key] = max(best[key], images_per_second(epoch))
        ratio = best["ours"] / best["usual"]
        rates = f"usual {best['usual']:,.0f} images/s, ours {best['ours']:,.0f} images/s"
        print(f"{name}: {rates}, {ratio:.2f} times", flush=True)


if __name__ == "__main__":
    main()
