"""The rules on the paper's GANs: for each a made-up table for each of its verdicts, with numbers reckoned by hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from orchestrator.claims import CLAIMS
from orchestrator.claims.claim import Answer, Claim
from orchestrator.claims.gans import multiplications
from orchestrator.statistics.intervals import log_ratio
from tests.orchestrator.made_tables import table

LOSSES = ("minimax", "non_saturating")


def rule(number: int) -> Claim:
    (found,) = [claim for claim in CLAIMS if claim.number == number]
    return found


def answer(number: int, **tables: pd.DataFrame) -> Answer:
    return rule(number).answer({name: as_read(it) for name, it in tables.items()})


def as_read(made: pd.DataFrame) -> pd.DataFrame:
    """As it comes out of a run's folder, where names are categories."""
    names = [name for name in ("arm", "loss", "network", "blocks", "kind", "state", "model") if name in made]
    return made.astype(dict.fromkeys(names, "category"))


def games(minimax: Sequence[float], non_saturating: Sequence[float], **columns: Any) -> pd.DataFrame:
    """Of the paper's recipe, distances by seed, in a run whose floor is 2; a failed game of another seed has none."""
    rows = [
        {"loss": loss, "seed": seed, "frechet_distance": distance, "frechet_distance_pixels": 1 / distance}
        for loss, distances in zip(LOSSES, (minimax, non_saturating), strict=True)
        for seed, distance in enumerate(distances)
    ]
    same = {"arm": "paper", "floor_distance": 2.0, "seconds": 60.0, "num_workers": 2, "epochs": 10} | columns
    same |= {"generator_filters": "8-4", "discriminator_filters": "2-4"}
    failed = {"loss": "minimax", "seed": 99, "state": "failed", "frechet_distance": None}
    return table([{"state": "complete"} | row for row in (*rows, failed)], **same)


