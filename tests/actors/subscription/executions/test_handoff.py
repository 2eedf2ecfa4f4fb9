"""Handoffs between two subscriptions: crashes and cancellations on the way."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from actors.interfaces.messages import HandedOff, HandoffRequest, NotAdmitted, NotTaken, Started
from actors.router.router import Router
from pool.errors import ActorLost, NotFound
from pool.executions.intent import Intent
from pool.executions.outcome import FailureKind
from pool.executions.status import ExecutionStatus
from pool.subscriptions.consequences.settlement import Settlement
from tests.support.clis.fake_runner import FakeRunner
from tests.support.pools.handed_on import (
    AwayRouter,
    OpenPool,
    hold_back_the_second_settlement,
    is_charged_once,
    is_moving,
)
from tests.support.pools.localpool import LocalPool
from tests.support.pools.pool_requests import ask, failed, limit, report_of, stop_for
from tests.support.suite.waiting import until
from tests.support.values.examples import spec, usage_of

NEVER_BACK = 1_000_000
"""Calls of a router that is gone until a test says otherwise."""


@pytest.mark.usefixtures("impatient")
async def test_a_router_that_is_away_is_asked_until_it_is_back(
    two: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    started = await two.client.start(ask())
    (run,) = await runner.wait_for_runs(1)
    two.actors.the_router = None
    run.end(limit())
    await until(lambda: is_moving(two, started.id))

    two.actors.the_router = two.router
    (await runner.wait_for_runs(2))[1].end()

    ended = await two.client.result(started.id, wait_seconds=10)
    assert (
        ended.status,
        ended.subscription_id,
        len(runner.runs),
    ) == (ExecutionStatus.SUCCEEDED, "sub2", 2)


@pytest.mark.usefixtures("impatient")
async def test_an_owner_that_is_killed_before_it_asked_is_charged_once_and_hands_it_on(
    two: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    started = await two.client.start(ask())
    (run,) = await runner.wait_for_runs(1)
    two.actors.the_router = None
    run.end(failed(FailureKind.OVERLOADED, usage_of("0.0002")))
    await until(lambda: is_moving(two, started.id))
    await two.restart("sub1")

    two.actors.the_router = two.router
    (await runner.wait_for_runs(2))[1].end()

    ended = await two.client.result(started.id, wait_seconds=10)
    assert (
        ended.status,
        ended.subscription_id,
        len(runner.runs),
    ) == (ExecutionStatus.SUCCEEDED, "sub2", 2)
    await is_charged_once(two, ended)


@pytest.mark.usefixtures("impatient")
async def test_what_a_run_is_charged_last_is_counted_though_its_owner_died_as_it_handed_it_on(
    two: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = runner.lingers = True
    started = await two.client.start(ask())
    (run,) = await runner.wait_for_runs(1)
    run.later = usage_of("0.0004")
    two.actors.the_router = None
    run.end(failed(FailureKind.OVERLOADED, usage_of("0.0002")))
    await until(lambda: is_moving(two, started.id))
    await two.restart("sub1")

    run.exits.set()
    two.actors.the_router = two.router
    (await runner.wait_for_runs(2))[1].end()
    await two.client.result(started.id, wait_seconds=10)
    await until(lambda: run.kept)

    found = (await two.actors.subscription("sub1").usage(limit=50)).items
    assert sorted(each.usage.cost_nano_usd for each in found) == [200_000, 400_000]


async def test_an_owner_that_is_killed_after_it_was_taken_over_finds_where_it_is(
    two: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.hold = True
    hold_back_the_second_settlement(two, "sub1", monkeypatch)
    started = await two.client.start(ask())
    (await runner.wait_for_runs(1))[0].end(limit())
    run = (await runner.wait_for_runs(2))[1]

    await two.restart("sub1")
    run.end()
    ended = await two.client.result(started.id, wait_seconds=10)
    await until(lambda: _is_final(two, started.id))

    assert (
        ended.status,
        ended.subscription_id,
        len(runner.runs),
    ) == (ExecutionStatus.SUCCEEDED, "sub2", 2)
    assert (await two.actors.subscription("sub1").result(started.id, 0)).subscription_id == "sub2"
    await is_charged_once(two, ended)


async def _is_final(pool: LocalPool, execution_id: str, at: str = "sub1") -> bool:
    row = await pool.actors.subscription(at)._context.ledger.execution(execution_id)
    return row is not None and row.status.is_final


async def test_it_is_taken_over_again_where_the_next_owner_has_handed_it_on_meanwhile(
    local_pool: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.scripts = {"sub1": [limit()], "sub2": [limit()]}
    hold_back_the_second_settlement(local_pool, "sub1", monkeypatch)
    started = await local_pool.client.start(ask())
    await runner.wait_for_runs(3)
    await until(lambda: _is_final(local_pool, started.id, "sub2"))

    await local_pool.restart("sub1")
    await until(lambda: _is_final(local_pool, started.id, "sub1"))

    ended = await local_pool.client.result(started.id, wait_seconds=10)
    assert (
        ended.status,
        ended.subscription_id,
        len(runner.runs),
    ) == (ExecutionStatus.SUCCEEDED, "sub3", 3)
    assert [each.subscription_id for each in ended.attempts] == ["sub1", "sub2", "sub3"]


@pytest.mark.usefixtures("impatient")
async def test_a_router_whose_answer_was_lost_gives_the_same_one_again(
    two: LocalPool, runner: FakeRunner
) -> None:
    class Forgetful(AwayRouter):
        async def hand_off(self, handoff_request: HandoffRequest) -> HandedOff | NotTaken:
            answer = await self._router.hand_off(handoff_request)
            if self.calls:
                self.calls -= 1
                raise ActorLost("router", "killed while it answered")
            return answer

    two.actors.the_router = cast(Router, Forgetful(two.router, calls=2))
    runner.scripts["sub1"] = [limit()]

    execution = await two.client.execute(ask())

    assert (
        execution.status,
        execution.subscription_id,
        len(runner.runs),
    ) == (ExecutionStatus.SUCCEEDED, "sub2", 2)


@pytest.mark.usefixtures("impatient")
@pytest.mark.usefixtures("impatient")
async def test_a_dispatch_repeated_after_the_router_died_in_a_handoff_keeps_the_earlier_attempts(
    two: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was placed at the next one, which was not asked yet. Whoever hands it on asks again."""
    runner.hold = True
    second, router = two.actors.subscription("sub2"), AwayRouter(two.router, 0)
    start, has_died = second.start, asyncio.Event()

    async def dies(*_: object, **__: object) -> Started:
        router.calls = NEVER_BACK
        has_died.set()
        raise ActorLost("router", "it was killed")

    monkeypatch.setattr(second, "start", dies)
    monkeypatch.setattr(two.actors, "the_router", router)
    started = await two.client.start(ask(), idempotency_key="k")
    (run,) = await runner.wait_for_runs(1)
    run.end(failed(FailureKind.OVERLOADED, usage_of("0.0002")))
    await has_died.wait()

    monkeypatch.setattr(second, "start", start)
    again = await two.client.start(ask(), idempotency_key="k")
    router.calls = 0
    (await runner.wait_for_runs(2))[1].end()
    ended = await two.client.result(started.id, wait_seconds=10)

    assert (again.id, again.subscription_id) == (started.id, "sub1")
    assert ended.status is ExecutionStatus.SUCCEEDED
    assert [each.subscription_id for each in ended.attempts] == ["sub1", "sub2"]
    assert len(runner.runs) == 2
    await is_charged_once(two, ended)


