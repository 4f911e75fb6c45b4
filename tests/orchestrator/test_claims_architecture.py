"""Claims of the data, the architecture and its search: their judges on made-up tables."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest
from scipy.stats import t

from orchestrator.claims import CLAIMS
from orchestrator.stages.refit.layers import layer_table
from orchestrator.statistics.intervals import NotTested, ratio_of_single
from tests.orchestrator.made_tables import answer, table
from trainables.autoencoder import build
from trainables.autoencoder_settings import PAPER_TABLE1

PARAMETERS = ("filters1", "filters2", "filters3", "neurons", "latent_dim", "optimizer", "learning_rate")


def balance(train: Sequence[int], test: Sequence[int]) -> dict[str, pd.DataFrame]:
    """Images of each class; a validation block has others."""
    rows: list[dict[str, Any]] = [
        {"images": images, "label": label, "num_images": number}
        for images, counts in (("train", train), ("test", test))
        for label, number in enumerate(counts)
    ]
    return {"class_balance": table([*rows, {"images": "validation", "label": 0, "num_images": 7}])}


def folds(number: int, num_val: int = 10, num_train: int = 50) -> dict[str, pd.DataFrame]:
    """Of two models and two seeds, in sequential order; those in another are of another size."""
    rows = [
        {"fold": fold, "seed": seed, "model": model, "order": order, "num_val": num_val + (order != "sequential")}
        for order in ("class_sorted", "sequential")
        for model in ("best", "paper_table1")
        for seed in (1, 2)
        for fold in range(number)
    ]
    return {"folds": table(rows, state="complete", num_train=num_train)}


def layers(**changes: Any) -> pd.DataFrame:
    """Of Table 1's network, and of another model whose rows must not be looked at."""
    rows = layer_table(build(PAPER_TABLE1.model_copy(update=changes), seed=0))
    return pd.concat([table([{"kind": "Conv2d", "layer": "conv1"}], model="best"), table(rows, model="paper_table1")])


def trials(number: int = 20, epochs: int = 5, most: int = 14, **same: Any) -> dict[str, pd.DataFrame]:
    rows = [{f"params_{name}": 3 + n % 2 for name in PARAMETERS} for n in range(number)]
    rows[0]["params_latent_dim"] = most
    return {"trials": table(rows, state="complete", epochs=epochs).assign(**same)}


@pytest.mark.parametrize(
    ("number", "verdict", "tables", "measured"),
    [
        (15, "followed", balance([6000] * 10, [1000] * 10), 60_000),
        (15, "not_followed", balance([5999, 6001] + [6000] * 8, [1000] * 10), 60_000),
        (15, "not_followed", balance([6000] * 10, [999, 1001] + [1000] * 8), 60_000),
        (15, "not_followed", balance([5000] * 10, [1000] * 10), 50_000),
        (15, "not_followed", balance([12_000] * 5, [1000] * 10), 60_000),
        (16, "followed", folds(6), 10),
        (16, "not_followed", folds(5), 10),
        (16, "not_followed", folds(7), 10),
        (16, "not_followed", folds(1, num_val=60, num_train=0), 60),
        (17, "followed", {"layers": layers()}, 5),
        (20, "followed", trials(), 7),
        (20, "not_followed", trials(params_optimizer="adam"), 6),
        (20, "not_followed", trials(params_filters2=8), 6),
        (21, "followed", trials(), 20),
        (21, "not_followed", trials(epochs=4), 20),
        (21, "not_followed", trials(epochs=6), 20),
        (21, "not_followed", trials(19), 19),
        (21, "not_followed", trials(21), 21),
        (22, "followed", trials(most=14), 14),
        (22, "not_followed", trials(most=15), 15),
        (39, "followed", {"layers": layers()}, 14_068),
    ],
)
def test_protocol_is_followed_or_not(
    number: int, verdict: str, tables: dict[str, pd.DataFrame], measured: float
) -> None:
    found = answer(number, **tables)
    assert found.verdict == verdict, found.reason
    assert found.measured is not None
    assert found.measured.value == measured
    (stated,) = [claim for claim in CLAIMS if claim.number == number]
    assert (stated.kind, stated.scale_free) == ("protocol", True)


