"""capacity: what the size of the latent vector is worth, and what the layers are (the paper's Introduction, Methods).

Needs no other stage. Writes the tables reconstruction and identity and three figures.

autoencoder: the convolutional one at many latent sizes, beside PCA at the same.
linear_autoencoder: without any non-linearity, held against PCA in error and in the subspace that it finds.
wide_autoencoder: no layer narrower than the image but the latent vector, which from 784 numbers on makes it
overcomplete; how near it comes to the identity, and how much of the input's noise it lets through.
table1...: the paper's best architecture, and the same with one thing changed.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field, PositiveInt

from orchestrator.engine.records import Record, Trial
from orchestrator.engine.settings import Scale, Section, changed
from orchestrator.engine.stage import Context, Picture, Stage, Table, Tables, Worker
from orchestrator.engine.tables import EPOCHS, SEED, schema
from orchestrator.stages import columns
from orchestrator.stages.architectures import table1, training_cost
from orchestrator.stages.columns import category, mse, real
from orchestrator.stages.denoise import Settings as Denoise
from orchestrator.stages.sections import Autoencoders, Data, Distinct
from trainables.autoencoder_settings import ENCODED_SIZE, VERSION, AutoencoderSettings, LinearSettings
from trainables.epoch import Epoch
from trainables.images import NUM_PIXELS
from trainables.splits import all_images

LatentDim = Annotated[int, Field(gt=0, le=1024)]
ABLATIONS: dict[str, dict[str, Any]] = {
    "table1": {},
    "table1_no_batch_norm": {"batch_norm": False},
    "table1_no_relu": {"relu": False},
    "table1_weight_decay_0": {"weight_decay": 0.0},
    "table1_weight_decay_0.01": {"weight_decay": 0.01},
    "table1_kernel_5": {"kernel_size": 5},
}
"""What is changed in the paper's architecture."""
ONE_EACH = {"num_seeds": 1, "epochs": 1, "control_epochs": 1}


class Settings(Section):
    """How well images are reconstructed from latent vectors of many sizes."""

    latent_dims: Annotated[Distinct[LatentDim], Scale("latent sizes")] = (1, 2, 5, 10, 14, 32, 64)
    """Latent sizes of the autoencoder."""
    num_seeds: Annotated[int, Field(ge=1), Scale("seeds of each")] = 3
    """Seeds of every training here, counted from the run's, but for the wide models, which have one."""
    epochs: Annotated[int, Field(ge=1), Scale("epochs a latent size")] = 12
    """Epochs of the autoencoder."""
    filters: tuple[PositiveInt, PositiveInt, PositiveInt] = (8, 32, 64)
    """Output channels of its convolutions: wide enough for the latent vector to be what limits it."""
    neurons: int = Field(default=128, ge=1)
    """Width of its fully connected layer."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """Step size of the first step; annealed to zero."""
    batch_size: int = Field(default=128, ge=2)
    """Images per step."""
    linear_dims: Annotated[Distinct[LatentDim], Scale("sizes of linear autoencoders")] = (2, 8)
    """Latent sizes of linear autoencoders, to be held against PCA."""
    linear_epochs: Annotated[int, Field(ge=1), Scale("epochs a linear autoencoder")] = 15
    """Epochs of these; they take a second or two each."""
    wide_dims: Annotated[Distinct[LatentDim], Scale("sizes of wide autoencoders")] = (14, 784, 1024)
    """Latent sizes of autoencoders without a narrower layer on the way; from 784 on they are overcomplete."""
    control_epochs: Annotated[int, Field(ge=1), Scale("epochs a wide autoencoder or an ablation")] = 8
    """Epochs of the wide autoencoders and of the ablations."""
    ablations: Annotated[bool, Scale("ablations")] = True
    """Whether to train the paper's Table 1 without batch norm, without ReLU, with other weight decays and kernels."""

    def autoencoder(self, latent_dim: int, weight_decay: float) -> AutoencoderSettings:
        """The autoencoder of this latent size, all else equal."""
        same = self.model_dump(include={"filters", "neurons", "learning_rate", "batch_size", "epochs"})
        return AutoencoderSettings(latent_dim=latent_dim, weight_decay=weight_decay, schedule="cosine", **same)

    def wide_autoencoder(self, latent_dim: int, weight_decay: float) -> AutoencoderSettings:
        """One with at least as many activations as pixels, and as latent numbers, in every layer but the latent."""
        width = max(NUM_PIXELS, latent_dim)
        filters = tuple(math.ceil(width / size**2) for size in (14, 7, ENCODED_SIZE))
        wide = {"filters": filters, "neurons": width, "learning_rate": 1e-3, "epochs": self.control_epochs}
        return changed(self.autoencoder(latent_dim, weight_decay), **wide)


class Reconstructor(Section):
    """One model to be trained."""

    method: str
    model: AutoencoderSettings | LinearSettings


