"""What Prometheus sees of a run on Ray's own endpoint: a few gauges for each stage, none for a training.

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
    "orchestrator_images_per_second": ("Training images per second, over all of a stage's trainings", ("stage",)),
    "orchestrator_latest": ("A stage's metric, a validation loss say, after the latest epoch", ("stage", "metric")),
    "orchestrator_best": ("The least that a stage's metric had after a training", ("stage", "metric")),
}
"""By name, to which Ray adds the prefix ray_: what it is, and its labels."""


@contextlib.contextmanager
def published(flow: Flow) -> Iterator[None]:
    """Gauges of how far a flow's stages are, kept up to date while the context lasts; Ray is connected."""
    from ray.util.metrics import Gauge

    gauges = {name: Gauge(name, description, labels) for name, (description, labels) in GAUGES.items()}
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
                gauges["orchestrator_images_per_second"].set(images * now.epochs_per_second, stage_label)
                gauges["orchestrator_latest"].set(now.latest, labels)
                gauges["orchestrator_best"].set(now.best, labels)

    publishing = threading.Thread(target=publish, name="metrics", daemon=True)
    publishing.start()
    try:
        yield
    finally:
        over.set()
        publishing.join(PERIOD_SECONDS)
