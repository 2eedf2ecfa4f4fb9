"""A Ray cluster of one node, started as an operator does, for a service and programs to join."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service import free_port

START_SECONDS = 60.0


@contextmanager
def cluster(folder: Path, cpus: int = 2) -> Iterator[str]:
    """Its address. Seats find their tokens in its environment."""
    port = free_port()
    command = (
        *(str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"),
        *(f"--port={port}", "--include-dashboard=false", "--disable-usage-stats"),
        *("--node-ip-address=127.0.0.1", f"--num-cpus={cpus}"),
    )
    tokens = {f"SUB{n}_TOKEN": f"test-token-{n}" for n in range(1, 10)}
    log = folder / "ray.log"
    with log.open("wb") as output:
        head = subprocess.Popen(
            command,
            env={**os.environ, **tokens, "RAY_AUTH_MODE": "token", "RAY_worker_niceness": "0"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while b"Ray runtime started" not in log.read_bytes():
            if head.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(log.read_text(encoding="utf-8"))
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        os.killpg(head.pid, signal.SIGKILL)  # in order it takes 30 s; its processes are its group
        head.wait(10)
