"""kfold: the paper's six sequential folds, trained side by side (Methods, Figure 1).

Reads the search's best, where that is among the models. Writes the tables folds, fold_epochs and class_balance and
figures. Every fold starts from fresh weights and a fresh optimizer, as the author's do not. The first model has every
fold from several seeds, so that the spread of folds is told from that of chance. The paper's order of the images
stands beside one by class, and the search's best beside Table 1 and the author's published best.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from orchestrator.engine.records import Record, Trial
from orchestrator.engine.settings import Scale, Section, UserError
from orchestrator.engine.stage import Context, Picture, Stage, Table, Tables, Worker
from orchestrator.engine.tables import EPOCH, SECONDS, SEED, schema
from orchestrator.figures.names import MODELS as NAMED
from orchestrator.figures.names import ORDERS
from orchestrator.stages.architectures import AnyAutoencoder, as_one, author_best, best, table1, training_cost
from orchestrator.stages.columns import (
    EVALUATED_MSE,
    LABEL,
    LAST_TRAIN_MSE,
    OUTCOME,
    TEST_MSE,
    TRAIN_MSE,
    category,
    integer,
    mse,
)
from orchestrator.stages.measures import epoch_rows
from orchestrator.stages.sections import Autoencoders, Data, Distinct
from trainables.autoencoder_settings import VERSION, AutoencoderSettings
from trainables.epoch import Epoch, State
from trainables.splits import Order, Split, fold_split, ordered

ModelName = Literal["best", "paper_table1", "author_best"]
MODELS = {"best": best, "paper_table1": table1, "author_best": author_best}
CLASS_ERRORS = [f"val_mse_class_{label}" for label in range(10)]
"""Of further classes the table has no columns."""
WITHOUT_LABELS: tuple[Order, ...] = ("sequential", "shuffled")
"""Orders that can be had of images without labels."""
WHICH = (
    category("model", "best (the search's), paper_table1 or author_best (the author's published one)"),
    integer("fold", "which of the blocks validates, from 0"),
    category("order", "of the images that blocks are cut from; " + "; ".join(map(": ".join, ORDERS.items()))),
    SEED,
)


class Settings(Section):
    """Sequential cross-validation."""

    models: Annotated[Distinct[ModelName], Scale("models through the folds")] = (
        "best",
        "paper_table1",
        "author_best",
    )
    """Which settings to validate: the search's best, the paper's Table 1, the author's published best. The first has
    all orders and seeds, the others the first order and the run's seed."""
    num_folds: Annotated[int, Field(ge=2, le=60), Scale("folds")] = 6
    """Contiguous blocks of the training images."""
    epochs: Annotated[int, Field(ge=1), Scale("epochs a fold")] = 20
    """Epochs of each fold."""
    orders: Annotated[Distinct[Order], Scale("orders of the images")] = ("sequential", "class_sorted")
    """Orders of the images that blocks are cut from: sequential is the paper's, class_sorted its opposite. Those by
    class are left out where images have no labels."""
    num_seeds: Annotated[int, Field(ge=1), Scale("seeds of each fold")] = 4
    """Seeds that each fold of the first order is trained with: how much folds would differ by chance alone."""


class Fold(Section):
    """One training: on all blocks but one."""

    model: AnyAutoencoder
    order: Order
    order_seed: int
    """Decides the shuffled and the stratified order."""
    fold: int
    num_folds: int


