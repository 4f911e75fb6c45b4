"""Colours of figures are told apart by readers who are colour-blind, as Machado et al. 2009 simulate them."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from numpy.typing import NDArray

from orchestrator.figures.style import CLASS_COLOURS, COLOURS
from tests.stages.drawings import CASES, drawn

LEAST = 15
"""Of CIELAB's differences between two colours; what is just told apart, side by side, has about 2."""
SIMULATED = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
"""What a reader sees of linear red, green and blue (severity 1)."""
SRGB = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
"""From linear red, green and blue to X, Y and Z; white is their sum."""


def lab(colours: Sequence[str], seen: str) -> NDArray[np.float64]:
    """Colours in CIELAB, as a reader sees them; shape (n, 3)."""
    rgb = np.array([to_rgb(colour) for colour in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = (linear @ np.transpose(SIMULATED[seen])).clip(0, 1) @ SRGB.T / SRGB.sum(axis=1)
    x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def least_difference(colours: Sequence[str]) -> float:
    """Of any two of these, to any of the readers."""
    pairs = [abs(a - b) for seen in SIMULATED for a, b in combinations(lab(colours, seen), 2)]
    return float(min(np.linalg.norm(pairs, axis=1)))


def test_difference_is_that_of_cielab() -> None:
    np.testing.assert_allclose(
        lab(["#ffffff", "#000000", "#ff0000"], "normal")[:2], [[100, 0, 0], [0, 0, 0]], atol=1e-3
    )
    np.testing.assert_allclose(lab(["#ff0000"], "normal"), [[53.24, 80.09, 67.20]], atol=0.02)
    assert least_difference(["#009E73", "#7F7F7F"]) == pytest.approx(9.7, abs=0.1)  # once Pullover and Bag


@pytest.mark.parametrize("colours", [COLOURS, CLASS_COLOURS])
def test_colours_differ_for_every_reader_and_from_white(colours: Sequence[str]) -> None:
    assert least_difference([*colours, "white"]) >= LEAST


@pytest.mark.parametrize("name", CASES)
def test_lines_of_a_panel_are_of_one_colour_with_other_marks_or_dashes_or_differ_for_every_reader(name: str) -> None:
    for case in CASES[name].values():
        for axes in drawn(case()).axes:
            lines = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
            for one, other in combinations(lines, 2):
                colours = [to_hex(line.get_color()) for line in (one, other)]
                looks = [
                    (it.get_marker(), it.get_linestyle(), it.get_markerfacecolor() == "white") for it in (one, other)
                ]
                same = colours[0] == colours[1]
                assert looks[0] != looks[1] if same else least_difference(colours) >= LEAST, (one, other)
