"""A file of settings is read as it was typed, like flags; what cannot be meant is said in one line."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from orchestrator.command_line import parse
from orchestrator.engine.book import Book
from orchestrator.engine.execute import described
from orchestrator.engine.results import Run
from orchestrator.engine.settings import UserError
from orchestrator.paper import suite
from orchestrator.run import main


def read(folder: Path, content: str | bytes) -> Any:
    """The settings with this file."""
    path = folder / "settings.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return parse(["--config", str(path)], suite())[0]


def refusal(folder: Path, content: str | bytes) -> str:
    with pytest.raises(UserError) as caught:
        read(folder, content)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 400 + 2 * len(str(folder))
    return message


def value(settings: Any, name: str) -> Any:
    for part in name.split("."):
        settings = getattr(settings, part)
    return settings


@pytest.mark.parametrize(
    ("name", "typed", "meant"),
    [
        ("seed", "0100", 100),  # YAML: octal, 64
        ("seed", "3.0", 3),
        ("seed", "'3'", 3),
        ("seed", "1_000", 1000),
        ("resources.stuck_minutes", "1e-3", 0.001),  # YAML: a word, for want of a dot
        ("search.space.learning_rate", "[1e-4, 1e-2]", (1e-4, 1e-2)),
        ("name", "no", "no"),  # YAML: false
        ("name", "0100", "0100"),
        ("name", "123", "123"),
        ("name", "1.50", "1.50"),
        ("name", "1e3", "1e3"),
        ("name", "1_000", "1_000"),
        ("name", "2024-01-01", "2024-01-01"),  # YAML: a date
        ("name", "'null'", "null"),
        ("gan.search.on", "on", True),  # YAML: the setting's own name is true
        ("capacity.ablations", "no", False),
        ("resources.slots", "null", None),
        ("resources.slots", "", None),
        ("force", "[on, 12]", ("on", "12")),
        ("data_dir", "~", Path.home()),  # YAML: null
    ],
)
def test_setting_is_what_was_typed(tmp_path: Path, name: str, typed: str, meant: object) -> None:
    content = typed
    for part in reversed(name.split(".")):
        content = f"{part}: {content}" if content == typed else f"{part}: {{{content}}}"
    found = value(read(tmp_path, content), name)
    assert (type(found), found) == (type(meant), meant)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("seed: 1:30", "seed: a whole number is wanted (got 1:30)"),
        ("seed: 0x10", "(got 0x10)"),
        ("seed: yes", "(got yes)"),
        ("seed: true", "(got true)"),
        ("seed:", "seed: Input should be a valid integer (got nothing)"),
        ("name: null", "name: Input should be a valid string (got nothing)"),
        ('name: ""', "name: Input should be a valid string (got nothing)"),
        ("resources: {stuck_minutes: .inf}", "(got .inf)"),
        ("resources: {stuck_minutes: inf}", "stuck_minutes cannot be inf"),
        ("resources: {stuck_minutes: nan}", "stuck_minutes"),
        ("resources: {stuck_minutes: 1:30}", "(got 1:30)"),
        ("resources: {stuck_minutes: 1e400}", "stuck_minutes cannot be inf"),
        ("seed: 99999999999999999999999999", "seed: Input should be less than 2147483648"),
        ("kfold: {num_seeds: 1000000000}", "num_seeds cannot be 1000000000"),
        ("search: {epochs: 100001}", "epochs cannot be 100001"),
        ("capacity: {ablations: 2}", "capacity.ablations"),
        ("force: search", "force: Input should be a valid tuple (got search)"),
        ("kfold: {orders: []}", "name at least one"),
        ('data_dir: "a\\0b"', "data_dir: 'a\\x00b' has characters that no name of a folder has"),
        ('runs_dir: "a\\nb"', "runs_dir: 'a\\nb' has characters that no name of a folder has"),
    ],
)
def test_what_the_setting_cannot_make_of_it_is_told_as_it_was_typed(tmp_path: Path, content: str, said: str) -> None:
    assert said in refusal(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("kfold:\n  epochs: 4\nseed: 3\nkfold:\n  num_folds: 3", "kfold stands there twice, in lines 1 and 4"),
        ("seed: 1\nseed: 1", "seed stands there twice, in lines 1 and 2"),
        ("kfold:\n  epochs: 4\n  epochs: 4", "kfold.epochs stands there twice, in lines 2 and 3"),
        ("search:\n  space:\n    neurons: [8, 9]\n    neurons: [8, 9]", "search.space.neurons stands there twice"),
        ("search:\n  num_trials: 4\n  num-trials: 4", "search.num-trials stands there twice, in lines 2 and 3"),
    ],
)  # fmt: skip
def test_name_that_is_given_twice_is_refused_with_its_lines(tmp_path: Path, content: str, said: str) -> None:
    assert said in refusal(tmp_path, content)


BOMB = "force: [" + ", ".join(f"&a{n} [{', '.join([f'*a{n - 1}' if n else 'x'] * 9)}]" for n in range(9)) + "]"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("seed: !!int 3", "seed has the tag"),
        ("seed: !mine 3", "seed has the tag !mine"),
        ("search: !!set {a, b}", "search has the tag"),
        ("data_dir: !!python/object/apply:os.getcwd []", "data_dir has the tag"),
        ("<<: {seed: 3}", "the setting << is unknown"),
        ("? [a]\n: 3", "the setting that is no text is unknown"),
        ("seed: 3\n---\nseed: 4", "is not YAML"),
        ("search: {space: {neurons: &a [*a]}}", "nested without end"),
        (BOMB, "force has more than 10,000 values"),
        ("seed: 3\n" + "#" * 1_000_000, "is longer than 1,000,000 bytes"),
        ("name: ü".encode("latin-1"), "is not YAML"),
    ],
    ids=range(11),
)
def test_what_a_file_of_settings_has_no_need_of_is_refused(tmp_path: Path, content: str | bytes, said: str) -> None:
    assert said in refusal(tmp_path, content)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_file_may_begin_with_a_mark_of_its_encoding(tmp_path: Path, encoding: str) -> None:
    assert read(tmp_path, "seed: 3\nname: so".encode(encoding)).seed == 3


def test_value_may_stand_for_another_by_an_alias(tmp_path: Path) -> None:
    settings = read(tmp_path, "kfold: {epochs: &few 3}\nrefit: {epochs: *few}")
    assert (settings.kfold.epochs, settings.refit.epochs) == (3, 3)


PATHS = {"runs_dir": str, "data_dir": Path, "gan.inception_weights": Path}


@pytest.mark.parametrize("name", PATHS)
def test_home_folders_are_spelled_out_in_the_file_and_in_flags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    flag = f"--{name.replace('_', '-')}"
    for typed, meant in (("~/x", tmp_path / "x"), ("~root/x", Path("~root/x").expanduser()), ("a~b", "a~b")):
        section, _, key = name.rpartition(".")
        content = f"{section}: {{{key}: {typed}}}" if section else f"{key}: {typed}"
        for settings in (read(tmp_path, content), parse([f"{flag}={typed}"], suite())[0]):
            assert value(settings, name) == PATHS[name](meant)
    for typed in ("~no-such-user/x", "~no-such-user"):
        with pytest.raises(UserError, match="whose home is"):
            parse([f"{flag}={typed}"], suite())


def test_config_itself_may_be_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.yaml").write_text("seed: 3")
    settings = parse(["--config=~/mine.yaml"], suite())[0]
    assert (settings.seed, settings.config) == (3, tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    "address",
    [
        "gs://bucket/runs", "gcs://bucket", "abfs://c@account/x", "az://c/x", "hdfs://host:9000/x", "file:///tmp/x",
        "http://host/x", "mock://x", "s3:/bucket", "s3:bucket", "S3://bucket", "s3a://bucket", "s3:///x",
        "s3://bucket/x?region=eu", "s3://bucket/#x", "s3://buc ket/x", "file:/tmp",
    ],
)  # fmt: skip
def test_no_address_but_s3_s_is_a_place_for_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, address: str
) -> None:
    for command in (["status", "--runs-dir", address], ["compare", address, "/x/y"], ["compare", "/x/y", address]):
        if "/" in address or "compare" not in command:
            assert main(command) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert address in line or "a key in it" in line
    assert "runs_dir" in refusal(tmp_path, f"runs_dir: '{address}'")


def test_folder_with_a_colon_in_its_name_is_a_folder(tmp_path: Path) -> None:
    for folder in ("a:b", "runs/2024-01-01T10:30", "s3", "./s3:x"):
        assert parse([f"--runs-dir={folder}"], suite())[0].runs_dir == folder


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--name="], "--name: nothing is given"),
        (["--name", ""], "--name: nothing is given"),
        (["--data-dir="], "--data-dir: nothing is given"),
        (["--force", ""], "--force: nothing is given"),
        (["--seed="], "--seed"),
        (["--preset="], "--preset: '' is none of laptop, paper, smoke"),
        (["--config="], "--config"),
        (["--preset", "smoke", "--preset=paper"], "--preset is given 2 times: smoke, paper"),
        (["--config", "a.yaml", "--config=b.yaml"], "--config is given 2 times: a.yaml, b.yaml"),
        (["--config", "/dev/zero"], "--config /dev/zero: is longer than"),
        (["--runs-dir", "\udcff"], "is not UTF-8"),
        (["--runs-dir", "a\tb"], "has characters that no name of a folder has"),
        (["--search.space.learning-rate", "1e-4", "inf"], "learning_rate cannot be inf"),
        (["--autoencoder.weight-decay", "1e400"], "weight_decay cannot be inf"),
        (["--search.num-trials", str(10**12)], "num_trials cannot be 1000000000000"),
    ],
)
def test_flag_that_cannot_be_meant_is_refused(arguments: list[str], said: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(arguments, suite())
    assert said in str(caught.value)


FLAGS = [
    "--preset",
    "smoke",
    "--seed",
    "7",
    "--kfold.epochs",
    "3",
    "--search.space.learning-rate",
    "0.0003",
    "0.0123",
    "--gan.search.trials",
    "5",
]


def test_a_run_is_repeated_from_its_manifest_and_flags_win(tmp_path: Path) -> None:
    settings, _ = parse([*FLAGS, "--gan.tuned.minimax.ema-decay", "0.9", "--runs-dir", str(tmp_path)], suite())
    run = Run(tmp_path / "smoke")
    run.write_manifest(described(None, Book(suite(), settings, run, set_aside=False)))
    config = ["--config", run.path("manifest.json")]
    again, _ = parse(config, suite())
    assert again.model_dump() == settings.model_dump() | {"config": Path(config[1]), "runs_dir": "runs"}
    assert suite().fingerprints(again) == suite().fingerprints(settings)
    other, _ = parse([*config, "--seed", "8", "--preset", "smoke", "--name", "other"], suite())
    assert other.model_dump() == again.model_dump() | {"seed": 8, "name": "other"}
    assert suite().fingerprints(other) != suite().fingerprints(settings)


@pytest.mark.parametrize(
    ("content", "flags", "preset"),
    [
        ("preset: smoke", [], "smoke"),
        ("kfold: {epochs: 7}\npreset: paper", [], "paper"),
        ("preset: smoke", ["--preset", "paper"], "paper"),
        ("seed: 3", [], "laptop"),
    ],
)
def test_a_file_may_name_the_preset_and_the_flag_wins(
    tmp_path: Path, content: str, flags: list[str], preset: str
) -> None:
    (tmp_path / "mine.yaml").write_text(content)
    settings: Any = parse(["--config", str(tmp_path / "mine.yaml"), *flags], suite())[0]
    usual: Any = suite().preset(preset)
    assert (settings.preset, settings.search) == (preset, usual.search)
    assert settings.kfold.epochs == (7 if "kfold" in content else usual.kfold.epochs)


@pytest.mark.parametrize("flags", [[], ["--preset", "paper", "--name", "0100"], [*FLAGS, "--data-dir", "null"]])
def test_settings_that_plan_prints_are_a_file_that_makes_them_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    assert main(["plan", "--print-config", *flags]) == 0
    content = capsys.readouterr().out
    settings = parse(flags, suite())[0]
    assert read(tmp_path, content).model_dump() == settings.model_dump() | {"config": tmp_path / "settings.yaml"}
    missing = {"config", "force"} | {name for name, it in settings if it == ""}
    assert {line.partition(":")[0] for line in content.splitlines() if line[0].isalpha()} == (
        set(type(settings).model_fields) - missing
    )


def test_a_stranger_s_manifest_leads_to_no_cluster_and_no_folder_of_theirs(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    theirs = {
        "address": "203.0.113.9:6379",
        "runs_dir": "s3://theirs",
        "data_dir": "/theirs",
        "resources": {"slots": 9},
    }
    told = {"preset": "smoke", "name": "again", "seed": 3, "force": ["all"], **theirs}
    path.write_text(json.dumps({"schema_version": 4, "settings": told}))
    settings, _ = parse(["--config", str(path)], suite())
    mine = suite().preset("smoke").model_dump() | {"name": "again", "seed": 3, "config": path}
    assert settings.model_dump() == mine


@pytest.mark.parametrize("content", ["seed: 3", '{"schema_version": 4, "settings": {"preset": "smoke", "seed": 3}}'])
def test_a_file_that_can_be_read_once_only_is(content: str) -> None:
    read, write = os.pipe()
    with open(write, "w") as pipe:
        pipe.write(content)
    try:
        assert parse(["--config", f"/dev/fd/{read}"], suite())[0].seed == 3
    finally:
        os.close(read)


def test_a_manifest_of_another_preset_or_of_settings_that_are_unknown_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text('{"schema_version": 4, "settings": {"preset": "smoke", "kfold": {"epoch": 3}}}')
    for flags, said in ((["--preset", "paper"], "is of the preset smoke; leave one out"), ([], "kfold.epoch: ")):
        with pytest.raises(UserError, match=said) as caught:
            parse(["--config", str(path), *flags], suite())
        assert len(str(caught.value).splitlines()) == 1
    path.write_text('{"schema_version": 4, "settings": {"seed": 1}}')
    with pytest.raises(UserError, match="preset"):
        parse(["--config", str(path)], suite())
