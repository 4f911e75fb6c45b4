"""refit: final models on all training images, saved for others to load (the paper's Table 1).

Reads the search's best. Writes models/*.safetensors and .json, the tables models and layers, and figures: best and
worst reconstructions, traversals of the latent space, interpolations, and samples decoded from random vectors.
The models: best (the search's), paper_table1, and with the best one's sizes two_dim (a latent vector of 2),
denoise_zeroed and denoise_gaussian (trained to give clean images back from noisy ones).
"""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from pydantic import Field

from orchestrator.engine.records import Trial
from orchestrator.engine.settings import Scale, Section, changed
from orchestrator.engine.stage import Context, Model, Picture, Stage, Table, Tables, Worker
from orchestrator.engine.tables import ERROR, SECONDS, SEED, STATE, schema
from orchestrator.stages.architectures import Trained, best, model_file, model_row, restored, table1, training_cost
from orchestrator.stages.columns import LAST_TRAIN_MSE, MODEL, PARAMS, TEST_MSE, boolean, category, integer, text
from orchestrator.stages.sections import Autoencoders, Data
from trainables.autoencoder_settings import VERSION, AutoencoderSettings
from trainables.epoch import Epoch
from trainables.splits import all_images

NOISE = category("noise", "what the training images were corrupted with: none, zeroed or gaussian")
NUM_EPOCHS = integer("epochs", "epochs of training")


class Settings(Section):
    """Final models, trained on all training images."""

    epochs: Annotated[int, Field(ge=1), Scale("epochs a final model")] = 20
    """Epochs of each model."""


class Refit(Stage[Settings, AutoencoderSettings]):
    """The final models."""

    name, title, metric = "refit", "Final models (the paper's Table 1)", "train_mse"
    settings, config, version = Settings, AutoencoderSettings, VERSION
    reads = (Data, Autoencoders)
    presets: ClassVar = {"laptop": {"epochs": 4}, "smoke": {"epochs": 2}}
    schemas: ClassVar = {
        "models": schema(MODEL, *PARAMS, NOISE, NUM_EPOCHS, LAST_TRAIN_MSE, TEST_MSE, SECONDS, SEED, STATE, ERROR),
        "layers": schema(
            MODEL,
            category("layer", "the paper's name for the layer"),
            category("kind", "class of the module"),
            integer("in_channels", "channels, or features of a linear layer, going in"),
            integer("out_channels", "channels, or features of a linear layer, coming out"),
            integer("kernel", "height and width of the kernel", "pixel"),
            integer("stride", "step of the kernel", "pixel"),
            integer("padding", "zeros added on each side", "pixel"),
            integer("output_padding", "rows and columns added to one side of the output", "pixel"),
            text("output_shape", "shape of one image's output"),
            category("activation", "non-linearity that belongs to the layer"),
            boolean("batch_norm", "whether batch norm follows the activation"),
            category("acts_on", "whether the activation takes the layer's output or gives its input"),
            integer("num_parameters", "trainable numbers of the layer and its batch norm"),
        ),
    }
    shown = ("models", "layers")

    def needs(self, own: Settings) -> tuple[str, ...]:
        return ("search",)

    def trials(self, context: Context[Settings]) -> Iterator[Trial[AutoencoderSettings]]:
        epochs, num_images = context.own.epochs, context.section(Data).num_train
        found = best(context, epochs)
        models = {
            "best": found,
            "paper_table1": table1(context, epochs),
            "two_dim": changed(found, latent_dim=2),
            "denoise_zeroed": changed(found, noise="zeroed"),
            "denoise_gaussian": changed(found, noise="gaussian"),
        }
        for name, model in models.items():
            cost = training_cost(model, num_images)
            yield Trial(name, model, context.seed, epochs, num_images, cost, keep_weights=True)

    def train(self, trial: Trial[AutoencoderSettings], data: Any, worker: Worker) -> Iterator[Epoch]:
        """Train on every training image, test at the end."""
        from trainables.autoencoder import train_autoencoder

        split = all_images(data.train_images, data.test_images)
        return train_autoencoder(trial.config, split, device=worker.device, seed=trial.seed, resume=worker.resume)

    def results(self, context: Context[Settings], records: Trained) -> Iterator[Table | Model]:
        from orchestrator.stages.refit.layers import layer_table

        metrics = ("train_mse", "test_mse")
        rows = [model_row(record, *metrics, model=record.key, noise=record.config.noise) for record in records]
        yield Table("models", rows)
        layers = []
        for record in records:
            if record.state == "complete":
                yield model_file(record.key, record, "trainables.autoencoder.Autoencoder", record.config, "test_mse")
                model = restored(record.config, context.weights(record))
                layers += [{"model": record.key} | row for row in layer_table(model)]
        yield Table("layers", layers)

    def figures(self, context: Context[Settings], tables: Tables) -> Iterator[Picture]:
        from orchestrator.stages.refit.pictures import pictures

        return pictures(context)

    def findings(self, tables: Tables) -> Iterator[str]:
        for row in tables["models"].dropna(subset=["test_mse"]).itertuples():
            yield f"{row.model}: test MSE {row.test_mse:.5f}, {row.num_parameters:,} parameters."
