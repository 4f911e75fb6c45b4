"""What Prometheus sees of a run on Ray's own endpoint: a few series for each stage, none for a training.

docs/grafana.json is a Grafana board of them.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.flow import Flow

PERIOD_SECONDS = 2
GAUGES = {
    "orchestrator_trainings": ("Trainings of a stage, by state", ("stage", "state")),
    "orchestrator_progress": ("Share of a stage's epochs that are done, 0 to 1", ("stage",)),
    "orchestrator_latest": ("A stage's metric, a validation loss say, after the latest epoch", ("stage", "metric")),
    "orchestrator_best": ("The least that a stage's metric had after a training", ("stage", "metric")),
}
"""By name, to which Ray adds the prefix ray_: what it is, and its labels."""
IMAGES = "orchestrator_images"
"""Counter of training images seen; Ray adds ray_ and _total. Prometheus makes images per second of it: rate(...)."""


@contextlib.contextmanager
def published(flow: Flow) -> Iterator[None]:
    """Metrics of how far a flow's stages are, kept up to date while the context lasts; Ray is connected."""
    from ray.util.metrics import Counter, Gauge

    gauges = {name: Gauge(name, description, labels) for name, (description, labels) in GAUGES.items()}
    counter = Counter(IMAGES, "Training images seen, over all of a stage's trainings", ("stage",))
    counted: dict[str, int] = {}
    over = threading.Event()

    def publish() -> None:
        while not over.wait(PERIOD_SECONDS):
            for ledger in flow.ledgers:
                stage, now = ledger.context.stage, ledger.standing()
                stage_label = {"stage": stage.name}
                labels = stage_label | {"metric": ledger.trainings.metric}
                images = stage.work(flow.plan.settings).images if stage.work else 0
                for state, number in now.trainings.items():
                    gauges["orchestrator_trainings"].set(number, stage_label | {"state": state})
                gauges["orchestrator_progress"].set(now.progress, stage_label)
                new = now.num_epochs - counted.get(stage.name, 0)
                if new:
                    counter.inc(new * images, stage_label)
                    counted[stage.name] = now.num_epochs
                gauges["orchestrator_latest"].set(now.latest, labels)
                gauges["orchestrator_best"].set(now.best, labels)

    publishing = threading.Thread(target=publish, name="metrics", daemon=True)
    publishing.start()
    try:
        yield
    finally:
        over.set()
        publishing.join(PERIOD_SECONDS)
