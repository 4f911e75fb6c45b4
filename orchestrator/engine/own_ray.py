"""A Ray of our own: on the cores and in the memory that this process may use, private, and gone at the end."""

import contextlib
import fcntl
import gc
import logging
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

from orchestrator.engine import allowance, mps
from orchestrator.engine.machine import this_machine
from orchestrator.engine.settings import UserError
from orchestrator.engine.shown import in_a_line

PREFIX = "fm-ray-"
RAYS = "r"
"""Ray's folder in the private one: Ray opens its own to everybody."""
MPS = "m"
"""There, the folder of the service for GPUs."""
MOST_BYTES = 21
"""Of where the private folder lies: a socket's whole path may have 107 bytes, on macOS 103, and Ray adds 64."""
ATTEMPTS = 3
"""Ray gives its own processes 15 seconds to start, on a busy machine too little (ray-project/ray#65983)."""
_OBJECT_STORE_SHARE, _LEAST_OBJECT_STORE = 0.3, 2**28
_SECONDS_TO_BEGIN = 60
_IN_THE_WAY = ("RAY_AUTH_TOKEN", "RAY_JOB_CONFIG_JSON", "RAY_OVERRIDE_RESOURCES")
"""Variables that speak of another Ray, or would have this one count other cores than there are."""


@contextlib.contextmanager
def own_ray(
    log_file: Path, niceness: int, say: Callable[[str], None], *, use_mps: bool = True, **arguments: Any
) -> Iterator[Path]:
    """Start Ray until the context is left, in a folder that has all of it; where its dashboard is, is said later.

    Only this user enters that folder; the file `token` in it has what the dashboard asks for. It is removed at the
    end, and what Ray's processes have logged is kept beside the log file. Trainings stand back behind what else runs
    here as `niceness` says; those that share a GPU use it at once, as far as `mps` goes. UserError where Ray does not
    start.
    """
    with _private_folder() as folder, contextlib.ExitStack() as stack:
        shared = stack.enter_context(mps.served(folder / MPS)) if use_mps else {}
        # Also for what Ray's processes leave in the place for temporary files.
        of_token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "token"), "TMPDIR": str(folder)}
        stack.enter_context(_environment(**of_token, **shared))
        from ray._private import ray_constants

        # Ports on the loopback address only, as anyway on Windows and macOS.
        os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
        ray_constants.ENABLE_RAY_CLUSTER = False
        reread_authentication()
        # This process only waits while Ray's start.
        threading.Thread(target=import_module, args=("ray.tune",), name="imports", daemon=True).start()
        stack.callback(_keep_logs, folder, log_file.parent / "logs")
        dashboard = _Dashboard(lambda url: say(f"Ray: dashboard http://{url} (its token: cat {folder}/token)"))
        stack.callback(dashboard.leave)
        stack.callback(leave)
        stack.callback(dashboard.wait)
        with (
            signals_kept(),
            dashboard.beside(),
            _node_parameters(include_log_monitor=False, dashboard_agent_listen_port=0),
        ):
            _start(folder, log_file, niceness, dashboard.wait, **arguments)
        yield folder


