"""What waits where no node can have its subscription goes on elsewhere, or ends with a reason."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from actors.router.presence import followers, losses
from pool.errors import ConfigError, PoolError
from pool.executions.execution import Execution
from pool.executions.request import ExecutionRequest
from pool.executions.status import ExecutionStatus
from pool.routing.policy import RoutingSettings
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.local_peers import LocalPeers
from tests.support.pools.localpool import LocalPool, local_pool_at
from tests.support.suite.waiting import until
from tests.support.values.examples import completed, spec
from tests.support.values.manual_clock import ManualClock

RELEASED_AFTER = timedelta(seconds=RoutingSettings().without_node_seconds)
OpenPool = Callable[..., Awaitable[LocalPool]]
GONE = ConfigError("subscriptions.sub1.config_dir", "no node has what it needs: /x is no directory")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (
        *((followers, "PATIENCE_SECONDS"), (followers, "UNUSABLE_SECONDS")),
        (losses, "BACK_SECONDS"),
    ):
        monkeypatch.setattr(module, name, 0.01)


def ask(**of: object) -> ExecutionRequest:
    return ExecutionRequest.model_validate({"prompt": "q", **of})


async def lose_the_node(pool: LocalPool, id_: str = "sub1") -> None:
    """Its actor is gone, and it can be nowhere any more."""
    pool.actors.nowhere[id_] = GONE
    gone = pool.actors.subscriptions.pop(id_)
    await gone.close()
    pool.router._followers.lost(id_)
    await until(lambda: id_ in pool.router._followers.unusable)


async def queued(pool: LocalPool, **of: object) -> Execution:
    """One that waits at ``sub1``."""
    started = await pool.client.start(ask(**of))
    assert (started.subscription_id, started.status) == ("sub1", ExecutionStatus.QUEUED)
    return started


async def state_of(pool: LocalPool, execution_id: str) -> Execution | None:
    try:
        found = await pool.router.locate(execution_id)
    except PoolError:
        return None
    if isinstance(found, Execution):
        return found
    if found not in pool.actors.subscriptions:
        return None
    return await pool.actors.subscription(found).result(execution_id, 0)


@pytest.fixture
async def full(open_pool: OpenPool, runner: FakeRunner) -> LocalPool:
    """``sub1`` runs one, and the next one waits there."""
    runner.hold = True
    pool = await open_pool(spec("sub1", max_concurrent=1, weight=9), spec("sub2"))
    await pool.client.start(ask(subscription_id="sub1"))
    await runner.wait_for_runs(1)
    return pool


async def test_what_waits_goes_on_elsewhere_after_a_while_and_not_before(
    full: LocalPool, runner: FakeRunner, clock: ManualClock
) -> None:
    await full.client.drain("sub2")
    waits = await queued(full)
    await lose_the_node(full)
    await full.client.resume("sub2")

    clock.advance(RELEASED_AFTER - timedelta(seconds=1))
    await until(lambda: "no node" in full.router._followers.reports[0].state_reason)
    before = await state_of(full, waits.id)
    clock.advance(timedelta(seconds=2))
    (await runner.wait_for_runs(2))[1].end()
    ended = await full.client.result(waits.id, wait_seconds=10)

    assert before is None
    assert (ended.subscription_id, ended.status) == ("sub2", ExecutionStatus.SUCCEEDED)


async def test_one_that_lets_go_starts_nothing_though_it_has_a_free_slot(
    full: LocalPool, runner: FakeRunner, clock: ManualClock
) -> None:
    waits = await queued(full, subscription_id="sub1")
    await full.actors.subscription("sub1").suspend()  # so that it stays where it is
    runner.runs[0].end()
    await until(lambda: is_idle(full))
    await lose_the_node(full)

    clock.advance(RELEASED_AFTER)
    await until(lambda: has_ended(full, waits.id))

    assert len(runner.runs) == 1


async def is_idle(pool: LocalPool) -> bool:
    return not (await pool.actors.subscription("sub1").next_report(-1, -1, 0)).running


async def has_ended(pool: LocalPool, execution_id: str) -> bool:
    found = await state_of(pool, execution_id)
    return found is not None and found.status.is_final


async def test_what_only_that_one_may_run_ends_with_the_reason_and_the_remedy(
    full: LocalPool, clock: ManualClock
) -> None:
    waits = await queued(full, subscription_id="sub1")
    await lose_the_node(full)

    clock.advance(RELEASED_AFTER)
    await until(lambda: has_ended(full, waits.id))
    ended = await full.client.result(waits.id)
    listed = await full.client.executions(status=ExecutionStatus.INTERRUPTED)

    assert ended.status is ExecutionStatus.INTERRUPTED
    assert ended.error is not None
    assert (
        "its subscription 'sub1', which was on the node node-of-the-tests last, can run on no"
        in (ended.error.message)
    )
    assert "/x is no directory; bring back its node, or change its node or config_dir" in (
        ended.error.message
    )
    assert ended.id in [each.id for each in listed.items]
    assert (await full.client.subscription("sub1")).presence == "away"


async def test_one_whose_node_is_back_in_time_goes_on_there(
    full: LocalPool, runner: FakeRunner, clock: ManualClock
) -> None:
    waits = await queued(full, subscription_id="sub1")
    await lose_the_node(full)
    clock.advance(RELEASED_AFTER / 2)

    del full.actors.nowhere["sub1"]
    await until(lambda: full.router._followers.reports[0].presence == "awake")
    clock.advance(RELEASED_AFTER / 2)

    found = await full.client.result(waits.id)
    assert (found.subscription_id, found.status) == ("sub1", ExecutionStatus.QUEUED)


async def test_while_nodes_are_asked_whether_they_can_have_it_its_ledger_is_read(
    full: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = await queued(full, subscription_id="sub1")
    asked = asyncio.Event()

    async def silent(_: object) -> dict[str, ConfigError]:
        asked.set()
        return await asyncio.Event().wait() or {}

    monkeypatch.setattr(full.actors, "unplaced", silent)
    await lose_the_node(full)
    await asked.wait()

    async with asyncio.timeout(5):
        listed = await full.client.executions()

    assert waits.id in [each.id for each in listed.items]


async def test_while_it_lets_go_its_ledger_is_read_beside_that_where_the_store_allows_it(
    full: LocalPool, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As PostgreSQL does."""
    waits = await queued(full, subscription_id="sub1")
    lets_go = asyncio.Event()

    async def release(*_: object) -> int:
        lets_go.set()
        return await asyncio.Event().wait() or 0

    monkeypatch.setattr(full.actors, "release", release)
    monkeypatch.setattr(full.router._resting._stores, "read_ledger", full.stores.open_ledger)
    await lose_the_node(full)
    clock.advance(RELEASED_AFTER)
    await lets_go.wait()

    async with asyncio.timeout(5):
        listed = await full.client.executions()
        asked = await full.router.locate(waits.id)

    assert waits.id in [each.id for each in listed.items]
    assert asked == "sub1"


