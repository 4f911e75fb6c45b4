"""gan_inception: Frechet distances in the features of Inception-v3 (`--gan.inception-weights FILE`).

Reads gan's generators. Writes the table gan_inception.

The distances of the stage gan compare within a run only. These compare with published ones, where the weights are
those that torch-fidelity publishes: as many generated images as there are test images, from the random vectors that
gan scores, against the test images, grey in all three channels.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from orchestrator.engine.records import Record, Trial
from orchestrator.engine.settings import RunSettings, Section, UserError
from orchestrator.engine.stage import Context, Stage, Table, Tables, Worker
from orchestrator.engine.tables import SECONDS, SEED, schema
from orchestrator.figures.names import capital, game
from orchestrator.stages.columns import ARM, LOSS, integer, real, text
from orchestrator.stages.gan.recipes import Arm
from orchestrator.stages.gan.settings import Settings
from orchestrator.stages.sections import Data, needs_labels
from trainables.epoch import Epoch
from trainables.gan_settings import GanSettings

REAL = ("test", "train")
"""Sets of real images: those that all others are held against, and as many training images, for the floor."""
SECONDS_AN_IMAGE = 0.15
"""About what an image takes, on one core."""
IMAGES_AN_EPOCH = 500
"""After which a worker tells that it lives, and may keep a checkpoint."""


class ImageSet(Section):
    """Images whose features are taken."""

    images: str
    """test, train, or the key of a GAN's training."""
    arm: Arm | None = None
    """The GAN's."""
    gan: GanSettings | None = None
    """The GAN's, whose generator draws them."""


class Inception(Stage[Settings, ImageSet]):
    """Features of Inception-v3."""

    name, title = "gan_inception", "The GANs in the features of Inception-v3"
    settings, section, config = Settings, "gan", ImageSet
    reads = (Data,)
    flag = "--gan.inception-weights FILE"
    schemas: ClassVar = {
        "gan_inception": schema(
            ARM,
            LOSS,
            SEED,
            real("inception_fid", "Frechet distance from the test images in features of Inception-v3"),
            real("floor_fid", "the same of as many training images"),
            integer("num_images", "generated images, and test images"),
            text("features", "checksum of the network's weights"),
            SECONDS,
        )
    }
    shown = ("gan_inception",)

    def absent(self, settings: RunSettings) -> str:
        return needs_labels(settings) if self.own(settings).inception_weights else f"{self.flag} brings it in"

    def check(self, settings: RunSettings) -> None:
        """The weights must be this network's."""
        from orchestrator.stages.gan_inception.measure import read_weights

        read_weights(weights_file(self.own(settings)))

    def needs(self, own: Settings) -> tuple[str, ...]:
        return ("gan",)

    def trials(self, context: Context[Settings]) -> Iterator[Trial[ImageSet]]:
        """One for each set of images."""
        data = context.section(Data)
        sets = [(ImageSet(images=name), context.seed) for name in REAL]
        if context.planning:
            own = context.own
            number = len(own.played) * len(own.losses) * own.num_seeds
            sets += [(ImageSet(images=str(n)), n) for n in range(number)]
        else:
            gans = context.records("gan").items()
            sets += [
                (ImageSet(images=key, arm=record.config.arm, gan=record.config.gan), record.seed)
                for key, record in gans
            ]
        for images, seed in sets:
            number = min(data.num_test, data.num_train) if images.images == "train" else data.num_test
            epochs = math.ceil(number / IMAGES_AN_EPOCH)
            yield Trial(images.images, images, seed, epochs, number // epochs, SECONDS_AN_IMAGE * number)

    def made_of(self, context: Context[Settings]) -> Sequence[str]:
        """The network's weights, and the generators."""
        path = weights_file(context.own)
        try:
            with path.open("rb") as file:
                checksum = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise UserError(f"--gan.inception-weights {path}: {error.strerror or error}") from None
        return (checksum, *(record.digest for record in context.records("gan").values()))

    def inputs(self, context: Context[Settings]) -> Mapping[str, NDArray[Any]]:
        """The weights of the network and of the generators."""
        from orchestrator.stages.gan_inception.measure import networks

        return networks(context, weights_file(context.own))

    def train(self, trial: Trial[ImageSet], data: Any, worker: Worker) -> Iterator[Epoch]:
        """The Gaussian that fits the features of one set of images."""
        from orchestrator.stages.gan_inception.measure import gaussian_of

        return gaussian_of(trial, data, worker)

    def results(self, context: Context[Settings], records: Sequence[Record[ImageSet]]) -> Iterator[Table]:
        from orchestrator.stages.gan_inception.measure import rows

        yield Table("gan_inception", rows(context, records))

    def findings(self, tables: Tables) -> Iterator[str]:
        for (arm, loss), rows in tables["gan_inception"].groupby(["arm", "loss"], observed=True):
            name, first = f"{capital(game(arm, loss))},", rows.iloc[0]
            yield (
                f"{name} in the features of Inception-v3 (weights {first['features']}): "
                f"FID {rows['inception_fid'].mean():.2f}, the floor {first['floor_fid']:.2f}."
            )


def weights_file(own: Settings) -> Path:
    """Where the network's weights are."""
    assert own.inception_weights is not None
    return own.inception_weights
