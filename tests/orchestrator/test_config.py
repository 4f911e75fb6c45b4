"""Settings come from the preset, then the YAML file, then the flags; what is wrong with them is said in one line."""

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from orchestrator import command_line
from orchestrator.engine.settings import RunSettings, UserError, changed
from orchestrator.paper import suite

Settings = suite().settings
PRESETS = tuple(suite().presets)
LAPTOP, PAPER, SMOKE = (suite().preset(name) for name in ("laptop", "paper", "smoke"))


def parse(arguments: list[str]) -> Any:
    """The settings that arguments give; `words` for what are no flags."""
    return command_line.parse(arguments, suite())[0]


def words(arguments: list[str]) -> tuple[str, ...]:
    """What among the arguments are no flags."""
    return command_line.parse(arguments, suite())[1]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "settings.yaml"


@pytest.fixture(scope="module")
def fuzzed_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzzed") / "settings.yaml"


def complaint(*arguments: str | Path) -> str:
    with pytest.raises(UserError) as caught:
        parse([str(argument) for argument in arguments])
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def with_config(path: Path, content: object, *arguments: str) -> Any:
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return parse(["--config", str(path), *arguments])


def leaves(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Every setting with its full name."""
    for name, value in model:
        if isinstance(value, BaseModel):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def test_default_preset_is_laptop() -> None:
    assert parse([]) == LAPTOP


@pytest.mark.parametrize("preset", PRESETS)
def test_preset_decides_all_defaults(preset: str) -> None:
    for arguments in (["--preset", preset], [f"--preset={preset}"]):
        parsed = parse(arguments)
        assert dict(leaves(parsed)) == dict(leaves(suite().preset(preset)))
        assert words(arguments) == ()
    assert parsed.preset == preset


def test_the_paper_s_scale_is_20_trials_of_5_epochs_and_6_folds_of_20() -> None:
    full = PAPER
    assert (full.data.num_train, full.data.num_test) == (60_000, 10_000)
    assert (full.search.num_trials, full.search.epochs) == (20, 5)
    assert (full.kfold.num_folds, full.kfold.epochs) == (6, 20)
    assert full.search.space.latent_dim[1] < 15


@pytest.mark.parametrize("preset", [LAPTOP, SMOKE], ids=lambda preset: preset.preset)
def test_smaller_presets_differ_from_the_paper_in_smaller_numbers_and_shorter_lists_only(preset: RunSettings) -> None:
    full, small = dict(leaves(PAPER)), dict(leaves(preset))
    assert set(small) == set(full)
    # Smoke goes through every stage that needs no file.
    different = {name for name in full if small[name] != full[name]} - {"preset", "gan.search.on"}
    assert different
    for name in different:
        after, before = small[name], full[name]
        if isinstance(before, tuple):
            assert isinstance(after, tuple), name
            assert set(after) < set(before), name
        else:
            assert type(after) is type(before) is int, name
            assert 0 < after < before, name


def test_laptop_and_paper_use_all_images() -> None:
    assert LAPTOP.data == PAPER.data


def test_flags_win_over_the_file_and_the_file_over_the_preset(config: Path) -> None:
    content = {"seed": 5, "search": {"num_trials": 3, "epochs": 4}}
    parsed = with_config(config, content, "--preset", "smoke", "--search.epochs", "7")
    assert (parsed.search.num_trials, parsed.search.epochs, parsed.seed) == (3, 7, 5)
    assert parsed.search.num_startup_trials == SMOKE.search.num_startup_trials
    assert parsed.data == SMOKE.data
    assert with_config(config, content, "--seed", "6").seed == 6


def test_a_section_in_the_file_keeps_what_it_does_not_name(config: Path) -> None:
    space = with_config(config, {"search": {"space": {"neurons": [8, 16]}}}).search.space
    assert space == changed(PAPER.search.space, neurons=(8, 16))


@pytest.mark.parametrize("name", ["num_trials", "num-trials"])
def test_names_take_dashes_or_underscores_in_the_file_and_as_flags(config: Path, name: str) -> None:
    assert with_config(config, {"search": {name: 3}}).search.num_trials == 3
    assert parse([f"--search.{name}", "3"]).search.num_trials == 3


@pytest.mark.parametrize("content", ["", "\n", "# nothing yet\n", "---\n", "{}"])
def test_an_empty_file_changes_nothing(config: Path, content: str) -> None:
    parsed = with_config(config, content)
    assert changed(parsed, config=None) == parse([])
    assert parsed.config == config


def test_stages_are_the_words_before_or_after_the_flags() -> None:
    assert words(["plan", "search", "--seed", "3"]) == ("plan", "search")
    assert words(["--seed", "3", "plan", "search"]) == ("plan", "search")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["--preset", "smoke"], "smoke"),
        ([], "laptop"),
        (["--preset", "paper", "--name", "mine-2.b"], "mine-2.b"),
    ],
)
def test_run_name_is_the_one_given_or_else_the_preset_s(arguments: list[str], name: str) -> None:
    assert parse(arguments).run_name == name


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "-x", "a b", "ü", "a\n", "/"])
def test_a_run_name_that_is_no_folder_name_is_refused(config: Path, name: str) -> None:
    assert "is not a run name" in complaint(f"--name={name}")
    config.write_text(yaml.safe_dump({"name": name}))
    assert "is not a run name" in complaint("--config", config)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--search.num-trials", "0"], ["--search.num-trials", "greater than or equal to 1", "0"]),
        (["--search.num-trials", "many"], ["--search.num-trials", "many"]),
        (["--search.nun-trials", "3"], ["--search.nun-trials", "did you mean --search.num-trials?"]),
        (["--search.space.latent-dim", "2", "15"], ["latent", "15 is not below 15", "--search.space.no-paper-bound"]),
        (["--search.space.filters1", "9", "4"], ["filters1", "9 to 4", "ascending"]),
        (["--search.space.filters2", "0", "4"], ["filters2", "0 to 4", "positive"]),
        (["--search.space.learning-rate", "nan", "nan"], ["learning_rate", "nan"]),
        (["--search.space.optimizer"], ["optimizer", "at least one"]),
        (["--search.space.optimizer", "sgd"], ["--search.space.optimizer", "sgd", "adamw"]),
        (["--kfold.num-folds", "1"], ["--kfold.num-folds", "greater than or equal to 2", "1"]),
        (["--data.num-train", "60001"], ["--data.num-train", "60000", "60001"]),
        (["--resources.gpus-per-training", "1.5"], ["--resources.gpus-per-training", "1.5"]),
        (["--seed", "-1"], ["--seed", "-1"]),
        (["--seed", str(2**31)], ["--seed", str(2**31)]),
        (["--preset", "desktop"], ["--preset", "desktop", "laptop, paper, smoke"]),
        (["--preset"], ["--preset"]),
    ],
)
def test_a_bad_flag_is_named_with_what_is_wrong(arguments: list[str], said: list[str]) -> None:
    message = complaint(*arguments)
    assert all(part in message for part in said), message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("search: {num_trials: 0}", "search.num_trials: Input should be greater than or equal to 1 (got 0)"),
        ("search: {nun-trials: 3}", "search.nun-trials is unknown; did you mean num_trials?"),
        ("search: {space: {latent_dim: [2, 15]}}", "latent_dim: 15 is not below 15"),
        ("search: {space: {neurons: 8}}", "search.space.neurons"),
        ("search: null", "search is a section"),
        ("kfold: []", "kfold is a section"),
        ("seed: 1.5", "seed"),
        ("seed: .nan", "seed"),
        ("config: other.yaml", "config is given on the command line only"),
        ("preset: papr", "preset: 'papr' is none of"),
        ("stages: [all]", "stages is unknown"),
        ("just words", "found a str"),
        ("a: b: c", "is not YAML"),
        ("&a [*a]", "found a list"),
    ],
)
def test_a_bad_file_is_named_with_the_setting_and_what_is_wrong(config: Path, content: str, said: str) -> None:
    config.write_text(content)
    message = complaint("--config", config)
    assert str(config) in message
    assert said in message


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\x00", b"[" * 100_000])
def test_a_file_that_is_no_text_is_not_yaml(config: Path, content: bytes) -> None:
    config.write_bytes(content)
    assert complaint("--config", config).startswith(f"--config {config} is not YAML")


def test_a_folder_or_nothing_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    assert complaint("--config", tmp_path) == f"--config {tmp_path}: Is a directory"
    assert (
        complaint("--config", tmp_path / "no.yaml") == f"--config {tmp_path / 'no.yaml'}: No such file or directory"
    )


def test_latent_sizes_of_15_and_more_are_accepted_with_the_bound_lifted(config: Path) -> None:
    space = parse(["--search.space.latent-dim", "2", "15", "--search.space.no-paper-bound"]).search.space
    assert space.latent_dim == (2, 15)
    lifted = {"search": {"space": {"paper_bound": False, "latent_dim": [2, 40]}}}
    assert with_config(config, lifted).search.space.latent_dim == (2, 40)
    message = complaint("--config", config, "--search.space.paper-bound")
    assert "40 is not below 15" in message


def printable(text: str) -> bool:
    # Line breaks in names are left to a test of their own.
    return not any(unicodedata.category(letter) in {"Cc", "Cs", "Zl", "Zp"} for letter in text)


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.dates() | st.binary()
)
KEYS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.dates() | st.text().filter(printable)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)
NESTED = [("search", "space"), ("gan", "search")]
SECTIONS = [()] + [(name,) for name, value in PAPER if isinstance(value, BaseModel)] + NESTED
KNOWN = {part for name, _ in leaves(PAPER) for part in name.split(".")}


@given(
    section=st.sampled_from(SECTIONS),
    content=st.dictionaries(KEYS.filter(lambda key: str(key).replace("-", "_") not in KNOWN), VALUES, min_size=1),
)
@settings(deadline=None)
def test_any_unknown_name_in_any_section_is_refused_in_one_line(
    fuzzed_config: Path, section: tuple[str, ...], content: dict[object, object]
) -> None:
    as_typed = yaml.load(yaml.safe_dump(content), Loader=yaml.BaseLoader)
    names = [".".join([*section, key]) for key in as_typed]
    for part in reversed(section):
        content = {part: content}
    fuzzed_config.write_text(yaml.safe_dump(content, allow_unicode=False))
    message = complaint("--config", fuzzed_config)
    assert str(fuzzed_config) in message
    assert any(" ".join(f"the setting {name} is unknown".split()) in message for name in names)


@given(name=st.sampled_from([name for name, _ in leaves(PAPER)]), value=VALUES)
@settings(deadline=None)
def test_any_value_of_any_setting_is_taken_or_refused_in_one_line(
    fuzzed_config: Path, name: str, value: object
) -> None:
    content = value
    for part in reversed(name.split(".")):
        content = {part: content}
    fuzzed_config.write_text(yaml.safe_dump(content, allow_unicode=False))
    refused: str | None = None
    try:
        parse(["--config", str(fuzzed_config)])
    except UserError as error:
        refused = str(error)
    assert refused is None or (len(refused.splitlines()) == 1 and name.rpartition(".")[2] in refused)


def test_settings_are_frozen() -> None:
    parsed = parse([])
    for section in (parsed, parsed.search, parsed.search.space, parsed.resources):
        for name in type(section).model_fields:
            with pytest.raises(ValidationError, match="frozen"):
                setattr(section, name, getattr(section, name))


def test_settings_refuse_unknown_names() -> None:
    for section in (PAPER, PAPER.search, PAPER.search.space, PAPER.kfold):
        with pytest.raises(ValidationError, match="nun_trials"):
            type(section).model_validate({"nun_trials": 3})


def test_settings_survive_json_as_the_manifest_keeps_them() -> None:
    for preset in (LAPTOP, PAPER, SMOKE):
        assert Settings.model_validate_json(preset.model_dump_json()) == preset