class Kfold(Stage[Settings, Fold]):
    """The folds."""

    name, title, metric = "kfold", "Sequential folds", "val_mse"
    settings, config, version = Settings, Fold, VERSION
    reads = (Data, Autoencoders)
    presets: ClassVar = {
        "laptop": {"epochs": 2, "models": ("best", "paper_table1"), "num_seeds": 1},
        "smoke": {"epochs": 2, "models": ("best", "paper_table1"), "num_seeds": 2, "num_folds": 3},
    }
    schemas: ClassVar = {
        "folds": schema(
            *WHICH,
            integer("num_train", "images trained on"),
            integer("num_val", "images validated on"),
            LAST_TRAIN_MSE,
            EVALUATED_MSE,
            mse("val_mse", "error on the fold's validation block after the last epoch"),
            *(mse(name, f"of the images of class {name[-1]} in that block, if any") for name in CLASS_ERRORS),
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
        "class_balance": schema(
            category("images", "train, test or validation: a fold's block of the training images"),
            category("order", "of the images that blocks are cut from; missing but for validation"),
            integer("fold", "which block; missing but for validation"),
            LABEL,
            integer("num_images", "images of this class"),
        ),
    }
    shown = ("folds", "class_balance")

    def needs(self, own: Settings) -> tuple[str, ...]:
        return ("search",) if "best" in own.models else ()

    def trials(self, context: Context[Settings]) -> Iterator[Trial[Fold]]:
        """Every model's folds in the first order, then other orders and seeds of the first model."""
        own, seed, num_train = context.own, context.seed, context.section(Data).num_train
        first, *others = orders(own, context.section(Data))
        arms = [(name, first, seed) for name in own.models]
        arms += [(own.models[0], order, seed) for order in others]
        arms += [(own.models[0], first, seed + more) for more in range(1, own.num_seeds)]
        for name, order, of_training in arms:
            model = MODELS[name](context, own.epochs)
            cost = training_cost(model, num_train - num_train // own.num_folds)
            for number in range(own.num_folds):
                fold = Fold(model=model, order=order, order_seed=seed, fold=number, num_folds=own.num_folds)
                key = f"{name}-{order}-{number}-seed-{of_training}"
                yield Trial(key, fold, of_training, own.epochs, num_train - _num_val(fold, num_train), cost)

    def train(self, trial: Trial[Fold], data: Any, worker: Worker) -> Iterator[Epoch]:
        """Train on all blocks but one, validate on that, and test at the end."""
        from trainables.autoencoder import train_autoencoder

        model, split = trial.config.model, _split(trial.config, data)
        return train_autoencoder(model, split, device=worker.device, seed=trial.seed, resume=worker.resume)

    def alike(self, trial: Trial[Fold]) -> Hashable | None:
        """Folds and seeds of a model."""
        return as_one(trial.config.model, trial.num_images)

    def train_ensemble(
        self, trials: Sequence[Trial[Fold]], data: Any, worker: Worker, resumes: Sequence[State] | None
    ) -> Iterator[Sequence[Epoch]]:
        """Train the folds and seeds of a model as one network."""
        from trainables.ensemble import train_ensemble

        model, seeds = trials[0].config.model, [trial.seed for trial in trials]
        assert isinstance(model, AutoencoderSettings)
        splits = [_split(trial.config, data) for trial in trials]
        return train_ensemble(model, splits, device=worker.device, seeds=seeds, resumes=resumes)

    def results(self, context: Context[Settings], records: Sequence[Record[Fold]]) -> Iterator[Table]:
        yield Table("folds", [_row(record, context.section(Data).num_train) for record in records])
        told = [(record, _which(record)) for record in records]
        yield Table("fold_epochs", epoch_rows(self.schemas["fold_epochs"], told))
        yield Table("class_balance", list(_class_balance(context)))

    def figures(self, context: Context[Settings], tables: Tables) -> Iterator[Picture]:
        from orchestrator.figures.interactive import curves
        from orchestrator.stages.kfold import figures

        own, folds, papers = context.own, tables["folds"], context.section(Data).is_papers
        first = f"order == {orders(own, context.section(Data))[0]!r} and seed == {context.seed}"
        for name in own.models:
            epochs = tables["fold_epochs"].query(f"{first} and model == {name!r}")
            caption = f"Learning curves of the folds of {NAMED[name]}."
            if papers:
                caption += (
                    " The strip has the end values of the paper's Figure 1, after 20 epochs, of its author's model, "
                    "whose folds went on from one another."
                )
            picture = "kfold_epochs" if name == own.models[0] else f"kfold_epochs_{name}"
            yield Picture(picture, caption, figures.fold_curves, epochs, name, with_author=papers)
        name = own.models[0]
        caption = f"Error on the test images of the model of each fold of {NAMED[name]}."
        yield Picture("kfold_test", caption, figures.fold_test, folds.query(f"{first} and model == {name!r}"), name)
        caption = (
            "The folds of each model, those of the first also in another order of the images: how much they differ "
            "by what they validate on, and, where there are more seeds, by chance alone."
        )
        yield Picture("kfold_orders", caption, figures.fold_orders, folds)
        named = tables["fold_epochs"].query("order == 'sequential'")
        named = named.assign(name=named["model"].map(NAMED).astype(str) + ", fold " + named["fold"].astype(str))
        caption = "Validation error of each fold by epoch, sequential folds, mean over seeds; to be read off."
        yield Picture("kfold_curves", caption, curves, named, ["name"], "val_mse", "validation MSE", logarithmic=True)

    def findings(self, tables: Tables) -> Iterator[str]:
        from orchestrator.stages.kfold.spread import findings

        return findings(tables["folds"].dropna(subset=["val_mse", "test_mse"]))


def orders(own: Settings, data: Data) -> tuple[Order, ...]:
    """The orders of the images, without those by class where there are no labels; UserError where none is left."""
    found = tuple(order for order in own.orders if data.class_names or order in WITHOUT_LABELS)
    if not found:
        raise UserError(f"--kfold.orders: these images have no labels; there are: {', '.join(WITHOUT_LABELS)}")
    return found


def _split(fold: Fold, data: Any) -> Split:
    images, num_folds = data.train_images, fold.num_folds
    order = ordered(_labels(data), fold.order, num_folds=num_folds, seed=fold.order_seed)
    split = fold_split(images, order, fold=fold.fold, num_folds=num_folds, test_images=data.test_images)
    return replace(split, labels=data.train_labels)


def _num_val(fold: Fold, num_images: int) -> int:
    return num_images * (fold.fold + 1) // fold.num_folds - num_images * fold.fold // fold.num_folds


def _labels(data: Any) -> NDArray[np.uint8]:
    """The training images' classes; all the same where there are none."""
    return np.zeros(len(data.train_images), np.uint8) if data.train_labels is None else data.train_labels


def _which(record: Record[Fold]) -> dict[str, Any]:
    name = record.key.partition("-")[0]
    return {"model": name, "fold": record.config.fold, "order": record.config.order, "seed": record.seed}


def _row(record: Record[Fold], num_images: int) -> dict[str, Any]:
    num_val = _num_val(record.config, num_images)
    names = ("train_mse", "train_mse_evaluated", "val_mse", "test_mse", *CLASS_ERRORS)
    errors = {name: record.last.get(name) for name in names}
    return _which(record) | {"num_train": num_images - num_val, "num_val": num_val} | errors | record.outcome


def _class_balance(context: Context[Settings]) -> Iterator[dict[str, Any]]:
    own, data, number_of = context.own, context.data, len(context.section(Data).class_names)
    whole = {"train": data.train_labels, "test": data.test_labels}
    parts: list[tuple[str, str | None, int | None, Any]] = [(name, None, None, of) for name, of in whole.items()]
    for order in own.orders if number_of else ():
        index = ordered(data.train_labels, order, num_folds=own.num_folds, seed=context.seed)
        for fold in range(own.num_folds):
            block = fold_split(data.train_images, index, fold=fold, num_folds=own.num_folds).validation
            parts.append(("validation", order, fold, data.train_labels[block]))
    for images, of_order, number, labels in parts if number_of else ():
        for label, count in enumerate(np.bincount(labels, minlength=number_of)):
            yield {"images": images, "order": of_order, "fold": number, "label": label, "num_images": int(count)}
