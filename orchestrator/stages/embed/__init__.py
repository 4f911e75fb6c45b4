"""embed: the plane of a latent vector of two numbers beside PCA's and t-SNE's (the paper's Methods, last part).

Reads refit's model two_dim. Writes the tables embeddings, embedding_points, embedding_predictions and
embedding_confusion and two figures.

The autoencoder and t-SNE are measured from every seed that refit has (PCA has none); what is shown is of the first.
Test images are laid out in the plane, t-SNE's made of them alone. How new points fare is measured too: each method
is fitted to training images, test images are added, and their class is told from the training images around them.
Everything runs on one thread, so that the same seed gives the same plane.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field

from orchestrator.engine.records import Record
from orchestrator.engine.settings import RunSettings, Scale, Section, UserError, section
from orchestrator.engine.stage import Context, Picture, Stage, Table, Tables
from orchestrator.engine.tables import SEED, schema
from orchestrator.figures.names import METHODS, capital
from orchestrator.stages.architectures import refit_key
from orchestrator.stages.columns import CONFUSION, INDEX, LABEL, PREDICTIONS, category, integer, real, text
from orchestrator.stages.sections import Data, FinalModels

METHOD = category("method", "autoencoder (latent size 2), pca or tsne")


class Settings(Section):
    """The plane that images are laid out in by an autoencoder, PCA and t-SNE."""

    num_fitted: Annotated[int, Field(ge=100, le=60_000), Scale("training images for t-SNE")] = 20_000
    """Training images that t-SNE is fitted to where test images are to be added as new points."""
    perplexity: float = Field(default=30, gt=1)
    """t-SNE's, about the number of neighbours that count."""
    num_neighbors: int = Field(default=5, ge=1)
    """k of the nearest-neighbours accuracy, and of trustworthiness and continuity."""
    num_measured: Annotated[int, Field(ge=20, le=10_000), Scale("test images that planes are measured on")] = 10_000
    """Test images that trustworthiness, continuity and silhouette are measured on; they take all pairs of them."""


class Embed(Stage[Settings, Any]):
    """The planes."""

    name, title = "embed", "The plane: autoencoder, PCA and t-SNE"
    settings = Settings
    reads = (Data, FinalModels)
    presets: ClassVar = {
        "laptop": {"num_fitted": 5_000, "num_measured": 2_500},
        "smoke": {"num_fitted": 500, "num_measured": 500},
    }
    schemas: ClassVar = {
        "embeddings": schema(
            METHOD,
            SEED,
            real(
                "knn_accuracy",
                "share of test images with the class of those nearest in the plane; missing without labels",
            ),
            real(
                "new_knn_accuracy",
                "the same for test images added as new points, by the fitted training images nearest; of t-SNE only "
                "from the run's seed, missing from others",
            ),
            real("trustworthiness", "how far neighbours in the plane are near in the images, 1 at best"),
            real("continuity", "how far neighbours in the images are near in the plane, 1 at best"),
            real(
                "silhouette",
                "how much nearer its own class than the next a point lies, -1 to 1; missing without labels",
            ),
            real("seconds", "time spent laying out; the autoencoder's training is refit's", "s"),
            integer("num_points", "test images in the plane"),
            integer("num_fitted", "training images that new points were added to"),
            text("new_points", "whether and how a new image gets its place"),
        ),
        "embedding_points": schema(
            METHOD,
            INDEX,
            LABEL,
            real("x", "first coordinate"),
            real("y", "second coordinate"),
        ),
        "embedding_predictions": schema(METHOD, SEED, *PREDICTIONS),
        "embedding_confusion": schema(METHOD, *CONFUSION),
    }
    shown = ("embeddings",)

    def check(self, settings: RunSettings) -> None:
        """There must be more images than neighbours of each."""
        own, data = self.own(settings), section(Data, settings)
        measured, fitted = min(own.num_measured, data.num_test), min(own.num_fitted, data.num_train)
        if own.num_neighbors >= measured / 2 or own.num_neighbors > fitted:
            raise UserError(
                f"--embed.num-neighbors: {own.num_neighbors} are too many where planes are measured on {measured} "
                f"test images and fitted to {fitted}: less than half of the former, and no more than the latter"
            )

    def needs(self, own: Settings) -> tuple[str, ...]:
        return ("refit",)

    def reads_only(self, context: Context[Settings]) -> Mapping[str, Sequence[str]]:
        seeds = context.section(FinalModels).seeds(context.seed)
        return {"refit": [refit_key("two_dim", seed) for seed in seeds]}

    def own_seconds(self, context: Context[Settings]) -> float:
        own, num_test = context.own, context.section(Data).num_test
        num_seeds = context.section(FinalModels).num_seeds
        tsne = 2.75e-3 * (num_test * num_seeds + own.num_fitted) + 4e-4 * num_test
        return 2 + tsne + 1.3e-7 * (2 * num_seeds + 1) * min(own.num_measured, num_test) ** 2

    def results(self, context: Context[Settings], records: Sequence[Record[Any]]) -> Iterator[Table]:
        from orchestrator.stages.embed.measure import measured

        return measured(context)

    def figures(self, context: Context[Settings], tables: Tables) -> Iterator[Picture]:
        from orchestrator.figures.interactive import plane
        from orchestrator.stages.embed import figures
        from orchestrator.stages.embed.measure import to_be_moved
        from trainables.images import flat_pixels

        variance = flat_pixels(context.data.test_images).var(axis=0).sum()
        names = context.section(Data).class_names
        caption = "Distances count in PCA's plane; in the others only what is near what."
        if names:
            caption = f"The test images in three planes, each class marked near its points' median. {caption}"
        else:
            caption = f"The test images in three planes. {caption}"
        points, embeddings = tables["embedding_points"], tables["embeddings"]
        yield Picture("embed_planes", caption, figures.planes, points, embeddings, variance, names)
        caption = (
            "The first test images in these planes, one by one, and what the decoder makes of the plane's points."
        )
        yield Picture("embed_plane", caption, plane, *to_be_moved(context, points))
        if names:
            caption = (
                "What class the test images' 5 nearest neighbours in the plane would take them for, by true class."
            )
            yield Picture("embed_confusion", caption, figures.confusions, tables["embedding_confusion"], names)

    def findings(self, tables: Tables) -> Iterator[str]:
        table = tables["embeddings"]
        for method, rows in table.groupby("method", observed=True, sort=False):
            mean, seeds = rows.mean(numeric_only=True), f" (means over {len(rows)} seeds)" if len(rows) > 1 else ""
            num_new = int(rows["new_knn_accuracy"].notna().sum())
            of_new = f" ({num_new} of these seeds)" if num_new < len(rows) else ""
            with_labels = mean.notna().get("knn_accuracy", False)
            classes = f", silhouette {mean['silhouette']:.3f}" if with_labels else ""
            neighbours = (
                f"accuracy of the nearest neighbours {mean['knn_accuracy']:.3f} among test images, "
                f"{mean['new_knn_accuracy']:.3f} for new points{of_new}; "
                if with_labels
                else ""
            )
            yield (
                f"{capital(METHODS[str(method)])}: {neighbours}trustworthiness {mean['trustworthiness']:.3f}, "
                f"continuity {mean['continuity']:.3f}{classes}{seeds}. New points: {rows['new_points'].iloc[0]}."
            )
