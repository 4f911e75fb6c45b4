"""Kill anything at any time, type the same command again: the tables are those of an undisturbed run."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest

from orchestrator.engine.compare import differences
from orchestrator.engine.results import Run
from tests.command import REPOSITORY, Smoke, orchestrate
from tests.orchestrator.copies import copy_of

NUM_KILLS = int(os.environ.get("FAULTS_KILLS", "3"))
"""`make test-all` has 20."""
SMOKE = ("all", "--preset", "smoke", "--address", "local", "--runs-dir")


@contextlib.contextmanager
def started(*arguments: str | Path, said: Path = Path(os.devnull)) -> Iterator[subprocess.Popen[bytes]]:
    """The command, on its way; what it says on stderr goes to that file."""
    command = [sys.executable, "-m", "orchestrator.run", *map(str, arguments)]
    with said.open("wb") as stderr:
        process = subprocess.Popen(
            command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def descendants(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def gone(processes: list[psutil.Process], within_seconds: float) -> bool:
    """Whether all have ended, or do so in time; what nobody has waited for counts as ended."""
    deadline = time.monotonic() + within_seconds
    while any(_runs(process) for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def records(runs_dir: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (runs_dir / "smoke" / "records").rglob("*.json")}


def assert_goes_on_exactly(runs_dir: Path, smoke: Smoke) -> None:
    """The same command ends well, repeats nothing that was recorded, and gives the undisturbed run's tables."""
    before = records(runs_dir)
    again = orchestrate(*SMOKE, runs_dir)
    assert again.status == 0, again.err
    assert "Traceback" not in again.err
    after = records(runs_dir)
    assert {path: after[path] for path in before} == before, "a recorded training was repeated"
    assert list(differences(Run(runs_dir / "smoke"), smoke.run)) == []


@pytest.mark.long
def test_driver_killed_at_random_moments_again_and_again(smoke: Smoke, tmp_path: Path) -> None:
    """Three kills to a run, if it lasts that long; every start finds what the one before left."""
    dice, left, kills = random.Random(1), [], 0
    while kills < NUM_KILLS:
        runs_dir = tmp_path / str(kills)
        for _ in range(3):
            before = records(runs_dir)
            moment = dice.uniform(1, smoke.finished.seconds)
            with started(*SMOKE, runs_dir) as driver:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    assert driver.wait(timeout=moment) == 0
                    break
                left += descendants(driver)
                driver.kill()
                driver.wait()
            kills += 1
            after = records(runs_dir)
            print(f"kill {kills} after {moment:.1f} s: {len(before)} records before, {len(after)} after")
            assert {path: after[path] for path in before} == before, "a recorded training was repeated"
        assert_goes_on_exactly(runs_dir, smoke)
    assert gone(left, within_seconds=120), "Ray's agents give up a minute after the rest"


def _workers(driver: subprocess.Popen[bytes], title: str) -> list[psutil.Process]:
    found = []
    for process in descendants(driver):
        with contextlib.suppress(psutil.Error):
            if any(title in part for part in process.cmdline()):
                found.append(process)
    return found


def _wait_for(runs_dir: Path, pattern: str, driver: subprocess.Popen[bytes]) -> None:
    while not list((runs_dir / "smoke" / "records").glob(pattern)):
        assert driver.poll() is None, f"over before there was {pattern}"
        time.sleep(0.02)


@pytest.mark.long
def test_workers_killed_in_the_midst_of_a_fold_and_of_a_game(smoke: Smoke, tmp_path: Path) -> None:
    with started(*SMOKE, tmp_path) as driver:
        _wait_for(tmp_path, "search/*.json", driver)
        (first, *_) = _workers(driver, "ray::ImplicitFunc")
        first.kill()
        _wait_for(tmp_path, "kfold/*.json", driver)
        (first, *_) = _workers(driver, "ray::ImplicitFunc")
        first.kill()
        _wait_for(tmp_path, "gan/*.checkpoint", driver)
        players = _workers(driver, "RayTrainWorker")
        assert players
        players[-1].kill()
        assert driver.wait(timeout=600) == 0
    assert list(differences(Run(tmp_path / "smoke"), smoke.run)) == []


