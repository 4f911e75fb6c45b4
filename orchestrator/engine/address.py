"""Where a running Ray is: the address that a person gave, or that Ray left on this machine."""

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator.engine.settings import UserError

PROBE_SECONDS = 5
_NO_PROXY = [("grpc.enable_http_proxy", 0)]
_CHECK_ALIVE = "/ray.rpc.NodeInfoGcsService/CheckAlive"


def has_token() -> bool:
    """Whether this account has a token that Ray finds."""
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return True
    with contextlib.suppress(OSError, RuntimeError):  # there may be no home
        return Path("~/.ray/auth_token").expanduser().exists()
    return False


def check_address(address: str) -> tuple[str, str]:
    """The address that was given, here or in RAY_ADDRESS, and how it was named; UserError where no Ray answers there.

    auto and local are not asked.
    """
    named = f"--address {address}"
    if address == "auto" and os.environ.get("RAY_ADDRESS", "auto") not in {"", "auto"}:
        address = os.environ["RAY_ADDRESS"]
        named = f"RAY_ADDRESS={address}"
    if address not in {"auto", "local"} and not _answers(address, named):
        ask = "is the cluster up, and the port right? (--address local starts Ray on this machine)"
        raise UserError(f"{named}: no Ray answers there; {ask}")
    return address, named


def find(address: str, say: Callable[[str], None]) -> tuple[str, str]:
    """The address to give to Ray, once it is known to answer there, and how it was named."""
    address, named = check_address(address)
    if address != "auto":
        return address, named
    from ray._private.services import find_bootstrap_address

    started = find_bootstrap_address(None)
    if started and _answers(started, named):
        return started, f"{named} ({started})"
    if started:
        say(f"Ray: {started}, where `ray start` began one, does not answer (`ray stop` forgets it); starting our own")
    return "local", named


def _answers(address: str, named: str) -> bool:
    parts = urlsplit(address if "://" in address else f"//{address}")
    if parts.scheme == "ray":
        instead = "give host:port on one of the cluster's machines, or submit a job (docs/cluster.md)"
        raise UserError(f"{named}: Ray's client cannot do this; {instead}")
    if parts.scheme:
        raise UserError(f"{named} is the address of a dashboard or of something else; Ray's is host:port")
    host = port = None
    with contextlib.suppress(ValueError):
        host, port = parts.hostname, parts.port
    if not host or not port:
        raise UserError(f"{named} is none of auto, local, host:port")
    import grpc

    try:
        socket.create_connection((host, port), timeout=PROBE_SECONDS).close()
        if os.environ.get("RAY_USE_TLS") != "1":  # Ray waits for minutes for a port that is open but is not Ray's
            with grpc.insecure_channel(f"{host}:{port}", options=_NO_PROXY) as channel:
                channel.unary_unary(_CHECK_ALIVE)(b"", timeout=PROBE_SECONDS, wait_for_ready=True)
    except OSError:
        return False
    except grpc.RpcError as error:
        return error.code() is grpc.StatusCode.UNAUTHENTICATED  # a Ray that wants a token
    return True