async def test_what_ended_where_no_node_can_have_it_is_answered_whoever_asks_again(
    full: LocalPool, runner: FakeRunner
) -> None:
    """With the same idempotency key, as with its id."""
    once = {"idempotency_key": "once"}
    asked = await full.client.start(ask(subscription_id="sub1"), **once)
    runner.runs[0].end()
    (await runner.wait_for_runs(2))[1].end()
    ended = await full.client.result(asked.id, wait_seconds=10)
    await lose_the_node(full)

    again = await full.client.start(ask(subscription_id="sub1"), **once)

    assert again == ended == await full.client.result(asked.id)
    assert len(runner.runs) == 2


async def test_after_a_start_one_that_no_node_can_have_is_shown_as_its_ledger_has_it(
    full: LocalPool, runner: FakeRunner, clock: ManualClock, tmp_path: Path
) -> None:
    await queued(full, subscription_id="sub1")
    (await runner.wait_for_runs(1))[0].end(completed(cost_usd="0.5"))
    (await runner.wait_for_runs(2))
    await until(lambda: full.router._followers.reports[0].totals.executions == 1)
    await full.close()
    nowhere = {"sub1": GONE, "sub3": GONE}

    pool = await local_pool_at(
        *(tmp_path, spec("sub1"), spec("sub2"), spec("sub3")),
        clock=clock,
        runner_of=lambda _: runner,
        peers=lambda make: LocalPeers(make, nowhere=nowhere),
    )
    shown = {each.id: each for each in await pool.client.subscriptions()}
    await pool.close()

    assert shown.keys() == {"sub1", "sub2", "sub3"}
    gone, never_up = shown["sub1"], shown["sub3"]
    assert gone.presence == never_up.presence == "away"
    assert "/x is no directory" in gone.state_reason
    assert "/x is no directory" in never_up.state_reason
    assert (gone.totals.executions, str(gone.weekly.used_usd)) == (1, "0.5")
    assert (gone.running, gone.queued) == (1, 0)
    assert never_up.totals.executions == 0
