"""What keeps a node from doing its part is said in a line, with the mend."""

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.engine.doctor import Node, complaints, look, warnings
from orchestrator.engine.provenance import versions
from orchestrator.engine.results import Run
from tests.command import orchestrate

WELL = Node(
    "here", {"python": "3.12.1", "ray": "2.60.0", "torch": "2.15.0", "code": "none"}, 0, None, None, 8.0, None
)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"versions": WELL.versions | {"ray": "2.59.0"}}, "there has ray 2.59.0, the driver 2.60.0: install"),
        (
            {"versions": {"python": "3.12.1", "ray": "2.60.0", "code": "none"}},
            "there has torch not installed, the driver 2.15.0",
        ),
        ({"versions": WELL.versions | {"code": "0ld"}}, "there has code 0ld, the driver none: install this checkout"),
        ({"unusable": "Found no NVIDIA driver"}, "there: torch cannot use its GPU (Found no NVIDIA driver): update"),
        ({"storage": "does not see the run folder"}, "there does not see the run folder (--runs-dir)"),
    ],
)
def test_node_that_cannot_do_its_part_is_named_with_the_mend(change: dict[str, object], said: str) -> None:
    assert list(complaints([WELL, replace(WELL, host="other")])) == []
    (line,) = complaints([WELL, replace(WELL, host="there", **change)])
    assert said in line


def test_little_shared_memory_is_a_warning_since_all_is_done_without() -> None:
    little = replace(WELL, host="there", shared_gigabytes=0.064)
    assert list(complaints([WELL, little])) == []
    (line,) = warnings([WELL, little])
    assert "there has 0.1 GB of shared memory left, 0.5 are advised: start its container with --shm-size" in line


def test_gpu_that_torch_cannot_use_is_told_by_the_node_that_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Run(tmp_path).write("probe/driver", b"")
    assert look(str(tmp_path), "probe", 1).unusable is None, "all of it is in use"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "99")  # as Ray sets it where it counts GPUs
    node = look(str(tmp_path), "probe", 1)
    assert node.device is None
    assert node.unusable
    assert "\n" not in node.unusable


def test_node_that_does_not_see_the_drivers_folder_says_so(tmp_path: Path) -> None:
    Run(tmp_path / "mine").write("probe/driver", b"")
    assert look(str(tmp_path / "mine"), "probe", 0).storage is None
    assert "does not see the run folder" in (look(str(tmp_path / "elsewhere"), "probe", 0).storage or "")
    (tmp_path / "file").write_text("in the way")
    assert look(str(tmp_path / "file"), "probe", 0).storage is not None


def test_doctor_tells_versions_storage_and_rounds_and_leaves_nothing_but_ray_s_logs(tmp_path: Path) -> None:
    arguments = ("--preset", "paper", "--address", "local", "--resources.slots", "4", "--runs-dir", tmp_path)
    done = orchestrate("doctor", *arguments)
    assert done.status == 0, done.err
    assert "every node reads and writes it" in done.out
    here = versions(("ray", "torch"))
    rows = [line.split() for line in done.out.splitlines()]
    assert [here[name] for name in ("python", "ray", "torch")] in [row[1:4] for row in rows]
    assert {path.name for path in (tmp_path / "paper").iterdir()} == {"ray"}
    assert ["kfold", "42", "4", "at", "once:", "11", "rounds"] in rows