@pytest.mark.parametrize(
    "layer",
    [
        *({"filters": filters} for filters in ((8, 10, 16), (7, 11, 16), (7, 10, 17))),
        *({"neurons": 33}, {"latent_dim": 4}, {"kernel_size": 5}, {"relu": False}, {"batch_norm": False}),
    ],
    ids=str,
)
def test_a_network_that_is_not_table_1_s_is_told_by_every_column_of_it(layer: dict[str, Any]) -> None:
    assert answer(39, layers=layers(**layer)).verdict == "not_followed"


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        ("conv1", "kernel", 5),
        ("conv2", "stride", 1),
        ("conv3", "padding", 1),
        ("deconv1", "padding", 1),
        ("lin2", "activation", None),
        ("latent", "activation", "ReLU"),
        ("deconv3", "activation", "Sigmoid"),
        ("deconv3", "batch_norm", False),
        ("lin1", "batch_norm", True),
        ("lin2", "out_channels", 31),
        ("deconv2", "in_channels", 9),
    ],
)
def test_a_single_cell_that_is_not_as_printed_is_told(name: str, column: str, value: Any) -> None:
    table1 = layers()
    table1.loc[table1["layer"] == name, column] = value
    assert answer(39, layers=table1).verdict == "not_followed"


def test_the_encoder_is_three_convolutions_and_two_linear_layers() -> None:
    wrong = layers()
    wrong.loc[wrong["layer"] == "lin1", "kind"] = "Conv2d"
    assert answer(17, layers=wrong).verdict == "not_followed"
    assert answer(17, layers=wrong[wrong["model"] == "best"]).verdict == "not_tested"


def test_the_sections_are_those_of_the_paper_s_order() -> None:
    other = folds(6)["folds"].assign(order="class_sorted")
    assert answer(16, folds=other).verdict == "not_tested"


def test_the_bound_of_the_latent_size_is_kept_and_not_for_its_reason() -> None:
    errors = table([{"latent_dim": size, "test_mse": value} for size, value in ((14, 0.02), (64, 0.01), (64, 0.03))])
    errors = errors.assign(method="autoencoder")
    without = answer(22, **trials()).reason
    assert without == "The bound is kept, but not for this reason: anything below 784 is undercomplete."
    assert answer(22, **trials(), reconstruction=errors).reason == without + " Beyond it the error is 0.0200 at 64."
    for other in (errors[:1], errors.assign(method="pca")):
        assert answer(22, **trials(), reconstruction=other).reason == without


def test_how_much_of_the_trials_order_is_chance_is_told_where_it_was_measured() -> None:
    assert "--studies.on would measure" in answer(21, **trials()).reason
    rows = [
        {"what": what, "kendall_tau": tau} for what, tau in (("between_seeds", 0.9), ("search_and_retrained", 0.6))
    ]
    reason = answer(21, **trials(), study_ranks=table(rows, low=0.2, high=0.8, n=5)).reason
    assert reason.endswith("from other seeds keep their order with a Kendall's tau of 0.60 (0.20 to 0.80).")
    assert "Its best 5 trials" in reason


# 38: the search with Table 1's latent size

MODELS = table(
    [
        {"model": model, "test_mse": value, "seed": seed}
        | {"params_filters1": 16, "params_filters2": 32, "params_filters3": 64}
        | {"params_neurons": 128, "params_latent_dim": 14}
        for model, values in (("best", (0.01, 0.02)), ("paper_table1", (0.03, 0.05)), ("two_dim", (9.0, 9.0)))
        for seed, value in enumerate(values)
    ],
    state="complete",
)
SCATTER = (1.0, 1.02, 1.04)
"""A trial trained from three seeds, in units of its middle, about."""


