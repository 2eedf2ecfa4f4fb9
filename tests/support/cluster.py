"""A Ray cluster of one node, started as an operator does, for a service and programs to join.

Others may run on the machine: it has ports and a directory of its own, and is not what Ray's
``auto`` would find.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ports import free_port
from turns import starting_ray

START_SECONDS = 60.0
RAY = str(Path(sys.executable).with_name("ray"))


@contextmanager
def cluster(folder: Path, cpus: int = 2) -> Iterator[str]:
    """Its address. Subscriptions find their tokens in its environment."""
    _ensure_token()
    address = f"127.0.0.1:{free_port()}"
    log = folder / "ray.log"
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as short:  # for sockets in it
        with starting_ray():
            head = _started(address, Path(short), log, cpus)
            deadline = time.monotonic() + START_SECONDS
            while b"Ray runtime started" not in log.read_bytes():
                if head.poll() is not None or time.monotonic() > deadline:
                    _end(head)
                    raise RuntimeError(log.read_text(encoding="utf-8"))
                time.sleep(0.1)
        try:
            yield address
        finally:
            _end(head)


def _end(head: subprocess.Popen[bytes]) -> None:
    """End it and its processes, which are its group: in order it would take 30 s."""
    with suppress(ProcessLookupError):
        os.killpg(head.pid, signal.SIGKILL)
    head.wait(10)


def _ensure_token() -> None:
    """Make the token that clusters of this user go by, as an operator does once on a machine."""
    if "RAY_AUTH_TOKEN" not in os.environ and not (Path.home() / ".ray" / "auth_token").exists():
        subprocess.run([RAY, "get-auth-token", "--generate"], check=True, capture_output=True)


def _started(address: str, directory: Path, log: Path, cpus: int) -> subprocess.Popen[bytes]:
    host, _, port = address.partition(":")
    command = (
        *(RAY, "start", "--head", "--block"),
        *("--include-dashboard=false", "--disable-usage-stats", f"--temp-dir={directory}"),
        *(f"--node-ip-address={host}", f"--port={port}", f"--num-cpus={cpus}"),
        *("--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"),
    )
    tokens = {f"SUB{n}_TOKEN": f"test-token-{n}" for n in range(1, 10)}
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            env={**os.environ, **tokens, "RAY_AUTH_MODE": "token", "RAY_worker_niceness": "0"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
