"""kfold: the paper's six sequential folds, as Ray Tune trials side by side (Methods, Figure 1).

Reads the table trials (unless the model is paper_table1). Writes the tables folds and fold_epochs and two figures.
Every fold starts from fresh weights and a fresh optimizer, as the author's do not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from orchestrator.config import Settings
from orchestrator.figures import kfold as figures
from orchestrator.stage import Context, Record, Stage, StageFailed, Trainings, Trial, Work
from orchestrator.stages.search import best_model, paper_table1, training_cost
from orchestrator.tables import Row
from trainables.autoencoder_settings import AutoencoderSettings

if TYPE_CHECKING:
    from trainables.epoch import Epoch
    from trainables.fashion_mnist import FashionMnist

SEQUENTIAL = "sequential"


def training(
    config: dict[str, Any], data: FashionMnist, *, device: str, resume: dict[str, Any] | None
) -> Iterator[Epoch]:
    """One fold: train on all blocks but one, validate on that, and test at the end."""
    from trainables.autoencoder import train_autoencoder
    from trainables.splits import sequential_fold

    settings = AutoencoderSettings.model_validate(config["model"])
    split = sequential_fold(
        data.train_images, fold=config["fold"], num_folds=config["num_folds"], test_images=data.test_images
    )
    return train_autoencoder(settings, split, device=device, seed=config["seed"], resume=resume)


def train(context: Context) -> Trainings:
    """A training for each fold."""
    settings, kfold = context.settings, context.settings.kfold
    if kfold.model == "paper_table1":
        model = paper_table1(settings, kfold.epochs)
    else:
        model = best_model(context, kfold.epochs)
    config = {"model": model.model_dump(mode="json"), "num_folds": kfold.num_folds, "seed": settings.seed}
    cost = training_cost(model, _work(settings).images)
    trials = [Trial(_key(fold), config | {"fold": fold}, cost) for fold in range(kfold.num_folds)]
    return Trainings.of(trials, training, epochs=kfold.epochs, metric="val_mse")


def finish(context: Context, records: dict[str, Record]) -> None:
    """Write what the folds came to."""
    settings, num_folds = context.settings, context.settings.kfold.num_folds
    ordered = [records[_key(fold)] for fold in range(num_folds)]
    context.write_table("folds", [_fold_row(record, settings.data.num_train) for record in ordered])
    context.write_table("fold_epochs", [row for record in ordered for row in _epoch_rows(record)])
    context.write_figure("kfold_epochs", figures.fold_curves(context.run.table("fold_epochs")))
    context.write_figure("kfold_test", figures.fold_test(context.run.table("folds")))
    failed = [record["config"]["fold"] for record in ordered if record["state"] == "failed"]
    if failed:
        raise StageFailed(f"of {num_folds} folds failed: {', '.join(map(str, failed))}")


def _key(fold: int) -> str:
    return f"fold-{fold}"


def _fold_row(record: Record, num_images: int) -> Row:
    config = record["config"]
    fold, num_folds = config["fold"], config["num_folds"]
    num_val = num_images * (fold + 1) // num_folds - num_images * fold // num_folds
    last = record["epochs"][-1] if record["state"] == "complete" else {}
    return {
        "fold": fold,
        "order": SEQUENTIAL,
        "seed": config["seed"],
        "num_train": num_images - num_val,
        "num_val": num_val,
        **{name: last.get(name) for name in ("train_mse", "val_mse", "test_mse")},
        "seconds": record["seconds"],
        "state": record["state"],
        "error": record["error"],
    }


def _epoch_rows(record: Record) -> list[Row]:
    columns = ("epoch", "train_mse", "last_batch_mse", "val_mse", "seconds")
    fold = {"fold": record["config"]["fold"], "order": SEQUENTIAL}
    return [fold | {name: epoch[name] for name in columns} for epoch in record["epochs"]]


def _decides(settings: Settings) -> list[BaseModel]:
    table1 = [paper_table1(settings, settings.kfold.epochs)] if settings.kfold.model == "paper_table1" else []
    return [settings.data, settings.kfold, *table1]


def _work(settings: Settings) -> Work:
    kfold = settings.kfold
    return Work(kfold.num_folds, kfold.epochs, math.ceil(settings.data.num_train * (1 - 1 / kfold.num_folds)))


STAGE = Stage(
    name="kfold",
    train=train,
    finish=finish,
    decides=_decides,
    needs=lambda settings: () if settings.kfold.model == "paper_table1" else ("search",),
    work=_work,
)
