"""One owner of a ledger in PostgreSQL: takeover, fence and group commit."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from pool.errors import Fenced, StoreBusy
from pool.storage.ledger.ledger import Ledger
from pool.storage.owner import this_process
from pool.storage.postgresql import PostgresqlStores
from pool.subscriptions.consequences.standing import Standing
from tests.support.stores.postgres import Server
from tests.support.stores.proxy import Fault, Proxy
from tests.support.stores.stored import (
    NOW,
    in_its_transaction,
    names,
    opened,
    record,
    row,
    settlement,
)
from tests.support.suite.paths import ROOT

_LEDGER_WRITES: dict[str, Callable[[Ledger], Awaitable[Any]]] = {
    "begin": lambda ledger: ledger.begin(row("exec_new")),
    "update": lambda ledger: ledger.update(
        row("exec_1").model_copy(update={"cancel_requested_at": NOW})
    ),
    "settle": lambda ledger: ledger.settle(settlement("exec_1")),
    "record": lambda ledger: ledger.record(record("use_new")),
    "stand": lambda ledger: ledger.stand(Standing(paused=True)),
    "expire": lambda ledger: ledger.expire(NOW + timedelta(days=35)),
}


@pytest.mark.parametrize("kind", _LEDGER_WRITES)
async def test_a_ledger_that_was_taken_over_refuses_every_write_and_stays_closed(
    stores: PostgresqlStores, kind: str
) -> None:
    stale = await stores.open_ledger("sub1")
    await stale.begin(row("exec_1"))
    await stale.record(record("use_1"))
    before = await stale.recover(NOW)

    async with opened(stores) as ledger:
        with pytest.raises(Fenced):
            await _LEDGER_WRITES[kind](stale)

        assert stale.is_lost
        with pytest.raises(Fenced):
            await stale.execution("exec_1")
        after = await ledger.recover(NOW)
        assert after.model_copy(update={"epoch": before.epoch}) == before
        assert await names(ledger) == {"use_1"}
    await stale.close()


async def test_all_who_wait_learn_that_the_ledger_was_taken_over(stores: PostgresqlStores) -> None:
    stale = await stores.open_ledger("sub1")
    async with opened(stores):
        answers = await asyncio.gather(
            *(stale.record(record(f"use_{number}")) for number in range(16)),
            return_exceptions=True,
        )

    assert {type(answer) for answer in answers} == {Fenced}
    await stale.close()


async def test_a_takeover_waits_for_the_transaction_that_the_owner_is_in(
    stores: PostgresqlStores,
) -> None:
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def gate(_: Any) -> bool:
        inside.set()
        return await go_on.wait()

    first = await stores.open_ledger("sub1")
    writing = asyncio.ensure_future(in_its_transaction(first, gate))
    await inside.wait()

    with pytest.raises(StoreBusy, match=f"is held by process {this_process().pid}"):
        await stores.open_ledger("sub1", wait_seconds=0.1)

    go_on.set()
    assert await writing
    assert await first.record(record("use_1"))
    await first.close()


_ZOMBIE = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from pool.storage.postgresql import PostgresqlStores
from pool.storage.ledger import records
from datetime import UTC, datetime
from pool.usage.records import ModelUsage
from pool.usage.records import Usage
from pool.usage.records import UsageRecord

STALE = UsageRecord(
    id="stale", subscription_id="sub1", timestamp=datetime(2026, 1, 28, 16, 30, tzinfo=UTC),
    usage=Usage(models={"m": ModelUsage(cost_nano_usd=30)}),
)

async def main():
    ledger = await PostgresqlStores(sys.argv[2]).open_ledger("sub1")

    async def frozen_inside(db):
        added = await records.add(db, STALE)
        print("inside", flush=True)
        sys.stdin.readline()
        return added

    try:
        await ledger._database.write(frozen_inside)
    except Exception as error:
        print(type(error).__name__, ledger.is_lost, flush=True)

asyncio.run(main())
"""


@contextmanager
def zombie(url: str) -> Iterator[subprocess.Popen[str]]:
    """A process that stands inside a transaction of its ledger."""
    root = str(ROOT)
    argv = [sys.executable, "-c", _ZOMBIE, root, url]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "inside\n"
            yield process
        finally:
            process.kill()


async def test_an_owner_frozen_inside_a_transaction_is_taken_over_and_never_writes_again(
    stores: PostgresqlStores, url: str
) -> None:
    with zombie(url) as process:
        process.send_signal(signal.SIGSTOP)
        started = time.monotonic()
        async with opened(stores) as ledger:
            took = time.monotonic() - started
            await ledger.record(record("use_1"))
            process.send_signal(signal.SIGCONT)
            said, _ = await asyncio.to_thread(process.communicate, "go on\n", timeout=20)

            assert said == "Fenced True\n"
            assert await names(ledger) == {"use_1"}
            assert ledger.epoch == 2
    assert took < 3.5


async def test_writers_at_the_same_time_share_one_commit(
    stores: PostgresqlStores, database: Server, url: str
) -> None:
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def gate(_: Any) -> bool:
        inside.set()
        return await go_on.wait()

    async with opened(stores) as ledger:
        waiting = asyncio.ensure_future(in_its_transaction(ledger, gate))
        await inside.wait()
        writers = [asyncio.ensure_future(ledger.record(record(f"use_{n}"))) for n in range(64)]
        await asyncio.sleep(0)
        go_on.set()

        assert await asyncio.gather(waiting, *writers) == [True] * 65
    schema = url.rpartition("=")[2]
    assert database.sql(f"SELECT seq FROM {schema}.owner") == "2"


async def test_nobody_is_answered_before_the_commit(
    through: PostgresqlStores, proxy: Proxy
) -> None:
    async with opened(through) as ledger:
        proxy.fault = Fault.HOLD
        writing = asyncio.ensure_future(ledger.record(record("use_1")))
        await proxy.struck.wait()
        answered_early, seen_early = writing.done(), await names(ledger)
        proxy.let_go.set()

        assert await writing
        assert (answered_early, seen_early) == (False, set())
        assert await names(ledger) == {"use_1"}


async def test_what_was_asked_before_the_close_is_answered(stores: PostgresqlStores) -> None:
    ledger = await stores.open_ledger("sub1")
    calls = [asyncio.ensure_future(ledger.record(record(f"use_{n}"))) for n in range(20)]
    await asyncio.sleep(0)
    await ledger.close()

    assert await asyncio.gather(*calls) == [True] * 20
