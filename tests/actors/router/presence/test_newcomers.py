"""Of hundreds that are registered and were never used, a few come up; the others sleep from the
beginning, and are shown, ranked and woken as all who sleep.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from actors.router.alarms import ONE_COMES_UP
from actors.router.presence.idleness import KEPT_UP, UNUSED
from pool.errors import ConfigError, InvalidRequest
from pool.executions.status import ExecutionStatus
from pool.subscriptions.spec import SubscriptionSpec
from tests.support.pools.localpool import LocalPool
from tests.support.pools.sleepy_pool import Start, ask, asleep, peers, until
from tests.support.values.examples import spec
from tests.support.values.manual_clock import ManualClock

MANY = 40
SECOND = timedelta(seconds=1)


def many() -> list[SubscriptionSpec]:
    return [spec(f"sub{n:02}") for n in range(1, MANY + 1)]


@pytest.fixture
async def crowd(start: Start) -> LocalPool:
    pool = await start(*many())
    await until(lambda: len(peers(pool).there) == KEPT_UP)
    return pool


def ledgers_in(folder: Path) -> set[str]:
    return {each.parent.name for each in folder.glob("subscriptions/*/ledger.sqlite")}


def up(pool: LocalPool) -> set[str]:
    return set(peers(pool).there)


async def test_the_first_come_up_and_all_the_others_are_shown(crowd: LocalPool) -> None:
    reports = await crowd.client.subscriptions()

    first = {each.id for each in many()[:KEPT_UP]}
    assert up(crowd) == first
    assert [each.id for each in reports] == [each.id for each in many()]
    assert {each.id for each in reports if each.presence == "awake"} == first
    assert (await crowd.client.pool()).weekly_budget_usd == MANY * reports[0].weekly.budget_usd


async def test_one_that_never_was_up_answers_a_request(crowd: LocalPool) -> None:
    execution = await crowd.client.execute(ask(subscription_id="sub40"))

    assert execution.status is ExecutionStatus.SUCCEEDED
    report = await crowd.client.subscription("sub40")
    assert (report.presence, report.epoch) == ("awake", 1)


async def test_what_sleeps_from_the_beginning_makes_no_ledger(
    crowd: LocalPool, tmp_path: Path
) -> None:
    await crowd.client.executions()
    await crowd.client.usage_by()
    taken = await crowd.client.backup()

    made = await asyncio.to_thread(ledgers_in, tmp_path)
    copied = await asyncio.to_thread(ledgers_in, Path(taken.path))
    assert made == copied == up(crowd)


async def test_after_another_start_those_are_new_that_never_were_up(
    start: Start, crowd: LocalPool, clock: ManualClock
) -> None:
    await crowd.client.execute(ask(subscription_id="sub40"))
    await asleep(crowd, clock, *up(crowd))
    await crowd.close()

    again = await start(*many())

    await until(lambda: len(up(again)) >= KEPT_UP)
    first = {each.id for each in many()[KEPT_UP : 2 * KEPT_UP]}
    assert first <= up(again)
    assert len(up(again) - first) <= 1  # which has its first look
    assert (await again.client.subscription("sub40")).totals.executions == 1


async def test_one_that_has_a_ledger_and_no_snapshot_comes_up(
    start: Start, crowd: LocalPool
) -> None:
    """Its last activation may have left something to be done."""
    await crowd.client.execute(ask(subscription_id="sub40"))
    await crowd.close()

    again = await start(*many())

    await until(lambda: "sub40" in up(again))


async def test_one_that_no_node_can_have_is_told_at_once_and_does_not_sleep(start: Start) -> None:
    pool = await start(*many()[:KEPT_UP])
    problem = ConfigError("subscriptions.sub30.config_dir", "no node has what it needs")
    peers(pool).nowhere["sub30"] = problem

    with pytest.raises(InvalidRequest, match="no node has what it needs"):
        await pool.client.add(spec("sub30"))
    added = await pool.client.add(spec("sub31"))

    assert added.presence == "asleep"
    assert up(pool) == {each.id for each in many()[:KEPT_UP]}
    assert [each.id for each in await pool.client.subscriptions()][-1] == "sub31"


async def test_one_that_is_declared_and_can_be_nowhere_comes_up_to_say_so(start: Start) -> None:
    pool = await start(*many()[:KEPT_UP])
    peers(pool).nowhere["sub30"] = ConfigError("subscriptions.sub30.config_dir", "is nowhere")

    await pool.router.declare(many())

    await until(lambda: "sub30" in up(pool))
    assert up(pool) == {each.id for each in many()[:KEPT_UP]} | {"sub30"}


async def test_each_has_its_first_look_and_sleeps_again_before_it_takes_room_for_long(
    crowd: LocalPool, clock: ManualClock
) -> None:
    for _ in range(3):
        clock.advance(ONE_COMES_UP)
        await crowd.router._alarms.ring()
    looked_at = {each for each, times in peers(crowd).activations.items() if times}
    clock.advance(UNUSED)
    await until(lambda: len(up(crowd)) <= KEPT_UP)

    assert len(looked_at) == KEPT_UP + 3


async def test_one_that_is_used_stays_up_for_as_long_as_in_a_small_pool(
    crowd: LocalPool, clock: ManualClock
) -> None:
    used = [f"sub{n}" for n in range(20, 26)]
    for each in used:
        await crowd.client.execute(ask(subscription_id=each))
    clock.advance(UNUSED + SECOND)
    await until(lambda: len(up(crowd)) <= KEPT_UP)

    assert up(crowd) >= set(used)
