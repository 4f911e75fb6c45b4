"""Bad input gets one clear line and exit status 2; plan and status start nothing."""

import socket
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from orchestrator.engine.results import Run
from orchestrator.paper import suite
from orchestrator.run import OF_A_RUN, main
from tests.command import REPOSITORY, Smoke, orchestrate
from tests.orchestrator.copies import copy_of
from tests.servers import grpc_server


def _refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The one line with which the command is refused."""
    status = main(["all", *map(str, arguments)] if str(arguments[0]).startswith("-") else list(map(str, arguments)))
    out, err = capsys.readouterr()
    assert status == 2, (status, out, err)
    assert not out
    (line,) = [line for line in err.splitlines() if not line.startswith("Ray: connecting")]
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serach"], "'serach' is no stage or command; did you mean search?"),
        (["--force", "serach"], "'serach' is no stage; did you mean search?"),
        (["--search.num-trails", "3"], "--search.num-trials"),
        (["--search.num-trials", "0"], "--search.num-trials"),
        (["--search.num-trials", "many"], "many"),
        (["--search.space.latent-dim", "2", "15"], "15 is not below 15"),
        (["--search.space.learning-rate", "0.1", "0.01"], "ascending"),
        (["--preset", "desktop"], "laptop, paper, smoke"),
        (["--preset", "lapto"], "did you mean laptop?"),
        (["--preset"], "--preset: a value is wanted after it"),
        (["--seed", "abc"], "--seed: a whole number is wanted, not 'abc'"),
        (["--seed=1,2"], "--seed: a whole number is wanted, not '1,2'"),
        (["--kfold.epochs", "2.5"], "--kfold.epochs: a whole number is wanted, not '2.5'"),
        (["--capacity.learning-rate", "fast"], "--capacity.learning-rate: a number is wanted, not 'fast'"),
        (["--resources.slots", "two"], "--resources.slots: a whole number is wanted, not 'two'"),
        (["--resources.gpus-per-training", "half"], "--resources.gpus-per-training: a number is wanted, not 'half'"),
        (["--denoise.zeroed", "0.1,0.2"], "values are separated by spaces: --denoise.zeroed 0.1 0.2"),
        (["--denoise.zeroed=0.1, 0.2"], "values are separated by spaces: --denoise.zeroed 0.1 0.2"),
        (["--kfold.models", "best,paper_table1"], "separated by spaces: --kfold.models best paper_table1"),
        (["--search.space.latent-dim", "2,14"], "separated by spaces: --search.space.latent-dim 2 14"),
        (["--search.space.latent-dim", "2"], "--search.space.latent-dim: 2 values are wanted after it"),
        (["--kfold.models", "bst"], "'bst' is none of best, paper_table1, author_best; did you mean best?"),
        (["--strict", "yes"], "--strict: takes no value: it means yes as it is, and --no-strict no"),
        (["--gan.search.on", "true"], "it means yes as it is, and --gan.search.no-on no"),
        (["kfold,refit"], "'kfold,refit' is no stage or command; stages are separated by spaces: kfold refit"),
        (["clen"], "'clen' is no stage or command; did you mean clean?"),
        (["pln"], "'pln' is no stage or command; did you mean plan?; there are: all, search, "),
        (["pln"], ", plan, status, compare, report, clean, doctor"),
        (["plan", "staus"], "'staus' is no stage; there are: all, search, "),
        (["plan", "--preset", "paper", "kfold"], "'kfold' stands apart: stages and commands stand together"),
        (["--name", "a/b"], "'a/b' is not a run name"),
        (["--name", ".."], "'..' is not a run name"),
        (["--config", "/nowhere.yaml"], "No such file"),
        (["--data-dir", "/nowhere"], "/nowhere does not exist"),
        (["--address", "somewhere"], "host:port"),
        (["--runs-dir", "nonsense://bucket"], "nonsense"),
        (["--runs-dir", ""], "--runs-dir: '' is neither a folder nor an address"),
        (["--runs-dir", "s3://"], "--runs-dir: 's3://' is neither a folder nor an address"),
        (
            ["--runs-dir", "s3://id:secret@bucket"],
            "--runs-dir: an address with a key in it",
        ),
        (["--config", "a\nb"], "No such file"),
        (["compare", "one"], "compare takes two names"),
        (["compare", "one", "other"], "runs/one has no tables: is the name right?"),
        (["--kfold.orders", "sequential", "sequential"], "none twice"),
        (["--kfold.orders", "backwards"], "backwards"),
        (["--gan.num-workers", "3"], "256 images cannot be shared evenly by 3 workers (num_workers)"),
        (
            ["--capacity.latent-dims", "2000"],
            "--capacity.latent-dims: Input should be less than or equal to 1024 (got 2000)",
        ),
        (
            ["--gan.search.on", "--gan.arms", "tuned", "--gan.num-workers", "3"],
            "search.batch_sizes: 32 images cannot be shared evenly",
        ),
        (["--gan.search.learning-rate", "0.1", "0.01"], "ascending"),
        (["--gan.search.learning-rate", "0", "0.01"], "greater than 0"),
        (["--gan.search.beta1", "0", "1"], "less than 1"),
        (["--gan.inception-weights", "/nowhere.pth"], "--gan.inception-weights /nowhere.pth: No such file"),
        (["--gan.inception-weights", "/"], "--gan.inception-weights /: Is a directory"),
        (["--gan.inception-weights", str(REPOSITORY / "README.md")], "README.md: these are not the weights of"),
        (["plan", "embed", "--embed.num-neighbors", "5000"], "--embed.num-neighbors: 5000 are too many where planes"),
        (["plan", "classify", "--classify.num-neighbors", "60001"], "60001 is above the 60000 training images"),
        (["gan_search"], "gan_search is not among the stages of this run: --gan.search.on brings it in"),
        (["--force", "gan_inception"], "--gan.inception-weights FILE brings it in"),
        (
            ["--gan.tuned.minimax.batch-size", "129", "--gan.num-workers", "2"],
            "tuned.minimax.batch_size: 129 images cannot be shared evenly by 2 workers",
        ),
    ],
)
def test_bad_flag_is_one_line_that_names_it(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in _refused(capsys, *arguments)
    assert not any(path.name == "tables" for path in tmp_path.rglob("*"))


def test_settings_without_a_stage_are_refused_with_the_command_that_was_meant(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["--preset", "smoke", "--runs-dir", str(tmp_path)]) == 2
    assert f" all --preset smoke --runs-dir {tmp_path} does all of them" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("search: {num_trails: 3}", "search.num_trails is unknown; did you mean num_trials?"),
        ("search: {num_trials: 0}", "search.num_trials: Input should be greater than or equal to 1 (got 0)"),
        ("search: 3", "search is a section"),
        ("search: {num_trials: many}", "search.num_trials: a whole number is wanted (got many)"),
        ("capacity: {learning_rate: fast}", "capacity.learning_rate: a number is wanted (got fast)"),
        ("strict: maybe", "strict: true or false is wanted (got maybe)"),
        ('{"sha256": "0", "schema_version": 4}', "is a run's manifest; a file of settings has lines like 'seed: 2'"),
        ("- 1\n- 2", "found a list"),
        ("search: [1, 2", "is not YAML"),
        ("\x00", "is not YAML"),
        ("preset: papr", "preset: 'papr' is none of laptop, paper, smoke; did you mean paper?"),
        ("preset: [paper]", "preset: '' is none of"),
        ("config: other.yaml", "the setting config is given on the command line only"),
        ("!!python/object/apply:os.system ['true']", "is not YAML"),
    ],
)
def test_bad_config_file_is_one_line_that_names_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str, said: str
) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(content)
    line = _refused(capsys, "plan", "--config", path)
    assert str(path) in line
    assert said in line


def test_flags_of_a_command_are_no_other_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert _refused(capsys, "all", "--print-config") == "error: --print-config is for plan only"
    assert _refused(capsys, "plan", "--json") == "error: --json is for compare only"


def test_damaged_image_file_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (tmp_path / f"{name}-ubyte").write_bytes(b"\0\0\x08" + bytes([int(name[-1])]))
    line = _refused(capsys, "--data-dir", tmp_path, "--runs-dir", tmp_path / "runs")
    assert "train-images-idx3-ubyte is truncated" in line


def test_runs_folder_that_cannot_be_written_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    line = _refused(capsys, "--runs-dir", tmp_path / "file")
    assert f"{tmp_path / 'file'}" in line
    assert "cannot be" in line


def test_address_where_nothing_answers_is_refused_within_20_seconds(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        for address in (f"127.0.0.1:{port}", "192.0.2.1:6379"):
            started = time.monotonic()
            line = _refused(capsys, "--address", address, "--runs-dir", tmp_path)
            assert f"{address}: no Ray answers there" in line
            assert time.monotonic() - started < 20


def test_address_of_ray_s_client_is_refused_with_what_to_do_instead(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    line = _refused(capsys, "--address", "ray://127.0.0.1:10001", "--runs-dir", tmp_path)
    assert "give host:port on one of the cluster's machines, or submit a job" in line


def test_address_where_something_else_answers_is_refused_within_20_seconds(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        done = orchestrate("all", "--address", address, "--preset", "smoke", "--runs-dir", tmp_path, timeout=60)
    assert done.status == 2, done.err
    assert f"error: --address {address}" in done.err.splitlines()[-1]
    assert "Traceback" not in done.err
    assert done.seconds < 20


@pytest.mark.parametrize("by_variable", [False, True], ids=["flag", "variable"])
def test_no_stage_is_announced_or_entered_where_no_ray_answers(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_variable: bool
) -> None:
    with grpc_server() as address:
        monkeypatch.setenv("RAY_ADDRESS", address if by_variable else "")
        flags = () if by_variable else ("--address", address)
        line = _refused(capsys, "search", "--preset", "smoke", "--runs-dir", tmp_path, *flags)
    assert f"{'RAY_ADDRESS=' if by_variable else '--address '}{address}: no Ray answers there" in line
    assert main(["status", "--preset", "smoke", "--runs-dir", str(tmp_path)]) == 0
    assert "no run yet" in capsys.readouterr().out


def test_error_on_the_way_of_an_interrupt_is_that_interrupt(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One that cuts an import short, say, leaves a module in parts, on which another error follows."""

    def interrupted(book: object) -> int:
        try:
            raise KeyboardInterrupt
        finally:
            raise AttributeError("partially initialized module")

    def failing(book: object) -> int:
        raise AttributeError("a fault of the program")

    monkeypatch.setitem(OF_A_RUN, "status", interrupted)
    assert main(["status", "--preset", "smoke", "--runs-dir", str(tmp_path)]) == 130
    assert "interrupted; what was finished is kept. To go on: " in capsys.readouterr().err
    monkeypatch.setitem(OF_A_RUN, "status", failing)
    with pytest.raises(AttributeError, match="a fault"):
        main(["status", "--preset", "smoke", "--runs-dir", str(tmp_path)])


