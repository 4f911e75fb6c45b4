"""What stages make of trainings that are not all well."""

from pathlib import Path
from typing import Any

from orchestrator.contracts.in_process import done
from orchestrator.engine.checkpoint import Rows
from orchestrator.engine.records import Trial
from orchestrator.engine.settings import changed
from orchestrator.stages.architectures import best
from tests.stages.known import grey
from tests.stages.made_up import book_of


def _rows(epochs: int, value: float = 0.1) -> Rows:
    return [
        {
            "epoch": number,
            "train_mse": value,
            "last_batch_mse": value,
            "val_mse": value / number,
            "test_mse": value,
            "seconds": 1.5,
        }
        for number in range(1, epochs + 1)
    ]


ERROR = "Traceback ...\nValueError: out of paint"


def test_failed_and_pruned_trials_are_rows_with_state_and_error(tmp_path: Path) -> None:
    book = book_of(tmp_path)
    states = ["complete", "failed", "pruned", "complete", "failed", "complete"]
    epochs = {"complete": 2, "failed": 0, "pruned": 1}

    def how(trial: Trial[Any]) -> tuple[Rows, str | None]:
        number = int(trial.key.removeprefix("trial-"))
        state = states[number]
        return _rows(epochs[state], value=0.1 + number), ERROR if state == "failed" else None

    assert done(book, "search", how).state == "done"
    trials = book.run.table("trials")
    assert list(trials["state"]) == states
    assert trials["error"].notna().tolist() == [state == "failed" for state in states]
    assert trials["val_mse"].isna().tolist() == [state == "failed" for state in states]
    assert list(trials["epochs"]) == [2, 0, 1, 2, 0, 2]
    assert len(book.run.table("trial_epochs")) == 7
    first = book.study("search").trials[0].config
    assert best(book.context("kfold"), epochs=9) == changed(first, epochs=9)


def test_search_without_a_complete_trial_fails_but_has_its_tables_and_figures(tmp_path: Path) -> None:
    book = book_of(tmp_path)
    entry = done(book, "search", lambda trial: ([], ERROR))
    assert entry.state == "failed"
    assert "no trial came to its end" in str(entry.error)
    assert len(book.run.table("trials")) == 6
    assert book.run.table("importances").empty
    assert book.run.exists("figures/search_history.png")


def test_kfold_with_a_failed_fold_fails_but_has_the_others_in_its_tables(tmp_path: Path) -> None:
    book = book_of(tmp_path, grey(120, 20), data={"num_train": 120, "num_test": 20})
    done(book, "search", lambda trial: (_rows(2), None))
    failed = "best-sequential-2-seed-1"
    entry = done(book, "kfold", lambda trial: ([], ERROR) if trial.key == failed else (_rows(2), None))
    assert entry.state == "failed"
    assert f"of 12 trainings failed: {failed}" in str(entry.error)
    folds = book.run.table("folds").query("model == 'best' and order == 'sequential' and seed == 1")
    assert folds["test_mse"].isna().tolist() == [fold == 2 for fold in range(3)]
    assert folds.loc[2, "error"].endswith("out of paint")
    assert folds["num_val"].sum() == book.settings.data.num_train
