"""From kill -9 of a subscription that holds 100,000 records to the next accepted dispatch.

What the pool itself takes: lock, epoch, recovery, admission, T1. Ray's own restart of an actor (1-2
s) comes on top in a service.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from localpool import FakeRunner, LonelyPeers, spec, usage_of

from actors.interfaces.messages import Started
from actors.subscription.context import Dependencies
from actors.subscription.subscription import Subscription
from pool.executions.execution import Intent, new_execution_id
from pool.executions.request import ExecutionRequest
from pool.executions.routing_record import Routing
from pool.storage.sqlite import SqliteStores
from pool.subscriptions.reporting import SubscriptionPolicy
from pool.usage.records import UsageRecord

RECORDS = 100_000
ROUNDS = 5


def now() -> datetime:
    return datetime.now(UTC)


async def subscription(folder: Path) -> Subscription:
    around = Dependencies(
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
    return await Subscription.activate(spec("sub1", max_concurrent=100), ledger, around)


async def fill(folder: Path) -> None:
    ledger = await SqliteStores(folder).open_ledger("sub1")
    step, usage = timedelta(days=7) / RECORDS, usage_of("0.0001")
    for first in range(0, RECORDS, 1000):
        await asyncio.gather(
            *(
                ledger.record(
                    UsageRecord(
                        id=str(n), subscription_id="sub1", timestamp=now() - n * step, usage=usage
                    )
                )
                for n in range(first, first + 1000)
            )
        )
    await ledger.close()


async def accept(folder: Path) -> float:
    """Seconds until a dispatch is accepted."""
    began = time.perf_counter()
    owner = await subscription(folder)
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
    answer = await owner.start(intent)
    took = time.perf_counter() - began
    assert isinstance(answer, Started), answer
    await owner.close()
    return took


async def hold(folder: Path) -> None:
    await subscription(folder)
    print("ready", flush=True)
    await asyncio.sleep(60)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asyncio.run(fill(folder))
        times = []
        for _ in range(ROUNDS):
            command = [sys.executable, __file__, "hold", name]
            owner = subprocess.Popen(command, stdout=subprocess.PIPE)
            assert owner.stdout is not None
            owner.stdout.readline()
            os.kill(owner.pid, signal.SIGKILL)
            times.append(asyncio.run(accept(folder)))
            owner.wait()
            owner.stdout.close()
        print(f"kill -9 to the next accepted dispatch, {RECORDS} records: ", end="")
        print(
            f"median {sorted(times)[ROUNDS // 2] * 1000:.0f} ms, worst {max(times) * 1000:.0f} ms"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["hold"]:
        asyncio.run(hold(Path(sys.argv[2])))
    else:
        main()