@pytest.mark.parametrize("command", ["clean", "doctor", "report", "status"])
def test_commands_of_a_whole_run_take_no_stages(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str
) -> None:
    line = _refused(capsys, command, "kfold", "--runs-dir", tmp_path)
    assert f"{command} is of a whole run and takes no stages: kfold" in line


@pytest.mark.parametrize("content", ["", "{", "[" * 100_000, "[]", "null", '{"sha256": 1}', "\x00"])
def test_damaged_manifest_is_named_by_plan_and_status_which_leave_it_as_it_is(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str
) -> None:
    (tmp_path / "laptop").mkdir()
    (tmp_path / "laptop" / "manifest.json").write_text(content)
    for command in ("plan", "status"):
        assert main([command, "--runs-dir", str(tmp_path)]) == 0
        assert "laptop/manifest.json is damaged" in capsys.readouterr().err
    assert (tmp_path / "laptop" / "manifest.json").read_text() == content


def test_run_folder_of_another_schema_version_is_refused(
    smoke: Smoke, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    manifest = smoke.run.read_json("manifest.json")
    Run(tmp_path / "smoke").write_json("manifest.json", manifest | {"schema_version": 999})
    assert "schema version 999" in _refused(capsys, "--preset", "smoke", "--runs-dir", tmp_path)


def test_plan_of_the_paper_shows_stages_trials_slots_and_time_and_starts_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["plan", "--preset", "paper", "--runs-dir", str(tmp_path), "--resources.slots", "3"]) == 0
    out = capsys.readouterr().out
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line}
    assert rows["slots"][1] == "3"
    assert rows["search"][1:6] == ["to", "do", "20", "5", "50000"]
    assert rows["kfold"][3:6] == ["42", "20", "50000"]
    assert rows["refit"][3:6] == ["18", "20", "60000"]
    assert rows["about"][2] in {"min", "h"}
    assert all(len(rows[name]) > 3 for name in ("denoise", "embed")), "they take their time too"
    assert not list(tmp_path.iterdir())
    assert "ray" not in sys.modules or not sys.modules["ray"].is_initialized()


