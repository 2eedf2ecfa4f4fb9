"""Ray itself: started for a pool of its own, or joined where it is there.

Ray tries for minutes to join what is not there, or does not let it in, and ends the process where
it finds no token. So whatever can be wrong is found out beforehand, each in two seconds at most.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants
from ray._private.authentication.authentication_token_setup import ensure_token_if_auth_enabled
from ray._private.node import Node
from ray._private.services import canonicalize_bootstrap_address, find_node_ids
from ray._private.worker import global_worker
from ray._raylet import GcsClient  # type: ignore[attr-defined] # compiled
from ray.exceptions import AuthenticationError, RayError

from actors.runtime.ray_privacy import ensure_token, inherited_alone
from pool.errors import ConfigError

HEAD_SECONDS = 1.0
"""For the head of a cluster to answer what it has in memory: 1 ms."""
ANSWER_SECONDS = 2.0
"""For each thing that is asked of a Ray that is said to be there, here or in its cluster."""
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""How a client of gRPC begins, with empty settings."""
_FRAME_BYTES, _SETTINGS = 9, 4
"""The server's own settings come at once, in a frame whose fourth byte says so."""
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Workers run at Ray's default nice 15, and so would every CLI.
    "RAY_worker_niceness": "0",
    # A call of an actor whose process died fails only when Ray knows that it is dead for good, or
    # after this time, which Ray looks at once a second: 1-2 s of waiting for who is back sooner. At
    # once it fails as one of an actor that is unavailable; the actor that is dead for good is known
    # by its name, which nobody bears then.
    "RAY_timeout_ms_task_wait_for_death_info": "0",
}
"""Of this program and of all that it starts, where its environment names no others. The nodes of a
cluster have theirs of ``deploy/ray-node.env``."""
_TOKENS = (
    "it has to be in ~/.ray/auth_token, RAY_AUTH_TOKEN or the file of RAY_AUTH_TOKEN_PATH, with "
    "RAY_AUTH_MODE=token; a cluster without tokens wants RAY_AUTH_MODE=disabled"
)


def start(namespace: str, directory: Path, **options: Any) -> str:
    """Start a Ray that keeps its files in a directory, listens on loopback alone, and hands nothing
    of this process to its own; its address.
    """
    ensure_token(os.environ, Path.home())
    try:
        with _on_loopback(), _alone(), inherited_alone():
            _init("local", namespace, _temp_dir=str(directory), include_dashboard=False, **options)
    except Exception as error:
        raise ConfigError("ray", f"it cannot be started in {directory}: {error}") from error
    return str(ray.get_runtime_context().gcs_address)


def join(address: str, namespace: str, **options: Any) -> str:
    """Join the Ray at an address (``auto``, ``host:port``, or what else Ray knows); its address.

    ``ConfigError`` within seconds where it is not there, frozen, does not take the token, or has no
    node on this machine.
    """
    try:
        with _on_loopback() if _is_on_loopback(address) else nullcontext():
            found = canonicalize_bootstrap_address(address, None)
            if found is not None and "://" not in found:
                _check_answers(found)
                _check_token(found)
            _init(found or address, namespace, **options)
    except ConfigError:
        raise
    except AuthenticationError as error:
        problem = f"the Ray at {address} does not take the token of this program, or finds none"
        raise ConfigError("ray.address", f"{problem}: {_TOKENS}") from error
    except Exception as error:
        problem = f"no Ray cluster can be joined at {address!r}: {error}"
        raise ConfigError("ray.address", problem) from error
    return str(ray.get_runtime_context().gcs_address)


