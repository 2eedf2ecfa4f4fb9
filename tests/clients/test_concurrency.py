"""What a client does against a flood: it lets so many go, and waits for relief where it may."""

from __future__ import annotations

import asyncio
import pickle
from datetime import timedelta
from typing import Any

import pytest

from actors.client.client import PoolClient
from actors.client.concurrency import ConcurrencyLimit
from actors.client.retry import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    RetrySchedule,
    pause_seconds,
)
from actors.runtime.ray_actors import RayActors
from pool.errors import Exhausted, InvalidRequest
from pool.executions.status import ExecutionStatus
from pool.keys.access import Access
from pool.subscriptions.spec import SubscriptionChange
from pool.values import now_in_utc
from tests.support.callers.behaviours import ask
from tests.support.clis.fake_runner import FakeRunner
from tests.support.clis.stubcli import SLOW
from tests.support.pools.localpool import LocalPool
from tests.support.pools.pool_requests import limit
from tests.support.suite.waiting import until
from tests.support.values.examples import NOON

pytestmark = pytest.mark.timeout(60)


async def at_the_owners(pool: LocalPool) -> int:
    """How many executions the owners hold at this instant."""
    reports = [await each.next_report(-1, -1, 0) for each in pool.actors.subscriptions.values()]
    return sum(each.running + each.queued for each in reports)


async def full(pool: LocalPool) -> list[Any]:
    """Fill every place of both subscriptions."""
    for id_ in ("sub1", "sub2"):
        await pool.client.change(id_, SubscriptionChange(max_concurrent=1, max_queued=0))
    return [await pool.client.start(ask(SLOW, subscription_id=id_)) for id_ in ("sub1", "sub2")]


async def test_a_client_has_so_many_on_their_way_and_no_more(
    pool: LocalPool, runner: FakeRunner
) -> None:
    client = PoolClient(pool.actors, pool.clock, max_in_flight=3)

    asked = [asyncio.create_task(client.execute(ask(f"{SLOW} {n}"))) for n in range(7)]
    most = 0
    for done in range(7):
        for run in await runner.wait_for_runs(done + 1):
            most = max(most, await at_the_owners(pool))
            if not run.ending.done():
                run.end()

    assert [(await each).status for each in asked] == [ExecutionStatus.SUCCEEDED] * 7
    assert most <= 3


async def test_streams_take_places_too_and_give_them_back(
    pool: LocalPool, runner: FakeRunner
) -> None:
    client = PoolClient(pool.actors, pool.clock, max_in_flight=1)
    stream = client.stream(ask(SLOW))
    await anext(stream)

    second = asyncio.create_task(client.execute(ask("second")))
    done, _ = await asyncio.wait({second}, timeout=0.1)
    assert not done
    await stream.aclose()

    assert (await second).status is ExecutionStatus.SUCCEEDED


async def test_clients_that_see_less_share_the_places_of_the_one_they_come_from(
    pool: LocalPool, runner: FakeRunner
) -> None:
    client = PoolClient(pool.actors, pool.clock, max_in_flight=1)
    stream = client.with_access(Access(tenant="ci")).stream(ask(SLOW))
    await anext(stream)

    second = asyncio.create_task(client.with_access(Access(tenant="other")).execute(ask("second")))
    done, _ = await asyncio.wait({second}, timeout=0.1)
    assert not done
    await stream.aclose()

    assert (await second).status is ExecutionStatus.SUCCEEDED


def test_in_another_event_loop_all_places_are_free() -> None:
    in_flight = ConcurrencyLimit(1)

    async def crowded() -> int:
        most = held = 0

        async def hold() -> None:
            nonlocal most, held
            async with in_flight.place:
                held += 1
                most = max(most, held)
                await asyncio.sleep(0)
                held -= 1

        await asyncio.gather(*(hold() for _ in range(5)))
        return most

    assert [asyncio.run(crowded()), asyncio.run(crowded())] == [1, 1]


def test_a_client_without_a_place_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="max_in_flight"):
        PoolClient(RayActors("pool"), max_in_flight=0)


