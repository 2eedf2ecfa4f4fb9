"""The followers of subscriptions: what is declared holds, whatever was activated before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from actors.router.presence import first_reports
from pool.errors import ActorLost, Unavailable
from pool.executions.request import ExecutionRequest
from pool.subscriptions.report import SubscriptionState
from pool.subscriptions.spec import SubscriptionChange, SubscriptionSpec
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.localpool import LocalPool
from tests.support.pools.pool_requests import limit
from tests.support.suite.waiting import until
from tests.support.values.examples import spec
from tests.support.values.manual_clock import ManualClock

OpenPool = Callable[..., Awaitable[LocalPool]]


async def budgets(pool: LocalPool) -> dict[str, Decimal]:
    return {each.id: each.weekly.budget_usd for each in await pool.client.subscriptions()}


async def test_what_stands_in_the_file_holds_at_the_very_next_start(open_pool: OpenPool) -> None:
    first = await open_pool(spec("sub1", weekly_budget_usd=456), spec("sub2"))
    await first.close()

    second = await open_pool(spec("sub1", weekly_budget_usd=100), spec("sub2"))

    assert await budgets(second) == {"sub1": Decimal(100), "sub2": Decimal(456)}


async def test_a_change_in_the_file_wins_over_one_that_was_made_while_it_ran(
    open_pool: OpenPool,
) -> None:
    first = await open_pool(spec("sub1", max_concurrent=2))
    await first.client.change("sub1", SubscriptionChange(max_concurrent=9))
    await first.close()

    second = await open_pool(spec("sub1", max_concurrent=3))

    assert (await second.client.subscription("sub1")).max_concurrent == 3
    assert second.actors.subscription("sub1")._context.state.spec.max_concurrent == 3


async def test_a_router_that_runs_already_has_a_new_declaration_hold_when_it_returns(
    local_pool: LocalPool,
) -> None:
    declared = [spec(f"sub{n}", weekly_budget_usd=100) for n in (1, 2, 3)]

    await local_pool.router.declare(declared)

    assert set((await budgets(local_pool)).values()) == {Decimal(100)}


class Gate:
    """Lets the subscriptions of a pool come up one by one."""

    def __init__(self, pool: LocalPool, monkeypatch: pytest.MonkeyPatch) -> None:
        self._activate = pool.actors.activate
        self._coming: dict[str, asyncio.Future[None]] = {}
        self.order: list[str] = []
        monkeypatch.setattr(pool.actors, "activate", self._at_the_gate)

    async def _at_the_gate(self, wanted: SubscriptionSpec) -> None:
        if wanted.id not in self._coming:
            self.order.append(wanted.id)
            self._coming[wanted.id] = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._coming[wanted.id])
        await self._activate(wanted)

    async def begun(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.order) < count:
                await asyncio.sleep(0.001)

    def up(self, *ids: str) -> None:
        for id_ in ids:
            self._coming[id_].set_result(None)

    def fails(self, id_: str) -> None:
        self._coming[id_].set_exception(ActorLost(id_, "its disk is gone"))


@pytest.fixture
async def empty(open_pool: OpenPool) -> LocalPool:
    return await open_pool()


@pytest.fixture
async def gate(empty: LocalPool, monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate(empty, monkeypatch)
    await empty.router.declare([spec(f"sub{n}") for n in range(60)])
    await gate.begun(4)
    return gate


async def test_a_declaration_waits_for_nobody_and_a_few_come_up_at_a_time(
    empty: LocalPool, gate: Gate
) -> None:
    await asyncio.sleep(0.05)

    assert gate.order == ["sub0", "sub1", "sub2", "sub3"]
    assert (await empty.client.figures()).reports == ()


async def test_a_request_has_the_subscription_that_it_names_come_up_first(
    empty: LocalPool, gate: Gate
) -> None:
    request = ExecutionRequest(prompt="q", subscription_id="sub57")
    asked = asyncio.create_task(empty.client.execute(request))
    await asyncio.sleep(0.05)

    gate.up("sub0")
    await gate.begun(5)
    gate.up("sub57")

    assert (await asked).subscription_id == "sub57"
    assert gate.order[4] == "sub57"


async def test_a_request_that_names_none_goes_to_the_first_that_is_up(
    empty: LocalPool, gate: Gate
) -> None:
    asked = asyncio.create_task(empty.client.execute(ExecutionRequest(prompt="q")))
    await asyncio.sleep(0.05)

    gate.up("sub2")

    assert (await asked).subscription_id == "sub2"


async def test_a_request_that_the_first_ones_refuse_waits_for_those_that_come_up(
    empty: LocalPool, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_reports, "EVERYBODY_SECONDS", 0.05)
    gate.up("sub0")
    await empty.client.pause("sub0")
    asked = asyncio.create_task(empty.client.execute(ExecutionRequest(prompt="q")))
    await asyncio.sleep(0.2)
    assert not asked.done()

    gate.up("sub1")

    assert (await asked).subscription_id == "sub1"


async def test_one_that_cannot_come_up_is_not_waited_for_as_one_that_does(
    empty: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_reports, "EVERYBODY_SECONDS", 0.05)
    gate = Gate(empty, monkeypatch)
    await empty.router.declare([spec("sub0"), spec("sub1")])
    await gate.begun(2)
    gate.up("sub0")
    await empty.client.pause("sub0")
    asked = asyncio.create_task(empty.client.execute(ExecutionRequest(prompt="q")))

    gate.fails("sub1")

    async with asyncio.timeout(2):
        with pytest.raises(Unavailable, match="paused"):
            await asked


async def test_a_pool_that_stops_waits_for_nobody_who_has_not_come_up(
    empty: LocalPool, gate: Gate
) -> None:
    gate.up("sub0")
    await empty.client.subscription("sub0")

    async with asyncio.timeout(2):
        await empty.client.stop(10)

    assert "sub30" not in gate.order


class Outdated:
    """Says of actors that they are of an earlier version, and renews them when it is told to."""

    def __init__(self, pool: LocalPool, monkeypatch: pytest.MonkeyPatch, *ids: str) -> None:
        self._pool = pool
        self._activate = pool.actors.activate
        self._outdated = set(ids)
        self.renewed: list[str] = []
        self.at_once = self.most_at_once = 0
        monkeypatch.setattr(pool.actors, "activate", self._found)
        monkeypatch.setattr(pool.actors, "renew", self._renew, raising=False)

    async def _found(self, wanted: SubscriptionSpec) -> bool:
        await self._activate(wanted)
        return wanted.id in self._outdated

    async def _renew(self, wanted: SubscriptionSpec) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self._pool.actors.deactivate(wanted.id)
        await asyncio.sleep(0.02)
        self._outdated.discard(wanted.id)
        await self._activate(wanted)
        self.renewed.append(wanted.id)
        self.at_once -= 1


async def test_outdated_actors_are_renewed_one_at_a_time_and_nobody_else(
    empty: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"sub{n}" for n in range(6)]
    outdated = Outdated(empty, monkeypatch, *ids[1:5])

    await empty.router.declare([spec(id_) for id_ in ids])
    async with asyncio.timeout(10):
        while len(outdated.renewed) < 4 or len(await empty.client.subscriptions()) < 6:
            await asyncio.sleep(0.01)
        while {each.id for each in await empty.client.subscriptions() if each.epoch > 1} != set(
            ids[1:5]
        ):
            await asyncio.sleep(0.01)

    assert sorted(outdated.renewed) == ids[1:5]
    assert outdated.most_at_once == 1


async def test_one_that_waits_to_be_renewed_serves_meanwhile_and_is_not_when_it_is_removed(
    empty: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    outdated = Outdated(empty, monkeypatch, "sub0", "sub1")
    held = asyncio.Event()

    async def holds(_: SubscriptionSpec) -> None:
        outdated.renewed.append("begun")
        await held.wait()

    monkeypatch.setattr(empty.actors, "renew", holds)
    for id_ in ("sub0", "sub1"):
        await empty.client.add(spec(id_))
    served = await empty.client.execute(ExecutionRequest(prompt="q", subscription_id="sub1"))
    await empty.client.remove("sub1")
    held.set()

    assert served.subscription_id == "sub1"
    assert "sub1" not in empty.actors.subscriptions
    assert outdated.renewed == ["begun"]


async def test_a_state_that_ends_by_the_clock_is_shown_as_it_ends(
    local_pool: LocalPool, runner: FakeRunner, clock: ManualClock
) -> None:
    runner.script.append(limit(clock.now + timedelta(seconds=0.3)))
    limited = (await local_pool.client.execute(ExecutionRequest(prompt="q"))).attempts[0]
    shown = await local_pool.client.subscription(limited.subscription_id)

    clock.advance(timedelta(seconds=2))

    assert shown.state is not SubscriptionState.AVAILABLE
    await until(lambda: is_available(local_pool, limited.subscription_id), seconds=3)


async def is_available(pool: LocalPool, subscription_id: str) -> bool:
    report = await pool.client.subscription(subscription_id)
    return report.state is SubscriptionState.AVAILABLE
