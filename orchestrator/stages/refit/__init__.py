"""refit: final models on all training images, saved for others to load (the paper's Table 1).

Reads the search's best. Writes models/*.safetensors and .json, the tables models and layers, and figures: best and
worst reconstructions, traversals of the latent space, interpolations, and samples decoded from random vectors.
The models: best (the search's), paper_table1, and with the best one's sizes two_dim (a latent vector of 2),
denoise_zeroed and denoise_gaussian (trained to give clean images back from noisy ones).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import pyarrow as pa
from pydantic import Field

from orchestrator.engine.records import Record, Trial
from orchestrator.engine.settings import Scale, Section, changed
from orchestrator.engine.stage import Context, Model, Picture, Presets, Stage, Table, Tables, Worker
from orchestrator.engine.tables import CATEGORY, ERROR, INT, SECONDS, SEED, STATE, TEXT, column, schema
from orchestrator.stages.architectures import best, described, param_columns, table1, training_cost, with_weights
from orchestrator.stages.columns import MODEL, NUM_PARAMETERS, PARAMS, mse
from orchestrator.stages.sections import Autoencoders, Data
from trainables.autoencoder_settings import VERSION, AutoencoderSettings
from trainables.epoch import Epoch


class Settings(Section):
    """Final models, trained on all training images."""

    epochs: Annotated[int, Field(ge=1), Scale("epochs a final model")] = 20
    """Epochs of each model."""


class Refit(Stage[Settings, AutoencoderSettings]):
    """The final models."""

    name, title, metric = "refit", "Final models (the paper's Table 1)", "train_mse"
    settings, config, version = Settings, AutoencoderSettings, VERSION
    reads = (Data, Autoencoders)
    presets: ClassVar[Presets] = {"laptop": {"epochs": 4}, "smoke": {"epochs": 2}}
    schemas = {
        "models": schema(
            MODEL,
            *PARAMS,
            NUM_PARAMETERS,
            column("noise", CATEGORY, "what the training images were corrupted with: none, zeroed or gaussian"),
            column("epochs", INT, "epochs of training"),
            mse("train_mse", "mean over the last epoch's batches"),
            mse("test_mse", "error on the test images after the last epoch"),
            SECONDS,
            SEED,
            STATE,
            ERROR,
        ),
        "layers": schema(
            MODEL,
            column("layer", CATEGORY, "the paper's name for the layer"),
            column("kind", CATEGORY, "class of the module"),
            column("in_channels", INT, "channels, or features of a linear layer, going in"),
            column("out_channels", INT, "channels, or features of a linear layer, coming out"),
            column("kernel", INT, "height and width of the kernel", "pixel"),
            column("stride", INT, "step of the kernel", "pixel"),
            column("padding", INT, "zeros added on each side", "pixel"),
            column("output_padding", INT, "rows and columns added to one side of the output", "pixel"),
            column("output_shape", TEXT, "shape of one image's output"),
            column("activation", CATEGORY, "non-linearity that belongs to the layer"),
            column("batch_norm", pa.bool_(), "whether batch norm follows the activation"),
            column("acts_on", CATEGORY, "whether the activation takes the layer's output or gives its input"),
            column("num_parameters", INT, "trainable numbers of the layer and its batch norm"),
        ),
    }
    shown = ("models", "layers")

    def needs(self, own: Settings) -> tuple[str, ...]:
        """The search."""
        return ("search",)

    def trials(self, context: Context[Settings]) -> list[Trial[AutoencoderSettings]]:
        """One for each model."""
        epochs, num_images = context.own.epochs, context.section(Data).num_train
        found = best(context, epochs)
        models = {
            "best": found,
            "paper_table1": table1(context, epochs),
            "two_dim": changed(found, latent_dim=2),
            "denoise_zeroed": changed(found, noise="zeroed"),
            "denoise_gaussian": changed(found, noise="gaussian"),
        }
        return [
            Trial(name, model, context.seed, epochs, num_images, training_cost(model, num_images), keep_weights=True)
            for name, model in models.items()
        ]

    def train(self, trial: Trial[AutoencoderSettings], data: Any, worker: Worker) -> Iterator[Epoch]:
        """Train on every training image, test at the end."""
        from trainables.autoencoder import train_autoencoder
        from trainables.splits import all_images

        split = all_images(data.train_images, data.test_images)
        return train_autoencoder(trial.config, split, device=worker.device, seed=trial.seed, resume=worker.resume)

    def results(
        self, context: Context[Settings], records: Sequence[Record[AutoencoderSettings]]
    ) -> Iterator[Table | Model]:
        """The models, and what they are."""
        from orchestrator.stages.refit.layers import layer_table

        yield Table("models", [_row(record) for record in records])
        layers = []
        for record in records:
            if record.state == "complete":
                settings = record.config.model_dump(mode="json")
                kind = "trainables.autoencoder.Autoencoder"
                yield Model(record.key, record, described(record, kind, settings, test_mse=record.last["test_mse"]))
                model = with_weights(record.config, context.weights(record))
                layers += [{"model": record.key} | row for row in layer_table(model)]
        yield Table("layers", layers)

    def figures(self, context: Context[Settings], tables: Tables) -> Iterator[Picture]:
        """What the models make of images, and the best one's decoder of latent vectors."""
        from orchestrator.stages.refit.pictures import of_decoder, of_reconstructions

        records = {record.key: record for record in context.own_records if record.state == "complete"}
        captions = {
            "best": "best: originals over reconstructions, the best and the worst image of each class.",
            "paper_table1": "paper_table1: the same for the paper's architecture.",
            "two_dim": "two_dim: the same for a latent vector of two numbers.",
        }
        models = {
            name: with_weights(record.config, context.weights(record))
            for name, record in records.items()
            if name in captions
        }
        for name, model in models.items():
            yield of_reconstructions(f"refit_{name}", captions[name], model, context.data)
        if "best" in models:
            yield from of_decoder(models["best"], context.data, context.seed)

    def findings(self, tables: Tables) -> Iterator[str]:
        """Each model's error."""
        for row in tables["models"].dropna(subset=["test_mse"]).itertuples():
            yield f"{row.model}: test MSE {row.test_mse:.5f}, {row.num_parameters:,} parameters."


def _row(record: Record[AutoencoderSettings]) -> dict[str, Any]:
    return {
        "model": record.key,
        **param_columns(record.config),
        "num_parameters": record.config.num_parameters,
        "noise": record.config.noise,
        "epochs": len(record.epochs),
        **{column: record.last.get(column) for column in ("train_mse", "test_mse")},
        "seed": record.seed,
        **record.outcome,
    }
