"""A Ray with nothing in it: what a pool's start and rest are compared with."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from actors.runtime.cluster import SETTINGS
from tests.support.services.turns import starting_ray

YARDSTICK = "a Ray with nothing in it"
_PROGRAM = """
import sys, ray
ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def ready(program: str) -> Iterator[tuple[subprocess.Popen[str], float]]:
    """A program with a Ray of its own, once it has said so, and the seconds that this took; it ends
    with its standard input.
    """
    with starting_ray():
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, **SETTINGS},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        process.stdout.readline()
        took = time.perf_counter() - began
    try:
        yield process, took
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(60)


@contextmanager
def ray_alone() -> Iterator[tuple[int, float]]:
    """The process that has it, and the seconds that its start took."""
    with ready(_PROGRAM) as (process, took):
        yield process.pid, took
