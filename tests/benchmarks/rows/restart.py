"""From kill -9 of the router's process to the next request that is ranked, in a served pool that
has a spare process by then, as one has that was left alone for a quarter of a minute.

The yardstick is what Ray takes without: a new process, which imports Ray, and an actor in it that
has nothing to import and nothing to read.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from actors.runtime.spare_process import QUIET_SECONDS
from tests.benchmarks.figure import Effort, Figure, Row, interleaved
from tests.benchmarks.pool_service import NOWHERE, PoolCallers, served
from tests.benchmarks.ray_alone import ready
from tests.support.clis.stubcli import stub_cli
from tests.support.services.actor_processes import actor_pid, spare_pids

SETTLE_SECONDS = 3.0
"""For what a restart leaves to be done, and for Ray's idle workers to be ended."""
SPARE_SECONDS = QUIET_SECONDS + 10
LOOK_SECONDS = 0.1
YARDSTICK = "an actor of Ray's with nothing in it"
_PROGRAM = """
import os, signal, sys, time, ray
ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)

@ray.remote(num_cpus=0, max_restarts=-1)
class Empty:
    def pid(self):
        return os.getpid()

actor = Empty.remote()
pid = ray.get(actor.pid.remote())
print("ready", flush=True)
for _ in sys.stdin:
    began = time.perf_counter()
    os.kill(pid, signal.SIGKILL)
    while True:
        try:
            pid = ray.get(actor.pid.remote())
            break
        except ray.exceptions.RayActorError:
            time.sleep(0.01)
    print("took", time.perf_counter() - began, flush=True)
"""


class EmptyActor:
    """An actor of a Ray of its own, which is killed from within."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def restarted(self) -> float:
        """Seconds until it answers again."""
        time.sleep(SETTLE_SECONDS)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        for line in self._process.stdout:  # among what Ray has to say of it
            if line.startswith("took "):
                return float(line.removeprefix("took "))
        raise RuntimeError("its Ray has ended")


def _ranked_again(pool: PoolCallers) -> float:
    pool.rank()
    pid = actor_pid(pool.service, "RouterShell", "directory")
    assert pid is not None
    until = time.perf_counter() + SPARE_SECONDS
    while not spare_pids(pid) and time.perf_counter() < until:
        time.sleep(LOOK_SECONDS)
    time.sleep(SETTLE_SECONDS)
    began = time.perf_counter()
    os.kill(pid, signal.SIGKILL)
    pool.rank()
    return time.perf_counter() - began


def restart(effort: Effort) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ready(_PROGRAM) as (process, _):
        folder, empty = Path(name), EmptyActor(process)
        with served(folder, NOWHERE, more=f'path = "{stub_cli(folder)}"\n') as pool:
            found = interleaved(
                effort.rounds, ray=empty.restarted, pool=lambda: _ranked_again(pool)
            )
    what = "kill -9 of the router to the next ranked request, 3 subscriptions"
    yield Figure.of(what, "s", found["pool"], YARDSTICK, found["ray"])


ROWS = (Row("restart", "A router's death", restart),)
