"""From kill -9 of a subscription that holds 100,000 records to the next accepted dispatch.

What the pool itself takes: lock, epoch, recovery, admission, T1. Ray's own restart of an actor,
about a second, comes on top in a service.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from actors.interfaces.messages import Started
from actors.subscription.context import Dependencies
from actors.subscription.subscription import Subscription
from pool.executions.intent import Intent, new_execution_id
from pool.executions.request import ExecutionRequest
from pool.executions.routing_record import Routing
from pool.storage.sqlite import SqliteStores
from pool.subscriptions.reporting import SubscriptionPolicy
from pool.usage.records import UsageRecord
from tests.benchmarks.figure import Effort, Figure, Row, interleaved
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.local_peers import LonelyPeers
from tests.support.values.examples import spec, usage_of

RECORDS = 100_000
YARDSTICK = "the same after an orderly end"


def now() -> datetime:
    return datetime.now(UTC)


async def subscription(folder: Path) -> Subscription:
    dependencies = Dependencies(
        runner=FakeRunner(hold=True),
        environment=lambda _: {"CLAUDE_CONFIG_DIR": str(folder)},
        clock=now,
        actors=LonelyPeers(),
        leave=lambda _: None,
        policy=SubscriptionPolicy(),
        system_prompt="",
        retention=timedelta(days=35),
    )
    ledger = await SqliteStores(folder).open_ledger("sub1")
    return await Subscription.activate(spec("sub1", max_concurrent=100), ledger, dependencies)


async def _fill(folder: Path) -> None:
    ledger = await SqliteStores(folder).open_ledger("sub1")
    step, usage = timedelta(days=7) / RECORDS, usage_of("0.0001")

    def record(n: int) -> UsageRecord:
        at = now() - n * step
        return UsageRecord(id=str(n), subscription_id="sub1", timestamp=at, usage=usage)

    for first in range(0, RECORDS, 1000):
        await asyncio.gather(*(ledger.record(record(n)) for n in range(first, first + 1000)))
    await ledger.close()


async def _accepted(folder: Path) -> float:
    """Milliseconds until a dispatch is accepted."""
    began = time.perf_counter()
    activated = await subscription(folder)
    intent = Intent(
        execution_id=new_execution_id(now()),
        request=ExecutionRequest(prompt="q"),
        session_id="634fbb1e-4256-459f-9794-14ea9ca8dac8",
        resumes=False,
        model="m",
        timeout_seconds=60,
        reserved_nano_usd=0,
        routing=Routing(score=0, reason=""),
        created_at=now(),
    )
    answer = await activated.start(intent)
    took = time.perf_counter() - began
    assert isinstance(answer, Started), answer
    await activated.close()
    return 1000 * took


def _after(folder: Path, number: signal.Signals) -> float:
    """The same after another process, which had the ledger, was ended by a signal."""
    with subprocess.Popen(
        [sys.executable, __file__, str(folder)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, number)
        if number is signal.SIGTERM:
            process.wait()
        return asyncio.run(_accepted(folder))


def recovery(effort: Effort) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        asyncio.run(_fill(folder))
        found = interleaved(
            effort.rounds,
            orderly=lambda: _after(folder, signal.SIGTERM),
            killed=lambda: _after(folder, signal.SIGKILL),
        )
    what = f"kill -9 to the next accepted dispatch, {RECORDS:,} records"
    yield Figure.of(what, "ms", found["killed"], YARDSTICK, found["orderly"])


ROWS = (Row("recovery", "After a kill", recovery),)


async def _hold(folder: Path) -> None:
    logging.disable()
    held = await subscription(folder)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    print("ready", flush=True)
    await asyncio.wait_for(ended.wait(), 60)
    await held.close()


if __name__ == "__main__":
    asyncio.run(_hold(Path(sys.argv[1])))
