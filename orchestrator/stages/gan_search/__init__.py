"""gan_search: each GAN tuned on one number, the Frechet distance from validation images (`--gan.search.on`).

Reads classify's classifier of raw images. Writes the table gan_trials, a figure, and optuna-gan.journal
with a study for each loss.

The paper calls the tuning of GANs impossible, since two losses pull against each other. Neither is looked at here: a
trial's generator is trained on the first five sixths of the training images, and its distance from the rest, in the
features that the stage gan measures with, is what Optuna's TPE minimises. The test images decide nothing; the
classifier that gives the features has learnt from all training images, the generator has not. Each loss has a study
of its own, so that neither is trained with what suits the other.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from numpy.typing import NDArray

from orchestrator.engine.records import Record, Trial
from orchestrator.engine.settings import RunSettings, section
from orchestrator.engine.stage import Context, File, Picture, Stage, Table, Tables, Worker
from orchestrator.engine.study import Suggested
from orchestrator.engine.tables import STATE, TRIAL, schema
from orchestrator.figures.names import capital
from orchestrator.stages.columns import ARM, CLASS_ENTROPY, GAN_MEANS, LOSS, TRIAL_OUTCOME, integer, parameters, real
from orchestrator.stages.gan import TUNED, ScoredGan, best_of, scored_trial, scoring_key, scoring_record
from orchestrator.stages.gan.recipes import Arm
from orchestrator.stages.gan.settings import GanSearch, Settings, check_batch_sizes
from orchestrator.stages.measures import study_attributes, training_row
from orchestrator.stages.sections import Data, needs_labels
from trainables.epoch import Epoch
from trainables.gan_settings import VERSION, GanSettings
from trainables.splits import hold_out_last

WINDOW = 4
"""Trials at once, at most: how far suggestions run ahead of the results that they are made from."""
FIRST = {"learning_rate": 3e-3, "beta1": 0.1, "batch_size": 64, "r1_penalty": 0.2}
"""Each study's first trial, as far as its space has that: found by hand, on non-saturating GANs (docs/LOG.md)."""
SEED_APART = 1000
"""How far the trials' seed is from those that the GANs are played with: what was best must be so with others too."""


