"""A server that goes away: bounded failures, and service again when it is back."""

from __future__ import annotations

import asyncio
import time

from pool.errors import StoreAway, StoreError
from pool.storage.ledger.ledger import Ledger
from pool.storage.postgresql import PostgresqlStores
from pool.storage.postgresql.connection import transactions
from tests.support.stores.postgres import Server
from tests.support.stores.stored import NOW, names, new_claim, opened, record


async def test_writes_go_on_after_the_server_was_killed_and_nothing_acknowledged_is_lost(
    stores: PostgresqlStores, database: Server
) -> None:
    kept: set[str] = set()
    refused: dict[str, type[StoreError]] = {}
    stopping = asyncio.Event()

    async def writer(ledger: Ledger, prefix: int) -> None:
        number = 0
        while not stopping.is_set():
            name = f"use_{prefix}_{number}"
            try:
                assert await ledger.record(record(name))
                kept.add(name)
            except StoreError as error:
                refused[name] = type(error)
                await asyncio.sleep(0)  # one that is closed refuses at once
            number += 1

    async with opened(stores) as ledger:
        writers = [asyncio.ensure_future(writer(ledger, prefix)) for prefix in range(8)]
        # A write waits 2 s for the server, but 10 s for one that was killed at its COMMIT.
        for away_seconds in (0, transactions.AWAY_SECONDS + 2):
            before = len(kept)
            while len(kept) < before + 100:
                await asyncio.sleep(0.01)
            database.kill()
            until = time.monotonic() + away_seconds
            while not refused and time.monotonic() < until:
                await asyncio.sleep(0.01)
            database.start()
        before = len(kept)
        while len(kept) < before + 100:
            await asyncio.sleep(0.01)
        stopping.set()
        await asyncio.gather(*writers)

        assert await names(ledger) == kept
        assert set(refused.values()) <= {StoreAway}
        assert not refused.keys() & kept
        totals = (await ledger.recover(NOW)).totals
        assert (totals.records, totals.usage.cost_nano_usd) == (len(kept), 30 * len(kept))
        assert (ledger.epoch, ledger.is_lost) == (1, False)


async def test_calls_fail_within_a_bound_while_the_server_is_away_and_work_again_when_it_is_back(
    stores: PostgresqlStores, database: Server
) -> None:
    directory = await stores.open_directory()
    async with opened(stores) as ledger:
        await ledger.record(record("use_1"))
        database.kill()
        started = time.monotonic()
        answers = await asyncio.gather(
            ledger.record(record("use_2")),
            ledger.execution("exec_1"),
            directory.locate("e1"),
            directory.claim(new_claim("e1"), "sub1"),
            stores.open_ledger("sub2", wait_seconds=0.1),
            return_exceptions=True,
        )
        took = time.monotonic() - started
        database.start()

        assert {type(answer) for answer in answers} == {StoreAway}
        assert all("is away" in str(answer) for answer in answers)
        assert took < transactions.AWAY_SECONDS + 1
        assert await ledger.record(record("use_2"))
        assert await names(ledger) == {"use_1", "use_2"}
        assert (await directory.claim(new_claim("e1"), "sub2")).subscription_id == "sub2"
    await directory.close()


async def test_a_restart_of_the_server_is_waited_for_and_not_felt(
    stores: PostgresqlStores, database: Server
) -> None:
    async with opened(stores) as ledger:
        await ledger.record(record("use_1"))
        database.kill()
        calls = [
            asyncio.ensure_future(ledger.record(record("use_2"))),
            asyncio.ensure_future(ledger.execution("exec_1")),
        ]
        await asyncio.wait(calls, timeout=0.2)
        await asyncio.to_thread(database.start)

        assert await asyncio.gather(*calls) == [True, None]


async def test_an_activation_waits_for_a_server_that_is_starting(
    stores: PostgresqlStores, database: Server
) -> None:
    database.kill()
    opening = asyncio.ensure_future(stores.open_ledger("sub1"))
    await asyncio.sleep(0)
    database.start()

    ledger = await opening

    assert await ledger.record(record("use_1"))
    await ledger.close()
