"""Hosts of a small network that are namespaces of this machine: own network, processes, home and temporary folder.

Nothing reaches the world from there, and whatever runs there ends with its host.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.command import REPOSITORY
from trainables.fashion_mnist import user_cache_dir

HOME = Path.home()
SHARED = "/mnt"
"""Folder that all hosts see, as a file server's would be."""
NAMESPACES = ("--net", "--pid", "--mount", "--uts")


@dataclass(frozen=True)
class Host:
    """A host; its home and temporary folder lie in `folder`."""

    name: str
    address: str
    folder: Path
    pid: int
    """Of its first process, as it is known here."""

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def command(self, line: str, *, only: tuple[str, ...] = NAMESPACES) -> list[str]:
        """What runs a line of bash there."""
        return ["nsenter", f"--target={self.pid}", *only, "bash", "-c", line]

    def run(self, line: str, *, timeout: float = 60) -> str:
        """Run a line of bash there, in the checkout if that is seen there; its output. Fails where the line does."""
        line = f"cd {REPOSITORY} 2>/dev/null || cd; source ~/.bashrc; {line}"
        done = subprocess.run(
            self.command(line), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout
        )
        assert done.returncode == 0, f"{self.name}: {line}\nexit status {done.returncode}\n{done.stdout}"
        return done.stdout

    def processes(self) -> list[str]:
        """Command lines of what runs there, but for the first process and what lists them."""
        lines = self.run("ps --no-headers -ww -eo pid,args").splitlines()
        return [line for line in lines if line.split()[0] != "1" and "ps --no-headers -ww" not in line]


def skip_where_not_permitted() -> None:
    """Skip the test, with the reason, where there can be no such hosts."""
    for program in ("ip", "nsenter", "rsync", "setpriv", "ssh", "unshare", "/usr/sbin/sshd"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed (Debian: iproute2 openssh-server rsync util-linux)")
    if os.getuid() != 0:
        pytest.skip("hosts that are namespaces need root")
    probe = subprocess.run(["unshare", *NAMESPACES, "--fork", "--mount-proc", "true"], capture_output=True, text=True)
    if probe.returncode:
        pytest.skip(f"namespaces are not permitted here: {probe.stderr.strip()}")


@contextlib.contextmanager
def network(folder: Path, *names: str) -> Iterator[list[Host]]:
    """Hosts that reach each other by ssh with one key; the first sees this checkout, the others its packages only."""
    (folder / "shared").mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        hosts = [stack.enter_context(_host(folder, number, name)) for number, name in enumerate(names, 1)]
        first = hosts[0].command("", only=("--net",))[:-3]
        _call([*first, "ip", "link", "add", "bridge", "type", "bridge"])
        _call([*first, "ip", "link", "set", "bridge", "up"])
        for host in hosts:
            own = host.command("", only=("--net",))[:-3]
            _call([*first, "ip", "link", "add", host.name, "type", "veth", "peer", "eth0", "netns", str(host.pid)])
            _call([*first, "ip", "link", "set", host.name, "master", "bridge", "up"])
            _call([*own, "ip", "address", "add", f"{host.address}/24", "dev", "eth0"])
            _call([*own, "ip", "link", "set", "eth0", "up"])
            # Leads nowhere; without one Ray takes its own address for 127.0.0.1.
            _call([*own, "ip", "route", "add", "default", "via", "10.77.0.254"])
        yield hosts


def _call(command: list[str]) -> None:
    subprocess.run(command, check=True, timeout=30)


@contextlib.contextmanager
def _host(folder: Path, number: int, name: str) -> Iterator[Host]:
    own = folder / name
    home = own / "home"
    (home / ".ssh").mkdir(parents=True)
    (own / "tmp").mkdir()
    key = folder / "id_ed25519"
    if not key.exists():
        _call(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)])
    shutil.copy(key, home / ".ssh")
    shutil.copy(f"{key}.pub", home / ".ssh" / "authorized_keys")
    _call(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / "host_key")])
    (home / "sshd_config").write_text(
        f"HostKey {HOME}/host_key\nAuthorizedKeysFile {HOME}/.ssh/authorized_keys\nStrictModes no\nUsePAM no\n"
        "UseDNS no\nPidFile none\nMaxStartups 100\n"
    )
    (home / ".bashrc").touch()
    (own / "hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {name}\n")  # as Debian's installer has it
    seen = [Path(sys.base_prefix), user_cache_dir(), REPOSITORY if number == 1 else Path(sys.prefix)]
    installed = home / "fashion-mnist-orchestrator" / ".venv"  # where `ray up cluster-local.yaml` would make it
    script = "\n".join(
        [
            "set -e",
            "mount --make-rprivate /",
            "ip link set lo up",
            f"hostname {name}",
            "mount -t tmpfs tmpfs /dev/shm",
            "mount -t tmpfs tmpfs /run",
            "mkdir /run/sshd",
            f"mount --bind {folder}/shared {SHARED}",
            f"mount --bind {own}/hosts /etc/hosts",
            *(line for path in seen if path.exists() for line in _keep(path, own)),
            *(_bind(Path(sys.prefix), installed) if number > 1 else []),
            f"mount --rbind {home} {HOME}",
            f"cd {HOME}",
            f"mount --rbind {own}/tmp /tmp",
            f"/usr/sbin/sshd -f {HOME}/sshd_config -E {HOME}/sshd.log",
            f"touch {HOME}/ready",
            "while true; do sleep 1000; done",  # bash, as the first process, reaps what is left to it
        ]
    )
    # Dies with this process, and all that runs on the host with it.
    unshare = ["setpriv", "--pdeathsig", "KILL", "unshare", *NAMESPACES, "--fork", "--kill-child", "--mount-proc"]
    environment = {"HOME": str(HOME), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    with (own / "log").open("w") as log:
        process = subprocess.Popen(
            [*unshare, "bash", "-c", script], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
        )
    try:
        while not (home / "ready").exists():
            assert process.poll() is None, (own / "log").read_text()
            time.sleep(0.05)
        (pid,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield Host(name, f"10.77.0.{number}", own, int(pid))
    finally:
        process.kill()
        process.wait()


def _keep(path: Path, own: Path) -> list[str]:
    """Lines that let a path be seen although the home or temporary folder above it is replaced."""
    for root, replacement in ((HOME, own / "home"), (Path("/tmp"), own / "tmp")):
        if path.is_relative_to(root):
            return _bind(path, replacement / path.relative_to(root))
    return []


def _bind(path: Path, target: Path) -> list[str]:
    """Lines that let a path be seen at another place, where nobody can write to it."""
    return [f"mkdir -p {target}", f"mount --bind {path} {target}", f"mount -o remount,bind,ro {target}"]