def _init(address: str, namespace: str, **options: Any) -> None:
    """Settings that the environment does not name are the pool's. Ray takes SIGTERM for itself; it
    is given back to whoever had it.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    with _sigterm_kept():
        ray.init(address=address, namespace=namespace, logging_level=logging.ERROR, **options)


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    kept = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and kept is not None:
            signal.signal(signal.SIGTERM, kept)


def id_() -> str:
    """The id of the cluster that this process belongs to: drawn as its head starts for the first
    time, and kept in its Redis, where it has one.
    """
    return str(_head().cluster_id.hex())


async def has_head() -> bool:
    """Whether the head of this very cluster answers: one that was started anew without what it knew
    is that of another.
    """
    with suppress(RayError, TimeoutError):
        await asyncio.to_thread(_head().internal_kv_get, b"claude-pool", None, timeout=HEAD_SECONDS)
        return True
    return False


async def is_orphan() -> bool:
    """Whether the program has left whose job this process is of: the service that made it."""
    job = ray.get_runtime_context().get_job_id()
    apart = {"skip_submission_job_info_field": True, "skip_is_running_tasks_field": True}
    ask = partial(_head().get_all_job_info, job_or_submission_id=job, **apart)
    known = await asyncio.to_thread(ask, timeout=HEAD_SECONDS)
    return all(each.is_dead for each in known.values())


def _head() -> Any:
    return global_worker.gcs_client  # type: ignore[attr-defined] # of its compiled part


def is_own() -> bool:
    """Whether the Ray of this process is on this machine alone, as a pool's own is."""
    return ray.is_initialized() and _is_loopback(str(ray.get_runtime_context().gcs_address))


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Have Ray take loopback for the address of this machine: it listens there alone, and finds
    what does.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def _alone() -> Iterator[None]:
    """Have Ray start nothing that a pool's own has no use for, and ``ray.init`` has no word for:
    the log monitor, which looks at the logs of all workers ten times a second, for 1% of a core,
    and tells them to drivers; the autoscaler's monitor, since no machine ever comes; the server of
    the dashboard, which is there without a dashboard too. The latter two take 1.2 s of a core at
    each start, and 170 MB.
    """
    names = ("start_log_monitor", "start_monitor", "start_api_server")
    before = {name: getattr(Node, name) for name in names}
    for name in names:
        setattr(Node, name, lambda *_, **__: None)
    try:
        yield
    finally:
        for name, method in before.items():
            setattr(Node, name, method)


def _is_on_loopback(address: str) -> bool:
    """Whether a Ray answers there and not at the address of this machine, which Ray would take."""
    here = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return _is_loopback(address) and not answers(f"{here}:{address.rpartition(':')[2]}")


def _is_loopback(address: str) -> bool:
    return address.rpartition(":")[0] in {"127.0.0.1", "localhost", "::1", "[::1]"}


def answers(address: str) -> bool:
    """Whether something at ``host:port`` speaks as a Ray does; what is no such address, Ray has to
    know.
    """
    host, _, port = address.rpartition(":")
    if not port.isdigit() or "/" in host or os.environ.get("RAY_USE_TLS") in {"1", "true"}:
        return True
    try:
        place = (host.strip("[]"), int(port))
        with socket.create_connection(place, ANSWER_SECONDS) as connection:
            connection.sendall(_PREFACE)
            frame = connection.recv(_FRAME_BYTES, socket.MSG_WAITALL)
    except OSError:
        return False
    return len(frame) == _FRAME_BYTES and frame[3] == _SETTINGS


def _check_answers(address: str) -> None:
    if not answers(address):
        problem = f"no Ray answers at {address} within {ANSWER_SECONDS:g} s"
        raise ConfigError("ray.address", f"{problem}: is its head there, and reachable from here?")


def _check_token(address: str) -> None:
    """Ask who answers for the nodes, as whoever joins has to."""
    ensure_token_if_auth_enabled(None, create_token_if_missing=False)
    nodes = GcsClient(address=address).get_all_node_info(timeout=ANSWER_SECONDS)
    here = find_node_ids()  # type: ignore[no-untyped-call]
    if not any(each.hex() in here for each in nodes):
        problem = f"no node of the Ray at {address} runs on this machine"
        raise ConfigError("ray.address", f"{problem}: begin one with ray start --address={address}")
