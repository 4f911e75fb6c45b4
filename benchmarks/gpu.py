"""One GPU: images per second of Table 1's training there, alone and as members of one network; whole commands.

Where there is no GPU, one row says so.
"""

from collections.abc import Iterator

import numpy as np
import torch

from benchmarks.commands import command
from benchmarks.folds import WORDS
from benchmarks.loops import seconds_of
from benchmarks.rows import Row, spread
from trainables.autoencoder import train_autoencoder
from trainables.autoencoder_settings import PAPER_TABLE1
from trainables.ensemble import train_ensemble
from trainables.fashion_mnist import load
from trainables.splits import Split

NUM_IMAGES, MEMBERS = 50_000, 6


def rows(full: bool) -> Iterator[Row]:
    """Trainings in this process, then six folds, then, in full, the paper's scale."""
    if not torch.cuda.is_available():
        yield Row("one GPU", "there is none on this machine")
        return
    torch.backends.cudnn.deterministic = True  # as workers have it
    settings = PAPER_TABLE1.model_copy(update={"epochs": 1000})
    split, turns = Split(load().train_images, np.arange(NUM_IMAGES)), range(10)
    alone = train_autoencoder(settings, split, device="cuda", seed=1)
    together = train_ensemble(settings, [split] * MEMBERS, device="cuda", seeds=range(MEMBERS))
    one, several = seconds_of(lambda: next(alone)), seconds_of(lambda: next(together))
    rates = [NUM_IMAGES / one() for _ in turns]
    what = "one GPU: images/s, training Table 1"
    yield Row(what, spread(rates, 0), ">= 1,500,000", max(rates) >= 1_500_000)
    yield Row(f"{what}, {MEMBERS} as one network", spread([MEMBERS * NUM_IMAGES / several() for _ in turns], 0))
    commands = [("six folds of 20 epochs", WORDS, 60), ("all stages", ("all",), 480)]
    for name, words, most in commands if full else commands[:1]:
        with command(*words, "--preset", "paper") as took:
            what = f"one GPU: {name}, the whole command, seconds"
            yield Row(what, f"{took.seconds:.0f}", f"<= {most}", took.seconds <= most)
