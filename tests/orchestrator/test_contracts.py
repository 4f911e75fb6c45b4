"""The contracts that come with the package hold for what docs/ shows, and each broken class breaks the right one."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.command import REPOSITORY

MODELS = """
import random
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class Settings:
    latent_dim: int = 3
    learning_rate: float = 1e-2

    @classmethod
    def suggest(cls, trial):
        return cls(latent_dim=trial.suggest_int("latent_dim", 2, 9))


class Sound(nn.Module):
    Settings = Settings

    def __init__(self, settings, image_shape):
        super().__init__()
        self.size, self.shape = settings.latent_dim, image_shape
        self.encoder = nn.Linear(prod(image_shape), self.size)
        self.decoder = nn.Linear(self.size, prod(image_shape))

    def encode(self, images):
        return self.encoder(images.flatten(1))

    def decode(self, latent):
        return self.decoder(latent).sigmoid().unflatten(1, self.shape)


class Beyond(Sound):
    def decode(self, latent):
        return self.decoder(latent).unflatten(1, self.shape)


class Unused(Sound):
    def __init__(self, settings, image_shape):
        super().__init__(settings, image_shape)
        self.unused = nn.Linear(2, 2)


class Counting(Sound):
    steps = 0

    def loss(self, images, targets):
        self.steps += 1
        latent = self.encode(images)
        return functional.mse_loss(self.decode(latent), targets) + 1e-3 * self.steps * latent.square().mean()


class Summed(Sound):
    def loss(self, images, targets):
        return (self.decode(self.encode(images)) - targets).square().sum()


class Unseeded(Sound):
    def __init__(self, settings, image_shape):
        super().__init__(settings, image_shape)
        weights = np.random.default_rng().normal(size=self.encoder.weight.shape) / 10
        self.encoder.weight.data = torch.from_numpy(weights).float()


class Noisy(Sound):
    def encode(self, images):
        return self.encoder(functional.dropout(images.flatten(1), 0.5))


class OfItsBatch(Sound):
    def encode(self, images):
        return super().encode(images - images.mean(dim=0))


class Fixed(Sound):
    def __init__(self, settings, image_shape):
        super().__init__(Settings(latent_dim=4), image_shape)


class Fickle(Sound):
    @dataclass(frozen=True)
    class Settings(Settings):
        @classmethod
        def suggest(cls, trial):
            return cls(latent_dim=random.randint(2, 1000))


class Forgetful(Sound):
    @dataclass(frozen=True)
    class Settings(Settings):
        def __post_init__(self):
            object.__setattr__(self, "learning_rate", self.learning_rate / 2)


class Exploding(Sound):
    @dataclass(frozen=True)
    class Settings(Settings):
        learning_rate: float = 1e38


class NoSuggestions(Sound):
    class Settings:
        pass
