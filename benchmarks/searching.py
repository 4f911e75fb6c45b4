"""A search of eight trials: this project's command against Optuna's own `n_jobs`, whose jobs are threads.

Optuna is given the trials that our search came to, so that both train the same networks, for two epochs each on the
first five sixths of the images.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.commands import command, timed
from benchmarks.rows import Row, ratios, spread, turn_by_turn

NUM_TRIALS, EPOCHS, NUM_JOBS = 8, 2, 2
SIZES = ("filters1", "filters2", "filters3", "neurons", "latent_dim")
NAMES = (*SIZES, "optimizer", "learning_rate")


def by_optuna(file: str) -> None:
    """The trials in a file, as Optuna's documentation does them."""
    import optuna
    import torch

    from orchestrator.stages.search import Space
    from orchestrator.stages.search.study import model_of
    from trainables.autoencoder import train_autoencoder
    from trainables.fashion_mnist import load
    from trainables.splits import hold_out_last

    torch.set_num_threads(1)
    split, space, trials = hold_out_last(load().train_images), Space(), json.loads(Path(file).read_text())

    def objective(trial: optuna.Trial) -> float:
        params = {name: trial.suggest_int(name, *getattr(space, name)) for name in SIZES}
        params["optimizer"] = trial.suggest_categorical("optimizer", space.optimizer)
        params["learning_rate"] = trial.suggest_float("learning_rate", *space.learning_rate, log=True)
        settings = model_of(params, weight_decay=1e-5, batch_size=256, epochs=EPOCHS)
        *_, last = train_autoencoder(settings, split, seed=1)
        return last.metrics["val_mse"]

    study = optuna.create_study()
    for params in trials:
        study.enqueue_trial(params)
    study.optimize(objective, len(trials), n_jobs=NUM_JOBS)


def rows(full: bool) -> Iterator[Row]:
    """Whole programs by turns."""
    import pandas as pd

    words = ("search", "--preset", "paper", "--search.num-trials", str(NUM_TRIALS), "--search.epochs", str(EPOCHS))
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:

        def ours() -> float:
            with command(*words) as took:
                trials = pd.read_parquet(took.folder / "paper" / "tables" / "trials.parquet")
                Path(file.name).write_text(
                    trials[[f"params_{name}" for name in NAMES]].set_axis(NAMES, axis=1).to_json(orient="records")
                )
                return took.seconds

        sides = {"ours": ours, "Optuna": lambda: timed([sys.executable, "-m", "benchmarks.searching", file.name])}
        times = turn_by_turn(sides, 3 if full else 1)
    against = ratios(times["Optuna"], times["ours"])
    yield Row(f"a search of {NUM_TRIALS} trials, the whole command, seconds", spread(times["ours"], 0))
    yield Row(f"against Optuna with n_jobs={NUM_JOBS} over the same trainings", f"{spread(against)} times as fast")


if __name__ == "__main__":
    by_optuna(sys.argv[1])