@pytest.mark.parametrize("name", ["raylet", "gcs_server"])
def test_process_of_ray_s_own_killed_ends_the_command_with_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "40")  # 60 by default
    command, said = ("search", *SMOKE[1:], tmp_path), tmp_path / "said"
    with started(*command, said=said) as driver:
        _wait_for(tmp_path, "search/*.json", driver)
        (its,) = [process for process in descendants(driver) if process.name() == name]
        its.kill()
        assert driver.wait(timeout=60) == 2
    before = records(tmp_path)
    assert before
    assert said.read_text().splitlines()[-1].partition("error: ")[2].startswith("Ray is lost: its ")
    again = orchestrate(*command)
    assert again.status == 0, again.err
    after = records(tmp_path)
    assert {path: after[path] for path in before} == before, "a recorded training was repeated"


@pytest.mark.long
def test_node_lost_in_the_midst_of_the_folds(smoke: Smoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # as this process found it when it imported ray
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        second = nodes.add_node(num_cpus=1)
        command = ("kfold", *SMOKE[1:3], "--address", nodes.address, "--runs-dir", tmp_path)
        with started(*command) as driver:
            _wait_for(tmp_path, "kfold/*.json", driver)
            nodes.remove_node(second, allow_graceful=False)
            assert driver.wait(timeout=600) == 0
    finally:
        nodes.shutdown()
    run = Run(tmp_path / "smoke")
    differing = [line for line in differences(run, smoke.run) if not line.endswith(f"only in {smoke.run.location}")]
    of_the_whole = [line for line in differing if not line.startswith("claims: ")]
    assert of_the_whole == ["stages: 2 rows and 9"]
    mine, theirs = (
        it.table("claims").drop(columns=["seconds", "p_holm"]).astype({"verdict": str, "scale": str})
        for it in (run, smoke.run)
    )
    of_folds = mine["evidence"].isin(["folds", "fold_epochs", "folds, fold_epochs", "trials"])
    assert of_folds.sum() >= 9
    pd.testing.assert_frame_equal(mine[of_folds], theirs[of_folds])
    assert len(records(tmp_path)) == 18


def test_search_that_is_terminated_and_killed_goes_on_and_one_slot_gives_the_tables_of_two(
    smoke: Smoke, tmp_path: Path
) -> None:
    command = ("search", *SMOKE[1:], tmp_path, "--resources.slots", "1")
    for sent, status in ((signal.SIGTERM, 130), (signal.SIGKILL, -signal.SIGKILL)):
        before = records(tmp_path)
        with started(*command) as driver:
            while len(records(tmp_path)) == len(before):
                assert driver.poll() is None
                time.sleep(0.02)
            theirs = descendants(driver)
            os.kill(driver.pid, sent)
            assert driver.wait(timeout=30) == status
        assert sent == signal.SIGKILL or gone(theirs, within_seconds=20)  # Ray's agents outlive a driver by a minute
        after = records(tmp_path)
        assert {path: after[path] for path in before} == before, "a recorded training was repeated"
    again = orchestrate(*command)
    assert again.status == 0, again.err
    run = Run(tmp_path / "smoke")
    for name in ("trials", "trial_epochs", "importances"):
        mine, undisturbed = (it.table(name).drop(columns="seconds", errors="ignore") for it in (run, smoke.run))
        pd.testing.assert_frame_equal(mine, undisturbed)


@pytest.mark.long
def test_game_interrupted_from_a_terminal_ends_the_run_like_any_training(smoke: Smoke, tmp_path: Path) -> None:
    copy = copy_of(smoke, tmp_path)
    manifest = copy.read_json("manifest.json")
    del manifest["stages"]["gan"]
    copy.write_json("manifest.json", manifest)
    for path in (tmp_path / "smoke" / "records" / "gan").glob("*-seed-*"):
        path.unlink()
    with started("gan", *SMOKE[1:], tmp_path) as driver:
        _wait_for(tmp_path, "gan/*.checkpoint", driver)
        theirs = descendants(driver)
        os.killpg(driver.pid, signal.SIGINT)  # Ctrl-C goes to all that the terminal's command has started
        assert driver.wait(timeout=30) == 130
        assert gone(theirs, within_seconds=20)
    assert not list((tmp_path / "smoke" / "records" / "gan").glob("*.json")), "nothing counts as failed"
