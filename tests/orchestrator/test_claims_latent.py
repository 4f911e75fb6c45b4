"""Claims of latent vectors and of planes: their judges on made-up predictions, each of them right by number."""

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest

from orchestrator.claims import CLAIMS
from orchestrator.claims.latent import SIMILAR, within
from orchestrator.claims.pairs import difference_in_accuracy
from orchestrator.statistics.intervals import NotTested, Unchanged
from tests.orchestrator.made_tables import answer, table

NUM_IMAGES = 400
Right = Sequence[Sequence[tuple[int, int]]]
"""For each seed, ranges of images that are told right."""


def predictions(columns: Sequence[str], first_seed: float = 1, **right: Right) -> pd.DataFrame:
    """Of 400 images of class 3; the words of a name are the columns' values."""
    rows: list[dict[str, Any]] = []
    for name, of_seeds in right.items():
        which = dict(zip(columns, name.split("_"), strict=True))
        for number, ranges in enumerate(of_seeds):
            told = {image for low, high in ranges for image in range(low, high)}
            rows += [
                which | {"index": i, "label": 3, "predicted": 3 if i in told else 7, "seed": first_seed + number}
                for i in range(NUM_IMAGES)
            ]
    return table(rows)


def classified(**right: Right) -> dict[str, pd.DataFrame]:
    return {"classifier_predictions": predictions(("input", "architecture"), **right)}


def laid_out(**right: Right) -> dict[str, pd.DataFrame]:
    return {"embedding_predictions": predictions(("method",), **right)}


def some(*ends: int) -> Right:
    """Of each seed, the images up to an end."""
    return [[(0, end)] for end in ends]


def networks(epochs: int = 50, **accuracies: float) -> pd.DataFrame:
    rows = [
        dict(zip(("input", "architecture"), name.split("_"), strict=True)) | {"test_accuracy": value}
        for name, value in accuracies.items()
    ]
    sizes = {"latent": 114_442, "raw": 421_834}
    return table([{"num_parameters": sizes[row["input"]]} | row for row in rows], state="complete", epochs=epochs)


def targets(latent: Sequence[Sequence[float | None]], raw: Sequence[Sequence[float | None]]) -> pd.DataFrame:
    """By input and seed, epochs to accuracies of .7, .8, .9; an epoch takes a second on latent vectors, three on raw
    images."""
    rows = [
        {"input": given, "seed": seed, "accuracy": 0.7 + n / 10, "epoch": epoch}
        | {"cpu_seconds": None if epoch is None else seconds * epoch}
        for given, of_seeds, seconds in (("latent", latent, 1), ("raw", raw, 3))
        for seed, of_seed in enumerate(of_seeds)
        for n, epoch in enumerate(of_seed)
    ]
    others = [row | {"architecture": "mlp", "epoch": 99} for row in rows]
    return table([row | {"architecture": "cnn"} for row in rows] + others)


KNN = {"latent_cnn": some(400), "raw_cnn": some(0)}
"""Others, that are not asked for."""
CASES: list[tuple[int, str, dict[str, pd.DataFrame], float | None]] = [
    (3, "supported", classified(latent_knn=some(318, 322, 320), raw_knn=some(324), **KNN), -0.01),
    (3, "contradicted", classified(latent_knn=some(240, 244, 242), raw_knn=some(322), **KNN), -0.2),
    (3, "inconclusive", classified(latent_knn=some(300, 304, 302), raw_knn=some(322), **KNN), -0.05),
    (3, "not_tested", classified(latent_knn=some(300), **KNN), None),
    (10, "supported", laid_out(tsne=some(320, 322), autoencoder=some(280, 282), pca=some(400)), 0.1),
    (10, "contradicted", laid_out(tsne=some(240, 242), autoencoder=some(280, 282), pca=some(0)), -0.1),
    (10, "inconclusive", laid_out(tsne=[[(0, 201)]], autoencoder=[[(200, 400)]], pca=some(0)), 0.0025),
    (10, "not_tested", laid_out(tsne=some(10), autoencoder=some(10)), None),
    (27, "supported", classified(latent_cnn=some(330, 332), latent_linear=some(300, 302), raw_cnn=some(0)), 0.075),
    (27, "contradicted", classified(latent_cnn=some(300), latent_linear=some(330), raw_cnn=some(400)), -0.075),
    (27, "inconclusive", classified(latent_cnn=[[(0, 201)]], latent_linear=[[(200, 400)]]), 0.0025),
    (28, "followed", classified(raw_cnn=some(360, 360), latent_cnn=some(320, 330), raw_mlp=some(0)), 0.0875),
    (30, "supported", laid_out(autoencoder=some(280, 282), pca=some(200), tsne=some(400)), 0.2025),
    (30, "contradicted", laid_out(autoencoder=some(200, 202), pca=some(280), tsne=some(0)), -0.1975),
    (30, "inconclusive", laid_out(autoencoder=[[(0, 201)]], pca=[[(200, 400)]]), 0.0025),
]  # fmt: skip


