"""gan: the paper's two GANs, as it plays them and as they are tuned here, under Ray Train's DDP (its second half).

Reads classify's classifier of raw images, and gan_search's trials where the GANs were tuned. Writes the tables gans,
gan_epochs, gan_intervals, gan_references, gan_sections and gan_layers, figures, and of each arm and loss the best
generator.

The arm `paper` is the author's recipe with narrower networks and fewer epochs; the arm `tuned` gives each loss what
the best of twelve trials had (`recipes`), or with `--gan.search.on` what a new search finds. Minimax is minimax here,
which in the author's code it is not. Generators learn from the first five sixths of the training images, their
distance from the rest is followed by epoch, in the features of the classifier of raw images, and test images are
looked at once, after the last epoch.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from numpy.typing import NDArray

from orchestrator.engine.records import Record, Trial
from orchestrator.engine.settings import RunSettings, Section
from orchestrator.engine.stage import Context, Model, Picture, Stage, Table, Tables, Worker
from orchestrator.engine.tables import EPOCH, EPOCHS, ERROR, SECONDS, SEED, STATE, schema
from orchestrator.stages.columns import ARM, CLASS_ENTROPY, GAN_MEANS, LOSS, boolean, category, integer, real, text
from orchestrator.stages.gan.recipes import RECIPE, Arm, Tuned
from orchestrator.stages.gan.score_columns import LAYERS, REFERENCES, SCORES, SECTIONS
from orchestrator.stages.gan.settings import Settings, check_batch_sizes
from orchestrator.stages.sections import Data, needs_labels
from trainables.classifier_settings import ClassifierSettings
from trainables.epoch import Epoch
from trainables.gan_settings import VERSION, GanSettings, Loss
from trainables.splits import hold_out_last

SECONDS_AN_IMAGE = {"paper": 750e-6, "stable": 850e-6, "own": 850e-6}
"""About what an image takes in training and in what is measured after it, on one core."""
TUNED = {"learning_rate", "beta1", "batch_size", "r1_penalty"}
"""What gan_search decides."""


class ScoredGan(Section):
    """A GAN, and the classifier in whose features it is scored."""

    arm: Arm
    gan: GanSettings
    classifier: ClassifierSettings


def _for(**epochs: int) -> dict[str, Any]:
    """A preset with one seed of each GAN, and so many epochs in each arm."""
    tuned = {loss: {"epochs": epochs["tuned"]} for loss in Tuned.model_fields}
    return {"num_seeds": 1, "paper": {"epochs": epochs["paper"]}, "tuned": tuned}


class Gan(Stage[Settings, ScoredGan]):
    """The GANs."""

    name, title, metric = "gan", "The two GANs: minimax and non-saturating", "val_frechet_distance"
    settings, config, version = Settings, ScoredGan, VERSION
    reads = (Data,)
    shared = True
    presets: ClassVar = {"laptop": _for(paper=1, tuned=2), "smoke": _for(paper=2, tuned=2)}
    schemas: ClassVar = {
        "gans": schema(
            ARM,
            LOSS,
            SEED,
            *RECIPE,
            real("g_weight_grad_start", "gan_epochs' g_weight_grad at the start: its mean over the first 50 steps"),
            integer(
                "vanished_epoch",
                "first epoch with g_weight_grad below 1 % of g_weight_grad_start; missing where none is",
            ),
            real("val_frechet_distance", "distance from the held-out training images, after the last epoch"),
            *SCORES,
            CLASS_ENTROPY,
            integer("num_classes", "classes that any generated image is taken for"),
            boolean("collapsed", "whether class_entropy is below the logarithm of 5, or recall below 0.01"),
            real("floor_distance", "distance of as many training images from the test images"),
            text("features", "checksum of the classifier whose features distances are taken in"),
            EPOCHS,
            SECONDS,
            integer("num_workers", "workers that shared the training"),
            STATE,
            ERROR,
        ),
        "gan_epochs": schema(
            ARM,
            LOSS,
            SEED,
            EPOCH,
            *GAN_MEANS,
            real("g_logit_grad", "mean size of the gradient of the generator's loss in the logit"),
            real("g_weight_grad", "norm of the gradient of the generator's loss in its weights, mean over the steps"),
            real("val_frechet_distance", "of generated images from the held-out training images, at the epoch's end"),
            CLASS_ENTROPY,
            SECONDS,
        ),
        "gan_intervals": schema(
            ARM,
            category("loss", "minimax, non_saturating, or difference (of the first from the second, by seed)"),
            integer("num_seeds", "GANs that were trained to the end"),
            real("frechet_distance", "mean over the seeds of the distance from the test images"),
            real("low", "lower end of the mean's 95 % t interval; missing where there is one seed"),
            real("high", "upper end of it"),
            real("floor_ratio", "frechet_distance over that of as many training images"),
        ),
        "gan_references": REFERENCES,
        "gan_sections": SECTIONS,
        "gan_layers": LAYERS,
    }
    shown = ("gan_intervals", "gans", "gan_references")

    def absent(self, settings: RunSettings) -> str:
        return needs_labels(settings)

    def needs(self, own: Settings) -> tuple[str, ...]:
        return ("classify", "gan_search") if own.tunes else ("classify",)

    def reads_only(self, context: Context[Settings]) -> Mapping[str, Sequence[str]]:
        return {"classify": (scoring_key(context),)}

    def check(self, settings: RunSettings) -> None:
        """No batch may be larger than the images that are learnt from."""
        check_batch_sizes(settings, self.own(settings).batch_sizes())

    def num_workers(self, own: Settings, room: int) -> int:
        return own.num_workers or own.most_workers(room)

    def trials(self, context: Context[Settings]) -> Iterator[Trial[ScoredGan]]:
        """Each arm and loss from each seed, tuned anew where that is on."""
        own, num_images = context.own, context.section(Data).num_learnt
        shape = {"image_shape": context.section(Data).shape}
        recipes = {
            (arm, loss): own.recipe(arm, loss).model_dump() | shape for arm in own.played for loss in own.losses
        }
        if own.tunes and not context.planning:
            best = best_of(context.records("gan_search").values(), self.metric)
            for which in recipes.keys() & best.keys():
                recipes[which] |= best[which].config.gan.model_dump(include=TUNED)
        for seed in range(context.seed, context.seed + own.num_seeds):
            for (arm, loss), recipe in recipes.items():
                gan = GanSettings(loss=loss, **recipe)
                key = f"{arm}-{loss}-seed-{seed}"
                yield scored_trial(context, key, arm, gan, seed, num_images, keep_weights=True)

    def own_seconds(self, context: Context[Settings]) -> float:
        return 6 + 1.8e-3 * context.section(Data).num_test

    def made_of(self, context: Context[Settings]) -> Sequence[str]:
        return (scoring_record(context).digest,)

    def inputs(self, context: Context[Settings]) -> Mapping[str, NDArray[Any]]:
        """The classifier's weights, and its features of the held-out training images and of the test images."""
        from orchestrator.stages.gan.scoring import scoring_inputs

        images = context.data.train_images
        held_out = images[hold_out_last(images).validation]
        return scoring_inputs(context, val=held_out, test=context.data.test_images)

    def train(self, trial: Trial[ScoredGan], data: Any, worker: Worker) -> Iterator[Epoch]:
        """One GAN; the worker of rank 0 scores the generator after every epoch and keeps a few images."""
        from orchestrator.stages.gan.scoring import image_scores, trained

        scores = image_scores(trial, worker) if worker.rank == 0 else None
        return trained(trial, data.train_images[hold_out_last(data.train_images).train], worker, scores)

    def results(self, context: Context[Settings], records: Sequence[Record[ScoredGan]]) -> Iterator[Table | Model]:
        from orchestrator.stages.gan.measure import measured

        return measured(context, records)

    def figures(self, context: Context[Settings], tables: Tables) -> Iterator[Picture]:
        from orchestrator.stages.gan.pictures import pictures

        return pictures(context, tables)

    def findings(self, tables: Tables) -> Iterator[str]:
        from orchestrator.stages.gan.findings import sentences

        return sentences(tables)


