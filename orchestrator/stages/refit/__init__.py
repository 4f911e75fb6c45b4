"""refit: final models on all training images, saved for others to load (the paper's Table 1).

Reads the search's best. Writes models/*.safetensors and .json, the tables models and layers, and figures: best and
worst reconstructions, traversals of the latent space, interpolations, and samples decoded from random vectors.
The models: best (the search's), paper_table1, two_dim (a latent vector of 2; wider), and with the best
one's sizes denoise_zeroed, denoise_gaussian and denoise_gaussian_unclipped (trained to give clean images back from
noisy ones).
Each is trained from several seeds; under models/ and in the figures is the first seed's.
"""

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, ClassVar

from orchestrator.engine.records import Record, Trial
from orchestrator.engine.settings import changed
from orchestrator.engine.stage import Context, Model, Picture, Stage, Table, Tables, Worker
from orchestrator.engine.tables import ERROR, SECONDS, SEED, STATE, schema
from orchestrator.figures.names import MODELS, NOISES, capital
from orchestrator.stages.architectures import (
    AnyAutoencoder,
    Trained,
    as_one,
    best,
    model_file,
    model_row,
    plane_model,
    refit_key,
    table1,
    training_cost,
)
from orchestrator.stages.columns import (
    EVALUATED_MSE,
    LAST_TRAIN_MSE,
    MODEL,
    PARAMS,
    TEST_MSE,
    boolean,
    category,
    integer,
    text,
)
from orchestrator.stages.sections import Autoencoders, Data, FinalModels
from trainables.autoencoder_settings import VERSION, AutoencoderSettings, OwnAutoencoder
from trainables.epoch import Epoch, State
from trainables.splits import all_images

NOISE = category("noise", f"what the training images were corrupted with: none, or one of {', '.join(NOISES)}")
NUM_EPOCHS = integer("epochs", "epochs of training")


class Refit(Stage[FinalModels, AnyAutoencoder]):
    """The final models."""

    name, title, metric = "refit", "Final models", "train_mse"
    settings, config, version = FinalModels, AutoencoderSettings, VERSION
    reads = (Data, Autoencoders)
    presets: ClassVar = {"laptop": {"epochs": 4, "num_seeds": 1}, "smoke": {"epochs": 2, "num_seeds": 1}}
    schemas: ClassVar = {
        "models": schema(
            MODEL, SEED, *PARAMS, NOISE, NUM_EPOCHS, LAST_TRAIN_MSE, EVALUATED_MSE, TEST_MSE, SECONDS, STATE, ERROR
        ),
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

    def needs(self, own: FinalModels) -> tuple[str, ...]:
        return ("search",)

    def trials(self, context: Context[FinalModels]) -> Iterator[Trial[AnyAutoencoder]]:
        """Every model from the run's seed, then all of them from the next."""
        epochs, num_images = context.own.epochs, context.section(Data).num_train
        found = best(context, epochs)
        models = {
            "best": found,
            "paper_table1": table1(context, epochs),
            "two_dim": plane_model(context, epochs),
            "denoise_zeroed": changed(found, noise="zeroed"),
            "denoise_gaussian": changed(found, noise="gaussian"),
            "denoise_gaussian_unclipped": changed(found, noise="gaussian_unclipped"),
        }
        for seed in context.own.seeds(context.seed):
            for name, model in models.items():
                cost = training_cost(model, num_images)
                yield Trial(refit_key(name, seed), model, seed, epochs, num_images, cost, keep_weights=True)

    def own_seconds(self, context: Context[FinalModels]) -> float:
        return 7

    def train(self, trial: Trial[AnyAutoencoder], data: Any, worker: Worker) -> Iterator[Epoch]:
        """Train on every training image, test at the end."""
        from trainables.autoencoder import train_autoencoder

        split = all_images(data.train_images, data.test_images)
        return train_autoencoder(trial.config, split, device=worker.device, seed=trial.seed, resume=worker.resume)

    def alike(self, trial: Trial[AnyAutoencoder]) -> Hashable | None:
        """The seeds of a model."""
        return as_one(trial.config, trial.num_images)

    def train_ensemble(
        self, trials: Sequence[Trial[AnyAutoencoder]], data: Any, worker: Worker, resumes: Sequence[State] | None
    ) -> Iterator[Sequence[Epoch]]:
        """Train the seeds of a model as one network."""
        from trainables.ensemble import train_ensemble

        model, splits = trials[0].config, [all_images(data.train_images, data.test_images)] * len(trials)
        seeds = [trial.seed for trial in trials]
        assert isinstance(model, AutoencoderSettings)
        return train_ensemble(model, splits, device=worker.device, seeds=seeds, resumes=resumes)

    def results(self, context: Context[FinalModels], records: Trained) -> Iterator[Table | Model]:
        from orchestrator.stages.refit.layers import layer_table
        from trainables.autoencoder import Autoencoder
        from trainables.models import restored

        metrics = ("train_mse", "train_mse_evaluated", "test_mse")
        told = [(record, {"model": name_of(record.key), "noise": record.config.noise}) for record in records]
        yield Table("models", [model_row(record, *metrics, **which) for record, which in told])
        layers = []
        for name, record in first_models(context, records).items():
            if isinstance(record.config, OwnAutoencoder):
                yield model_file(name, record, record.config.model, record.config, "test_mse")
                continue
            yield model_file(name, record, "trainables.autoencoder.Autoencoder", record.config, "test_mse")
            model = restored(Autoencoder, record.config, context.weights(record))
            layers += [{"model": name} | row for row in layer_table(model)]
        yield Table("layers", layers)

    def figures(self, context: Context[FinalModels], tables: Tables) -> Iterator[Picture]:
        from orchestrator.stages.refit.pictures import pictures

        return pictures(context, first_models(context, context.own_records))

    def findings(self, tables: Tables) -> Iterator[str]:
        complete = tables["models"].dropna(subset=["test_mse"])
        for model, rows in complete.groupby("model", observed=True, sort=False):
            errors, size = rows["test_mse"], rows["num_parameters"].iloc[0]
            spread = f", standard deviation {errors.std():.5f} over {len(rows)} seeds" if len(rows) > 1 else ""
            yield f"{capital(MODELS[str(model)])}: test MSE {errors.mean():.5f}{spread}; {size:,} parameters."


def name_of(key: str) -> str:
    """Name of the model that a training is of."""
    return key.rpartition("-seed-")[0]


def first_models(context: Context[FinalModels], records: Trained) -> dict[str, Record[AnyAutoencoder]]:
    """The complete trainings from the run's seed, by the model's name."""
    return {name_of(it.key): it for it in records if it.state == "complete" and it.seed == context.seed}