@pytest.mark.parametrize(("number", "verdict", "tables", "measured"), CASES)
def test_verdict_follows_from_the_difference_on_the_same_images(
    number: int, verdict: str, tables: dict[str, pd.DataFrame], measured: float | None
) -> None:
    others = {"classifiers": networks(latent_cnn=0.8, latent_linear=0.7, latent_knn=0.9, raw_cnn=0.95)}
    found = answer(number, **tables, **others)
    assert found.verdict == verdict, found.reason
    if measured is not None:
        assert found.measured is not None
        assert found.measured.value == pytest.approx(measured)
        assert found.measured.kind == "bootstrap"
        assert (found.test is None) == (number == 28)
        assert found.test is None or found.test.verdict == verdict


def test_what_is_lost_of_the_accuracy_is_held_against_the_threshold_and_pca_stands_beside() -> None:
    (third,) = [claim for claim in CLAIMS if claim.number == 3]
    lost = classified(latent_knn=some(300, 304, 302), raw_knn=some(322))
    assert [third.answer(lost, times=times).verdict for times in (0.2, 1, 3)] == [
        "contradicted",
        "inconclusive",
        "supported",
    ]
    rows = [
        {"method": method, "latent_dim": size, "pca_ratio": ratio}
        for method, size, ratio in (
            ("autoencoder", 2, 0.6),
            ("autoencoder", 14, 0.5),
            ("autoencoder", 14, 0.4),
            ("autoencoder", 64, 0.9),
            ("pca", 14, 1.0),
        )
    ]
    assert "With 14 numbers it leaves 0.45 of" in answer(3, **lost, reconstruction=table(rows)).reason
    for without in (table(rows[3:]), table(rows).assign(pca_ratio=np.nan)):
        assert answer(3, **lost, reconstruction=without).reason == answer(3, **lost).reason


def test_a_network_is_told_beside_the_others_on_latent_vectors() -> None:
    tables = classified(latent_cnn=some(330), latent_linear=some(300))
    others = networks(latent_cnn=0.8, latent_linear=0.7, latent_knn=0.9, raw_cnn=0.95)
    assert "Accuracies: cnn 0.800, knn 0.900, linear 0.700 (" in answer(27, **tables, classifiers=others).reason


def test_a_similar_network_is_trained_over_fifty_epochs_and_tells_how_similar_it_is() -> None:
    tables = classified(raw_cnn=some(360), latent_cnn=some(320))
    pair = {"latent_cnn": 0.8, "raw_cnn": 0.9}
    fewer = answer(28, **tables, classifiers=networks(49, **pair))
    assert fewer.verdict == "not_followed"
    assert "114,442 parameters on latent vectors, 421,834 on images" in fewer.reason
    one = networks(latent_cnn=0.8, raw_mlp=0.9)
    assert answer(28, **tables, classifiers=one).verdict == "not_tested"
    failed = networks(**pair).assign(state=["complete", "failed"])
    assert answer(28, **tables, classifiers=failed).verdict == "not_tested"


