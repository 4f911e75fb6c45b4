"""kfold: the paper's six sequential folds, trained side by side (Methods, Figure 1).

Reads the search's best, unless the model is paper_table1. Writes the tables folds and fold_epochs and three figures.
Every fold starts from fresh weights and a fresh optimizer, as the author's do not. Beside the paper's order of the
images stand others, and beside the spread of the folds that of a single fold over seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from orchestrator.engine.records import Record, Trial
from orchestrator.engine.settings import Scale, Section, check_distinct
from orchestrator.engine.stage import Context, Picture, Presets, Stage, Table, Tables, Worker
from orchestrator.engine.tables import CATEGORY, EPOCH, ERROR, INT, SECONDS, SEED, STATE, column, schema
from orchestrator.stages.architectures import best, table1, training_cost
from orchestrator.stages.columns import mse
from orchestrator.stages.sections import Autoencoders, Data
from trainables.autoencoder_settings import VERSION, AutoencoderSettings
from trainables.epoch import Epoch
from trainables.splits import Order

FOLD = column("fold", INT, "which of the blocks validates, from 0")
ORDER = column("order", CATEGORY, "order of the images that blocks are cut from (trainables.splits)")


class Settings(Section):
    """Sequential cross-validation."""

    model: Literal["best", "paper_table1"] = "best"
    """Which settings to validate: the search's best or the paper's Table 1."""
    num_folds: Annotated[int, Field(ge=2, le=60), Scale("folds")] = 6
    """Contiguous blocks of the training images."""
    epochs: Annotated[int, Field(ge=1), Scale("epochs a fold")] = 20
    """Epochs of each fold."""
    orders: Annotated[tuple[Order, ...], Scale("orders of the images")] = (
        "sequential",
        "shuffled",
        "stratified",
        "class_sorted",
    )
    """Orders of the images that blocks are cut from: sequential is the paper's, class_sorted its opposite."""
    num_seeds: Annotated[int, Field(ge=1), Scale("seeds of one fold")] = 4
    """Seeds that the first order's fold 0 is trained with: how much folds would differ by chance alone."""

    @model_validator(mode="after")
    def _orders(self) -> Self:
        check_distinct("orders", self.orders)
        return self


class Fold(Section):
    """One training: on all blocks but one."""

    model: AutoencoderSettings
    order: Order
    order_seed: int
    """Decides the shuffled and the stratified order."""
    fold: int
    num_folds: int


