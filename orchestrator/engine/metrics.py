"""What Prometheus sees of a run on Ray's own endpoint: a few series for each stage, none for a training.

docs/grafana.json is a Grafana board of them.
"""

import contextlib
from collections.abc import Iterator, Mapping

from orchestrator.engine.beat import every
from orchestrator.engine.stage_run import StageRun

PERIOD_SECONDS = 2
GAUGES = {
    "orchestrator_trainings": ("Trainings of a stage, by state", ("stage", "state")),
    "orchestrator_progress": ("Share of a stage's epochs that are done, 0 to 1", ("stage",)),
    "orchestrator_latest": ("A stage's metric, a validation loss say, after the latest epoch", ("stage", "metric")),
    "orchestrator_best": ("The least that a stage's metric had after a training", ("stage", "metric")),
}
"""By name, to which Ray adds the prefix ray_: what it is, and its labels, beside that of the run."""
IMAGES = "orchestrator_images"
"""Counter of training images seen; Ray adds ray_ and _total. Prometheus makes images per second of it: rate(...)."""


@contextlib.contextmanager
def published(runs: Mapping[str, StageRun], run_name: str) -> Iterator[None]:
    """Metrics of how far stages are, kept up to date while the context lasts; Ray is connected.

    The label `run` tells them from those of another run on the same cluster.
    """
    from ray.util.metrics import Counter, Gauge

    gauges = {name: Gauge(name, description, ("run", *labels)) for name, (description, labels) in GAUGES.items()}
    counter = Counter(IMAGES, "Training images seen, over all of a stage's trainings", ("run", "stage"))
    for metric in (counter, *gauges.values()):
        metric.set_default_tags({"run": run_name})
    counted: dict[str, int] = {}

    def publish() -> None:
        trained = [(name, stage_run) for name, stage_run in list(runs.items()) if stage_run.study.num_trials]
        for name, stage_run in trained:
            now, stage_label = stage_run.standing(), {"stage": name}
            labels = stage_label | {"metric": stage_run.stage.metric}
            for state, number in now.trainings.items():
                gauges["orchestrator_trainings"].set(number, stage_label | {"state": state})
            gauges["orchestrator_progress"].set(now.share, stage_label)
            new = now.num_epochs - counted.get(name, 0)
            if new:
                counter.inc(new * stage_run.study.trials[0].num_images, stage_label)
                counted[name] = now.num_epochs
            gauges["orchestrator_latest"].set(now.latest, labels)
            gauges["orchestrator_best"].set(now.best, labels)

    with every(PERIOD_SECONDS, publish):
        yield