def studies(table1: Sequence[float], others: Sequence[float]) -> dict[str, pd.DataFrame]:
    """Validation errors of trials with three latent numbers: of Table 1's widths, and of others, which differ from it
    in a single one; and of trials in another study."""
    widths = {"params_filters1": 7, "params_filters2": 10, "params_filters3": 16, "params_neurons": 32}
    rows = [widths | {"val_mse": value} for value in table1]
    changes = [{name: width + 1} for name, width in widths.items()]
    rows += [widths | changes[n % 4] | {"val_mse": value} for n, value in enumerate(others)]
    rows = [row | {"study": "latent-3", "state": "complete"} for row in rows]
    rows += [widths | {"val_mse": 1e-9, "study": "tpe-2", "state": "complete"}]
    rows += [widths | {"val_mse": 1e-9, "study": "latent-3", "state": "failed"}]
    again = [{"trial": trial, "val_mse": (trial + 1) * value} for trial in (0, 1) for value in SCATTER]
    return {"study_trials": table(rows), "study_top": table(again, state="complete"), "models": MODELS}


@pytest.mark.parametrize(
    ("table1", "others", "verdict"),
    [
        ((0.9, 0.8), (1.0, 1.2, 1.1, 1.3), "supported"),
        ((0.99, 1.2), (1.0, 1.2, 1.1, 1.3), "inconclusive"),
        ((1.02, 1.2), (1.0, 1.2, 1.1, 1.3), "inconclusive"),
        ((1.2, 1.3), (1.0, 1.2, 1.1, 1.3), "partly"),
        ((1.2, 1.3), (1.3, 1.2, 1.1, 1.0), "partly"),
        ((1.2, 1.3), (), "not_tested"),
        ((), (1.0,), "not_tested"),
    ],
)
def test_table_1_is_held_against_others_with_as_few_latent_numbers(
    table1: Sequence[float], others: Sequence[float], verdict: str
) -> None:
    found = answer(38, **studies(table1, others))
    assert found.verdict == verdict, found.reason
    if verdict != "not_tested":
        assert found.measured is not None
        assert found.measured.value == pytest.approx(min(table1) / min(others))
        assert found.test is not None
        assert (found.test.p < 0.05) == (verdict != "inconclusive")  # type: ignore[operator]
        assert (
            "this run's best is 16-32-64, 128, 14, with a test MSE of 0.0150 against Table 1's 0.0400" in found.reason
        )


def test_without_such_a_search_nothing_is_decided_of_table_1() -> None:
    found = answer(38, models=MODELS)
    assert (found.verdict, found.measured) == ("inconclusive", None)
    assert "--studies.on would" in found.reason
    assert answer(38, models=MODELS[MODELS["model"] != "best"]).verdict == "not_tested"
    no_study = studies((1.0,), (1.0,)) | {"study_trials": studies((), ())["study_trials"].iloc[:1]}
    assert answer(38, **no_study).verdict == "not_tested"


def test_table_1_with_other_steps_stands_beside_it_over_as_many_epochs() -> None:
    rows = [{"method": "table1", "test_mse": 0.03}, {"method": "table1_step_0.002", "test_mse": 0.02}]
    controls = table([*rows, {"method": "autoencoder", "test_mse": 9.0}], epochs=8)
    reason = answer(38, models=MODELS, reconstruction=controls).reason
    assert "Over 8 epochs Table 1's comes to 0.0300 with steps of .0005, and to 0.0200 with steps of .002." in reason


def test_two_single_values_differ_by_more_than_repeated_ones_scatter() -> None:
    # Logarithms 0, h, 2h in both groups: deviations -h, 0, h, so that the variance is 4 h^2 over 6 - 2.
    h = 0.02
    repeated = pd.Series(
        [math.exp(n * h + 5 * group) for group in (0, 1) for n in range(3)], index=[0, 0, 0, 1, 1, 1]
    )
    found = ratio_of_single(3.0, 2.0, repeated)
    margin = t.ppf(0.975, 4) * math.sqrt(2) * h
    assert found.value == pytest.approx(1.5)
    assert (found.low, found.high) == pytest.approx((1.5 * math.exp(-margin), 1.5 * math.exp(margin)))
    assert found.above(1).p == pytest.approx(2 * t.sf(math.log(1.5) / (math.sqrt(2) * h), 4))
    assert found.smallest_effect is not None
    assert found.smallest_effect > math.expm1(margin)
    with pytest.raises(NotTested):
        ratio_of_single(3.0, 2.0, pd.Series([1.0, 2.0], index=[0, 1]))
