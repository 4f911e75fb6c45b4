"""Which trials of a stage wait, run and are recorded, without disk and Ray."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.engine.records import Record, Trial
from orchestrator.engine.study import Study, Suggested
from tests.engine.toy import Nothing

Found = dict[str, Record[Any]]


def trial(number: int, cost: float = 1.0) -> Trial[Nothing]:
    """As searches name theirs."""
    return Trial(f"trial-{number:03d}", Nothing(), seed=number, epochs=1, cost=cost)


def study(trials: Sequence[Trial[Any]] | Suggested, found: Found | None = None) -> Study:
    return Study(trials, find=lambda it: (found or {}).get(it.key), addressed=lambda it: replace(it, address=it.key))


def record(of: Trial[Any], loss: float = 0.5) -> Record[Any]:
    return Record(of.key, of.config, of.seed, "complete", [{"loss": loss}], address=of.address)


def run_all(of: Study, dice: random.Random, slots: int) -> None:
    """Tell trials at random, of which as many run at once."""
    while of.num_missing:
        while of.waiting and len(of.running) < slots:
            of.ask()
        of.tell(record(dice.choice(list(of.running.values()))))


def keys(of: Sequence[Trial[Any]] | Sequence[Record[Any]]) -> list[str]:
    return [it.key for it in of]


@pytest.mark.parametrize("slots", [1, 3, 64])
@pytest.mark.parametrize(
    "trials",
    [
        [trial(number, cost=number % 7) for number in range(1_010)],
        Suggested(1_010, window=40, suggest=lambda number, records: trial(number)),
    ],
    ids=["list", "suggested"],
)
def test_records_are_in_the_order_of_the_trials_whatever_order_they_finish_in(
    trials: Sequence[Trial[Any]] | Suggested, slots: int
) -> None:
    of = study(trials)
    run_all(of, random.Random(3), slots)
    expected = [f"trial-{number:03d}" for number in range(1_010)]
    assert keys(of.in_order()) == expected
    assert expected[999:1_001] == ["trial-999", "trial-1000"], "which sorted names would not be"
    assert keys(of.trials) == expected
    found = dict(reversed(list(of.records.items())))
    assert keys(study(trials, found).in_order()) == expected, "nor does it matter in which they are found"


def test_records_so_far_are_in_the_order_of_the_trials() -> None:
    of = study([trial(number) for number in range(4)])
    for _ in range(3):
        of.ask()
    for number in (2, 0):
        of.tell(record(trial(number)))
    assert keys(of.in_order()) == ["trial-000", "trial-002"]
    assert (of.num_trials, of.num_missing) == (4, 2)


class Suggesting:
    """Suggests by a rule that depends on all that it was told, and keeps how it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, list[str]]] = []

    def __call__(self, number: int, records: Sequence[Record[Any]]) -> Trial[Any]:
        self.asked.append((number, keys(records)))
        known = sum((place + 1) * it.epochs[-1]["loss"] for place, it in enumerate(records))
        return replace(trial(number), seed=round(1_000 * known))


def loss_of(of: Trial[Any]) -> float:
    return random.Random(of.key).random()


def told(suggest: Callable[..., Trial[Any]], window: int, orders: random.Random) -> Study:
    """A study of twelve trials, of which all that can run at once do, and end in some order."""
    of = study(Suggested(12, window, suggest))
    while of.num_missing:
        while of.waiting:
            of.ask()
        ended = orders.choice(list(of.running.values()))
        of.tell(record(ended, loss_of(ended)))
    return of


@pytest.mark.parametrize("window", [1, 4, 12])
def test_a_trial_is_made_from_the_records_up_to_the_window_before_it_whatever_ends_first(window: int) -> None:
    made = []
    for order in range(20):
        suggest = Suggesting()
        of = told(suggest, window, random.Random(order))
        assert suggest.asked == [
            (number, [f"trial-{before:03d}" for before in range(max(0, number - window + 1))]) for number in range(12)
        ]
        made.append([it.seed for it in of.trials])
    assert all(seeds == made[0] for seeds in made)


def test_as_many_trials_wait_at_first_as_the_window_is_wide_and_one_more_once_the_first_is_told() -> None:
    of = study(Suggested(12, 4, Suggesting()))
    assert keys(of.waiting) == ["trial-000", "trial-001", "trial-002", "trial-003"]
    assert (of.num_trials, of.num_missing) == (12, 12), "those that are not made yet count"
    running = [of.ask() for _ in range(4)]
    of.tell(record(running[2]))
    assert not of.waiting, "the fifth is made from the first"
    of.tell(record(running[0]))
    assert keys(of.waiting) == ["trial-004"]
    of.tell(record(running[1]))
    assert keys(of.waiting) == ["trial-004", "trial-005", "trial-006"]