def test_plan_brings_in_what_a_stage_needs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def planned(*arguments: str) -> list[str]:
        assert main(["plan", *arguments, "--runs-dir", str(tmp_path)]) == 0
        return [line.split()[0] for line in capsys.readouterr().out.splitlines() if " to do " in line]

    assert planned("kfold") == ["search", "kfold"]
    assert planned("kfold", "--kfold.models", "paper_table1") == ["kfold"]
    assert planned("search") == ["search"]
    assert planned("gan") == ["search", "refit", "classify", "gan"]
    assert planned("gan", "--gan.search.on") == ["search", "refit", "classify", "gan_search", "gan"]
    assert "gan_search" not in planned("all")
    assert "gan_search" in planned("all", "--gan.search.on")


def test_plan_of_a_finished_run_has_only_what_changed_and_what_hangs_on_it(
    smoke: Smoke, capsys: pytest.CaptureFixture[str]
) -> None:
    def planned(*arguments: str) -> list[str]:
        assert main(["plan", *arguments, "--preset", "smoke", "--runs-dir", str(smoke.runs_dir)]) == 0
        return [line.split()[0] for line in capsys.readouterr().out.splitlines() if " to do " in line]

    assert planned() == []
    on_refit = ["refit", "denoise", "classify", "embed", "gan_search", "gan"]
    assert planned("search", "--search.epochs", "3") == ["search", "kfold", *on_refit]
    assert planned("kfold", "--kfold.epochs", "3") == ["kfold"]
    assert planned("refit", "--refit.epochs", "3") == on_refit
    assert planned("--resources.slots", "7") == []
    table1 = ("kfold", "--kfold.models", "paper_table1")
    assert planned(*table1) == planned(*table1, "--search.epochs", "3") == ["kfold"]
    assert planned("--seed", "2") == [stage.name for stage in suite().wanted(suite().preset("smoke"))]
    more = ("gan", "--gan.paper.epochs", "3")
    assert planned(*more) == ["gan_search", "gan"], "whose trials are as they were; test_plan"
    assert planned("gan", "--gan.search.no-on") == ["gan"]
    assert planned("gan", "--gan.search.epochs", "2") == ["gan_search", "gan"]
    assert planned("gan", "--gan.search.no-on", "--gan.search.epochs", "2") == ["gan"]
    assert planned("capacity", "--capacity.epochs", "2") == ["capacity"]
    assert planned("--force", "refit") == on_refit