class Capacity(Stage[Settings, Reconstructor]):
    """Reconstruction by latent size, and ablations."""

    name, title, metric = "capacity", "What the size of the latent vector is worth", "test_mse"
    settings, config, version = Settings, Reconstructor, VERSION
    reads = (Data, Autoencoders, Denoise)
    presets: ClassVar = {
        "laptop": ONE_EACH | {"latent_dims": (2, 5, 14), "wide_dims": (14, 784)},
        "smoke": ONE_EACH | {"latent_dims": (2, 14), "wide_dims": (784,), "linear_epochs": 2},
    }
    schemas: ClassVar = {
        "reconstruction": schema(
            category("method", "autoencoder, pca, or another of the stage capacity"),
            columns.LATENT_DIM,
            SEED,
            columns.TEST_MSE,
            mse("train_mse", "mean over the last epoch's batches, while the weights move"),
            real("pca_ratio", "test_mse over that of PCA with as many components"),
            real("largest_angle_degrees", "largest principal angle to PCA's subspace", "degree"),
            columns.NUM_PARAMETERS,
            EPOCHS,
            *columns.OUTCOME,
        ),
        "identity": schema(
            columns.LATENT_DIM,
            SEED,
            *columns.NOISE,
            columns.NOISY_MSE,
            columns.RECONSTRUCTED_MSE,
            mse("copy_mse", "error of what the model makes of them against the noisy ones; the identity has 0"),
            real("noise_passed", "noise energy that comes out over what went in; the identity has 1"),
        ),
    }
    shown = ("reconstruction", "identity")

    def trials(self, context: Context[Settings]) -> Iterator[Trial[Reconstructor]]:
        """Every method, latent size and seed."""
        own, weight_decay = context.own, context.section(Autoencoders).weight_decay
        models: list[tuple[str, AutoencoderSettings | LinearSettings]] = []
        models += [("autoencoder", own.autoencoder(k, weight_decay)) for k in own.latent_dims]
        models += [("wide_autoencoder", own.wide_autoencoder(k, weight_decay)) for k in own.wide_dims]
        if own.ablations:
            usual = table1(context, own.control_epochs)
            models += [(method, changed(usual, **change)) for method, change in ABLATIONS.items()]
        linear = [LinearSettings(latent_dim=k, epochs=own.linear_epochs) for k in own.linear_dims]
        models += [("linear_autoencoder", model) for model in linear]
        num_images = context.section(Data).num_train
        for method, model in models:
            config, cost = Reconstructor(method=method, model=model), training_cost(model, num_images)
            keep = method in {"wide_autoencoder", "linear_autoencoder"}
            for seed in range(context.seed, context.seed + (1 if method == "wide_autoencoder" else own.num_seeds)):
                key = f"{method}-{model.latent_dim}-seed-{seed}"
                yield Trial(key, config, seed, model.epochs, num_images, cost, keep_weights=keep)

    def train(self, trial: Trial[Reconstructor], data: Any, worker: Worker) -> Iterator[Epoch]:
        """Train on every training image, test at the end."""
        from trainables.autoencoder import train_autoencoder
        from trainables.linear_autoencoder import train_linear_autoencoder

        split, model = all_images(data.train_images, data.test_images), trial.config.model
        where: dict[str, Any] = {"device": worker.device, "seed": trial.seed, "resume": worker.resume}
        if isinstance(model, LinearSettings):
            return train_linear_autoencoder(model, split, **where)
        return train_autoencoder(model, split, **where)

    def results(self, context: Context[Settings], records: Sequence[Record[Reconstructor]]) -> Iterator[Table]:
        from orchestrator.stages.capacity.measure import fit_pca, identity_rows, model_row, pca_mse

        pca = fit_pca(context.data.train_images)
        of_pca = pca_mse(pca, context.data.test_images)
        nothing = dict.fromkeys(self.schemas["reconstruction"].names) | {"method": "pca", "pca_ratio": 1.0}
        rows = [nothing | {"latent_dim": k, "test_mse": error} for k, error in of_pca.items()]
        yield Table("reconstruction", rows + [model_row(context, record, pca, of_pca) for record in records])
        wide = [r for r in records if r.config.method == "wide_autoencoder" and r.state == "complete"]
        levels = context.section(Denoise).levels
        yield Table("identity", [row for record in wide for row in identity_rows(context, record, levels)])

    def figures(self, context: Context[Settings], tables: Tables) -> Iterator[Picture]:
        from orchestrator.stages.capacity import figures

        table = tables["reconstruction"]
        caption = "Test error by latent size, beside PCA; every seed a mark."
        yield Picture("capacity_latent", caption, figures.error_by_latent_dim, table)
        caption = "Table 1's architecture with one thing changed."
        yield Picture("capacity_ablations", caption, figures.ablations, table)
        caption = "Overcomplete models: how much of the input's noise they let through."
        yield Picture("capacity_identity", caption, figures.identity, tables["identity"])

    def findings(self, tables: Tables) -> Iterator[str]:
        table = tables["reconstruction"].dropna(subset=["test_mse"])
        pca = table[table["method"] == "pca"].set_index("latent_dim")["test_mse"]
        published = {2: 0.0461, 64: 0.0104}
        if set(published) <= set(pca.index):
            values = [f"{pca[k]:.4f} with {k} components (published {value})" for k, value in published.items()]
            yield f"PCA's test MSE: {', '.join(values)}."
        sizes = table[table["method"] == "autoencoder"].groupby("latent_dim")[["test_mse", "pca_ratio"]].mean()
        if len(sizes):
            values = [f"{row.Index}: {row.test_mse:.4f} ({row.pca_ratio:.2f} of PCA's)" for row in sizes.itertuples()]
            yield f"The autoencoder's, mean over seeds, by latent size: {', '.join(values)}."
        for k, rows in table[table["method"] == "linear_autoencoder"].groupby("latent_dim"):
            yield (
                f"The linear autoencoder with {k} numbers: {rows['pca_ratio'].mean():.4f} of PCA's MSE, its subspace "
                f"at most {rows['largest_angle_degrees'].max():.2f} degrees from PCA's (over {len(rows)} seeds)."
            )
        passed = tables["identity"].dropna(subset=["noise_passed"]).groupby("latent_dim")["noise_passed"]
        if len(passed):
            values = [f"{k}: {shares.min():.2f} to {shares.max():.2f}" for k, shares in passed]
            yield (
                "Share of the input's noise energy that comes out of the models without a narrow layer, by latent "
                f"size (the identity lets all of it through, 1): {', '.join(values)}."
            )