def test_learning_curves_are_compared_at_the_highest_accuracy_that_every_seed_of_both_reached() -> None:
    found = answer(29, classifier_targets=targets([[2, 8, 9], [2, 4, None]], [[1, 2, 5], [1, 4, 5]]))
    assert found.verdict == "followed"
    assert found.measured is not None
    assert found.measured.value == pytest.approx(((8 / 2) * (4 / 4)) ** 0.5)
    assert found.measured.n == 2
    assert found.reason.startswith("All reached 0.8,")
    assert found.seconds == (8 + 4) / 2
    slower = targets([[2, 8, 9], [2, 4, None]], [[1, 2, 5], [1, 4, 5]])
    again = answer(29, classifier_targets=slower.assign(cpu_seconds=slower["cpu_seconds"] ** 2))
    assert (again.reason, again.measured.value) == (found.reason, found.measured.value)  # type: ignore[union-attr]
    assert answer(29, classifier_targets=targets([[None] * 3], [[1, 2, 5]])).verdict == "not_tested"
    assert answer(29, classifier_targets=targets([[2, 8, 9]], [])).verdict == "not_followed"


# Mistakes of each method, as (true class, class it is taken for, how many).
WITHIN = ((0, 6, 30), (6, 4, 10), (2, 4, 20), (3, 2, 10), (5, 7, 20), (7, 9, 9))
KINDS = (0, 0, 0, 0, 0, 1, 1, 1, 2, 2)
"""Of the classes 0, 2, 3, 4, 6, then 5, 7, 9, then 1 and 8."""
ORDER = (0, 2, 3, 4, 6, 5, 7, 9, 1, 8)
ACROSS = tuple((ORDER[i], ORDER[j], 1) for i, j in permutations(range(10), 2) if KINDS[i] != KINDS[j])
ANYWHERE = tuple((i, j, 1) for i, j in permutations(range(10), 2))


def confused(**mistakes: Sequence[tuple[int, int, int]]) -> dict[str, pd.DataFrame]:
    rows = [
        {"method": method, "label": label, "predicted": predicted, "seed": 1}
        for method, of_method in mistakes.items()
        for label, predicted, number in (*of_method, (8, 8, 50))
        for _ in range(number)
    ]
    return {"embedding_predictions": table(rows).assign(index=0)}


@pytest.mark.parametrize(
    ("verdict", "tables", "ends"),
    [
        ("supported", confused(pca=WITHIN, tsne=(*WITHIN, (0, 9, 11))), (0.9, 1.0)),
        ("contradicted", confused(pca=ACROSS, tsne=ACROSS), (0.0, 0.0)),
        ("partly", confused(pca=WITHIN, tsne=ANYWHERE), (26 / 90, 1.0)),
        ("partly", confused(pca=WITHIN, tsne=ACROSS), (0.0, 1.0)),
        ("inconclusive", confused(pca=ACROSS, tsne=ANYWHERE), (0.0, 26 / 90)),
        ("inconclusive", confused(pca=ANYWHERE), (26 / 90, 26 / 90)),
        ("not_tested", confused(pca=()), None),
    ],
)
def test_mistakes_are_held_against_every_other_grouping_of_the_classes(
    verdict: str, tables: dict[str, pd.DataFrame], ends: tuple[float, float] | None
) -> None:
    found = answer(31, **tables)
    assert found.verdict == verdict
    if ends is not None:
        assert found.measured is not None
        assert found.test is not None
        assert (found.measured.low, found.measured.high) == pytest.approx(ends)
        assert found.test.p is not None
        assert (found.test.p < 0.05) == (verdict != "inconclusive")
        assert found.measured.kind == "range"
        assert "in which 0.29 would stay" in answer(31, **confused(pca=ANYWHERE)).reason


def test_p_of_a_grouping_is_its_place_among_all_2520() -> None:
    # Only one keeps every mistake, that with 0, 6, 4, 2, 3 together and 5, 7, 9 too, of 10! / (5! 3! 2!).
    found = answer(31, **confused(pca=WITHIN))
    assert found.test is not None
    assert found.test.p == pytest.approx(2 / 2520)
    both = answer(31, **confused(pca=WITHIN, tsne=ANYWHERE)).test
    assert both is not None
    assert both.p == pytest.approx(2 * 2 / 2520), "the least of two, corrected for being that"
    assert within(np.ones((10, 10)) - np.eye(10), SIMILAR) == pytest.approx((20 + 6) / 90)


