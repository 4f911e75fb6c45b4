"""gan_search: each game tuned on one number, the Frechet distance from validation images (`--gan.search`).

Reads classify's model classifier. Writes the table gan_trials and a figure.

The paper calls the tuning of GANs impossible, since two losses pull against each other. Neither is looked at here: a
trial's generator is trained on the first five sixths of the training images, and its distance from the rest, in the
features that the stage gan measures with, is what Optuna's TPE minimises. The test images decide nothing; the
classifier that gives the features has learnt from all training images, the generator has not. Each game has a study
of its own, so that neither is played with what suits the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from orchestrator.config import Gan, Settings
from orchestrator.figures import gan as figures
from orchestrator.scoring import scores_of, scoring_inputs
from orchestrator.stage import Context, Record, Stage, StageFailed, Trainings, Trial, Work
from orchestrator.stages.gan import SEARCH, SECONDS
from orchestrator.stages.search import tpe
from orchestrator.tables import Row
from orchestrator.trials import OptunaSuggestions
from trainables.gan_settings import GanSettings

if TYPE_CHECKING:
    import optuna

    from trainables.epoch import Epoch
    from trainables.fashion_mnist import FashionMnist

METRIC = "val_frechet_distance"
WINDOW = 4
"""Trials at once, at most: how far suggestions run ahead of the results that they are made from."""
SEARCHED = {"learning_rate", "beta1", "batch_size"}
TOUCHED = {"losses", *SEARCH, *(GanSettings.model_fields.keys() & Gan.model_fields.keys()) - SEARCHED - {"epochs"}}
"""Settings that decide a trial."""


def training(
    config: dict[str, Any], data: FashionMnist, *, device: str, resume: dict[str, Any] | None, inputs: dict[str, Any]
) -> Iterator[Epoch]:
    """One trial: play on the first five sixths of the training images, measure the distance from the rest."""
    from trainables.gan_training import random_vectors, train_gan
    from trainables.splits import hold_out_last

    settings, seed = GanSettings.model_validate(config["gan"]), config["seed"]
    z = random_vectors(len(inputs["real_features"]), settings, seed, 0, 2)
    scores = scores_of(config, inputs, z, device=device, last_epoch=None)
    images = data.train_images[hold_out_last(data.train_images).train]

    def measure(generator: Any, number: int) -> dict[str, float]:
        found = scores(generator, number)
        return {METRIC: found["frechet_distance"], "class_entropy": found["class_entropy"]}

    return train_gan(settings, images, device=device, seed=seed, resume=resume, measure=measure)


def distributions(section: Gan) -> dict[str, optuna.distributions.BaseDistribution]:
    """The search space in Optuna's terms; its names are those of GanSettings."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    return {
        "learning_rate": FloatDistribution(*section.search_learning_rate, log=True),
        "beta1": FloatDistribution(*section.search_beta1),
        "batch_size": CategoricalDistribution(section.search_batch_sizes),
    }


def trainings(context: Context) -> Trainings:
    """The trials as each game's sampler suggests them, the games by turns."""
    from trainables.splits import hold_out_last

    settings, section = context.settings, context.settings.gan
    data = context.data
    classifier = scoring_inputs(context, data.train_images[hold_out_last(data.train_images).validation])
    shared = section.model_dump(include=set(GanSettings.model_fields)) | {"epochs": section.search_epochs}
    num_games = len(section.losses)
    studies = [
        OptunaSuggestions(distributions(section), tpe(section.search_trials // 2, settings.seed), METRIC)
        for _ in section.losses
    ]

    def suggest(number: int, records: list[Record]) -> Trial:
        own, game = divmod(number, num_games)
        params = studies[game](own, records[game::num_games])
        played = GanSettings(loss=section.losses[game], **(shared | params))
        config = {"gan": played.model_dump(mode="json"), "seed": settings.seed, "classifier": classifier}
        return Trial(f"trial-{number:03d}", config, epochs=played.epochs, cost=_cost(settings))

    number = num_games * section.search_trials
    return Trainings(number, suggest, window=WINDOW, metric=METRIC, retry_failed=False)


def finish(context: Context, records: dict[str, Record]) -> None:
    """Write what was found."""
    ordered = [record for _, record in sorted(records.items())]
    context.write_table("gan_trials", [_row(number, record) for number, record in enumerate(ordered)])
    trials = context.run.table("gan_trials")
    context.write_figure("gan_trial_losses", figures.trial_losses, trials)
    played = set(trials.dropna(subset=[METRIC])["loss"])
    without = [loss for loss in context.settings.gan.losses if loss not in played]
    if without:
        raise StageFailed(f"no trial of {', '.join(without)} came to its end; the table gan_trials has their errors")


def _row(number: int, record: Record) -> Row:
    game = record["config"]["gan"]
    last = record["epochs"][-1] if record["state"] == "complete" else {}
    return {
        "trial": number,
        "loss": game["loss"],
        "state": record["state"],
        **{name: last.get(name) for name in (METRIC, "d_loss", "g_loss", "d_real", "d_fake", "class_entropy")},
        **{f"params_{name}": game[name] for name in ("learning_rate", "beta1", "batch_size")},
        "epochs": len(record["epochs"]),
        "seconds": record["seconds"],
        "seed": record["config"]["seed"],
        "error": record["error"],
    }


def _cost(settings: Settings) -> float:
    return SECONDS[settings.gan.architecture] * settings.gan.search_epochs * _num_images(settings)


def _num_images(settings: Settings) -> int:
    return settings.data.num_train * 5 // 6


def _work(settings: Settings) -> Work:
    number = len(settings.gan.losses) * settings.gan.search_trials
    return Work(number, settings.gan.search_epochs, _num_images(settings), number * _cost(settings))


STAGE = Stage(
    name="gan_search",
    training=training,
    trainings=trainings,
    finish=finish,
    decides=lambda settings: [settings.data, settings.gan.without(*set(Gan.model_fields) - TOUCHED)],
    needs=lambda settings: ("classify",),
    work=_work,
    wanted=lambda settings: settings.gan.search,
    flag="--gan.search",
)