@pytest.mark.parametrize("num_recorded", [1, 5, 11, 12])
def test_interrupted_study_replays_its_suggestions_from_the_records_and_runs_none_again(num_recorded: int) -> None:
    whole = told(Suggesting(), 4, random.Random(1))
    kept = dict(random.Random(num_recorded).sample(list(whole.records.items()), num_recorded))
    suggest = Suggesting()
    again = study(Suggested(12, 4, suggest), kept)
    assert not {it.key for it in again.waiting} & kept.keys()
    ran = set()
    while again.num_missing:
        ended = again.ask()
        ran.add(ended.key)
        again.tell(record(ended, loss_of(ended)))
    assert again.trials == whole.trials
    assert again.in_order() == whole.in_order()
    assert ran == whole.records.keys() - kept.keys()


def test_trials_that_are_known_beforehand_start_longest_first_and_equals_as_they_are_listed() -> None:
    of = study([trial(number, cost) for number, cost in enumerate([1.0, 3.0, 2.0, 3.0, 1.0])])
    assert keys(of.waiting) == ["trial-001", "trial-003", "trial-002", "trial-000", "trial-004"]
    assert [of.ask().key for _ in range(5)] == ["trial-001", "trial-003", "trial-002", "trial-000", "trial-004"]
    assert keys(of.trials) == [f"trial-{number:03d}" for number in range(5)]


def test_suggested_trials_start_as_they_are_made() -> None:
    of = study(Suggested(3, 3, lambda number, records: trial(number, cost=number)))
    assert [of.ask().key for _ in range(3)] == ["trial-000", "trial-001", "trial-002"]


@pytest.mark.parametrize("suggested", [False, True])
def test_trial_that_is_given_back_waits_before_all_others(suggested: bool) -> None:
    trials = [trial(number, cost=9.0 - number) for number in range(4)]
    of = study(Suggested(4, 4, lambda number, records: trials[number]) if suggested else trials)
    first, second = of.ask(), of.ask()
    of.give_back(second.key)
    assert keys(of.waiting) == ["trial-001", "trial-002", "trial-003"]
    of.give_back(first.key)
    assert keys(of.waiting) == ["trial-000", "trial-001", "trial-002", "trial-003"]
    assert (of.ask(), list(of.running)) == (first, ["trial-000"])
    of.tell(record(first))
    assert keys(of.waiting) == ["trial-001", "trial-002", "trial-003"]


def test_trials_alike_are_looked_for_no_farther_than_as_many_as_are_wanted() -> None:
    trials = [Trial(f"trial-{number:04d}", Nothing(), number, 1) for number in range(1000)]
    of, asked = Study(trials, lambda trial: None, lambda trial: trial), []

    def kind(trial: Trial[Any]) -> int:
        asked.append(trial)
        return trial.seed % 2

    assert keys(of.ask_alike(kind, 3)) == ["trial-0000", "trial-0002", "trial-0004"]
    assert len(asked) == 5
    assert keys(of.waiting)[:3] == ["trial-0001", "trial-0003", "trial-0005"]
    assert list(of.running) == ["trial-0000", "trial-0002", "trial-0004"]
    assert keys(of.ask_alike(lambda trial: None, 3)) == ["trial-0001"]


class Counted(Trial[Any]):
    """Counts how often any trial is looked at."""

    looked_at = 0

    def __getattribute__(self, name: str) -> Any:
        Counted.looked_at += 1
        return super().__getattribute__(name)


class CountedRecords(Found):
    """Counts how often any record is looked up."""

    looked_up = 0

    def get(self, *arguments: Any) -> Any:
        self.looked_up += 1
        return super().get(*arguments)

    def __getitem__(self, key: str) -> Any:
        self.looked_up += 1
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.looked_up += 1
        return super().__contains__(key)


@pytest.mark.parametrize("suggested", [False, True])
def test_each_trial_costs_the_study_the_same_however_many_there_were(suggested: bool) -> None:
    costs = []
    for number in (100, 1_600):
        Counted.looked_at = 0
        trials = [Counted(f"trial-{n:03d}", Nothing(), n, 1) for n in range(number)]
        of = Study(
            Suggested(number, 4, lambda n, records, trials=trials: trials[n]) if suggested else trials,
            find=lambda it: None,
            addressed=lambda it: it,
        )
        of.records = CountedRecords()
        while of.num_missing:
            of.tell(record(of.ask()))
        costs.append((Counted.looked_at + of.records.looked_up) / number)
    assert costs[1] < 1.1 * costs[0]


def test_two_trials_of_a_name_are_a_mistake_of_the_stage() -> None:
    with pytest.raises(AssertionError, match="two trials are called trial-001"):
        study([trial(1), trial(1)])


def test_a_study_without_trials_misses_none() -> None:
    of = study(())
    assert (of.num_trials, of.num_missing, of.waiting, of.in_order()) == (0, 0, [], [])
