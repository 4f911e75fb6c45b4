"""kfold: the paper's six sequential folds, trained side by side (Methods, Figure 1).

Reads the search's best, unless the model is paper_table1. Writes the tables folds and fold_epochs and three figures.
Every fold starts from fresh weights and a fresh optimizer, as the author's do not. Beside the paper's order of the
images stand others, and beside the spread of the folds that of a single fold over seeds.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field

from orchestrator.engine.records import Record, Trial
from orchestrator.engine.settings import Scale, Section
from orchestrator.engine.stage import Context, Picture, Stage, Table, Tables, Worker
from orchestrator.engine.tables import EPOCH, SECONDS, SEED, schema
from orchestrator.stages.architectures import best, table1, training_cost
from orchestrator.stages.columns import LAST_TRAIN_MSE, OUTCOME, TEST_MSE, TRAIN_MSE, category, integer, mse
from orchestrator.stages.measures import epoch_rows
from orchestrator.stages.sections import Autoencoders, Data, Distinct
from trainables.autoencoder_settings import VERSION, AutoencoderSettings
from trainables.epoch import Epoch
from trainables.splits import Order, fold_split, ordered

WHICH = (
    integer("fold", "which of the blocks validates, from 0"),
    category("order", "order of the images that blocks are cut from (trainables.splits)"),
    SEED,
)


class Settings(Section):
    """Sequential cross-validation."""

    model: Literal["best", "paper_table1"] = "best"
    """Which settings to validate: the search's best or the paper's Table 1."""
    num_folds: Annotated[int, Field(ge=2, le=60), Scale("folds")] = 6
    """Contiguous blocks of the training images."""
    epochs: Annotated[int, Field(ge=1), Scale("epochs a fold")] = 20
    """Epochs of each fold."""
    orders: Annotated[Distinct[Order], Scale("orders of the images")] = get_args(Order)
    """Orders of the images that blocks are cut from: sequential is the paper's, class_sorted its opposite."""
    num_seeds: Annotated[int, Field(ge=1), Scale("seeds of one fold")] = 4
    """Seeds that the first order's fold 0 is trained with: how much folds would differ by chance alone."""


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
    presets: ClassVar = {
        "laptop": {"epochs": 2, "orders": ("sequential", "class_sorted"), "num_seeds": 3},
        "smoke": {"epochs": 2, "orders": ("sequential", "class_sorted"), "num_seeds": 2},
    }
    schemas: ClassVar = {
        "folds": schema(
            *WHICH,
            integer("num_train", "images trained on"),
            integer("num_val", "images validated on"),
            LAST_TRAIN_MSE,
            mse("val_mse", "error on the fold's validation block after the last epoch"),
            TEST_MSE,
            *OUTCOME,
        ),
        "fold_epochs": schema(
            *WHICH,
            EPOCH,
            TRAIN_MSE,
            mse("last_batch_mse", "the epoch's last batch; the paper's Figure 1 plots this"),
            mse("val_mse", "error on the fold's validation block at the end of the epoch"),
            SECONDS,
        ),
    }
    shown = ("folds",)

    def needs(self, own: Settings) -> tuple[str, ...]:
        return () if own.model == "paper_table1" else ("search",)

    def trials(self, context: Context[Settings]) -> Iterator[Trial[Fold]]:
        """Every order and fold, and further seeds of the first."""
        own, seed, num_train = context.own, context.seed, context.section(Data).num_train
        model = (table1 if own.model == "paper_table1" else best)(context, own.epochs)
        num_images = num_train - num_train // own.num_folds
        cost = training_cost(model, num_images)
        arms = [(order, fold, seed) for order in own.orders for fold in range(own.num_folds)]
        arms += [(own.orders[0], 0, seed + more) for more in range(1, own.num_seeds)]
        for order, number, of_training in arms:
            fold = Fold(model=model, order=order, order_seed=seed, fold=number, num_folds=own.num_folds)
            yield Trial(f"{order}-{number}-seed-{of_training}", fold, of_training, own.epochs, num_images, cost)

    def train(self, trial: Trial[Fold], data: Any, worker: Worker) -> Iterator[Epoch]:
        """Train on all blocks but one, validate on that, and test at the end."""
        from trainables.autoencoder import train_autoencoder

        fold, images, num_folds = trial.config, data.train_images, trial.config.num_folds
        order = ordered(data.train_labels, fold.order, num_folds=num_folds, seed=fold.order_seed)
        split = fold_split(images, order, fold=fold.fold, num_folds=num_folds, test_images=data.test_images)
        return train_autoencoder(fold.model, split, device=worker.device, seed=trial.seed, resume=worker.resume)

    def results(self, context: Context[Settings], records: Sequence[Record[Fold]]) -> Iterator[Table]:
        num_train = context.section(Data).num_train
        yield Table("folds", [_row(record, num_train) for record in records])
        told = [(record, _which(record)) for record in records]
        yield Table("fold_epochs", epoch_rows(self.schemas["fold_epochs"], told))

    def figures(self, context: Context[Settings], tables: Tables) -> Iterator[Picture]:
        from orchestrator.stages.kfold import figures

        first = f"order == {context.own.orders[0]!r} and seed == {context.seed}"
        folds, epochs = tables["folds"], tables["fold_epochs"].query(first)
        caption = "Learning curves of the folds; hollow marks are the author's values after 20 epochs."
        yield Picture("kfold_epochs", caption, figures.fold_curves, epochs)
        caption = "Error of each fold's model on the test images."
        yield Picture("kfold_test", caption, figures.fold_test, folds.query(first))
        caption = "The folds when the images are in another order, and one fold over seeds."
        yield Picture("kfold_orders", caption, figures.fold_orders, folds)

    def findings(self, tables: Tables) -> Iterator[str]:
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
            val, test = seeds["val_mse"].std(), seeds["test_mse"].std()
            yield (
                f"Fold {first['fold']} alone over {len(seeds)} seeds: standard deviation {val:.5f} in validation, "
                f"{test:.5f} in test: what folds would differ by through chance alone."
            )


def _which(record: Record[Fold]) -> dict[str, Any]:
    return {"fold": record.config.fold, "order": record.config.order, "seed": record.seed}


def _row(record: Record[Fold], num_images: int) -> dict[str, Any]:
    fold, num_folds = record.config.fold, record.config.num_folds
    num_val = num_images * (fold + 1) // num_folds - num_images * fold // num_folds
    errors = {name: record.last.get(name) for name in ("train_mse", "val_mse", "test_mse")}
    return _which(record) | {"num_train": num_images - num_val, "num_val": num_val} | errors | record.outcome
