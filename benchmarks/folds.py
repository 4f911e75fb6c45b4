"""Six folds of Table 1's autoencoder, two at a time: this project, a bare pool of processes, stock Ray Tune.

Each side is a program of its own, timed as a whole, as a person would start it. The pool (joblib) has the same
trainings in its processes and nothing else: no records, tables, figures or page; it is the ideal of whoever
orchestrates. Stock Ray Tune is what its examples show: a trial reads torchvision's dataset, trains with a DataLoader
and reports each epoch.

`python -m benchmarks.folds pool 3` is one side, with 3 epochs a fold.
"""

import os
import statistics
import sys
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.commands import command, timed
from benchmarks.rows import Row, ratios, spread, turn_by_turn
from orchestrator.engine.cluster import WORKER_ENVIRONMENT

NUM_FOLDS, AT_ONCE = 6, 2
WORDS = ("kfold", "--kfold.models", "paper_table1", "--kfold.orders", "sequential", "--kfold.num-seeds", "1")


def one_fold(number: int, epochs: int) -> float:
    """A fold as this project trains it; its validation error."""
    import numpy as np
    import torch

    from trainables.autoencoder import train_autoencoder
    from trainables.autoencoder_settings import PAPER_TABLE1
    from trainables.fashion_mnist import load
    from trainables.splits import fold_split

    torch.set_num_threads(1)
    data = load()
    order = np.arange(len(data.train_images))
    split = fold_split(data.train_images, order, fold=number, num_folds=NUM_FOLDS, test_images=data.test_images)
    settings = PAPER_TABLE1.model_copy(update={"epochs": epochs})
    *_, last = train_autoencoder(settings, split, seed=1)
    return last.metrics["val_mse"]


def pool(epochs: int) -> None:
    """All folds by joblib."""
    from joblib import Parallel, delayed

    os.environ |= WORKER_ENVIRONMENT  # without which a step is a tenth slower, or more
    Parallel(n_jobs=AT_ONCE)(delayed(one_fold)(number, epochs) for number in range(NUM_FOLDS))


def usual_fold(config: dict[str, Any]) -> None:
    """A fold as Ray Tune's examples train."""
    from ray import tune
    from torch.utils.data import DataLoader, Subset

    from benchmarks.loops import adamw, torchvision_dataset, usual_pass, usual_validation
    from trainables.autoencoder import build
    from trainables.autoencoder_settings import PAPER_TABLE1

    dataset, (low, high) = (
        torchvision_dataset(config["folder"]),
        (config["fold"] * 10_000, (config["fold"] + 1) * 10_000),
    )
    train = Subset(dataset, [*range(low), *range(high, len(dataset))])
    loader, held_out = DataLoader(train, 256, shuffle=True), DataLoader(Subset(dataset, range(low, high)), 256)
    model = build(PAPER_TABLE1, seed=1)
    optimizer = adamw(model, PAPER_TABLE1)
    for _ in range(config["epochs"]):
        usual_pass(model, optimizer, loader)
        tune.report({"loss": usual_validation(model, held_out)})


def stock_tune(epochs: int) -> None:
    """All folds by Ray Tune's own examples."""
    import ray
    from ray import tune

    from benchmarks.loops import torchvision_folder

    ray.init(num_cpus=AT_ONCE)
    with torchvision_folder() as folder:
        space = {"fold": tune.grid_search(list(range(NUM_FOLDS))), "epochs": epochs, "folder": folder}
        found = tune.Tuner(tune.with_resources(usual_fold, {"cpu": 1}), param_space=space).fit()
    assert not found.errors


def rows(full: bool) -> Iterator[Row]:
    """Whole programs by turns; where ours loses against the pool."""
    epochs, turns = (20, 2) if full else (3, 1)
    beside: dict[str, list[float]] = {"before": [], "after": []}

    def ours() -> float:
        with command(*WORDS, "--preset", "paper", "--kfold.epochs", str(epochs)) as took:
            beside["before"].append(took.training_began())
            beside["after"].append(took.seconds - took.training_ended())
            return took.seconds

    def by(side: str) -> Callable[[], float]:
        return lambda: timed([sys.executable, "-m", "benchmarks.folds", side, str(epochs)])

    times = turn_by_turn({"ours": ours, "pool": by("pool"), "stock Tune": by("stock")}, turns)
    against, faster = ratios(times["ours"], times["pool"]), ratios(times["stock Tune"], times["ours"])
    what = f"six folds of {epochs} epochs"
    yield Row(f"{what}, the whole command, seconds", spread(times["ours"], 0))
    yield Row("of these before the first training", spread(beside["before"], 1))
    yield Row("and after the last: tables, figures, page", spread(beside["after"], 1))
    is_less = statistics.median(against) <= 1.1
    yield Row(f"{what} against a bare pool", f"{spread(against)} times its time", "<= 1.10", is_less)
    is_more = statistics.median(faster) >= 5
    yield Row(f"{what} against stock Ray Tune", f"{spread(faster)} times as fast", ">= 5", is_more)


if __name__ == "__main__":
    {"pool": pool, "stock": stock_tune}[sys.argv[1]](int(sys.argv[2]))
