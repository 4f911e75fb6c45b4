"""capacity: what the size of the latent vector is worth, and what the layers are (the paper's Introduction, Methods).

Needs no other stage. Writes the tables reconstruction, reconstruction_epochs and identity and three figures.

autoencoder: the convolutional one at many latent sizes, beside PCA at the same.
cross_entropy: the same, trained on the cross-entropy of pixels in place of equation 1; for what its codes are worth.
linear_autoencoder: without any non-linearity, held against PCA in error and in the subspace that it finds;
linear_untuned the same with Adam's usual step size of 1e-3.
wide_autoencoder: no layer narrower than the image but the latent vector, which from as many numbers on makes it
overcomplete; none, where an image has more than MOST_VALUES. wide_no_batch_norm has twice the channels and no batch
norm, linear_overcomplete one matrix on either side. How near they come to the identity, and how much of the input's
noise they let through.
table1...: the paper's best architecture, and the same with one thing changed.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from orchestrator.engine.records import Record, Trial
from orchestrator.engine.stage import Context, Picture, Stage, Table, Tables, Worker
from orchestrator.engine.tables import EPOCH, EPOCHS, SEED, schema
from orchestrator.figures.names import METHODS
from orchestrator.stages import columns
from orchestrator.stages.architectures import training_cost
from orchestrator.stages.capacity.models import Reconstructor, Settings, models
from orchestrator.stages.columns import category, mse, parameters, real
from orchestrator.stages.denoise import Settings as Denoise
from orchestrator.stages.measures import epoch_rows
from orchestrator.stages.sections import Autoencoders, Data
from trainables.autoencoder_settings import VERSION, LinearSettings
from trainables.epoch import Epoch
from trainables.splits import all_images

METHOD = category("method", "; ".join(f"{name}: {words}" for name, words in METHODS.items() if name != "tsne"))
LOOKED_INTO = {"autoencoder", "cross_entropy", "linear_autoencoder", "linear_untuned"}
"""Methods whose weights are kept, for their codes or their subspaces."""
CONTROLS = {"wide_autoencoder", "wide_no_batch_norm", "linear_overcomplete"}
"""And those whose weights are, to see how near the identity they are."""
ONE_EACH = {"num_seeds": 1, "control_seeds": 1, "epochs": 1, "wide_epochs": 1, "control_epochs": 1}


class Capacity(Stage[Settings, Reconstructor]):
    """Reconstruction by latent size, and ablations."""

    name, title, metric = "capacity", "What the size of the latent vector is worth", "test_mse"
    settings, config, version = Settings, Reconstructor, VERSION
    reads = (Data, Autoencoders, Denoise)
    presets: ClassVar = {
        "laptop": ONE_EACH
        | {"latent_dims": (2, 5, 14), "cross_entropy_dims": (9,), "wide_dims": (784,), "linear_epochs": 5},
        "smoke": ONE_EACH
        | {
            "latent_dims": (2, 14),
            "cross_entropy_dims": (2,),
            "wide_dims": (784,),
            "linear_dims": (2,),
            "linear_epochs": 2,
        },
    }
    schemas: ClassVar = {
        "reconstruction": schema(
            METHOD,
            columns.LATENT_DIM,
            SEED,
            *parameters(real("learning_rate", "step size of the first step")),
            columns.TEST_MSE,
            columns.LAST_TRAIN_MSE,
            mse("train_mse_evaluated", "error on all training images after the last epoch, in evaluation mode"),
            real("pca_ratio", "test_mse over that of PCA with as many components"),
            real("largest_angle_degrees", "largest principal angle to PCA's subspace", "degree"),
            real(
                "knn_accuracy", "share of test images with the class of the 5 training images nearest by their codes"
            ),
            columns.NUM_PARAMETERS,
            EPOCHS,
            *columns.OUTCOME,
        ),
        "reconstruction_epochs": schema(METHOD, columns.LATENT_DIM, SEED, EPOCH, columns.TRAIN_MSE),
        "identity": schema(
            METHOD,
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
        num_images = context.section(Data).num_train
        for method, model, num_seeds in models(context):
            config, cost = Reconstructor(method=method, model=model), training_cost(model, num_images)
            keep = method in LOOKED_INTO | CONTROLS
            for seed in range(context.seed, context.seed + num_seeds):
                key = f"{method}-{model.latent_dim}-seed-{seed}"
                yield Trial(key, config, seed, model.epochs, num_images, cost, keep_weights=keep)

    def own_seconds(self, context: Context[Settings]) -> float:
        controls = sum(method in CONTROLS for method, _, _ in models(context))
        return 4 + 1.2e-3 * context.section(Data).num_test * controls  # each sees them with every noise

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
        from orchestrator.stages.capacity.measure import identity_rows, reconstruction_rows

        yield Table("reconstruction", reconstruction_rows(context, records))
        told = [(it, {"method": it.config.method, "latent_dim": it.config.model.latent_dim}) for it in records]
        told = [(record, which | {"seed": record.seed}) for record, which in told]
        yield Table("reconstruction_epochs", epoch_rows(self.schemas["reconstruction_epochs"], told))
        controls = [r for r in records if r.config.method in CONTROLS and r.state == "complete"]
        levels = context.section(Denoise).levels
        yield Table("identity", [row for record in controls for row in identity_rows(context, record, levels)])

    def figures(self, context: Context[Settings], tables: Tables) -> Iterator[Picture]:
        from orchestrator.stages.capacity import figures

        table = tables["reconstruction"]
        caption = (
            "Test error by latent size; every seed a mark, PCA at every size a line. The author's values and the "
            "published ones are of other networks, trained for longer than here where this is no run at full "
            "scale."
        )
        papers = context.section(Data).is_papers
        if not papers:
            caption = "Test error by latent size; every seed a mark, PCA at every size a line."
        yield Picture("capacity_latent", caption, figures.error_by_latent_dim, table, with_published=papers)
        caption = (
            "Table 1's architecture and what was changed in it; every seed a mark. The dashed line is the mean "
            "without a change, so that marks left of it are better."
        )
        trained = {method for method, _, _ in models(context)}
        if "table1" in trained:
            yield Picture("capacity_ablations", caption, figures.ablations, table)
        caption = (
            "Models without a narrow layer: how much of the noise that goes in comes out. The identity lets all of "
            "it through; a model that denoises, nothing."
        )
        if trained & CONTROLS:
            yield Picture("capacity_identity", caption, figures.identity, tables["identity"])

    def findings(self, tables: Tables) -> Iterator[str]:
        table = tables["reconstruction"].dropna(subset=["test_mse"])
        pca = table[table["method"] == "pca"].set_index("latent_dim")["test_mse"]
        if {2, 64} <= set(pca.index):
            yield f"PCA's test MSE: {pca[2]:.4f} with 2 components, {pca[64]:.4f} with 64."
        sizes = table[table["method"] == "autoencoder"].groupby("latent_dim")[["test_mse", "pca_ratio"]].mean()
        if len(sizes):
            values = [f"{row.Index}: {row.test_mse:.4f} ({row.pca_ratio:.2f} of PCA's)" for row in sizes.itertuples()]
            yield f"The autoencoder's, mean over seeds, by latent size: {', '.join(values)}."
        for k, rows in table[table["method"] == "linear_autoencoder"].groupby("latent_dim"):
            yield (
                f"The linear autoencoder with {k} numbers: {rows['pca_ratio'].mean():.4f} of PCA's MSE, its subspace "
                f"at most {rows['largest_angle_degrees'].max():.2f} degrees from PCA's (over {len(rows)} seeds)."
            )
        codes = table.dropna(subset=["knn_accuracy"]).groupby(["method", "latent_dim"], observed=True)["knn_accuracy"]
        for method in ("autoencoder", "cross_entropy", "pca"):
            values = [f"{k}: {found.mean():.3f}" for (of, k), found in codes if of == method]
            if values:
                of = METHODS[method]
                yield f"5 nearest neighbours by codes of {of}, accuracy by latent size: {', '.join(values)}."
        passed = tables["identity"].dropna(subset=["noise_passed"])
        by_model = passed.groupby(["method", "latent_dim"], observed=True)["noise_passed"]
        values = [
            f"{METHODS[str(method)]} {k}: {shares.min():.2f} to {shares.max():.2f}"
            for (method, k), shares in by_model
        ]
        if values:
            yield (
                "Share of the input's noise energy that comes out of the models without a narrow layer (the identity "
                f"lets all of it through, 1): {'; '.join(values)}."
            )