def test_status_tells_what_is_done_and_what_is_missing(
    smoke: Smoke, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["status", "--runs-dir", str(tmp_path)]) == 0
    assert "no run yet" in capsys.readouterr().out
    copy = copy_of(smoke, tmp_path)
    manifest = copy.read_json("manifest.json")
    del manifest["stages"]["refit"]
    copy.write_json("manifest.json", manifest)
    next((tmp_path / "smoke" / "records" / "refit").glob("best-*.json")).unlink()
    assert main(["status", "--preset", "smoke", "--runs-dir", str(tmp_path)]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    stages = smoke.run.table("stages").set_index("stage")
    trained, seconds = (stages[name]["search"] for name in ("training_seconds", "seconds"))
    assert rows["search"].split() == ["search", "done", f"{trained:.0f}", "s", f"{seconds:.0f}", "s"]
    assert rows["denoise"].split()[1:3] == ["done", "-"]
    stages = stages.drop("refit")
    ends = stages["started"] + pd.to_timedelta(stages["seconds"], unit="s")
    total = rows["total"].split()
    assert total[1] == f"{stages['training_seconds'].sum():.0f}"
    assert 0 < int(total[3]) <= (ends.max() - stages["started"].min()).total_seconds() + 1
    assert "missing" in rows["refit"]
    assert "5 of 6 trainings recorded" in rows["refit"]
    assert "done" in rows["gan_search"]
    assert main(["status", "--preset", "smoke", "--gan.search.no-on", "--runs-dir", str(tmp_path)]) == 0
    assert "gan_search" not in capsys.readouterr().out


def test_what_is_printed_is_whole_where_no_terminal_is(
    smoke: Smoke, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    manifest = copy_of(smoke, tmp_path).read_json("manifest.json")
    manifest["stages"]["gan"] |= {"state": "failed", "error": f"ValueError: {'so ' * 100}it goes"}
    Run(tmp_path / "smoke").write_json("manifest.json", manifest)
    assert main(["status", "--preset", "smoke", "--runs-dir", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    (failed,) = [line for line in lines if line.startswith("gan ")]
    assert failed.endswith(f"ValueError: {'so ' * 100}it goes")
    assert all(line == line.rstrip() for line in lines)
    assert main(["plan", "--preset", "smoke", "--runs-dir", str(tmp_path)]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("stage     ")]


def test_status_names_files_that_are_missing_or_damaged(
    smoke: Smoke, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    copy = copy_of(smoke, tmp_path)
    copy.delete("tables/folds.parquet")
    assert main(["status", "--preset", "smoke", "--runs-dir", str(tmp_path)]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "tables/folds.parquet: missing or damaged, the next run writes it again" in rows["kfold"]
    assert "missing" not in rows["search"]
