"""A served pool that does nothing: how long its start takes, and what it takes at rest."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.figure import Effort, Figure, Row, interleaved
from tests.benchmarks.pool_service import NOWHERE, served
from tests.benchmarks.process_tree import cpu_seconds, memory_mib, tree
from tests.benchmarks.ray_alone import YARDSTICK, ray_alone
from tests.support.clis.stubcli import stub_cli

SUBSCRIPTIONS = (3, 50)
SETTLE_SECONDS = 5.0
WINDOW_SECONDS = 4.0


def _started() -> float:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        more = f'path = "{stub_cli(folder)}"\n'
        began = time.perf_counter()
        with served(folder, NOWHERE, more=more):
            return time.perf_counter() - began


def _ray_started() -> float:
    with ray_alone() as (_, took):
        return took


def start_up(effort: Effort) -> Iterator[Figure]:
    """``claude-pool serve`` to the moment from which all of three subscriptions answer."""
    found = interleaved(effort.rounds, ray=_ray_started, pool=_started)
    yield Figure.of("serve to ready, 3 subscriptions", "s", found["pool"], YARDSTICK, found["ray"])


def _at_rest(root: int, windows: int) -> tuple[list[float], list[float]]:
    """Percents of a core and MiB, of a process and all that it started."""
    time.sleep(SETTLE_SECONDS)
    shares, sizes = [], []
    for _ in range(windows):
        processes_ = tree(root)
        before, began = cpu_seconds(processes_), time.perf_counter()
        time.sleep(WINDOW_SECONDS)
        used = cpu_seconds(processes_) - before
        shares.append(100 * used / (time.perf_counter() - began))
        sizes.append(memory_mib(processes_))
    return shares, sizes


def idle(effort: Effort) -> Iterator[Figure]:
    with ray_alone() as (pid, _):
        ray_share, ray_size = _at_rest(pid, effort.rounds)
    for count in SUBSCRIPTIONS[:1] if effort.is_quick else SUBSCRIPTIONS:
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            folder = Path(name)
            more = f'path = "{stub_cli(folder)}"\n'
            with served(folder, NOWHERE, subscriptions=count, more=more) as pool:
                assert pool.service.process is not None
                share, size = _at_rest(pool.service.process.pid, effort.rounds)
        yield Figure.of(f"CPU, {count} subscriptions", "% of a core", share, YARDSTICK, ray_share)
        yield Figure.of(f"memory, {count} subscriptions", "MiB", size, YARDSTICK, ray_size)


ROWS = (
    Row("start-up", "Start of a service", start_up),
    Row("idle", "A pool at rest", idle),
)
