"""embed: the plane of a latent vector of two numbers beside PCA's and t-SNE's (the paper's Methods, last part).

Reads refit's model two_dim. Writes the tables embeddings, embedding_points and embedding_confusion and two figures.

Test images are laid out in the plane, t-SNE's made of them alone. How new points fare is measured too: each method
is fitted to training images, test images are added, and their class is told from the training images around them.
Everything runs on one thread, so that the same seed gives the same plane.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field

from orchestrator.engine.records import Record
from orchestrator.engine.settings import Scale, Section
from orchestrator.engine.stage import Context, Picture, Presets, Stage, Table, Tables
from orchestrator.engine.tables import CATEGORY, FLOAT, INT, TEXT, column, schema
from orchestrator.stages.columns import CONFUSION, LABEL
from orchestrator.stages.sections import Data

METHOD = column("method", CATEGORY, "autoencoder (latent size 2), pca or tsne")
PUBLISHED = {
    "autoencoder": (0.734, 0.970, 0.041),
    "pca": (0.506, 0.913, -0.033),
    "tsne": (0.804, 0.991, 0.125),
}
"""5-NN accuracy (fitted to training images, scored on test images), trustworthiness and silhouette (of training
images but for the autoencoder's); source: timsainb/ParametricUMAP_paper, whose autoencoder is a larger one."""


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
    reads = (Data,)
    presets: ClassVar[Presets] = {
        "laptop": {"num_fitted": 5_000, "num_measured": 2_500},
        "smoke": {"num_fitted": 500, "num_measured": 500},
    }
    schemas = {
        "embeddings": schema(
            METHOD,
            column("knn_accuracy", FLOAT, "share of test images with the class of those nearest in the plane"),
            column(
                "new_knn_accuracy",
                FLOAT,
                "the same for test images added as new points, by the fitted training images nearest",
            ),
            column("trustworthiness", FLOAT, "how far neighbours in the plane are near in the images, 1 at best"),
            column("continuity", FLOAT, "how far neighbours in the images are near in the plane, 1 at best"),
            column("silhouette", FLOAT, "how much nearer its own class than the next a point lies, -1 to 1"),
            column("seconds", FLOAT, "time spent laying out; the autoencoder's training is refit's", "s"),
            column("num_points", INT, "test images in the plane"),
            column("num_fitted", INT, "training images that new points were added to"),
            column("new_points", TEXT, "whether and how a new image gets its place"),
        ),
        "embedding_points": schema(
            METHOD,
            column("index", INT, "of the test image"),
            LABEL,
            column("x", FLOAT, "first coordinate"),
            column("y", FLOAT, "second coordinate"),
        ),
        "embedding_confusion": schema(METHOD, *CONFUSION),
    }
    shown = ("embeddings",)

    def needs(self, own: Settings) -> tuple[str, ...]:
        """The final models."""
        return ("refit",)

    def results(self, context: Context[Settings], records: Sequence[Record[Any]]) -> Iterator[Table]:
        """Lay the images out, and measure what is near what."""
        from orchestrator.stages.embed.measure import measured

        yield from measured(context)

    def figures(self, context: Context[Settings], tables: Tables) -> Iterator[Picture]:
        """The planes, and what the neighbours in them would take each class for."""
        from orchestrator.stages.embed import figures

        caption = "The test images, each class with its letter."
        yield Picture("embed_planes", caption, figures.planes, tables["embedding_points"], tables["embeddings"])
        caption = "What the neighbours in the plane would take each class for."
        yield Picture("embed_confusion", caption, figures.confusions, tables["embedding_confusion"])

    def findings(self, tables: Tables) -> Iterator[str]:
        """Each plane's measures beside published ones, and whether new points have a place in it."""
        for row in tables["embeddings"].itertuples():
            accuracy, trust, silhouette = PUBLISHED[str(row.method)]
            yield (
                f"{row.method}: accuracy of the nearest neighbours {row.knn_accuracy:.3f} among test images, "
                f"{row.new_knn_accuracy:.3f} for new points (published {accuracy}); trustworthiness "
                f"{row.trustworthiness:.3f} (published {trust}), continuity {row.continuity:.3f}, silhouette "
                f"{row.silhouette:.3f} (published {silhouette}). New points: {row.new_points}."
            )
