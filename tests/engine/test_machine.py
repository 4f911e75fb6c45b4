"""How many trainings machines have room for: whole ones on each device, never more than fit."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.engine import cluster
from orchestrator.engine.cluster import Cluster
from orchestrator.engine.machine import Machine, scratch, share_for, slots_for
from orchestrator.engine.settings import Resources


@pytest.mark.parametrize(
    ("machines", "told", "slots", "share"),
    [
        ([(2, 0)], {}, 2, (1, 0)),
        ([(1.5, 0)], {}, 1, (1, 0)),
        ([(1.5, 0), (1.5, 0)], {}, 2, (1, 0)),
        ([(0.5, 0)], {}, 1, (0.5, 0)),
        ([(2, 0)], {"slots": 5}, 5, (0.4, 0)),
        ([(4, 0), (2, 0)], {"slots": 8}, 8, (2 / 3, 0)),
        ([(3, 0)], {"slots": 1}, 1, (1, 0)),
        ([(1, 0)], {"slots": 6}, 6, (1 / 6, 0)),
        ([(1, 0)], {"slots": 93}, 93, (1 / 93, 0)),  # as floats, 1 / (1 / 93) is less than 93
        ([], {}, 1, (1, 0)),
        ([(8, 1)], {"gpus_per_training": 0.2}, 5, (1, 0.2)),
        ([(10, 1)], {"gpus_per_training": 0.1}, 10, (1, 0.1)),
        ([(16, 4)], {"gpus_per_training": 0.3}, 12, (1, 1 / 3)),
        ([(4, 1)], {}, 4, (1, 0.25)),
        ([(64, 2)], {}, 16, (1, 1 / 8)),
        ([(4, 1)], {"gpus_per_training": 0.125}, 8, (0.5, 0.125)),
        ([(8, 0), (4, 1), (4, 1)], {}, 8, (1, 0.25)),
        ([(8, 0), (4, 1), (2, 1)], {"gpus_per_training": 0.25}, 8, (0.5, 0.25)),
        ([(8, 2)], {"slots": 3}, 3, (1, 0.25)),
        ([(8, 2)], {"slots": 3, "gpus_per_training": 1}, 3, (1, 0.5)),
    ],
)
def test_so_many_trainings_run_at_once_each_with_this_share(
    machines: list[tuple[float, float]], told: dict[str, Any], slots: int, share: tuple[float, float]
) -> None:
    have, resources = [Machine(*machine) for machine in machines], Resources(**told)
    assert slots_for(have, resources) == slots
    each = share_for(have, resources)
    assert (each.cpus, each.gpus) == pytest.approx(share, abs=1e-4)
    room = sum(machine.room_for(each) for machine in have)
    assert room >= slots or not machines, "as many as are said to run do fit"
    for machine in have:  # as Ray counts, in ten thousandths
        on_each_gpu = machine.room_for(each) / max(1, machine.gpus)
        assert round(1e4 * each.cpus) * machine.room_for(each) <= 1e4 * machine.cpus
        assert round(1e4 * each.gpus) * on_each_gpu <= 1e4


def test_room_by_now_is_for_the_share_that_was_settled_at_the_start() -> None:
    share = Machine(1.0, 0.25)
    assert slots_for([Machine(16, 1), Machine(2, 1), Machine(8)], Resources(), share) == 4 + 2
    assert slots_for([Machine(8)], Resources(), share) == 1, "one waits for a node to come"


@pytest.mark.parametrize(
    ("machines", "told", "num_trainings", "room"),
    [
        ([(2, 0)], {}, 20, 1),
        ([(2, 0)], {}, 2, 1),
        ([(2, 0)], {}, 1, 2),
        ([(8, 0), (4, 0)], {}, 5, 2),
        ([(8, 0), (4, 0)], {"slots": 2}, 1, 2),
        ([(64, 2)], {}, 1, 2),  # sixteen trainings share the GPUs; workers of one do not
        ([(64, 8)], {}, 4, 2),
        ([(64, 8)], {}, 20, 1),
    ],
)
def test_trainings_have_several_workers_each_where_devices_outnumber_them(
    machines: list[tuple[float, float]],
    told: dict[str, Any],
    num_trainings: int,
    room: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = [Machine(*machine) for machine in machines]
    monkeypatch.setattr(cluster, "nodes", lambda: dict(enumerate(there)))
    resources = Resources(**told)
    share = share_for(there, resources)
    found = Cluster(slots_for(there, resources), share.cpus, share.gpus, None, resources, {"CPU": 0, "GPU": 0})
    assert found.room_in_each(num_trainings) == room


def test_what_is_only_for_now_lies_where_the_environment_says_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with scratch() as path:
        assert Path(path).parent == tmp_path
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("TMPDIR", str(tmp_path / "not-there"))
    with scratch() as path:
        assert Path(path).is_dir()