"""
RESUMED = "interrupted_training_goes_on_as_if_it_had_not_been"
WRITTEN = "settings_are_the_same_after_they_were_written_as_json"
BROKEN_MODELS: dict[str, set[str]] = {
    "my_vae:Vae": set(),
    "Sound": set(),
    "Beyond": {"decoded_values_are_from_0_to_1", "command_takes_the_model"},
    "Unused": {"every_parameter_gets_a_gradient"},
    "Counting": {RESUMED},
    "Summed": {"loss_is_a_mean_over_the_batch"},
    "Unseeded": {"a_seed_decides_the_weights"},
    "Noisy": {"evaluation_is_the_same_every_time_and_for_an_image_alone", RESUMED},
    "OfItsBatch": {"evaluation_is_the_same_every_time_and_for_an_image_alone"},
    "Fixed": {"latent_size_can_be_changed"},
    "Fickle": {"suggested_settings_have_a_latent_dim_and_follow_from_the_trial_alone", WRITTEN},
    "Forgetful": {WRITTEN},
    "Exploding": {"training_moves_the_weights_and_stays_finite", RESUMED},
    "NoSuggestions": {"class_is_found_and_has_settings"},
    "NoSuch": {"class_is_found_and_has_settings"},
}
"""Tests that fail."""
BREAK_MUCH = {"NoSuggestions", "NoSuch", "Fixed", "Nameless", "NoStage"}
"""Of these others fail too."""
STAGES = '''
from dataclasses import replace
from typing import ClassVar

from orchestrator.engine.stage import Table
from orchestrator.engine.tables import FLOAT, INT, column, schema
from how_many import HowMany, Settings, Subset


class Sized(HowMany):
    """What decides the outcome stands where no address sees it."""

    def trials(self, context):
        for number, trial in enumerate(super().trials(context)):
            yield replace(trial, key=f"images-{number}", config=Subset(num_images=0))

    def train(self, trial, data, worker):
        return super().train(replace(trial, config=Subset(num_images=trial.num_images)), data, worker)


class Holding(HowMany):
    """It keeps what the driver alone knows."""

    def trials(self, context):
        self.step = 1e-3 * context.own.epochs
        return super().trials(context)


class Restarting(HowMany):
    """It goes on from the weights alone."""

    def train(self, trial, data, worker):
        if worker.resume:
            optimizer = worker.resume["optimizer"] | {"state": {}}
            worker = replace(worker, resume=worker.resume | {"optimizer": optimizer})
        return super().train(trial, data, worker)


class Wide(HowMany):
    """Its table has a column that its schema has not."""

    def results(self, context, records):
        for part in super().results(context, records):
            yield Table(part.name, [row | {"more": 1} for row in part.rows])


class Bare(HowMany):
    schemas = {"sizes": schema(*HowMany.schemas["sizes"]).remove_metadata().set(0, column("num_images", INT, ""))}


class Strange(HowMany):
    presets: ClassVar = HowMany.presets | {"tiny": {"epochs": 1}}


class Seedless(HowMany):
    def trials(self, context):
        for trial in super().trials(context):
            yield replace(trial, seed=7)


class Nameless(HowMany):
    name, title = "search", "Mine"


class Wordy(HowMany):
    def findings(self, tables):
        yield "Errors are nan of all."


class NoStage:
    name = "none"
'''
BROKEN_STAGES: dict[str, set[str]] = {
    "how_many:HowMany": set(),
    "Sized": {"changed_setting_makes_another_result_of_an_address_nowhere"},
    "Holding": {"trials_are_made_without_leaving_anything_in_the_stage"},
    "Restarting": {RESUMED},
    "Wide": {"results_are_the_tables_of_its_schemas", "trainings_that_all_failed_still_give_every_table"},
    "Bare": {"tables_are_its_own_and_their_columns_are_described"},
    "Strange": {"presets_are_of_valid_settings"},
    "Seedless": {"another_seed_is_another_training"},
    "Nameless": {"name_and_title_are_its_own"},
    "Wordy": {"results_are_the_tables_of_its_schemas", "trainings_that_all_failed_still_give_every_table"},
    "NoStage": {"stage_is_a_class_that_is_made_without_arguments"},
}


def run(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Python, beside the modules in a folder."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{REPOSITORY}:{folder}"},
        capture_output=True,
        text=True,
        timeout=900,
    )


def failed(folder: Path, option: str, module: str, classes: dict[str, set[str]]) -> dict[str, set[str]]:
    """Of each class the tests that failed."""
    addresses = {name: name if ":" in name else f"{module}:{name}" for name in classes}
    done = run(folder, Path(__file__).with_name("put_to_contracts.py"), option, *addresses.values())
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "said").write_text(done.stdout)
    told = json.loads(done.stdout.splitlines()[-1])
    return {name: set(told[address]) for name, address in addresses.items()}


def check(found: dict[str, set[str]], broken: dict[str, set[str]]) -> None:
    """See that of each class those tests failed that should, and no other."""
    assert {name: tests & broken[name] if name in BREAK_MUCH else tests for name, tests in found.items()} == broken


def test_each_broken_model_breaks_the_right_contract_and_the_page_s_none(tmp_path: Path) -> None:
    (tmp_path / "broken_models.py").write_text(MODELS)
    page = (REPOSITORY / "docs" / "your-own.md").read_text()
    (vae,) = re.findall(r"is `my_vae.py`.*?```python\n(.*?)^```", page, re.M | re.S)
    (tmp_path / "my_vae.py").write_text(vae)
    found = failed(tmp_path, "--model", "broken_models", BROKEN_MODELS)
    check(found, BROKEN_MODELS)


def test_each_broken_stage_breaks_the_right_contract_and_the_page_s_none(tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "extending.md").read_text()
    for name, content in re.findall(
        r"^`(how_many/\w+\.py)`(?:[^\n]|\n(?!\n))*\n\n```\w+\n(.*?)^```", page, re.M | re.S
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "broken_stages.py").write_text(STAGES)
    found = failed(tmp_path, "--stage", "broken_stages", BROKEN_STAGES)
    check(found, BROKEN_STAGES)


def test_without_a_class_or_with_a_bad_shape_one_line_says_what_to_give(tmp_path: Path) -> None:
    done = run(tmp_path, "-m", "orchestrator.contracts")
    assert done.returncode == 4
    assert "what is to be tested? give --model or --stage" in done.stderr
    assert not list(tmp_path.iterdir())