@pytest.mark.usefixtures("impatient")
async def test_what_is_cancelled_while_nobody_can_be_asked_is_not_started_elsewhere(
    two: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    started = await two.client.start(ask())
    (run,) = await runner.wait_for_runs(1)
    router = AwayRouter(two.router, calls=1_000_000)
    two.actors.the_router = cast(Router, router)
    run.end(failed(FailureKind.OVERLOADED, usage_of("0.0002")))
    await until(lambda: is_moving(two, started.id))

    cancelling = asyncio.create_task(two.client.cancel(started.id))
    await until(lambda: two.actors.subscription("sub1").was_cancelled(started.id))
    router.calls = 0
    ended = await cancelling

    assert ended.status == ExecutionStatus.CANCELLED
    assert len(runner.runs) == len(ended.attempts) == 1
    await is_charged_once(two, ended)


async def test_what_is_cancelled_as_the_end_of_its_run_is_written_is_not_handed_on(
    two: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.hold = True
    started = await two.client.start(ask())
    (run,) = await runner.wait_for_runs(1)
    ledger = two.actors.subscription("sub1")._context.ledger
    settle, written, go_on = ledger.settle, asyncio.Event(), asyncio.Event()

    async def slowly(settlement: Settlement) -> bool:
        answer = await settle(settlement)
        written.set()
        await go_on.wait()
        return answer

    monkeypatch.setattr(ledger, "settle", slowly)
    run.end(failed(FailureKind.OVERLOADED, usage_of("0.0002")))
    await written.wait()
    cancelling = asyncio.create_task(two.client.cancel(started.id))
    await until(lambda: two.actors.subscription("sub1").was_cancelled(started.id))
    assert await is_moving(two, started.id)  # no older state was written over it
    go_on.set()

    ended = await cancelling
    assert (ended.status, ended.subscription_id) == (ExecutionStatus.CANCELLED, "sub1")
    assert len(runner.runs) == 1
    await is_charged_once(two, ended)


async def test_what_is_cancelled_before_it_arrives_is_not_started_there(
    two: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.hold = True
    sub2 = two.actors.subscription("sub2")
    start, asked, go_on = sub2.start, asyncio.Event(), asyncio.Event()

    async def slowly(intent: Intent, *, may_wait: bool = True) -> Started | NotAdmitted:
        asked.set()
        await go_on.wait()
        return await start(intent, may_wait=may_wait)

    monkeypatch.setattr(sub2, "start", slowly)
    started = await two.client.start(ask())
    (await runner.wait_for_runs(1))[0].end(limit())
    await asked.wait()
    cancelling = asyncio.create_task(two.client.cancel(started.id))
    await until(lambda: started.id in sub2._executions._cancelled_ahead)
    go_on.set()

    ended = await cancelling
    assert (ended.status, ended.subscription_id) == (ExecutionStatus.CANCELLED, "sub2")
    assert len(runner.runs) == len(ended.attempts) == 1


async def test_what_is_cancelled_before_it_arrives_in_a_queue_leaves_it_at_once(
    open_pool: OpenPool, runner: FakeRunner
) -> None:
    pool = await open_pool(spec("sub1", max_concurrent=1))
    runner.hold = True
    await pool.client.start(ask())
    await runner.wait_for_runs(1)
    sub1, id_ = pool.actors.subscription("sub1"), "exec_" + "1" * 28

    with pytest.raises(NotFound):
        await sub1.cancel(id_)
    await pool.client.start(ask(), execution_id=id_)

    ended = await pool.client.result(id_, wait_seconds=10)
    assert ended.status is ExecutionStatus.CANCELLED
    assert (await report_of(pool, "sub1")).queued == 0


@pytest.mark.usefixtures("impatient")
async def test_what_was_cancelled_is_not_started_elsewhere_after_a_restart(
    two: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    started = await two.client.start(ask())
    (run,) = await runner.wait_for_runs(1)
    away = AwayRouter(two.router, calls=10_000)
    two.actors.the_router = cast(Router, away)
    run.end(limit())
    await until(lambda: is_moving(two, started.id))
    cancelling = asyncio.create_task(two.client.cancel(started.id))
    await until(lambda: two.actors.subscription("sub1").was_cancelled(started.id))

    await two.restart("sub1")
    away.calls = 0
    ended = await two.client.result(started.id, wait_seconds=10)
    cancelling.cancel()

    assert ended.status is ExecutionStatus.CANCELLED
    assert len(runner.runs) == len(ended.attempts) == 1


@pytest.mark.parametrize("does", ["is away", "hangs"])
async def test_an_earlier_owner_that_cannot_be_asked_keeps_nothing_from_going_on(
    two: LocalPool, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch, does: str
) -> None:
    async def asked(_: str) -> bool:
        if does == "is away":
            raise ActorLost("sub1", "it was killed")
        await asyncio.sleep(60)
        raise AssertionError

    monkeypatch.setattr("actors.subscription.executions.runs.WANTED_SECONDS", 0.05)
    monkeypatch.setattr(two.actors.subscription("sub1"), "was_cancelled", asked)
    runner.scripts["sub1"] = [limit()]

    execution = await two.client.execute(ask())

    assert (execution.status, execution.subscription_id) == (ExecutionStatus.SUCCEEDED, "sub2")


async def test_what_is_cancelled_as_nobody_takes_it_ends_cancelled(
    two: LocalPool, runner: FakeRunner
) -> None:
    await stop_for(two, "sub2")
    runner.hold = True
    started = await two.client.start(ask())
    run = (await runner.wait_for_runs(2))[1]
    two.actors.the_router = cast(Router, AwayRouter(two.router, calls=1))
    run.end(failed(FailureKind.NOT_STARTED))
    await until(lambda: is_moving(two, started.id))

    ended = await two.client.cancel(started.id)

    assert (ended.status, ended.subscription_id) == (ExecutionStatus.CANCELLED, "sub1")


async def test_what_went_on_elsewhere_is_cancelled_there(
    two: LocalPool, runner: FakeRunner
) -> None:
    runner.hold = True
    runner.scripts["sub1"] = [limit()]
    started = await two.client.start(ask())
    run = (await runner.wait_for_runs(2))[1]

    ended = await two.client.cancel(started.id)

    assert (
        ended.status,
        ended.subscription_id,
        run.stopped,
    ) == (ExecutionStatus.CANCELLED, "sub2", True)
