"""PostgreSQL killed and started again, over and over, under subscriptions at work.

The subscriptions are real, and so is the server; only the CLI is a fake that answers at once. A
life that loses its ledger is followed by the next one, as Ray sees to it in a service.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from actors.interfaces.messages import NotAdmitted, Started
from actors.subscription.context import Dependencies
from actors.subscription.subscription import Subscription
from pool.errors import StoreError
from pool.executions.intent import Intent
from pool.executions.request import ExecutionRequest
from pool.executions.routing_record import Routing
from pool.executions.status import ExecutionStatus
from pool.storage.postgresql import PostgresqlStores
from pool.subscriptions.reporting import SubscriptionPolicy
from tests.support.chaos.invariants import every
from tests.support.chaos.one_subscription import IS_FULL
from tests.support.chaos.tally import Doubled, Lost, injected
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.local_peers import LonelyPeers
from tests.support.stores.postgres import Server
from tests.support.values.examples import spec

SECONDS = 120.0 if IS_FULL else 5.0
ENOUGH = 21
"""Executions of each subscription, or they show nothing: a busy machine goes on for longer."""
BETWEEN_KILLS = 3.0 if IS_FULL else 1.2
CALLERS = 8
SUBSCRIPTIONS = ("sub1", "sub2")

pytestmark = pytest.mark.timeout(SECONDS + 120)


def now() -> datetime:
    return datetime.now(UTC)


class OneSubscription:
    """One subscription, and the next life of it when the last one is over."""

    def __init__(self, id_: str, stores: PostgresqlStores) -> None:
        self.id = id_
        self.runner = FakeRunner()
        self.lives = 0
        self._stores = stores
        self._is_over = True
        self._owner: Subscription | None = None
        self._opening = asyncio.Lock()

    async def owner(self) -> Subscription:
        async with self._opening:
            if self._is_over or self._owner is None:
                await self.close()
                ledger = await self._stores.open_ledger(self.id)
                self._is_over = False
                around = Dependencies(
                    runner=self.runner,
                    environment=lambda _: {},
                    clock=now,
                    actors=LonelyPeers(),
                    leave=self._leave,
                    policy=SubscriptionPolicy(),
                    system_prompt="",
                    retention=timedelta(days=35),
                )
                wanted = spec(self.id, max_concurrent=4, max_queued=1000)
                self._owner = await Subscription.activate(wanted, ledger, around)
                self.lives += 1
            return self._owner

    async def close(self) -> None:
        if self._owner is not None:
            with suppress(StoreError):
                await self._owner.close()
        self._owner = None

    def _leave(self, _: StoreError) -> None:
        self._is_over = True


def intent(name: str, session_id: str) -> Intent:
    return Intent(
        execution_id=name,
        request=ExecutionRequest(prompt="q"),
        session_id=session_id,
        resumes=False,
        model="m",
        timeout_seconds=60,
        reserved_nano_usd=0,
        routing=Routing(score=0, reason=""),
        created_at=now(),
    )


async def execute(subscription: OneSubscription, wanted: Intent) -> None:
    """Ask until it has ended, with the same id, as a caller does."""
    while True:
        try:
            answer = await (await subscription.owner()).start(wanted)
            match answer:
                case Started(execution=execution) if execution.status.is_final:
                    assert execution.status == ExecutionStatus.SUCCEEDED
                    return
                case Started():
                    await (await subscription.owner()).result(wanted.execution_id, 1)
                case NotAdmitted():
                    await asyncio.sleep(0.05)
        except StoreError:
            await asyncio.sleep(0.05)


async def test_nothing_acknowledged_is_lost_while_the_server_is_killed_again_and_again() -> None:
    server = Server()
    acknowledged: Counter[str] = Counter()
    try:
        server.start()
        stores = PostgresqlStores(server.fresh_schema())
        subscriptions = [OneSubscription(id_, stores) for id_ in SUBSCRIPTIONS]
        ends = time.monotonic() + SECONDS

        async def caller(number: int) -> None:
            subscription, count = subscriptions[number % len(subscriptions)], 0
            while time.monotonic() < ends or len(_told(subscription, acknowledged)) < ENOUGH:
                name = f"exec_{number:04x}{count:024x}"
                await execute(
                    subscription, intent(name, f"634fbb1e-4256-459f-{number:04x}-{count:012x}")
                )
                acknowledged[f"{subscription.id} {name}"] += 1
                count += 1

        with injected(faults=0) as figures:
            callers = [asyncio.create_task(caller(number)) for number in range(CALLERS)]
            while time.monotonic() < ends:
                await asyncio.sleep(BETWEEN_KILLS)
                await asyncio.to_thread(server.kill)
                figures["faults"] += 1
                await asyncio.sleep(0.3)
                await asyncio.to_thread(server.start)
            async with asyncio.timeout(90):
                await asyncio.gather(*callers)
            for subscription in subscriptions:
                await _check(subscription, stores, acknowledged)
    finally:
        await asyncio.to_thread(server.close)


async def _check(
    subscription: OneSubscription, stores: PostgresqlStores, acknowledged: Counter[str]
) -> None:
    await subscription.close()
    ledger = await stores.open_ledger(subscription.id)
    rows = await every(ledger.executions)
    records = await every(ledger.usage)
    totals = (await ledger.recover(now())).totals
    await ledger.close()
    told = _told(subscription, acknowledged)
    kept = Counter(record.execution_id for record in records)
    ended = {row.intent.execution_id for row in rows if row.status is ExecutionStatus.SUCCEEDED}
    if missing := told - (ended & kept.keys()):
        raise Lost(f"acknowledged, and not there: {sorted(missing)[:3]}")
    starts = Counter(run.run_id for run in subscription.runner.runs)
    if twice := [id_ for id_, count in (kept + starts).items() if count > 2]:
        raise Doubled(f"counted or started twice: {twice[:3]}")
    cost = sum(record.usage.cost_nano_usd for record in records)
    assert (totals.records, totals.usage.cost_nano_usd) == (len(records), cost)
    assert len(told) >= ENOUGH


def _told(subscription: OneSubscription, acknowledged: Counter[str]) -> set[str]:
    return {each.split()[1] for each in acknowledged if each.startswith(subscription.id)}
