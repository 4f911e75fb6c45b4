"""What is put to the test: options of pytest, and the classes that they name."""

from pathlib import Path
from typing import Any

import pytest

from trainables.images import Shape

SHAPES: tuple[Shape, ...] = ((1, 28, 28), (3, 32, 32), (1, 16, 16))
"""Channels, rows and columns of the images that a model is tried on."""


def image_shape(text: str) -> Shape:
    """Three numbers as they are typed, 3,32,32."""
    channels, rows, columns = map(int, text.split(","))
    return channels, rows, columns


def pytest_addoption(parser: pytest.Parser) -> None:
    """What of the user's is to be tested."""
    group = parser.getgroup("contracts")
    group.addoption("--model", metavar="MODULE:CLASS", help="an autoencoder of yours")
    group.addoption("--stage", metavar="MODULE:CLASS", help="an experiment of yours")
    group.addoption(
        "--image-shape",
        metavar="C,ROWS,COLUMNS",
        action="append",
        type=image_shape,
        help="of the images that the model is tried on; may be given several times",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to test nothing."""
    if not (config.getoption("model") or config.getoption("stage")):
        raise pytest.UsageError("what is to be tested? give --model or --stage, as package.module:Class")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the tests of what is not given."""
    for of in ("model", "stage"):
        if collection_path.name == f"test_{of}.py" and not config.getoption(of):
            return True
    return None


def pytest_generate_tests(metafunc: Any) -> None:
    """A model is tried on images of each shape."""
    if "shape" in metafunc.fixturenames:
        shapes = metafunc.config.getoption("image_shape") or SHAPES
        metafunc.parametrize("shape", shapes, ids=["x".join(map(str, shape)) for shape in shapes], scope="session")


def pytest_report_header(config: pytest.Config) -> str:
    """What is tested."""
    given = [f"{of} {config.getoption(of)}" for of in ("model", "stage") if config.getoption(of)]
    return f"contracts of the {' and the '.join(given)}"