class Kfold(Stage[Settings, Fold]):
    """The folds."""

    name, title, metric = "kfold", "Six sequential folds (the paper's Figure 1)", "val_mse"
    settings, config, version = Settings, Fold, VERSION
    reads = (Data, Autoencoders)
    presets: ClassVar[Presets] = {
        "laptop": {"epochs": 2, "orders": ("sequential", "class_sorted"), "num_seeds": 3},
        "smoke": {"epochs": 2, "orders": ("sequential", "class_sorted"), "num_seeds": 2},
    }
    schemas = {
        "folds": schema(
            FOLD,
            ORDER,
            SEED,
            column("num_train", INT, "images trained on"),
            column("num_val", INT, "images validated on"),
            mse("train_mse", "mean over the last epoch's batches"),
            mse("val_mse", "error on the fold's validation block after the last epoch"),
            mse("test_mse", "error on the test images after the last epoch"),
            SECONDS,
            STATE,
            ERROR,
        ),
        "fold_epochs": schema(
            FOLD,
            ORDER,
            SEED,
            EPOCH,
            mse("train_mse", "mean over the epoch's batches, while the weights move"),
            mse("last_batch_mse", "the epoch's last batch; the paper's Figure 1 plots this"),
            mse("val_mse", "error on the fold's validation block at the end of the epoch"),
            SECONDS,
        ),
    }
    shown = ("folds",)

    def needs(self, own: Settings) -> tuple[str, ...]:
        """The search, unless Table 1 is validated."""
        return () if own.model == "paper_table1" else ("search",)

    def trials(self, context: Context[Settings]) -> list[Trial[Fold]]:
        """Every order and fold, and further seeds of the first."""
        own, seed, num_train = context.own, context.seed, context.section(Data).num_train
        model = (table1 if own.model == "paper_table1" else best)(context, own.epochs)
        num_images = num_train - num_train // own.num_folds
        arms = [(order, fold, seed) for order in own.orders for fold in range(own.num_folds)]
        arms += [(own.orders[0], 0, seed + more) for more in range(1, own.num_seeds)]
        return [
            Trial(
                f"{order}-{fold}-seed-{of_training}",
                Fold(model=model, order=order, order_seed=seed, fold=fold, num_folds=own.num_folds),
                of_training,
                own.epochs,
                num_images,
                training_cost(model, num_images),
            )
            for order, fold, of_training in arms
        ]

    def train(self, trial: Trial[Fold], data: Any, worker: Worker) -> Iterator[Epoch]:
        """Train on all blocks but one, validate on that, and test at the end."""
        from trainables.autoencoder import train_autoencoder
        from trainables.splits import fold_split, ordered

        fold = trial.config
        order = ordered(data.train_labels, fold.order, num_folds=fold.num_folds, seed=fold.order_seed)
        split = fold_split(
            data.train_images, order, fold=fold.fold, num_folds=fold.num_folds, test_images=data.test_images
        )
        return train_autoencoder(fold.model, split, device=worker.device, seed=trial.seed, resume=worker.resume)

    def results(self, context: Context[Settings], records: Sequence[Record[Fold]]) -> Iterator[Table]:
        """What the folds came to, and their curves."""
        num_train = context.section(Data).num_train
        yield Table("folds", [_row(record, num_train) for record in records])
        columns = ("epoch", "train_mse", "last_batch_mse", "val_mse", "seconds")
        rows = [row for record in records for row in record.of_epochs(*columns, **_which(record))]
        yield Table("fold_epochs", rows)

    def figures(self, context: Context[Settings], tables: Tables) -> Iterator[Picture]:
        """The paper's Figure 1, and what it leaves out."""
        from orchestrator.stages.kfold import figures

        first = f"order == {context.own.orders[0]!r} and seed == {context.seed}"
        folds, epochs = tables["folds"], tables["fold_epochs"]
        yield Picture(
            "kfold_epochs",
            "Learning curves of the folds; hollow marks are the author's values after 20 epochs.",
            figures.fold_curves,
            epochs.query(first),
        )
        caption = "Error of each fold's model on the test images."
        yield Picture("kfold_test", caption, figures.fold_test, folds.query(first))
        caption = "The folds when the images are in another order, and one fold over seeds."
        yield Picture("kfold_orders", caption, figures.fold_orders, folds)

    def findings(self, tables: Tables) -> Iterator[str]:
        """Spread over folds, over orders of the images and over seeds."""
        folds = tables["folds"].dropna(subset=["val_mse", "test_mse"])
        if folds.empty:
            return
        first = folds.iloc[0]
        for order, rows in folds[folds["seed"] == first["seed"]].groupby("order", observed=True, sort=False):
            if len(rows) > 1:
                val, test = rows["val_mse"], rows["test_mse"]
                yield (
                    f"Order {str(order).replace('_', ' ')}, {len(rows)} folds: validation MSE mean {val.mean():.5f}, "
                    f"standard deviation {val.std():.5f}; test MSE mean {test.mean():.5f}, standard deviation "
                    f"{test.std():.5f}."
                )
        seeds = folds[(folds["order"] == first["order"]) & (folds["fold"] == first["fold"])]
        if len(seeds) > 1:
            yield (
                f"Fold {first['fold']} alone over {len(seeds)} seeds: standard deviation "
                f"{seeds['val_mse'].std():.5f} in validation, {seeds['test_mse'].std():.5f} in test: what folds would "
                "differ by through chance alone."
            )


def _which(record: Record[Fold]) -> dict[str, Any]:
    return {"fold": record.config.fold, "order": record.config.order, "seed": record.seed}


def _row(record: Record[Fold], num_images: int) -> dict[str, Any]:
    fold, num_folds = record.config.fold, record.config.num_folds
    num_val = num_images * (fold + 1) // num_folds - num_images * fold // num_folds
    errors = {name: record.last.get(name) for name in ("train_mse", "val_mse", "test_mse")}
    return _which(record) | {"num_train": num_images - num_val, "num_val": num_val} | errors | record.outcome
