"""Settings of a user's own model are as JSON has them, from the beginning."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from optuna.trial import FixedTrial
from pydantic import BaseModel
from torch import nn

from trainables import own_models
from trainables.own_models import ModelError, defaults, suggested


class Suggesting:
    """Settings that are as by default."""

    @classmethod
    def suggest(cls, trial: Any) -> Any:
        return cls()


@dataclass
class WithTuple(Suggesting):
    latent_dim: int = 3
    filters: tuple[int, ...] = (4, 8)


class Pydantic(BaseModel, Suggesting):
    latent_dim: int = 3
    filters: tuple[int, ...] = (4, 8)


@dataclass
class NotPlain(Suggesting):
    latent_dim: int = 3
    layer: Any = nn.Linear


@dataclass
class NoNumber(Suggesting):
    latent_dim: int = 3
    width: float = float("nan")


class Model(nn.Module):
    Settings: ClassVar[Any]


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> type[Model]:
    monkeypatch.setattr(own_models, "model_class", lambda address: Model)
    return Model


@pytest.mark.parametrize("kind", [WithTuple, Pydantic])
def test_settings_are_as_json_gives_them_back(model: type[Model], kind: Any) -> None:
    model.Settings = kind
    assert suggested("m:M", FixedTrial({})) == defaults("m:M") == {"latent_dim": 3, "filters": [4, 8]}


@pytest.mark.parametrize("kind", [NotPlain, NoNumber])
def test_settings_that_cannot_be_written_are_told_in_a_line(model: type[Model], kind: Any) -> None:
    model.Settings = kind
    for asked in (lambda: suggested("m:M", FixedTrial({})), lambda: defaults("m:M")):
        with pytest.raises(ModelError, match="m:M: its Settings have values that are not plain: "):
            asked()
