"""cluster.yaml is valid; what `ray up` asks of EC2 and types on the head. EC2 is moto's, ssh and rsync take notes."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import boto3
import botocore.client
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
PROFILES = ("fashion-mnist-ray-head", "fashion-mnist-ray-worker")
GUIDE = (REPOSITORY / "docs" / "cluster.md").read_text()


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


@pytest.mark.parametrize("name", FILES)
def test_ray_up_reads_two_files_and_the_token_and_nothing_else(name: str) -> None:
    # It hashes all of what is mounted, also what is excluded: .venv, runs, .git.
    assert sorted(read(name)["file_mounts"].values()) == ["constraints.txt", "pyproject.toml", "~/.ray/auth_token"]


@pytest.mark.parametrize("name", FILES)
def test_setup_commands_find_all_that_is_pinned(name: str, tmp_path: Path) -> None:
    for file in ("pyproject.toml", "constraints.txt"):
        (tmp_path / file).write_text((REPOSITORY / file).read_text())
    (tmp_path / ".venv").symlink_to(sys.prefix)
    config = read(name)
    lines = config["setup_commands"] + config["head_setup_commands"]
    installed = [line for line in lines if "uv pip install" in line]
    assert installed
    for line in installed:
        line = re.sub(r"(/home/ray|~)/fashion-mnist[-a-z]*", str(tmp_path), line)
        line = line.replace("uv pip install --quiet", "uv pip install --dry-run --offline")
        environment = os.environ | {"PATH": f"{sys.prefix}/bin:{os.environ['PATH']}"}
        done = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True, timeout=60)
        assert "Would make no changes" in done.stderr, done.stderr


def test_images_have_the_ray_that_is_tested() -> None:
    (version,) = [
        line.removeprefix("ray==")
        for line in (REPOSITORY / "constraints.txt").read_text().split()
        if line.startswith("ray==")
    ]
    docker = read("cluster.yaml")["docker"]
    assert docker["image"] == f"rayproject/ray:{version}-py311-cpu"
    assert f"\nFROM {docker['image']}\n" in (REPOSITORY / "Dockerfile").read_text()


def test_image_is_made_of_what_is_there_and_of_no_more() -> None:
    copied = re.findall(r"^COPY (.+) \S+$", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
    sources = [source for line in copied for source in line.split()]
    assert all((REPOSITORY / source).exists() for source in sources)
    ignored = [line for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert ignored[0] == "*"
    assert [line.removeprefix("!") for line in ignored if line.startswith("!")] == sources


def test_containers_have_the_gpus_where_there_are_some() -> None:
    from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig

    config = AutoscalingConfig(read("cluster.yaml"), skip_content_hash=True)
    for kind, described in read("cluster.yaml")["available_node_types"].items():
        options = config.get_docker_config(kind).get("worker_run_options", [])
        assert ("--gpus all" in options) == ("GPU" in described["resources"]), kind


def policy(who: str) -> list[dict[str, Any]]:
    """Statements of a policy as the guide has it."""
    (text,) = re.findall(rf"^`{who}\.json`:\n\n((?:    .+\n)+)", GUIDE, re.MULTILINE)
    statements: list[dict[str, Any]] = json.loads(text)["Statement"]
    return statements


def allows(statements: list[dict[str, Any]], action: str) -> bool:
    named = [
        name
        for each in statements
        for name in ([each["Action"]] if isinstance(each["Action"], str) else each["Action"])
    ]
    return any(fnmatchcase(action, name) for name in named)


def test_workers_may_use_the_bucket_and_nothing_else() -> None:
    actions = [action for statement in policy("worker") for action in statement["Action"]]
    assert {action.partition(":")[0] for action in actions} == {"s3"}
    assert policy("head")[:1] == policy("worker")


def test_rule_for_unfinished_uploads_is_one_that_a_bucket_takes(bucket: str) -> None:
    (rule,) = re.findall(r"--lifecycle-configuration '([^']+)'", GUIDE)
    s3, name = boto3.client("s3"), bucket.split("/")[2]
    s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration=json.loads(rule))
    (taken,) = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert taken["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}


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


def test_ray_up_asks_for_a_head_its_autoscaler_for_spot_workers_and_ray_down_ends_them(
    aws: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    iam = boto3.client("iam")
    profile, workers_profile = (
        iam.create_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Arn"] for name in PROFILES
    )
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
    shutdown = boto3.client("ec2").describe_instance_attribute(
        InstanceId=head["InstanceId"], Attribute="instanceInitiatedShutdownBehavior"
    )
    assert shutdown["InstanceInitiatedShutdownBehavior"] == {"Value": "terminate"}

    typed = (aws / "ssh").read_text()
    order = [
        "shutdown -h +1440",
        "docker info",
        "docker.sock",
        "docker pull rayproject/ray",
        "docker run",
        "pip install",
        "ray start --head",
    ]
    assert [typed.index(what) for what in order] == sorted(typed.index(what) for what in order)
    assert "3.0.0.dev0" not in typed
    assert "secret" not in typed
    assert "RAY_AUTH_MODE=token" in typed
    assert " ./ " not in (aws / "rsync").read_text()

    bootstrap = yaml.safe_load((aws / "bootstrap.yaml").read_text())
    assert list(bootstrap["available_node_types"]) == list(read("cluster.yaml")["available_node_types"])
    asked = calls(monkeypatch)
    spot = bootstrap["available_node_types"]["gpu_spot"]["node_config"]["InstanceMarketOptions"]
    assert spot["MarketType"] == "spot"  # moto takes every market for it
    for kind, lifecycle in (("gpu_spot", "spot"), ("gpu_on_demand", None)):
        (worker,) = started_by_the_head(bootstrap, kind)
        assert worker["InstanceType"] == "g5.xlarge"
        assert worker.get("InstanceLifecycle") == lifecycle
        assert worker["IamInstanceProfile"]["Arn"] == workers_profile
        assert tags(worker)["project"] == "fashion-mnist"
        assert worker["KeyName"] == head["KeyName"]

    assert "ec2:RunInstances" in asked
    assert [action for action in asked if not allows(policy("head"), action)] == []

    # What it does on the machines goes to our note-taker; should it do something here, then out of harm's way.
    contained = ["unshare", "--pid", "--fork", "--mount-proc"] if os.getuid() == 0 else []
    ray([*contained, "ray", "down", "--yes", "cluster.yaml"])
    assert {instance["State"]["Name"] for instance in instances()} == {"terminated"}


def calls(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What this process asks of AWS from now on, as policies name it."""
    asked = set()
    call = botocore.client.BaseClient._make_api_call

    def noted(client: Any, operation: str, parameters: Any) -> Any:
        asked.add(f"{client.meta.service_model.service_name}:{operation}")
        return call(client, operation, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", noted)
    return asked


def started_by_the_head(bootstrap: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Instances that the autoscaler's node provider starts when it wants one worker of a kind."""
    from ray.autoscaler._private.providers import _get_node_provider

    before = {instance["InstanceId"] for instance in instances()}
    provider = _get_node_provider(bootstrap["provider"], bootstrap["cluster_name"])
    wanted = {"ray-node-type": "worker", "ray-user-node-type": kind}
    provider.create_node(bootstrap["available_node_types"][kind]["node_config"], wanted, 1)
    return [instance for instance in instances() if instance["InstanceId"] not in before]