class _Dashboard:
    """Ray's dashboard, started beside all that follows: `ray.init` would wait for it, for some seconds."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell, self._over, self._known = tell, threading.Event(), threading.Event()
        self._known.set()

    @contextlib.contextmanager
    def beside(self) -> Iterator[None]:
        """While the context lasts, Ray starts its dashboard so."""
        from ray._private.node import Node

        start = Node.start_api_server

        def in_a_thread(node: Any, **arguments: Any) -> None:
            self._known.clear()
            threading.Thread(target=self._run, args=(start, node, arguments), name="dashboard", daemon=True).start()

        with _replaced(Node, "start_api_server", in_a_thread):
            yield

    def wait(self) -> None:
        """Until it has started, or has not: it must not look for a Ray that is gone."""
        self._known.wait()

    def leave(self) -> None:
        """Let its thread go, and the dashboard with it: so Ray asks the kernel."""
        self._over.set()

    def _run(self, start: Callable[..., None], node: Any, arguments: dict[str, Any]) -> None:
        try:
            start(node, **arguments)
            self._tell(node.webui_url)
        except Exception:  # whatever it is: all else goes on without a dashboard
            logging.getLogger("ray").exception("the dashboard does not start")
        finally:
            self._known.set()
        self._over.wait()


@contextlib.contextmanager
def _node_parameters(**parameters: Any) -> Iterator[None]:
    """While the context lasts, Ray starts a node with these parameters, for which `ray.init` has no arguments."""
    from ray._private.node import Node

    start = Node.start_ray_processes

    def with_these(node: Any) -> None:
        vars(node._ray_params).update(parameters)
        start(node)

    with _replaced(Node, "start_ray_processes", with_these):
        yield


@contextlib.contextmanager
def signals_kept() -> Iterator[None]:
    """SIGTERM means what it did before, but for the moments in which Ray's C++ has set a handler.

    Ray's own handlers end the process without a word.
    """
    from ray._private import utils

    before = signal.getsignal(signal.SIGTERM)
    try:
        with _replaced(utils, "set_sigterm_handler", lambda handler: None):
            yield
    finally:
        with contextlib.suppress(ValueError):  # a thread other than the main one has no signals to see to
            signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _replaced(owner: Any, name: str, by: Callable[..., None]) -> Iterator[None]:
    """A function or method that is another while the context lasts."""
    kept = getattr(owner, name)
    setattr(owner, name, by)
    try:
        yield
    finally:
        setattr(owner, name, kept)


def _start(folder: Path, log_file: Path, niceness: int, settle: Callable[[], None], **arguments: Any) -> None:
    import ray

    cores = int(this_machine().cpus)
    store = int(max(_LEAST_OBJECT_STORE, _OBJECT_STORE_SHARE * allowance.memory_bytes()))
    for attempt in range(ATTEMPTS):
        try:
            ray.init(
                address="local",
                include_dashboard=True,
                num_cpus=cores,
                num_gpus=0 if os.environ.get("CUDA_VISIBLE_DEVICES") == "-1" else None,
                object_store_memory=store if allowance.memory_bytes() < _physical_bytes() else None,
                _temp_dir=str(folder / RAYS),
                # Of no use to trainings, which have an environment; and where they are late this call never returns.
                _system_config={"prestart_worker_first_driver": False, "worker_niceness": niceness},
                **arguments,
            )
            return
        except Exception as error:  # whatever it is, Ray raises the bare class where a process of its own is late
            settle()
            leave()
            if attempt == ATTEMPTS - 1:
                raise UserError(
                    f"Ray does not start on this machine: {in_a_line(error)}; see {log_file.parent}"
                ) from error


def leave() -> None:
    """Disconnect from Ray, whose own processes end where this one started them.

    Meanwhile no thread collects garbage: where one lets go of a reference to an object of Ray's just after Ray has
    forgotten its own part of it, Ray ends the whole process, with status 1.
    """
    import ray

    gc.collect()
    collects = gc.isenabled()
    gc.disable()
    try:
        ray.shutdown(wait_for_processes=True)
    finally:
        if collects:
            gc.enable()


def reread_authentication() -> None:
    """Have Ray look again at what the environment says of tokens: it does so by itself only when it is imported.

    It is not imported here: where Ctrl-C has cut its import short, that would fail.
    """
    if raylet := sys.modules.get("ray._raylet"):
        raylet.Config.initialize("")
        raylet.AuthenticationTokenLoader.instance().reset_cache()


def _physical_bytes() -> float:
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Variables for Ray's processes, without those in the way, until the context is left."""
    names = (*variables, *_IN_THE_WAY)
    before = {name: os.environ.pop(name, None) for name in names}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        reread_authentication()


@contextlib.contextmanager
def _private_folder() -> Iterator[Path]:
    """A folder with a new token in it that no other user enters, removed at the end; so are those of killed runs."""
    folder, token = _made()
    with token:
        try:
            _remove_left(folder.parent)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _made() -> tuple[Path, TextIO]:
    """The folder, and its token, which is locked: so it says that this process lives, also to other containers."""
    for place in (os.environ.get("RAY_TMPDIR"), _default_place(), "/tmp", "/var/tmp", "/dev/shm"):
        if place and len(os.fsencode(place)) <= MOST_BYTES and re.fullmatch(r"/[\w./-]*", place):
            with contextlib.suppress(OSError), contextlib.ExitStack() as undone:
                folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
                undone.callback(shutil.rmtree, folder, ignore_errors=True)
                handle = os.open(folder / "token", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
                token = undone.enter_context(os.fdopen(handle, "w"))
                fcntl.flock(token, fcntl.LOCK_EX)
                token.write(secrets.token_hex(32))
                token.flush()
                undone.pop_all()
                return folder, token
    raise UserError(
        "there is no folder with a short name and room for temporary files: set RAY_TMPDIR to one, /tmp say"
    )


def _default_place() -> str | None:
    with contextlib.suppress(OSError):
        return tempfile.gettempdir()
    return None


def _remove_left(place: Path) -> None:
    for folder in place.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), (folder / "token").open() as token:
            if time.time() - os.fstat(token.fileno()).st_mtime > _SECONDS_TO_BEGIN:
                fcntl.flock(token, fcntl.LOCK_EX | fcntl.LOCK_NB)
                mps.end(folder / MPS)
                shutil.rmtree(folder, ignore_errors=True)


def _keep_logs(folder: Path, kept: Path) -> None:
    """What Ray's processes wrote last, in place of what those of the run before did."""
    shutil.rmtree(kept, ignore_errors=True)
    with contextlib.suppress(OSError):  # of a full disk say, which must not hide the reason why the run ends
        kept.mkdir()
        for file in folder.glob(f"{RAYS}/session_2*/logs/*"):
            if file.is_file() and file.stat().st_size:
                shutil.copyfile(file, kept / file.name)
