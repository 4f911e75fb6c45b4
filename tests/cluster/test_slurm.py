"""The script for Slurm in docs/cluster.md: what it starts on nodes. Other programs take Slurm's and Ray's place."""

import os
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from ray.scripts.scripts import start
from ray.scripts.symmetric_run import curate_and_validate_ray_start_args

from tests.cluster.hosts import network, skip_where_not_permitted
from tests.command import REPOSITORY

PROGRAMS = {
    "hostname": """#!/bin/sh
test "$1" = -I && echo "10.77.0.1 172.17.0.1 fd00::1 " || echo 127.0.1.1
""",
    "srun": """#!/bin/sh
echo "$1"
shift
exec "$@"
""",
    "ray": """#!/bin/sh
printf '%s\\n' "$@"
""",
}


def script() -> str:
    guide = (REPOSITORY / "docs" / "cluster.md").read_text()
    return textwrap.dedent(guide.partition("    #!/bin/bash\n")[2].partition("\n\n")[0])


def started(folder: Path, **slurm: str) -> list[str]:
    """The option of srun, then the words of the command that it starts on each node."""
    folder.mkdir(exist_ok=True)
    for name, program in PROGRAMS.items():
        (folder / name).write_text(program)
        (folder / name).chmod(0o755)
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "activate").touch()
    environment = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        **{f"SLURM_{name}": value for name, value in slurm.items()},
    }
    command = ["bash", "-eu", "-c", script()]
    return subprocess.run(
        command, cwd=folder, env=environment, check=True, capture_output=True, text=True, timeout=20
    ).stdout.splitlines()


@pytest.mark.parametrize(("gpus", "expected"), [({"GPUS_ON_NODE": "2"}, "2"), ({}, "0")])
def test_ray_gets_what_slurm_gave_and_no_more(gpus: dict[str, str], expected: str, tmp_path: Path) -> None:
    option, program, *words = started(tmp_path, CPUS_ON_NODE="8", NNODES="4", **gpus)
    assert (option, program) == ("--cpus-per-task=8", "symmetric-run")
    command = words.index("--")
    options = dict(zip(words[:command:2], words[1:command:2], strict=True))
    # Not the address in /etc/hosts: no node of Debian's has 127.0.1.1 on an interface, so none would be the head.
    assert options == {"--address": "10.77.0.1:6379", "--min-nodes": "4", "--num-cpus": "8", "--num-gpus": expected}
    assert words[command + 1 : command + 5] == ["python", "-m", "orchestrator.run", "all"]

    known = {name for parameter in start.params for name in parameter.opts}
    assert {word for word in curate_and_validate_ray_start_args(words[:command]) if word.startswith("-")} <= known


def test_two_nodes_become_one_ray_with_the_cores_that_slurm_gave(tmp_path: Path) -> None:
    skip_where_not_permitted()
    _, *words = started(tmp_path / "login", CPUS_ON_NODE="8", NNODES="2")
    look = "import ray; ray.init('auto'); print(f'{len(ray.nodes())} nodes', ray.cluster_resources()['CPU'], 'cores')"
    line = shlex.join(["ray", *words[: words.index("--")], "--", "python", "-c", look])
    line = f"export PATH={sys.prefix}/bin:$PATH RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300; {line}"
    with network(tmp_path / "network", "node1", "node2") as (first, second):
        other = subprocess.Popen(second.command(line), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert "2 nodes 16.0 cores" in first.run(line, timeout=200)
    other.wait(timeout=20)
