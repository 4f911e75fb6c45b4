"""cluster.yaml is valid; what `ray up` asks of EC2 and types on the head. EC2 is moto's, ssh and rsync take notes."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto.server import ThreadedMotoServer

from tests.command import REPOSITORY

FILES = ("cluster.yaml", "cluster-local.yaml")
NOTES = {
    # Answers what `ray up` wants to read, and writes down what it was to do.
    "ssh": """#!/bin/sh
echo "$@" >> "$NOTES/ssh"
case "$*" in
    *.Config.Env*) echo '["HOME=/home/ray"]' ;;
    *"printenv HOME"*) echo /home/ray ;;
    *"command -v docker"*) echo docker ;;
esac
""",
    "rsync": """#!/bin/sh
echo "$@" >> "$NOTES/rsync"
for argument; do case "$argument" in */ray-bootstrap-*) cp "$argument" "$NOTES/bootstrap.yaml" ;; esac; done
""",
}
PROFILE = "fashion-mnist-ray"


def read(name: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((REPOSITORY / name).read_text())
    return config


@pytest.mark.parametrize("name", FILES)
def test_configuration_is_valid_and_leaves_no_command_to_rays_defaults(name: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = read(name)
    validate_config(prepare_config(config))
    commands = ("setup", "head_setup", "worker_setup", "initialization", "head_start_ray", "worker_start_ray")
    assert {f"{kind}_commands" for kind in commands} < config.keys()
    started = " ".join(config["head_start_ray_commands"])
    assert "--dashboard-host=127.0.0.1" in started
    assert all("auth_token" in mounted for mounted in config["file_mounts"] if mounted.endswith("token"))
    assert any(mounted.endswith("auth_token") for mounted in config["file_mounts"])


def test_image_has_the_ray_that_is_tested() -> None:
    (version,) = [
        line.removeprefix("ray==")
        for line in (REPOSITORY / "constraints.txt").read_text().split()
        if line.startswith("ray==")
    ]
    docker = read("cluster.yaml")["docker"]
    assert docker["image"] == f"rayproject/ray:{version}-py311-gpu"
    assert docker["head_image"] == f"rayproject/ray:{version}-py311-cpu"


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An AWS on this machine's loopback, a home with a token; the notes of what ssh and rsync were to do."""
    programs, home, notes = (tmp_path / name for name in ("bin", "home", "notes"))
    for folder in (programs, home / ".ray", home / ".ssh", notes):
        folder.mkdir(parents=True)
    (home / ".ray" / "auth_token").write_text("secret")
    for name, script in NOTES.items():
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    dead_end = "http://127.0.0.1:9"
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "HOME": str(home),
        "NOTES": str(notes),
        "TMPDIR": str(tmp_path),  # where Ray keeps note of what it found on AWS
        "PATH": f"{programs}:{Path(REPOSITORY, '.venv', 'bin')}:{os.environ['PATH']}",
        # What would leave this machine all the same goes nowhere.
        "HTTP_PROXY": dead_end,
        "HTTPS_PROXY": dead_end,
        "NO_PROXY": "127.0.0.1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    yield notes
    server.stop()


def instances() -> list[dict[str, Any]]:
    reservations = boto3.client("ec2").describe_instances()["Reservations"]
    return [dict(instance) for reservation in reservations for instance in reservation["Instances"]]


def ray(command: list[str]) -> None:
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def tags(instance: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in instance["Tags"]}


def test_ray_up_asks_for_a_head_its_autoscaler_for_spot_workers_and_ray_down_ends_them(aws: Path) -> None:
    iam = boto3.client("iam")
    profile = iam.create_instance_profile(InstanceProfileName=PROFILE)["InstanceProfile"]["Arn"]
    ray(["ray", "up", "--yes", "cluster.yaml"])

    (head,) = instances()
    assert head["InstanceType"] == "m6i.2xlarge"
    assert "InstanceLifecycle" not in head
    assert head["IamInstanceProfile"]["Arn"] == profile
    assert head["ImageId"].endswith("base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id")
    expected = {"ray-node-type": "head", "project": "fashion-mnist", "ray-cluster-name": "fashion-mnist"}
    assert expected.items() <= tags(head).items()
    (mapping,) = head["BlockDeviceMappings"]
    volume = boto3.client("ec2").describe_volumes(VolumeIds=[mapping["Ebs"]["VolumeId"]])["Volumes"][0]
    assert volume["Size"] == 150

    typed = (aws / "ssh").read_text()
    order = ["docker pull rayproject/ray", "docker run", "pip install", "ray start --head"]
    assert [typed.index(what) for what in order] == sorted(typed.index(what) for what in order)
    assert "3.0.0.dev0" not in typed
    assert "secret" not in typed
    assert "RAY_AUTH_MODE=token" in typed
    assert "--filter dir-merge,- .gitignore ./ " in (aws / "rsync").read_text()

    bootstrap = yaml.safe_load((aws / "bootstrap.yaml").read_text())
    spot = bootstrap["available_node_types"]["gpu_spot"]["node_config"]["InstanceMarketOptions"]
    assert spot["MarketType"] == "spot"  # moto takes every market for it
    for kind, lifecycle in (("gpu_spot", "spot"), ("gpu_on_demand", None)):
        (worker,) = started_by_the_head(bootstrap, kind)
        assert worker["InstanceType"] == "g5.xlarge"
        assert worker.get("InstanceLifecycle") == lifecycle
        assert worker["IamInstanceProfile"]["Arn"] == profile
        assert tags(worker)["project"] == "fashion-mnist"
        assert worker["KeyName"] == head["KeyName"]

    # What it does on the machines goes to our note-taker; should it do something here, then out of harm's way.
    contained = ["unshare", "--pid", "--fork", "--mount-proc"] if os.getuid() == 0 else []
    ray([*contained, "ray", "down", "--yes", "cluster.yaml"])
    assert {instance["State"]["Name"] for instance in instances()} == {"terminated"}


def started_by_the_head(bootstrap: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Instances that the autoscaler's node provider starts when it wants one worker of a kind."""
    from ray.autoscaler._private.providers import _get_node_provider

    before = {instance["InstanceId"] for instance in instances()}
    provider = _get_node_provider(bootstrap["provider"], bootstrap["cluster_name"])
    wanted = {"ray-node-type": "worker", "ray-user-node-type": kind}
    provider.create_node(bootstrap["available_node_types"][kind]["node_config"], wanted, 1)
    return [instance for instance in instances() if instance["InstanceId"] not in before]