class Tuning(Stage[GanSearch, ScoredGan]):
    """The tuning of the GANs."""

    name, title, metric = "gan_search", "Tuning the GANs on one number", "val_frechet_distance"
    settings, section, config, version = GanSearch, "gan.search", ScoredGan, VERSION
    reads = (Data, Settings)
    retries_failed = False
    flag = "--gan.search.on"
    presets: ClassVar = {"laptop": {"trials": 4, "epochs": 1}, "smoke": {"on": True, "trials": 2, "epochs": 1}}
    schemas: ClassVar = {
        "gan_trials": schema(
            TRIAL,
            ARM,
            LOSS,
            STATE,
            real(
                "val_frechet_distance",
                "of generated images from the last sixth of the training images, as many; the search's objective",
            ),
            *GAN_MEANS,
            CLASS_ENTROPY,
            *parameters(
                real("params_learning_rate", "step size of both networks"),
                real("params_beta1", "decay of both Adams' first moment"),
                integer("params_batch_size", "images of a step"),
                real("params_r1_penalty", "weight of the penalty on the discriminator's gradient in real images"),
            ),
            *TRIAL_OUTCOME,
        )
    }
    shown = ("gan_trials",)

    def absent(self, settings: RunSettings) -> str:
        if not self.own(settings).on:
            return f"{self.flag} brings it in"
        return needs_labels(settings) or ("" if section(Settings, settings).tunes else "--gan.arms lacks tuned")

    def check(self, settings: RunSettings) -> None:
        """No batch may be larger than the images that are learnt from."""
        check_batch_sizes(settings, (("search.batch_sizes", size) for size in self.own(settings).batch_sizes))

    def needs(self, own: GanSearch) -> tuple[str, ...]:
        return ("classify",)

    def reads_only(self, context: Context[GanSearch]) -> Mapping[str, Sequence[str]]:
        return {"classify": (scoring_key(context),)}

    def trials(self, context: Context[GanSearch]) -> Suggested:
        """As each loss's sampler suggests them, the losses by turns."""
        from orchestrator.engine.suggestions import OptunaSuggestions, tpe

        own, common, space = context.own, context.section(Settings), _space(context.own)
        first = {name: value for name, value in FIRST.items() if _holds(space[name], value)}
        studies = [
            OptunaSuggestions(space, tpe(own.trials // 2, context.seed), self.metric, [first]) for _ in common.losses
        ]
        num_images, num_losses = context.section(Data).num_learnt, len(common.losses)
        shape = {"image_shape": context.section(Data).shape}
        arm: Arm = "own" if common.own else "tuned"

        def suggest(number: int, records: Sequence[Record[ScoredGan]]) -> Trial[ScoredGan]:
            of_study, which = divmod(number, num_losses)
            params = studies[which](of_study, records[which::num_losses])
            loss, seed = common.losses[which], context.seed + SEED_APART
            recipe = common.recipe(arm, loss).model_dump() | {"epochs": own.epochs} | params | shape
            gan = GanSettings(loss=loss, **recipe)
            return scored_trial(context, f"trial-{number:03d}", arm, gan, seed, num_images)

        return Suggested(num_losses * own.trials, WINDOW, suggest)

    def made_of(self, context: Context[GanSearch]) -> Sequence[str]:
        return (scoring_record(context).digest,)

    def inputs(self, context: Context[GanSearch]) -> Mapping[str, NDArray[Any]]:
        """The classifier's weights, and its features of the validation images."""
        from orchestrator.stages.gan.scoring import scoring_inputs

        images = context.data.train_images
        return scoring_inputs(context, val=images[hold_out_last(images).validation])

    def train(self, trial: Trial[ScoredGan], data: Any, worker: Worker) -> Iterator[Epoch]:
        """Train on the first five sixths of the training images, measure the distance from the rest."""
        from orchestrator.stages.gan.scoring import image_scores, trained

        images = data.train_images[hold_out_last(data.train_images).train]
        return trained(trial, images, worker, image_scores(trial, worker))

    def results(self, context: Context[GanSearch], records: Sequence[Record[ScoredGan]]) -> Iterator[Table | File]:
        from orchestrator.engine.optuna_journal import journal

        yield Table("gan_trials", [_row(number, record) for number, record in enumerate(records)])
        yield File("optuna-gan.journal", journal(self.studies(context, records).values()), grows=True)

    def studies(self, context: Context[GanSearch], records: Sequence[Record[ScoredGan]]) -> dict[str, Any]:
        """Each loss's as Optuna has it."""
        from orchestrator.engine.optuna_journal import finished_study

        space, attributes = _space(context.own), study_attributes(context, records)
        studies: dict[str, Any] = {}
        for loss in context.section(Settings).losses:
            gans = [(record, record.config.gan) for record in records if record.config.gan.loss == loss]
            params = [(record, gan.model_dump(include=TUNED)) for record, gan in gans]
            studies[loss] = finished_study(f"{context.run_name}-{loss}", space, self.metric, params, attributes)
        return studies

    def figures(self, context: Context[GanSearch], tables: Tables) -> Iterator[Picture]:
        from orchestrator.stages.gan import figures

        caption = (
            "Losses of the trials in their last epoch, dark where the images are near: the paper would have tuned "
            "on these two."
        )
        yield Picture("gan_trial_losses", caption, figures.trial_losses, tables["gan_trials"])

    def findings(self, tables: Tables) -> Iterator[str]:
        """The best trial of each loss, and whether a network's loss orders its trials as the distance does."""
        from scipy.stats import spearmanr

        distance = self.metric
        for loss, rows in tables["gan_trials"].dropna(subset=[distance]).groupby("loss", observed=True):
            best = rows.sort_values([distance, "trial"]).iloc[0]
            yield (
                f"{capital(str(loss).replace('_', '-'))} GAN, {len(rows)} complete trials: the best is "
                f"{best['trial']}, distance {best[distance]:.2f} from the validation images "
                f"(the worst {rows[distance].max():.2f}): "
                f"learning rate {best['params_learning_rate']:.2g}, beta1 {best['params_beta1']:.2f}, "
                f"batch size {best['params_batch_size']}, R1 penalty {best['params_r1_penalty']:g}."
            )
            if len(rows) > 2:
                pairs = (("d_loss", distance), ("g_loss", distance), ("d_loss", "g_loss"))
                by_d, by_g, of_both = (spearmanr(rows[one], rows[other]).statistic for one, other in pairs)
                yield (
                    f"Rank correlation of the distance with the discriminator's loss {by_d:.2f}, with the "
                    f"generator's {by_g:.2f}; of the two losses {of_both:.2f}. "
                    "A loss could stand for the distance only where it ordered the trials as that does (1 or -1). "
                    f"The best trial's discriminator has a loss of {best['d_loss']:.2f}; in equilibrium it is 1.39."
                )

    def failure(self, records: Sequence[Record[ScoredGan]]) -> str | None:
        """Where a loss has no complete trial; single ones may fail."""
        complete = best_of(records, self.metric)
        losses = dict.fromkeys(record.config.gan.loss for record in records)
        without = [loss for loss in losses if loss not in {of for _, of in complete}]
        if not without:
            return None
        return f"no trial of {', '.join(without)} came to its end; the table gan_trials has their errors"


def _space(own: GanSearch) -> dict[str, Any]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    return {
        "learning_rate": FloatDistribution(*own.learning_rate, log=True),
        "beta1": FloatDistribution(*own.beta1),
        "batch_size": CategoricalDistribution(own.batch_sizes),
        "r1_penalty": CategoricalDistribution(own.r1_penalties),
    }


def _holds(distribution: Any, value: Any) -> bool:
    """Whether a value is among those to choose from, or in the range."""
    choices = getattr(distribution, "choices", None)
    return value in choices if choices else distribution.low <= value <= distribution.high


def _row(number: int, record: Record[ScoredGan]) -> dict[str, Any]:
    params = {f"params_{name}": value for name, value in record.config.gan.model_dump(include=TUNED).items()}
    measured = (Tuning.metric, "d_loss", "g_loss", "d_real", "d_fake", "class_entropy")
    return training_row(record, *measured, trial=number, arm=record.config.arm, loss=record.config.gan.loss, **params)
