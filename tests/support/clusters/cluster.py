"""A Ray cluster, started as an operator does, for a service and programs to join: of one node, and
of more where a test has them join, each with a disk of its own.

Others may run on the machine: it has ports and a directory of its own, and is not what Ray's
``auto`` would find.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

from actors.runtime.cluster import GcsClient, ray
from tests.support.services.turns import starting_ray
from tests.support.suite.paths import ROOT
from tests.support.suite.ports import free_port

START_SECONDS = 60.0
RAY = str(Path(sys.executable).with_name("ray"))


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """Its address. Subscriptions find their tokens in its environment."""
    ensure_token()
    address = f"127.0.0.1:{free_port()}"
    log = folder / "ray.log"
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as short:  # for sockets in it
        with starting_ray():
            head = _started(_head(address, Path(short)), log)
            await_start(head, log)
        try:
            yield address
        finally:
            end(head)


@contextmanager
def further_node(
    address: str,
    folder: Path,
    *,
    host: str = "127.0.0.2",
    disks: Mapping[Path, Path] | None = None,
    without: frozenset[str] = frozenset(),
) -> Iterator[subprocess.Popen[bytes]]:
    """A raylet that joins the cluster at an address. ``disks`` are directories that are others for
    it, as on another machine; ``without`` are variables that it does not have.
    """
    log = folder / f"ray-{host}.log"
    joins = (f"--address={address}", f"--node-ip-address={host}")
    with starting_ray():
        node = _started(joins, log, disks or {}, without)
        await_start(node, log)
    try:
        yield node
    finally:
        end(node)


def end(node: subprocess.Popen[bytes]) -> None:
    """End it and its processes, which are its group: in order it would take 30 s."""
    with suppress(ProcessLookupError):
        os.killpg(node.pid, signal.SIGKILL)
    node.wait(10)


def await_start(node: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while b"Ray runtime started" not in log.read_bytes():
        if node.poll() is not None or time.monotonic() > deadline:
            end(node)
            raise RuntimeError(log.read_text(encoding="utf-8"))
        time.sleep(0.1)


def living(address: str) -> int:
    """How many nodes the head of a cluster holds to be alive."""
    nodes = GcsClient(address=address).get_all_node_info(timeout=START_SECONDS).values()
    return sum(each.state == ray.core.generated.gcs_pb2.GcsNodeInfo.ALIVE for each in nodes)


def ensure_token() -> None:
    """Make the token that clusters of this user go by, as an operator does once on a machine."""
    if "RAY_AUTH_TOKEN" not in os.environ and not (Path.home() / ".ray" / "auth_token").exists():
        subprocess.run([RAY, "get-auth-token", "--generate"], check=True, capture_output=True)


def _head(address: str, directory: Path) -> tuple[str, ...]:
    host, _, port = address.partition(":")
    where = (f"--node-ip-address={host}", f"--port={port}", f"--temp-dir={directory}")
    return ("--head", "--include-dashboard=false", *where)


def _started(
    what: tuple[str, ...],
    log: Path,
    disks: Mapping[Path, Path] = MappingProxyType({}),
    without: frozenset[str] = frozenset(),
) -> subprocess.Popen[bytes]:
    variables = node_environment()
    with log.open("wb") as output:
        return subprocess.Popen(
            _with_disks(ray_start(what), disks),
            env={name: value for name, value in variables.items() if name not in without},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def ray_start(what: tuple[str, ...]) -> tuple[str, ...]:
    """The command that starts a node. Nobody reads what the log monitor would pass on, which takes
    a second of a core and more to start and to look.
    """
    return (
        *(RAY, "start", *what, "--block", "--disable-usage-stats"),
        *("--num-cpus=2", "--include-log-monitor=false"),
        *("--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"),
    )


def node_environment() -> dict[str, str]:
    """Of every node: what is shipped for it, and the tokens of subscriptions."""
    tokens = {f"SUB{n}_TOKEN": f"test-token-{n}" for n in range(1, 10)}
    return {**os.environ, **tokens, **shipped()}


def shipped() -> dict[str, str]:
    """The environment that every node of a pool's cluster is to have."""
    lines = (ROOT / "deploy" / "ray-node.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def _with_disks(command: tuple[str, ...], disks: Mapping[Path, Path]) -> tuple[str, ...]:
    """A command in a mount namespace of its own, where some directories are others."""
    if not disks:
        return command
    mounts = "".join(
        f"mount --bind {shlex.quote(str(other))} {shlex.quote(str(seen))} && "
        for seen, other in disks.items()
    )
    user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    return ("unshare", *user, "--mount", "sh", "-c", f"{mounts}exec {shlex.join(command)}")