def both(paper: pd.DataFrame, tuned: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([paper, tuned.assign(arm="tuned")])


def gradients(minimax: Sequence[float], non_saturating: Sequence[float]) -> dict[str, pd.DataFrame]:
    """Norms in the last epoch of the paper's recipe; earlier, and when tuned, they are the other way round."""
    orders = {("paper", 2): LOSSES, ("paper", 1): LOSSES[::-1], ("tuned", 2): LOSSES[::-1]}
    rows = [
        {"arm": arm, "loss": loss, "seed": seed, "epoch": epoch, "g_weight_grad": norm}
        for (arm, epoch), order in orders.items()
        for loss, norms in zip(order, (minimax, non_saturating), strict=True)
        for seed, norm in enumerate(norms)
    ]
    vanished = games([1.0] * len(minimax), [1.0] * len(non_saturating)).assign(vanished_epoch=None)
    vanished["vanished_epoch"] = [3.0, 2.0, *[None] * (len(vanished) - 2)]
    return {"gan_epochs": table(rows, d_loss=1.0), "gans": vanished}


def losses(*values: float) -> pd.DataFrame:
    """The discriminator's in minimax after epoch 2, by seed; any other is 9."""
    rows = [{"loss": "minimax", "epoch": 2, "d_loss": value} for value in values]
    others = [
        {"loss": "minimax", "epoch": 1, "d_loss": 9.0},
        {"loss": "non_saturating", "epoch": 2, "d_loss": 9.0},
        {"loss": "minimax", "epoch": 2, "d_loss": 9.0, "arm": "tuned"},
    ]
    return table([*rows, *others], arm="paper")


def trials(*orders: Sequence[float]) -> pd.DataFrame:
    """Of each game the discriminator's losses, of trials that are farther and farther from the validation images."""
    rows = [
        {"loss": loss, "val_frechet_distance": float(number), "d_loss": value, "g_loss": -value}
        for loss, values in zip(LOSSES, orders, strict=False)
        for number, value in enumerate(values)
    ]
    return table(rows, state="complete", arm="tuned")


def guided(random: Sequence[float], then: Sequence[float], minimax: Sequence[float] = ()) -> pd.DataFrame:
    """Of the games by turns a trial by hand, trials at random, as many that were guided and one of these that failed;
    of minimax others, if so."""
    told = {"minimax": minimax or then, "non_saturating": then}
    rows = [
        {"loss": loss, "trial": 2 * number + (loss == "minimax"), "val_frechet_distance": distance}
        for loss in LOSSES
        for number, distance in enumerate([1e-3, *random, *told[loss], 1e9])
    ]
    states = ["failed" if row["val_frechet_distance"] == 1e9 else "complete" for row in rows]
    return table([row | {"state": state} for row, state in zip(rows, states, strict=True)])


def sections(sequential: Sequence[float], random: Sequence[float]) -> pd.DataFrame:
    rows = [{"blocks": "sequential", "frechet_distance": it} for it in sequential]
    return table(rows + [{"blocks": "random", "frechet_distance": it} for it in random])


def layers(generator: Sequence[str], discriminator: Sequence[str], shapes: tuple[str, str]) -> pd.DataFrame:
    """Of both arms, the tuned one as the paper has them: the last of each network gives these shapes."""
    rows = []
    told = {"paper": (generator, discriminator, shapes), "tuned": (FOUR, FOUR, GOOD)}
    for arm, (*networks, ends) in told.items():
        for name, kinds, end in zip(("generator", "discriminator"), networks, ends, strict=True):
            rows += [{"arm": arm, "network": name, "kind": kind, "output_shape": "2x2x2"} for kind in kinds]
            rows[-1]["output_shape"] = end
    return table(rows)


FOUR, GOOD = ["Conv2d", "BatchNorm2d", "ConvTranspose2d", "ReLU", "Conv2d", "Conv2d"], ("1x28x28", "1x1x1")
MANY = [1.0, 1.1, 0.9, 1.05, 0.95] * 4
CASES: list[tuple[int, str, dict[str, pd.DataFrame], float | None]] = [
    (11, "partly", {"gan_epochs": losses(1.0, 2.0)}, 1.5),
    (11, "not_tested", {"gan_epochs": losses().query("arm == 'tuned'")}, None),
    (12, "supported", gradients([8.0, 9.0, 10.0], [1.0, 1.0, 1.0]), 720 ** (1 / 3)),
    (12, "partly", gradients([0.010, 0.011, 0.012], [1.0, 1.0, 1.0]), 1.32e-6 ** (1 / 3)),
    (12, "partly", gradients([0.0, 0.0, 1e-11], [1.0, 1.0, 1.0]), (1e-35) ** (1 / 3)),
    (12, "contradicted", gradients([0.9, 0.91, 0.92], [1.0, 1.0, 1.0]), (0.9 * 0.91 * 0.92) ** (1 / 3)),
    (12, "contradicted", gradients([1.9, 1.88, 1.85], [1.0, 1.0, 1.0]), None),
    (12, "supported", gradients([2.2, 2.3, 2.25], [1.0, 1.0, 1.0]), None),
    (12, "inconclusive", gradients([1.9, 2.1, 2.3], [1.0, 1.0, 1.0]), None),
    (12, "partly", gradients([0.44, 0.45, 0.46], [1.0, 1.0, 1.0]), None),
    (12, "inconclusive", gradients([0.43, 0.48, 0.53], [1.0, 1.0, 1.0]), None),
    (12, "inconclusive", gradients([0.1, 10.0, 3.0], [1.0, 1.0, 1.0]), 3 ** (1 / 3)),
    (12, "inconclusive", gradients([0.1], [1.0]), 0.1),
    (12, "not_tested", gradients([1.0, 2.0], [1.0, 2.0]), None),
    (13, "supported", {"gans": games([8.0, 9.0, 10.0], [4.0, 4.4, 4.9])}, (0.5 * 4.4 / 9 * 0.49) ** (1 / 3)),
    (13, "contradicted", {"gans": games([4.0, 4.4, 4.9], [8.0, 9.0, 10.0])}, None),
    (13, "inconclusive", {"gans": games([4.0, 9.0, 5.0], [8.0, 4.0, 5.1])}, None),
    (13, "inconclusive", {"gans": games([8.0], [4.0])}, 0.5),
    (13, "supported", {"gans": both(games([8.0, 9.0, 10.0], [4.0, 4.4, 4.9]), games([1.0, 1.0], [9.0, 9.0]))}, None),
    (13, "not_tested", {"gans": games([8.0, 9.0], [])}, None),
    (13, "not_tested", {"gans": games([8.0, 9.0], [8.0, 9.0])}, None),
    (14, "followed", {"gans": games([1.0], [1.0])}, 2.0),
    (14, "not_followed", {"gans": games([], [1.0])}, 1.0),
    (14, "not_followed", {"gans": games([1.0, 1.0], [])}, 2.0),
    (32, "contradicted", {"gan_trials": guided([4.0, 4.4, 4.9], [2.0, 2.2, 2.3])}, (10.12 / 86.24) ** (1 / 3)),
    (32, "contradicted", {"gan_trials": guided([4.0, 4.4, 4.9], [2.0, 2.2, 2.3], [3.0, 3.1, 3.2])}, None),
    (32, "supported", {"gan_trials": guided([2.0, 2.2, 2.3], [4.0, 4.4, 4.9])}, None),
    (32, "partly", {"gan_trials": guided([4.0, 4.4, 4.9], [2.0, 2.2, 2.3], [9.0, 9.1, 9.2])}, None),
    (32, "inconclusive", {"gan_trials": guided([2.0, 4.0, 3.0], [4.0, 2.0, 3.1])}, None),
    (32, "inconclusive", {"gan_trials": guided([2.0, 2.2, 2.3], [4.0, 4.4, 4.9], [2.1, 2.2, 2.3])}, None),
    (32, "not_tested", {"gan_trials": guided([], [4.0])}, None),
    (33, "partly", {"gan_trials": trials([4.0, 3.0, 2.0, 1.0], [3.0, 4.0, 2.0, 1.0])}, -0.9),
    (33, "not_tested", {"gan_trials": trials([4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0])}, 0.0),
    (33, "not_tested", {"gan_trials": trials([4.0, 3.0, 2.0], [3.0, 2.0, 1.0])}, None),
    (35, "supported", {"gan_sections": sections([1.0, 1.1, 0.9, 1.2, 0.8, 1.0], MANY)}, 1.0),
    (35, "supported", {"gan_sections": sections([1.8, 1.81, 1.82, 1.79, 1.8, 1.78], MANY)}, 1.8),
    (35, "contradicted", {"gan_sections": sections([3.0, 3.1, 2.9, 3.2, 2.8, 3.0], MANY)}, 3.0),
    (35, "inconclusive", {"gan_sections": sections([0.5, 5.0, 0.5, 2.0, 1.0, 4.0], MANY)}, 13 / 6),
    (36, "followed", {"gan_layers": layers(FOUR, FOUR, GOOD)}, 4.0),
    (36, "not_followed", {"gan_layers": layers(FOUR[1:], FOUR, GOOD)}, None),
    (36, "not_followed", {"gan_layers": layers(FOUR, [*FOUR, "Conv2d"], GOOD)}, None),
    (36, "not_followed", {"gan_layers": layers([*FOUR, "Linear"], FOUR, GOOD)}, 4.0),
    (37, "followed", {"gan_layers": layers(FOUR, FOUR, GOOD)}, 784.0),
    (37, "not_followed", {"gan_layers": layers(FOUR, FOUR, ("1x32x32", "1x1x1"))}, None),
    (37, "not_followed", {"gan_layers": layers(FOUR, FOUR, ("1x28x28", "1x2x1"))}, 784.0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "verdict", "tables", "measured"),
    CASES,
    ids=[f"{claim}-{verdict}-{number}" for number, (claim, verdict, *_) in enumerate(CASES)],
)
def test_rule_measures_and_decides(
    number: int, verdict: str, tables: dict[str, pd.DataFrame], measured: float | None
) -> None:
    found = answer(number, **tables)
    assert found.verdict == verdict, found.reason
    if measured is not None:
        assert found.measured is not None
        assert found.measured.value == pytest.approx(measured)


def test_verdicts_that_follow_from_a_test_carry_it() -> None:
    for number, verdict, tables, _ in CASES:
        found = answer(number, **tables)
        if number in {12, 13, 32, 35} and verdict not in {"not_tested", "inconclusive"}:
            assert found.test is not None
            assert found.test.p is not None
            assert found.test.p < 0.05


@pytest.mark.parametrize("norms", [[2.2, 2.3, 2.5], [0.3, 0.35, 0.32]])
def test_a_gradient_s_p_is_that_of_being_off_by_more_than_the_factor(norms: list[float]) -> None:
    found, ratio = answer(12, **gradients(norms, [1.0, 1.0, 1.0])), log_ratio(norms, [1.0] * 3)
    assert found.test is not None
    assert found.test.p == pytest.approx((ratio.above(2) if norms[0] > 2 else ratio.below(0.5)).p)


def test_kinds_of_the_claims_on_gans() -> None:
    kinds = {number: rule(number).kind for number in (11, 12, 13, 14, 32, 33, 34, 35, 36, 37)}
    assert kinds == {
        11: "definition", 12: "measurement", 13: "cause", 14: "protocol", 32: "measurement", 33: "opinion",
        34: "measurement", 35: "measurement", 36: "protocol", 37: "protocol",
    }  # fmt: skip


def test_a_vanished_gradient_is_told_of_with_its_first_epoch_and_both_readings_of_divergence() -> None:
    reason = answer(12, **gradients([0.010, 0.011, 0.012], [1.0, 1.0, 1.0])).reason
    assert "in 2 of 3 games of minimax, first in epoch 2, and in 0 of 3 of non-saturating" in reason
    assert "grows without bound towards d = 1" in reason


def test_distances_are_told_in_floors_with_how_often_one_loss_is_nearer_in_both_extractors() -> None:
    """Along the pixels' components the made-up distances are the other way round."""
    paper, tuned = games([8.0, 4.0], [2.0, 6.0]), games([2.0, 2.0], [1.0, 4.0])
    reason = answer(13, gans=both(paper, tuned)).reason
    assert "Paper: 2.0 floors against minimax's 3.0, ratio 0.61; nearer in 75% of the pairs of seeds (25% " in reason
    assert "Tuned: 1.2 floors against minimax's 1.0, ratio 1.00; nearer in 50% of the pairs of seeds (50% " in reason


def test_each_game_s_trials_and_what_was_set_by_hand_are_told_of() -> None:
    trials = guided([4.0, 4.0], [2.0, 2.0], [3.0, 3.0])
    found = answer(32, gan_trials=trials, gans=games([1.0], [1.0]))
    assert "minimax 0.75, non-saturating 0.50." in found.reason
    assert "set by hand" in found.reason
    assert found.measured is not None
    assert found.measured.value == pytest.approx(0.5)


def test_in_what_the_paper_s_recipe_is_not_the_author_s_is_told() -> None:
    for reason in (
        answer(12, **gradients([0.01, 0.02], [1.0, 1.0])).reason,
        answer(13, gans=games([8.0, 4.0], [2.0, 6.0])).reason,
    ):
        assert "filters 8-4 and 2-4 over 10 epochs; the author's have 512-256-128 and 32-64-128, and 30" in reason


def test_sections_are_told_of_with_their_spread_and_that_from_seed_to_seed() -> None:
    blocks = sections([1.0, 1.2, 0.8, 1.0, 1.2, 0.8], [1.0, 1.1, 0.9, 1.0, 1.1, 0.9])
    found = answer(35, gan_sections=blocks, gans=both(games([9.0, 1.0], [4.0, 8.0]), games([1.0, 9.0], [1.0, 90.0])))
    assert "deviate 2.00 times as much as those of random ones" in found.reason
    assert f"deviates by {np.std([2, 4], ddof=1):.2f} floors" in found.reason
    assert "floors" not in answer(35, gan_sections=blocks).reason.split("From")[-1]


def test_multiplications_of_an_autoencoder_s_layers_are_those_that_its_settings_reckon() -> None:
    from orchestrator.stages.refit.layers import layer_table
    from trainables.autoencoder import build
    from trainables.autoencoder_settings import PAPER_TABLE1

    assert multiplications(table(layer_table(build(PAPER_TABLE1, seed=0)))) == PAPER_TABLE1.num_multiplications


def test_multiplications_of_generator_and_discriminator_are_those_reckoned_by_hand() -> None:
    """Kernel 3 from 1 x 1 to 28 x 28; kernel 4 from 28 x 28 to 1 x 1."""
    from orchestrator.stages.gan.layers import gan_layer_table
    from trainables.gan_settings import GanRecipe

    recipe = GanRecipe(latent_dim=10, generator_filters=(6, 5, 4), discriminator_filters=(3, 2, 7))
    networks = dict(iter(table(gan_layer_table(recipe)).groupby("network")))
    generator = 9 * (10 * 6 * 1 + 6 * 5 * 9 + 5 * 4 * 49 + 4 * 1 * 225)
    discriminator = 16 * (1 * 3 * 196 + 3 * 2 * 49 + 2 * 7 * 9 + 7 * 1 * 1)
    assert multiplications(networks["generator"]) == generator
    assert multiplications(networks["discriminator"]) == discriminator


@pytest.mark.parametrize(
    ("width", "verdict", "measured"),
    [(6, "supported", 7 / 3), (5, "partly", 2.0), (3, "partly", 4 / 3), (2, "contradicted", 1.0)],
)
def test_a_gan_is_demanding_by_its_multiplications(width: int, verdict: str, measured: float) -> None:
    """An image takes 8 in the autoencoder, 2 in the generator, and as many as it is wide in the discriminator."""
    linear = {"kind": "Linear", "kernel": None, "in_channels": 1}
    rows = [
        {"network": "generator", "arm": "paper", "out_channels": 2, "output_shape": "2"},
        {"network": "discriminator", "arm": "paper", "out_channels": width, "output_shape": str(width)},
        {"network": "generator", "arm": "tuned", "out_channels": 999, "output_shape": "999"},
    ]
    best = [{"model": "best", "out_channels": 8, "output_shape": "8"}]
    best += [{"model": "paper_table1", "out_channels": 999, "output_shape": "999"}]
    played = both(games([1.0], [1.0, 1.0]), games([1.0], [1.0], seconds=999.0))
    found = answer(34, gans=played, gan_layers=table(rows, **linear), layers=table(best, **linear))
    assert (found.verdict, found.seconds) == (verdict, 60 * 2 / 10)
    assert found.measured is not None
    assert found.measured.value == pytest.approx(measured)
