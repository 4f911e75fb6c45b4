"""gan_search: each GAN tuned on one number, the Frechet distance from validation images (`--gan.search.on`).

Reads classify's classifier of raw images. Writes the table gan_trials and a figure.

The paper calls the tuning of GANs impossible, since two losses pull against each other. Neither is looked at here: a
trial's generator is trained on the first five sixths of the training images, and its distance from the rest, in the
features that the stage gan measures with, is what Optuna's TPE minimises. The test images decide nothing; the
classifier that gives the features has learnt from all training images, the generator has not. Each loss has a study
of its own, so that neither is trained with what suits the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from numpy.typing import NDArray

from orchestrator.engine.records import Record, Trial
from orchestrator.engine.stage import Context, Picture, Presets, Stage, Table, Tables, Worker
from orchestrator.engine.study import Suggested
from orchestrator.engine.tables import EPOCHS, ERROR, FLOAT, INT, SECONDS, SEED, STATE, TRIAL, column, schema
from orchestrator.stages.gan import (
    CLASS_ENTROPY,
    EPOCH_MEANS,
    LOSS,
    SECONDS_AN_IMAGE,
    UNKNOWN_CLASSIFIER,
    GanSearch,
    ScoredGan,
    Settings,
    scoring_record,
)
from orchestrator.stages.gan.tuning import TUNED
from orchestrator.stages.sections import Data
from trainables.epoch import Epoch
from trainables.gan_settings import VERSION, GanSettings

WINDOW = 4
"""Trials at once, at most: how far suggestions run ahead of the results that they are made from."""


class Tuning(Stage[GanSearch, ScoredGan]):
    """The tuning of the GANs."""

    name, title, metric = "gan_search", "Tuning the GANs on one number", "val_frechet_distance"
    settings, section, config, version = GanSearch, "gan.search", ScoredGan, VERSION
    reads = (Data, Settings)
    retries_failed = False
    flag = "--gan.search.on"
    presets: ClassVar[Presets] = {
        "laptop": {"trials": 4, "epochs": 1},
        "smoke": {"on": True, "trials": 2, "epochs": 1},
    }
    schemas = {
        "gan_trials": schema(
            TRIAL,
            LOSS,
            STATE,
            column(
                "val_frechet_distance",
                FLOAT,
                "of generated images from the last sixth of the training images, as many; the search's objective",
            ),
            *EPOCH_MEANS,
            CLASS_ENTROPY,
            column("params_learning_rate", FLOAT, "step size of both networks"),
            column("params_beta1", FLOAT, "decay of both Adams' first moment"),
            column("params_batch_size", INT, "images of a step"),
            EPOCHS,
            SECONDS,
            SEED,
            ERROR,
        )
    }
    shown = ("gan_trials",)

    def wanted(self, own: GanSearch) -> bool:
        """Where it is asked for."""
        return own.on

    def needs(self, own: GanSearch) -> tuple[str, ...]:
        """The classifier."""
        return ("classify",)

    def trials(self, context: Context[GanSearch]) -> Suggested:
        """As each loss's sampler suggests them, the losses by turns."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution

        from orchestrator.engine.suggestions import OptunaSuggestions, tpe

        own, gan, num_train = context.own, context.section(Settings), context.section(Data).num_train
        classifier = UNKNOWN_CLASSIFIER if context.planning else scoring_record(context).config
        space = {
            "learning_rate": FloatDistribution(*own.learning_rate, log=True),
            "beta1": FloatDistribution(*own.beta1),
            "batch_size": CategoricalDistribution(own.batch_sizes),
        }
        studies = [OptunaSuggestions(space, tpe(own.trials // 2, context.seed), self.metric) for _ in gan.losses]
        num_images, num_losses = num_train * 5 // 6, len(gan.losses)
        cost = SECONDS_AN_IMAGE[gan.architecture] * own.epochs * num_images

        def suggest(number: int, records: Sequence[Record[ScoredGan]]) -> Trial[ScoredGan]:
            of_study, which = divmod(number, num_losses)
            params = studies[which](of_study, records[which::num_losses])
            settings = GanSettings(loss=gan.losses[which], **(gan.recipe | {"epochs": own.epochs} | params))
            config = ScoredGan(gan=settings, classifier=classifier)
            return Trial(f"trial-{number:03d}", config, context.seed, own.epochs, num_images, cost)

        return Suggested(num_losses * own.trials, WINDOW, suggest)

    def made_of(self, context: Context[GanSearch]) -> Sequence[str]:
        """The classifier."""
        return (scoring_record(context).address,)

    def inputs(self, context: Context[GanSearch]) -> Mapping[str, NDArray[Any]]:
        """The classifier's weights, and its features of the validation images."""
        from orchestrator.stages.gan.scoring import scoring_inputs
        from trainables.splits import hold_out_last

        images = context.data.train_images
        return scoring_inputs(context, images[hold_out_last(images).validation])

    def train(self, trial: Trial[ScoredGan], data: Any, worker: Worker) -> Iterator[Epoch]:
        """Train on the first five sixths of the training images, measure the distance from the rest."""
        from orchestrator.stages.gan.scoring import image_scores
        from trainables.gan_training import train_gan
        from trainables.splits import hold_out_last

        scores = image_scores(trial, len(worker.inputs["real_features"]), worker, last_epoch=None)
        images = data.train_images[hold_out_last(data.train_images).train]

        def measure(generator: Any, number: int) -> tuple[dict[str, float], dict[str, Any]]:
            metrics, _ = scores(generator, number)
            return {self.metric: metrics["frechet_distance"], "class_entropy": metrics["class_entropy"]}, {}

        return train_gan(
            trial.config.gan,
            images,
            device=worker.device,
            seed=trial.seed,
            resume=worker.resume,
            measure=measure,
        )

    def results(self, context: Context[GanSearch], records: Sequence[Record[ScoredGan]]) -> Iterator[Table]:
        """What was found."""
        yield Table("gan_trials", [_row(number, record) for number, record in enumerate(records)])

    def figures(self, context: Context[GanSearch], tables: Tables) -> Iterator[Picture]:
        """The two losses of the trials."""
        from orchestrator.stages.gan import figures

        caption = "Losses of the trials: the paper would have tuned on these two."
        yield Picture("gan_trial_losses", caption, figures.trial_losses, tables["gan_trials"])

    def findings(self, tables: Tables) -> Iterator[str]:
        """The best trial of each loss, and whether a network's loss orders its trials as the distance does."""
        from scipy.stats import spearmanr

        distance = self.metric
        for loss, rows in tables["gan_trials"].dropna(subset=[distance]).groupby("loss", observed=True):
            best = rows.sort_values([distance, "trial"]).iloc[0]
            yield (
                f"{str(loss).replace('_', '-')}, {len(rows)} complete trials: the best is {best['trial']}, distance "
                f"{best[distance]:.2f} from the validation images (the worst {rows[distance].max():.2f}): "
                f"learning_rate {best['params_learning_rate']:.2g}, beta1 {best['params_beta1']:.2f}, "
                f"batch_size {best['params_batch_size']}."
            )
            if len(rows) > 2:
                order = {name: spearmanr(rows[name], rows[distance]).statistic for name in ("d_loss", "g_loss")}
                against = spearmanr(rows["d_loss"], rows["g_loss"]).statistic
                yield (
                    f"Rank correlation of the distance with the discriminator's loss {order['d_loss']:.2f}, with the "
                    f"generator's {order['g_loss']:.2f}; of the two losses {against:.2f}. "
                    "A loss could stand for the distance only where it ordered the trials as that does (1 or -1). "
                    f"The best trial's discriminator has a loss of {best['d_loss']:.2f}; in equilibrium it is 1.39."
                )

    def failure(self, records: Sequence[Record[ScoredGan]]) -> str | None:
        """Where a loss has no complete trial; single ones may fail."""
        losses = dict.fromkeys(record.config.gan.loss for record in records)
        complete = {record.config.gan.loss for record in records if record.state == "complete"}
        without = [loss for loss in losses if loss not in complete]
        if not without:
            return None
        return f"no trial of {', '.join(without)} came to its end; the table gan_trials has their errors"


def _row(number: int, record: Record[ScoredGan]) -> dict[str, Any]:
    gan = record.config.gan
    measured = ("val_frechet_distance", "d_loss", "g_loss", "d_real", "d_fake", "class_entropy")
    return {
        "trial": number,
        "loss": gan.loss,
        **{name: record.last.get(name) for name in measured},
        **{f"params_{name}": getattr(gan, name) for name in TUNED},
        "epochs": len(record.epochs),
        "seed": record.seed,
        **record.outcome,
    }
