"""Figures that readers move: what the page is told."""

import base64
import io

import numpy as np
import pandas as pd
from PIL import Image

from orchestrator.figures.interactive import curves, frames, plane

RANDOM = np.random.default_rng(0)


def pixels(png: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))))


def test_curves_are_means_over_seeds_without_what_is_missing() -> None:
    table = pd.DataFrame(
        {
            "model": ["best", "best", "best", "other"],
            "seed": [1, 2, 1, 1],
            "epoch": [1, 1, 2, 1],
            "val_mse": [0.1, 0.3, 0.123456789, None],
        }
    )
    told = curves(table, ["model"], "val_mse", "validation MSE")
    assert told["lines"] == [{"name": "best", "x": [1, 2], "y": [0.2, 0.12346]}]
    assert curves(table.iloc[:0], ["model"], "val_mse", "validation MSE")["lines"] == []


def test_frames_are_sheets_of_images_in_rows_and_columns() -> None:
    images = RANDOM.random((2, 3, 28, 28))
    told = frames({"noise": [("p = 0", images, "none"), ("p = 1", images[::-1], "all")]}, rows=("clean", "noisy"))
    assert (told["rows"], told["shape"]) == (["clean", "noisy"], (2, 3))
    first, second = (pixels(frame["png"]) for frame in told["groups"][0]["frames"])
    assert first.shape == (56, 84)
    np.testing.assert_array_equal(first[28:, 28:56], (255 * images[1, 1]).round().astype(np.uint8))
    np.testing.assert_array_equal(second[:28], first[28:])


def test_plane_has_the_image_of_each_point_in_its_place() -> None:
    images = RANDOM.random((53, 28, 28))
    points = pd.DataFrame({"x": RANDOM.random(53), "y": RANDOM.random(53), "label": RANDOM.integers(0, 2, 53)})
    grid = RANDOM.random((4, 5, 28, 28))
    told = plane({"pca": points}, {"coat": "#000000", "bag": "#ffffff"}, images, ("pca", grid, (0, 1, 2, 3.123456)))
    assert (told["names"], told["colours"]) == (["coat", "bag"], ["#000000", "#ffffff"])
    assert told["labels"] == points["label"].tolist()
    np.testing.assert_allclose(told["planes"]["pca"]["x"], points["x"], rtol=1e-4)
    sheet = pixels(told["png"])
    assert sheet.shape == (2 * 28, 50 * 28)
    np.testing.assert_array_equal(sheet[28:, 56:84], (255 * images[52]).round().astype(np.uint8))
    assert told["decoded"]["shape"] == (4, 5)
    assert told["decoded"]["edges"] == [0, 1, 2, 3.1235]
    assert pixels(told["decoded"]["png"]).shape == (4 * 28, 5 * 28)