def best_of(records: Collection[Record[ScoredGan]], metric: str) -> dict[tuple[Arm, Loss], Record[ScoredGan]]:
    """Of each arm and loss that has any, the complete training with the least of this metric."""
    best: dict[tuple[Arm, Loss], Record[ScoredGan]] = {}
    for record in records:
        which = record.config.arm, record.config.gan.loss
        if record.state == "complete" and (which not in best or record.last[metric] < best[which].last[metric]):
            best[which] = record
    return best


def scoring_key(context: Context[Any]) -> str:
    """Name of that training of classify whose classifier gives the features."""
    from orchestrator.stages.classify import key_of

    return key_of("raw", "cnn", context.seed)


def scoring_record(context: Context[Any]) -> Record[ClassifierSettings]:
    """The training of the classifier of raw images whose features distances are taken in."""
    return context.records("classify")[scoring_key(context)]


def scored_trial(
    context: Context[Any], key: str, arm: Arm, gan: GanSettings, seed: int, num_images: int, **options: Any
) -> Trial[ScoredGan]:
    """A training of a GAN that the classifier scores; while there is none, a stand-in."""
    if context.planning:
        data = context.section(Data)
        shape = {"num_features": data.num_values, "image_shape": data.shape}
        classifier = ClassifierSettings.model_validate({"input": "raw", "architecture": "cnn", **shape})
    else:
        classifier = scoring_record(context).config
    cost = SECONDS_AN_IMAGE[gan.architecture] * gan.epochs * num_images
    return Trial(
        key, ScoredGan(arm=arm, gan=gan, classifier=classifier), seed, gan.epochs, num_images, cost, **options
    )
