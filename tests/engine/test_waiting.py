"""Whether Ray is there, and has workers for what is to be trained."""

import resource
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ray.autoscaler.v2.schema import LaunchRequest

from orchestrator.engine.cluster import Cluster
from orchestrator.engine.settings import Resources
from orchestrator.engine.waiting import MOST_SECONDS, OWN_SECONDS, SAY_SECONDS, Watch, answers, logged, refused

OURS = Cluster(2, 1.0, 0.0, None, Resources(), {}, logs=Path("/nowhere"))
"""Of whose workers nothing is logged."""


class _Watched:
    """A watch with a clock that is set by hand, and what it said."""

    def __init__(self, cluster: Cluster) -> None:
        self.now, self.wanted, self.said, self.reason = 0.0, True, list[str](), "no room"
        self.watch = Watch(cluster, lambda: self.wanted, self.said.append, lambda: self.now)

    def at(self, seconds: float, num_workers: int = 0) -> None:
        self.now = seconds
        self.watch.look(num_workers, lambda: self.reason)


def test_wait_for_workers_is_told_of_every_minute_and_begins_anew_with_each() -> None:
    on_cluster = _Watched(replace(OURS, logs=None))
    for seconds in range(0, 1000, 5):
        on_cluster.at(seconds, num_workers=int(100 < seconds < 700))
    assert [line.split(":")[0] for line in on_cluster.said] == [
        "waiting for workers, 60 s",
        *[f"waiting for workers, {when}" for when in ("60 s", "2 min", "3 min", "4 min", "5 min")],
    ]
    assert on_cluster.watch.why is None, "there it is for others to say how long that may take"
    on_cluster.wanted = False
    on_cluster.at(5000)
    assert len(on_cluster.said) == 6


def test_ray_is_lost_when_its_raylet_has_ended_or_its_head_does_not_answer_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_work, gone = _Watched(OURS), _Watched(OURS)
    for seconds in range(0, 1000, 5):
        at_work.now = seconds
        at_work.watch.listen(raylet=True, head=not 100 < seconds < 120)
    assert at_work.watch.why is None
    at_work.watch.listen(raylet=False, head=True)
    assert "the raylet, has ended" in str(at_work.watch.why)
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "40")
    for gone.now in range(0, 20, 5):
        assert gone.watch.lost is None
        gone.watch.listen(raylet=True, head=False)
    assert gone.watch.lost == 15
    assert str(gone.watch.why).startswith("Ray is lost: its head does not answer; what was finished is kept")


def test_what_answers_is_a_process_that_listens(tmp_path: Path) -> None:
    addresses: tuple[Any, ...] = (str(tmp_path / "socket"), ("127.0.0.1", 0))
    for family, address in zip((socket.AF_UNIX, socket.AF_INET), addresses, strict=True):
        with socket.socket(family) as listening:
            listening.bind(address)
            listening.listen()
            name = listening.getsockname()
            where = name if isinstance(name, str) else f"{name[0]}:{name[1]}"
            assert answers(where)
        assert not answers(where), "it has ended"
    assert not answers(str(tmp_path / "nothing"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        said = answers(str(tmp_path / "nothing")), answers("127.0.0.1:1")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert said == (True, True), "no file can be opened, which is not Ray's fault"


def test_ray_of_our_own_whose_workers_crash_ends_the_run_within_two_minutes(tmp_path: Path) -> None:
    (tmp_path / "raylet.out").write_text(
        "workers have not registered. The process is dead, probably it crashed during start."
    )
    ours = _Watched(replace(OURS, logs=tmp_path))
    for seconds in range(0, OWN_SECONDS + 1, 5):
        ours.at(seconds)
    assert str(ours.watch.why) == "Ray starts no worker on this machine: no room"
    assert len(ours.said) == OWN_SECONDS // SAY_SECONDS
    assert OWN_SECONDS <= 120


def test_worker_that_may_only_be_slow_is_waited_for_ten_minutes() -> None:
    slow = _Watched(OURS)
    for seconds in range(0, MOST_SECONDS, 5):
        slow.at(seconds)
    assert slow.watch.why is None
    assert len(slow.said) == 9
    slow.at(MOST_SECONDS)
    assert slow.watch.why is not None


def test_launches_that_failed_are_told_by_kind_with_the_mend() -> None:
    def failed(kind: str, details: str | None, count: int) -> LaunchRequest:
        return LaunchRequest("g5.xlarge", kind, count, LaunchRequest.Status.FAILED, 1, 2, details)

    launches = [failed("gpu_spot", "InsufficientInstanceCapacity", 4)] * 3 + [failed("other", None, 1)]
    expected = "gpu_spot: InsufficientInstanceCapacity, 12 times: set its max_workers to 0 and `ray up` again"
    assert refused(launches) == expected


def test_reason_is_what_ray_s_processes_wrote_last(tmp_path: Path) -> None:
    assert logged(tmp_path) == "Ray's logs say nothing of it"
    (tmp_path / "raylet.out").write_text("[2026 E 1] late\n[2026 E 1] workers have not registered\n[2026 I 1] fine\n")
    assert logged(tmp_path) == "[2026 E 1] workers have not registered (raylet.out)"
    (tmp_path / "worker-1.err").write_text("Traceback\nModuleNotFoundError: No module named 'ray'\n")
    (tmp_path / "worker-2.err").write_text("")
    assert logged(tmp_path) == "ModuleNotFoundError: No module named 'ray' (worker-1.err)"
    aside = "Exception in thread PlacementGroupCleanerMonitor:\nConnectionError: Found multiple active Ray instances"
    (tmp_path / "worker-2.err").write_text(aside)
    assert logged(tmp_path) == "ModuleNotFoundError: No module named 'ray' (worker-1.err)"
    (tmp_path / "raylet.err").write_text("bash: line 1: my: No such file or directory\n[2026 E 1] not registered\n")
    assert logged(tmp_path) == "bash: line 1: my: No such file or directory (raylet.err)"