def planes(**measured: tuple[float, float]) -> dict[str, pd.DataFrame]:
    rows = [
        {"method": method, "trustworthiness": trust, "knn_accuracy": accuracy, "seed": seed}
        for method, (trust, accuracy) in measured.items()
        for seed in (1, 2)
    ]
    return {"embeddings": table(rows)}


@pytest.mark.parametrize(
    ("mine", "verdict"),
    [
        ((0.95, 0.7), "partly"),
        ((0.90, 0.7), "not_tested"),
        ((0.95, 0.4), "not_tested"),
        ((0.91, 0.7), "not_tested"),
        ((0.95, 0.5), "not_tested"),
    ],
)
def test_a_plane_is_held_against_pca_s_which_is_as_easy_to_look_at(mine: tuple[float, float], verdict: str) -> None:
    found = answer(23, **planes(autoencoder=mine, pca=(0.91, 0.5), tsne=(0.99, 0.8)))
    assert found.verdict == verdict
    assert found.measured is not None
    assert (found.measured.value, found.measured.n) == (pytest.approx(mine[0]), 2)


def test_what_can_be_compared_with_what_is_a_definition() -> None:
    three = planes(autoencoder=(0.9, 0.7), pca=(0.9, 0.5), tsne=(0.9, 0.8))
    both = table([{"method": "autoencoder"}, {"method": "pca"}], state=None)
    assert answer(7, **three, reconstruction=both).verdict == "partly"
    assert answer(7, **three, reconstruction=both.iloc[:1]).reason == "This run has no reconstruction by pca."
    assert answer(7, **planes(pca=(0.9, 0.5), tsne=(0.9, 0.8)), reconstruction=both).verdict == "not_tested"
    errors = table([{"model": "best", "test_mse": value} for value in (0.01, 0.03)], state="complete")
    found = answer(2, models=pd.concat([errors, table([{"model": "two_dim", "test_mse": 9.0}], state="complete")]))
    assert (found.verdict, found.measured and found.measured.value) == ("not_tested", pytest.approx(0.02))
    assert answer(1).verdict == "not_tested"


def test_images_are_paired_so_that_the_same_difference_is_told_from_nothing_where_both_err_alike() -> None:
    # Ten images more are told right: of the same images, or of any.
    alike = predictions(("method",), one=some(210), other=some(200))
    apart = predictions(("method",), one=[[(0, 210)]], other=[[(200, 400)]])
    which = {"method": "one"}, {"method": "other"}
    found, loose = (difference_in_accuracy(made, *which) for made in (alike, apart))
    assert found.value == loose.value == pytest.approx(0.025)
    assert (found.above(0).verdict, loose.above(0).verdict) == ("supported", "inconclusive")
    # 10 of 400 differ, each by 1: the mean's standard error is that of a share of .025.
    error = (0.025 * 0.975 / 400) ** 0.5
    assert found.high is not None
    assert found.low is not None
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(error, rel=0.1)


def test_seeds_are_paired_and_one_that_only_one_side_has_is_left_out() -> None:
    one = predictions(("method",), one=some(300, 200, 100))
    other = predictions(("method",), first_seed=2, other=some(150, 50))
    found = difference_in_accuracy(pd.concat([one, other]), {"method": "one"}, {"method": "other"})
    assert found.value == pytest.approx(0.125)
    assert found.n == 2
    single = predictions(("method",), other=some(100)).assign(seed=None)
    beside = difference_in_accuracy(pd.concat([one, single]), {"method": "one"}, {"method": "other"})
    assert beside.value == pytest.approx((200 + 100 + 0) / 3 / 400)
    later = predictions(("method",), first_seed=8, other=some(150, 50))
    with pytest.raises(NotTested, match="seed"):
        difference_in_accuracy(pd.concat([one, later]), {"method": "one"}, {"method": "other"})


def test_other_images_are_no_pairs_and_the_same_answers_no_difference() -> None:
    made = predictions(("method",), one=some(300), other=some(300))
    with pytest.raises(Unchanged):
        difference_in_accuracy(made, {"method": "one"}, {"method": "other"})
    fewer = made[(made["method"] == "one") | (made["index"] < 100)]
    with pytest.raises(NotTested, match="same images"):
        difference_in_accuracy(fewer, {"method": "one"}, {"method": "other"})
