"""kfold: the paper's six sequential folds, as Ray Tune trials side by side (Methods, Figure 1).

Reads the table trials (unless the model is paper_table1). Writes the tables folds and fold_epochs and three figures.
Every fold starts from fresh weights and a fresh optimizer, as the author's do not. Beside the paper's order of the
images stand others, and beside the spread of the folds that of a single fold over seeds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from orchestrator.config import Settings
from orchestrator.figures import kfold as figures
from orchestrator.stage import Context, Record, Stage, StageFailed, Trainings, Trial, Work
from orchestrator.stages.search import best_model, paper_table1, training_cost, usual_cost
from orchestrator.tables import Row
from trainables.autoencoder_settings import AutoencoderSettings

if TYPE_CHECKING:
    from trainables.epoch import Epoch
    from trainables.fashion_mnist import FashionMnist


def training(
    config: dict[str, Any], data: FashionMnist, *, device: str, resume: dict[str, Any] | None
) -> Iterator[Epoch]:
    """One fold: train on all blocks but one, validate on that, and test at the end."""
    from trainables.autoencoder import train_autoencoder
    from trainables.splits import fold_split, ordered

    settings, num_folds = AutoencoderSettings.model_validate(config["model"]), config["num_folds"]
    order = ordered(data.train_labels, config["order"], num_folds=num_folds, seed=config["order_seed"])
    split = fold_split(
        data.train_images, order, fold=config["fold"], num_folds=num_folds, test_images=data.test_images
    )
    return train_autoencoder(settings, split, device=device, seed=config["seed"], resume=resume)


def trainings(context: Context) -> Trainings:
    """A training for each order and fold, and for each further seed of the first."""
    settings, kfold = context.settings, context.settings.kfold
    if kfold.model == "paper_table1":
        model = paper_table1(settings, kfold.epochs)
    else:
        model = best_model(context, kfold.epochs)
    common = {"model": model.model_dump(mode="json"), "num_folds": kfold.num_folds, "order_seed": settings.seed}
    cost = training_cost(model, _work(settings).images)
    return Trainings.of(
        [
            Trial(
                f"{order}-{fold}-seed-{seed}",
                common | {"order": order, "fold": fold, "seed": seed},
                epochs=kfold.epochs,
                cost=cost,
            )
            for order, fold, seed in arms(settings)
        ],
        metric="val_mse",
    )


def arms(settings: Settings) -> list[tuple[str, int, int]]:
    """Order, fold and seed of every training."""
    kfold, seed = settings.kfold, settings.seed
    folds = [(str(order), fold, seed) for order in kfold.orders for fold in range(kfold.num_folds)]
    return folds + [(kfold.orders[0], 0, seed + more) for more in range(1, kfold.num_seeds)]


def finish(context: Context, records: dict[str, Record]) -> None:
    """Write what the folds came to."""
    settings = context.settings
    ordered = [records[f"{order}-{fold}-seed-{seed}"] for order, fold, seed in arms(settings)]
    context.write_table("folds", [_fold_row(record, settings.data.num_train) for record in ordered])
    context.write_table("fold_epochs", [row for record in ordered for row in _epoch_rows(record)])
    first = f"order == {settings.kfold.orders[0]!r} and seed == {settings.seed}"
    folds, epochs = context.run.table("folds"), context.run.table("fold_epochs")
    context.write_figure("kfold_epochs", figures.fold_curves, epochs.query(first))
    context.write_figure("kfold_test", figures.fold_test, folds.query(first))
    context.write_figure("kfold_orders", figures.fold_orders, folds)
    failed = [key for key, record in records.items() if record["state"] == "failed"]
    if failed:
        raise StageFailed(f"of {len(ordered)} trainings failed: {', '.join(sorted(failed))}")


def _fold_row(record: Record, num_images: int) -> Row:
    config = record["config"]
    fold, num_folds = config["fold"], config["num_folds"]
    num_val = num_images * (fold + 1) // num_folds - num_images * fold // num_folds
    last = record["epochs"][-1] if record["state"] == "complete" else {}
    return {
        "fold": fold,
        "order": config["order"],
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
    fold = {name: record["config"][name] for name in ("fold", "order", "seed")}
    return [fold | {name: epoch[name] for name in columns} for epoch in record["epochs"]]


def _decides(settings: Settings) -> list[BaseModel]:
    table1 = [paper_table1(settings, settings.kfold.epochs)] if settings.kfold.model == "paper_table1" else []
    return [settings.data, settings.kfold, *table1]


def _work(settings: Settings) -> Work:
    kfold = settings.kfold
    num_images = math.ceil(settings.data.num_train * (1 - 1 / kfold.num_folds))
    units = len(arms(settings))
    return Work(units, kfold.epochs, num_images, units * usual_cost(settings, kfold.epochs, num_images))


STAGE = Stage(
    name="kfold",
    training=training,
    trainings=trainings,
    finish=finish,
    decides=_decides,
    needs=lambda settings: () if settings.kfold.model == "paper_table1" else ("search",),
    work=_work,
)