def test_a_client_is_small_to_send_and_arrives_as_it_was() -> None:
    sent = pickle.dumps(PoolClient(RayActors("elsewhere"), max_in_flight=5))

    arrived = pickle.loads(sent)

    assert len(sent) < 300
    assert (now_in_utc, 5) == (arrived._clock, arrived._in_flight.most)
    assert arrived._actors._namespace == "elsewhere"


# -- patience ------------------------------------------------------------------------------------


async def test_without_patience_a_refusal_is_raised_at_once(pool: LocalPool) -> None:
    await full(pool)

    with pytest.raises(Exhausted):
        await pool.client.execute(ask())


async def test_a_refused_request_is_asked_again_under_its_id_until_there_is_room(
    pool: LocalPool, runner: FakeRunner
) -> None:
    first, _ = await full(pool)
    waiting = asyncio.create_task(
        pool.client.execute(ask("patient"), execution_id="exec_patient", patience_seconds=30)
    )
    done, _ = await asyncio.wait({waiting}, timeout=0.3)
    assert not done

    await pool.client.cancel(first.id)
    ended = await waiting

    assert (ended.id, ended.status) == ("exec_patient", ExecutionStatus.SUCCEEDED)
    assert len(runner.runs) == 3


async def test_patience_comes_to_an_end(pool: LocalPool) -> None:
    await full(pool)

    async with asyncio.timeout(10):
        with pytest.raises(Exhausted):
            await pool.client.execute(ask(), patience_seconds=0.4)


async def test_what_a_limit_ended_is_asked_anew_and_found_again_under_the_same_key(
    pool: LocalPool, runner: FakeRunner
) -> None:
    runner.scripts = {id_: [limit(NOON + timedelta(seconds=60))] for id_ in ("sub1", "sub2")}

    async def lifted() -> bool:
        return len(runner.runs) == 2

    waiting = asyncio.create_task(
        pool.client.execute(ask(), idempotency_key="k", patience_seconds=30)
    )
    await until(lifted)
    pool.clock.advance(timedelta(seconds=61))
    for id_ in ("sub1", "sub2"):
        await pool.client.resume(id_)
    ended = await waiting
    again = await pool.client.execute(ask(), idempotency_key="k", patience_seconds=30)
    first = await pool.client.execute(ask(), idempotency_key="k")

    assert ended == again
    assert ended.status is ExecutionStatus.SUCCEEDED
    assert ("usage_limit", first.id != ended.id) == (first.error and first.error.type, True)
    assert len(runner.runs) == 3


async def test_what_failed_for_another_reason_is_not_asked_again(
    pool: LocalPool, runner: FakeRunner
) -> None:
    from pool.executions.outcome import Failed, FailureKind

    runner.script = [Failed(kind=FailureKind.MAX_TURNS, message="too many")]

    ended = await pool.client.execute(ask(), patience_seconds=30)

    assert ended.error
    assert (ended.error.type, len(runner.runs)) == ("max_turns", 1)


def test_pauses_grow_to_a_limit_and_are_not_the_same_for_all() -> None:
    for asked in range(1, 200):
        longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(asked - 1, 10))
        pauses = {pause_seconds(asked, None, NOON) for _ in range(5)}

        assert all(longest / 2 <= each <= longest for each in pauses)
        assert len(pauses) > 1


def test_an_announced_relief_is_not_slept_past() -> None:
    soon, late = NOON + timedelta(seconds=1), NOON + timedelta(hours=3)

    assert 1 <= pause_seconds(50, soon, NOON) <= 1.1
    assert pause_seconds(50, late, NOON) <= LONGEST_PAUSE_SECONDS
    assert pause_seconds(50, NOON - timedelta(hours=1), NOON) >= LONGEST_PAUSE_SECONDS / 2


def test_the_last_pause_ends_with_the_patience() -> None:
    assert RetrySchedule(0).pause(None, NOON) is None
    pause = RetrySchedule(0.01).pause(None, NOON)
    assert pause is not None
    assert pause <= 0.01
